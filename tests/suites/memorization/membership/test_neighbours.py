from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from harness.api.probe import Plan
from harness.api.requests.distributions import DistributionRequest, MaskedDistributionRequest
from harness.api.scorer import MaskedRequest, TokenRequest
from harness.checkpoint import CheckpointInfo
from harness.scorer.hf import HFScorer
from suites.framing import opening
from suites.memorization.membership.neighbours import exchanged, neighbour
from suites.memorization.membership.probe import Membership, MembershipParams
from tests.suites.memorization.membership.scored import audited
from tests.suites.memorization.membership.test_language_models import by_key, gpt, loader

__all__ = ["gpt"]


def test_a_few_pairs_of_different_tokens_change_places() -> None:
    tokens = tuple(range(40))
    for seed in range(50):
        found = exchanged(tokens, Random(seed))
        assert sorted(found) == list(tokens)
        assert sum(one != two for one, two in zip(found, tokens, strict=True)) == 2
    longer = exchanged(tuple(range(200)), Random(0))
    assert 4 <= sum(one != two for one, two in zip(longer, range(200), strict=True)) <= 10
    assert exchanged((7, 7, 7), Random(0)) == (7, 7, 7)
    assert exchanged((7,), Random(0)) == (7,)


def test_what_frames_a_text_stays() -> None:
    causal = neighbour(DistributionRequest((1, 2), (3, 4)), (0, 2), Random(0))
    assert causal == TokenRequest((1, 2), (4, 3))
    masked = neighbour(MaskedDistributionRequest((0, 3, 4, 9), (1,)), (1, 3), Random(0))
    assert masked == MaskedRequest((0, 4, 3, 9), (1,))


def test_what_was_learnt_by_heart_stands_above_its_neighbours(gpt: CheckpointInfo, tmp_path: Path) -> None:
    probe = Membership(MembershipParams(neighbours=5))
    rows = audited(probe, gpt, tmp_path).set_index("case_id")
    low = by_key(probe.measure(rows.reset_index()))["auc_neighbours"].low
    assert low is not None
    assert low > 0.5
    scorer: HFScorer = loader(gpt.path)()  # type: ignore[assignment]
    cases = probe.cases(Plan(gpt, 0))[:3]
    for case in cases:
        lead, tokens = opening(scorer, case.data["text"])
        start = 0 if lead else 1
        context, target = (*lead, *tokens[:start]), tokens[start:]
        around = [exchanged(target, Random(f"{case.id} {number}")) for number in range(5)]
        own, *others = scorer.ask([TokenRequest(context, each) for each in (target, *around)])
        mean = sum(each.logprobs.mean() for each in others) / 5
        assert rows.loc[case.id, "neighbours"] == pytest.approx(own.logprobs.mean() - mean, abs=1e-4)
    assert probe.cost(cases) == 6 * Membership().cost(cases)
