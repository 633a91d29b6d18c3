"""Every number of the checkpoint's weights, as far as time allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import BinaryIO

from harness.scan.budget import Budget, BudgetError
from harness.scan.notebook import Notebook
from harness.scan.weights.headers import Span
from harness.scan.weights.numbers import FLOATS, Counts, bad_numbers, count_numbers, duplicates

_MOST_DUPLICATES = 20
_BLOCK = 4 * 2**20


def check_numbers(
    spans: Mapping[str, Sequence[Span]], open_file: Callable[[str], BinaryIO], budget: Budget, notebook: Notebook
) -> str:
    """Say which tensors hold NaN or infinities, are zero or alike; what cannot be told of some, or ''."""
    counted: list[Counts] = []
    opaque: set[str] = set()
    for file, tensors in spans.items():
        try:
            with closing(open_file(file)) as stream:
                for span in sorted(tensors, key=lambda span: span.start):
                    if span.dtype.startswith("ggml "):
                        opaque.add(span.dtype)
                        continue
                    counted.append(count_numbers(stream, span, budget, lambda _size: None))
                    _report(counted[-1], notebook)
        except BudgetError:
            raise
        except (OSError, ValueError) as error:
            notebook.miss(file, f"its numbers could not be read to their end ({error})")
    _report_alike(counted, notebook)
    return f"whether quantised numbers are sound ({', '.join(sorted(opaque))})" if opaque else ""


def check_storages(
    file: str,
    members: Sequence[tuple[str, Callable[[], BinaryIO]]],
    storages: Mapping[str, str],
    budget: Budget,
    notebook: Notebook,
) -> None:
    """The same for the storages of one torch archive, which its pickle names by type."""
    for key, opened in members:
        dtype = storages.get(key, "")
        if dtype not in FLOATS:
            continue
        nan = infinite = 0
        with closing(opened()) as stream:
            while block := stream.read(_BLOCK):
                budget.check()
                more = bad_numbers(block, dtype)
                nan, infinite = nan + more[0], infinite + more[1]
        if nan:
            notebook.find("weights/nan", file, f"storage {key} holds {nan:,} numbers that are none", f"storage {key}")
        if infinite:
            notebook.find("weights/infinite", file, f"storage {key} holds {infinite:,} infinities", f"storage {key}")


def _report(counts: Counts, notebook: Notebook) -> None:
    span = counts.span
    if counts.nan:
        notebook.find(
            "weights/nan",
            span.file,
            f"{span.name} holds {counts.nan:,} of {span.numbers:,} numbers that are none",
            span.name,
        )
    if counts.infinite:
        notebook.find("weights/infinite", span.file, f"{span.name} holds {counts.infinite:,} infinities", span.name)
    if counts.zero and span.numbers and span.dtype in FLOATS and len(span.shape) > 1:
        notebook.find("weights/zero", span.file, f"{span.name} {list(span.shape)} is zero throughout", span.name)


def _report_alike(counted: Sequence[Counts], notebook: Notebook) -> None:
    for group in duplicates(counted)[:_MOST_DUPLICATES]:
        names = [each.span.name for each in group]
        notebook.find(
            "weights/duplicate",
            group[0].span.file,
            f"{len(names):,} tensors have the same bytes: {', '.join(names[:4])}",
            names[0],
        )
