"""Nested subsets of the training records, fixed by their seed: a larger one holds every smaller one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.base.files import make_folder, write_text
from harness.errors import UsageError
from privacy.training.data.load import TrainingData

FOLDER = "subsets"
EACH = 2
"""Records of each class that the smallest subset must hold: from one alone a class is copied, not learnt."""
Places = npt.NDArray[np.int64]


def drawn(classes: Sequence[int] | None, n: int, seed: int) -> Places:
    """An order of n records, whose first m are the subset of m, for every m.

    Without `classes` every order is as likely. With them each class keeps its share in every subset, to within about a
    record: the i-th of a class of k stands at (i + 1/2) / k of the way (Sainte-Lague), which of its records is the i-th
    is drawn.
    """
    rng = np.random.default_rng(seed)
    if classes is None:
        return rng.permutation(n)
    labels, place = np.asarray(classes), np.empty(n)
    for label in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == label))
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.lexsort((rng.permutation(n), place))


def fewest(classes: Sequence[int], names: Sequence[str], where: str) -> int:
    """The smallest subset that holds `EACH` records of every class, whatever the seed.

    Raises UsageError naming a class of fewer.
    """
    counts = np.bincount(classes, minlength=len(names))
    rare = int(counts.argmin())
    if counts[rare] < EACH:
        raise UsageError(
            f"{where}: the class {names[rare]!r} has {_examples(int(counts[rare]))}; a curve needs {EACH} or more of "
            "each class, give more or leave the class out"
        )
    place = (EACH - 0.5) / counts
    return int(sum(np.floor(place.max() * counts - 0.5 + 1e-9) + 1))


def check_sizes(sizes: Sequence[int], data: TrainingData) -> None:
    """Raises UsageError for a subset larger than the data, or too small to hold every class."""
    where, n = data.members.source.source, len(data.members)
    if max(sizes) > n:
        raise UsageError(f"size {max(sizes)}: {where} has {n} training records; give sizes of at most {n}")
    if not data.label_names:
        return
    needed = fewest(data.labels, data.label_names, where)
    if min(sizes) < needed:
        raise UsageError(
            f"size {min(sizes)}: too small for {EACH} records of each of the {len(data.label_names)} classes; give "
            f"sizes of at least {needed}"
        )


def halves(data: TrainingData, most: int = 5) -> tuple[int, ...]:
    """All records, half of them, and so on, `most` sizes or those that hold every class; smallest first."""
    n = len(data.members)
    needed = fewest(data.labels, data.label_names, data.members.source.source) if data.label_names else 1
    sizes = {n // 2**k for k in range(most)}
    return tuple(sorted(size for size in sizes if size >= needed))


def file_of(output: Path, seed: int) -> Path:
    """Where the records lie in the order of a seed."""
    return output / FOLDER / f"seed{seed}.jsonl"


def write_subsets(data: TrainingData, output: Path, seeds: Sequence[int]) -> None:
    """The records in the order of each seed, a file each, readable by their owner alone; labels are class names."""
    make_folder(output / FOLDER)
    frame, labels = data.members.frame, data.labels if data.label_names else None
    columns = [name for name in ("text", "pair") if name in frame]
    for seed in seeds:
        lines = []
        for at in drawn(labels, len(frame), seed):
            record = {name: str(frame[name].iloc[at]) for name in columns}
            if labels is not None:
                record["label"] = data.label_names[labels[at]]
            lines.append(json.dumps(record) + "\n")
        path, text = file_of(output, seed), "".join(lines)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text, private=True)


def _examples(count: int) -> str:
    return f"{count or 'no'} example{'' if count == 1 else 's'}"
