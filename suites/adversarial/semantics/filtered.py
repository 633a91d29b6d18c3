"""How many attacks succeed with a text that still means and reads like the original: thresholds applied to rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Computed, Named, Rows
from harness.api.estimates import ANY
from harness.api.metrics import Better, Metric, RowValues
from harness.stats.intervals import Interval, Method, clopper_pearson
from suites.adversarial.semantics.columns import SEMANTIC_COLUMNS
from suites.adversarial.semantics.params import Measure, SemanticsParams

_SUCCESSES: dict[str, Named] = {
    key: Named(key, Better.NEITHER, unit=unit, bounds=bounds, headline=False, note=f"of successful attacks{more}")
    for key, unit, bounds, more in (
        ("success_similarity", "", (-1.0, 1.0), ""),
        ("success_angular_similarity", "", (-1.0, 1.0), ""),
        ("success_new_grammar_errors", "errors", None, ""),
        ("success_perplexity_ratio", "", None, ", geometric mean of after over before"),
    )
}
_MEANS: dict[Measure, tuple[str, ...]] = {
    "similarity": ("success_similarity", "success_angular_similarity"),
    "grammar": ("success_new_grammar_errors",),
    "perplexity": ("success_perplexity_ratio",),
}
"""Means over successes, by the measure they are of."""


def filtered_success(params: SemanticsParams) -> Computed:
    """Success over attacked texts, of perturbed texts that keep every threshold; what each rejects; mean measures.

    Rows need `status`, `outcome` (succeeded, failed, skipped) and the columns of `SemanticColumns`. A success that
    lacks a measure is without a verdict, unless another threshold rejects it: the interval of the filtered rate holds
    whichever way it falls, the value takes it to fall as the others do. Where no success has a measure that a threshold
    is about, the filtered rate is missing.
    """
    measures = [name for name in _MEANS if name in params.measures]
    named = (
        Named("filtered_success_rate", Better.LOWER, unit="rate"),
        *(Named(f"rejected_by_{name}", Better.NEITHER, unit="rate", headline=False) for name in measures),
        *(_SUCCESSES[key] for name in measures for key in _MEANS[name]),
    )
    return Computed(named, partial(_measure, params))


def _measure(params: SemanticsParams, rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    attacked = rows.good[rows.good["outcome"] != "skipped"]
    if attacked.empty:
        yield from (each.none("no text was attacked", missing=rows.missing) for each in named.values())
        return
    measured = _Measured(attacked[attacked["outcome"] == "succeeded"], params)
    yield _filtered(measured, len(attacked), rows.missing, named["filtered_success_rate"])
    for measure in _MEANS:
        if measure in params.measures:
            yield _rejected(measured, measure, rows.missing, named[f"rejected_by_{measure}"])
    for measure, keys in _MEANS.items():
        for key in keys if measure in params.measures else ():
            yield _mean(measured, measure, rows.missing, named[key])


class _Measured:
    """What is known of each success: values, and whether it keeps each threshold (True, False or unknown)."""

    def __init__(self, won: pd.DataFrame, params: SemanticsParams) -> None:
        self.n = len(won)
        self.params = params
        self._won = won.reindex(columns=[*won.columns, *(name for name in SEMANTIC_COLUMNS if name not in won)])
        self.values: dict[str, pd.Series[Any]] = {
            "success_similarity": self._column("similarity"),
            "success_angular_similarity": self._column("angular_similarity"),
            "success_new_grammar_errors": self._column("grammar_errors_after") - self._column("grammar_errors_before"),
            "success_perplexity_ratio": self._column("perplexity_after") / self._column("perplexity_before"),
        }
        self.kept = dict(self._verdicts())

    def _column(self, name: str) -> pd.Series[Any]:
        return self._won[name].astype("Float64")

    def _verdicts(self) -> Iterator[tuple[Measure, pd.Series[Any]]]:
        """Of each measure with a threshold."""
        chosen = "success_similarity" if self.params.similarity == "cosine" else "success_angular_similarity"
        least, most, highest = (self.params.limit(name) for name in ("similarity", "grammar", "perplexity"))
        if least is not None:
            yield "similarity", self.values[chosen] >= least
        if most is not None:
            yield "grammar", self.values["success_new_grammar_errors"] <= most
        if highest is not None:
            yield "perplexity", self.values["success_perplexity_ratio"] <= highest

    def why_missing(self, measure: Measure) -> str:
        """The commonest reason why successes lack a measure."""
        reasons = Counter(json.loads(cell).get(measure) for cell in self._won["semantics_missing"].dropna())
        del reasons[None]
        return str(reasons.most_common(1)[0][0]) if reasons else "the rows do not say why"

    def sources(self) -> str:
        """What took the measures."""
        found = [json.loads(cell) for cell in self._won["semantics_source"].dropna().unique()]
        return ", ".join(dict.fromkeys(source for cell in found for source in cell.values()))

    def thresholds(self) -> str:
        """The thresholds in words."""
        least, most, highest = (self.params.limit(name) for name in ("similarity", "grammar", "perplexity"))
        parts = [] if least is None else [f"{self.params.similarity} similarity at least {least:g}"]
        parts += [] if most is None else [f"at most {most:g} new grammar errors"]
        parts += [] if highest is None else [f"perplexity at most {highest:g} times the original's"]
        return ", ".join(parts)


def _filtered(measured: _Measured, attacked: int, errors: int, named: Named) -> Metric:
    """Successes that keep every threshold, over attacked texts."""
    if not measured.kept:
        return named.none("no threshold of semantics is set for what is measured", missing=errors)
    lacking = [measure for measure, kept in measured.kept.items() if measured.n and kept.isna().all()]
    if lacking:
        reasons = "; ".join(f"no success has its {name} measured: {measured.why_missing(name)}" for name in lacking)
        return named.none(reasons, missing=errors + measured.n)
    verdict: pd.Series[Any] = pd.Series(True, index=range(measured.n), dtype="boolean")
    whole: pd.Series[Any] = verdict.copy()
    for kept in measured.kept.values():
        verdict = verdict & kept.reset_index(drop=True)  # unknown and False is False, unknown and True unknown
        whole = whole & kept.reset_index(drop=True).notna()
    complete, valid = int(whole.sum()), int((verdict & whole).sum())
    if measured.n and not complete:
        return named.none("no success has every measure that a threshold is about", missing=errors + measured.n)
    surely, unknown = int(verdict.sum()), int(verdict.isna().sum())
    guess = valid / complete * measured.n if complete else 0.0
    value = min(max(guess, surely), surely + unknown) / attacked
    low, high = clopper_pearson(surely, attacked), clopper_pearson(surely + unknown, attacked)
    interval = Interval(low.low, high.high, Method.BOTH_WAYS if unknown else low.method, low.level)
    note = f"keeps {measured.thresholds()}"
    sources = measured.sources()
    note += f"; measured by {sources}" if sources else ""
    if unknown:
        gaps = [name for name, kept in measured.kept.items() if kept.isna().any()]
        reasons = "; ".join(f"{name}: {measured.why_missing(name)}" for name in gaps)
        note += f"; {unknown} of {measured.n} successes without a verdict ({reasons})"
    return named.value(value, interval, attacked, missing=errors + unknown, note=note)


def _rejected(measured: _Measured, measure: Measure, errors: int, named: Named) -> Metric:
    """Successes that a threshold rejects, over those that have its measure."""
    if measure not in measured.kept:
        return named.none(f"no threshold on {measure} is set", missing=errors)
    known = measured.kept[measure].dropna()
    why = _why_none(measured, measure, len(known))
    if why:
        return named.none(why, missing=errors + measured.n)
    gone = measured.n - len(known)
    note = f"{gone} of {measured.n} successes lack it: {measured.why_missing(measure)}" if gone else ""
    return named.share(int((~known.astype(bool)).sum()), len(known), missing=errors + gone, note=note)


def _mean(measured: _Measured, measure: Measure, errors: int, named: Named) -> Metric:
    """Mean over successes; of ratios the geometric mean."""
    values = measured.values[named.key].dropna().to_numpy(dtype=np.float64)
    why = _why_none(measured, measure, len(values))
    if why:
        return named.none(why, missing=errors + measured.n)
    is_ratio = measure == "perplexity"
    added = RowValues(np.log(values), finish=np.exp) if is_ratio else RowValues(values, bounds=named.bounds or ANY)
    return named.estimate(added, missing=errors + measured.n - len(values))


def _why_none(measured: _Measured, measure: Measure, known: int) -> str:
    if known:
        return ""
    if not measured.n:
        return "no attack succeeded"
    return f"no success has its {measure} measured: {measured.why_missing(measure)}"
