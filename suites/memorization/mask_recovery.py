"""`memorization/mask_recovery`: does a masked LM know what stood in a hole that it cannot have guessed?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case
from harness.api.columns import column
from harness.api.declared import Declared, MeanOf, ShareOf
from harness.api.estimates import UNIT
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.api.scorer import Scorer, TokenScores
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import DataSource
from harness.data.schemas import Texts
from suites.framing import masked_frame
from suites.memorization.side_metrics import NO_WINDOW, minus_control, of_side
from suites.memorization.sides import (
    CHARS_PER_TOKEN,
    CONTROL,
    LICENCE,
    TEXTS,
    UNSEEN,
    WindowParams,
    default_sides,
    side_cases,
)


class MaskRecoveryParams(WindowParams):
    """A hole in the middle of a window."""

    window_tokens: int = Field(default=64, ge=2, description="tokens of a window, the hole among them")
    span_tokens: int = Field(default=5, ge=1, description="tokens of the hole; a few words are rarely guessed")


class MaskRecoveryRow(ProbeRow):
    """One hole. What stood in it is not in the row."""

    side: Series[str] = column("texts that may have been trained on, or control", isin=[TEXTS, CONTROL], of_case=True)
    document: Series[int] = column("number of the text the window is of; windows of one are related", ge=0)
    offset: Series[int] = column("where the window starts in the text", "characters", ge=0)
    exact: Series[bool] = column("whether every token comes first, filled one after another from the left")
    together: Series[bool] = column("whether every token comes first with all of the hole masked")
    right: Series[float] = column("share of the tokens that come first, one after another", "rate", ge=0, le=1)
    logprob: Series[float] = column("log-probability of the hole, one after another", "nats", le=0)


def _declared() -> tuple[Declared, ...]:
    texts, control = of_side(TEXTS), of_side(CONTROL)
    return (
        ShareOf("recovered_share", Better.LOWER, "exact", **texts),
        ShareOf("control_share", Better.LOWER, "exact", **control),
        minus_control("recovered_minus_control", "exact"),
        ShareOf("recovered_together_share", Better.LOWER, "together", headline=False, **texts),
        ShareOf("control_together_share", Better.LOWER, "together", headline=False, **control),
        MeanOf("tokens_right", Better.LOWER, "right", unit="rate", bounds=UNIT, per_token=True, **texts),
        MeanOf("control_tokens_right", Better.LOWER, "right", unit="rate", bounds=UNIT, per_token=True, **control),
    )


class MaskRecovery(Probe[MaskRecoveryParams]):
    """Masks a run of tokens in the middle of a window and looks whether the model puts it back."""

    name = "memorization/mask_recovery"
    about = About(
        summary="How often a masked model puts back a run of tokens that is hidden, beside texts it cannot have seen.",
        paper="after Carlini et al. 2023, Quantifying Memorization Across Neural Language Models, for masked models",
        cannot_tell=(
            "This is no extraction as of a causal model: the words on both sides are given, and frequent phrases are "
            "put back by who never saw the text, which is what the control is for. One place of a window is tried."
        ),
    )
    needs = (any_of(Need.MASKED_LM),)
    inputs: ClassVar[dict[str, Input]] = {
        TEXTS: Input(Texts, "texts that may have been trained on (default: the manifest's members)", LICENCE),
        CONTROL: Input(Texts, "texts never trained on (default: the manifest's non-members)", UNSEEN),
    }
    metrics = _declared()
    nothing = NO_WINDOW
    Params = MaskRecoveryParams
    Row = MaskRecoveryRow

    @classmethod
    def default_data(cls, checkpoint: CheckpointInfo) -> dict[str, DataSource]:
        """Members and non-members of the training manifest, where there is one of a masked LM."""
        return default_sides(checkpoint, "masked_lm", super().default_data(checkpoint))

    def cases(self, plan: Plan) -> list[Case]:
        """One case per window of each side. Raises DataError where the manifest's records have changed."""
        cut = self.params.cut(CHARS_PER_TOKEN * self.params.window_tokens)
        return side_cases(plan, self.default_data(plan.checkpoint), cut)

    def cost(self, cases: Sequence[Case]) -> int:
        """The window is read for each token of the hole, one after another and together."""
        return 2 * len(cases) * self.params.span_tokens * self.params.window_tokens

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """Both ways of filling each hole."""
        holes: list[tuple[Case, MaskedSpanRequest]] = []
        for case in cases:
            hole = self._hole(scorer, case)
            if isinstance(hole, str):
                yield error_row(case, hole)
            else:
                holes.append((case, hole))
        ordered = scorer.ask([hole for _, hole in holes])
        together = scorer.ask(
            [MaskedSpanRequest(hole.tokens, hole.start, hole.end, together=True) for _, hole in holes]
        )
        for (case, _), one, other in zip(holes, ordered, together, strict=True):
            why = one.error or other.error
            yield error_row(case, why) if why else _row(case, one, other)

    def _hole(self, scorer: Scorer, case: Case) -> MaskedSpanRequest | str:
        """The middle of the window's tokens, or why there is none. Short windows are read as they are."""
        framed = masked_frame(scorer, case.data["text"])
        tokens, size = framed.tokens[: self.params.window_tokens], self.params.span_tokens
        if len(tokens) <= size:
            return f"too short: {len(tokens)} tokens, more than {size} needed"
        whole = (*framed.before, *tokens, *framed.after)
        if len(whole) > scorer.max_tokens:
            return f"the model reads {scorer.max_tokens} tokens, {len(whole)} needed"
        start = len(framed.before) + (len(tokens) - size) // 2
        return MaskedSpanRequest(whole, start, start + size)


def _row(case: Case, ordered: TokenScores, together: TokenScores) -> RowDict:
    return ok_row(
        case,
        **{name: case.data[name] for name in ("side", "document", "offset")},
        exact=bool(ordered.greedy.all()),
        together=bool(together.greedy.all()),
        right=float(ordered.greedy.mean()),
        logprob=min(0.0, float(ordered.logprobs.sum())),
    )
