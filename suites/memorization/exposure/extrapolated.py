"""Exposure beyond the references: a skew-normal fitted to their losses, where they look like one, and not far.

-log2 F(loss), as in Carlini et al. 2019, section 4.3. Fitted tails mislead: of 1,000 references a true 15 bits come
out right for normal losses, as 27 for logistic ones and 66 for Student's t with 5 degrees of freedom. So the fit is
tested, by parametric bootstrap, and never says more than log2 n + 3 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, owens_t

from harness.errors import UsageError
from suites.memorization.exposure.ranks import Exposure, Way

Floats = NDArray[np.float64]

MOST_BITS_BEYOND = 3.0
"""Past log2 n. Eight times rarer than the rarest reference is as far as the shape of n losses was seen to carry."""
FEWEST_REFERENCES = 500
"""Of logistic losses the tests then refuse four fifths, of t5 all; at 200, half and four fifths (60 samples each)."""
REJECTED_BELOW = 0.05
"""P-value of either test of the fit, so at most a tenth of good fits are refused."""
_DRAWS = 199
_STEEPEST = 0.99
"""Skewness; a skew-normal has less than 0.9953."""
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Fit:
    """A skew-normal by location, scale and shape (Azzalini 1985); arrays of equal shape fit many samples."""

    location: Floats
    scale: Floats
    shape: Floats

    def below(self, losses: ArrayLike) -> Floats:
        """Chance of a loss at most as large; against rounding, above 0."""
        z = (np.asarray(losses, dtype=np.float64) - self.location) / self.scale
        return np.asarray(np.clip(ndtr(z) - 2 * owens_t(z, self.shape), _TINY, 1.0), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fitness:
    """P-values of two tests that references are skew-normal: over the whole range, and of the tails' weight."""

    anderson_darling: float
    kurtosis: float

    @property
    def rejected(self) -> bool:
        """Whether either speaks against it."""
        return min(self.anderson_darling, self.kurtosis) < REJECTED_BELOW


def fit(losses: ArrayLike) -> Fit:
    """The skew-normal with the mean, variance and skewness of losses [..., n]; of samples, one each."""
    values = np.asarray(losses, dtype=np.float64)
    mean, deviation = values.mean(axis=-1, keepdims=True), values.std(axis=-1, keepdims=True)
    skewness = np.clip((((values - mean) / deviation) ** 3).mean(axis=-1, keepdims=True), -_STEEPEST, _STEEPEST)
    power = np.abs(skewness) ** (2 / 3)
    delta = np.sign(skewness) * np.sqrt(math.pi / 2 * power / (power + ((4 - math.pi) / 2) ** (2 / 3)))
    scale = deviation / np.sqrt(1 - 2 * delta**2 / math.pi)
    return Fit(mean - scale * delta * math.sqrt(2 / math.pi), scale, delta / np.sqrt(1 - delta**2))


def fitness(references: ArrayLike, seed: int) -> Fitness:
    """How well a skew-normal fits losses [n], against as many drawn from the fit and fitted anew."""
    values = np.asarray(references, dtype=np.float64)
    fitted = fit(values)
    drawn = _draw(fitted, (_DRAWS, len(values)), np.random.default_rng(seed))
    distances, ours = _distance(drawn, fit(drawn)), _distance(values[None, :], fitted)[0]
    weights, weight = _kurtosis(drawn), _kurtosis(values[None, :])[0]
    heavier, lighter = float((weights >= weight).sum()), float((weights <= weight).sum())
    return Fitness(
        (1 + float((distances >= ours).sum())) / (1 + _DRAWS),
        min(1.0, 2 * (1 + min(heavier, lighter)) / (1 + _DRAWS)),
    )


def extrapolated(canaries: ArrayLike, references: ArrayLike, seed: int, level: float = 0.95) -> list[Exposure]:
    """Exposure of each canary's loss [c], by the fit to references [n] drawn at random, with a bootstrap interval.

    Nothing is said beyond log2 n + 3 bits. Raises UsageError with the reason where there are too few references, their
    losses are all alike or not finite, or are no skew-normal's.
    """
    values, ours = np.asarray(references, dtype=np.float64), np.asarray(canaries, dtype=np.float64)
    refusal = why_not(values, seed)
    if refusal is not None:
        raise UsageError(refusal)
    most = math.log2(len(values)) + MOST_BITS_BEYOND
    rng = np.random.default_rng([seed, 1])
    again = fit(values[rng.integers(0, len(values), (_DRAWS, len(values)))])
    found = []
    for canary in ours:
        bits = -math.log2(float(fit(values).below(canary)[0]))
        spread = -np.log2(again.below(canary)[:, 0])
        low, high = (float(np.quantile(spread, end)) for end in ((1 - level) / 2, (1 + level) / 2))
        capped = bits >= most
        ends = min(low, bits, most), math.inf if capped or high >= most else max(high, bits)
        found.append(Exposure(min(bits, most), *ends, Way.EXTRAPOLATED, len(values), capped))
    return found


def why_not(references: ArrayLike, seed: int) -> str | None:
    """Why no exposure can be extrapolated from losses [n]; None: it can."""
    values = np.asarray(references, dtype=np.float64)
    if len(values) < FEWEST_REFERENCES:
        return f"{len(values)} references show no tail; draw at least {FEWEST_REFERENCES}, or take the sampled exposure"
    if not np.isfinite(values).all() or values.std() <= 1e-9 * np.abs(values).max():
        return "the references' losses are not finite or all alike; take the sampled exposure"
    tests = fitness(values, seed)
    if tests.rejected:
        return (
            f"the references' losses are no skew-normal's (p {tests.anderson_darling:.3f} by Anderson-Darling, "
            f"{tests.kurtosis:.3f} by kurtosis), so their tail is unknown; take the sampled exposure"
        )
    return None


def _draw(fitted: Fit, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Samples of the fit: delta |U| + sqrt(1 - delta^2) V with U, V normal."""
    delta = fitted.shape / np.sqrt(1 + fitted.shape**2)
    first, second = np.abs(rng.normal(size=shape)), rng.normal(size=shape)
    return np.asarray(fitted.location + fitted.scale * (delta * first + np.sqrt(1 - delta**2) * second))


def _distance(values: Floats, fitted: Fit) -> Floats:
    """Anderson & Darling's A^2 [s] of samples [s, n] from their fits."""
    below = np.minimum(fitted.below(np.sort(values, axis=1)), 1 - 1e-15)
    n = values.shape[1]
    weights = 2 * np.arange(1, n + 1) - 1
    return np.asarray(-n - (weights * (np.log(below) + np.log1p(-below[:, ::-1]))).sum(axis=1) / n, dtype=np.float64)


def _kurtosis(values: Floats) -> Floats:
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray((centred**4).mean(axis=1) / (centred**2).mean(axis=1) ** 2, dtype=np.float64)
