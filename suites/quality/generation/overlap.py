"""Overlap with references, counted by rouge-score and sacrebleu; the extra `quality`.

What is kept of a text are counts that add up over texts, so that a corpus' BLEU and chrF follow from rows without
either package: `corpus_bleu` and `corpus_chrf` are sacrebleu's formulas over such sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np

from harness.api.means import sums_interval
from harness.api.scorer import Floats
from harness.errors import UsageError
from harness.stats.intervals import Interval

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
MISSING = (
    "quality/generation: ROUGE, BLEU and chrF need the packages rouge-score and sacrebleu; "
    "pip install 'assay[quality]', or say params: {overlap: false}"
)
_ORDERS, _CHARACTERS, _BETA = 4, 6, 2


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of texts with their references.

    Attributes:
        rouge: mean F1 over the texts, by kind, the best reference of each.
        bleu: words written, words of the nearest reference, n-grams shared and n-grams written for n = 1 to 4.
        chrf: character n-grams written, of the reference and shared, for n = 1 to 6.
    """

    rouge: dict[str, float]
    bleu: list[int]
    chrf: list[int]


def require() -> None:
    """Raises UsageError where a package is missing."""
    try:
        _tools()
    except ImportError as error:
        raise UsageError(MISSING) from error


def overlap(texts: Sequence[str], references: Sequence[str]) -> Overlap:
    """Of one or more texts with the same references, one or more; counts are summed over the texts."""
    rouge, bleu, chrf = _tools()
    scores = [rouge.score_multi(list(references), text) for text in texts]
    counted = [bleu.corpus_score([text], [[each] for each in references]) for text in texts]
    grams = [chrf._extract_corpus_statistics([text], [[each] for each in references])[0] for text in texts]
    return Overlap(
        {name: fmean(float(score[name].fmeasure) for score in scores) for name in ROUGE},
        np.sum([[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in counted], axis=0).tolist(),
        np.sum(grams, axis=0).tolist(),
    )


def self_bleu(texts: Sequence[str]) -> float | None:
    """Mean BLEU, 0 to 1, of each text against the others (Zhu et al. 2018); None for fewer than two."""
    if len(texts) < 2:
        return None
    _, bleu, _ = _tools()
    rest = [[each for at, each in enumerate(texts) if at != left_out] for left_out in range(len(texts))]
    return fmean(
        float(bleu.corpus_score([text], [[each] for each in others]).score) / 100
        for text, others in zip(texts, rest, strict=True)
    )


def corpus_bleu(sums: Floats) -> Floats:
    """BLEU, 0 to 1, of sums [k, 10] of `Overlap.bleu`, [k]; an order without a match smoothed as mteval-v13a does."""
    written, wanted = sums[:, 0], sums[:, 1]
    right, total = sums[:, 2 : 2 + _ORDERS], sums[:, 2 + _ORDERS :]
    gone = right == 0
    smoothed = 1 / 2.0 ** np.cumsum(gone, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(gone, smoothed, right) / total)
        brevity = np.where(written < wanted, 1 - wanted / written, 0.0)
        scores = np.exp(logs.mean(axis=1) + brevity)
    return np.asarray(np.where((right[:, 0] > 0) & (total > 0).all(axis=1), scores, 0.0))


def corpus_chrf(sums: Floats) -> Floats:
    """chrF2, 0 to 1, of sums [k, 18] of `Overlap.chrf`, [k]; orders that a side has none of are left out.

    Sums [k, 24], of words and pairs of words too, give chrF++.
    """
    written, wanted, shared = (sums[:, at::3] for at in range(3))
    usable = (written > 0) & (wanted > 0)
    orders = np.maximum(usable.sum(axis=1), 1)
    precision, recall = (
        np.divide(shared, side, out=np.zeros_like(shared), where=usable).sum(axis=1) / orders
        for side in (written, wanted)
    )
    below = _BETA**2 * precision + recall
    return np.asarray(np.divide((1 + _BETA**2) * precision * recall, below, out=np.zeros(len(sums)), where=below > 0))


def farthest_bleu(most: Floats) -> tuple[Floats, Floats]:
    """A prompt as long as the longest of which nothing is shared, and one of which everything is.

    As long as the longest reference, too, where nothing so long was written: its n-grams are those of that length.
    """
    length = most[:2].max()
    total = np.maximum(most[6:], np.maximum(length - np.arange(_ORDERS), 0))
    return (
        np.concatenate([[length, length], 0 * total, total]),
        np.concatenate([[length, length], total, total]),
    )


def farthest_chrf(most: Floats) -> tuple[Floats, Floats]:
    """Texts as long as the longest, of which nothing is shared, and everything."""
    sides = most.reshape(-1, 3).max(axis=1)
    return np.stack([sides, sides, 0 * sides], axis=1).ravel(), np.stack([sides] * 3, axis=1).ravel()


def corpus_interval(
    units: Floats, formula: Callable[[Floats], Floats], farthest: Callable[[Floats], tuple[Floats, Floats]]
) -> Interval | None:
    """Of such a formula over prompts [n, columns]; None where none is long enough for any other score than 0."""
    ends = farthest(units.max(axis=0))
    least, most = formula(np.stack(ends))
    return sums_interval(units, formula, ends) if most > least else None


@cache
def _tools() -> tuple[Any, Any, Any]:
    """The scorers of ROUGE, BLEU and chrF. Raises ImportError."""
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    return RougeScorer(list(ROUGE)), BLEU(max_ngram_order=_ORDERS), CHRF(char_order=_CHARACTERS, beta=_BETA)
