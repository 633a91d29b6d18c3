"""Word vectors and counter-fitting, against brute force."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import UsageError
from suites.adversarial.recipes.parts import LazyNeighbours
from suites.adversarial.resources.counterfit import (
    Settings,
    close_pairs,
    counterfit,
    make_constraints,
    read_pairs,
    step,
)
from suites.adversarial.resources.vectors import WordVectors, read_vectors, write_vectors

Rows = NDArray[np.float64]
Pairs = set[tuple[int, int]]


def random_unit(n: int, d: int, seed: int = 0) -> Rows:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def toy(n: int = 60, d: int = 5) -> WordVectors:
    return WordVectors([f"w{place}" for place in range(n)], random_unit(n, d) * 3)


def test_neighbours_are_those_of_a_full_sort() -> None:
    vectors = toy()
    cosines = vectors.unit @ vectors.unit.T
    for place in range(len(vectors)):
        expected = sorted(set(range(60)) - {place}, key=lambda other: (-round(float(cosines[place, other]), 6), other))
        for k in (3, 59, 7, 100):  # a smaller answer comes out of the memo of a larger one
            places, scores = vectors.nearest(place, k)
            assert places.tolist() == expected[:k]
            assert scores == pytest.approx(cosines[place, expected[:k]], abs=1e-6)


def test_ties_go_by_index_and_unknown_words_have_no_neighbours() -> None:
    vectors = WordVectors(["a", "b", "c", "d"], np.array([[1, 0], [1, 1], [1, 1], [0, 0]]))
    assert vectors.neighbours("a", 1)[0] == ["b"]
    words, cosines = vectors.neighbours("a", 3)
    assert (words, cosines.tolist()) == (["b", "c", "d"], pytest.approx([0.707107, 0.707107, 0]))
    assert vectors.neighbours("zebra", 3)[0] == []
    assert vectors.cosine("b", "c") == pytest.approx(1)


def test_text_is_read_back_as_written(tmp_path: Path) -> None:
    write_vectors(toy(), tmp_path / "v.txt")
    again = read_vectors(tmp_path / "v.txt")
    assert again.words == toy().words
    assert again.matrix == pytest.approx(toy().matrix, abs=1e-6)
    assert len(read_vectors(tmp_path / "v.txt", 7)) == 7
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress(b"2 3\nat name@domain.com 1 2 3\nb 4 5 6\n"))
    with pytest.raises(UsageError, match="line 2"):  # three numbers are not four
        read_vectors(_text(tmp_path, "a 1 2 3 4\nb 4 5 6\n"))
    assert read_vectors(_text(tmp_path, "2 3\na 1 2 3\nb c 4 5 6\n")).words == ("a", "b c")


def _text(folder: Path, content: str) -> Path:
    (folder / "t.txt").write_text(content)
    return folder / "t.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no word vectors"),
        ("a 1 2\nb 1 x\n", "line 2: is not a word and 2 numbers"),
        ("a\n", "line 1: is not a word and its numbers"),
        ("a 1 nan\n", "not finite"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_vectors(_text(tmp_path, content))


def test_a_folder_of_arrays_is_read_and_checked(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float16))
    with pytest.raises(UsageError, match=r"needs one \.npy matrix, and its words"):
        read_vectors(tmp_path)
    (tmp_path / "words.txt").write_text("a\nb\nc\n")
    assert read_vectors(tmp_path).words == ("a", "b", "c")
    assert read_vectors(tmp_path, 2).matrix.tolist() == [[1, 0, 0], [0, 1, 0]]
    (tmp_path / "words.txt").write_text("a\nb\n")
    with pytest.raises(UsageError, match="2 words need a matrix of as many rows"):
        read_vectors(tmp_path)


def test_textattack_gets_itself_first_then_the_nearest() -> None:
    vectors = toy()
    rows = LazyNeighbours(vectors, 4)
    assert rows.shape == (60, 5)
    assert rows[7].tolist() == [7, *vectors.nearest(7, 4)[0].tolist()]


def brute_step(unit: Rows, synonyms: Pairs, antonyms: Pairs, start: Rows, chosen: Settings) -> Rows:
    """One step from the objective alone: numeric gradients of each term, their mean over active terms, unit length."""

    def distance(u: Rows, v: Rows) -> float:
        return float(1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v))

    def both(pairs: Pairs) -> Pairs:
        return pairs | {(b, a) for a, b in pairs}

    n, d = unit.shape
    apart, together = both(antonyms), both(synonyms) - both(antonyms)
    near = {(i, j) for i in range(n) for j in range(n) if i != j and distance(start[i], start[j]) <= chosen.rho} - apart
    after = unit.copy()
    for word in range(n):
        terms = []
        for pairs, weight, kind in (
            (apart, chosen.repel, 0),
            (together, chosen.attract, 1),
            (near, chosen.preserve, 2),
        ):
            for i, j in pairs:
                if i != word:
                    continue

                def cost(u: Rows, j: int = j, weight: float = weight, kind: int = kind) -> float:
                    at = distance(u, unit[j])
                    first = distance(start[word], start[j])  # noqa: B023  used before the word changes
                    return weight * max(0.0, (chosen.delta - at, at - chosen.gamma, at - first)[kind])

                if cost(unit[word]) > 1e-12:
                    nudge = np.eye(d) * 1e-6
                    terms.append([(cost(unit[word] + e) - cost(unit[word] - e)) / 2e-6 for e in nudge])
        if terms:
            after[word] -= np.mean(terms, axis=0)
    return np.asarray(after / np.linalg.norm(after, axis=1, keepdims=True))


def test_steps_follow_the_numeric_gradient_of_the_papers_objective() -> None:
    start = random_unit(14, 3, seed=3)
    random = np.random.default_rng(1)
    pairs = [(int(a), int(b)) for a, b in random.integers(0, 14, (14, 2)) if a != b]
    synonyms, antonyms = set(pairs[:8]), {*pairs[8:], pairs[0]}
    chosen = Settings(preserve=0.07, attract=0.2)
    terms = make_constraints(start, np.array(sorted(synonyms)), np.array(sorted(antonyms)), chosen)
    assert (terms.weight == 0.07).sum() > 4
    unit, expected = start, start
    for _ in range(4):
        unit = step(unit, terms)
        expected = brute_step(expected, synonyms, antonyms, start, chosen)
        assert unit == pytest.approx(expected, abs=1e-6)
    assert np.abs(unit - start).max() > 0.05


def test_close_pairs_are_those_of_all_pairs() -> None:
    unit = random_unit(700, 3)
    distances = 1 - unit @ unit.T
    expected = {(i, j) for i in range(700) for j in range(i + 1, 700) if distances[i, j] <= 0.05}
    assert {tuple(pair) for pair in close_pairs(unit, 0.05).tolist()} == expected
    assert len(expected) > 1000


def test_synonyms_come_closer_and_antonyms_end_at_the_margin() -> None:
    vectors = toy(40, 10)
    synonyms, antonyms = [("w0", "w1"), ("w2", "w3"), ("w0", "unknown")], [("w4", "w5"), ("w6", "w7"), ("w2", "w3")]
    fitted = counterfit(vectors, synonyms, antonyms, Settings(epochs=200))
    assert fitted.cosine("w0", "w1") > max(0.9, vectors.cosine("w0", "w1"))
    for a, b in antonyms:  # a pair that is both is antonymous
        assert 1 - fitted.cosine(a, b) > min(0.95, 1 - vectors.cosine(a, b) - 0.02)
    assert np.linalg.norm(fitted.matrix, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert fitted.matrix[30] == pytest.approx(vectors.unit[30], abs=1e-6)


def test_batches_are_drawn_by_the_seed() -> None:
    pairs = [(f"w{i}", f"w{i + 1}") for i in range(20)], [("w30", "w31")]
    runs = [counterfit(toy(), *pairs, Settings(batch=5, seed=seed)).matrix for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    with pytest.raises(UsageError, match="batch is 0"):
        counterfit(toy(), *pairs, Settings(batch=0))


def test_pairs_are_read_and_checked(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a b\n\nc\td\n")
    (tmp_path / "q.txt.gz").write_bytes(gzip.compress(b"e f\n"))
    assert list(read_pairs([tmp_path / "p.txt", tmp_path / "q.txt.gz"])) == [("a", "b"), ("c", "d"), ("e", "f")]
    (tmp_path / "p.txt").write_text("a b\na b c\n")
    with pytest.raises(UsageError, match=r"p\.txt, line 2: 3 words instead of two"):
        list(read_pairs([tmp_path / "p.txt"]))
    with pytest.raises(UsageError, match="does not exist"):
        list(read_pairs([tmp_path / "none.txt"]))
    with pytest.raises(UsageError, match="no pair of synonyms or antonyms has vectors"):
        counterfit(toy(), [("x", "y")], [])


@pytest.mark.data
def test_counter_fitting_real_vectors_agrees_better_with_human_similarity(real_data: Path) -> None:
    from scipy.stats import spearmanr

    folder = real_data / "synonym_constraints"
    vectors = read_vectors(real_data / "glove50_top40k", 15_000)
    antonyms = list(read_pairs([folder / "ppdb_antonyms.txt", folder / "wordnet_antonyms.txt"]))
    fitted = counterfit(vectors, read_pairs([folder / "ppdb_synonyms.txt.gz"]), antonyms)
    lines = [line.split("\t") for line in (folder / "SimLex-999.txt").read_text().splitlines()[1:]]
    pairs = [line for line in lines if line[0] in vectors.index and line[1] in vectors.index]
    before, after = (
        spearmanr([float(pair[3]) for pair in pairs], [v.cosine(pair[0], pair[1]) for pair in pairs])[0]
        for v in (vectors, fitted)
    )
    assert len(pairs) > 800
    assert after > before + 0.08
