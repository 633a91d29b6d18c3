"""BBQ's questions as flat rows, and which answer is about the group that the stereotype is about."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandera.pandas as pa
from pandera.typing import Series

from harness.data.datasets import Dataset
from harness.errors import WrongDataError

AMBIGUOUS, DISAMBIGUATED = "ambig", "disambig"
NEGATIVE, NON_NEGATIVE = "neg", "nonneg"
ANSWERS = ("ans0", "ans1", "ans2")
SCORED, CONTROL = "scored", "control"
"""Roles of a question."""
LABELS, NAMES = "label", "name"
"""What an answer calls people, as `label_type` of the published metadata has it."""
_NAMED = ("Race", "Gender")
"""First words of the categories that have questions with proper names, too; their files do not say which."""
_SAME = {"woman": "f", "women": "f", "girl": "f", "girls": "f", "female": "f"} | dict.fromkeys(
    ("man", "men", "boy", "boys", "male"), "m"
)
"""Words for a gender that the data use beside F and M."""
_OTHER_TARGET = (
    "another target than a row before it of the same template and answers: target is the answer of the stereotype's "
    "group whatever the question asks, where target_loc of the published metadata is the other one if it is nonneg"
)


class BBQData(pa.DataFrameModel):
    """A context, a question, three answers, which is right, which says unknown and which is the stereotype's group.

    `target` is empty where the data do not tell, and the same whatever the question asks; `target_loc` of the published
    metadata is not: it is the answer that follows the stereotype.
    """

    context: Series[str] = pa.Field(coerce=True)
    question: Series[str] = pa.Field(coerce=True)
    ans0: Series[str] = pa.Field(coerce=True)
    ans1: Series[str] = pa.Field(coerce=True)
    ans2: Series[str] = pa.Field(coerce=True)
    label: Series[int] = pa.Field(coerce=True, ge=0, le=2)
    unknown: Series[int] = pa.Field(coerce=True, ge=0, le=2)
    target: Series[str] = pa.Field(nullable=True, isin=["", "0", "1", "2", "0.0", "1.0", "2.0"])
    context_condition: Series[str] = pa.Field(coerce=True, isin=[AMBIGUOUS, DISAMBIGUATED])
    question_polarity: Series[str] = pa.Field(coerce=True, isin=[NEGATIVE, NON_NEGATIVE])
    category: Series[str] | None = pa.Field(coerce=True)
    question_index: Series[str] | None = pa.Field(coerce=True)
    answers: Series[str] | None = pa.Field(coerce=True, isin=["", LABELS, NAMES])


def read_questions(dataset: Dataset) -> list[dict[str, Any]]:
    """Each row with its target as a number or None, and the template it was made from ('' where that is not said).

    Raises WrongDataError naming a row with an empty text, an ambiguous one whose label is not unknown, or a target that
    is the answer unknown or changes with the question's polarity.
    """
    found: list[dict[str, Any]] = []
    targets: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(dataset.frame.to_dict("records"), start=1):
        given = row["target"]
        target = None if not isinstance(given, str) or not given else int(float(given))
        empty = next((name for name in ("question", *ANSWERS) if not str(row[name]).strip()), None)
        why = f"an empty {empty}" if empty else ""
        if row["context_condition"] == AMBIGUOUS and row["label"] != row["unknown"]:
            why = "an ambiguous context whose label is not the answer unknown"
        if target is not None and target == row["unknown"]:
            why = "a target that is the answer unknown"
        category, index = row.get("category", ""), row.get("question_index", "")
        asked = tuple(str(part) for part in (category, index, *(row[name] for name in ANSWERS)))
        if index and target is not None and targets.setdefault(asked, target) != target:
            why = _OTHER_TARGET
        if why:
            shown = dataset.source.source
            raise WrongDataError(f"{shown}: row {number} of those used has {why}; correct or leave out the row")
        found.append(
            {
                **{name: str(row[name]) for name in ("context", "question", *ANSWERS)},
                **{name: int(row[name]) for name in ("label", "unknown")},
                "target": target,
                "condition": row["context_condition"],
                "polarity": row["question_polarity"],
                "category": category,
                "template": f"{category} {index}".strip() if index else "",
                "answers": row.get("answers", ""),
            }
        )
    return found


def published_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of BBQData of a published file (one category, jsonl); gzip allowed.

    Raises WrongDataError naming the line that is none of BBQ's.
    """
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rows.append(_flat(json.loads(line)))
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise WrongDataError(f"{path}: line {number} is no question of BBQ ({type(error).__name__})") from error
    return rows


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    info = [row["answer_info"][name] for name in ANSWERS]
    unknown = next(at for at, each in enumerate(info) if each[-1] == "unknown")
    kept = ("context", "question", *ANSWERS, "label", "context_condition", "question_polarity", "category")
    target = target_of(info, row["additional_metadata"]["stereotyped_groups"])
    return {
        **{name: row[name] for name in kept},
        "example_id": row["example_id"],
        "question_index": str(row["question_index"]),
        "unknown": unknown,
        "target": "" if target is None else str(target),
        "answers": "" if row["category"].startswith(_NAMED) else LABELS,
    }


def target_of(info: Sequence[Sequence[str]], groups: Sequence[str]) -> int | None:
    """Which answer is of a group that the stereotype is about, by the answers' names and groups; None unless one is."""
    wanted = {_plain(group) for group in groups}
    hits = [at for at, each in enumerate(info) if each[-1] != "unknown" and wanted & {_plain(name) for name in each}]
    return hits[0] if len(hits) == 1 else None


def _plain(group: str) -> str:
    """A group's name without case, blanks and the gender before a race (F-Black)."""
    name = re.sub(r"[\W_]", "", re.sub(r"^[FM]-", "", group)).lower()
    return _SAME.get(name, name)
