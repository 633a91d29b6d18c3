"""A real curve on tiny models, and what happens when it is stopped, fails, grows or is asked for twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from harness.api.progress import OnStep, Watch
from harness.cli import main
from harness.errors import AuditError, Exit, UsageError
from harness.provenance.manifest import read_manifest
from harness.record.folder import Status, audits_in
from privacy.curve import Curve, make_curve, measure, read_curve, run_curve
from privacy.training import TrainSpec
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

CELLS = ("n16-seed0", "n64-seed0", "n16-seed1", "n64-seed1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "base")


def curve_spec(folder: Path, base: Path, **fields: Any) -> TrainSpec:
    held_out = write_rows(folder / "held.jsonl", opinions(40, seed=2))
    return make_spec(folder, base, **{"held_out": str(held_out), "output": folder / "curve", "epochs": 6, **fields})


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Curve:
    made = make_curve(curve_spec(tmp_path_factory.mktemp("curve"), base), [16, 64], [0, 1])
    run_curve(made)
    return made


def steps(seen: list[int]) -> Callable[[], Any]:
    @contextmanager
    def training() -> Iterator[OnStep]:
        yield lambda step, steps, loss: seen.append(step) if steps else None

    return training


def test_a_cell_per_size_and_seed_with_a_row_per_example(finished: Curve) -> None:
    rows = read_curve(finished.output)
    assert rows.groupby("checkpoint").size().to_dict() == dict.fromkeys(CELLS, 40)
    assert (rows["status"] == "ok").all()
    for name, mine in rows.groupby("checkpoint"):
        manifest = read_manifest(finished.output / str(name))
        assert manifest is not None
        assert {manifest.trained_n} == set(mine["size"])
        assert {manifest.weights} == set(mine["weights"])
    assert rows["weights"].nunique() == 4


def test_the_numbers_are_those_of_its_audits(finished: Curve) -> None:
    rows = read_curve(finished.output)
    audits = {folder.manifest().name: folder for folder in audits_in(finished.output / "audits")}
    assert set(audits) == set(CELLS)
    for name, folder in audits.items():
        assert folder.manifest().status is Status.FINISHED
        (accuracy,) = (metric for metric in folder.metrics() if metric.key == "quality/classification/accuracy")
        assert accuracy.value == rows[rows["checkpoint"] == name]["correct"].mean()


def test_files_say_what_the_rows_say(finished: Curve) -> None:
    small, large = measure(read_curve(finished.output)).points
    assert (small.size, large.size, small.seeds) == (16, 64, (0, 1))
    assert large.quality.value > 0.6  # one word tells the class
    text, html = ((finished.output / f"curve.{kind}").read_text() for kind in ("md", "html"))
    assert "| 64 | 0, 1 | 40 |" in text
    assert "of models trained on some of 64 records" in text
    assert html.count('class="dot"') == 2


def test_the_second_call_trains_nothing_and_a_curve_grows(finished: Curve) -> None:
    before, seen = read_curve(finished.output), list[int]()
    again = run_curve(finished, Watch(training=steps(seen)))
    assert seen == []
    pd.testing.assert_frame_equal(again.rows, before)
    larger = make_curve(finished.spec, [16, 32, 64], [0, 1])
    grown = run_curve(larger, Watch(training=steps(seen)))
    assert seen == [*range(1, 25), *range(1, 25)]  # 32 records by 8, six times, for two seeds
    assert [point.size for point in grown.curve.points] == [16, 32, 64]
    assert len(list(audits_in(finished.output / "audits"))) == 6


def test_a_curve_that_was_stopped_goes_on(base: Path, tmp_path: Path) -> None:
    made = make_curve(curve_spec(tmp_path, base, epochs=2), [16, 64], [0])
    seen: list[int] = []

    @contextmanager
    def stopped() -> Iterator[OnStep]:
        def on_step(step: int, steps: int, loss: float) -> None:
            seen.append(step)
            if len(seen) == 4 + 3:
                raise KeyboardInterrupt

        yield on_step

    with pytest.raises(KeyboardInterrupt):
        run_curve(made, Watch(training=stopped))
    later: list[int] = []
    result = run_curve(made, Watch(training=steps(later)))
    assert len(later) <= 16  # the first cell's four steps are not taken again
    assert [point.size for point in result.curve.points] == [16, 64]


def test_a_cell_that_fails_is_a_row_and_when_all_fail_the_curve_does(base: Path, tmp_path: Path) -> None:
    made = make_curve(curve_spec(tmp_path, base, epochs=1), [16, 64], [0])
    (made.output / "subsets").mkdir(parents=True)
    with pytest.raises(UsageError, match="exists and holds no curve; choose another output"):
        run_curve(made)
    (made.output / "subsets").rmdir()
    run_curve(made)
    (made.output / "n64-seed0" / "model.safetensors").unlink()
    result = run_curve(made)
    assert list(result.curve.failures) == ["n64-seed0"]
    assert [point.size for point in result.curve.points] == [16]
    (made.output / "n16-seed0" / "model.safetensors").unlink()
    with pytest.raises(AuditError, match="none of the 2 cells succeeded; n16-seed0: "):
        run_curve(made)
    assert read_curve(made.output)["status"].tolist() == ["error", "error"]


def test_another_curve_or_other_records_do_not_mix(finished: Curve, tmp_path: Path) -> None:
    other = make_curve(finished.spec.model_copy(update={"epochs": 5}), [16], [0])
    with pytest.raises(UsageError, match=r"holds another curve \(it differs in epochs\)"):
        run_curve(other)
    rows = write_rows(tmp_path / "train.jsonl", opinions(64, seed=7))
    spec = finished.spec.model_copy(update={"data": finished.spec.data.model_copy(update={"source": str(rows)})})
    with pytest.raises(UsageError, match="differs in data"):
        run_curve(make_curve(spec, [16], [0]))


def test_the_command_trains_a_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    causal = make_base(tmp_path / "gpt", "gpt2", "causal_lm")
    spec = curve_spec(tmp_path, causal, task="causal_lm", epochs=2)
    content = spec.model_dump(mode="json", exclude_unset=True)
    (tmp_path / "train.yaml").write_text(yaml.safe_dump({**content, "output": "curve"}))
    monkeypatch.setattr("sys.argv", ["assay", "curve", "train.yaml", "--sizes", "8,64", "--seeds", "0,1"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == Exit.PASS
    shown = capsys.readouterr().out
    assert "curve/curve.html" in shown
    assert "perplexity" in shown
    found = measure(read_curve(tmp_path / "curve"))
    assert [point.size for point in found.points] == [8, 64]
    assert found.points[1].quality.value < found.points[0].quality.value
    monkeypatch.setattr("sys.argv", ["assay", "curve", "train.yaml", "--sizes", "8,many"])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == Exit.USAGE
    assert "--sizes: 'many' is no number; give whole numbers" in capsys.readouterr().err
