"""Poisson batches against the binomial law they claim, with other samplers as the control that must fail."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from privacy.sampling import PoissonSampling, SamplingError, Shard, fresh_generator, fresh_torch_generator

RECORDS, EXPECTED, STEPS = 60, 6, 20_000
ALPHA = 1e-4
"""Chance of a false alarm of each test; the generators are fixed, so there is none from run to run."""


def inclusions(sampling: PoissonSampling, steps: int, world: int = 1) -> NDArray[np.bool_]:
    """Who is in which batch [steps, records], over all ranks, each with its own generator."""
    drawn = np.zeros((steps, sampling.records), dtype=bool)
    for rank in range(world):
        generator = np.random.default_rng([7, world, rank])
        for step in range(steps):
            drawn[step, sampling.draw(step, generator, Shard(rank, world))] = True
    return drawn


@pytest.fixture(scope="module", params=[1, 4])
def drawn(request: pytest.FixtureRequest) -> NDArray[np.bool_]:
    return inclusions(PoissonSampling(RECORDS, EXPECTED, STEPS), STEPS, request.param)


def marginal_p(drawn: NDArray[np.bool_], rate: float) -> float:
    """Chi-square of the count of each record."""
    counts = drawn.sum(axis=0)
    squares = (counts - len(drawn) * rate) ** 2 / (len(drawn) * rate * (1 - rate))
    return float(stats.chi2.sf(squares.sum(), len(counts)))


def total_p(drawn: NDArray[np.bool_], rate: float) -> float:
    return float(stats.binomtest(int(drawn.sum()), drawn.size, rate).pvalue)


def pairs_p(left: NDArray[np.float64], right: NDArray[np.float64], upper: bool) -> float:
    """Sum of squared correlations of standardised columns; near chi-square when no two columns hang together."""
    correlations = left.T @ right / np.sqrt(len(left))
    chosen = correlations[np.triu_indices(len(correlations), k=1)] if upper else correlations.ravel()
    statistic = (float((chosen**2).sum()) - len(chosen)) / np.sqrt(2 * len(chosen))
    return float(2 * stats.norm.sf(abs(statistic)))


def size_p(drawn: NDArray[np.bool_], rate: float) -> float:
    """Chi-square of batch sizes against Binomial(records, rate), rare sizes together."""
    sizes, n = drawn.sum(axis=1), drawn.shape[1]
    expected = len(drawn) * stats.binom.pmf(np.arange(n + 1), n, rate)
    observed = np.bincount(sizes, minlength=n + 1)
    common = expected >= 20
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    return float(stats.chisquare(observed, expected, sum_check=False).pvalue)


def standardised(drawn: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    values: NDArray[np.float64] = (drawn - rate) / np.sqrt(rate * (1 - rate))
    return values


def test_every_record_has_the_same_rate(drawn: NDArray[np.bool_]) -> None:
    assert marginal_p(drawn, EXPECTED / RECORDS) > ALPHA
    assert total_p(drawn, EXPECTED / RECORDS) > ALPHA


def test_no_two_records_hang_together(drawn: NDArray[np.bool_]) -> None:
    values = standardised(drawn, EXPECTED / RECORDS)
    assert pairs_p(values, values, upper=True) > ALPHA


def test_no_step_tells_of_the_next(drawn: NDArray[np.bool_]) -> None:
    values = standardised(drawn, EXPECTED / RECORDS)
    assert pairs_p(values[:-1], values[1:], upper=False) > ALPHA


def test_batch_sizes_are_binomial(drawn: NDArray[np.bool_]) -> None:
    assert size_p(drawn, EXPECTED / RECORDS) > ALPHA


def test_batches_of_a_fixed_size_would_be_found() -> None:
    generator = np.random.default_rng(0)
    drawn = np.zeros((STEPS, RECORDS), dtype=bool)
    for row in drawn:
        row[generator.choice(RECORDS, EXPECTED, replace=False)] = True
    rate = EXPECTED / RECORDS
    values = standardised(drawn, rate)
    assert marginal_p(drawn, rate) > ALPHA  # the rate alone does not give them away
    assert pairs_p(values, values, upper=True) < 1e-9
    assert size_p(drawn, rate) < 1e-9


def test_a_rate_two_percent_off_would_be_found() -> None:
    drawn = np.random.default_rng(0).random((STEPS, RECORDS)) < 1.02 * EXPECTED / RECORDS
    assert total_p(drawn, EXPECTED / RECORDS) < 1e-9


def test_a_record_drawn_a_fifth_more_often_would_be_found() -> None:
    rates = np.full(RECORDS, EXPECTED / RECORDS)
    rates[0], rates[1] = 1.2 * rates[0], 0.8 * rates[1]
    drawn = np.random.default_rng(0).random((STEPS, RECORDS)) < rates
    assert marginal_p(drawn, EXPECTED / RECORDS) < 1e-9


def test_ranks_that_share_a_generator_would_be_found() -> None:
    sampling = PoissonSampling(RECORDS, EXPECTED, STEPS)
    drawn = np.zeros((STEPS, RECORDS), dtype=bool)
    for rank in range(2):
        generator = np.random.default_rng(0)
        for step in range(STEPS):
            drawn[step, sampling.draw(step, generator, Shard(rank, 2))] = True
    values = standardised(drawn, sampling.rate)
    assert pairs_p(values, values, upper=True) < 1e-9


@pytest.mark.parametrize("world", [1, 4])
def test_empty_batches_come_as_often_as_they_must(world: int) -> None:
    drawn = inclusions(PoissonSampling(20, 2, STEPS), STEPS, world)
    empty = int((drawn.sum(axis=1) == 0).sum())
    assert stats.binomtest(empty, STEPS, (1 - 2 / 20) ** 20).pvalue > ALPHA


class GivenNumbers:
    """Stands in for a generator; gives the same number for every record."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self, size: int) -> NDArray[np.float64]:
        return np.full(size, self.number)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_accountant_reads_the_rate_that_is_drawn_with(data: st.DataObject) -> None:
    records = data.draw(st.integers(1, 500))
    expected = data.draw(st.integers(1, records))
    steps = data.draw(st.integers(1, 10**6))
    spent = data.draw(st.integers(1, steps))
    world = data.draw(st.integers(1, 4))
    sampling = PoissonSampling(records, expected, steps)
    mechanism = sampling.mechanism(1.25, spent, group=3)
    assert (mechanism.noise_multiplier, mechanism.compositions, mechanism.group) == (1.25, spent, 3)
    assert sampling.mechanism(1.25).compositions == steps
    below, at = GivenNumbers(np.nextafter(mechanism.rate, 0)), GivenNumbers(mechanism.rate)
    shards = [Shard(rank, world) for rank in range(world)]
    everyone = np.concatenate([sampling.draw(0, below, shard) for shard in shards])
    assert sorted(everyone.tolist()) == list(range(records))
    assert all(len(sampling.draw(0, at, shard)) == 0 for shard in shards)


