"""The truths that `coverage` tries each interval method on, through the functions that audits and gates call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom, multinomial, norm

from harness.api.means import ratio_interval, sums_interval, unit_sums
from harness.api.metrics import Better, Metric, RowValues
from harness.baseline.pairs import Pairs, Rule, compare_values
from harness.gate.levels import interval_at
from harness.stats.confidence import BINS
from harness.stats.differences import advantage, advantage_interval, newcombe
from harness.stats.intervals import FloatArray, Interval, Method, auc, auc_interval, clopper_pearson, median_interval
from harness.stats.paired import flip_regression, unpaired_regression
from privacy.frontier.two_way import two_way
from suites.adversarial.typos.metrics import worst_kind
from suites.bias.seat.interval import effect_interval
from suites.bias.stereoset.metrics import icat, icat_interval
from suites.memorization.blind.folds import auc_over_folds
from suites.quality.classification.calibration import calibration_error
from suites.quality.classification.correlation import matthews
from suites.quality.classification.f1 import macro_f1
from suites.quality.generation.overlap import corpus_bleu, farthest_bleu, overlap

Rng = np.random.Generator
Drawn = tuple[float, float, float]
"""Lower end, upper end (infinite where there is none) and the truth."""
DRAWS = 500
"""Of the Dirichlet weights; audits use more, which changes an end but not how often it is wrong."""
NOMINAL = 0.025
NONE = (-math.inf, math.inf)


@dataclass(frozen=True)
class Truth:
    """One thing to be right about.

    Attributes:
        method: of the interval.
        name: of the truth.
        draw: a simulated audit of n cases.
        exact: every outcome with its chance instead, for the sizes in `whole`.
        times: simulated audits at n = 20; fewer at 1000 where they are slow.
        slow: whether an audit of 1000 cases takes milliseconds.
        nominal: error allowed on each side.
        sizes: numbers of cases it is tried at.
        beyond: it is none that the interval is made for, and shows what the error then is.
    """

    method: Method
    name: str
    draw: Callable[[Rng, int], Drawn]
    exact: Callable[[int], Iterator[tuple[float, float, float, float]]] | None = None
    whole: tuple[int, ...] = ()
    times: int = 10_000
    slow: bool = False
    nominal: float = NOMINAL
    sizes: tuple[int, ...] = (20, 60, 200, 1000)
    beyond: bool = False

    def replicates(self, n: int) -> int:
        """Simulated audits; 0: all outcomes are summed."""
        if n in self.whole:
            return 0
        return min(self.times, 4000) if self.slow and n >= 1000 else self.times


def _ends(found: Interval | None) -> tuple[float, float]:
    return NONE if found is None else (found.low, found.high)


# Shares of independent cases


_share = cache(clopper_pearson)


def _binomial(share: float) -> Truth:
    def exact(n: int) -> Iterator[tuple[float, float, float, float]]:
        for hits in range(n + 1):
            yield float(binom.pmf(hits, n, share)), *_ends(_share(hits, n)), share

    def draw(rng: Rng, n: int) -> Drawn:
        return *_ends(_share(int(rng.binomial(n, share)), n)), share

    return Truth(Method.CLOPPER_PEARSON, f"a share of {share}", draw, exact, (20, 60, 200, 1000))


def _unknown_verdicts(rng: Rng, n: int) -> Drawn:
    """0.2 succeed, of which 0.9 keep the thresholds; a tenth of the successes has no verdict."""
    won = rng.binomial(n, 0.2)
    unknown = rng.binomial(won, 0.1)
    surely = rng.binomial(won - unknown, 0.9)
    return _share(int(surely), n).low, _share(int(surely + unknown), n).high, 0.18


@cache
def _newcombe(first: int, second: int, n: int) -> tuple[float, float]:
    return _ends(newcombe(first, n, second, n))


def _two_shares(first: float, second: float) -> Truth:
    def draw(rng: Rng, n: int) -> Drawn:
        return *_newcombe(int(rng.binomial(n, first)), int(rng.binomial(n, second)), n), first - second

    return Truth(Method.DIFFERENCE, f"{first} and {second}", draw)


@cache
def _flips(worse: int, better: int, n: int) -> tuple[float, float]:
    return _ends(flip_regression(worse, better, n).interval)


def _flipped(worse: float, better: float) -> Truth:
    cells = [worse, better, 1 - worse - better]

    def exact(n: int) -> Iterator[tuple[float, float, float, float]]:
        for a in range(n + 1):
            for b in range(n + 1 - a):
                chance = float(multinomial.pmf([a, b, n - a - b], n, cells))
                if chance > 1e-9:
                    yield chance, *_flips(a, b, n), worse - better

    def draw(rng: Rng, n: int) -> Drawn:
        a, b, _ = rng.multinomial(n, cells)
        return *_flips(int(a), int(b), n), worse - better

    return Truth(Method.FLIPS, f"{worse} worse, {better} better", draw, exact, (20, 60), slow=True)


# Means and ratios over units


def _mean(
    name: str,
    values: Callable[[Rng, int], FloatArray],
    truth: float,
    bounds: tuple[float, float],
    method: Method,
    level: float = 0.95,
) -> Truth:
    def draw(rng: Rng, n: int) -> Drawn:
        seen = values(rng, n)
        units = np.stack([seen, np.ones(n)], axis=1)
        found = ratio_interval(units, RowValues([], bounds=bounds), draws=DRAWS, seed=int(rng.integers(1 << 30)))
        if found is not None and level != found.level:
            point = float(seen.mean())
            metric = Metric(key="m", value=point, low=found.low, high=found.high, n=n, better=Better.LOWER)
            low, high = interval_at(metric, level)
            return low or 0.0, 1.0 if high is None else high, truth
        return *_ends(found), truth

    return Truth(method, name, draw, times=4000, slow=True, nominal=(1 - level) / 2)


def _clusters(rng: Rng, n: int, share: float, alike: float, largest: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """0 or 1 of the rows of n clusters of 1 to `largest` rows; a cluster has one value, or with 1 - alike its own."""
    sizes = np.where(rng.random(n) < 0.2, largest, 1)
    cluster = np.repeat(np.arange(n), sizes)
    whole = rng.random(n) < share
    own = rng.random(len(cluster)) < share
    return np.where(rng.random(n)[cluster] < alike, whole[cluster], own).astype(np.float64), cluster


def _clustered(share: float, alike: float, largest: int) -> Truth:
    def draw(rng: Rng, n: int) -> Drawn:
        hits, cluster = _clusters(rng, n, share, alike, largest)
        units = unit_sums(np.stack([hits, np.ones(len(hits))]), cluster.astype(object))
        values = RowValues([], clusters=[], bounds=(0.0, 1.0))
        return *_ends(ratio_interval(units, values, draws=DRAWS, seed=int(rng.integers(1 << 30)))), share

    kind = "all alike" if alike == 1 else f"{alike:g} of them alike"
    return Truth(Method.GAFFKE, f"{share} of clusters of 1 or {largest} rows, {kind}", draw, times=4000, slow=True)


def _per_token(rng: Rng, n: int) -> Drawn:
    """Nats per token over texts of very different lengths, whose difficulty is skewed."""
    tokens = np.ceil(np.exp(rng.normal(4, 1, n)))
    nats = tokens * np.exp(rng.normal(0, 0.5, n))
    values = RowValues([], finish=np.exp, bounds=(0.0, math.inf))
    found = ratio_interval(np.stack([nats, tokens], axis=1), values, draws=DRAWS, seed=int(rng.integers(1 << 30)))
    return *_ends(found), math.exp(math.exp(0.125))


def _nearly_all(rng: Rng, n: int) -> FloatArray:
    return (rng.random(n) < 0.98).astype(np.float64)


def _outliers(rng: Rng, n: int) -> FloatArray:
    return np.where(rng.random(n) < 0.02, 1.0, 0.01)


def _log_normal(rng: Rng, n: int) -> FloatArray:
    return np.asarray(np.exp(rng.normal(size=n)))


def _rare(scale: float) -> Callable[[Rng, int], FloatArray]:
    return lambda rng, n: rng.exponential(size=n) * 0.1 + scale * (rng.random(n) < 0.02)


# Paired rows


def _paired(
    name: str,
    method: Method,
    rows: Callable[[Rng, int], tuple[FloatArray, FloatArray, Any]],
    truth: float,
    bounds: tuple[float, float],
) -> Truth:
    metric = Metric(key="a/b/m", value=0.5, n=9, better=Better.LOWER)
    rule = Rule(margin=0.0, level=0.95, test="auto", draws=DRAWS)

    def draw(rng: Rng, n: int) -> Drawn:
        ours, theirs, clusters = rows(rng, n)
        frame = pd.DataFrame({"case_id": np.arange(len(ours)).astype(str)})
        sides = [RowValues(side, clusters=clusters, bounds=bounds) for side in (ours, theirs)]
        found = compare_values(metric, Pairs(frame, frame, 0, 0), sides[0], sides[1], rule)
        ends = NONE if found.low is None or found.high is None else (found.low, found.high)
        return *ends, truth

    return Truth(method, name, draw, times=3000, slow=True)


def _clustered_flips(rng: Rng, n: int) -> tuple[FloatArray, FloatArray, Any]:
    """In 0.04 of the clusters of 10 rows all become wrong, in 0.01 all become right."""
    kind = np.repeat(rng.choice(3, n, p=[0.04, 0.01, 0.95]), 10)
    return (kind == 0).astype(np.float64), (kind == 1).astype(np.float64), np.repeat(np.arange(n), 10)


def _gaps(rng: Rng, n: int) -> tuple[FloatArray, FloatArray, Any]:
    """Values in [0, 1]: most small and nearly the same in both audits, one in fifty 0.5 larger."""
    theirs = rng.beta(0.5, 9, n)
    return np.minimum(theirs + 0.5 * (rng.random(n) < 0.02), 1), np.minimum(theirs, 0.5), None


def _losses(rng: Rng, n: int) -> tuple[FloatArray, FloatArray, Any]:
    theirs = rng.exponential(size=n)
    return theirs + 0.3 * (rng.exponential(size=n) - 1) * theirs, theirs, None


def _rare_losses(rng: Rng, n: int) -> tuple[FloatArray, FloatArray, Any]:
    theirs = rng.exponential(size=n)
    return theirs + rng.normal(0, 0.01, n) + 5.0 * (rng.random(n) < 0.02), theirs, None


def _same(rng: Rng, n: int) -> tuple[FloatArray, FloatArray, Any]:
    values = rng.exponential(size=n)
    return values, values, None


# Classifiers


def _confusion(name: str, cells: FloatArray) -> Truth:
    classes = len(cells)
    per_class = cells.sum(axis=0) + cells.sum(axis=1)
    truth = float((2 * np.diag(cells)[per_class > 0] / per_class[per_class > 0]).mean())

    def draw(rng: Rng, n: int) -> Drawn:
        label, predicted = np.divmod(rng.choice(classes * classes, n, p=cells.ravel()), classes)
        return *_ends(macro_f1(label, predicted, classes)[1]), truth

    return Truth(Method.MACRO_F1, name, draw, times=10_000 if classes < 10 else 3000, slow=True)


def _correlated(name: str, cells: FloatArray) -> Truth:
    """Matthews' correlation of a table of chances [label, prediction]."""
    classes, labelled, predictions = len(cells), cells.sum(axis=1), cells.sum(axis=0)
    spread = (1 - (labelled**2).sum()) * (1 - (predictions**2).sum())
    truth = float((np.trace(cells) - (labelled * predictions).sum()) / math.sqrt(spread))

    def draw(rng: Rng, n: int) -> Drawn:
        label, predicted = np.divmod(rng.choice(classes * classes, n, p=cells.ravel()), classes)
        found = matthews(label, predicted, classes, draws=DRAWS)
        return (*(NONE if found is None else _ends(found[1])), truth)

    return Truth(Method.OF_SUMS, name, draw, times=3000, slow=True)


