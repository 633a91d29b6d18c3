"""Strided windows over a tokenised text: every token is scored once, later ones with context before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.api.scorer import MaskedRequest, Scorer, TokenRequest, TokenScores
from harness.errors import UsageError
from suites.framing import causal_frame, masked_frame


@dataclass(frozen=True, slots=True)
class Windows:
    """At most `context` tokens are read at once, special ones included; later windows score `stride` new tokens."""

    context: int
    stride: int

    def spans(self, n: int, size: int) -> Iterator[tuple[int, int, int]]:
        """(begin, first scored, end) of windows of at most `size` over n tokens; the scored parts tile 0..n."""
        scored = 0
        while scored < n:
            end = min(n, size if scored == 0 else scored + min(self.stride, size))
            yield max(0, end - size), scored, end
            scored = end


def score_causal(scorer: Scorer, texts: Sequence[str], windows: Windows) -> list[list[TokenScores]]:
    """Scores of each text's windows, [texts][windows]; a text without tokens has none.

    The first token is conditioned on the start token, also where the text brings its own; windows are those of
    lm-evaluation-harness (lm_eval/utils.py, get_rolling_token_windows with context_len = context - stride + 1).
    """
    requests = [_causal_requests(scorer, text, windows) for text in texts]
    answers = iter(scorer.ask([request for mine in requests for request in mine]))
    return [list(islice(answers, len(mine))) for mine in requests]


def score_masked(scorer: Scorer, texts: Sequence[str], windows: Windows) -> list[list[TokenScores]]:
    """Pseudo-log-likelihoods of each text's windows, [texts][windows]: every token masked alone (Salazar et al. 2020).

    Each window stands between the model's own special tokens, one of each where the text brings them; tokens of
    earlier windows serve as context only.
    """
    requests = [_masked_requests(scorer, text, windows) for text in texts]
    answers = iter(scorer.ask([request for mine in requests for request in mine]))
    return [list(islice(answers, len(mine))) for mine in requests]


def _causal_requests(scorer: Scorer, text: str, windows: Windows) -> list[TokenRequest]:
    framed = causal_frame(scorer, text)
    tokens, read = framed.tokens, framed.whole  # the token at i is predicted from read[: i + 1]
    return [
        TokenRequest(read[begin : first + 1], tokens[first:end])
        for begin, first, end in windows.spans(len(tokens), windows.context)
    ]


def _masked_requests(scorer: Scorer, text: str, windows: Windows) -> list[MaskedRequest]:
    framed = masked_frame(scorer, text)
    before, tokens, after = framed.before, framed.tokens, framed.after
    size = windows.context - len(before) - len(after)
    if size < 1:
        raise UsageError(
            f"context {windows.context} leaves no room beside the {len(before) + len(after)} special tokens that this "
            f"model reads around a text; give {len(before) + len(after) + 1} or more"
        )
    requests = []
    for begin, first, end in windows.spans(len(tokens), size):
        shift = len(before) - begin
        requests.append(MaskedRequest(before + tokens[begin:end] + after, tuple(range(first + shift, end + shift))))
    return requests
