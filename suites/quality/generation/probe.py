"""quality/generation: what a causal language model writes, against references and by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandera.pandas as pa
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.chat import ChatRequest, Message
from harness.api.requests.sampling import Ending, Samples
from harness.api.scorer import Generation, Scorer
from harness.data.schemas import EMPTY, LISTS, has_text
from harness.errors import WrongDataError
from suites.framing import opening
from suites.quality.cells import one_or_more
from suites.quality.generation.metrics import METRICS
from suites.quality.generation.overlap import ROUGE, overlap, require, self_bleu
from suites.quality.generation.settings import Decoding, GenerationParams


class Prompts(pa.DataFrameModel):
    """Prompts; `references` is one text that would be right, or a list of such."""

    prompt: Series[str] = pa.Field(coerce=True)
    references: Series[str] | None = pa.Field(coerce=True, nullable=True, metadata={LISTS: True})

    @pa.check("prompt", error=EMPTY)
    @classmethod
    def asked(cls, values: Series[str]) -> Series[bool]:
        """A prompt says something."""
        return has_text(values)


class GenerationRow(ProbeRow):
    """One row per prompt."""

    texts: Series[object] = list_column("what the model wrote, each up to its stop string", of="string")
    references: Series[object] = list_column("texts that would be right; none where the data have none", of="string")
    tokens: Series[object] = list_column(
        "tokens written of each text, a stop string and what follows it included", "tokens", of="int64"
    )
    ended: Series[object] = list_column("1 where a text ended before the most tokens", of="int64")
    rouge1: Series[float] = column("ROUGE-1 F1, mean over texts, the best reference", nullable=True)
    rouge2: Series[float] = column("ROUGE-2 F1", nullable=True)
    rougeL: Series[float] = column("ROUGE-L F1", nullable=True)  # noqa: N815
    rougeLsum: Series[float] = column("ROUGE-L F1, line by line", nullable=True)  # noqa: N815
    bleu_counts: Series[object] = list_column(
        "words written and of the reference, n-grams shared (1 to 4), n-grams written (1 to 4); sums over texts",
        of="int64",
    )
    chrf_counts: Series[object] = list_column(
        "character n-grams written, of the reference, shared, for each of 1 to 6; sums over texts", of="int64"
    )
    self_bleu: Series[float] = column("BLEU of each text against the prompt's others, mean, 0 to 1", nullable=True)
    decoding: Series[str] = column("greedy, sample or beam", isin=[*Decoding])
    max_new_tokens: Series[int] = column("most tokens of a text", "tokens")
    stop: Series[object] = list_column("strings before which a text ends", of="string")
    temperature: Series[float] = column("divides logits; 1 but by sample")
    top_k: Series[int] = column("likeliest tokens kept, 0: all", "tokens")
    top_p: Series[float] = column("probability of the likeliest tokens kept")
    repetition_penalty: Series[float] = column("of tokens that came before")
    seed: Series[int] = column("of the draws")
    beams: Series[int] = column("hypotheses at once; 1 but by beam")
    length_penalty: Series[float] = column("power of the length that beam scores are divided by")
    chat: Series[bool] = column("whether the prompt went through the chat template")


class GenerationQuality(Probe[GenerationParams]):
    """Overlap with references, variety, repetition and length of what a model writes."""

    name = "quality/generation"
    about = About(
        summary="What a language model writes to a prompt: like the references, varied, without repeating itself",
        paper="Lin 2004 (ROUGE); Papineni et al. 2002 and Post 2018 (BLEU); Popovic 2015 (chrF); Li et al. 2016 "
        "(distinct-n); Zhu et al. 2018 (self-BLEU); Welleck et al. 2020 (repetition)",
        cannot_tell="whether a text is right or good that is worded otherwise; ROUGE reads ASCII letters and digits "
        "alone, so it is 0 for other scripts, and n-grams are of words between blanks",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs = {"tasks": Input(Prompts, "`prompt`, and `references` where there are such")}  # noqa: RUF012
    metrics = METRICS
    nothing = "no prompt was answered"
    Params = GenerationParams
    Row = GenerationRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per prompt. Raises WrongDataError for a prompt without references among others that have some."""
        data = plan.data["tasks"]
        has = "references" in data.frame
        if self.params.overlap and (has or self.params.samples > 1):
            require()
        found = []
        for row, prompt in enumerate(data.frame["prompt"]):
            references = one_or_more(data.frame["references"].iloc[row]) if has else []
            if has and not references:
                raise WrongDataError(
                    f"{data.source.source}: row {row + 1} has no reference; add one, leave the row out, or take the "
                    "whole column out to measure texts by themselves"
                )
            found.append({"prompt": prompt, "references": references})
        return make_cases(found)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per prompt."""
        prompts = self._prompts(scorer, cases)
        todo = [at for at, prompt in enumerate(prompts) if not isinstance(prompt, str)]
        asked: list[Any] = [self.params.request(prompts[at]) for at in todo]  # type: ignore[arg-type]
        answers = dict(zip(todo, scorer.ask(asked), strict=True))
        for at, case in enumerate(cases):
            answer = answers.get(at)
            why = prompts[at] if answer is None else answer.error
            yield error_row(case, str(why)) if answer is None or why is not None else self._row(case, answer)

    def _prompts(self, scorer: Scorer, cases: Sequence[Case]) -> list[tuple[int, ...] | str]:
        """Tokens of each prompt, or why there are none."""
        if not self.params.chat:
            return [_joined(*opening(scorer, case.data["prompt"])) for case in cases]
        system = (Message("system", self.params.system),) if self.params.system else ()
        asked = [ChatRequest((*system, Message("user", case.data["prompt"]))) for case in cases]
        return [answer.tokens if answer.error is None else answer.error for answer in scorer.ask(asked)]

    def _row(self, case: Case, answer: Generation | Samples) -> RowDict:
        params, references = self.params, case.data["references"]
        written = _written(answer, params)
        texts = [text for text, _, _ in written]
        shared = overlap(texts, references) if params.overlap and references else None
        return ok_row(
            case,
            texts=texts,
            references=references,
            tokens=[tokens for _, tokens, _ in written],
            ended=[int(ended) for _, _, ended in written],
            **(dict.fromkeys(ROUGE) if shared is None else shared.rouge),
            bleu_counts=[] if shared is None else shared.bleu,
            chrf_counts=[] if shared is None else shared.chrf,
            self_bleu=self_bleu(texts) if params.overlap else None,
            decoding=params.decoding.value,
            beams=params.beams if params.decoding is Decoding.BEAM else 1,
            stop=list(params.stop),
            **{name: getattr(params, name) for name in _AS_SET},
        )

    def cost(self, cases: Sequence[Case]) -> int:
        """Prompts, and every text to its full length."""
        return super().cost(cases) + len(cases) * self.params.samples * self.params.max_new_tokens


_AS_SET = (
    *("max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty"),
    *("seed", "length_penalty", "chat"),
)
"""Settings that a row has as they are."""


def _joined(before: tuple[int, ...], tokens: tuple[int, ...]) -> tuple[int, ...] | str:
    return before + tokens or "the tokenizer makes no token of this prompt"


def _written(answer: Generation | Samples, params: GenerationParams) -> list[tuple[str, int, bool]]:
    """Text, tokens, and whether it ended by itself, of each text."""
    if isinstance(answer, Samples):
        return [(one.text, len(one.tokens), one.ending is not Ending.LENGTH) for one in answer.samples]
    ends = [at for stop in params.stop if (at := answer.text.find(stop)) >= 0]
    text = answer.text[: min(ends, default=len(answer.text))]
    return [(text, len(answer.tokens), bool(ends) or len(answer.tokens) < params.max_new_tokens)]