@cache
def _written(right: float) -> FloatArray:
    """Counts of BLEU, [5000, 10], of texts of 5 to 12 words that have each word of their reference with this chance."""
    rng, found = np.random.default_rng(0), []
    for _ in range(5000):
        gold = rng.integers(0, 12, rng.integers(5, 13))
        text = np.where(rng.random(len(gold)) < right, gold, rng.integers(0, 12, len(gold)))
        written, wanted = (" ".join(chr(ord("a") + at) for at in each) for each in (text, gold))
        found.append(overlap([written], [wanted]).bleu)
    return np.array(found, dtype=np.float64)


def _bleu(right: float) -> Truth:
    def draw(rng: Rng, n: int) -> Drawn:
        every = _written(right)
        units = every[rng.integers(0, len(every), n)]
        found = sums_interval(units, corpus_bleu, farthest_bleu(units.max(axis=0)), draws=DRAWS)
        return *_ends(found), float(corpus_bleu(every.sum(axis=0)[None])[0])

    return Truth(Method.OF_SUMS, f"BLEU, {right} of the words right", draw, times=3000, slow=True)


def _even(classes: int, right: float) -> FloatArray:
    cells = np.full((classes, classes), (1 - right) / classes / (classes - 1))
    np.fill_diagonal(cells, right / classes)
    return cells


