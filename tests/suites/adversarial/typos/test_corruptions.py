from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suites.adversarial.typos.corruptions import KINDS, WHY_NOT, Kind, changed_spans, corrupt, count_words
from suites.adversarial.typos.tables import HOMOGLYPHS, KEYBOARD, OCR, ZERO_WIDTH

TEXT = "The good film wasn't boring at all, and I really loved its second half; watch it twice. Don't miss 12 songs!"
SEVERITIES = (0, 0.05, 0.1, 0.2, 0.4, 0.7, 1)
TEXTS = st.text(st.sampled_from("abdeiklmnrsuwxABDIRS019 ,.;:'!-\n\u00e9\u0434"), max_size=60)
MISTYPED: tuple[Kind, ...] = ("keyboard", "swap", "drop", "repeat")
every_kind = pytest.mark.parametrize("kind", KINDS)


def one(text: str, kind: Kind, severity: float = 1, seed: int = 0, edits: int = 1) -> str:
    return corrupt(text, kind, [severity], seed, edits)[0].text


def all_results(word: str, kind: Kind) -> set[str]:
    """Everything one edit can make of a word."""
    return {one(word, kind, seed=seed) for seed in range(300)}


@every_kind
def test_severity_is_the_share_of_changed_words_and_edits_never_fall(kind: Kind) -> None:
    found = corrupt(TEXT, kind, SEVERITIES, 3)
    assert found[0].text == TEXT
    assert (found[0].changed, found[0].edits) == (0, 0)
    for severity, here in zip(SEVERITIES, found, strict=True):
        assert here.changed == here.edits == math.ceil(severity * here.changeable - 1e-9)
        assert 0 < here.changeable <= count_words(TEXT)
        assert len(changed_spans(TEXT, here.text)) == here.changed  # no two words of TEXT share a blank-free piece
    assert [here.edits for here in found] == sorted(here.edits for here in found)


@every_kind
def test_a_higher_severity_keeps_what_a_lower_one_changed(kind: Kind) -> None:
    spans = []
    for here in corrupt(TEXT, kind, SEVERITIES, 5):
        spans.append({(start, end, here.text[new:stop]) for start, end, new, stop in changed_spans(TEXT, here.text)})
    for fewer, more in pairwise(spans):
        assert fewer <= more


@every_kind
def test_the_same_seed_gives_the_same_text_whatever_else_is_asked(kind: Kind) -> None:
    together = corrupt(TEXT, kind, SEVERITIES, 7)
    assert [corrupt(TEXT, kind, [severity], 7)[0] for severity in reversed(SEVERITIES)] == together[::-1]
    assert len({one(TEXT, kind, 0.3, seed) for seed in range(10)}) > 3


@given(text=TEXTS, severity=st.floats(0, 1), seed=st.integers(0, 9), edits=st.integers(1, 4))
def test_any_text_changes_exactly_where_it_says(text: str, severity: float, seed: int, edits: int) -> None:
    for kind in KINDS:
        (here,) = corrupt(text, kind, [severity], seed, edits)
        assert 0 <= here.changed <= here.changeable <= count_words(text)
        assert here.changed <= here.edits <= edits * here.changed
        assert (here.text == text) == (here.changed == 0)
        spans = changed_spans(text, here.text)
        assert (here.changed > 0) == (len(spans) > 0) or kind == "punctuation"
        pieces, new_pieces, at, new_at = [], [], 0, 0
        for start, end, new_start, new_end in spans:
            pieces.append(text[at:start])
            new_pieces.append(here.text[new_at:new_start])
            at, new_at = end, new_end
        assert [*pieces, text[at:]] == [*new_pieces, here.text[new_at:]]


def test_spans_are_those_of_a_general_diff() -> None:
    for kind in KINDS:
        spoilt = one(TEXT, kind, 0.4, 2)
        old, new = TEXT.split(), spoilt.split()
        blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        expected = Counter(word for tag, a, b, _, _ in blocks if tag != "equal" for word in old[a:b])
        assert Counter(TEXT[start:end] for start, end, _, _ in changed_spans(TEXT, spoilt)) == expected
    with pytest.raises(ValueError, match="zip"):
        changed_spans("two words", "one")


@pytest.mark.parametrize("kind", MISTYPED)
def test_mistyped_words_keep_their_ends_and_short_words_stay(kind: Kind) -> None:
    for seed in range(20):
        old, new = re.findall(r"[\w']+", TEXT), re.findall(r"[\w']+", one(TEXT, kind, 1, seed, 3))
        assert len(old) == len(new)
        for before, after in zip(old, new, strict=True):
            assert (before[0], before[-1]) == (after[0], after[-1])
            assert len(before) >= 4 or before == after


