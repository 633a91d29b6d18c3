"""The rows beside a checkpoint: one per optimizer step, and everything the manifest says of the steps follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import torch

from harness.errors import AuditError
from harness.provenance.manifest import TrainingManifest, read_manifest
from privacy.clipping import ClippingStats
from privacy.training import TrainSpec, train
from privacy.training.plain.loop import Schedule
from privacy.training.records.progress import RunProgress, StepTotals
from privacy.training.records.step_rows import StepRow, read_step_rows, step_frame, step_rows_path, write_step_rows
from tests.privacy.claim_cases import facts
from tests.privacy.toys import make_base, make_spec


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier", dropout=False)


def read(output: Path) -> tuple[TrainingManifest, pd.DataFrame]:
    manifest = read_manifest(output)
    assert manifest is not None
    rows = read_step_rows(output, manifest.weights)
    assert rows is not None
    return manifest, rows


def check_common(spec: TrainSpec, manifest: TrainingManifest, rows: pd.DataFrame, steps: list[int]) -> None:
    StepRow.validate(rows)
    assert rows["step"].tolist() == steps
    schedule = Schedule.of(spec, manifest.steps)
    assert rows["learning_rate"].tolist() == [spec.learning_rate * schedule.factor(step) for step in steps]
    assert (rows["seconds"] > 0).all()
    assert not list(spec.output.glob("*.parquet"))


def test_the_rows_of_ordinary_training_give_the_losses_of_the_manifest(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, epochs=2, batch_size=24, max_grad_norm=0.5)
    train(spec)
    manifest, rows = read(spec.output)
    check_common(spec, manifest, rows, list(range(6)))
    epochs = rows["step"] // 3
    for epoch, loss in enumerate(manifest.losses):
        part = rows[epochs == epoch]
        assert part["drawn"].sum() == 64
        assert np.average(part["loss"], weights=part["drawn"]) == pytest.approx(loss, rel=1e-12)
    assert (rows["clipping_norm"] == 0.5).all()
    assert rows[["clipped", "gradient_norm"]].isna().all(axis=None)
    assert (rows["gradient_norms"].map(len) == 0).all()


def unprivatised(manifest: TrainingManifest, rows: pd.DataFrame) -> dict[str, object]:
    """The manifest's facts from the rows alone, by pandas and numpy."""
    epochs = int(manifest.config["epochs"])
    losses: list[float | None] = []
    for epoch in range(epochs):
        start, stop = (manifest.steps * each // epochs for each in (epoch, epoch + 1))
        part = rows[(rows["step"] >= start) & (rows["step"] < stop) & (rows["finite"] > 0)]
        losses.append(float(np.average(part["loss"], weights=part["finite"])) if len(part) else None)
    norms = np.sort(np.concatenate(rows["gradient_norms"].tolist()))
    used = rows["drawn"] - rows["non_finite"]
    return {
        "losses": losses,
        "clipped": float((rows["clipped"].fillna(0) * used).sum() / used.sum()),
        "norm_quantiles": {
            key: float(np.quantile(norms, float(key), method="nearest")) for key in ("0.1", "0.5", "0.9")
        },
        "non_finite": int(rows["non_finite"].sum()),
        "drawn": int(rows["drawn"].sum()),
    }


def check_unprivatised(manifest: TrainingManifest, rows: pd.DataFrame) -> None:
    assert manifest.privacy is not None
    said, found = facts(manifest.privacy).model_dump(), unprivatised(manifest, rows)
    assert list(said.pop("losses")) == pytest.approx(found.pop("losses"), rel=1e-9)
    assert said.pop("clipped") == pytest.approx(found.pop("clipped"), rel=1e-9)
    assert said == found
    medians = [float(np.median(norms)) if len(norms) else math.nan for norms in rows["gradient_norms"]]
    np.testing.assert_allclose(rows["gradient_norm"], medians)


def test_the_rows_of_private_training_give_the_unprivatised_facts_of_the_manifest(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, batch_size=2, epochs=1, privacy={"noise_multiplier": 1.0, "max_grad_norm": 0.7})
    train(spec)
    manifest, rows = read(spec.output)
    check_common(spec, manifest, rows, list(range(32)))
    check_unprivatised(manifest, rows)
    empty = rows["drawn"] == 0
    assert rows.loc[empty, ["loss", "clipped", "gradient_norm"]].isna().all(axis=None)
    assert rows.loc[~empty, ["loss", "clipped", "gradient_norm"]].notna().all(axis=None)
    assert (rows["gradient_norms"].map(len) == rows["drawn"]).all()
    above = rows["gradient_norms"].map(lambda norms: float((norms > 0.7).mean()) if len(norms) else math.nan)
    np.testing.assert_allclose(rows["clipped"], above)


def test_a_resumed_run_has_the_rows_of_both_starts_and_none_of_lost_steps(base: Path, tmp_path: Path) -> None:
    privacy = {"noise_multiplier": 1.0, "save_every": 2, "clipping": "adaptive"}
    spec = make_spec(tmp_path, base, batch_size=16, epochs=5, privacy=privacy)

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(spec, progress=stop)
    assert not step_rows_path(spec.output).exists()
    train(spec)
    manifest, rows = read(spec.output)
    assert manifest.privacy is not None
    assert manifest.privacy.steps_lost == 1
    check_common(spec, manifest, rows, [0, 1, 2, 3, *range(5, 20)])
    check_unprivatised(manifest, rows)
    assert rows["clipping_norm"][0] == manifest.privacy.max_grad_norm
    assert rows["clipping_norm"].nunique() > 1


def totals(step: int) -> StepTotals:
    return StepTotals(step, 0.1, 1.0)


def test_records_without_a_finite_gradient_are_counted_and_have_no_norm() -> None:
    progress, first = RunProgress(), totals(0)
    losses = torch.tensor([2.0, math.nan, 4.0])
    first.add(losses, ClippingStats(torch.tensor([3.0, math.nan, 1.0]), smaller=torch.tensor(1), non_finite=1))
    first.add(torch.tensor([6.0]), ClippingStats(torch.tensor([2.0]), smaller=torch.tensor(1), non_finite=0))
    progress.add(first)
    progress.add(totals(1))
    frame = StepRow.validate(step_frame(progress))
    assert frame["drawn"].tolist() == [4, 0]
    assert (frame["finite"][0], frame["loss"][0], frame["non_finite"][0]) == (3, 4.0, 1)
    assert frame["clipped"][0] == pytest.approx(2 / 3)
    assert frame["gradient_norms"][0].tolist() == [1.0, 2.0, 3.0]
    assert frame.loc[1, ["loss", "clipped", "gradient_norm"]].isna().all()


def one_step() -> RunProgress:
    progress = RunProgress()
    progress.add(totals(0))
    return progress


def test_rows_of_other_weights_are_not_taken_for_these(tmp_path: Path) -> None:
    output = tmp_path / "model"
    assert read_step_rows(output, "a") is None
    write_step_rows(output, one_step(), "a")
    assert read_step_rows(output, "a") is not None
    assert read_step_rows(output, "b") is None
    assert [path.name for path in tmp_path.iterdir()] == ["model.steps.parquet"]


def test_damaged_rows_are_one_sentence(tmp_path: Path) -> None:
    step_rows_path(tmp_path / "model").write_bytes(b"PAR1 torn")
    with pytest.raises(AuditError, match=r"model.steps.parquet: damaged rows \(.*\); delete the file") as raised:
        read_step_rows(tmp_path / "model", "a")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "breaks",
    [
        lambda rows: rows.assign(clipped=1.5),
        lambda rows: rows.assign(seconds=-1.0),
        lambda rows: pd.concat([rows, rows]),
        lambda rows: rows.assign(extra=1),
        lambda rows: rows.drop(columns="loss"),
    ],
)
def test_the_schema_refuses_what_cannot_be(breaks: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    rows = step_frame(one_step())
    StepRow.validate(rows)
    with pytest.raises((pa.errors.SchemaError, pa.errors.SchemaErrors)):
        StepRow.validate(breaks(rows))
