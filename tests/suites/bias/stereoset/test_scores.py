"""Scores against the model asked directly, word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import ByteLevelBPETokenizer

from harness.api.needs import Need
from suites.bias.stereoset.data import Filled, filled
from suites.bias.stereoset.scores import score_causal, score_masked, score_next, split_tokens
from tests.fakes import CLS, SEP, FakeScorer, make_info
from tests.scoring import all_logprobs, load, scorer

FILLINGS = [
    ("the doctor was BLANK on this day", "the doctor was boringly good on this day"),
    ("BLANK men went home", "Young men went home"),
    ("a BLANK is not a BLANK", "a teacher is not a lawyer"),
    ("she was BLANK.", "she was happy."),
]


@pytest.mark.parametrize("kind", ["bert", "roberta", "albert", "deberta-v2"])
def test_masked_scores_are_mean_probabilities_of_successive_tokens(kind: str) -> None:
    loaded, asked = load(kind, "masked_lm"), [filled(*pair) for pair in FILLINGS]
    tokenizer = loaded.tokenizer
    scores = score_masked(scorer(kind, "masked_lm"), [each for each in asked if each])
    for each, score in zip(asked, scores, strict=True):
        assert each is not None
        probabilities = []
        text = ""
        for at, (before, word) in enumerate(zip(each.before, each.words, strict=True)):
            text += before
            rest = "".join((*each.before[at + 1 :], each.after))
            ids = tokenizer.encode(text + word + rest)
            length = len(tokenizer.encode(text + word)) - len(tokenizer.encode(text.rstrip()))
            first = len(tokenizer.encode(text.rstrip())) - 1  # [CLS] stays, [SEP] goes
            for k in range(length):
                shown = [*ids[: first + k], tokenizer.mask_token_id, *ids[first + length :]]
                probabilities.append(np.exp(all_logprobs(loaded.model, tuple(shown))[first + k, ids[first + k]]))
            text += word
        assert score == pytest.approx(np.mean(probabilities), rel=1e-3)


class ByteLevel(FakeScorer):
    """A scorer whose tokens hold the blank before a word, as RoBERTa's and GPT-2's do."""

    def __init__(self) -> None:
        super().__init__(make_info(Need.MASKED_LM))
        self.tokenizer = ByteLevelBPETokenizer()
        self.tokenizer.train_from_iterator(["the man was good on this day, good men (good) do"] * 9, vocab_size=400)

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        tokens = tuple(4 + token for token in self.tokenizer.encode(text).ids)
        return (CLS, *tokens, SEP) if special else tokens

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode([token - 4 for token in tokens]))


def test_a_word_has_its_leading_space_in_its_token_where_the_tokenizer_works_so() -> None:
    model = ByteLevel()
    for before, word, after in (("the man was ", "good", " on"), ("", "good", " men"), ("the (", "good", ")")):
        start, tokens, end = split_tokens(model, before, word, after)
        assert (*start, *tokens, *end) == model.encode(before + word + after)
        assert model.decode(tokens) == (" good" if before.endswith(" ") else "good")
        assert start == (CLS, *model.encode(before.rstrip(), special=False))


def test_a_token_that_reaches_over_the_end_of_the_word_is_cut_there() -> None:
    model = ByteLevel()
    start, tokens, end = split_tokens(model, "the m", "a", "n was")  # "man" is one token
    assert [model.decode(part) for part in (start[1:], tokens, end[:-1])] == ["the m", "a", "n was"]


def test_causal_scores_are_geometric_means_with_a_start_token() -> None:
    loaded = load("gpt2", "causal_lm")
    for text, score in zip(
        FILLINGS, score_causal(scorer("gpt2", "causal_lm"), [pair[1] for pair in FILLINGS]), strict=True
    ):
        ids = tuple(loaded.tokenizer.encode(text[1]))
        first = all_logprobs(loaded.model, (loaded.tokenizer.bos_token_id,))[0, ids[0]]
        rest = [all_logprobs(loaded.model, ids)[at, token] for at, token in enumerate(ids[1:])]
        assert score == pytest.approx(2 ** np.mean(np.log2(np.exp([first, *rest]))), rel=1e-3)


def test_a_next_sentence_head_says_what_follows() -> None:
    import torch

    loaded = load("bert", "next_sentence")
    pairs = [("the man went home", "he was happy"), ("the man went home", "a story")]
    for pair, score in zip(pairs, score_next(scorer("bert", "next_sentence"), pairs), strict=True):
        with torch.no_grad():
            logits = loaded.model(**loaded.tokenizer(*pair, return_tensors="pt")).logits[0]
        assert score == pytest.approx(float(torch.softmax(logits, 0)[0]), abs=1e-4)


def test_what_cannot_be_scored_says_why() -> None:
    long = "the " * 300
    (masked,) = score_masked(scorer("bert", "masked_lm"), [Filled((long,), ("good",), "")])
    (causal,) = score_causal(scorer("gpt2", "causal_lm"), [long])
    assert isinstance(masked, str)
    assert isinstance(causal, str)
    assert score_causal(scorer("gpt2", "causal_lm"), [""]) == ["the tokenizer makes no token of the sentence"]