def _two_classifiers(rng: Rng, n: int) -> Drawn:
    """Macro-F1 of 0.9 and 0.95 on two even classes; what the second gets wrong the first does too."""
    label, hard = rng.integers(0, 2, n), rng.random(n)
    found = [macro_f1(label, np.where(hard < right, label, 1 - label), 2) for right in (0.9, 0.95)]
    ends = [(1 - interval.high, 1 - value, 1 - interval.low) for value, interval in found]
    return *_ends(unpaired_regression(ends[0], ends[1], margin=0.0, level=0.95).interval), 0.05


def _calibration(name: str, confidence: Callable[[Rng, int], FloatArray], off: Callable[[FloatArray], Any]) -> Truth:
    grid = confidence(np.random.default_rng(0), 1_000_000)
    bins = np.clip(np.digitize(grid, np.linspace(0, 1, BINS + 1), right=True), 1, BINS) - 1
    truth = float(np.abs(np.bincount(bins, np.clip(grid + off(grid), 0, 1) - grid, BINS)).sum() / len(grid))

    def draw(rng: Rng, n: int) -> Drawn:
        mine = confidence(rng, n)
        right = rng.random(n) < np.clip(mine + off(mine), 0, 1)
        return *_ends(calibration_error(mine, right, draws=DRAWS).interval), truth

    return Truth(Method.CALIBRATION, name, draw, times=4000, slow=True)


