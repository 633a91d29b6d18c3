"""quality/lambada: the last word of a passage that only the whole passage tells, and the paper's last token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import MeanOf, RatioOf, ShareOf, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Scorer, TokenRequest, TokenScores
from harness.data.schemas import Texts
from harness.errors import WrongDataError
from suites.continuation import answer_request, lead_tokens, within


class LambadaRow(ProbeRow):
    """One row per passage."""

    word: Series[str] = column("the last word, which is to be predicted")
    tokens: Series[int] = column("tokens of the last word", "tokens", ge=1)
    nll: Series[float] = column("summed -log p of the last word's tokens", "nats")
    greedy: Series[bool] = column("whether each of them is the likeliest, so that greedy decoding writes the word")
    last_nll: Series[float] = column("-log p of the passage's last token, the ones before it given", "nats")
    last_greedy: Series[bool] = column("whether the last token is the likeliest, the ones before it given")
    truncated: Series[int] = column("tokens at the passage's beginning that the model cannot read", "tokens", ge=0)


_WORD = "all tokens of the word, as EleutherAI lm-evaluation-harness counts it"
_TOKEN = "the last token only, the word's others given, as the GPT-2 paper counts it; easier than the whole word"


class Lambada(Probe[ProbeParams]):
    """Last-word prediction by a causal LM, counted both ways that published numbers are."""

    name = "quality/lambada"
    about = About(
        summary="How often a language model predicts the last word of a passage, and the passage's last token",
        paper="Paperno et al. 2016, The LAMBADA dataset; Radford et al. 2019 (GPT-2), whose accuracy is of the last "
        "token (github.com/EleutherAI/lm-evaluation-harness/issues/356)",
        cannot_tell="whether another word would have done as well; the numbers of papers, which differ in what they "
        "count, in how the passages' quotes and blanks are written, and in filters for stop words; anything about "
        "passages in training data",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs = {"passages": Input(Texts, "passages that end in the word to predict")}  # noqa: RUF012
    metrics = (
        ShareOf("last_word_accuracy", Better.HIGHER, "greedy", note=_WORD),
        MeanOf(
            *("last_word_perplexity", Better.LOWER, "nll"),
            finish=np.exp,
            bounds=POSITIVE,
            note=f"exp of the mean -log p of a word: {_WORD}",
        ),
        RatioOf(
            *("last_word_token_perplexity", Better.LOWER, "nll", "tokens"),
            finish=np.exp,
            bounds=POSITIVE,
            per_token=True,
            headline=False,
            note="exp of -log p per token of the last words",
        ),
        ShareOf("last_token_accuracy", Better.HIGHER, "last_greedy", note=_TOKEN),
        MeanOf(
            *("last_token_perplexity", Better.LOWER, "last_nll"),
            finish=np.exp,
            bounds=POSITIVE,
            per_token=True,
            note=_TOKEN,
        ),
        ShareOf("truncated_rate", Better.LOWER, of(lambda cut: cut > 0, "truncated"), headline=False),
    )
    nothing = "no passage could be scored"
    Row = LambadaRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per passage. Raises WrongDataError for one of a single word: nothing tells its last."""
        data = plan.data["passages"]
        return make_cases(_split(text, row, data.source.source) for row, text in enumerate(data.frame["text"], start=1))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per passage."""
        lead = lead_tokens(scorer)
        asked = [
            within(answer_request(scorer, lead, case.data["passage"], case.data["word"], " "), scorer.max_tokens)
            for case in cases
        ]
        answers = scorer.ask([request for request, _ in asked])
        for case, (request, cut), answer in zip(cases, asked, answers, strict=True):
            yield _row(case, request, cut, answer)


def _split(text: str, row: int, where: str) -> dict[str, str]:
    """The passage up to its last word, and that word with the blank before it, as they are written."""
    ends = text.rstrip()
    start = max((at for at, letter in enumerate(ends) if letter.isspace()), default=-1)
    passage = ends[: max(0, start)].rstrip()
    if not passage:
        raise WrongDataError(
            f"{where}: row {row} of those used is a single word, and a last word is predicted from those before it; "
            "leave the row out"
        )
    return {"passage": passage, "word": ends[len(passage) :]}


def _row(case: Case, request: TokenRequest, cut: int, answer: TokenScores) -> RowDict:
    why = answer.error or ("" if request.target else "the tokenizer makes no token of the last word")
    if why:
        return error_row(case, why)
    return ok_row(
        case,
        word=case.data["word"].strip(),
        tokens=len(request.target),
        nll=-float(answer.logprobs.sum()),
        greedy=bool(answer.greedy.all()),
        last_nll=-float(answer.logprobs[-1]),
        last_greedy=bool(answer.greedy[-1]),
        truncated=cut,
    )
