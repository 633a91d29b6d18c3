"""Metrics of quality/token_classification from its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Computed, Declared, Named, RatioOf, Rows, of
from harness.api.estimates import UNIT
from harness.api.lists import as_list
from harness.api.means import sums_interval
from harness.api.metrics import Better, Metric, RowValues
from harness.api.scorer import Floats
from suites.quality.token_classification.entities import Entity, Scheme, Tag, entities, read_tag, strict_entities

Read = Callable[[Sequence[Tag]], set[Entity]]
_OUTSIDE = Tag("O", "_")
_NONE = "no sentence has an entity, true or found"


def tags_of(cell: Any) -> list[Tag]:
    """Tags of a row; one that is no tag is outside."""
    return [read_tag(str(tag)) or _OUTSIDE for tag in as_list(cell)]


def _counted(read: Read, weigh: Callable[[int, int, int], float]) -> Callable[[Any, Any], Floats]:
    """A number for each row [n] from how many entities are in both, true, and found."""

    def count(true: pd.Series[Any], predicted: pd.Series[Any]) -> Floats:
        pairs = [(read(tags_of(a)), read(tags_of(b))) for a, b in zip(true, predicted, strict=True)]
        return np.array([weigh(len(a & b), len(a), len(b)) for a, b in pairs], dtype=np.float64)

    return count


def _ratio(
    key: str, read: Read, above: Callable[[int, int, int], float], below: Callable[[int, int, int], float], **said: Any
) -> RatioOf:
    sides = ("true", "predicted")
    made = (of(_counted(read, each), *sides) for each in (above, below))
    return RatioOf(key, Better.HIGHER, *made, bounds=UNIT, empty=_NONE, **said)


def entity_metrics(scheme: Scheme) -> tuple[Declared, ...]:
    """F1, precision and recall of entities as conlleval reads them, and by the letter of a scheme."""

    def strict(tags: Sequence[Tag]) -> set[Entity]:
        return strict_entities(tags, scheme)

    found: list[Declared] = []
    for prefix, read, note in (
        ("", entities, "type, first and last word must all be right; read as conlleval"),
        ("strict_", strict, f"by the letter of {scheme}: what is not written so is no entity"),
    ):
        found += [
            _ratio(f"{prefix}f1", read, lambda both, *_: 2 * both, lambda _, true, mine: true + mine, note=note),
            _ratio(
                *(f"{prefix}precision", read, lambda both, *_: both, lambda _both, _true, mine: mine),
                note=note,
                headline=False,
            ),
            _ratio(
                *(f"{prefix}recall", read, lambda both, *_: both, lambda _both, true, _mine: true),
                note=note,
                headline=False,
            ),
        ]
    return tuple(found)


def _per_type(good: pd.DataFrame) -> tuple[list[str], Floats, Floats]:
    """Types, and entities of each in both, and true plus found, [sentences, types] each."""
    pairs = [(entities(tags_of(a)), entities(tags_of(b))) for a, b in zip(good["true"], good["predicted"], strict=True)]
    types = sorted({kind for pair in pairs for side in pair for kind, *_ in side})
    hits, either = np.zeros((len(pairs), len(types))), np.zeros((len(pairs), len(types)))
    at = {kind: place for place, kind in enumerate(types)}
    for row, (true, mine) in enumerate(pairs):
        for table, side in ((hits, true & mine), (either, true), (either, mine)):
            for kind, count in Counter(kind for kind, *_ in side).items():
                table[row, at[kind]] += count
    return types, hits, either


def _by_type(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """Macro-F1 over the types that occur, then the F1 of each."""
    types, hits, either = _per_type(rows.good)
    if not types:
        yield named["macro_f1"].none(_NONE, missing=rows.missing)
        return

    def mean_f1(sums: Floats) -> Floats:
        above, below = np.split(sums, 2, axis=1)
        return np.asarray((2 * above / np.maximum(below, 1e-12)).mean(axis=1))

    units = np.concatenate([hits, either], axis=1)
    most = either.max(axis=0)
    farthest = np.concatenate([0 * most, most]), np.concatenate([most / 2, most])
    value = float(mean_f1(units.sum(axis=0)[None])[0])
    interval = sums_interval(units, mean_f1, farthest)
    note = f"mean over {len(types)} types, each counting the same"
    yield named["macro_f1"].value(value, interval, len(units), missing=rows.missing, note=note)
    for at, kind in enumerate(types):
        seen = either[:, at] > 0
        values = RowValues(2 * hits[seen, at], either[seen, at], bounds=UNIT)
        yield named["type_f1"].estimate(values, slice=kind)


BY_TYPE = Computed(
    (
        Named("macro_f1", Better.HIGHER, bounds=UNIT, headline=False),
        Named("type_f1", Better.HIGHER, bounds=UNIT, sliced_only=True),
    ),
    _by_type,
)


def _right(true: pd.Series[Any], predicted: pd.Series[Any]) -> Floats:
    pairs = zip(true, predicted, strict=True)
    return np.array([sum(x == y for x, y in zip(as_list(a), as_list(b), strict=False)) for a, b in pairs], dtype=float)


def _words(true: pd.Series[Any]) -> Floats:
    return np.array([len(as_list(cell)) for cell in true], dtype=np.float64)


ACCURACY = RatioOf(
    *("accuracy", Better.HIGHER, of(_right, "true", "predicted"), of(_words, "true")),
    unit="rate",
    headline=False,
    note="share of words with the right tag; most words are outside of any entity",
)
UNREAD = RatioOf(
    *("unread_words", Better.LOWER, "unread", of(_words, "true")),
    unit="rate",
    headline=False,
    note="words of which the model read nothing; they count as outside of any entity",
)
