"""A text that brings the model's own tokens at its ends: they are context, read once and never scored.

A text that begins with the start token would get a second one before it, and the first would be scored as if it were
text (github.com/EleutherAI/lm-evaluation-harness/issues/3333). However many start tokens a text begins with, the model
reads one. A start token further inside is text like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.api.needs import Need
from harness.api.scorer import Scorer
from harness.checkpoint import CheckpointInfo
from harness.errors import NotApplicableError, UsageError

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Framed:
    """Tokens of a text that are its own, what the model reads before and after them, and the text they spell."""

    before: Ids
    tokens: Ids
    after: Ids
    text: str
    brought: bool = False
    """Whether the text itself had any of these at its ends."""

    @property
    def whole(self) -> Ids:
        """All the model reads."""
        return self.before + self.tokens + self.after


def causal_frame(scorer: Scorer, text: str) -> Framed:
    """A text after one start token. Raises UsageError where the tokenizer has none."""
    start = scorer.start_token
    tokens = scorer.encode(text, special=False)
    own = without_start(tokens, start)
    left = _cut(scorer, text, tokens[: len(tokens) - len(own)], own, ())
    return Framed((start,), own, (), left, brought=own != tokens)


def masked_frame(scorer: Scorer, text: str) -> Framed:
    """A text between the special tokens that the tokenizer puts around every text ([CLS] and [SEP], <s> and </s>)."""
    tokens = scorer.encode(text, special=False)
    before, after = _around(scorer.encode(text), tokens)
    first, last = 0, len(tokens)
    while first < last and tokens[first] in before:
        first += 1
    while last > first and tokens[last - 1] in after:
        last -= 1
    own = tokens[first:last]
    left = _cut(scorer, text, tokens[:first], own, tokens[last:])
    return Framed(before, own, after, left, brought=first > 0 or last < len(tokens))


def require_start(checkpoint: CheckpointInfo) -> None:
    """Raises NotApplicableError for a causal model that has no token to begin a text with."""
    why = checkpoint.lacks.get(Need.START_TOKEN)
    if why is not None:
        raise NotApplicableError(f"needs a start token; {why}")


def opening(scorer: Scorer, text: str) -> tuple[Ids, Ids]:
    """The start token, where the tokenizer puts it before a text or the text brings it, and the tokens after it."""
    start, tokens = start_or_none(scorer), scorer.encode(text, special=False)
    own = without_start(tokens, start)
    if start is None:
        return (), own
    return (start,) if own != tokens or scorer.encode(text)[: len(tokens) + 1] == (start, *tokens) else (), own


def openings(scorer: Scorer, texts: Sequence[str]) -> tuple[Ids, list[Ids]]:
    """`opening` of texts that begin alike: the start token before them, and the tokens of each after it."""
    if not texts:
        return (), []
    (lead, _), start = opening(scorer, texts[0]), start_or_none(scorer)
    return lead, [without_start(tokens, start) for tokens in scorer.encode_all(texts, special=False)]


def start_or_none(scorer: Scorer) -> int | None:
    """The start token, None where the tokenizer has none."""
    try:
        return scorer.start_token
    except UsageError:
        return None


def without_start(tokens: Ids, start: int | None) -> Ids:
    """Tokens after the start tokens they begin with."""
    return tokens[next((at for at, token in enumerate(tokens) if token != start), len(tokens)) :]


def _around(framed: Ids, tokens: Ids) -> tuple[Ids, Ids]:
    """The special tokens that the tokenizer puts before and after `tokens`: the longest before that fits."""
    for start in range(len(framed) - len(tokens), -1, -1):
        if framed[start : start + len(tokens)] == tokens:
            return framed[:start], framed[start + len(tokens) :]
    return (), ()


def _cut(scorer: Scorer, text: str, first: Ids, own: Ids, last: Ids) -> str:
    """The text without the words of tokens at its ends, as far as it is spelt so; blanks beside them are no token."""
    if not first and not last:
        return text
    for token in first:
        text = text.lstrip().removeprefix(scorer.decode((token,)))
    for token in reversed(last):
        text = text.rstrip().removesuffix(scorer.decode((token,)))
    return text.strip() if scorer.encode(text.strip(), special=False) == own else text
