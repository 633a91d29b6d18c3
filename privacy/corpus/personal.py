"""Personal data in records, counted by kind; of the values only keyed hashes are held."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from pydantic import Field

from harness.base.frozen import Frozen
from privacy.corpus.same import plain
from privacy.scrub.recognise import KINDS, Finder

_SHOWN = 5
"""Values of a kind that are named by their hash, the most frequent."""


class Repeated(Frozen):
    """A value that more than one place holds."""

    digest: str = Field(description="HMAC-SHA256 of the value with the folder's key, 32 hexadecimal digits")
    places: int


class KindCount(Frozen):
    """What was found of one kind."""

    kind: str
    places: int
    records: int
    values: int = Field(description="different ones, but for case and white space")
    how: list[str] = Field(description="by which recognisers")
    repeated: list[Repeated] = Field(description="most frequent values by keyed hash; only with a key that is kept")


class Personal:
    """Counts as records come."""

    def __init__(self, finder: Finder, key: bytes, *, kept: bool, show: int) -> None:
        """`kept`: the key is the user's, so that hashes can be compared; `show`: values of a kind that are held."""
        self._finder, self._key, self._kept, self._show = finder, key, kept, show
        self._values: dict[str, Counter[bytes]] = {}
        self._records: Counter[str] = Counter()
        self.shown: dict[str, list[str]] = {}

    def add(self, texts: Sequence[str]) -> None:
        """Some records."""
        for text in texts:
            found = self._finder.find(text)
            self._records.update({one.kind for one in found})
            for one in found:
                value = text[one.start : one.end]
                digest = hmac.digest(self._key, f"{one.kind}\0{plain(value)}".encode(errors="surrogatepass"), sha256)
                counts = self._values.setdefault(one.kind, Counter())
                if self._show and digest[:16] not in counts and len(counts) < self._show:
                    self.shown.setdefault(one.kind, []).append(value)
                counts[digest[:16]] += 1

    def counts(self) -> list[KindCount]:
        """Of every kind that was looked for, those without a finding too."""
        how: dict[str, list[str]] = {}
        for each in self._finder.recognisers:
            words = how.setdefault(each.kind, [])
            if each.how not in words:
                words.append(each.how)
        return [self._count(kind, how[kind]) for kind in KINDS if kind in how]

    def _count(self, kind: str, how: list[str]) -> KindCount:
        counts = self._values.get(kind, Counter())
        often = [(digest, places) for digest, places in counts.most_common(_SHOWN) if places > 1]
        return KindCount(
            kind=kind,
            places=counts.total(),
            records=self._records[kind],
            values=len(counts),
            how=how,
            repeated=[Repeated(digest=digest.hex(), places=places) for digest, places in often] if self._kept else [],
        )
