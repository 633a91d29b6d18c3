from __future__ import annotations

import random
from pathlib import Path

from privacy.corpus.index import build_index, open_index
from privacy.scrub.recognise import finder_for
from suites.memorization.untargeted.lookup import InIndex, InTexts, personal, runs

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
    index, hits = InIndex(open_index(tmp_path / "index")), 0
    for size in (12, 20, 35):
        expected = [any(run in one for run in runs(text, size) for one in training) for text in texts]
        assert index.repeat(texts, size) == expected
        started = [any(run in set(runs(one, size)) for run in runs(text, size) for one in training) for text in texts]
        assert InTexts(training).repeat(texts, size) == started
        hits += sum(expected)
    assert InTexts(training).repeat(texts, 35)[3]
    assert 0 < hits < 60


def test_what_holds_no_run_is_not_judged(tmp_path: Path) -> None:
    training = ["a river of seven stones"]
    build_index(training, tmp_path / "index")
    index, texts = (
        InIndex(open_index(tmp_path / "index")),
        ["river", "a river of seven stones", "", "of none at all here"],
    )
    for held in (InTexts(training), index):
        assert held.repeat(texts, 12) == [None, True, None, False]
    assert InTexts(training).repeat(["x" * 50], 40) == [None]
    assert index.repeat(["a river\0of seven stones", "\0" * 20], 12) == [True, False]


def test_personal_data_that_the_training_text_holds(tmp_path: Path) -> None:
    training = ["Write to ada.b12@example.com or call (881) 555-0195 now", "nothing here"]
    (values,) = personal(finder_for(names="off"), ["ask ada.b12@example.com, not eve@example.org, at (881) 555-0195."])
    assert values == {"ada.b12@example.com", "eve@example.org", "(881) 555-0195"}
    build_index(training, tmp_path / "index")
    for held in (InTexts(training).holds(values), InIndex(open_index(tmp_path / "index")).holds(values)):
        assert held == values - {"eve@example.org"}
