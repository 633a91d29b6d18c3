"""Perplexity of single texts under a causal language model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.scorer import Scorer
from suites.adversarial.semantics.unmeasured import Unmeasured
from suites.framing import start_or_none
from suites.quality.windows import Windows, score_causal

_LARGEST_CONTEXT = 1024


class Perplexities:
    """exp(-sum log p / tokens) of each text by itself, its first token given the start token.

    Not the number of TextAttack's `Perplexity` metric, which joins all texts into one string. Longer texts are read in
    windows of which half is context.
    """

    def __init__(self, scorer: Scorer) -> None:
        context = min(scorer.max_tokens, _LARGEST_CONTEXT)
        self._scorer = scorer
        self._windows = Windows(context, max(1, context // 2))

    def __call__(self, texts: Sequence[str]) -> list[float | Unmeasured]:
        """One perplexity per text, in order; at least 1."""
        if start_or_none(self._scorer) is None:
            return [Unmeasured("the language model's tokenizer names no token to start a text with")] * len(texts)
        found: list[float | Unmeasured] = []
        for windows in score_causal(self._scorer, texts, self._windows):
            errors = [scores.error for scores in windows if scores.error is not None]
            logprobs = np.concatenate([scores.logprobs for scores in windows] or [np.empty(0)])
            if errors:
                found.append(Unmeasured(f"the language model gives no probabilities: {errors[0]}"))
            elif not len(logprobs):
                found.append(Unmeasured("the text has no tokens for the language model"))
            else:
                found.append(_perplexity(float(-logprobs.mean())))
        return found


def _perplexity(nats: float) -> float | Unmeasured:
    with np.errstate(over="ignore"):
        value = float(np.exp(max(0.0, nats)))
    return value if np.isfinite(value) else Unmeasured("the perplexity is not a finite number")
