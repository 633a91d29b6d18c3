"""Intervals of lm-eval's metrics of whole sets of documents; the documents are what is drawn.

BLEU, chrF and TER are formulas of counts that add up over documents, which sacrebleu, that lm-eval computes them with,
gives for each: so the sums can be weighed as those of any other metric.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.api.estimates import POSITIVE
from harness.api.means import ratio_interval
from harness.api.metrics import RowValues
from harness.stats.intervals import FloatArray, Interval, clopper_pearson, median_interval
from suites.quality.classification.correlation import matthews
from suites.quality.generation.overlap import (
    corpus_bleu,
    corpus_chrf,
    corpus_interval,
    farthest_bleu,
    farthest_chrf,
)

Items = Sequence[Any]
"""What lm-eval gives its aggregation of each document."""
_EQUAL = 1e-6
"""How far, of 100, the formula over sums may lie from sacrebleu's own value, which it is the formula of."""


def interval_of(how: str, items: Items, value: float) -> Interval | None:
    """Of an aggregation of lm-eval whose value over `items` this is; None where they cannot bound it."""
    made = _INTERVALS.get(how)
    found = None if made is None or not math.isfinite(value) else made(items)
    if found is None:
        return None
    interval, expected = found
    if expected is not None and abs(expected - value) > _EQUAL:
        return None
    return Interval(min(interval.low, value), max(interval.high, value), interval.method, interval.level)


_Found = tuple[Interval, float | None] | None
"""The interval, and the value that it is around where this is computed again."""


def _bleu(items: Items) -> _Found:
    from sacrebleu.metrics import BLEU

    scorer = BLEU()
    counted = [scorer.corpus_score([text], [[each] for each in golds]) for text, golds in _texts(items)]
    units = np.array([[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in counted], dtype=np.float64)
    return _of_counts(units, corpus_bleu, farthest_bleu)


def _chrf(items: Items, word_order: int = 0) -> _Found:
    from sacrebleu.metrics import CHRF

    scorer = CHRF(word_order=word_order)
    units = [scorer._extract_corpus_statistics([text], [[each] for each in golds])[0] for text, golds in _texts(items)]
    return _of_counts(np.array(units, dtype=np.float64), corpus_chrf, farthest_chrf)


def _of_counts(
    units: FloatArray,
    formula: Callable[[FloatArray], FloatArray],
    farthest: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
) -> _Found:
    """lm-eval's scores are of 100."""

    def of_sums(sums: FloatArray) -> FloatArray:
        return 100 * formula(sums)

    interval = corpus_interval(units, of_sums, farthest)
    return None if interval is None else (interval, float(of_sums(units.sum(axis=0)[None])[0]))


def _ter(items: Items) -> _Found:
    """Edits over words of the references, which no text bounds above."""
    from sacrebleu.metrics import TER

    scorer = TER()
    units = np.array(
        [scorer._extract_corpus_statistics([text], [[each] for each in golds])[0] for text, golds in _texts(items)],
        dtype=np.float64,
    )
    words = units[:, 1].sum()
    if not words:
        return None
    values = RowValues(100 * units[:, 0], units[:, 1], None, None, POSITIVE)
    units[:, 0] *= 100
    found = ratio_interval(units, values)
    return None if found is None else (found, float(units[:, 0].sum() / words))


def _texts(items: Items) -> list[tuple[str, list[str]]]:
    """Text and references of each document, as lm-eval hands them to sacrebleu."""
    from lm_eval.api.metrics import _sacreformat

    references, texts = _sacreformat(*(list(each) for each in zip(*items, strict=True)))
    return [(text, [stream[at] for stream in references]) for at, text in enumerate(texts)]


def _f1(items: Items) -> _Found:
    """F1 is 2 J / (1 + J) of the share J of documents that are both, among those labelled or predicted 1."""
    if any(value not in (0, 1) for item in items for value in item):
        return None
    either = sum(1 for label, predicted in items if label == 1 or predicted == 1)
    both = sum(1 for label, predicted in items if label == 1 and predicted == 1)
    share = clopper_pearson(both, either)
    low, high = (2 * end / (1 + end) for end in (share.low, share.high))
    return Interval(low, high, share.method, share.level), None


def _matthews(items: Items) -> _Found:
    """lm-eval's value is 0 where one class is all that is labelled or predicted; then it has no interval."""
    labels, predictions = (np.array(each) for each in zip(*items, strict=True))
    names = np.unique(np.concatenate([labels, predictions]))
    found = matthews(np.searchsorted(names, labels), np.searchsorted(names, predictions), len(names))
    return None if found is None else (found[1], found[0])


def _median(items: Items) -> _Found:
    found = median_interval(np.array(items, dtype=np.float64))
    return None if found is None else (found, None)


_INTERVALS: Mapping[str, Callable[[Items], _Found]] = {
    "f1": _f1,
    "matthews_corrcoef": _matthews,
    "bleu": _bleu,
    "chrf": _chrf,
    "chrf++": lambda items: _chrf(items, word_order=2),
    "ter": _ter,
    "median": _median,
}
