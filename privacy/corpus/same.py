"""Records that are there more than once: byte for byte, and but for case and white space."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_DIGEST = 16
"""Bytes of a digest: two of a billion different texts meet with a chance below 1e-20."""


def plain(text: str) -> str:
    """A text without what copies of it differ in: case, spaces and ways of writing one character."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, slots=True)
class Groups:
    """Records by what they are equal in."""

    group: NDArray[np.int64]
    """Of each record [records], from 0."""
    first: NDArray[np.int64]
    """First record of each group [groups]."""
    sizes: NDArray[np.int64]
    """Records of each group [groups]."""

    @property
    def extra(self) -> int:
        """Records that would go if one of each group stayed."""
        return int(len(self.group) - len(self.sizes))

    @property
    def repeated(self) -> int:
        """Groups of two and more."""
        return int((self.sizes > 1).sum())

    @property
    def largest(self) -> int:
        """Records of the largest group."""
        return int(self.sizes.max(initial=0))

    def buckets(self) -> dict[str, int]:
        """How many records have so many copies, themselves counted."""
        edges = ((1, 1), (2, 2), (3, 4), (5, 9), (10, 99), (100, None))
        names = [str(low) if low == high else f"{low}-{high}" if high else f"{low} and more" for low, high in edges]
        inside = [self.sizes[(self.sizes >= low) & (self.sizes <= (high or len(self.group)))] for low, high in edges]
        return {name: int(sizes.sum()) for name, sizes in zip(names, inside, strict=True)}


class Same:
    """Digests of records, 16 bytes each, as they come."""

    def __init__(self, key: bytes) -> None:
        self._key, self._digests = key, bytearray()

    def add(self, texts: Sequence[str]) -> None:
        """Records, in order."""
        for text in texts:
            self._digests += blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST, key=self._key).digest()

    def groups(self) -> Groups:
        """Which are equal."""
        digests = np.frombuffer(bytes(self._digests), dtype=[("high", "<u8"), ("low", "<u8")])
        _, first, group, sizes = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
        return Groups(group.astype(np.int64), first, sizes)


class Lengths:
    """Whole numbers, four bytes each, as they come."""

    def __init__(self) -> None:
        self._values = array("I")

    def add(self, values: Sequence[int]) -> None:
        """Lengths of some records."""
        self._values.extend(values)

    def all(self) -> NDArray[np.uint32]:
        """Of all records [records]."""
        return np.frombuffer(self._values, dtype=np.uint32) if self._values else np.empty(0, dtype=np.uint32)
