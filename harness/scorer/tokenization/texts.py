"""Texts and pairs to token rows: tokenised once, cut to the model's length with the loss counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.api.scorer import InputRequest


class Text(Protocol):
    """What a tokenizer is given: a text, or a pair."""

    @property
    def text(self) -> str:
        """The text, or the first of a pair."""
        ...

    @property
    def pair(self) -> str | None:
        """The second of a pair."""
        ...


@dataclass(frozen=True, slots=True)
class TextRow:
    """Token ids and segment ids of one text or pair; `truncated` tokens were cut off."""

    ids: list[int]
    segments: list[int]
    truncated: int = 0


def tokenise(tokenizer: Any, requests: Sequence[Text], max_tokens: int) -> list[TextRow]:
    """A row of at most `max_tokens` per request; over-long pairs lose tokens of the longer text first."""
    rows = _call(tokenizer, requests, truncation=False)
    long = [index for index, row in enumerate(rows) if len(row.ids) > max_tokens]
    cut = _cut(tokenizer, [requests[index] for index in long], [rows[index] for index in long], max_tokens)
    for index, row in zip(long, cut, strict=True):
        rows[index] = TextRow(row.ids, row.segments, len(rows[index].ids) - len(row.ids))
    return rows


def _cut(tokenizer: Any, requests: Sequence[Text], whole: Sequence[TextRow], max_tokens: int) -> list[TextRow]:
    """Over-long rows as the tokenizer cuts them.

    Rows of single texts are cut here where that gives what the tokenizer makes of the first: it would read all again,
    which takes as long as the first time.
    """
    single = [index for index, request in enumerate(requests) if request.pair is None]
    if len(single) > 1 and tokenizer.truncation_side == "right":
        end = _added_at_the_end(tokenizer)
        if _call(tokenizer, [requests[single[0]]], truncation=True, max_length=max_tokens) == [
            _shortened(whole[single[0]], max_tokens, end)
        ]:
            found = {index: _shortened(whole[index], max_tokens, end) for index in single}
            pairs = [index for index in range(len(requests)) if index not in found]
            others = _call(tokenizer, [requests[index] for index in pairs], truncation=True, max_length=max_tokens)
            found.update(zip(pairs, others, strict=True))
            return [found[index] for index in range(len(requests))]
    return _call(tokenizer, requests, truncation=True, max_length=max_tokens)


def _added_at_the_end(tokenizer: Any) -> int:
    """How many special tokens follow a text."""
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return mask[::-1].index(0) if 0 in mask else 0


def _shortened(row: TextRow, length: int, end: int) -> TextRow:
    """The row without the tokens before its last `end` that are too many."""
    left, after = length - end, len(row.ids) - end
    return TextRow(row.ids[:left] + row.ids[after:], row.segments[:left] + row.segments[after:])


def to_rows(tokenizer: Any, requests: Sequence[Text | InputRequest], max_tokens: int) -> list[TextRow]:
    """Texts tokenised, tokens as they are."""
    texts = [request for request in requests if not isinstance(request, InputRequest)]
    tokenised = iter(tokenise(tokenizer, texts, max_tokens))
    return [_given(request) if isinstance(request, InputRequest) else next(tokenised) for request in requests]


def to_input(row: TextRow) -> InputRequest:
    """The request that reads the same."""
    return InputRequest(tuple(row.ids), tuple(row.segments), row.truncated)


def _given(request: InputRequest) -> TextRow:
    return TextRow(list(request.tokens), list(request.segments or (0,) * len(request.tokens)), request.truncated)


def _call(tokenizer: Any, requests: Sequence[Text], **options: Any) -> list[TextRow]:
    rows: dict[int, TextRow] = {}
    for paired in (False, True):  # tokenizers take all pairs or none
        chosen = [index for index, request in enumerate(requests) if (request.pair is not None) is paired]
        if not chosen:
            continue
        texts = [requests[index].text for index in chosen]
        pairs = [requests[index].pair for index in chosen] if paired else None
        encoded = tokenizer(texts, pairs, padding=False, return_token_type_ids=True, verbose=False, **options)
        made = map(TextRow, encoded["input_ids"], encoded["token_type_ids"])
        rows.update(zip(chosen, made, strict=True))
    return [rows[index] for index in range(len(requests))]


def reads_segments(model: Any) -> bool:
    """Whether segment ids mean something to the model. GPT-2 would take them too, but as words."""
    config = model.config
    return int(getattr(config, "type_vocab_size", 0) or 0) > 1 or config.model_type == "xlnet"


def refuse_segments(row: TextRow, model: Any) -> str | None:
    """Why a model that reads segment ids cannot read these: not one per token, or one it lacks (fatal on CUDA)."""
    if len(row.segments) != len(row.ids):
        return f"{len(row.segments)} segment ids for {len(row.ids)} tokens"
    kinds = int(getattr(model.config, "type_vocab_size", 0) or 0)
    if kinds and not all(0 <= segment < kinds for segment in row.segments):
        return f"a segment id is outside the model's {kinds}"
    return None


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids that stand for no text: all special tokens but the unknown one, unless it doubles as another (GPT-2)."""
    roles = ("bos", "eos", "cls", "sep", "pad", "mask")
    others = {getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    unknown = {tokenizer.unk_token_id} - others
    return frozenset(tokenizer.all_special_ids) - unknown
