"""What a tiny GPT writes unasked, after learning its records by heart and after learning nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from harness.api.metrics import Metric
from harness.api.models import Models
from harness.api.probe import Plan
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import Texts
from harness.errors import DataError, NoDataError, UsageError
from harness.record.prepared import KeptOnDisk
from harness.scorer.hf import HFScorer
from privacy.training import train
from suites.memorization.extraction.probe import Extraction, ExtractionParams
from suites.memorization.untargeted.probe import Untargeted, UntargetedParams
from tests.privacy.toys import make_base, make_spec, nonsense, write_rows

PARAMS = UntargetedParams(samples=120, new_tokens=12, match_chars=24, top=10)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    """It read ten texts sixty times."""
    folder = tmp_path_factory.mktemp("gpt")
    base = make_base(folder / "base", "gpt2", "causal_lm", dropout=False)
    rows = [{"text": row["text"]} for row in nonsense(10, 1, words=10)]
    data = str(write_rows(folder / "in.jsonl", rows))
    train(make_spec(folder, base, task="causal_lm", data=data, epochs=60, learning_rate=1e-2, weight_decay=0.0))
    return inspect_checkpoint(CheckpointSource(source=str(folder / "trained")), Permissions(manifest_sources=True))


def measured(
    probe: Untargeted, info: CheckpointInfo, folder: Path, base: Path
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    scorer, source = HFScorer(load_checkpoint(info, device="cpu")), probe.default_data(info)
    before = HFScorer(load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(base))), device="cpu"))
    models = Models(scorer, {"base": lambda: before})
    plan = Plan(info, 0, {name: load_dataset(each, Texts) for name, each in source.items()})
    cases = probe.cases(plan)
    ready = probe.within(models, KeptOnDisk(folder))
    ready.prepare(models, replace(plan, cases=cases))
    rows = pd.DataFrame(probe.Row.validate(pd.DataFrame(list(ready.run(scorer, cases)))))
    return rows, {metric.key: metric for metric in probe.measure(rows)}


def test_what_was_learnt_by_heart_is_written_and_found(gpt: CheckpointInfo, tmp_path: Path) -> None:
    rows, metrics = measured(Untargeted(PARAMS), gpt, tmp_path, gpt.path.parent / "base")
    assert len(rows) == PARAMS.samples
    share = metrics["found_share"].value
    assert share is not None
    assert share > 0.1
    assert (rows["personal"] == 0).all()  # nonsense words are no one's
    assert metrics["personal_beyond_base_share"].value == 0
    assert 0 < rows["found"].isna().sum() < len(rows)  # those too short to hold a run are not taken for not found
    judged = rows[~rows["repeats"] & rows["found"].notna()]
    assert metrics["found_share"].n == len(judged)
    assert share == pytest.approx(judged["found"].mean())
    distinct = judged.sort_values("case_id")
    for signal, sign in (("loss", -1), ("zlib", 1), ("min_k", 1), ("calibrated", 1)):
        metric = metrics[f"found_in_top_share_by_{signal}"]
        first = distinct.iloc[np.argsort(-sign * distinct[signal].to_numpy(), kind="stable")[: PARAMS.top]]
        exact = binomtest(int(first["found"].sum()), PARAMS.top).proportion_ci(0.95, "exact")
        assert metric.value == pytest.approx(first["found"].mean())
        assert (metric.low, metric.high) == pytest.approx((exact.low, exact.high))
        assert (metric.value or 0) >= share  # what the model knows is likelier to it than what it makes up


def test_a_model_that_learnt_nothing_writes_nothing_of_it(gpt: CheckpointInfo, tmp_path: Path) -> None:
    base = gpt.path.parent / "base"
    info = inspect_checkpoint(CheckpointSource(source=str(base)), Permissions(manifest_sources=True))
    _, metrics = measured(Untargeted(PARAMS), replace(info, manifest=gpt.manifest), tmp_path, base)
    assert metrics["found_share"].value == 0
    assert metrics["found_in_top_share_by_loss"].value == 0


def test_fewer_samples_than_are_looked_at_give_no_share(gpt: CheckpointInfo, tmp_path: Path) -> None:
    few = Untargeted(UntargetedParams(samples=4, new_tokens=4, top=10))
    _, metrics = measured(few, gpt, tmp_path, gpt.path.parent / "base")
    assert metrics["found_in_top_share_by_loss"].value is None
    assert "the first 10 are asked for" in metrics["found_in_top_share_by_loss"].note


def test_without_a_training_text_there_is_nothing_to_look_in(gpt: CheckpointInfo) -> None:
    with pytest.raises(NoDataError, match="needs the training text to look in"):
        Untargeted().cases(Plan(inspect_checkpoint(CheckpointSource(source=str(gpt.path.parent / "base"))), 0))


def test_what_is_too_short_to_be_found_is_missing_and_not_a_pass(gpt: CheckpointInfo, tmp_path: Path) -> None:
    """No record of the training has so many characters: a model that writes all of them down would have had 0."""
    few = Untargeted(UntargetedParams(samples=30, new_tokens=12, match_chars=2000, top=5))
    rows, metrics = measured(few, gpt, tmp_path, gpt.path.parent / "base")
    assert rows["found"].isna().all()
    for name in ("found_share", "found_in_top_share_by_loss"):
        assert metrics[name].value is None
    assert "match_chars" in metrics["found_share"].note
    assert metrics["personal_share"].value == 0


def test_an_index_or_a_text_that_cannot_be_read_is_one_sentence(gpt: CheckpointInfo, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for probe in (
        Untargeted(UntargetedParams(index=nowhere)),
        Extraction(ExtractionParams(index=nowhere)),
    ):
        with pytest.raises(UsageError, match="nowhere"):
            probe.cases(Plan(gpt, 0))
    (tmp_path / "torn.jsonl").write_bytes(b'{"text": "whole"}\n{"text": "to')
    with pytest.raises(DataError, match=r"torn\.jsonl"):
        load_dataset(DataSource(source=str(tmp_path / "torn.jsonl")), Texts)


def test_a_language_without_recognisers_is_one_sentence(gpt: CheckpointInfo) -> None:
    with pytest.raises(UsageError, match="no recogniser for 'fr'"):
        Untargeted(UntargetedParams(languages=("en", "fr"))).cases(Plan(gpt, 0))


def test_personal_data_is_counted_less_what_the_base_writes(gpt: CheckpointInfo, tmp_path: Path) -> None:
    """Of a probe whose finder takes some words for personal data: those that the base writes too are left out."""
    probe = Untargeted(UntargetedParams(samples=60, new_tokens=12, match_chars=24, top=5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "suites.memorization.untargeted.probe.personal", lambda _, texts: [frozenset(t.split()) for t in texts]
        )
        rows, metrics = measured(probe, gpt, tmp_path, gpt.path.parent / "base")
    assert (rows["personal"] >= rows["personal_beyond"]).all()
    assert rows["personal"].sum() > rows["personal_beyond"].sum()
    share = metrics["personal_share"].value
    assert share == pytest.approx((rows[~rows["repeats"]]["personal"] > 0).mean())
