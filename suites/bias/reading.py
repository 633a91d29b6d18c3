"""Whether a model can read a text at all: one whose vocabulary lacks its characters sees unknown tokens."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.scorer import Scorer, TextRequest

_UNKNOWN = frozenset({"[UNK]", "<unk>", "<UNK>"})
SAME = "the sentences are the same tokens to the model, so that it cannot prefer one"
MOST_UNKNOWN = 0.5
"""Share of unknown tokens from which on a text counts as unread: more than half of it is one and the same sign."""


def unknown_share(scorer: Scorer, text: str) -> float:
    """Share of the text's tokens that stand for what the vocabulary lacks; 0 for a text without tokens."""
    tokens = scorer.encode(text, special=False)
    unknown = {token: scorer.decode((token,)).strip() in _UNKNOWN for token in set(tokens)}
    return sum(unknown[token] for token in tokens) / len(tokens) if tokens else 0.0


def why_unread(scorer: Scorer, texts: Sequence[str]) -> str | None:
    """Why a model's answers to versions of a text say nothing of how they differ; None where it can read them."""
    tokens = [scorer.encode(text, special=False) for text in texts]
    if len(set(tokens)) < len(set(texts)):
        return "versions of it are the same tokens to the model, whose vocabulary lacks the words that differ"
    read = scorer.inputs_of([TextRequest(text) for text in texts])
    if len({each.tokens for each in read}) < len(set(texts)):
        return f"versions of it differ only after the {scorer.max_tokens} tokens that the model reads"
    worst = max(unknown_share(scorer, text) for text in texts)
    if worst > MOST_UNKNOWN:
        return f"the model cannot read it: {worst:.0%} of its tokens are unknown to its vocabulary"
    return None
