"""An attack that asks nothing is stopped all the same; the clock is a made-up one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from harness.api.case import make_cases
from suites.adversarial.attacks.result import attacked
from suites.adversarial.pooled import broker, fibres
from suites.adversarial.pooled.asking import handlers
from suites.adversarial.pooled.fibres import Clock, Finished, OutOfTime, check_time
from suites.adversarial.pooled.make import Setup, make_attacks
from suites.adversarial.pooled.run import run_pool
from suites.adversarial.recipes import UNTARGETED
from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.resources.textattack_env import missing
from tests.suites.adversarial.recipes.ingredients import SENTENCES, label, scorer

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

TOO_LONG = "OutOfTime('the limit of 35 seconds for one text was reached')"


class FakeClock:
    """Seconds that pass only where a component says so; `calls` of each component by its name."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: dict[str, int] = {}

    def spend(self, who: str, seconds: float) -> None:
        self.calls[who] = self.calls.get(who, 0) + 1
        self.now += seconds
        assert self.calls[who] < 50, f"{who} was not stopped"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    made = FakeClock()
    for module in (fibres, broker):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: made.now))
    return made


def build(parts: Parts, goal: Goal, *, clock: FakeClock, changing: float, sieving: float, steps: int) -> Any:
    """An attack whose search never asks; each step changes the text and filters, in so many seconds each."""
    textattack = parts.textattack

    class Change(textattack.transformations.WordSwap):  # type: ignore[misc,name-defined]
        def _get_transformations(self, current_text: Any, indices_to_modify: Any) -> list[Any]:
            clock.spend("change", changing)
            return [current_text.replace_word_at_index(0, f"word{clock.calls['change']}")]

    class Sieve(textattack.constraints.Constraint):  # type: ignore[misc,name-defined]
        def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
            clock.spend("sieve", sieving)
            return True

    class Search(textattack.search_methods.SearchMethod):  # type: ignore[misc,name-defined]
        is_black_box = True

        def perform_search(self, initial_result: Any) -> Any:
            text = initial_result.attacked_text
            for _ in range(steps):
                text = self.get_transformations(text, original_text=initial_result.attacked_text)[0]
            return initial_result

        def check_transformation_compatibility(self, transformation: Any) -> bool:
            return True

    function = textattack.goal_functions.UntargetedClassification(parts.victim)
    return textattack.Attack(function, [Sieve(True), Sieve(True)], Change(), Search())


def run(making: Callable[..., Any], limit: float | None) -> Finished[Any, Any]:
    text = SENTENCES[0]
    (case,) = make_cases([{"text": text, "label": label(text), "words_cut": 0}])
    setup = Setup(making, UNTARGETED, scorer().info)
    asked = broker.Broker(handlers(scorer(), lambda: list))
    (ended,) = run_pool([(case, 0)], partial(make_attacks, setup), attacked, asked, concurrent=1, limit=limit)
    return ended


def test_a_transformation_that_never_asks_is_stopped(clock: FakeClock) -> None:
    ended = run(partial(build, clock=clock, changing=10.0, sieving=0.0, steps=100), 35.0)
    assert repr(ended.error) == TOO_LONG
    assert clock.calls == {"change": 4, "sieve": 6}  # the fourth change ends at 40 seconds, and is not filtered
    assert ended.clock.own == ended.clock.total == 40.0


def test_a_constraint_that_never_asks_is_stopped_before_the_next_one(clock: FakeClock) -> None:
    ended = run(partial(build, clock=clock, changing=0.0, sieving=20.0, steps=100), 35.0)
    assert repr(ended.error) == TOO_LONG
    assert clock.calls == {"change": 1, "sieve": 2}
    clock.calls.clear()
    ended = run(partial(build, clock=clock, changing=0.0, sieving=40.0, steps=100), 35.0)
    assert repr(ended.error) == TOO_LONG
    assert clock.calls == {"change": 1, "sieve": 1}


@pytest.mark.parametrize("limit", [None, 1000.0])
def test_an_attack_within_its_time_or_without_a_limit_ends_by_itself(clock: FakeClock, limit: float | None) -> None:
    ended = run(partial(build, clock=clock, changing=10.0, sieving=5.0, steps=20), limit)
    assert ended.error is None
    assert ended.result is not None
    assert ended.result["outcome"] == "failed"
    assert clock.calls == {"change": 20, "sieve": 40}
    assert ended.clock.own == 400.0


def test_a_clock_counts_the_seconds_since_it_was_resumed(clock: FakeClock) -> None:
    one = Clock(limit=5.0)
    one.resume()
    clock.now += 4
    assert (one.own, one.total) == (0.0, 4.0)
    one.pause()
    clock.now += 100
    assert (one.own, one.total) == (4.0, 4.0)
    one.check()
    one.resume()
    clock.now += 2
    with pytest.raises(OutOfTime):
        one.check()


def test_after_an_attack_that_ran_out_of_time_no_time_is_kept(clock: FakeClock) -> None:
    ended = run(partial(build, clock=clock, changing=10.0, sieving=0.0, steps=100), 35.0)
    with pytest.raises(OutOfTime):
        ended.clock.check()
    check_time()