def test_a_batch_of_all_records_is_all_records() -> None:
    sampling = PoissonSampling(11, 11, 2)
    assert sampling.mechanism(1.0).rate == 1.0
    assert sampling.draw(0, fresh_generator(), Shard()).tolist() == list(range(11))


def test_a_million_records_are_drawn_at_the_rate() -> None:
    sampling = PoissonSampling(1_000_000, 1000, 10)
    generator = np.random.default_rng(0)
    sizes = [len(sampling.draw(step, generator, Shard())) for step in range(10)]
    assert stats.binomtest(sum(sizes), 10_000_000, 1e-3).pvalue > ALPHA


@pytest.mark.parametrize(
    ("records", "expected", "steps", "sentence"),
    [
        (100, 512, 10, r"the batch of 512 records is larger than the data \(100 records\); lower batch_size to 100"),
        (0, 1, 10, "records: 0 is too few to train on"),
        (10, 0, 10, "expected batch size: 0 is too few"),
        (10, 1, 0, "steps: 0 is too few"),
    ],
)
def test_what_cannot_be_drawn_is_refused(records: int, expected: int, steps: int, sentence: str) -> None:
    with pytest.raises(SamplingError, match=sentence):
        PoissonSampling(records, expected, steps)


def test_steps_beyond_the_plan_have_no_mechanism() -> None:
    with pytest.raises(SamplingError, match="11 steps are not among the 10 planned"):
        PoissonSampling(100, 10, 10).mechanism(1.0, 11)


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_none_is_refused(rank: int, world: int) -> None:
    with pytest.raises(SamplingError, match=f"rank {rank} is not one of {world} processes"):
        Shard(rank, world)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_shards_hold_each_record_once(world: int) -> None:
    sampling = PoissonSampling(7, 7, 1)
    shares = [sampling.draw(0, fresh_generator(), Shard(rank, world)).tolist() for rank in range(world)]
    assert sorted(chain.from_iterable(shares)) == list(range(7))
    assert [len(share) for share in shares] == [Shard(rank, world).size(7) for rank in range(world)]


def test_global_seeds_do_not_reach_fresh_generators() -> None:
    found, noise = [], []
    for _ in range(2):
        np.random.seed(0)
        torch.manual_seed(0)
        found.append(fresh_generator().random(4).tolist())
        noise.append(torch.randn(4, generator=fresh_torch_generator()).tolist())
    assert found[0] != found[1]
    assert noise[0] != noise[1]


def test_a_seed_of_a_torch_generator_keeps_32_bits_and_a_fresh_one_all_its_words() -> None:
    low, high = (torch.Generator().manual_seed(seed) for seed in (5, 5 + 2**32))
    assert torch.equal(torch.randn(9, generator=low), torch.randn(9, generator=high))
    generator = fresh_torch_generator()
    words = generator.get_state().numpy()[24 : 24 + 8 * 624].view(np.uint64)
    assert len(set(words.tolist())) > 600
    assert (words < 2**32).all()
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words.astype(np.uint32), "pos": 624}}
    expected = [int(word) % 2**16 for word in twister.random_raw(1000)]
    assert torch.randint(0, 2**16, (1000,), generator=generator).tolist() == expected
