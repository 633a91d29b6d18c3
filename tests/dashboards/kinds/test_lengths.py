from __future__ import annotations

import numpy as np
import pytest

from dashboards.kinds import Column, Declaration
from dashboards.kinds.lengths import BINS, bits_by_length, sizes

RNG = np.random.default_rng(3)


def test_bits_of_a_known_source_lie_in_the_intervals() -> None:
    """Each byte costs 1 bit on average, whatever the length: nats are sums of Gamma(2, ln 2 / 2) per byte."""
    size = RNG.integers(20, 400, size=3000)
    nats = RNG.gamma(2.0 * size, np.log(2) / 2)
    found = bits_by_length(nats, size)
    assert len(found) == BINS
    assert found["n"].sum() == 3000
    assert found["length"].is_monotonic_increasing
    assert found["bits"].to_numpy() == pytest.approx(1.0, abs=0.02)
    assert ((found["low"] < 1) & (found["high"] > 1)).mean() >= 0.8
    first = size <= np.quantile(size, 0.1, method="inverted_cdf")
    assert found["bits"].iloc[0] == pytest.approx(nats[first].sum() / np.log(2) / size[first].sum())


def test_one_text_of_a_length_has_a_value_and_no_upper_end() -> None:
    found = bits_by_length([np.log(2), 4 * np.log(2)], [1, 2])
    assert found["bits"].tolist() == pytest.approx([1.0, 2.0])
    assert found["high"].isna().all()


def test_summed_nats_need_a_length_in_its_own_unit() -> None:
    columns = [
        Column("nll", "double", "nats"),
        Column("bytes", "int64", "bytes"),
        Column("tokens", "int64", "tokens"),
        Column("words", "int64"),
    ]
    assert sizes(Declaration("s/p", {column.name: column for column in columns})) == ["bytes", "tokens"]
    assert sizes(Declaration("s/p", {column.name: column for column in columns[1:]})) == []
