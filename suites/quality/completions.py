"""quality/completions: how well a causal language model predicts the completions of prompts, which it only reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import RatioOf, Rows, ShareOf, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.chat import ChatPrompt, ChatRequest, Message
from harness.api.scorer import Scorer, TokenRequest, TokenScores
from harness.data.schemas import EMPTY, has_text
from suites.continuation import answer_request, lead_tokens, within
from suites.framing import require_start

_TEMPLATE = "the chat template writes an answered question otherwise than one that is to be answered"


class Completions(pa.DataFrameModel):
    """Prompts, each with its completion."""

    prompt: Series[str] = pa.Field(coerce=True)
    completion: Series[str] = pa.Field(coerce=True)

    @pa.check("prompt", error=EMPTY)
    @classmethod
    def asked(cls, values: Series[str]) -> Series[bool]:
        """A prompt says something."""
        return has_text(values)

    @pa.check("completion", error=EMPTY)
    @classmethod
    def completed(cls, values: Series[str]) -> Series[bool]:
        """So does its completion."""
        return has_text(values)


class CompletionsParams(ProbeParams):
    """Settings."""

    chat: bool = Field(
        default=False, description="prompt as a user's turn and completion as its answer, by the chat template"
    )


class CompletionRow(ProbeRow):
    """One row per prompt."""

    tokens: Series[int] = column("tokens of the completion; in a chat those that end the turn as well", "tokens", ge=1)
    bytes: Series[int] = column("UTF-8 bytes of the completion", "bytes", ge=1)
    nll: Series[float] = column("summed -log p of these tokens, the prompt given", "nats")
    truncated: Series[int] = column("tokens at the prompt's beginning that the model cannot read", "tokens", ge=0)
    chat: Series[bool] = column("whether both went through the chat template")


def _how(rows: Rows) -> str:
    """Through the template or not: numbers of the one are no numbers of the other."""
    return "completions after their prompts" + (", by the chat template" if rows.counted["chat"].any() else "")


class CompletionQuality(Probe[CompletionsParams]):
    """Perplexity of completions."""

    name = "quality/completions"
    about = About(
        summary="How well a language model predicts the completion of each prompt: exp(-log p / tokens, or bytes)",
        paper="Ouyang et al. 2022 (instruction tuning, whose loss this is); Jelinek et al. 1977 (perplexity)",
        cannot_tell="whether another completion would have been as good, or what the model would write by itself "
        "(quality/generation does); per token it does not compare across tokenizers",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs = {"completions": Input(Completions, "`prompt` and `completion`")}  # noqa: RUF012
    metrics = (
        RatioOf(
            *("token_perplexity", Better.LOWER, "nll", "tokens"),
            finish=np.exp,
            bounds=POSITIVE,
            per_token=True,
            note=_how,
        ),
        RatioOf(*("byte_perplexity", Better.LOWER, "nll", "bytes"), finish=np.exp, bounds=POSITIVE, note=_how),
        ShareOf("truncated_rate", Better.LOWER, of(lambda cut: cut > 0, "truncated"), headline=False),
    )
    nothing = "no completion could be scored"
    Params = CompletionsParams
    Row = CompletionRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per prompt."""
        require_start(plan.checkpoint)
        frame = plan.data["completions"].frame
        pairs = zip(frame["prompt"], frame["completion"], strict=True)
        return make_cases({"prompt": prompt, "completion": completion} for prompt, completion in pairs)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per prompt."""
        requests = _by_template(scorer, cases) if self.params.chat else _plain(scorer, cases)
        fitted = [each if isinstance(each, str) else within(each, scorer.max_tokens) for each in requests]
        answers = iter(scorer.ask([each[0] for each in fitted if not isinstance(each, str)]))
        for case, each in zip(cases, fitted, strict=True):
            yield error_row(case, each) if isinstance(each, str) else self._row(case, next(answers), each[1])

    def _row(self, case: Case, answer: TokenScores, cut: int) -> RowDict:
        if answer.error is not None or not len(answer.logprobs):
            return error_row(case, answer.error or "the tokenizer makes no token of the completion")
        return ok_row(
            case,
            tokens=len(answer.logprobs),
            bytes=len(case.data["completion"].encode()),
            nll=-float(answer.logprobs.sum()),
            truncated=cut,
            chat=self.params.chat,
        )


def _plain(scorer: Scorer, cases: Sequence[Case]) -> list[TokenRequest | str]:
    """Both as one text, as `assay train` with `completions: plain` joins them."""
    lead = lead_tokens(scorer)
    return [answer_request(scorer, lead, case.data["prompt"], case.data["completion"], "") for case in cases]


def _by_template(scorer: Scorer, cases: Sequence[Case]) -> list[TokenRequest | str]:
    """A user's turn and the answer to it, as the tokenizer's own template writes them."""
    turns = [(Message("user", case.data["prompt"]), Message("assistant", case.data["completion"])) for case in cases]
    starts = scorer.ask([ChatRequest((user,)) for user, _ in turns])
    wholes = scorer.ask([ChatRequest(both, add_generation_prompt=False) for both in turns])
    return [_answered(start, whole) for start, whole in zip(starts, wholes, strict=True)]


def _answered(start: ChatPrompt, whole: ChatPrompt) -> TokenRequest | str:
    why = start.error or whole.error
    if why is not None:
        return why
    if not whole.text.startswith(start.text):
        return _TEMPLATE
    pairs = enumerate(zip(start.tokens, whole.tokens, strict=False))
    given = next((at for at, (left, right) in pairs if left != right), min(len(start.tokens), len(whole.tokens)))
    return TokenRequest(whole.tokens[:given], whole.tokens[given:])
