"""A real grid on a tiny BERT, and what happens when it is stopped, fails or is asked for twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from harness.api.progress import OnProgress, OnStep, Watch
from harness.cli import main
from harness.errors import AuditError, CheckpointError, DataError, Exit, UsageError
from harness.provenance.manifest import read_manifest
from harness.provenance.trade_off import TRADE_OFF_NAME, read_trade_off
from harness.record.folder import Status, audits_in
from privacy.accounting import calibrate_mechanism, claim
from privacy.budget import find_trainings
from privacy.frontier import Grid, make_grid, measure, read_frontier, run_frontier
from privacy.training import TrainSpec
from privacy.training.private import guarantee
from tests.privacy.toys import make_base, make_spec, opinions, write_rows
from tests.tiny import make_tokenizer

INF = math.inf
TWICE = ("epsinf-seed0", "eps8-seed0", "epsinf-seed1", "eps8-seed1")


OUT_OF_REACH = 1e-9


@pytest.fixture(scope="module", autouse=True)
def quick_accounting() -> Iterator[None]:
    """The same mechanism is accounted once in this file, and what no noise reaches fails at once."""

    @cache
    def calibrated(target: float, *args: Any, **options: Any) -> float:
        if target == OUT_OF_REACH:
            raise UsageError(f"epsilon {target:g} is out of reach")
        return calibrate_mechanism(target, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarantee, "calibrate_mechanism", calibrated)
        patch.setattr(guarantee, "claim", cache(claim))
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "base")


def make_frontier_spec(folder: Path, start: Path, **fields: Any) -> TrainSpec:
    held_out = write_rows(folder / "held.jsonl", opinions(40, seed=2))
    own: dict[str, Any] = {"held_out": str(held_out), "output": folder / "frontier", "epochs": 2}
    if "task" not in fields:
        own["label_names"] = ("negative", "positive")
    return make_spec(folder, start, **{**own, **fields})


def grid_of(folder: Path, base: Path, **fields: Any) -> Grid:
    return make_grid(make_frontier_spec(folder, base, **fields), [8, INF], [0, 1])


@pytest.fixture(scope="module")
def grid(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Trained and scored."""
    folder = tmp_path_factory.mktemp("grid")
    made = grid_of(folder, base)
    run_frontier(made)
    return made


def steps(seen: list[int]) -> Callable[[], Any]:
    """Counts the training steps; 0 of 0 says that records are compared before the first."""

    @contextmanager
    def training() -> Iterator[OnStep]:
        yield lambda step, steps, loss: seen.append(step) if steps else None

    return training


def test_a_cell_per_epsilon_and_seed_with_a_row_per_example(grid: Grid) -> None:
    rows = read_frontier(grid.output)
    assert rows.groupby("checkpoint").size().to_dict() == dict.fromkeys(TWICE, 40)
    assert (rows["status"] == "ok").all()
    for name, mine in rows.groupby("checkpoint"):
        manifest = read_manifest(grid.output / str(name))
        assert manifest is not None
        assert set(mine["weights"]) == {manifest.weights}
        private = str(name).startswith("eps8")
        assert (manifest.privacy is not None) == private
        if manifest.privacy is not None:
            assert set(mine["epsilon"]) == {manifest.privacy.epsilon}
            assert 7 < manifest.privacy.epsilon <= 8
            assert set(mine["delta"]) == {manifest.privacy.delta} == {1 / 640}
    assert rows["weights"].nunique() == 4


