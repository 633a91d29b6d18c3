from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UsageError
from suites.adversarial.resources.finding import ResourceMissing
from suites.adversarial.resources.vectors import WordVectors, write_vectors
from suites.adversarial.safer.bound import overlap
from suites.adversarial.safer.synonym_sets import GroupSynonyms, VectorSynonyms, all_but_the_top, connected
from suites.adversarial.safer.synonym_sources import SynonymSettings, find_vectors, group_table, vector_table
from suites.adversarial.safer.word_shapes import Shape, shape_of, shaped, usable

SETTINGS = SynonymSettings(set_size=3, similarity=0.8, components=1, vocabulary=100)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["film", "don't", "café", "été", "straße".replace("ß", "ss"), "o’neil", "пиво"])
def test_usable_words_are_found_again_in_every_case(word: str) -> None:
    assert usable(word)
    assert [shape_of(shaped(word, shape)) for shape in Shape] == list(Shape)


@pytest.mark.parametrize(
    "word", ["a", "", "Film", "well-known", "two words", "2nd", "42", "it's.", "straße", "_x_", "o'2", "日本", "ﬁlm"]
)
def test_words_that_another_case_would_change_are_not_usable(word: str) -> None:
    assert not usable(word)


def test_other_cases_have_no_shape() -> None:
    assert [shape_of(word) for word in ("McDonald", "iPhone", "fILM")] == [None] * 3
    assert [shape_of(word) for word in ("film", "Film", "FILM", "Don't", "DON'T")] == [
        Shape.LOWER,
        Shape.TITLE,
        Shape.UPPER,
        Shape.TITLE,
        Shape.UPPER,
    ]


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_small_component_is_one_set_and_costs_nothing() -> None:
    sets = GroupSynonyms([["Good", "fine"], ["fine", "nice"], ["bad", "poor"]], 3)
    assert sets.synonyms("good") == ("fine",)
    assert sets.synonyms("fine") == ("good", "nice")
    for word in ("good", "fine", "nice"):
        assert sorted(sets.substitutes(word)) == ["fine", "good", "nice"]
        assert sets.overlap(word) == 1
    assert (sets.substitutes("tree"), sets.synonyms("tree"), sets.overlap("tree")) == (("tree",), (), 1)


def test_a_large_component_gives_each_word_its_nearest() -> None:
    chain = [["aa", "bb"], ["bb", "cc"], ["cc", "dd"], ["dd", "ee"]]
    sets = GroupSynonyms(chain, 3)
    assert sets.substitutes("aa") == ("aa", "bb", "cc")
    assert sets.substitutes("bb") == ("bb", "aa", "cc")
    assert sets.substitutes("cc") == ("cc", "bb", "dd")
    assert sets.substitutes("ee") == ("ee", "dd", "cc")
    assert [sets.overlap(word) for word in ("aa", "bb", "cc")] == pytest.approx([1, 2 / 3, 2 / 3])
    assert GroupSynonyms(chain, 5).overlap("cc") == 1
    assert GroupSynonyms(chain, 4).overlap("cc") < 1


def test_words_that_cannot_be_used_are_counted() -> None:
    sets = GroupSynonyms([["good", "well made", "a"], ["a", "one"], ["bad", "poor"]], 3)
    assert sets.left_out == 2
    assert sets.synonyms("good") == ()
    with pytest.raises(UsageError, match="no two synonyms can be used"):
        GroupSynonyms([["a", "b"]], 3)


# --- vectors ----------------------------------------------------------------------------------------------------------


def made_up_vectors(n: int, d: int, seed: int = 0) -> WordVectors:
    """Clustered vectors of words 'aa', 'ab', …"""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(2, n // 6), d))
    matrix = centres[rng.integers(0, len(centres), n)] + 0.45 * rng.normal(size=(n, d))
    words = ["".join(pair) for pair in itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=2)][:n]
    return WordVectors(words, matrix)


@pytest.mark.parametrize("set_size", [4, 12, 200])
def test_sets_of_vectors_are_those_of_a_direct_search(set_size: int) -> None:
    vectors = made_up_vectors(150, 6)
    sets = VectorSynonyms(vectors, similarity=0.8, set_size=set_size, components=1, vocabulary=150)
    unit = all_but_the_top(vectors.unit, 1).astype(np.float64)
    cosines = unit @ unit.T
    joined = cosines >= 0.8
    reach = np.linalg.matrix_power(joined.astype(np.float64) + np.eye(150), 150) > 0
    large = 0
    for place, word in enumerate(vectors.words):
        own = [other for other in np.flatnonzero(joined[place]) if other != place]
        assert sets.synonyms(word) == tuple(vectors.words[other] for other in own)
        members = np.flatnonzero(reach[place])
        nearest = members[np.argsort(-cosines[place, members], kind="stable")][:set_size]
        assert set(sets.substitutes(word)) == {vectors.words[other] for other in nearest}
        mine = frozenset(sets.substitutes(word))
        theirs = [frozenset(sets.substitutes(vectors.words[other])) for other in own]
        assert sets.overlap(word) == min((overlap(mine, other) for other in theirs), default=1)
        large += len(members) > set_size
    assert (large > 0) == (set_size < 200)


