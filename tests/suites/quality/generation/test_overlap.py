"""Counts against rouge-score and sacrebleu over whole corpora; formulas of sums against sacrebleu's scores."""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from harness.errors import UsageError
from suites.quality.generation import overlap as module
from suites.quality.generation.overlap import (
    corpus_bleu,
    corpus_chrf,
    corpus_interval,
    farthest_bleu,
    overlap,
    require,
    self_bleu,
)

WORDS = ["the", "cat", "sat", "on", "a", "mat", ",", "über", "it's", "2.5"]


def corpus(n: int, longest: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Texts, and two references each that share words with them."""
    rng = np.random.default_rng(seed)

    def text(least: int) -> str:
        return " ".join(WORDS[at] for at in rng.integers(0, len(WORDS), rng.integers(least, longest)))

    return [text(0) for _ in range(n)], [[text(1), text(1)] for _ in range(n)]


@pytest.mark.parametrize(("n", "longest", "seed"), [(20, 14, 0), (40, 6, 1), (3, 3, 2), (5, 40, 3)])
def test_sums_over_texts_make_the_scores_of_sacrebleu(n: int, longest: int, seed: int) -> None:
    texts, references = corpus(n, longest, seed)
    counted = [overlap([text], golds) for text, golds in zip(texts, references, strict=True)]
    streams = [list(each) for each in zip(*references, strict=True)]
    bleu, chrf = BLEU().corpus_score(texts, streams), CHRF().corpus_score(texts, streams)
    sums = np.array([each.bleu for each in counted], dtype=float).sum(axis=0)[None]
    assert corpus_bleu(sums)[0] == pytest.approx(bleu.score / 100)
    grams = np.array([each.chrf for each in counted], dtype=float).sum(axis=0)[None]
    assert corpus_chrf(grams)[0] == pytest.approx(chrf.score / 100)


def test_rouge_is_the_best_reference_and_the_mean_over_texts() -> None:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"])
    texts, golds = ["the cat sat", "a mat on it"], ["the cat sat on a mat", "a mat"]
    found = overlap(texts, golds)
    for name, value in found.rouge.items():
        best = [max(scorer.score(gold, text)[name].fmeasure for gold in golds) for text in texts]
        assert value == pytest.approx(np.mean(best))
    assert found.rouge["rouge1"] == pytest.approx((2 * 3 / (3 + 6) + 2 * 2 / (4 + 2)) / 2)  # by hand


def test_bleu_by_hand() -> None:
    """4 of 5 words, 3 of 4 pairs, 2 of 3 and 1 of 2 longer runs; 5 words for 6 wanted."""
    found = overlap(["the cat sat on mat"], ["the cat sat on a mat ."])
    assert found.bleu == [5, 7, 5, 3, 2, 1, 5, 4, 3, 2]
    expected = (1 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25 * np.exp(1 - 7 / 5)
    assert corpus_bleu(np.array([found.bleu], dtype=float))[0] == pytest.approx(expected)


def test_nothing_shared_or_written_is_zero() -> None:
    for text in ("", "xyz", "mat"):
        counts = overlap([text], ["the cat"])
        assert corpus_bleu(np.array([counts.bleu], dtype=float))[0] == 0.0
    assert corpus_chrf(np.array([overlap([""], ["the cat"]).chrf], dtype=float))[0] == 0.0


def test_self_bleu_is_each_text_against_the_others() -> None:
    texts = ["the cat sat on a mat", "the cat sat on it's mat", "2.5 cat on a mat , the"]
    bleu = BLEU()
    expected = np.mean(
        [bleu.corpus_score([texts[at]], [[other] for other in texts[:at] + texts[at + 1 :]]).score for at in range(3)]
    )
    assert self_bleu(texts) == pytest.approx(expected / 100)
    assert self_bleu(["the cat sat on"] * 3) == pytest.approx(1.0)
    assert self_bleu(["one"]) is None


def test_without_the_packages_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise ImportError("sacrebleu")

    monkeypatch.setattr(module, "_tools", gone)
    with pytest.raises(UsageError, match=r"pip install 'assay\[quality\]', or say params: \{overlap: false\}"):
        require()


def test_texts_that_share_nothing_do_not_bound_bleu_to_zero() -> None:
    short = np.array([overlap(["q"], ["a b c d e f"]).bleu] * 30, dtype=float)
    found = corpus_interval(short, corpus_bleu, farthest_bleu)
    assert found is not None
    assert found.low == 0
    assert 0.03 < found.high < 0.2  # one text of 31 may be right throughout
    hopeless = np.array([overlap(["the cat"], ["the cat"]).bleu] * 30, dtype=float)  # has no run of four words
    assert corpus_interval(hopeless, corpus_bleu, farthest_bleu) is None
