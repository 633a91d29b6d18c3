"""A complete probe in one file: how often a classifier predicts its first label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import ShareOf, equal
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Scorer, TextRequest
from harness.data.schemas import Texts


class BalanceRow(ProbeRow):
    """One row per text."""

    predicted: Series[int] = column("predicted class, by index", ge=0)


class LabelBalance(Probe[ProbeParams]):
    """Share of texts that get the first label."""

    name = "example/label_balance"
    about = About(
        summary="Share of texts that a classifier gives its first label",
        paper="none, an example",
        cannot_tell="whether the share is right: it needs no true labels",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"texts": Input(Texts, "texts to classify")}  # noqa: RUF012
    metrics = (ShareOf("share", Better.NEITHER, equal("predicted", 0)),)
    nothing = "no text could be classified"
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
                yield ok_row(case, predicted=answer.label)
