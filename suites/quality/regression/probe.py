"""quality/regression: how near a model's numbers come to the true ones, as STS-B is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import Computed, MeanOf, Named, Rows, of
from harness.api.estimates import POSITIVE
from harness.api.means import fewest_units
from harness.api.metrics import Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.heads import RegressionRequest
from harness.api.scorer import Floats, Scorer
from harness.data.schemas import PairedTexts
from suites.quality.regression.correlation import Correlation, pearson, spearman


class ScoredTexts(PairedTexts):
    """Texts or pairs, each with a true number."""

    score: Series[float] = pa.Field(nullable=False)

    @pa.check("score", error="is not a finite number; correct it or leave the row out")
    @classmethod
    def finite(cls, values: Series[float]) -> Series[bool]:
        """Infinity is no score."""
        return np.isfinite(values)  # type: ignore[return-value]


class RegressionRow(ProbeRow):
    """One row per text."""

    score: Series[float] = column("true number")
    predicted: Series[float] = column("the model's number")
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)


_CORRELATIONS: dict[str, Callable[[Floats, Floats], Correlation | None]] = {"pearson": pearson, "spearman": spearman}


def _correlations(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    score, predicted = (rows.good[name].to_numpy(np.float64) for name in ("score", "predicted"))
    for key, formula in _CORRELATIONS.items():
        found = formula(predicted, score)
        if found is None:
            why = "not defined: the true numbers, or the model's, are all the same"
            yield named[key].none(why, missing=rows.missing)
            continue
        note = "" if found[1] is not None else f"no interval: fewer than {fewest_units(0.95)} texts"
        yield named[key].value(*found, len(score), missing=rows.missing, note=note)


def _squared(score: pd.Series[float], predicted: pd.Series[float]) -> Floats:
    return np.asarray((score - predicted) ** 2)


def _absolute(score: pd.Series[float], predicted: pd.Series[float]) -> Floats:
    return np.asarray((score - predicted).abs())


class Regression(Probe[ProbeParams]):
    """Correlation and error of a regression head."""

    name = "quality/regression"
    about = About(
        summary="How far a model's numbers follow the true ones",
        paper="Cer et al. 2017 and Wang et al. 2019 (GLUE): STS-B's Pearson and Spearman correlation",
        cannot_tell="whether the true numbers are right; a correlation is blind to scale, the errors are not",
    )
    needs = (any_of(Need.REGRESSION),)
    inputs = {"examples": Input(ScoredTexts, "texts or pairs with their true number, `score`")}  # noqa: RUF012
    metrics = (
        Computed(tuple(Named(key, Better.HIGHER, bounds=(-1.0, 1.0)) for key in _CORRELATIONS), _correlations),
        MeanOf("mse", Better.LOWER, of(_squared, "score", "predicted"), bounds=POSITIVE),
        MeanOf("mae", Better.LOWER, of(_absolute, "score", "predicted"), bounds=POSITIVE, headline=False),
    )
    nothing = "no text got a number"
    Row = RegressionRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per example."""
        frame = plan.data["examples"].frame
        columns = [name for name in ("text", "pair", "score") if name in frame]
        rows = zip(*(frame[name].tolist() for name in columns), strict=True)
        return make_cases(dict(zip(columns, row, strict=True)) for row in rows)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per example."""
        answers = scorer.ask([RegressionRequest(case.data["text"], case.data.get("pair")) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            if answer.error is None and len(answer.values) != 1:
                yield error_row(case, f"the head gives {len(answer.values)} numbers; one is needed")
            elif answer.error is not None:
                yield error_row(case, answer.error)
            else:
                number = float(answer.values[0])
                yield ok_row(case, score=case.data["score"], predicted=number, truncated=answer.truncated)
