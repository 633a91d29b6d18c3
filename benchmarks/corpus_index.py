"""The index over training text: speed and memory of building and asking it, beside a plain search.

Real articles (enwik8), copied with their words in another order until there are so many MiB: copies share words, but no
long string.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from benchmarks.data import data_file
from harness.data.streams import stream
from privacy.corpus.index import build_index

_QUERIES = 200
"""Strings of 50 characters, half of them from the text."""
_SOUGHT = 4
"""Of them, searched for without the index too."""


def articles() -> list[str]:
    """Texts of enwik8."""
    path = data_file("enwik8_text/enwik8_articles.jsonl.gz")
    return [text for batch in stream(path, ("text",)) for text in batch.columns["text"] if text]


def grown(texts: list[str], size: int) -> Iterator[str]:
    """At least `size` bytes: the texts, then copies with their words in another order."""
    made, draw = 0, random.Random(0)
    copy = 0
    while made < size:
        for text in texts:
            words = text.split(" ")
            if copy:
                draw.shuffle(words)
            one = " ".join(words)
            made += len(one.encode()) + 1
            yield one
            if made >= size:
                return
        copy += 1


def main(mib: int = 512) -> dict[str, float]:
    """Build, ask, and compare."""
    texts = articles()
    draw = random.Random(1)
    wanted = []
    for _ in range(_QUERIES // 2):
        text = draw.choice([each for each in texts if len(each) > 200])
        at = draw.randrange(len(text) - 50)
        wanted += [text[at : at + 50], "".join(draw.choice("etaoin shrdlu") for _ in range(50))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        index = build_index(grown(texts, mib * 2**20), Path(folder) / "index")
        built = perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        disk = sum(path.stat().st_size for path in (Path(folder) / "index").iterdir()) / 2**20
        start = perf_counter()
        found = index.counts(wanted)
        asked = (perf_counter() - start) / len(wanted)
        start = perf_counter()  # a search of the whole text, which str.count does at the speed of memory
        truth = [0] * _SOUGHT
        for text in grown(texts, mib * 2**20):
            for at in range(_SOUGHT):
                truth[at] += text.count(wanted[at])
        sought = (perf_counter() - start) / _SOUGHT
        if truth != [count.occurrences for count in found[:_SOUGHT]]:
            raise AssertionError(f"index {found[:_SOUGHT]}, text {truth}")
    return {
        "text, MiB": index.bytes / 2**20,
        "build, s": built,
        "build, MiB/s": index.bytes / 2**20 / built,
        "memory before, MiB": before,
        "memory at most, MiB": peak,
        "disk, times the text": disk / (index.bytes / 2**20),
        "a query, ms": 1000 * asked,
        "one search of the whole text, s": sought,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]) if sys.argv[1:] else 512), indent=2) + "\n")
