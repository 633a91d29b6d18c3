"""A complete probe in one file: how often a classifier predicts each of its labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.metrics import Better, Metric, missing_metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row
from harness.api.scorer import Scorer, TextRequest
from harness.data.schemas import Texts
from harness.stats.intervals import clopper_pearson


class BalanceParams(ProbeParams):
    """Settings."""

    label: int = Field(default=0, ge=0, description="index of the label whose share is measured")


class BalanceRow(ProbeRow):
    """One row per text."""

    predicted: Series[int]


class LabelBalance(Probe[BalanceParams]):
    """Share of texts that get one label."""

    name = "example/label_balance"
    about = About(
        summary="Share of texts that a classifier gives one label",
        paper="none, an example",
        cannot_tell="whether the share is right: it needs no true labels",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"texts": Input(Texts, "texts to classify")}  # noqa: RUF012
    Params = BalanceParams
    Row = BalanceRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text."""
        return make_cases({"text": text} for text in plan.data["texts"].frame["text"])

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text."""
        answers = scorer.ask([TextRequest(case.data["text"]) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            if answer.error is not None:
                yield error_row(case, answer.error)
            else:
                yield {"case_id": case.id, "status": "ok", "error": None, "predicted": answer.label}

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        """The share, with its Clopper-Pearson interval."""
        good = rows[rows["status"] == "ok"]
        missing = len(rows) - len(good)
        if good.empty:
            return [missing_metric("share", "no text could be classified", better=Better.NEITHER, missing=missing)]
        hits = int((good["predicted"] == self.params.label).sum())
        interval = clopper_pearson(hits, len(good))
        return [
            Metric(
                key="share",
                value=hits / len(good),
                low=interval.low,
                high=interval.high,
                interval=interval.method,
                n=len(good),
                missing=missing,
                better=Better.NEITHER,
            )
        ]
