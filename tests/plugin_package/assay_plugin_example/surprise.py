"""A complete probe that asks a second model: how much less likely a text is than under a reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import MeanOf
from harness.api.metrics import Better
from harness.api.models import ModelRole
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row
from harness.api.scorer import Scorer, TokenRequest
from harness.data.schemas import Texts


class SurpriseRow(ProbeRow):
    """One row per text."""

    gap: Series[float] = column("nats per character that the reference gains on the checkpoint", "nats")


def nats(scorer: Scorer, texts: Sequence[str]) -> list[float]:
    """Mean log-probability per character of each text, NaN where there is none."""
    requests = [TokenRequest((scorer.start_token,), scorer.encode(text, special=False)) for text in texts]
    answers = zip(scorer.ask(requests), texts, strict=True)
    return [float("nan") if each.error else float(each.logprobs.sum()) / len(text) for each, text in answers]


class Surprise(Probe[ProbeParams]):
    """Likelihood beside a reference's."""

    name = "example/surprise"
    about = About(
        summary="How much likelier a reference finds texts than the checkpoint does",
        paper="none, an example",
        cannot_tell="why: the two may differ in size, in data or in tokenizer",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs = {"texts": Input(Texts, "texts to read")}  # noqa: RUF012
    models = {"reference": ModelRole((any_of(Need.CAUSAL_LM),), "a model to compare with")}  # noqa: RUF012
    metrics = (MeanOf("gap", Better.NEITHER, "gap", unit="nats"),)
    Row = SurpriseRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text."""
        return make_cases({"text": text} for text in plan.data["texts"].frame["text"])

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text."""
        texts = [case.data["text"] for case in cases]
        ours, theirs = nats(scorer, texts), nats(self.others["reference"], texts)
        for case, one, other in zip(cases, ours, theirs, strict=True):
            if one != one or other != other:  # not a number
                yield error_row(case, "a model gives the text no probability")
            else:
                yield {"case_id": case.id, "status": "ok", "error": None, "gap": other - one}
