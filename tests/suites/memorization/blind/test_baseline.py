from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from suites.memorization.blind.baseline import (
    FOLDS,
    blind_baseline,
    cross_validated,
    why_different,
)
from suites.memorization.blind.features import _plain, _weighted, features
from suites.memorization.blind.logistic import fit_logistic

WORDS = ["river", "stone", "green", "walk", "seven", "cloud", "paper", "north", "glass", "song", "field", "lamp"]


def pool(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts of one pool, half of them members by lot."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(5, 25))) for _ in range(n)]
    return texts, rng.permutation(np.arange(n) < n // 2)


def test_weights_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    rows = sparse.random(80, 30, 0.3, format="csr", random_state=0)
    labels = rng.random(80) < 0.4
    theirs = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000).fit(rows, labels)
    weights, intercept = fit_logistic(sparse.csr_matrix(rows), labels, 2.0)
    assert weights == pytest.approx(theirs.coef_[0], abs=2e-4)
    assert intercept == pytest.approx(theirs.intercept_[0], abs=2e-4)


def test_words_are_weighted_as_scikit_learns() -> None:
    texts = ["a river a stone", "stone stone walk", "river walk alone", "a a a cloud"]
    theirs = TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"\w+").fit_transform(texts)
    ours = _weighted([Counter(text.split()) for text in texts])
    order = [np.sort(each.toarray(), axis=1) for each in (ours, theirs)]  # columns come in another order
    assert order[0] == pytest.approx(order[1])


def test_plain_numbers_by_hand() -> None:
    found = _plain("In 1999 and 2021\nit 12999.")
    assert found[0] == pytest.approx(np.log1p(26))
    assert found[1] == pytest.approx(np.log1p(6))
    assert found[3:8] == pytest.approx([13 / 26, 1 / 26, 5 / 26, 20 / 26, 1 / 26])
    assert found[8:] == pytest.approx([np.log1p(2), 1.0, 1999.0, 2021.0])  # 12999 holds no year
    assert np.isnan(_plain("")[-2:]).all()
    assert np.isfinite(features(["", "2001", "none"]).toarray()).all()


def test_one_pool_is_judgeable() -> None:
    texts, members = pool(400, 0)
    found = blind_baseline(texts, members, seed=0)
    assert why_different(found) is None
    assert (found.members, found.non_members) == (200, 200)


@pytest.mark.parametrize("kind", ["word", "spelling", "length", "year"])
def test_each_difference_in_kind_is_found(kind: str) -> None:
    texts, members = pool(400, 1)
    rng = np.random.default_rng(2)
    for i in np.flatnonzero(members):
        if kind == "word" and rng.random() < 0.5:
            texts[i] += " harbour"
        elif kind == "spelling":
            texts[i] = texts[i].replace("n gr", "n  gr").replace(" s", "  s")
        elif kind == "length":
            texts[i] += " " + " ".join(rng.choice(WORDS, 8))
    if kind == "year":
        spans = [(2005, 2015) if member else (2010, 2025) for member in members]
        texts = [f"{text} {rng.integers(*span)}" for text, span in zip(texts, spans, strict=True)]
    found = blind_baseline(texts, members, seed=0)
    assert found.low > 0.55
    assert "split one pool at random" in str(why_different(found))
    control = blind_baseline(texts, rng.permutation(members), seed=0)
    assert control.auc == pytest.approx(0.5, abs=0.12)
    assert why_different(control) is None


def test_one_pool_is_seldom_refused() -> None:
    rng, refused, values = np.random.default_rng(0), 0, []
    for seed in range(150):
        rows = sparse.csr_matrix(rng.normal(size=(200, 10)))
        found = cross_validated(rows, rng.permutation(np.arange(200) < 100), seed)
        refused += why_different(found) is not None
        values.append(found.auc)
    assert refused <= 14  # 150 draws of 0.05 exceed it once in 100
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)


def test_scores_are_made_without_their_own_text() -> None:
    rng = np.random.default_rng(0)
    rows = sparse.csr_matrix(rng.normal(size=(60, 4)))
    members = np.arange(60) % 2 == 0
    found = cross_validated(rows, members, seed=3)
    assert sorted(np.bincount(found.folds)) == [12] * FOLDS
    fold = found.folds == 2
    weights, intercept = fit_logistic(rows[~fold], members[~fold])
    assert found.scores[fold] == pytest.approx(rows[fold] @ weights + intercept)


def test_too_few_texts() -> None:
    texts, members = pool(80, 0)
    with pytest.raises(ValueError, match="give 5 of each"):
        blind_baseline(texts[:6], members[:6], 0)
    with pytest.raises(ValueError, match="80 texts"):
        blind_baseline(texts, members[:70], 0)
