"""A complete probe with a setting, a data column of its own and a share per topic: how often one label is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import By, Declared, ShareOf, equal
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Scorer, TextRequest
from harness.data.schemas import Texts


class Topical(Texts):
    """Texts, each with a topic."""

    topic: Series[str]


class ByTopicParams(ProbeParams):
    """The label."""

    label: int = Field(default=0, ge=0, description="class that is counted, by index")


class ByTopicRow(ProbeRow):
    """One row per text."""

    topic: Series[str] = column("topic of the text", of_case=True)
    predicted: Series[int] = column("predicted class, by index", ge=0)


class ByTopic(Probe[ByTopicParams]):
    """Share of texts that get the label, of all and by topic."""

    name = "example/by_topic"
    about = About(
        summary="Share of texts that a classifier gives one label, by topic",
        paper="none, an example",
        cannot_tell="whether the shares should be equal: topics may differ",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"topical": Input(Topical, "texts with topics")}  # noqa: RUF012
    nothing = "no text could be classified"
    Params = ByTopicParams
    Row = ByTopicRow

    def declared(self) -> tuple[Declared, ...]:
        """The share under these params."""
        return (ShareOf("share", Better.NEITHER, equal("predicted", self.params.label), slices=By(("topic",))),)

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text."""
        frame = plan.data["topical"].frame
        pairs = zip(frame["text"], frame["topic"], strict=True)
        return make_cases({"text": text, "topic": topic} for text, topic in pairs)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text; the machine adds its topic."""
        answers = scorer.ask([TextRequest(case.data["text"]) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            if answer.error is not None:
                yield error_row(case, answer.error)
            else:
                yield ok_row(case, predicted=answer.label)
