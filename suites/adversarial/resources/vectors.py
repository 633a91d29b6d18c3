"""Word vectors: read from GloVe's text format or from arrays, and asked for nearest neighbours by cosine."""

from __future__ import annotations

import functools
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.base.files import write_atomic
from harness.errors import UsageError

Floats = NDArray[np.float32]
_ROUND = 6
"""Cosines are compared after rounding to so many digits, so that the order does not hang on the last bit."""


class WordVectors:
    """Words and their vectors, `matrix` (n words, d) float32; where a word comes twice, its first vector counts."""

    def __init__(self, words: Sequence[str], matrix: NDArray[Any]) -> None:
        if matrix.ndim != 2 or len(words) != len(matrix) or not len(words):
            raise UsageError(f"word vectors: {len(words)} words need a matrix of as many rows, got {matrix.shape}")
        self.words = tuple(words)
        self.matrix: Floats = np.ascontiguousarray(matrix, dtype=np.float32)
        if not np.isfinite(self.matrix).all():
            raise UsageError("word vectors: hold a value that is not finite; get another copy")
        self.index: dict[str, int] = {}
        for place, word in enumerate(self.words):
            self.index.setdefault(word, place)
        self._memo: dict[int, tuple[int, NDArray[np.intp], Floats]] = {}

    def __len__(self) -> int:
        return len(self.words)

    @functools.cached_property
    def unit(self) -> Floats:
        """The vectors at length 1, (n, d); a zero vector stays zero."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        return np.asarray(self.matrix / lengths, dtype=np.float32)

    def cosine(self, first: str, second: str) -> float:
        """Cosine of two words. Raises KeyError for a word without a vector."""
        return float(self.unit[self.index[first]] @ self.unit[self.index[second]])

    def neighbours(self, word: str, k: int) -> tuple[list[str], Floats]:
        """The `k` other words of highest cosine, best first, ties by index, with their cosines; none if unknown."""
        place = self.index.get(word)
        if place is None:
            return [], np.empty(0, np.float32)
        places, cosines = self.nearest(place, k)
        return [self.words[other] for other in places], cosines

    def nearest(self, place: int, k: int) -> tuple[NDArray[np.intp], Floats]:
        """Indices and cosines of the `k` nearest other words of the word at `place`; memoised."""
        known = self._memo.get(place)
        if known is None or known[0] < k:
            self._memo[place] = known = (k, *self._nearest(place, k))
        return known[1][:k], known[2][:k]

    def _nearest(self, place: int, k: int) -> tuple[NDArray[np.intp], Floats]:
        cosines = (self.unit @ self.unit[place]).round(_ROUND)
        cosines[place] = -np.inf
        k = min(k, len(self) - 1)
        if k <= 0:
            return np.empty(0, np.intp), np.empty(0, np.float32)
        least = np.partition(cosines, -k)[-k]
        among = np.flatnonzero(cosines >= least)
        best = among[np.argsort(-cosines[among], kind="stable")][:k]
        return best, cosines[best]

    def head(self, n: int) -> WordVectors:
        """The first `n` words: where the file is sorted by frequency, the most frequent."""
        return self if n >= len(self) else WordVectors(self.words[:n], self.matrix[:n])


def read_vectors(path: Path, limit: int | None = None) -> WordVectors:
    """Vectors of the first `limit` words of a file in GloVe's text format (word2vec's header and gzip too), or of a
    folder with one `.npy` matrix and its words in `words.txt`, a line each, or in one parquet column.

    Raises UsageError naming the line or file that is wrong.
    """
    if not path.exists():
        raise UsageError(f"{path}: does not exist; give a file of word vectors in GloVe's text format")
    words, matrix = _read_folder(path, limit) if path.is_dir() else _read_text(path, limit)
    try:
        return WordVectors(words, matrix)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def write_vectors(vectors: WordVectors, path: Path) -> None:
    """Write GloVe's text format, 6 digits; the file is complete or absent."""

    def write(scratch: Path) -> None:
        with scratch.open("w", encoding="utf-8") as out:
            for word, row in zip(vectors.words, vectors.matrix.tolist(), strict=True):
                out.write(f"{word} {' '.join(f'{value:.6f}' for value in row)}\n")

    if not path.parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist; make it or give another --output")
    write_atomic(path, write)


def open_text(path: Path) -> Any:
    """A text file, gzip or plain, as UTF-8."""
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _read_text(path: Path, limit: int | None) -> tuple[list[str], Floats]:
    words: list[str] = []
    rows: list[Floats] = []
    try:
        with open_text(path) as lines:
            for word, row in _rows(path, lines):
                words.append(word)
                rows.append(row)
                if len(words) == limit:
                    break
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, OSError) as error:
        raise UsageError(f"{path}: is no text file of word vectors ({error})") from error
    if not rows:
        raise UsageError(f"{path}: holds no word vectors")
    return words, np.stack(rows)


def _rows(path: Path, lines: Iterator[str]) -> Iterator[tuple[str, Floats]]:
    width = 0
    for number, line in enumerate(lines, 1):
        word, _, rest = line.rstrip("\n").partition(" ")
        values = rest.split()
        if number == 1 and len(values) == 1 and word.isdigit() and values[0].isdigit():
            continue  # word2vec's header: words, width
        width = width or len(values)
        try:
            row = np.array(values[-width:], dtype=np.float32)
        except ValueError:
            row = np.empty(0, np.float32)
        if not width or len(row) != width:
            raise UsageError(f"{path}, line {number}: is not a word and {width or 'its'} numbers, separated by blanks")
        # a few words of GloVe 840B hold blanks themselves
        yield " ".join([word, *values[: len(values) - width]]), row


def _read_folder(path: Path, limit: int | None) -> tuple[list[str], NDArray[Any]]:
    arrays, tables = sorted(path.glob("*.npy")), sorted(path.glob("*.parquet"))
    if len(arrays) != 1 or not ((path / "words.txt").is_file() or len(tables) == 1):
        raise UsageError(f"{path}: needs one .npy matrix, and its words in words.txt or in one .parquet file")
    try:
        matrix = np.load(arrays[0], mmap_mode="r", allow_pickle=False)[:limit]
    except (ValueError, OSError) as error:
        raise UsageError(f"{arrays[0]}: cannot be read as a matrix ({error})") from error
    if (path / "words.txt").is_file():
        words = (path / "words.txt").read_text(encoding="utf-8").split("\n")
        words = words[:-1] if words[-1] == "" else words
    else:
        from pyarrow import parquet

        words = parquet.read_table(tables[0]).column(0).to_pylist()
    return words[:limit], matrix
