"""The measures of pairs of texts, batched over pairs, by models loaded once per process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from harness.api.needs import Need
from harness.api.probe import RowDict
from harness.api.scorer import Scorer
from harness.errors import UsageError
from suites.adversarial.resources.finding import Found, ResourceMissing, find
from suites.adversarial.semantics.columns import SEMANTIC_COLUMNS
from suites.adversarial.semantics.fluency import Perplexities
from suites.adversarial.semantics.grammar import load_grammar
from suites.adversarial.semantics.params import Measure, SemanticsParams
from suites.adversarial.semantics.sentences import SentenceVectors, similarities
from suites.adversarial.semantics.unmeasured import Unmeasured

RESOURCE: Mapping[Measure, str] = {
    "similarity": "sentence-encoder",
    "grammar": "grammar-tagger",
    "perplexity": "causal-lm",
}
"""The resource that takes each measure."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What takes a measure: a value or `Unmeasured` per text, and what it is, for rows and reports."""

    read: Callable[[Sequence[str]], Sequence[Any]]
    described: str


Load = Callable[[Measure], Instrument | Unmeasured]


class SemanticMeasures:
    """Measures pairs of an original and a perturbed text.

    Args:
        params: which measures, and where the user's own models lie; thresholds are not applied here.
        device: auto, cpu, cuda or mps, of the sentence encoder and the language model; both run in float32.
        load: gives the instrument of a measure; None: found as a resource and shared by the whole process.

    Nothing is loaded before the first pair with a perturbed text. Not for use from two threads at once.
    """

    def __init__(self, params: SemanticsParams, *, device: str = "auto", load: Load | None = None) -> None:
        self._params = params
        self._load = load or (lambda measure: load_instrument(measure, params.path(measure), device))

    def measure(self, pairs: Sequence[tuple[str, str | None]]) -> list[RowDict]:
        """The columns of each pair, in order; all empty where there is no perturbed text.

        Each distinct text is read once. A measure whose resource is missing is empty, with the reason. Raises
        UsageError where the user's own resource is wrong.
        """
        rows: list[RowDict] = [dict.fromkeys(SEMANTIC_COLUMNS) for _ in pairs]
        open_ = [(row, first, second) for row, (first, second) in zip(rows, pairs, strict=True) if second is not None]
        if not open_:
            return rows
        texts = list(dict.fromkeys(text for _, *both in open_ for text in both))
        sources: dict[str, str] = {}
        missing: list[dict[str, str]] = [{} for _ in open_]
        for measure in dict.fromkeys(self._params.measures):
            instrument = self._load(measure)
            if isinstance(instrument, Unmeasured):
                values = dict.fromkeys(texts, instrument)
            else:
                sources[measure] = instrument.described
                values = dict(zip(texts, instrument.read(texts), strict=True))
            for (row, first, second), gone in zip(open_, missing, strict=True):
                why = _FILL[measure](row, values[first], values[second])
                if why is not None:
                    gone[measure] = why
        for (row, _, _), gone in zip(open_, missing, strict=True):
            row["semantics_source"] = json.dumps(sources) if sources else None
            row["semantics_missing"] = json.dumps(gone) if gone else None
        return rows


@cache
def load_instrument(measure: Measure, path: str | None, device: str = "auto") -> Instrument | Unmeasured:
    """The instrument of a measure, from the user's path or wherever its resource is found; loaded once per process.

    Of grammar always (a tagger, or a server that takes seconds to start), of the others outside an audit only.

    `Unmeasured` where the resource, or what runs it, is missing or cannot be loaded. Raises UsageError where what the
    user gave is wrong.
    """
    try:
        found = find(RESOURCE[measure], path)
    except ResourceMissing as error:
        return Unmeasured(str(error))
    try:
        return Instrument(_load(measure, found, device), found.described)
    except UsageError as error:
        if found.source == "user" and not isinstance(error, ResourceMissing):
            raise
        return Unmeasured(str(error))


def _scorer(found: Found, device: str, need: Need | None = None) -> Scorer:
    """In float32 whatever the device: thresholds must not hang on rounding."""
    from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(CheckpointSource(source=str(found.path)))
    if need is not None and need not in info.offers:
        raise UsageError(f"{found.path}: offers no {need}, which {found.name} has to be; give another")
    return HFScorer(load_checkpoint(info, device=device, dtype="fp32"))


def _load(measure: Measure, found: Found, device: str) -> Callable[[Sequence[str]], Sequence[Any]]:
    if measure == "grammar":
        return load_grammar(found)
    return READERS[measure](_scorer(found, device, Need.CAUSAL_LM if measure == "perplexity" else None))


READERS: Mapping[Measure, Callable[[Scorer], Callable[[Sequence[str]], Sequence[Any]]]] = {
    "similarity": SentenceVectors,
    "perplexity": Perplexities,
}
"""Measures that a model takes, by what reads them off it; grammar is taken by a tool that is no checkpoint."""


def _fill_similarity(row: RowDict, first: Any, second: Any) -> str | None:
    """Sets the columns; says why they stay empty."""
    for vector in (first, second):
        if isinstance(vector, Unmeasured):
            return vector.why
    found = similarities(first, second)
    if isinstance(found, Unmeasured):
        return found.why
    row["similarity"], row["angular_similarity"] = found
    return None


def _fill_both(stem: str, row: RowDict, first: Any, second: Any) -> str | None:
    """Sets the columns of both texts; says why either stays empty."""
    why = None
    for end, value in (("before", first), ("after", second)):
        if isinstance(value, Unmeasured):
            why = why or value.why
        else:
            row[f"{stem}_{end}"] = value
    return why


_FILL: Mapping[Measure, Callable[[RowDict, Any, Any], str | None]] = {
    "similarity": _fill_similarity,
    "grammar": partial(_fill_both, "grammar_errors"),
    "perplexity": partial(_fill_both, "perplexity"),
}