def _uniform(rng: Rng, n: int) -> FloatArray:
    return 0.5 + 0.5 * rng.random(n)


def _sharp(rng: Rng, n: int) -> FloatArray:
    return 1 - 0.5 * rng.beta(0.3, 3, n)


def _kinds(rng: Rng, n: int) -> Drawn:
    """Three kinds of change with accuracies of 0.98, 0.97 and 0.95 on the same texts."""
    hard = rng.random(n)
    kinds = {"swap": 0.98, "delete": 0.97, "insert": 0.95}
    parts = [
        pd.DataFrame({"case_id": np.arange(n), "kind": kind, "right": (hard + 0.01 * rng.random(n)) % 1 < right})
        for kind, right in kinds.items()
    ]
    found = worst_kind(pd.concat(parts, ignore_index=True), list(kinds), 0)
    return found.low or 0.0, 1.0 if found.high is None else found.high, 0.95


# Scores


def _auc_of(shift: float) -> Truth:
    def draw(rng: Rng, n: int) -> Drawn:
        value = auc(rng.normal(shift, 1, n), rng.normal(0, 1, 2 * n))
        return *_ends(auc_interval(value, n, 2 * n)), float(norm.cdf(shift / math.sqrt(2)))

    return Truth(Method.AUC, f"normal scores {shift} apart", draw)


