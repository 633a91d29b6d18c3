"""Cases of both probes, and their controls."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib.resources import files
from typing import Any

from harness.api.needs import Need
from harness.api.probe import Plan
from suites.bias.coreference.rows import CAUSAL, MASKED
from suites.bias.coreference.scores import Sentence
from suites.bias.slots import NEUTRAL
from suites.framing import require_start


def kind_of(plan: Plan) -> str:
    """Masked or causal. Raises NotApplicableError for a causal model without a start token."""
    require_start(plan.checkpoint)
    return MASKED if Need.MASKED_LM in plan.checkpoint.offers else CAUSAL


def with_controls(plan: Plan, items: Sequence[tuple[Sentence, Mapping[str, str]]]) -> Iterator[dict[str, Any]]:
    """Data of each case, and of its control: the same sentence about two neutral nouns, the stereotype kept.

    Nouns change from one sentence to the next, so that the controls are as many different sentences.
    """
    kind = kind_of(plan)
    for number, (sentence, said) in enumerate(items):
        for control in (False,) if said.get("excluded") else (False, True):
            shown = neutral(sentence, number) if control else sentence
            yield {"kind": kind, "control": control, "sentence": asdict(shown), **said}


def neutral(sentence: Sentence, number: int) -> Sentence:
    """The sentence about two of the neutral nouns, the `number`-th of their ordered pairs."""
    first = number % len(NEUTRAL)
    second = (first + 1 + number // len(NEUTRAL) % (len(NEUTRAL) - 1)) % len(NEUTRAL)
    nouns = {sentence.right: NEUTRAL[first], sentence.other: NEUTRAL[second]}
    nouns.pop("", None)
    nouns.pop("someone", None)
    pattern = re.compile(
        r"\b(?:(an?) )?(" + "|".join(sorted(map(re.escape, nouns), key=len, reverse=True)) + r")\b", re.I
    )

    def swapped(match: re.Match[str]) -> str:
        noun = nouns[next(name for name in nouns if name.lower() == match[2].lower())]
        return f"{'A' if match[1][0] == 'A' else 'a'} {noun}" if match[1] else noun

    return replace(
        sentence,
        female=pattern.sub(swapped, sentence.female),
        male=pattern.sub(swapped, sentence.male),
        right=nouns.get(sentence.right, sentence.right),
        other=nouns.get(sentence.other, sentence.other),
    )


@cache
def own_rows(name: str) -> tuple[dict[str, str], ...]:
    """Rows of a file of Assay's own."""
    text = files("suites.bias").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