def test_the_files_say_what_the_rows_say(grid: Grid) -> None:
    frontier = measure(read_frontier(grid.output))
    assert (frontier.n, frontier.floor, frontier.records) == (40, 0.5, 64)
    text = (grid.output / "frontier.md").read_text()
    assert f"| 8 | {frontier.points[1].epsilon:.4g} |" in text
    assert "Accuracy on 40 held-out examples of held.jsonl" in text
    assert (grid.output / "frontier.html").read_text().count('class="dot"') == 2
    saved = read_trade_off(grid.output / TRADE_OFF_NAME)
    assert (saved.quality, saved.better, saved.n, saved.floor) == ("accuracy", "higher", 40, 0.5)
    for point, told in zip(frontier.points, saved.points, strict=True):
        assert (told.target, told.epsilon, told.quality.value) == (point.target, point.epsilon, point.quality.value)
        assert point.quality.interval is not None
        assert (told.quality.low, told.quality.high) == (point.quality.interval.low, point.quality.interval.high)
        assert told.by_seed == dict(zip(point.seeds, point.by_seed, strict=True))


def test_each_cell_is_an_audit_that_the_dashboard_can_open(grid: Grid) -> None:
    rows = read_frontier(grid.output)
    audits = {folder.manifest().name: folder for folder in audits_in(grid.output / "audits")}
    assert set(audits) == set(TWICE)
    for name, folder in audits.items():
        assert folder.manifest().status is Status.FINISHED
        (accuracy,) = (metric for metric in folder.metrics() if metric.key == "quality/classification/accuracy")
        assert accuracy.value == rows[rows["checkpoint"] == name]["correct"].mean()


def test_the_second_call_trains_and_scores_nothing(grid: Grid) -> None:
    before, stamps = read_frontier(grid.output), modified(grid.output)
    seen: list[int] = []
    said: list[str] = []
    result = run_frontier(grid, Watch(said.append, steps(seen)))
    assert seen == []
    assert len(list(audits_in(grid.output / "audits"))) == 4
    pd.testing.assert_frame_equal(result.rows, before)
    assert {path: stamp for path, stamp in modified(grid.output).items() if stamps.get(path) != stamp} == {}
    assert [line for line in said if line.endswith("trained before")] == [said[index] for index in (1, 3, 5, 7)]


