"""lm-eval's own tasks over real records, on a real language model of 260,000 parameters: its values, to the digit."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint

pytest.importorskip("lm_eval")

from benchmarks.lm_eval import compare, largest_difference, values_of
from benchmarks.lm_eval_tasks import NAMES, write_tasks

ROOT = Path(__file__).parents[4]
DATA = Path(os.environ.get("ASSAY_TEST_DATA", ROOT.parent / "shared" / "data"))
DOCUMENTS = 6
ATOL = 1e-4

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "model_stories260k").is_dir(), reason=f"no {DATA}; set ASSAY_TEST_DATA"),
]


@pytest.fixture(scope="module")
def model() -> LoadedCheckpoint:
    return load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(DATA / "model_stories260k"))), device="cpu")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import datasets

    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        patch.setenv("ASSAY_TEST_DATA", str(DATA))
        yield write_tasks(folder / "tasks", dict.fromkeys(NAMES, DOCUMENTS))


@pytest.mark.parametrize("task", NAMES)
def test_values_and_log_likelihoods_are_lm_evals(task: str, model: LoadedCheckpoint, tasks: Path) -> None:
    """lm-eval adds up tokens in float64 here, as we do; its default of float32 differs by more over long answers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        both = compare(model, tasks, task, softmax_dtype="float64", batch_size=1)
    finally:
        logging.disable(before)
    assert len(both.rows) == DOCUMENTS
    assert both.rows["error"].isna().all()
    assert largest_difference(task, both) < ATOL
    for ours, theirs in values_of(task, both).values():
        assert ours.value == pytest.approx(theirs, rel=1e-5)
        assert ours.n == DOCUMENTS
