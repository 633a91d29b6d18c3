"""Documents as bytes in which one document ends where a string of another cannot go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import UsageError


@dataclass(frozen=True, slots=True)
class Coding:
    """Text as UTF-8 (width 1), or token ids as numbers of 2 or 4 bytes; zero ends a document.

    UTF-8 bytes match where characters do. Ids are written high byte first and one higher, so that none is zero.
    """

    width: int
    """Bytes of a unit."""

    def __post_init__(self) -> None:
        if self.width not in (1, 2, 4):
            raise UsageError(f"index: a unit of {self.width} bytes; use 1 for text, 2 or 4 for token ids")

    @property
    def end(self) -> bytes:
        """What stands after each document."""
        return bytes(self.width)

    def encode(self, document: str | Sequence[int]) -> bytes:
        """Bytes of a document or a query. Raises UsageError: of the wrong kind, or what no document can hold."""
        if isinstance(document, str) != (self.width == 1):
            raise UsageError("index: text belongs to an index of text, token ids to one of tokens; use the other")
        if isinstance(document, str):
            if "\0" in document:
                raise UsageError("index: a text holds the character U+0000, which ends documents; take it out")
            return document.encode(errors="surrogatepass")
        ids = np.asarray(document, dtype=np.int64) + 1
        most = 256**self.width - 1
        if ids.size and not (ids.min() >= 1 and ids.max() <= most):
            raise UsageError(f"index: a token id outside 0 to {most - 1}; use units of 4 bytes")
        return ids.astype(f">u{self.width}").tobytes()


TEXT = Coding(1)
