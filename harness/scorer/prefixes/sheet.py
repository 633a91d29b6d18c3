"""The numbers that jobs want, and which row or stem each is read in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.scorer.forward.positions import Columns, Ints, Wanted
from harness.scorer.prefixes.layout import Layout, Node, Part, Row


@dataclass(frozen=True, slots=True)
class Job:
    """One request: the model reads `read`, and its logits from position `first` on predict `target`."""

    index: int
    read: tuple[int, ...]
    first: int
    target: tuple[int, ...]


class Sheet:
    """An entry for each target token of each job, job after job; filled in as rows and stems are read."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        sizes = np.array([len(job.target) for job in jobs], dtype=np.int64)
        self.jobs = jobs
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._known = np.zeros(int(sizes.sum()), dtype=np.bool_)
        self._columns: Columns | None = None
        self._of: dict[Row | Part, list[tuple[Ints, Ints, Ints]]] = {}

    def place(self, numbers: Sequence[int], layout: Layout, ends: Sequence[int]) -> None:
        """Find where the entries of the jobs of these numbers are read; `ends` is the input that each is part of."""
        self._of = {}
        for number, end in zip(numbers, ends, strict=True):
            job = self.jobs[number]
            target = np.array(job.target, dtype=np.int64)
            node: Node | None = layout.ends[end]
            while node is not None:
                first, last = max(node.start, job.first), min(node.end, len(job.read))
                if first < last and node.unit is not None:
                    offsets = np.arange(first - job.first, last - job.first)
                    places = offsets + (job.first - node.start + node.place)
                    entries = self._starts[number] + offsets
                    self._of.setdefault(node.unit, []).append((entries, places, target[offsets]))
                node = node.above if node.start > job.first else None

    def wanted(self, units: Sequence[Row | Part]) -> tuple[Ints, Wanted]:
        """The entries that are read in these units, and what of them, a row of a batch each."""
        found = [(row, *each) for row, unit in enumerate(units) for each in self._of.get(unit, ())]
        none = np.zeros(0, dtype=np.int64)
        entries = np.concatenate([none, *(each[1] for each in found)])
        rows = np.concatenate([none, *(np.full(len(each[1]), each[0]) for each in found)])
        places = np.concatenate([none, *(each[2] for each in found)])
        return entries, Wanted(rows, places, np.concatenate([none, *(each[3] for each in found)]))

    def put(self, entries: Ints, columns: Columns) -> None:
        """Fill in numbers, a column each."""
        if self._columns is None:
            self._columns = tuple(np.zeros(len(self._known), dtype=column.dtype) for column in columns)
        for mine, column in zip(self._columns, columns, strict=True):
            mine[entries] = column
        self._known[entries] = True

    def missing(self) -> list[int]:
        """Numbers of the jobs that lack a number."""
        if self._known.all():
            return []
        return [at for at, (a, b) in enumerate(self._spans()) if not self._known[a:b].all()]

    def found(self, number: int) -> Columns:
        """The columns of one job that lacks nothing, each [targets]."""
        assert self._columns is not None
        return tuple(column[self._starts[number] : self._ends[number]] for column in self._columns)

    def _spans(self) -> Iterator[tuple[int, int]]:
        yield from zip(self._starts.tolist(), self._ends.tolist(), strict=True)


def share_prefixes(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in groups that one input serves: the first reads the most, the others read a beginning of it."""
    groups: list[list[Job]] = []
    for job in sorted(jobs, key=lambda job: job.read, reverse=True):
        # in this order an input is followed at once by all of its own beginnings, or by another input
        if groups and groups[-1][0].read[: len(job.read)] == job.read:
            groups[-1].append(job)
        else:
            groups.append([job])
    return groups