def _two_point_auc(rng: Rng, n: int) -> Drawn:
    value = auc((rng.random(n) < 0.98).astype(np.float64), np.full(n, 0.5))
    return *_ends(auc_interval(value, n, n)), 0.98


def _folded(rng: Rng, n: int) -> Drawn:
    """Five folds of n members and n others, each scored on a scale of its own."""
    parts = [(rng.normal(fold + 0.5, 1, n // 5), rng.normal(fold, 1, n // 5)) for fold in range(5)]
    _, low, high = auc_over_folds(parts)
    return low, high, float(norm.cdf(0.5 / math.sqrt(2)))


def _advantage(rng: Rng, n: int) -> Drawn:
    ours, others = rng.normal(0, 1, n), rng.normal(0.5, 1, n)
    return *_ends(advantage_interval(advantage(ours, others), n, n)), float(2 * norm.cdf(0.25) - 1)


def _median(rng: Rng, n: int) -> Drawn:
    return *_ends(median_interval(rng.exponential(size=n))), math.log(2)


# Seeds and examples


def _seeds(seeds: int, right: float, by_seed: float) -> Truth:
    """Accuracy of models that differ by seed on examples that differ in difficulty."""

    def draw(rng: Rng, n: int) -> Drawn:
        hard, shift = rng.normal(size=n), by_seed * rng.normal(size=(seeds, 1))
        limit = math.sqrt(2 + by_seed**2) * norm.ppf(right)
        values = hard + shift + rng.normal(size=(seeds, n)) < limit
        return *_ends(two_way(values, bounds=(0.0, 1.0), draws=DRAWS).interval), right

    name = f"{right} of {seeds} seeds{'' if by_seed else ', alike'}"
    return Truth(Method.TWO_WAY, name, draw, times=4000, slow=True)


def _icat(stereotype: float, language: float) -> Truth:
    """StereoSet's ICAT over n targets of three triples each, through both shares' intervals at 97.5 %."""

    def draw(rng: Rng, n: int) -> Drawn:
        both = []
        for share in (rng.binomial(6, language, n) / 6, rng.binomial(3, stereotype, n) / 3):
            units = np.stack([share, np.ones(n)], axis=1)
            seed = int(rng.integers(1 << 30))
            found = ratio_interval(units, RowValues([], bounds=(0.0, 1.0)), level=0.975, draws=DRAWS, seed=seed)
            low, high = _ends(found)
            both.append(Metric(key="m", value=float(share.mean()), low=low, high=high, n=n, better=Better.HIGHER))
        return *_ends(icat_interval(*both)), icat(language, stereotype)

    return Truth(Method.BOTH, f"ICAT of {language} and {stereotype}", draw, times=1000, slow=True)


def _association(
    name: str, delta: float, sides: Callable[[Rng, int], tuple[FloatArray, FloatArray]], *, beyond: bool = False
) -> Truth:
    """SEAT's effect of n words, half on each side, that lie `delta` standard deviations of a side apart.

    `sides`: associations of [words, texts of a word] of both sides, mean 0 and variance 1 on the average of them.
    """

    def draw(rng: Rng, n: int) -> Drawn:
        first, second = sides(rng, n // 2)
        words = [str(at) for at in range(n // 2) for _ in range(first.shape[1])]
        found = effect_interval((first.ravel() + delta, second.ravel()), (words, words))
        return *_ends(found), delta / math.sqrt(1 + delta**2 / 4)

    return Truth(Method.NONCENTRAL_T, name, draw, times=2000, sizes=(16, 32, 50, 100), beyond=beyond)


def _alike(make: Callable[..., Any], scale: tuple[float, float] = (1.0, 1.0)) -> Callable[[Rng, int], Any]:
    """Both sides of one distribution, with a text to a word, each times its scale."""
    return lambda rng, n: tuple(each * make(rng, (n, 1)) for each in scale)


def _normal(rng: Rng, size: tuple[int, int]) -> FloatArray:
    return rng.normal(size=size)


def _gamma(rng: Rng, size: tuple[int, int]) -> FloatArray:
    return (rng.gamma(4, size=size) - 4) / 2


def _exponential(rng: Rng, size: tuple[int, int]) -> FloatArray:
    return rng.exponential(size=size) - 1


def _heavy(rng: Rng, size: tuple[int, int]) -> FloatArray:
    return rng.standard_t(3, size) / math.sqrt(3)


def _outlying(rng: Rng, size: tuple[int, int]) -> FloatArray:
    drawn = rng.normal(size=size) + 10 * (rng.random(size) < 0.02)
    return np.asarray((drawn - 0.2) / math.sqrt(1 + 100 * 0.02 * 0.98))


def _sentences(alike: float) -> Callable[[Rng, int], tuple[FloatArray, FloatArray]]:
    """Three sentences of each word, this share of whose variance is the word's."""

    def draw(rng: Rng, n: int) -> tuple[FloatArray, FloatArray]:
        word, own = math.sqrt(alike), math.sqrt(1 - alike)
        first, second = (word * rng.normal(size=(n, 1)) + own * rng.normal(size=(n, 3)) for _ in range(2))
        return first, second

    return draw


TRUTHS: tuple[Truth, ...] = (
    *map(_binomial, (0.5, 0.9, 0.98, 0.995, 0.001)),
    Truth(Method.BOTH_WAYS, "0.18, a tenth of the successes unknown", _unknown_verdicts),
    _two_shares(0.5, 0.5),
    _two_shares(0.98, 0.02),
    _two_shares(0.02, 0.01),
    _two_shares(0.99, 0.99),
    _flipped(0.03, 0.0),
    _flipped(0.02, 0.02),
    _flipped(0.1, 0.08),
    _flipped(0.3, 0.02),
    _mean("0.98 of 0 and 1", _nearly_all, 0.98, (0.0, 1.0), Method.GAFFKE),
    _mean("skewed in [0, 1], mean 0.05", lambda rng, n: rng.beta(0.1, 1.9, n), 0.05, (0.0, 1.0), Method.GAFFKE),
    _mean(
        "0.01, but 1 in 2 %", lambda rng, n: np.where(rng.random(n) < 0.02, 1.0, 0.01), 0.0298, (0, 1), Method.GAFFKE
    ),
    _mean("zero variance in [0, 1]", lambda rng, n: np.full(n, 0.3), 0.3, (0.0, 1.0), Method.GAFFKE),
    _mean(
        "0.98 of 0 and 1, taken to 99 %",
        _nearly_all,
        0.98,
        (0.0, 1.0),
        Method.GAFFKE,
        level=0.99,
    ),
    _clustered(0.97, 1.0, 30),
    _clustered(0.03, 1.0, 30),
    _clustered(0.5, 0.5, 10),
    _mean("normal", lambda rng, n: rng.normal(size=n), 0.0, (-math.inf, math.inf), Method.TAIL),
    _mean("exponential", lambda rng, n: rng.exponential(size=n), 1.0, (0.0, math.inf), Method.TAIL),
    _mean(
        "log-normal, sigma 1", lambda rng, n: np.exp(rng.normal(size=n)), math.exp(0.5), (0.0, math.inf), Method.TAIL
    ),
    _mean("2 % far out", _rare(10.0), 0.3, (0.0, math.inf), Method.TAIL),
    _mean("zero variance", lambda rng, n: np.full(n, 0.3), 0.3, (0.0, math.inf), Method.TAIL),
    Truth(Method.TAIL, "perplexity over texts of skewed lengths", _per_token, times=4000, slow=True),
    _paired("clusters that flip: 0.04 worse, 0.01 better", Method.PAIRED_GAFFKE, _clustered_flips, 0.03, (0.0, 1.0)),
    _paired("gaps in [0, 1], 2 % larger", Method.PAIRED_GAFFKE, _gaps, 0.01, (0.0, 1.0)),
    _paired("losses, skewed differences", Method.PAIRED_TAIL, _losses, 0.0, (0.0, math.inf)),
    _paired("losses, 2 % far worse", Method.PAIRED_TAIL, _rare_losses, 0.1, (0.0, math.inf)),
    _paired("a model and itself", Method.PAIRED_TAIL, _same, 0.0, (0.0, math.inf)),
    Truth(Method.UNPAIRED, "macro-F1 of 0.90 and 0.95", _two_classifiers, times=4000, slow=True),
    _confusion("two even classes, 0.98 right", _even(2, 0.98)),
    _confusion("two even classes, 0.7 right", _even(2, 0.7)),
    _confusion("a class of 5 %, half found", np.array([[0.93, 0.02], [0.025, 0.025]])),
    _confusion("a class of 2 %, never found", np.array([[0.98, 0.0], [0.02, 0.0]])),
    _confusion("five even classes, 0.98 right", _even(5, 0.98)),
    _confusion("twenty even classes, 0.7 right", _even(20, 0.7)),
    _correlated("Matthews, two even classes, 0.98 right", _even(2, 0.98)),
    _correlated("Matthews, two even classes, 0.7 right", _even(2, 0.7)),
    _correlated("Matthews, a class of 5 %, half found", np.array([[0.93, 0.02], [0.025, 0.025]])),
    _bleu(0.9),
    _bleu(0.5),
    _icat(0.5, 0.9),
    _icat(0.6, 0.98),
    _association("normal, 0", 0.0, _alike(_normal)),
    _association("normal, 1.41", 2.0, _alike(_normal)),
    _association("exponential, 1.41", 2.0, _alike(_exponential)),
    _association("gamma of shape 4, tails apart, 0", 0.0, _alike(_gamma, (1.0, -1.0))),
    _association("t of 5 degrees, 1.41", 2.0, _alike(lambda rng, size: rng.standard_t(5, size) * math.sqrt(0.6))),
    _association("one side four times as spread, 0.89", 1.0, _alike(_normal, (4 / 8.5**0.5, 1 / 8.5**0.5))),
    _association("three sentences a word, half alike, 0.89", 1.0, _sentences(0.5)),
    _association("three sentences a word, 0.9 alike, 1.41", 2.0, _sentences(0.9)),
    _association("t of 3 degrees, 0.89", 1.0, _alike(_heavy), beyond=True),
    _association("exponential, tails apart, 0", 0.0, _alike(_exponential, (1.0, -1.0)), beyond=True),
    _association("one word in fifty ten deviations off, 0.89", 1.0, _alike(_outlying), beyond=True),
    _calibration("calibrated, uniform", _uniform, lambda confidence: 0.0),
    _calibration("calibrated, sharp", _sharp, lambda confidence: 0.0),
    _calibration("calibrated, always 0.98 sure", lambda rng, n: np.full(n, 0.98), lambda confidence: 0.0),
    _calibration("always sure, right in 0.98", lambda rng, n: np.ones(n), lambda confidence: -0.02),
    _calibration("0.1 too sure", lambda rng, n: 1 - 0.05 * rng.random(n), lambda confidence: -0.1),
    _calibration("too sure above 0.75", _uniform, lambda confidence: np.where(confidence > 0.75, -0.2, 0.0)),
    Truth(Method.WORST, "0.98, 0.97 and 0.95", _kinds, times=3000, slow=True),
    _auc_of(0.0),
    _auc_of(2.0),
    Truth(Method.AUC, "0.98, scores of two values", _two_point_auc),
    Truth(Method.AUC_FOLDS, "normal scores 0.5 apart in each fold", _folded),
    Truth(Method.ADVANTAGE, "normal losses 0.5 apart", _advantage),
    Truth(Method.MEDIAN, "exponential values", _median),
    _seeds(3, 0.9, 0.3),
    _seeds(2, 0.9, 0.3),
    _seeds(3, 0.98, 0.0),
)
