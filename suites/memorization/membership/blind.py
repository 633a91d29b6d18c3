"""The blind baseline: how well members are told from others by their texts alone, with no model that saw them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.stats import rankdata

from privacy.corpus.same import plain

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FOLDS = 5
MOST = 1000
"""Records a side that are compared. The interval of an AUC reaches 0.04 with them, and it takes a few seconds."""
_CHARACTERS = 4000
"""Of each text that are read: about 700 words, more than the models audited here read."""
_FEATURES = 20_000
"""Commonest words and character n-grams, each; rarer ones occur in too few records to be learnt from."""


def blind_scores(texts: Sequence[str], members: ArrayLike, labels: Sequence[str], seed: int = 0) -> Floats:
    """Place [n] of each record among those of its fold, 0 to 1, higher: likelier a member; never learnt from itself.

    Words, pairs of words, character n-grams, length and label [n] of the record, weighed by a logistic regression that
    four of five folds teach; equal texts share a fold. Places and not scores, as folds are taught apart and their
    scores cannot be pooled. NaN for more than `MOST` of a side (drawn by `seed`); one half where a side has fewer
    different texts than folds: nothing can be learnt. Source: Das, Zhang & Tramer 2024, arXiv 2406.16201.
    """
    truth = np.asarray(members, dtype=np.bool_)
    if not len(texts) == len(truth) == len(labels):
        raise ValueError(f"{len(texts)} texts, {len(truth)} memberships and {len(labels)} labels do not fit")
    rng = np.random.default_rng(seed)
    places = np.full(len(truth), np.nan)
    drawn = [rng.permutation(np.flatnonzero(truth == side))[:MOST] for side in (True, False)]
    chosen = [int(index) for index in np.sort(np.concatenate(drawn))]
    same = [plain(texts[index]) for index in chosen]
    folds = _folds(same, truth[chosen], rng)
    if folds is None:
        places[chosen] = 0.5
        return places
    features = _features([texts[index] for index in chosen], [labels[index] for index in chosen])
    places[chosen] = _out_of_fold(features, truth[chosen], folds)
    return places


def _folds(same: Sequence[str], truth: NDArray[np.bool_], rng: np.random.Generator) -> Integers | None:
    """Fold [n] of each record: different texts of each side dealt out in random order; None: too few to deal."""
    folds = np.empty(len(same), dtype=np.int64)
    for side in (True, False):
        mine = np.flatnonzero(truth == side)
        different = sorted({same[index] for index in mine})
        if len(different) < FOLDS:
            return None
        dealt = dict(zip(different, rng.permutation(len(different)) % FOLDS, strict=True))
        folds[mine] = [dealt[same[index]] for index in mine]
    return folds


def _features(texts: Sequence[str], labels: Sequence[str]) -> csr_matrix:
    """What is seen of each record [n, features]; no membership is used."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    cut = [text[:_CHARACTERS] for text in texts]
    common = {"max_features": _FEATURES, "sublinear_tf": True, "min_df": 2, "dtype": np.float64}
    kinds = (
        {"token_pattern": r"(?u)\w+|[^\w\s]", "ngram_range": (1, 2)},
        {"analyzer": "char_wb", "ngram_range": (2, 4)},
    )
    parts = [_lengths(texts), _classes(labels)]
    for kind in kinds:
        try:
            parts.append(TfidfVectorizer(**common, **kind).fit_transform(cut))
        except ValueError:  # no n-gram is in two of the texts
            continue
    return csr_matrix(hstack(parts))


def _lengths(texts: Sequence[str]) -> csr_matrix:
    """Characters and words, as logs with mean 0 and deviation 1 [n, 2]."""
    counts = np.log1p([[len(text), len(text.split())] for text in texts])
    spread = counts.std(axis=0)
    return csr_matrix((counts - counts.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _classes(labels: Sequence[str]) -> csr_matrix:
    """One column per label [n, labels]."""
    return csr_matrix(np.asarray(labels)[:, None] == np.unique(labels)[None, :], dtype=np.float64)


def _out_of_fold(features: csr_matrix, truth: NDArray[np.bool_], folds: Integers) -> Floats:
    from sklearn.linear_model import LogisticRegression

    places = np.empty(len(truth))
    for fold in range(FOLDS):
        apart = folds == fold
        model = LogisticRegression(C=1.0, solver="liblinear", class_weight="balanced", random_state=0)
        model.fit(features[~apart], truth[~apart])
        scores = model.decision_function(features[apart]).round(9)  # so that equal texts stay equal
        places[apart] = (rankdata(scores) - 0.5) / len(scores)
    return places
