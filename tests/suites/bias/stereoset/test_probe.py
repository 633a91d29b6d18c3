"""Cases and rows of the probe, for each kind of model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.api.needs import Need
from harness.errors import DataError
from suites.bias.stereoset.data import CHOICES
from suites.bias.stereoset.probe import StereoSet, StereoSetParams
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of

FRAME = pd.DataFrame(
    {
        "context": ["the nurse was BLANK", "the clerk was BLANK", "the cook was BLANK", "the nurse came"],
        "stereotype": ["the nurse was kind", "the clerk was broken", "no", "she is kind"],
        "anti_stereotype": ["the nurse was mean", "the clerk was mean", "no", "she is mean"],
        "unrelated": ["the nurse was table", "the clerk was table", "no", "the table"],
        "target": ["nurse", "clerk", "cook", "nurse"],
        "bias_type": "profession",
    }
)
CHANCES = {"kind": -1.0, "mean": -2.0, "table": -3.0}


@pytest.mark.parametrize("need", [Need.MASKED_LM, Need.CAUSAL_LM])
def test_blanks_are_scored_and_what_cannot_be_is_named(need: Need, tmp_path: Path) -> None:
    info = make_info(need)
    fake = FakeScorer(info, logprob=lambda read, token: CHANCES.get(fake.decode([token]), -5.0))
    probe = StereoSet(StereoSetParams(control=False))
    rows = rows_of(probe, fake, probe.cases(plan(info, triples=FRAME)), tmp_path)
    masked = need == Need.MASKED_LM
    assert list(rows["status"]) == ["ok", "error", "excluded" if masked else "error"]
    first = rows.iloc[0]
    scores = [float(first[f"score_{name}"]) for name in CHOICES]
    assert scores == sorted(scores, reverse=True)
    found = by_key(probe.measure(rows))
    if masked:
        assert found["stereotype_score", ""].value == 1
        assert (found["icat", ""].missing, found["icat", ""].excluded) == (1, 1)


@pytest.mark.parametrize("need", [Need.MASKED_LM, Need.CAUSAL_LM])
def test_sentences_that_are_the_same_tokens_are_missing_not_a_tie(need: Need, tmp_path: Path) -> None:
    info = make_info(need)
    fake = FakeScorer(info, logprob=lambda read, token: CHANCES.get(fake.decode([token]), -5.0))
    alike = FRAME[:1].assign(anti_stereotype="the nurse was Kind")  # the tokens are lower-cased
    probe = StereoSet(StereoSetParams(control=False))
    data = pd.concat([FRAME[:1], alike], ignore_index=True)
    rows = rows_of(probe, fake, probe.cases(plan(info, triples=data)), tmp_path)
    assert list(rows["status"]) == ["ok", "error"]
    score = by_key(probe.measure(rows))["stereotype_score", ""]
    assert (score.value, score.n, score.missing) == (1.0, 1, 1)


def test_the_control_is_asked_too_unless_it_is_left_out() -> None:
    info = make_info(Need.MASKED_LM)
    cases = StereoSet().cases(plan(info, triples=FRAME))
    alone = StereoSet(StereoSetParams(control=False)).cases(plan(info, triples=FRAME))
    assert [case for case in cases if case.data["role"] == "scored"] == alone
    assert [case.data["role"] for case in cases] == ["scored"] * 3 + ["control"] * 3


def test_a_next_sentence_head_is_asked_what_follows_and_others_blanks() -> None:
    (case,) = StereoSet(StereoSetParams(control=False)).cases(plan(make_info(Need.NEXT_SENTENCE), triples=FRAME))
    assert case.data["context"] == "the nurse came"
    with pytest.raises(DataError, match="no intersentence contexts, which a next sentence model is asked"):
        StereoSet().cases(plan(make_info(Need.NEXT_SENTENCE), triples=FRAME[:3]))
    with pytest.raises(DataError, match="no intrasentence contexts"):
        StereoSet().cases(plan(make_info(Need.CAUSAL_LM), triples=FRAME[3:]))
