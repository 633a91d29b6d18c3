"""LeanText against stock AttackedText on texts made to break it."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.adversarial.pooled.lean_text import lean_text_class
from suites.adversarial.resources.textattack_env import load_textattack, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

_PIECES = [
    "film",
    "it's",
    "well-made",
    "'quoted'",
    "--",
    "*",
    "@home",
    "the",
    "The",
    "a",
    " ",
    "  ",
    ",",
    ". ",
    "(",
    "\n",
    "_",
    "-",
]
_PIECES += ["é", "İx", "naïve", "x", "’", "好", "ok好", "<SPLIT>", "\u200b", "I", "SPLIT", "\t", "!", "1.5", "o'"]
_texts = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=14).map("".join)
_words = st.one_of(
    st.sampled_from(["", "good", "very good", "it's", "-", "'", "x-", "-x", "好", "<SPLIT>", "a b c", "é", "don"]),
    _texts,
)


def _both(text: str) -> tuple[object, object]:
    textattack = load_textattack()
    return textattack.shared.AttackedText(text), lean_text_class(textattack)(text)


def _state(text: object) -> tuple[object, ...]:
    attrs = text.attack_attrs  # type: ignore[attr-defined]
    return (
        text.text,  # type: ignore[attr-defined]
        text.words,  # type: ignore[attr-defined]
        text.tokenizer_input,  # type: ignore[attr-defined]
        sorted(attrs),
        attrs["modified_indices"],
        attrs.get("newly_modified_indices"),
        attrs["original_index_map"].tolist(),
    )


def _try(change: object) -> object:
    try:
        return change()  # type: ignore[operator]
    except Exception as error:
        return type(error)


@settings(max_examples=600, deadline=None)
@given(st.data(), _texts, st.integers(1, 4))
def test_chains_of_replacements_give_what_stock_gives(data: st.DataObject, text: str, steps: int) -> None:
    stock, lean = _both(text)
    for _ in range(steps):
        if not stock.words:  # type: ignore[attr-defined]
            break
        count = len(stock.words)  # type: ignore[attr-defined]
        at = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3))
        by = data.draw(st.lists(_words, min_size=len(at), max_size=len(at)))
        one = _try(lambda s=stock, a=at, b=by: s.replace_words_at_indices(a, b))
        two = _try(lambda s=lean, a=at, b=by: s.replace_words_at_indices(a, b))
        if isinstance(one, type) or isinstance(two, type):
            assert one is two
            break
        stock, lean = one, two
        assert _state(lean) == _state(stock)
        for i in range(len(stock.words)):  # type: ignore[attr-defined]
            assert _try(lambda s=stock, i=i: s.text_window_around_index(i, 5)) == _try(
                lambda s=lean, i=i: s.text_window_around_index(i, 5)
            )


def test_insertions_and_deletions_give_what_stock_gives() -> None:
    stock, lean = _both("The plot, they say, isn't half-bad.")
    for i in range(5):
        for change in ("insert_text_after_word_index", "insert_text_before_word_index"):
            assert _state(getattr(lean, change)(i, "very much")) == _state(getattr(stock, change)(i, "very much"))
        assert _state(lean.delete_word_at_index(i)) == _state(stock.delete_word_at_index(i))  # type: ignore[attr-defined]


def test_pairs_run_stock_code_and_stay_lean_texts() -> None:
    textattack = load_textattack()
    pair = OrderedDict([("premise", "A man sleeps"), ("hypothesis", "I sleep")])
    stock, lean = textattack.shared.AttackedText(pair), lean_text_class(textattack)(pair)
    one, two = stock.replace_word_at_index(3, "You"), lean.replace_word_at_index(3, "You")
    assert two.tokenizer_input == one.tokenizer_input == ("A man sleeps", "You sleep")
    assert type(two) is type(lean)
    assert np.array_equal(two.attack_attrs["original_index_map"], one.attack_attrs["original_index_map"])


def test_equal_texts_are_equal_keys() -> None:
    _, lean = _both("a good film")
    child = lean.replace_word_at_index(1, "bad")  # type: ignore[attr-defined]
    assert child == lean.replace_word_at_index(1, "bad")  # type: ignore[attr-defined]
    assert len({child, lean.replace_word_at_index(1, "bad"), lean}) == 2  # type: ignore[attr-defined]
