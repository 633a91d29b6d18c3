"""Case: one unit of work, with an id that depends on its content alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One unit of work; `data` is JSON-able, `id` is a digest of it, so cases can be sharded and resumed."""

    id: str
    data: Mapping[str, Any]


def content_id(data: Mapping[str, Any]) -> str:
    """First 16 hex digits of the sha256 of the canonical JSON of `data`."""
    canonical = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def make_cases(items: Iterable[Mapping[str, Any]]) -> list[Case]:
    """Cases with unique ids; the k-th repeat of the same content gets the suffix `-k`."""
    seen: Counter[str] = Counter()
    cases = []
    for item in items:
        digest = content_id(item)
        repeat = seen[digest]
        seen[digest] += 1
        cases.append(Case(f"{digest}-{repeat}" if repeat else digest, item))
    return cases


def sample_cases(cases: list[Case], limit: int | None, seed: int) -> list[Case]:
    """At most `limit` cases, chosen by a seeded hash of their ids (independent of their order), in given order."""
    if limit is None or limit >= len(cases):
        return cases
    rank = sorted(cases, key=lambda case: hashlib.sha256(f"{seed}:{case.id}".encode()).digest())
    chosen = {case.id for case in rank[:limit]}
    return [case for case in cases if case.id in chosen]
