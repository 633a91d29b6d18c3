"""Poisson batches with a cap: who is kept, how often, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from privacy.sampling import PoissonSampling, SamplingError, Shard, TruncatedPoissonSampling

RECORDS, EXPECTED, STEPS, CAP = 40, 8, 20_000, 9
ALPHA = 1e-4


@pytest.fixture(scope="module")
def drawn() -> list[list[int]]:
    sampling = TruncatedPoissonSampling(RECORDS, EXPECTED, STEPS, CAP)
    generator = np.random.default_rng(3)
    return [sampling.draw(step, generator, Shard()).tolist() for step in range(STEPS)]


def test_batches_are_binomial_up_to_the_cap(drawn: list[list[int]]) -> None:
    sizes = np.bincount([len(batch) for batch in drawn], minlength=CAP + 1)
    assert len(sizes) == CAP + 1  # none above it
    law = stats.binom(RECORDS, EXPECTED / RECORDS)
    expected = STEPS * np.append(law.pmf(np.arange(CAP)), law.sf(CAP - 1))
    few, many = expected < 20, expected >= 20
    observed = np.append(sizes[many], sizes[few].sum())
    assert stats.chisquare(observed, np.append(expected[many], expected[few].sum()), sum_check=False).pvalue > ALPHA


def test_of_a_cut_batch_each_record_is_kept_as_often(drawn: list[list[int]]) -> None:
    full = [batch for batch in drawn if len(batch) == CAP]
    assert all(len(set(batch)) == CAP for batch in full)
    counts = np.bincount(np.concatenate(full), minlength=RECORDS)
    # within a batch of fixed size counts vary by (1 - CAP / RECORDS) less than if drawn one by one
    squares = ((counts - counts.mean()) ** 2).sum() / (counts.mean() * (1 - CAP / RECORDS))
    assert stats.chi2.sf(squares, RECORDS - 1) > ALPHA


def test_pairs_of_a_cut_batch_are_as_frequent_as_any(drawn: list[list[int]]) -> None:
    inside = np.zeros((STEPS, RECORDS))
    for row, batch in zip(inside, drawn, strict=True):
        row[batch] = 1
    full = inside[inside.sum(axis=1) == CAP]
    pairs = (full.T @ full)[np.triu_indices(RECORDS, k=1)]
    expected = len(full) * CAP * (CAP - 1) / (RECORDS * (RECORDS - 1))
    assert abs(pairs - expected).max() < 5 * np.sqrt(expected)


def test_where_the_cap_is_not_reached_it_is_poisson() -> None:
    capped, free = TruncatedPoissonSampling(RECORDS, 4, 10, 39), PoissonSampling(RECORDS, 4, 10)
    for step in range(10):
        ours = capped.draw(step, np.random.default_rng(step), Shard())
        assert ours.tolist() == free.draw(step, np.random.default_rng(step), Shard()).tolist()


def test_the_accountant_reads_what_is_drawn_with() -> None:
    mechanism = TruncatedPoissonSampling(RECORDS, EXPECTED, STEPS, CAP).mechanism(1.25, 7)
    found = (mechanism.rate, mechanism.max_batch, mechanism.records, mechanism.compositions)
    assert found == (EXPECTED / RECORDS, CAP, RECORDS, 7)


@pytest.mark.parametrize("cap", [EXPECTED - 1, RECORDS])
def test_a_cap_that_is_none_is_refused(cap: int) -> None:
    with pytest.raises(SamplingError, match=f"max_batch is {cap}; it must be at least the batch size"):
        TruncatedPoissonSampling(RECORDS, EXPECTED, STEPS, cap)


def test_several_processes_are_refused() -> None:
    with pytest.raises(SamplingError, match="truncated Poisson sampling is drawn by one process, not by 2"):
        TruncatedPoissonSampling(RECORDS, EXPECTED, STEPS, CAP).draw(0, np.random.default_rng(0), Shard(1, 2))
