"""Keyed digests of single records and units, so that two trainings can be compared without either's data."""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

_WHOLE_NUMBER = re.compile(r"[-+]?\d{1,300}(\.0*)?")

Digests = NDArray[np.uint8]
"""Different digests, sorted: [count, DIGEST_BYTES]."""

DIGEST_BYTES = 16
"""Of 32: two of a billion different texts meet with a chance below 1e-20."""


@dataclass(frozen=True, slots=True)
class Records:
    """What a training is about to read, and whose it is."""

    texts: Sequence[str]
    pairs: Sequence[str] | None
    """Second text of each record."""
    units: Sequence[str] | None
    """Whose each record is; None where each is its own unit."""
    digests: frozenset[str]
    """Unkeyed digests of all records together, with and without their labels; never written down."""
    units_as_written: Sequence[str] | None = None
    """Units before spellings of one were made one, as older digests have them."""

    def text_digests(self, key: bytes) -> Digests:
        """Of all texts, both of a pair."""
        return _sorted(_text(key, text) for text in (*self.texts, *(self.pairs or ())))

    def unit_digests(self, key: bytes) -> Digests:
        """Of all units; none where each record is its own."""
        return _sorted(_unit(key, unit) for unit in self.units or ())

    def shared_records(self, key: bytes, theirs: Digests) -> list[int]:
        """Indices of the records one of whose texts is among `theirs`."""
        known = _set(theirs)
        texts, pairs = self.texts, self.pairs
        return [
            index
            for index, text in enumerate(texts)
            if _text(key, text) in known or (pairs is not None and _text(key, pairs[index]) in known)
        ]

    def shared_units(self, key: bytes, theirs: Digests, shared: Sequence[int]) -> int:
        """How many units are among `theirs`, or have one of the records `shared`."""
        return len(self.units_among(key, theirs, shared))

    def units_among(self, key: bytes, theirs: Digests, shared: Sequence[int]) -> set[str]:
        """The units that are among `theirs`, or have one of the records `shared`."""
        units, known = self.units or (), _set(theirs)
        found = {unit for unit in set(units) if _unit(key, unit) in known}
        if self.units_as_written is not None:
            pairs = set(zip(units, self.units_as_written, strict=True))
            found |= {unit for unit, written in pairs if _unit(key, written) in known}
        return found | {units[index] for index in shared}

    @property
    def count(self) -> int:
        """Units: the records themselves where each is its own."""
        return self.units_of(range(len(self.texts)))

    def units_of(self, indices: Sequence[int]) -> int:
        """How many units have one of these records; the records themselves where each is its own unit."""
        return len(indices) if self.units is None else len({self.units[index] for index in indices})


def normal(text: str) -> str:
    """A text without what copies of it differ in: case, spaces and ways of writing one character."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def unit_id(value: object) -> str:
    """Whose a record is, without what spellings of one id differ in: those of `normal`, and `1`, `1.0` and `01`.

    Two people taken for one are protected as a larger unit, so too much is merged at no risk; one taken for two is not.
    """
    text = normal(str(value))
    return str(int(text.partition(".")[0])) if _WHOLE_NUMBER.fullmatch(text) else text


def _text(key: bytes, text: str) -> bytes:
    return _digest(key, b"text\0", normal(text))


def _unit(key: bytes, unit: str) -> bytes:
    return _digest(key, b"unit\0", unit.strip())


def _digest(key: bytes, kind: bytes, value: str) -> bytes:
    return hmac.digest(key, kind + value.encode(errors="surrogatepass"), sha256)[:DIGEST_BYTES]


def _sorted(digests: Iterable[bytes]) -> Digests:
    content = b"".join(sorted(set(digests)))  # sorted: the order of the records is nobody's business either
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, DIGEST_BYTES).copy()


def _set(digests: Digests) -> frozenset[bytes]:
    content = digests.tobytes()
    return frozenset(content[start : start + DIGEST_BYTES] for start in range(0, len(content), DIGEST_BYTES))
