from __future__ import annotations

import random
from pathlib import Path

from privacy.corpus.index import build_index, open_index
from suites.memorization.untargeted.lookup import found_by, found_in, runs

WORDS = ["river", "stone", "walk", "a", "of", "seven"]


def test_runs_begin_with_words() -> None:
    assert list(runs("ab  cde f", 3)) == ["ab ", "cde"]
    assert list(runs("ab", 3)) == []
    assert list(runs("", 1)) == []


def test_both_ways_find_what_a_search_finds(tmp_path: Path) -> None:
    draw = random.Random(0)
    training, texts = ([" ".join(draw.choices(WORDS, k=30)) for _ in range(20)] for _ in range(2))
    texts[3] = f"so {training[5][:40].rstrip()} and"
    build_index(training, tmp_path / "index")
    index, hits = open_index(tmp_path / "index"), 0
    for size in (12, 20, 35):
        expected = [any(run in one for run in runs(text, size) for one in training) for text in texts]
        assert found_by(index, texts, size) == expected
        started = [any(run in set(runs(one, size)) for run in runs(text, size) for one in training) for text in texts]
        assert found_in(training, texts, size) == started
        hits += sum(expected)
    assert found_in(training, texts, 35)[3]
    assert 0 < hits < 60
