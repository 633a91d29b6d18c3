"""Which training texts are attacked, and which adversarial texts are added."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from suites.adversarial.harden.texts import adversarial_texts, chosen

NAMES = ("negative", "positive")


@pytest.mark.parametrize(("n", "share"), [(1, 0.01), (10, 0.2), (7, 0.5), (48, 1.0)])
def test_the_share_is_rounded_up_and_drawn_without_repeats(n: int, share: float) -> None:
    picked = chosen(n, share, seed=3, number=1)
    assert len(picked) == math.ceil(share * n)
    assert picked == sorted(set(picked))
    assert set(picked) <= set(range(n))
    assert picked == chosen(n, share, seed=3, number=1)


def test_each_round_and_each_seed_draws_anew_and_every_text_has_the_same_chance() -> None:
    assert chosen(100, 0.2, 0, 1) != chosen(100, 0.2, 0, 2)
    assert chosen(100, 0.2, 0, 1) != chosen(100, 0.2, 1, 1)
    counts = pd.Series([text for number in range(1, 2001) for text in chosen(10, 0.3, 0, number)]).value_counts()
    assert len(counts) == 10
    assert (counts / 2000 - 0.3).abs().max() < 0.05  # five standard errors


def rows(**columns: list[object]) -> pd.DataFrame:
    n = len(columns["outcome"])
    return pd.DataFrame({"status": ["ok"] * n, "perturbed_pair": [None] * n, "label": [0] * n, **columns})


def test_what_succeeded_is_added_under_the_true_class() -> None:
    made = adversarial_texts(
        rows(
            outcome=["succeeded", "failed", "skipped", None, "succeeded", "succeeded"],
            status=["ok", "ok", "ok", "error", "ok", "ok"],
            label=[0, 1, 0, None, 1, 1],
            perturbed_text=["bda film", "good", None, None, "gdoo film", " "],
        ),
        NAMES,
    )
    assert made.to_dict("records") == [
        {"text": "bda film", "label": "negative"},
        {"text": "gdoo film", "label": "positive"},
    ]


def test_pairs_stay_pairs_and_a_blank_half_is_no_text() -> None:
    made = adversarial_texts(
        rows(outcome=["succeeded"] * 2, perturbed_text=["a", "b"], perturbed_pair=["c", ""], label=[1, 0]), NAMES
    )
    assert made.to_dict("records") == [{"text": "a", "pair": "c", "label": "positive"}]


def test_where_nothing_succeeded_nothing_is_added() -> None:
    made = adversarial_texts(rows(outcome=["failed"], perturbed_text=["x"]), NAMES)
    assert len(made) == 0
    assert list(made.columns) == ["text", "label"]
