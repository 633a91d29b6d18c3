from __future__ import annotations

import math

import numpy as np
import pytest

from harness.api.requests.sampling import SampleRequest
from harness.scorer.filters import distribution, draw
from suites.memorization.continuation.chance import Floats, chance_in, draws_for, suffix_logprobs

VOCABULARY, LENGTH = 6, 3
TABLE: Floats = np.random.default_rng(4).normal(size=(VOCABULARY, VOCABULARY)) * 1.5
PROMPT = (2, 0)


def logits_after(token: int) -> Floats:
    """A toy model: what comes next hangs on the last token alone."""
    return np.asarray(TABLE[token])


def request(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, penalty: float = 1.0) -> SampleRequest:
    return SampleRequest(
        PROMPT, LENGTH, 0, temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=penalty
    )


def logprob(suffix: tuple[int, ...], sampling: SampleRequest) -> float:
    seen = (*PROMPT, *suffix)[-LENGTH - 1 : -1]
    return float(suffix_logprobs([logits_after(token) for token in seen], suffix, sampling).sum())


@pytest.mark.parametrize(
    "sampling",
    [request(), request(0.6), request(1.4, top_k=3), request(top_p=0.8), request(0.9, 4, 0.9), request(penalty=1.5)],
)
def test_the_chance_is_what_sampling_gives(sampling: SampleRequest) -> None:
    """Of 4,000 samples, token by token, each suffix is drawn as often as one pass over it says."""
    rng, counts = np.random.default_rng(0), dict[tuple[int, ...], int]()
    for _ in range(4000):
        seen = list(PROMPT)
        for _ in range(LENGTH):
            seen.append(draw(distribution(logits_after(seen[-1]), sampling, seen), rng.random()))
        drawn = tuple(seen[len(PROMPT) :])
        counts[drawn] = counts.get(drawn, 0) + 1
    every = [tuple(int(i) for i in index) for index in np.ndindex(*(VOCABULARY,) * LENGTH)]
    chances = {suffix: math.exp(logprob(suffix, sampling)) for suffix in every}
    assert sum(chances.values()) == pytest.approx(1.0)
    for suffix, chance in chances.items():
        assert counts.get(suffix, 0) / 4000 == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / 4000))


def test_temperature_top_k_and_top_p_by_hand() -> None:
    logits = [[math.log(8), math.log(4), math.log(2), math.log(1)]]
    by_one = {token: suffix_logprobs(logits, (token,), SampleRequest((), 1, 0))[0] for token in range(4)}
    assert [math.exp(each) for each in by_one.values()] == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15])
    half = suffix_logprobs(logits, (0,), SampleRequest((), 1, 0, temperature=0.5))[0]
    assert math.exp(half) == pytest.approx(64 / 85)
    two = SampleRequest((), 1, 0, top_k=2)
    assert math.exp(suffix_logprobs(logits, (1,), two)[0]) == pytest.approx(1 / 3)
    assert suffix_logprobs(logits, (2,), two)[0] == -math.inf
    most = SampleRequest((), 1, 0, top_p=0.9)  # 8 + 4 are 0.8 of all, so 2 stays too
    assert math.exp(suffix_logprobs(logits, (2,), most)[0]) == pytest.approx(2 / 14)
    assert suffix_logprobs(logits, (3,), most)[0] == -math.inf


def test_chances_of_many_draws() -> None:
    third = math.log(1 / 3)
    assert chance_in(2, third) == pytest.approx(5 / 9)
    assert chance_in(0, third) == 0.0 == chance_in(10, -math.inf)
    assert chance_in(1, 0.0) == 1.0
    assert chance_in(10, -60.0) == pytest.approx(10 * math.exp(-60.0))
    rng = np.random.default_rng(0)
    assert chance_in(20, math.log(0.05)) == pytest.approx(
        (rng.random((100_000, 20)) < 0.05).any(axis=1).mean(), abs=0.01
    )


def test_draws_needed_are_the_fewest() -> None:
    for p in (0.9, 0.3, 0.01, 1e-6):
        for chance in (0.1, 0.5, 0.99):
            n = int(draws_for(chance, math.log(p)))
            assert chance_in(n, math.log(p)) >= chance - 1e-9
            assert n == 1 or chance_in(n - 1, math.log(p)) < chance
    assert draws_for(5 / 9, math.log(1 / 3)) == 2
    assert draws_for(0.5, -math.inf) == math.inf == draws_for(0.5, -2000.0)
    assert draws_for(0.99, 0.0) == 1


def test_what_is_no_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 0"):
        chance_in(1, 0.1)
    with pytest.raises(ValueError, match="at most 0"):
        draws_for(0.5, math.nan)
    with pytest.raises(ValueError, match="chance is 1"):
        draws_for(1.0, -1.0)
    with pytest.raises(ValueError, match="-1 draws"):
        chance_in(-1, -1.0)
    with pytest.raises(ValueError, match="a row for each"):
        suffix_logprobs([[0.0, 1.0]], (0, 1), request())
