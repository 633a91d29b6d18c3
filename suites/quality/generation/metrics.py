"""Metrics of quality/generation from its rows; no package of the extra is needed for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Column, Computed, Declared, MeanOf, Named, RatioOf, Rows, of
from harness.api.estimates import POSITIVE, UNIT
from harness.api.lists import as_list, as_matrix
from harness.api.metrics import Better, Metric
from harness.api.scorer import Floats
from suites.quality.extractive_qa.squad import best, exact, f1
from suites.quality.generation.overlap import (
    ROUGE,
    corpus_bleu,
    corpus_chrf,
    corpus_interval,
    farthest_bleu,
    farthest_chrf,
)
from suites.quality.generation.variety import DISTINCT, REPEATED, distinct, repeated

_REFERENCED = of(lambda references: [len(as_list(cell)) > 0 for cell in references], "references")
_COUNTED = of(lambda counts: [len(as_list(cell)) > 0 for cell in counts], "bleu_counts")
_SEVERAL = of(lambda values: values.notna(), "self_bleu")
_HOPELESS = "no interval: no text is long enough for another score"
_SHARED: dict[str, Any] = {"about": _REFERENCED, "bounds": UNIT}


def _same(text: str, reference: str) -> float:
    """Whether both are the same but for white space at their ends."""
    return float(text.strip() == reference.strip())


def _against(score: Callable[[str, list[str]], float]) -> Column:
    """Mean over the texts of a prompt of a score against its references, [n]."""

    def of_rows(texts: pd.Series[Any], references: pd.Series[Any]) -> Floats:
        pairs = [(as_list(mine), as_list(golds)) for mine, golds in zip(texts, references, strict=True)]
        found = [fmean(score(text, golds) for text in mine) if mine and golds else np.nan for mine, golds in pairs]
        return np.asarray(found, dtype=np.float64)

    return of(of_rows, "texts", "references")


def _counts(count: Callable[[list[str]], tuple[int, int]], at: int) -> Column:
    return of(lambda texts: np.array([count(as_list(cell))[at] for cell in texts], dtype=np.float64), "texts")


def _share(key: str, better: Better, count: Callable[[list[str]], tuple[int, int]], **said: Any) -> RatioOf:
    return RatioOf(key, better, _counts(count, 0), _counts(count, 1), bounds=UNIT, unit="rate", **said)


def _corpus(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """Corpus BLEU and chrF: formulas of sums over prompts."""
    for key, column, formula, farthest in (
        ("bleu", "bleu_counts", corpus_bleu, farthest_bleu),
        ("chrf", "chrf_counts", corpus_chrf, farthest_chrf),
    ):
        units = as_matrix([cell for cell in rows.good[column] if len(as_list(cell))])
        value = float(formula(units.sum(axis=0)[None])[0])
        interval = corpus_interval(units, formula, farthest)
        note = f"{named[key].note}" if interval is not None else f"{named[key].note}; {_HOPELESS}"
        yield named[key].value(value, interval, len(units), missing=rows.missing, note=note)


def _mean_of_list(cells: pd.Series[Any]) -> Floats:
    return np.array([fmean(map(float, as_list(cell))) for cell in cells], dtype=np.float64)


METRICS: tuple[Declared, ...] = (
    MeanOf(
        *("exact_match", Better.HIGHER, _against(lambda text, golds: max(_same(text, gold) for gold in golds))),
        **_SHARED,
    ),
    MeanOf(
        *("exact_match_normalized", Better.HIGHER, _against(partial(best, exact))),
        **_SHARED,
        headline=False,
        note="lower case, without punctuation and English articles, as SQuAD",
    ),
    MeanOf("token_f1", Better.HIGHER, _against(partial(best, f1)), **_SHARED, headline=False, note="as SQuAD"),
    *(
        MeanOf(
            *(name, Better.HIGHER, name),
            about=_COUNTED,
            bounds=UNIT,
            headline=name == "rougeL",
            note="F1, the best reference",
        )
        for name in ROUGE
    ),
    Computed(
        (
            Named("bleu", Better.HIGHER, bounds=UNIT, note="0 to 1; of the corpus, sacrebleu's 13a and exp smoothing"),
            Named("chrf", Better.HIGHER, bounds=UNIT, headline=False, note="0 to 1; of the corpus, chrF2"),
        ),
        _corpus,
        about=_COUNTED,
    ),
    *(
        _share(
            *(f"distinct_{n}", Better.HIGHER, partial(distinct, n=n)),
            headline=False,
            note=f"different of all {n}-grams within a prompt's texts; falls with their length and number",
        )
        for n in DISTINCT
    ),
    MeanOf(
        *("self_bleu", Better.LOWER, "self_bleu"),
        about=_SEVERAL,
        bounds=UNIT,
        headline=False,
        note="each text of a prompt against its others",
    ),
    _share(*("repetition", Better.LOWER, repeated), note=f"{REPEATED}-grams that came before in the same text, of all"),
    MeanOf("length", Better.NEITHER, of(_mean_of_list, "tokens"), unit="tokens", bounds=POSITIVE),
    MeanOf(
        *("ended", Better.NEITHER, of(_mean_of_list, "ended")),
        unit="rate",
        headline=False,
        note="texts that end by themselves or at a stop string, before the most tokens",
    ),
)
