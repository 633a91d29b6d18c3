from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import log_softmax

from suites.memorization.signals.calibrated import against_neighbours, against_zlib
from suites.memorization.signals.tokens import loss, min_k, min_k_plus_plus


def moments(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of log p under p at each position, of log-distributions [t, vocabulary]."""
    chances = np.exp(logs)
    finite = np.where(chances > 0, logs, 0.0)
    means = (chances * finite).sum(axis=1)
    return means, (chances * (finite - means[:, None]) ** 2).sum(axis=1)


def test_min_k_by_hand() -> None:
    logprobs = [-1.0, -5.0, -2.0, -0.5, -3.0, -0.1, -4.0, -0.2, -0.3, -0.4]
    assert loss(logprobs) == pytest.approx(-1.65)
    assert min_k(logprobs, 0.2) == pytest.approx(-4.5)  # -5 and -4
    assert min_k(logprobs, 0.35) == pytest.approx(-4.0)  # int(3.5) = 3
    assert min_k(logprobs, 1.0) == pytest.approx(loss(logprobs))


def test_short_texts_have_one_lowest_token() -> None:
    assert min_k([-2.0], 0.2) == -2.0
    assert min_k([-2.0, -7.0, -1.0, -3.0], 0.2) == -7.0
    assert min_k_plus_plus([-2.0], [-1.0], [4.0], 0.2) == pytest.approx(-0.5)


def test_min_k_plus_plus_by_hand() -> None:
    """Of the quarters above: the likely token lies one deviation over the mean, each unlikely one as far below."""
    logs = np.log(np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]))
    means, variances = moments(logs)
    assert min_k_plus_plus(logs[[0, 1], [0, 1]], means, variances, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert min_k_plus_plus(logs[[0, 1], [0, 1]], means, variances, 0.5) == pytest.approx(-1.0)
    certain = np.array([[0.0, -np.inf]])  # no spread, no surprise
    assert min_k_plus_plus([0.0], *moments(certain)) == 0.0
    assert min_k_plus_plus([-1.0], [-1.0 - 1e-7], [-1e-9]) == pytest.approx(0.0, abs=1e-3)  # rounded below 0


def test_min_k_plus_plus_against_loops() -> None:
    rng = np.random.default_rng(0)
    logs = log_softmax(rng.normal(size=(23, 50)) * 3, axis=1)
    tokens = rng.integers(0, 50, 23)
    scores = []
    for row, token in zip(logs, tokens, strict=True):
        mean = sum(math.exp(x) * x for x in row)
        square = sum(math.exp(x) * x * x for x in row)
        scores.append((row[token] - mean) / math.sqrt(square - mean**2))
    expected = sum(sorted(scores)[:4]) / 4
    logprobs = logs[np.arange(23), tokens]
    assert min_k_plus_plus(logprobs, *moments(logs), 0.2) == pytest.approx(expected, rel=1e-9)


def test_impossible_tokens_are_no_nan() -> None:
    assert loss([-1.0, -math.inf]) == -math.inf == min_k([-1.0, -math.inf])
    logs = np.log(
        np.array([[0.5, 0.5, 0.0]]) + 0.0, where=np.array([[True, True, False]]), out=np.full((1, 3), -np.inf)
    )
    assert min_k_plus_plus([-math.inf], *moments(logs)) == -math.inf


@pytest.mark.parametrize("bad", [[], [math.nan], [[-1.0]]])
def test_no_tokens_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="needs tokens"):
        loss(bad)


def test_shares_and_moments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="share of tokens is 0"):
        min_k([-1.0], 0)
    with pytest.raises(ValueError, match="2,"):
        min_k_plus_plus([-1.0], [-1.0, -1.0], [1.0])
    with pytest.raises(ValueError, match="not finite"):
        min_k_plus_plus([-1.0], [-math.inf], [1.0])


def test_calibrated_signals() -> None:
    assert against_neighbours(-1.0, [-2.0, -4.0]) == pytest.approx(2.0)
    repeated, mixed = "ab" * 200, "".join(chr(33 + i * 7 % 90) for i in range(400))
    assert against_zlib(-2.0, mixed) > against_zlib(-2.0, repeated)  # hard for zlib, as likely for the model
    assert against_zlib(-2.0, "") == pytest.approx(-2.0 / 8)  # zlib's header and checksum
    with pytest.raises(ValueError, match="neighbours"):
        against_neighbours(-1.0, [])
