"""`memorization/extraction`: does a causal LM, given the start of a training text, write on as the text does?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from pydantic import Field

from harness.api.case import Case
from harness.api.declared import Declared
from harness.api.models import Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, RowDict, error_row, ok_row
from harness.api.requests.chances import SequenceChanceRequest, SequenceChances
from harness.api.requests.sampling import SampleRequest, Samples
from harness.api.scorer import GenerateRequest, Generation, Scorer
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import DataSource
from harness.data.schemas import Texts
from suites.framing import Ids, opening
from suites.memorization.continuation.near import bleu, edit_share
from suites.memorization.extraction.columns import ExtractionRow
from suites.memorization.extraction.copies import (
    COUNTED_CHARACTERS,
    bucket_of,
    count_in,
    counter,
    suffix_text,
    text_index,
)
from suites.memorization.extraction.matches import common_prefix, overlap
from suites.memorization.extraction.metrics import extraction_metrics
from suites.memorization.members import MEMBERS, manifest_sources
from suites.memorization.side_metrics import NO_WINDOW
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


class ExtractionParams(WindowParams):
    """Lengths as in the paper. Windows are cut by characters, so that the work is the same for every tokenizer."""

    prefix_tokens: int = Field(default=50, ge=1, description="tokens of the text that the model is given")
    suffix_tokens: int = Field(default=50, ge=1, description="tokens it must continue with, greedily")
    window_chars: int | None = Field(default=None, ge=1, description="characters of a window; default 6 per token")
    n: int = Field(default=100, ge=1, description="np_extractable_share: samples that one may draw")
    p: float = Field(default=0.5, gt=0, le=1, description="np_extractable_share: chance that one of them is the suffix")
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="of sampling")
    top_k: int = Field(default=40, ge=0, description="likeliest tokens that are sampled from; 0: all")
    top_p: float = Field(default=1.0, gt=0, le=1, description="probability that is sampled from")
    samples: int = Field(default=0, ge=0, le=10_000, description="samples that are drawn of each window; 0: none")
    index: str | None = Field(
        default=None,
        description="folder of an index of the training text (assay data FILE --index FOLDER) that copies are counted "
        "in; default: a small training file itself",
    )


_DEFAULTS = ExtractionParams()
_COPIES = "copies"


@dataclass(frozen=True, slots=True)
class _Window:
    """A case as tokens: the prefix with what is read before it, and the suffix."""

    case: Case
    prompt: Ids
    suffix: Ids


class Extraction(Probe[ExtractionParams]):
    """Discoverable extraction: prompt with the true prefix, decode greedily, compare with the true suffix."""

    name = "memorization/extraction"
    about = About(
        summary="How often the model continues a text word for word, beside texts it cannot have seen.",
        paper="Carlini et al. 2023, Quantifying Memorization Across Neural Language Models",
        cannot_tell=(
            "Only the given texts are tried, with their true prefix, greedily and under one way of sampling; other "
            "prompts may extract more. Without a training manifest the default texts are public boilerplate, not "
            "private records, and the control differs from them in kind."
        ),
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs: ClassVar[dict[str, Input]] = {
        TEXTS: Input(Texts, "texts that may have been trained on (default: the manifest's members)", LICENCE),
        CONTROL: Input(Texts, "texts never trained on (default: the manifest's non-members)", UNSEEN),
    }
    metrics = extraction_metrics(None, _DEFAULTS.n, _DEFAULTS.p)
    nothing = NO_WINDOW
    Params = ExtractionParams
    Row = ExtractionRow

    @classmethod
    def default_data(cls, checkpoint: CheckpointInfo) -> dict[str, DataSource]:
        """Members and non-members of the training manifest, where there is one of a causal LM."""
        return default_sides(checkpoint, "causal_lm", super().default_data(checkpoint))

    def cases(self, plan: Plan) -> list[Case]:
        """One case per window of each side.

        Raises DataError where the manifest's records have changed, UsageError where the index cannot be read.
        """
        if self.params.index is not None:
            text_index(self.params.index)
        size = self.params.window_chars or CHARS_PER_TOKEN * (self.params.prefix_tokens + self.params.suffix_tokens)
        return side_cases(plan, self.default_data(plan.checkpoint), self.params.cut(size))

    def cost(self, cases: Sequence[Case]) -> int:
        """Prefix and suffix are read once to generate, once to score, and once for each sample."""
        return (2 + self.params.samples) * len(cases) * (self.params.prefix_tokens + self.params.suffix_tokens)

    def prepare(self, models: Models, plan: Plan) -> None:
        """Counts each suffix in the training file, where that is given, small, and nobody made an index of it."""
        texts = plan.data.get(TEXTS)
        if self.params.index is not None or texts is None:
            return
        if texts.source != manifest_sources(plan.checkpoint).get(MEMBERS):
            return
        training = [str(text) for text in texts.frame["text"]]
        if sum(map(len, training)) <= COUNTED_CHARACTERS:
            self.kept.value(_COPIES, lambda: count_in(training, self._spelt(models.subject, plan.cases)))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """Generates each suffix, scores the true one, and draws samples if any are asked for."""
        windows: list[_Window] = []
        for case in cases:
            window = self._window(scorer, case)
            if isinstance(window, str):
                yield error_row(case, window)
            else:
                windows.append(window)
        written = scorer.ask([GenerateRequest(each.prompt, len(each.suffix)) for each in windows])
        sampling = self.params.temperature, self.params.top_k, self.params.top_p
        scored = scorer.ask([SequenceChanceRequest(each.prompt, each.suffix, *sampling) for each in windows])
        drawn = self._draw(scorer, windows)
        copies = self._copies(scorer, windows)
        for window, generation, chances, samples in zip(windows, written, scored, drawn, strict=True):
            why = generation.error or chances.error or samples.error
            if why:
                yield error_row(window.case, why)
            else:
                row = self._row(scorer, window, generation, chances, samples)
                yield {**row, **_counted(window, copies.get(window.case.id))}

    def declared(self) -> tuple[Declared, ...]:
        """With the most tokens that can match, and what counts as extractable."""
        return extraction_metrics(self.params.suffix_tokens, self.params.n, self.params.p)

    def _window(self, scorer: Scorer, case: Case) -> _Window | str:
        """The case as tokens, or why it cannot be read."""
        lead, tokens = opening(scorer, case.data["text"])
        needed = self.params.prefix_tokens + self.params.suffix_tokens
        if len(tokens) < needed:
            return f"too short: {len(tokens)} tokens, {needed} needed"
        if len(lead) + needed > scorer.max_tokens:
            return f"the model reads {scorer.max_tokens} tokens, {len(lead) + needed} needed"
        prefix = tokens[: self.params.prefix_tokens]
        return _Window(case, (*lead, *prefix), tokens[self.params.prefix_tokens : needed])

    def _draw(self, scorer: Scorer, windows: Sequence[_Window]) -> list[Samples]:
        """Samples of each window; by its case alone, so that it draws the same in any company."""
        if not self.params.samples:
            return [Samples(())] * len(windows)
        return scorer.ask(
            [
                SampleRequest(
                    each.prompt,
                    len(each.suffix),
                    seed=int.from_bytes(sha256(each.case.id.encode()).digest()[:8]),
                    samples=self.params.samples,
                    temperature=self.params.temperature,
                    top_k=self.params.top_k,
                    top_p=self.params.top_p,
                )
                for each in windows
            ]
        )

    def _copies(self, scorer: Scorer, windows: Sequence[_Window]) -> Mapping[str, int]:
        """Copies of each suffix by case, as far as they can be counted."""
        if self.params.index is None:
            counted: dict[str, int] = self.kept.value(_COPIES, dict)
            return counted
        count = counter(text_index(self.params.index))
        return {key: count(text) for key, text in self._spelt(scorer, [each.case for each in windows]).items()}

    def _spelt(self, scorer: Scorer, cases: Sequence[Case]) -> dict[str, str]:
        """The suffix of each case as it is spelt in its text, where that can be told."""
        found = {}
        for case in cases:
            window = self._window(scorer, case)
            text = None if isinstance(window, str) else suffix_text(scorer, case.data["text"], window.suffix)
            if text is not None:
                found[case.id] = text
        return found

    def _row(
        self,
        scorer: Scorer,
        window: _Window,
        generation: Generation,
        chances: SequenceChances,
        samples: Samples,
    ) -> RowDict:
        suffix = window.suffix
        matched = common_prefix(generation.tokens, suffix)
        hits = sum(sample.tokens == suffix for sample in samples.samples)
        return ok_row(
            window.case,
            **{name: window.case.data[name] for name in ("side", "document", "offset")},
            prefix=scorer.decode(window.prompt[-self.params.prefix_tokens :]),
            suffix=scorer.decode(suffix),
            generated=generation.text,
            exact=matched == len(suffix),
            matched=matched,
            overlap=overlap(generation.tokens, suffix),
            logprob=min(0.0, float(chances.logprobs.sum())),
            edit=edit_share(generation.tokens, suffix),
            bleu=min(1.0, bleu(generation.tokens, suffix)),
            chance=chances.chance,
            sampled=hits if self.params.samples else None,
        )


def _counted(window: _Window, copies: int | None) -> RowDict:
    """A control is in no bucket: it was not trained on, however often its words are."""
    is_sliced = copies is not None and window.case.data["side"] == TEXTS
    return {"copies": copies, "bucket": bucket_of(copies) if copies is not None and is_sliced else ""}
