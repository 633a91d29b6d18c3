"""Texts to token rows whose tokens know their characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.api.requests.heads import Offsets
from harness.errors import NotApplicableError
from harness.scorer.tokenization.texts import TextRow


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row, and which of its positions are tokens of the text asked about, with their characters."""

    row: TextRow
    places: tuple[int, ...]
    offsets: Offsets


def require_offsets(tokenizer: Any, source: str) -> None:
    """Raises NotApplicableError for a tokenizer that does not say which characters a token stands for."""
    if not tokenizer.is_fast:
        raise NotApplicableError(
            f"{source}: its tokenizer is a slow one ({type(tokenizer).__name__}), which gives no character offsets; "
            "save the checkpoint with a fast tokenizer (tokenizer.json)"
        )


def place_texts(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[PlacedRow]:
    """A row per text; an over-long one is cut at its end."""
    return _place(tokenizer, [(text,) for text in texts], max_tokens)


def place_contexts(tokenizer: Any, pairs: Sequence[tuple[str, str]], max_tokens: int) -> list[PlacedRow | str]:
    """A row per (question, context), of which the context may be cut, or why not even its question fits."""
    special = tokenizer.num_special_tokens_to_add(pair=True)
    needs = [len(tokenizer(question, add_special_tokens=False)["input_ids"]) + special for question, _ in pairs]
    fits = [need < max_tokens for need in needs]
    placed = iter(_place(tokenizer, [pair for pair, fit in zip(pairs, fits, strict=True) if fit], max_tokens))
    return [
        next(placed) if fit else f"the question takes {need} of the {max_tokens} tokens the model reads at once"
        for fit, need in zip(fits, needs, strict=True)
    ]


def _place(tokenizer: Any, asked: Sequence[tuple[str, ...]], max_tokens: int) -> list[PlacedRow]:
    """The last text of each of `asked` is the one whose tokens are placed, and the one that is cut."""
    if not asked:
        return []
    options: dict[str, Any] = {"return_offsets_mapping": True, "return_token_type_ids": True, "verbose": False}
    last = len(asked[0]) - 1
    columns = [list(column) for column in zip(*asked, strict=True)]
    cut = "only_second" if last else "only_first"
    whole = tokenizer(*columns, padding=False, truncation=False, verbose=False)["input_ids"]
    kept = tokenizer(*columns, padding=False, truncation=cut, max_length=max_tokens, **options)
    rows = []
    for at, texts in enumerate(asked):
        ids, segments = kept["input_ids"][at], kept["token_type_ids"][at]
        own = [place for place, which in enumerate(kept.sequence_ids(at)) if which == last]
        offsets = tuple(_trimmed(texts[last], *kept["offset_mapping"][at][place]) for place in own)
        rows.append(PlacedRow(TextRow(ids, segments, len(whole[at]) - len(ids)), tuple(own), offsets))
    return rows


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends, which byte-level tokens begin with; as it is where it is nothing else.

    A token that stands for no character of the text (a part of one that takes several bytes) keeps its span too.
    """
    word = text[start:end].strip()
    if not word:
        return start, end
    first = start + text[start:end].index(word)
    return first, first + len(word)
