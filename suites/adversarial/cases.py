"""Texts cut to cases, and a seed for each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from harness.api.case import Case, make_cases
from suites.words import first_words

if TYPE_CHECKING:
    pass


def joined(text: str, pair: str | None) -> str:
    """A pair as one text, as TextAttack joins it."""
    return text if pair is None else f"{text}\n{pair}"


def case_seed(seed: int, case_id: str) -> int:
    """The 32-bit seed of one case's random choices."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{case_id}".encode()).digest()[:4], "big")


def cut_cases(frame: pd.DataFrame, classes: Sequence[int], most: int | None) -> list[Case]:
    """One case per row: its texts (`text`, and `pair` where there is one) cut to their first words, its label.

    `words_cut` counts the words cut off both.
    """
    parts = [name for name in ("text", "pair") if name in frame]
    cut = {name: [first_words(text, most) for text in frame[name]] for name in parts}
    return make_cases(
        {
            **{name: cut[name][row][0] for name in parts},
            "label": label,
            "words_cut": sum(cut[name][row][1] for name in parts),
        }
        for row, label in enumerate(classes)
    )
