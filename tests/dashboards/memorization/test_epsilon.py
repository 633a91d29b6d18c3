from __future__ import annotations

import math
from typing import Any

import pandas as pd

from dashboards.memorization.epsilon import CLAIMED, MOST, PROVEN, RECOMPUTED, bounds, standing, table
from harness.api.metrics import Alarm, Better, Metric
from harness.provenance.claim import ClaimRecord, TrainingRecord
from harness.provenance.claim_check import ClaimCheck

PROBE = "memorization/epsilon_audit"


def claim(epsilon: float = 8.0, check: ClaimCheck | None = None, **fields: Any) -> TrainingRecord:
    values = {"delta": 1e-5, "accountant": "prv", "unit": "each record", "units": 900, **fields}
    return TrainingRecord(privacy=ClaimRecord(epsilon=epsilon, check=check or ClaimCheck.holds(7.9), **values))


def lower(value: float | None, alarm: Alarm | None = None, name: str = "epsilon_lower") -> Metric:
    note = "why" if value is None else "note"
    return Metric(key=f"{PROBE}/{name}", value=value, n=100, better=Better.LOWER, note=note, alarm=alarm)


def shapes(found: pd.DataFrame) -> list[tuple[str, float]]:
    return list(zip(found["shape"], found["epsilon"], strict=True))


def test_every_bound_is_a_line_with_the_side_it_bounds() -> None:
    metrics = [lower(1.2), lower(2.95, name="epsilon_ceiling"), lower(2.0, name="epsilon_lower_gaussian")]
    found = bounds(claim(), [*metrics, lower(None, name="epsilon_lower_own_curve"), lower(9, name="guesses")], PROBE)
    assert shapes(found) == [(CLAIMED, 8.0), (RECOMPUTED, 7.9), (PROVEN, 1.2), (MOST, 2.95), (PROVEN, 2.0)]
    assert list(found["n"]) == [900, 900, 100, 100, 100]


def test_without_a_claim_nothing_bounds_from_above() -> None:
    assert shapes(bounds(TrainingRecord(privacy=None), [lower(1.0)], PROBE)) == [(PROVEN, 1.0)]
    assert bounds(claim(math.inf), [], PROBE).empty
    assert bounds(None, [lower(1.0)], "third/audit").empty


def test_an_alarm_stands_before_everything_else() -> None:
    alarm = Alarm(bound=1.0, reason="more was guessed than that allows")
    for training in (claim(1.0), claim(1.0, ClaimCheck.fails("no ledger")), None):
        found = standing(training, [lower(2.0, alarm)])
        assert found.kind == "alarm"
        assert "more was guessed than that allows" in found.words


def test_a_claim_that_nobody_verified_is_no_claim_to_rest_on() -> None:
    found = standing(claim(check=ClaimCheck.fails("its ledger is gone")), [lower(0.1)])
    assert found.kind == "unverified"
    assert "its ledger is gone" in found.words


def test_no_claim_and_a_claim_without_canaries_are_said() -> None:
    assert standing(None, []).kind == standing(claim(math.inf), [lower(1.0)]).kind == "none"
    assert standing(TrainingRecord(privacy=None), [lower(1.0)]).words == "This checkpoint claims no privacy."
    assert "no canary has tested it" in standing(claim(), [lower(None)]).words
    assert "lies below it" in standing(claim(), [lower(0.5)]).words


def test_a_bound_is_rounded_to_its_safe_side() -> None:
    found = bounds(claim(7.9941), [lower(1.9999)], PROBE)
    assert list(table(found)["epsilon"]) == ["7.995", "7.900", "1.999"]
