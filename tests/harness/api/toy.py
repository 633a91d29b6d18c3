"""A probe whose behaviour its texts command, for tests of the machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import pandas as pd
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.metrics import Better, Metric, missing_metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, ok_row
from harness.api.scorer import Scorer, TextRequest
from harness.data.schemas import Texts
from harness.errors import AssayError
from harness.stats.intervals import clopper_pearson


class ToyRow(ProbeRow):
    predicted: Series[int]


class Toy(Probe[ProbeParams]):
    """Share of texts with label 0; a text with 'crash' raises, 'interrupt' is Ctrl-C, 'stop' ends the audit."""

    name = "toy/share"
    about = About("Share of label 0", "none", "anything else")
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"texts": Input(Texts, "texts to classify")}  # noqa: RUF012
    Row: ClassVar[type[ProbeRow]] = ToyRow

    def cases(self, plan: Plan) -> list[Case]:
        return make_cases({"text": text} for text in plan.data["texts"].frame["text"])

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        for case in cases:
            self._obey(case.data["text"])
        answers = scorer.ask([TextRequest(case.data["text"]) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            yield ok_row(case, predicted=answer.label)

    def _obey(self, text: str) -> None:
        if "crash" in text:
            raise ZeroDivisionError("told to")
        if "interrupt" in text:
            raise KeyboardInterrupt
        if "stop" in text:
            raise AssayError("told to stop")

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        good = rows[rows["status"] == "ok"]
        missing = len(rows) - len(good)
        if good.empty:
            return [missing_metric("share", "no rows", better=Better.NEITHER, missing=missing)]
        hits = int((good["predicted"] == 0).sum())
        interval = clopper_pearson(hits, len(good))
        return [
            Metric(
                key="share",
                value=hits / len(good),
                low=interval.low,
                high=interval.high,
                n=len(good),
                missing=missing,
                better=Better.NEITHER,
                interval=interval.method,
            )
        ]
