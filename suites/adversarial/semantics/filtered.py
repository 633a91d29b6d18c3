"""How many attacks succeed with a text that still means and reads like the original: thresholds applied to rows."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harness.api.estimates import estimate, share, usable, with_interval
from harness.api.metrics import Better, Metric, RowValues, missing_metric
from harness.stats.intervals import Interval, Method, clopper_pearson
from suites.adversarial.semantics.columns import SEMANTIC_COLUMNS
from suites.adversarial.semantics.params import Measure, SemanticsParams

METRICS = {
    "raw_success_rate": Better.LOWER,
    "filtered_success_rate": Better.LOWER,
    "rejected_by_similarity": Better.NEITHER,
    "rejected_by_grammar": Better.NEITHER,
    "rejected_by_perplexity": Better.NEITHER,
    "success_similarity": Better.NEITHER,
    "success_angular_similarity": Better.NEITHER,
    "success_new_grammar_errors": Better.NEITHER,
    "success_perplexity_ratio": Better.NEITHER,
}
_MEANS: dict[str, tuple[Measure, str]] = {
    "success_similarity": ("similarity", ""),
    "success_angular_similarity": ("similarity", ""),
    "success_new_grammar_errors": ("grammar", "errors"),
    "success_perplexity_ratio": ("perplexity", ""),
}

_BOUNDS = {"similarity": (-1.0, 1.0), "grammar": (-math.inf, math.inf)}


def filtered_success(rows: pd.DataFrame, params: SemanticsParams) -> list[Metric]:
    """Success over attacked texts as the attack counts it, and of perturbed texts that keep every threshold.

    Rows need `status`, `outcome` (succeeded, failed, skipped) and the columns of `SemanticColumns`. A success that
    lacks a measure is without a verdict, unless another threshold rejects it: the interval of the filtered rate holds
    whichever way it falls, the value takes it to fall as the others do. Where no success has a measure that a threshold
    is about, the filtered rate is missing.
    """
    good, errors = usable(rows)
    attacked = good[good["outcome"] != "skipped"]
    won = attacked[attacked["outcome"] == "succeeded"]
    measured = _Measured(won, params)
    asked = [key for key in METRICS if _measure_of(key) in (None, *params.measures)]
    if attacked.empty:
        return [_missing(key, "no text was attacked", errors) for key in asked]
    found = [
        share(
            "raw_success_rate",
            len(won),
            len(attacked),
            better=Better.LOWER,
            missing=errors,
            headline=False,
            note="as the attack counts it, whatever the text has become",
        ),
        _filtered(measured, len(attacked), errors),
    ]
    found += [_rejected(measured, measure, errors) for measure in dict.fromkeys(params.measures)]
    found += [_mean(measured, key, errors) for key, (measure, _) in _MEANS.items() if measure in params.measures]
    return found


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


def _filtered(measured: _Measured, attacked: int, errors: int) -> Metric:
    """Successes that keep every threshold, over attacked texts."""
    key = "filtered_success_rate"
    if not measured.kept:
        return _missing(key, "no threshold of semantics is set for what is measured", errors)
    lacking = [measure for measure, kept in measured.kept.items() if measured.n and kept.isna().all()]
    if lacking:
        reasons = "; ".join(f"no success has its {name} measured: {measured.why_missing(name)}" for name in lacking)
        return _missing(key, reasons, errors + measured.n)
    verdict: pd.Series[Any] = pd.Series(True, index=range(measured.n), dtype="boolean")
    whole: pd.Series[Any] = verdict.copy()
    for kept in measured.kept.values():
        verdict = verdict & kept.reset_index(drop=True)  # unknown and False is False, unknown and True unknown
        whole = whole & kept.reset_index(drop=True).notna()
    complete, valid = int(whole.sum()), int((verdict & whole).sum())
    if measured.n and not complete:
        return _missing(key, "no success has every measure that a threshold is about", errors + measured.n)
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
    return with_interval(
        key, value, interval, attacked, better=Better.LOWER, missing=errors + unknown, unit="rate", note=note
    )


def _rejected(measured: _Measured, measure: Measure, errors: int) -> Metric:
    """Successes that a threshold rejects, over those that have its measure."""
    key = f"rejected_by_{measure}"
    if measure not in measured.kept:
        return _missing(key, f"no threshold on {measure} is set", errors)
    known = measured.kept[measure].dropna()
    why = _why_none(measured, measure, len(known))
    if why:
        return _missing(key, why, errors + measured.n)
    gone = measured.n - len(known)
    note = f"{gone} of {measured.n} successes lack it: {measured.why_missing(measure)}" if gone else ""
    hits = int((~known.astype(bool)).sum())
    return share(key, hits, len(known), better=Better.NEITHER, missing=errors + gone, headline=False, note=note)


def _mean(measured: _Measured, key: str, errors: int) -> Metric:
    """Mean over successes; of ratios the geometric mean."""
    measure, unit = _MEANS[key]
    values = measured.values[key].dropna().to_numpy(dtype=np.float64)
    why = _why_none(measured, measure, len(values))
    if why:
        return _missing(key, why, errors + measured.n)
    is_ratio = measure == "perplexity"
    return estimate(
        key,
        RowValues(np.log(values), finish=np.exp) if is_ratio else RowValues(values, bounds=_BOUNDS[measure]),
        better=Better.NEITHER,
        missing=errors + measured.n - len(values),
        unit=unit,
        headline=False,
        note="of successful attacks" + (", geometric mean of after over before" if is_ratio else ""),
    )


def _why_none(measured: _Measured, measure: Measure, known: int) -> str:
    if known:
        return ""
    if not measured.n:
        return "no attack succeeded"
    return f"no success has its {measure} measured: {measured.why_missing(measure)}"


def _missing(key: str, why: str, missing: int) -> Metric:
    unit = _MEANS[key][1] if key in _MEANS else "rate"
    metric = missing_metric(key, why, better=METRICS[key], missing=missing, unit=unit)
    return metric.model_copy(update={"headline": key == "filtered_success_rate"})


def _measure_of(key: str) -> Measure | None:
    """The measure a metric is about; None: about the attack."""
    if key in _MEANS:
        return _MEANS[key][0]
    return next((name for name in ("similarity", "grammar", "perplexity") if key == f"rejected_by_{name}"), None)