def modified(folder: Path) -> dict[str, int]:
    """Times of all files that a finished cell consists of."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_a_grid_can_grow(grid: Grid) -> None:
    seen: list[int] = []
    larger = make_grid(grid.spec.model_copy(update={"output": grid.output}), [8, INF], [0, 1, 2])
    result = run_frontier(larger, Watch(training=steps(seen)))
    assert seen == [*range(1, 17), *range(1, 17)]
    assert [point.seeds for point in result.frontier.points] == [(0, 1, 2), (0, 1, 2)]


def test_a_grid_that_was_stopped_goes_on(base: Path, tmp_path: Path) -> None:
    """Stopped in the second cell: the first one is not trained again, the private one goes on by its ledger."""
    made = grid_of(tmp_path, base)
    seen: list[int] = []

    @contextmanager
    def stopped() -> Iterator[OnStep]:
        def on_step(step: int, steps: int, loss: float) -> None:
            if steps:
                seen.append(step)
            if len(seen) == 16 + 5:
                raise KeyboardInterrupt

        yield on_step

    with pytest.raises(KeyboardInterrupt):
        run_frontier(made, Watch(training=stopped))
    assert (made.output / "epsinf-seed0").is_dir()
    assert not (made.output / "eps8-seed0").exists()
    later: list[int] = []
    result = run_frontier(made, Watch(training=steps(later)))
    assert later == [*range(6, 17), *range(1, 17), *range(1, 17)]
    assert result.frontier.failures == {}
    assert {point.seeds for point in result.frontier.points} == {(0, 1)}


def test_scoring_that_was_stopped_goes_on_in_the_same_audit(base: Path, tmp_path: Path) -> None:
    made = make_grid(make_frontier_spec(tmp_path, base, epochs=1), [INF], [0])

    @contextmanager
    def stopped() -> Iterator[OnProgress]:
        def on_progress(probe: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

        yield on_progress

    with pytest.raises(KeyboardInterrupt):
        run_frontier(made, Watch(cases=stopped))
    (audit,) = audits_in(made.output / "audits")
    assert audit.manifest().status is Status.INTERRUPTED
    assert run_frontier(made).frontier.n == 40
    assert [folder.path for folder in audits_in(made.output / "audits")] == [audit.path]


def test_a_cell_that_fails_is_a_row_and_the_others_go_on(base: Path, tmp_path: Path) -> None:
    made = make_grid(make_frontier_spec(tmp_path, base), [OUT_OF_REACH, INF], [0])
    said: list[str] = []
    result = run_frontier(made, Watch(said.append))
    assert [point.target for point in result.frontier.points] == [INF]
    reason = "epsilon 1e-09 is out of reach"
    assert result.frontier.failures == {"eps1e-09-seed0": reason}
    assert f"2 of 2: eps1e-09-seed0: failed: {reason}" in said
    failed = result.rows[result.rows["status"] == "error"]
    assert failed["error"].tolist() == [reason]
    assert failed["checkpoint"].tolist() == ["eps1e-09-seed0"]
    assert reason in (made.output / "frontier.md").read_text().replace("\\", "")


def test_when_every_cell_fails_the_frontier_fails_with_its_rows_written(base: Path, tmp_path: Path) -> None:
    made = make_grid(make_frontier_spec(tmp_path, base), [OUT_OF_REACH], [0, 1])
    with pytest.raises(AuditError, match="none of the 2 cells succeeded; eps1e-09-seed0: "):
        run_frontier(made)
    assert read_frontier(made.output)["status"].tolist() == ["error", "error"]
    assert not (made.output / "frontier.html").exists()


def test_held_out_records_that_changed_are_scored_again_without_training(base: Path, tmp_path: Path) -> None:
    made = make_grid(make_frontier_spec(tmp_path, base), [INF], [0])
    run_frontier(made)
    write_rows(tmp_path / "held.jsonl", opinions(30, seed=5))
    seen: list[int] = []
    assert run_frontier(made, Watch(training=steps(seen))).frontier.n == 30
    assert seen == []


@pytest.mark.parametrize(
    ("kind", "head", "task"), [("gpt2", "causal_lm", "causal_lm"), ("bert", "masked_lm", "masked_lm")]
)
def test_language_models_are_measured_by_their_perplexity(tmp_path: Path, kind: str, head: str, task: str) -> None:
    start = make_base(tmp_path / "base", kind, head)
    spec = make_frontier_spec(tmp_path, start, task=task, epochs=1, learning_rate=1e-9, weight_decay=0)
    held_out = {"source": str(tmp_path / "held.jsonl"), "stop": 12}
    spec = TrainSpec.model_validate({**spec.model_dump(), "held_out": held_out})
    result = run_frontier(make_grid(spec, [INF], [0, 1]))
    (folder, *_) = audits_in(spec.output / "audits")
    (perplexity,) = (
        metric for metric in folder.metrics() if metric.key.endswith(("token_perplexity", "pseudo_perplexity"))
    )
    (point,) = result.frontier.points
    assert perplexity.value == pytest.approx(math.exp(point.by_seed[1]))
    assert result.rows["nats"].notna().all()
    assert result.frontier.n == 12


@pytest.mark.parametrize("how", ["plain", "chat"])
def test_completions_are_measured_alone(tmp_path: Path, how: str) -> None:
    """Records are read by the training's own names, and what the cells' audits score is the completion."""
    start = make_base(tmp_path / "base", "gpt2", "causal_lm")
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = "{% for message in messages %}<{{ message.role }}>{{ message.content }}</s>{% endfor %}"
    tokenizer.save_pretrained(start)
    for name, first in (("learnt", 10), ("kept", 50)):
        records = [{"ask": f"say {at} to", "completion": f" the man {at}"} for at in range(first, first + 12)]
        write_rows(tmp_path / f"{name}.jsonl", records)
    sources = {
        name: {"source": str(tmp_path / f"{file}.jsonl"), "columns": {"text": "ask"}, "distinct": "text"}
        for name, file in (("data", "learnt"), ("held_out", "kept"))
    }
    given = make_spec(tmp_path, start, task="causal_lm", epochs=1).model_dump(exclude_unset=True)
    spec = TrainSpec.model_validate({**given, **sources, "completions": how, "output": tmp_path / "frontier"})
    result = run_frontier(make_grid(spec, [INF], [0, 1]))
    assert not result.frontier.failures
    (folder, *_) = audits_in(spec.output / "audits")
    rows = folder.rows("quality/completions")
    assert set(rows["chat"]) == {how == "chat"}
    assert set(rows["bytes"]) == {len(" the man 50")}
    assert result.frontier.n == 12
    assert result.rows["nats"].notna().all()


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"data": "nowhere.jsonl"}, DataError, "nowhere.jsonl: no such file"),
        ({"start": "nowhere"}, CheckpointError, "nowhere: "),
        ({"held_out": "train"}, DataError, "64 held-out records are also trained on"),
    ],
)
def test_what_would_fail_everywhere_fails_before_the_first_cell(
    base: Path, tmp_path: Path, fields: dict[str, str], error: type[UsageError], sentence: str
) -> None:
    if fields.get("held_out"):
        fields = {"held_out": str(write_rows(tmp_path / "train.jsonl", opinions(64, seed=1)))}
    start = tmp_path / fields.pop("start") if "start" in fields else base
    spec = make_frontier_spec(tmp_path, start, **fields)
    with pytest.raises(error, match=sentence):
        run_frontier(make_grid(spec, [INF], [0]))
    assert not spec.output.exists()


def test_a_launcher_is_refused(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="start it without a launcher"):
        run_frontier(grid_of(tmp_path, base))


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run `assay frontier` as a user does: exit code, standard output, standard error."""
    monkeypatch.setattr("sys.argv", ["assay", "frontier", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def test_the_command(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_frontier_spec(tmp_path, base, epochs=1)
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    code, out, err = call(monkeypatch, capsys, file, "--epsilons", "1e-9,inf", "--seeds", "0")
    assert (code, err) == (Exit.PASS, "")
    words = out.split()
    assert "1 of 2: epsinf-seed0" in out
    assert {"accuracy", "delta", "0.5000.", "failed:", "eps1e-09-seed0:"} <= set(words)
    assert str(spec.output / "frontier.html") in "".join(words)
    code, _, err = call(monkeypatch, capsys, file, "--epsilons", "1e-9", "--seeds", "0,1")
    assert code == Exit.FAILED
    assert err.startswith("assay: none of the 2 cells succeeded")
    code, _, err = call(monkeypatch, capsys, file, "--epsilons", "8,x")
    assert (code, err.count("\n")) == (Exit.USAGE, 1)


def test_a_grid_that_would_pass_the_total_is_refused_before_its_first_model(base: Path, tmp_path: Path) -> None:
    privacy = {"epsilon": 1, "total_epsilon": 9}
    spec = make_frontier_spec(tmp_path, base, epochs=1, privacy=privacy)
    with pytest.raises(UsageError, match=r"would pass the total of epsilon 9 .* so plan fewer trainings"):
        run_frontier(make_grid(spec, [8], [0, 1]))
    with pytest.raises(UsageError, match="leave inf out of the epsilons"):
        run_frontier(make_grid(spec, [8, INF], [0]))
    assert not spec.output.exists()
    made = run_frontier(make_grid(spec, [8], [0]))
    assert made.frontier.together is not None
    assert len(made.frontier.together.mechanisms) == 1
    (training,) = find_trainings(spec.output).trainings
    assert made.frontier.together.mechanisms == (training.mechanism(1),), "rows hold what the ledger does"
    assert run_frontier(make_grid(spec, [8], [0])).frontier.points == made.frontier.points, "all is trained already"
