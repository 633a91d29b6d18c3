"""quality/perplexity: how well a language model predicts texts, normalised so that tokenizers can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from pandera.typing import Series
from pydantic import Field, model_validator

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import RatioOf, Rows, equal
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Scorer, TokenScores
from harness.data.schemas import Texts
from harness.errors import UsageError
from harness.stats.intervals import FloatArray
from suites.framing import causal_frame, masked_frame, require_start
from suites.quality.windows import Windows, score_causal, score_masked
from suites.sources import BBC_NEWS
from suites.words import first_words

LARGEST_CONTEXT = 1024
MASKED_WORDS = 128
CAUSAL, MASKED = "causal", "masked"


class PerplexityParams(ProbeParams):
    """Settings."""

    context: int | None = Field(
        default=None, ge=2, description=f"tokens read at once; default: what the model can, at most {LARGEST_CONTEXT}"
    )
    stride: int | None = Field(
        default=None, ge=1, description="tokens scored by each window after the first; default: half of context"
    )
    max_words: int | None = Field(
        default=None,
        ge=1,
        description="words scored of each text (in scripts without blanks: characters); default: all for a causal LM, "
        f"{MASKED_WORDS} for a masked LM, which reads a text once per token",
    )

    @model_validator(mode="after")
    def _stride_fits(self) -> Self:
        if self.context is not None and self.stride is not None and self.stride > self.context:
            raise ValueError(f"stride {self.stride} is larger than context {self.context}: tokens would be left out")
        return self

    def windows(self, max_tokens: int) -> Windows:
        """The windows for a model that reads `max_tokens`. Raises UsageError where they do not fit."""
        context = min(max_tokens, LARGEST_CONTEXT) if self.context is None else self.context
        stride = max(1, context // 2) if self.stride is None else self.stride
        if context > max_tokens:
            raise UsageError(f"quality/perplexity: context {context} is more than the {max_tokens} tokens of the model")
        if stride > context:
            raise UsageError(f"quality/perplexity: stride {stride} is larger than the context of {context} tokens")
        return Windows(context, stride)


class PerplexityRow(ProbeRow):
    """One row per text."""

    kind: Series[str] = column("kind of model: causal, or masked (pseudo-likelihood)", isin=[CAUSAL, MASKED])
    tokens: Series[int] = column("tokens scored", "tokens", ge=1)
    words: Series[int] = column("words that they spell, between blanks", "words", ge=1)
    bytes: Series[int] = column("UTF-8 bytes that they spell", "bytes", ge=1)
    nll: Series[float] = column("summed -log p of the tokens", "nats")
    windows: Series[int] = column("forward windows the text was read in", "windows", ge=1)
    context: Series[int] = column("most tokens of a window, special ones included", "tokens", ge=2)
    stride: Series[int] = column("tokens that each window after the first scores", "tokens", ge=1)


_PSEUDO = "pseudo: every token is predicted from both sides; not comparable with a causal LM's"


def _read_in(rows: Rows) -> str:
    """In which windows the texts were read: numbers of other windows are other numbers."""
    if not {"context", "stride"} <= set(rows.counted.columns):  # rows of older versions do not say it
        return ""
    settings = rows.counted[["context", "stride"]].dropna().drop_duplicates()
    return " and ".join(
        f"windows of {int(context)} tokens, stride {int(stride)}"
        for context, stride in settings.itertuples(index=False, name=None)
    )


def _pseudo(rows: Rows) -> str:
    return "; ".join(filter(None, [_PSEUDO, _read_in(rows)]))


def _bits(nats: FloatArray) -> FloatArray:
    return np.asarray(nats / np.log(2))


def _per(
    key: str, unit_column: str, kind: str, *, finish: Callable[[FloatArray], FloatArray] = np.exp, **fields: Any
) -> RatioOf:
    """Summed nll over a unit, of rows of one kind of model; whole texts are what is independent."""
    about, note = equal("kind", kind), _pseudo if kind == MASKED else _read_in
    return RatioOf(
        key, Better.LOWER, "nll", unit_column, about=about, finish=finish, bounds=POSITIVE, note=note, **fields
    )


class Perplexity(Probe[PerplexityParams]):
    """Perplexity of a causal LM, or pseudo-perplexity of a masked LM: two different numbers under different keys."""

    name = "quality/perplexity"
    about = About(
        summary="How well a language model predicts each text by itself: exp(total -log p / tokens, words or bytes)",
        paper="Salazar et al. 2020, Masked Language Model Scoring (pseudo-perplexity); "
        "windows as in EleutherAI lm-evaluation-harness, lm_eval/utils.py",
        cannot_tell="anything about texts in training data, which score too well; token and pseudo-perplexity do not "
        "compare across tokenizers, and an unknown-word token counts as predicted; texts are scored one by one, "
        "so the number is larger than for the same texts joined into one; special tokens that a text brings at its "
        "ends are read once and not scored",
    )
    needs = (any_of(Need.CAUSAL_LM, Need.MASKED_LM),)
    inputs = {"texts": Input(Texts, "running text, one document per row", BBC_NEWS)}  # noqa: RUF012
    metrics = (
        _per("token_perplexity", "tokens", CAUSAL, per_token=True),
        _per("word_perplexity", "words", CAUSAL),
        _per("byte_perplexity", "bytes", CAUSAL),
        _per("bits_per_byte", "bytes", CAUSAL, finish=_bits, unit="bits"),
        _per("pseudo_perplexity", "tokens", MASKED, per_token=True),
        _per("pseudo_bits_per_byte", "bytes", MASKED, finish=_bits, unit="bits"),
    )
    nothing = "no text could be scored"
    Params = PerplexityParams
    Row = PerplexityRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text, cut after `max_words`."""
        self.params.windows(plan.checkpoint.max_tokens)
        require_start(plan.checkpoint)
        kind = CAUSAL if Need.CAUSAL_LM in plan.checkpoint.offers else MASKED
        words = self.params.max_words or (MASKED_WORDS if kind == MASKED else None)
        texts = plan.data["texts"].frame["text"]
        return make_cases({"text": first_words(text, words)[0], "kind": kind} for text in texts)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text; the windows of all cases go to the model together."""
        windows = self.params.windows(scorer.max_tokens)
        for kind, score, frame in ((CAUSAL, score_causal, causal_frame), (MASKED, score_masked, masked_frame)):
            mine = [case for case in cases if case.data["kind"] == kind]
            if mine:
                texts = [case.data["text"] for case in mine]
                own = [frame(scorer, text).text for text in texts]
                scored = score(scorer, texts, windows)
                yield from (_row(case, text, each, windows) for case, text, each in zip(mine, own, scored, strict=True))

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read: overlapping windows for a causal LM, every token once per token for a masked LM."""
        windows = self.params.windows(self.params.context or LARGEST_CONTEXT)
        total = 0
        for case in cases:
            length = len(case.data["text"]) // 4 + 1
            read = min(length, windows.context)
            later = max(0, length - windows.context)
            total += read + later * windows.context // windows.stride if case.data["kind"] == CAUSAL else length * read
        return total


def _row(case: Case, text: str, scored: Sequence[TokenScores], windows: Windows) -> RowDict:
    """`text`: what was scored, without special tokens at its ends."""
    errors = [window.error for window in scored if window.error is not None]
    if errors or not scored:
        return error_row(case, errors[0] if errors else "the tokenizer makes no token of this text")
    return ok_row(
        case,
        kind=case.data["kind"],
        tokens=sum(len(window.logprobs) for window in scored),
        words=len(text.split()),
        bytes=len(text.encode()),
        nll=-float(sum(window.logprobs.sum() for window in scored)),
        windows=len(scored),
        context=windows.context,
        stride=windows.stride,
    )
