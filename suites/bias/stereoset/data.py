"""StereoSet's contexts as flat rows, one per context, and the words that fill their blanks."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandera.pandas as pa
from pandera.typing import Series

from harness.api.case import content_id
from harness.data.datasets import Dataset
from harness.errors import WrongDataError

BLANK = "BLANK"
CHOICES = ("stereotype", "anti_stereotype", "unrelated")
INTRA, INTER = "intrasentence", "intersentence"
_PUBLISHED = {"stereotype": "stereotype", "anti-stereotype": "anti_stereotype", "unrelated": "unrelated"}
"""Gold labels of the published file, and the columns they are here."""
_EDGES = " .,!?;:\"'"
"""What annotators added or left out at the ends of a sentence."""


class StereoSetData(pa.DataFrameModel):
    """A context with three sentences: with BLANK in the context they fill it, else they may follow it."""

    context: Series[str] = pa.Field(coerce=True)
    stereotype: Series[str] = pa.Field(coerce=True)
    anti_stereotype: Series[str] = pa.Field(coerce=True)
    unrelated: Series[str] = pa.Field(coerce=True)
    target: Series[str] = pa.Field(coerce=True)
    bias_type: Series[str] | None = pa.Field(coerce=True)
    task: Series[str] | None = pa.Field(coerce=True, isin=[INTRA, INTER])


def read_triples(dataset: Dataset) -> list[dict[str, str]]:
    """task, context, target, bias_type ('' where the data do not say) and the three sentences of each row.

    Raises WrongDataError naming a row with an empty text, or one said to be intrasentence without a blank.
    """
    found = []
    for number, row in enumerate(dataset.frame.to_dict("records"), start=1):
        texts = {name: str(row[name]) for name in ("context", "target", *CHOICES)}
        task = row.get("task") or (INTRA if BLANK in texts["context"] else INTER)
        empty = next((name for name, text in texts.items() if not text.strip()), None)
        why = f"an empty {empty}" if empty else ""
        if task == INTRA and BLANK not in texts["context"]:
            why = f"no {BLANK} in its context, although its task is {INTRA}"
        if why:
            shown = dataset.source.source
            raise WrongDataError(f"{shown}: row {number} of those used has {why}; correct or leave out the row")
        found.append({"task": task, **texts, "bias_type": row.get("bias_type", "")})
    return found


def published_rows(path: Path) -> list[dict[str, str]]:
    """Rows of StereoSetData of the published dev.json, or of one list per gold label; gzip allowed.

    Raises WrongDataError where the file is neither.
    """
    content = path.read_bytes()
    try:
        found = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
        return _clusters(found["data"]) if "data" in found else _by_label(found)
    except (KeyError, TypeError, ValueError) as error:
        raise WrongDataError(f"{path}: is no published file of StereoSet ({type(error).__name__}: {error})") from error


def _clusters(data: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for task in (INTRA, INTER):
        for each in data[task]:
            sentences = {_PUBLISHED[one["gold_label"]]: one["sentence"] for one in each["sentences"]}
            rows.append(
                {"task": task, **{name: each[name] for name in ("context", "target", "bias_type")}, **sentences}
            )
    return rows


def _by_label(data: Mapping[str, Any]) -> list[dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for label, name in _PUBLISHED.items():
        for each in data[label]:
            row = rows.setdefault(each["id"], {key: each[key] for key in ("context", "target", "bias_type")})
            row[name] = each["sentence"]
    return [{"task": INTRA if BLANK in row["context"] else INTER, **row} for row in rows.values()]


@dataclass(frozen=True, slots=True)
class Filled:
    """A context with its blanks filled: text before each blank, the word in it, and the text after the last."""

    before: tuple[str, ...]
    words: tuple[str, ...]
    after: str


def filled(context: str, sentence: str) -> Filled | None:
    """What `sentence` puts in each BLANK of `context`; None where it is no filling of it.

    Case, white space and punctuation at the ends may differ. Where more differs, the word that stands where the only
    blank does, as in the published code.
    """
    parts = context.split(BLANK)
    fixed = [r"\s+".join(map(re.escape, part.strip().split())) for part in parts]
    fixed[-1] = r"\s+".join(map(re.escape, parts[-1].strip().rstrip(_EDGES).split()))
    pattern = r"\s*(.+?)\s*".join(fixed)
    match = re.fullmatch(rf"\s*{pattern}[{re.escape(_EDGES)}]*", sentence, re.IGNORECASE | re.DOTALL)
    words = [word.strip() for word in match.groups()] if match else _same_place(context, sentence)
    words = [word.strip(_EDGES) for word in words]
    if len(words) != len(parts) - 1 or not all(words):
        return None
    return Filled(tuple(parts[:-1]), tuple(words), parts[-1])


def _same_place(context: str, sentence: str) -> list[str]:
    places = [at for at, word in enumerate(context.split()) if BLANK in word]
    theirs = sentence.split()
    return [theirs[at] for at in places if at < len(theirs)] if len(places) == 1 else []


def permuted(triples: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The same triples about another group: each target replaced by another target of its bias type.

    Which, follows from the triple alone. Triples whose context does not name their target, and bias types with one
    target, have none. The words to be judged stay: what is preferred all the same is not preferred for the group.
    """
    targets: dict[str, list[str]] = {}
    for triple in triples:
        targets.setdefault(triple["bias_type"], []).append(triple["target"])
    distinct = {
        name: sorted(set(found), key=lambda target: (target.lower(), target)) for name, found in targets.items()
    }
    made = []
    for triple in triples:
        own = triple["target"].lower()
        others = [target for target in distinct[triple["bias_type"]] if target.lower() != own]
        named = re.compile(rf"\b{re.escape(triple['target'])}", re.IGNORECASE)
        if not others or named.search(triple["context"]) is None:
            continue
        other = others[int(content_id(triple), 16) % len(others)]
        literal = other.replace("\\", r"\\")
        texts = {name: named.sub(literal, triple[name]) for name in ("context", *CHOICES)}
        made.append({**triple, **texts})
    return made