def test_one_edit_of_each_kind_enumerated() -> None:
    assert all_results("abcd", "swap") == {"acbd"}
    assert all_results("bookie", "swap") == {"bokoie", "booike"}  # the two o's changed places would be no change
    assert all_results("abcd", "drop") == {"acd", "abd"}
    assert all_results("abcd", "repeat") == {"abbcd", "abccd"}
    assert all_results("aBca", "keyboard") == {
        *(f"a{key.upper()}ca" for key in KEYBOARD["b"]),
        *(f"aB{key}a" for key in KEYBOARD["c"]),
    }
    assert all_results("aml", "ocr") == {"arnl", "annl", "am1", "amI", "ami"}
    assert all_results("rna", "ocr") == {"ma", "rua"}
    assert [one(word, "case") for word in ("good", "Good", "GOOD", "I", "a")] == ["GOOD", "GOOD", "good", "i", "A"]
    assert all_results("a word", "punctuation") == {f"a{first} word{last}" for first in ",.;:" for last in ",.;:"}
    assert one("well, e.g. 3.5 U.S (so): 'ha'", "punctuation")[:15] == "well e.g 3.5 U."
    assert all_results("ab", "homoglyph") == {"\u0430b"}
    assert all_results("abc", "zero_width") == {f"a{mark}bc" for mark in ZERO_WIDTH} | {f"ab{m}c" for m in ZERO_WIDTH}


def test_homoglyphs_are_other_characters_and_the_inverse_map_undoes_them() -> None:
    inverse = {twin: letter for letter, twin in HOMOGLYPHS.items()}
    assert len(inverse) == len(HOMOGLYPHS) == 35
    assert all(letter.isascii() and len(letter) == 1 and not twin.isascii() for letter, twin in HOMOGLYPHS.items())
    for seed in range(20):
        (here,) = corrupt(TEXT, "homoglyph", [0.7], seed, 3)
        assert len(here.text) == len(TEXT)
        assert sum(a != b for a, b in zip(TEXT, here.text, strict=True)) == here.edits
        assert "".join(inverse.get(char, char) for char in here.text) == TEXT


def test_homoglyphs_are_letters_of_the_same_case_that_normalising_leaves() -> None:
    for letter, twin in HOMOGLYPHS.items():
        assert unicodedata.category(twin) == ("Lu" if letter.isupper() else "Ll"), (letter, twin)
        assert unicodedata.name(twin).split()[0] in {"CYRILLIC", "GREEK", "LATIN"}
        assert unicodedata.normalize("NFKC", twin) == twin  # normalising does not undo the attack


def test_taking_out_zero_width_characters_gives_the_text() -> None:
    (here,) = corrupt(TEXT, "zero_width", [1], 4, 2)
    assert len(here.text) == len(TEXT) + here.edits > len(TEXT)
    assert re.sub(f"[{''.join(ZERO_WIDTH)}]", "", here.text) == TEXT


def test_case_changes_case_alone_and_punctuation_marks_alone() -> None:
    assert one(TEXT, "case").casefold() == TEXT.casefold()
    spoilt = one(TEXT, "punctuation")
    assert re.sub(r"[,.;:]", "", spoilt) == re.sub(r"[,.;:]", "", TEXT) != spoilt


def test_keys_that_touch() -> None:
    assert sorted(KEYBOARD["g"]) == list("bfhtvy")
    assert sorted(KEYBOARD["q"]) == list("aw")
    assert sorted(KEYBOARD["m"]) == list("jkn")
    assert all(key in KEYBOARD[other] and key != other for key, others in KEYBOARD.items() for other in others)
    assert sorted(KEYBOARD) == sorted("abcdefghijklmnopqrstuvwxyz")
    assert all(shape in OCR[other] and shape != other for shape, others in OCR.items() for other in others)


@every_kind
def test_a_text_without_a_word_to_change_stays(kind: Kind) -> None:
    for text in ("", "  ", "12 + 30 = 42!", "?!"):
        assert [(here.text, here.changeable) for here in corrupt(text, kind, [0.5, 1], 0)] == [(text, 0)] * 2
    assert WHY_NOT[kind].startswith("no word has")


def test_other_scripts_are_changed_by_what_knows_no_alphabet() -> None:
    text = "\u0445\u043e\u0440\u043e\u0448\u0438\u0439"
    can = {kind for kind in KINDS if corrupt(text, kind, [1], 0)[0].changeable}
    assert can == {"swap", "drop", "repeat", "case", "punctuation", "zero_width"}


def test_more_edits_per_word_never_touch_the_same_characters() -> None:
    assert one("abcdef", "drop", edits=20) == "af"
    assert one("abcdef", "repeat", edits=20) == "abbccddeef"
    (here,) = corrupt("abcdef", "swap", [1], 0, 20)
    assert here.edits in (1, 2)  # bc and de, or cd alone
    assert here.text in {"acbedf", "abdcef"}


@pytest.mark.parametrize("severity", [-0.1, 1.1, math.nan])
def test_a_severity_that_is_no_share_is_refused(severity: float) -> None:
    with pytest.raises(ValueError, match="a severity is a share of words from 0 to 1"):
        corrupt(TEXT, "drop", [severity], 0)
