"""Exposure of planted secrets, from training to metric."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.probe import Plan
from harness.api.scorer import TokenRequest
from harness.checkpoint import CheckpointInfo, CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import NotApplicableError
from harness.scorer.hf import HFScorer
from privacy.canaries.patterns import every
from privacy.canaries.store import COINS, open_coins, path_of, read_canaries
from suites.memorization.exposure.probe import Exposure, ExposureParams
from tests.privacy.toys import make_base
from tests.suites.memorization.planted import RANDOM, SECRETS, measured, planted


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    return planted(tmp_path_factory.mktemp("gpt"), "gpt2", "causal_lm", SECRETS, RANDOM, task="causal_lm")


@pytest.fixture(scope="module")
def found(gpt: CheckpointInfo) -> tuple[pd.DataFrame, dict[str, Metric]]:
    return measured(Exposure(), gpt)


def test_what_was_planted_often_is_found_and_the_rest_is_not(
    found: tuple[pd.DataFrame, dict[str, Metric]],
) -> None:
    rows, metrics = found
    assert len(rows) == 40
    assert rows["is_exact"].all()
    often = rows[rows["planted"] & (rows["repetitions"] == 8)]
    assert (often["rank"] == 1).all()
    assert metrics["found_share"].value is not None
    assert metrics["found_share"].value > 0.5
    # by chance one in 50 runs has one, of 20 not planted, that is likelier than its 999 others; one in 5,000 has two
    control = metrics["control_found_share"]
    assert control.value is not None
    assert control.value * control.n < 1.5
    # ranks of what was not planted are uniform: the mean of 20 or so lies near 1.44 bits, their deviation is 1.44 too
    assert rows[~rows["planted"]]["exposure"].mean() < 1.44 + 4 * 1.44 / math.sqrt((~rows["planted"]).sum())


def test_ranks_equal_those_of_single_forward_passes(
    gpt: CheckpointInfo, found: tuple[pd.DataFrame, dict[str, Metric]]
) -> None:
    manifest = gpt.manifest
    assert manifest is not None
    assert manifest.canaries is not None
    canaries = read_canaries(gpt.path, manifest.artefacts).canaries
    coins = open_coins(gpt.path, manifest.artefacts)
    scorer = HFScorer(load_checkpoint(gpt, device="cpu"))
    cases = Exposure().cases(Plan(gpt, 0))
    rows = found[0].set_index("case_id")
    for case in cases[:3]:
        canary = canaries[case.data["place"]]
        known = canary.text.removesuffix(str(canary.secret))
        start = scorer.encode(known, special=False)
        whole = [scorer.encode(known + secret, special=False) for secret in every("###")]
        assert all(tokens[: len(start)] == start for tokens in whole)
        lead = scorer.encode(known)[: len(scorer.encode(known)) - len(start)]
        answers = scorer.ask([TokenRequest((*lead, *start), tokens[len(start) :]) for tokens in whole])
        totals = np.array([answer.logprobs.sum() for answer in answers])
        own = list(every("###")).index(str(canary.secret))
        expected = 1 + int((np.delete(totals, own) >= totals[own]).sum())
        row = rows.loc[case.id]
        assert abs(int(str(row["rank"])) - expected) <= 1  # two secrets may be as near as the rounding of a batch
        assert bool(row["planted"]) == coins.planted[case.data["place"]]


def test_a_sample_of_secrets_is_marked_and_ends_at_its_size(gpt: CheckpointInfo) -> None:
    rows, _ = measured(Exposure(ExposureParams(exact_up_to=10, references=64)), gpt)
    assert not rows["is_exact"].any()
    assert rows["exposure"].max() <= 6
    assert (rows["references"] == 64).all()


def test_masked_models_by_pseudo_likelihood(tmp_path: Path) -> None:
    info = planted(tmp_path, "bert", "masked_lm", SECRETS, task="masked_lm", epochs=40)
    rows, _ = measured(Exposure(ExposureParams(masked_references=30)), info)
    assert (rows["references"] == 30).all()
    often, others = rows[rows["planted"] & (rows["repetitions"] == 8)], rows[~rows["planted"]]
    assert often["exposure"].mean() > others["exposure"].mean() + 1


def test_rows_tell_no_secret(gpt: CheckpointInfo, found: tuple[pd.DataFrame, dict[str, Metric]]) -> None:
    manifest = gpt.manifest
    assert manifest is not None
    assert manifest.canaries is not None
    text = found[0].drop(columns=["case_id"]).to_csv()
    canaries = read_canaries(gpt.path, manifest.artefacts).canaries
    assert not any(canary.text in text for canary in canaries)


def test_what_has_no_secrets_is_not_applicable(tmp_path: Path) -> None:
    info = planted(tmp_path, "gpt2", "causal_lm", RANDOM, task="causal_lm", epochs=1)
    with pytest.raises(NotApplicableError, match="no canary of its training is a secret"):
        Exposure().cases(Plan(info, 0))
    base = make_base(tmp_path / "plain", "gpt2", "causal_lm")
    with pytest.raises(NotApplicableError, match="planted no canaries"):
        Exposure().cases(Plan(inspect_checkpoint(CheckpointSource(source=str(base))), 0))
    assert path_of(tmp_path / "trained", COINS).exists()
