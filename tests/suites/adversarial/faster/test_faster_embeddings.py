from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from suites.adversarial.faster.embeddings import measure_together
from suites.adversarial.faster.memo import Memo
from suites.adversarial.resources.textattack_env import load_textattack
from tests.suites.adversarial.faster.stand_ins import attacked, embedding, survivors, swaps


def distance(**settings: Any) -> Any:
    load_textattack()
    from textattack.constraints.semantics import WordEmbeddingDistance

    return WordEmbeddingDistance(**{"embedding": fresh(), **settings})


def fresh() -> Any:
    """The embedding without distances it has worked out before."""
    return with_vectors(embedding().embedding_matrix)


def with_vectors(matrix: Any) -> Any:
    load_textattack()
    from textattack.shared import WordEmbedding

    known = embedding()
    return WordEmbedding(matrix, known._word2index, known._index2word, known.nn_matrix)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_cos_sim": 0.3},
        {"min_cos_sim": -0.2, "include_unknown_words": False},
        {"max_mse_dist": 1.2},
        {"min_cos_sim": 0.3, "cased": True},
        {"min_cos_sim": 0.3, "compare_against_original": False},
    ],
)
def test_decisions_are_stocks(settings: dict[str, Any]) -> None:
    stock, faster = distance(**settings), measure_together(distance(**settings), Memo())
    kept = lost = 0
    for text in attacked():
        candidates = swaps(text, 25)
        left = survivors(stock, candidates, text)
        assert survivors(faster, candidates, text) == left
        assert [faster(candidate, text) for candidate in candidates[:5]] == [
            stock(candidate, text) for candidate in candidates[:5]
        ]
        kept += len(left)
        lost += len(candidates) - len(left)
    assert min(kept, lost) > 50


@pytest.mark.parametrize("cosine", [True, False])
def test_at_the_threshold_itself_stocks_own_number_decides(cosine: bool) -> None:
    index = embedding()._word2index
    words = list(index)[:12]
    compared = 0
    for first in words:
        for second in words:
            plain = fresh()
            pair = index[first], index[second]
            value = plain.get_cos_sim(*pair) if cosine else plain.get_mse_dist(*pair)
            limit = {"min_cos_sim": value} if cosine else {"max_mse_dist": value}
            if not value:
                continue
            (text,) = attacked([f"so {first} then"])
            new = text.replace_word_at_index(1, second)
            new.attack_attrs["last_transformation"] = load_textattack().transformations.WordSwapQWERTY()
            if first != second:
                assert survivors(measure_together(distance(**limit), Memo()), [new], text) == [(new.text, None)]
                step = np.nextafter(value, 2 if cosine else 0)
                tighter = {name: float(step) for name in limit}
                assert survivors(measure_together(distance(**tighter), Memo()), [new], text) == []
                compared += 1
    assert compared > 60


def test_a_zero_vector_has_cosine_zero() -> None:
    matrix = embedding().embedding_matrix.copy()
    matrix[5] = 0
    words = embedding()._index2word
    (text,) = attacked([f"so {words[4]} then"])
    new = text.replace_word_at_index(1, words[5])
    new.attack_attrs["last_transformation"] = load_textattack().transformations.WordSwapQWERTY()
    for least, kept in ((0.1, 0), (-0.1, 1)):
        stock = distance(embedding=with_vectors(matrix), min_cos_sim=least)
        for constraint in (measure_together(stock, Memo()), stock):
            assert len(survivors(constraint, [new], text)) == kept


def test_distances_the_embedding_came_with_count() -> None:
    with_table = fresh()
    words = with_table._index2word
    with_table._cos_sim_mat[1][2] = -0.9
    constraint = distance(embedding=with_table, min_cos_sim=-0.8)
    (text,) = attacked([f"so {words[2]} then"])
    new = text.replace_word_at_index(1, words[1])
    new.attack_attrs["last_transformation"] = load_textattack().transformations.WordSwapQWERTY()
    assert with_vectors(with_table.embedding_matrix).get_cos_sim(1, 2) > -0.8
    assert survivors(measure_together(constraint, Memo()), [new], text) == []


def test_pairs_are_measured_once_for_all_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, memo = fresh(), Memo()
    (text,) = attacked(["sad happy angry boring fun sad happy"])
    candidates = swaps(text, 40)
    first = survivors(measure_together(distance(embedding=shared, min_cos_sim=0.3), memo), candidates, text)
    monkeypatch.setattr(shared, "embedding_matrix", np.full((1, 1), np.nan))
    assert survivors(measure_together(distance(embedding=shared, min_cos_sim=0.3), memo), candidates, text) == first


def test_other_embeddings_stay() -> None:
    load_textattack()
    from textattack.shared import WordEmbedding

    class Own(WordEmbedding):  # type: ignore[misc]  # textattack has no types
        pass

    known = embedding()
    own = distance(
        embedding=Own(known.embedding_matrix, known._word2index, known._index2word, known.nn_matrix), min_cos_sim=0.3
    )
    assert measure_together(own, Memo()) is own
    listed = distance(embedding=with_vectors(known.embedding_matrix.tolist()), min_cos_sim=0.3)
    assert measure_together(listed, Memo()) is listed