def test_components_are_joined_across_blocks() -> None:
    rng = np.random.default_rng(1)
    unit = np.eye(300, dtype=np.float32)[rng.permutation(np.repeat(np.arange(300), 3))]
    label = connected(unit, 0.8)
    assert label.max() == 299
    assert all(len(set(label[unit.argmax(axis=1) == axis])) == 1 for axis in range(300))
    line = np.stack([np.cos(np.arange(700) * 0.004), np.sin(np.arange(700) * 0.004)], axis=1).astype(np.float32)
    assert set(connected(line[rng.permutation(700)], 0.99999)) == {0}  # each is joined to its neighbours alone


def test_all_but_the_top_is_what_the_singular_vectors_give() -> None:
    matrix = made_up_vectors(80, 7).unit
    centred = matrix.astype(np.float64) - matrix.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    rest = centred - centred @ axes.T @ axes
    assert all_but_the_top(matrix, 2) == pytest.approx(rest / np.linalg.norm(rest, axis=1, keepdims=True), abs=1e-5)
    none = all_but_the_top(matrix, 0)
    assert none == pytest.approx(centred / np.linalg.norm(centred, axis=1, keepdims=True), abs=1e-6)
    assert not all_but_the_top(np.ones((3, 4), np.float32), 4).any()


def test_the_vocabulary_is_the_first_usable_words() -> None:
    vectors = WordVectors(["The", "good", ",", "fine", "42", "nice", "bad"], np.eye(7)[[0, 1, 2, 1, 4, 5, 1]])
    sets = VectorSynonyms(vectors, similarity=0.8, set_size=3, components=0, vocabulary=3)
    assert sets.words == ("good", "fine", "nice")
    assert sets.synonyms("good") == ("fine",)


@pytest.mark.parametrize(
    ("words", "given", "why"),
    [
        (["A", "it"], {}, "fewer than two lower-case words"),
        (["it", "is"], {}, "no two words have a cosine of 0.8; lower similarity"),
        (["it", "is"], {"components": 2}, "have 2 components, all of which would be lost; lower components"),
    ],
)
def test_vectors_without_synonyms_say_why(words: list[str], given: dict[str, int], why: str) -> None:
    settings = {"set_size": 3, "components": 0, "vocabulary": 9, **given}
    with pytest.raises(UsageError, match=why):
        VectorSynonyms(WordVectors(words, np.eye(2)), similarity=0.8, **settings)


# --- sources ----------------------------------------------------------------------------------------------------------


def test_groups_are_read_from_text_and_json_alike(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffgood, fine\tnice  # praise\n\n# nothing\nbad poor\n", encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps([["good", "fine", "nice"], ["bad", "poor"]]))
    (tmp_path / "b.json").write_text(json.dumps({"good": ["fine", "nice"], "bad": ["poor"], "tree": []}))
    tables = {name: group_table(str(tmp_path / name), SETTINGS) for name in ("a.txt", "a.json", "b.json")}
    for table in tables.values():
        assert sorted(table.sets.substitutes("good")) == ["fine", "good", "nice"]
        assert sorted(table.sets.substitutes("bad")) == ["bad", "poor"]
    assert tables["a.txt"].sets.synonyms("fine") == ("good", "nice")
    assert tables["b.json"].sets.synonyms("fine") == ("good",)  # nobody said that fine and nice are synonyms
    assert tables["a.txt"].described.startswith("file a.txt, sha256 ")
    assert tables["a.txt"].described.endswith("; 5 words, sets of at most 3")
    assert str(tmp_path) not in tables["a.txt"].described


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("good fine\n")
    before = group_table(str(file), SETTINGS)
    file.write_text("good great lovely\n")
    after = group_table(str(file), SETTINGS)
    assert after.sets.synonyms("good") == ("great", "lovely")
    assert before.described != after.described


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", b"good fine\nbad\n", "line 2: has one word, 'bad'; a group needs two or more"),
        ("a.txt", b"", "no two synonyms can be used"),
        ("a.txt", b"\xff\xfe\x00", "is no UTF-8 text"),
        ("a.json", b"{", "is no JSON"),
        ("a.json", b'{"good": "fine"}', "holds neither lists of words nor words with lists"),
        ("a.json", b'[["good", 1]]', "holds neither lists of words"),
        ("a.json", b"[]", "no two synonyms can be used"),
    ],
)
def test_files_that_hold_no_groups_say_why(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=why) as caught:
        group_table(str(tmp_path / name), SETTINGS)
    assert name in str(caught.value)


def test_a_file_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"synonyms: .*none.txt is no file; give a line per group"):
        group_table(str(tmp_path / "none.txt"), SETTINGS)
    with pytest.raises(UsageError, match="does not exist; give the path of word-vectors"):
        find_vectors(str(tmp_path / "none.txt"))
    assert issubclass(ResourceMissing, UsageError)


def test_vectors_are_named_with_their_digest_and_settings(tmp_path: Path) -> None:
    write_vectors(made_up_vectors(40, 6), tmp_path / "v.txt")
    found = find_vectors(str(tmp_path / "v.txt"))
    table = vector_table(found, SETTINGS)
    assert table is vector_table(found, SETTINGS)
    assert table.described == (
        f"word-vectors from user, sha256 {found.digest[:8]}; 40 words, cosine >= 0.8 after all-but-the-top (1), "
        "sets of at most 3"
    )
    assert any(len(table.sets.substitutes(word)) == 3 for word in ("aa", "ab", "ac", "ad"))
