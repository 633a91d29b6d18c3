from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from harness.api.scorer import GenerateRequest, Scorer, TokenRequest
from suites.adversarial.prompt.answers import AnswerScorer, AnswerScores
from suites.adversarial.victims.classifier import VictimError
from suites.continuation import answer_request, lead_tokens
from tests.fakes import START, FakeScorer
from tests.scoring import ATOL, all_logprobs
from tests.suites.adversarial.word_lm import CAUSAL, WordLM, known_prompts, likes_good, tiny_lm


class Pieces(FakeScorer):
    """Tokens are the longest of these pieces, from left to right."""

    pieces = ("ab", "a", "b", "x", " y", " ", "y")

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        tokens = []
        while text:
            piece = next(piece for piece in self.pieces if text.startswith(piece))
            tokens.append(10 + self.pieces.index(piece))
            text = text[len(piece) :]
        return tuple(tokens)

    def of(self, *pieces: str) -> tuple[int, ...]:
        return tuple(10 + self.pieces.index(piece) for piece in pieces)


def request(scorer: Scorer, prompt: str, answer: str, separator: str = " ") -> TokenRequest:
    return answer_request(scorer, lead_tokens(scorer), prompt, answer, separator)


@pytest.mark.parametrize(
    ("prompt", "answer", "separator", "context", "target"),
    [
        ("ax", "y", " ", ("a", "x"), (" y",)),  # a blank is put between them
        ("ax", " y", " ", ("a", "x"), (" y",)),  # one is there already
        ("ax ", "y", " ", ("a", "x"), (" y",)),  # the prompt's last blank is a part of the answer's token
        ("ax", "y", "", ("a", "x"), ("y",)),  # writing without blanks
        ("xa", "b", "", ("x",), ("ab",)),  # a token that reaches over the boundary is the answer's
        ("xa", "bx", "", ("x",), ("ab", "x")),
        ("a", "b", "", (), ("ab",)),
    ],
)
def test_where_the_answer_begins(
    prompt: str, answer: str, separator: str, context: tuple[str, ...], target: tuple[str, ...]
) -> None:
    scorer = Pieces(CAUSAL)
    expected = TokenRequest(scorer.of(*context) or (START,), scorer.of(*target))
    assert request(scorer, prompt, answer, separator) == expected


@pytest.mark.parametrize(("kind", "starts"), [("gpt2", False), ("llama", True)])
def test_the_request_is_the_tokenizers_own_reading_of_the_joined_text(kind: str, starts: bool) -> None:
    scorer = tiny_lm(kind)
    for prompt, answer in (("the film was", "good"), ("the film was ", "good"), ("the plot:\n", "zebras bark")):
        made = request(scorer, prompt, answer)
        whole = scorer._engine.tokenizer(prompt + ("" if prompt[-1].isspace() else " ") + answer)["input_ids"]
        assert list(made.context + made.target) == whole
        assert (made.context[0] == scorer.start_token) is starts
        assert scorer.decode(made.target).strip() == answer


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_scores_are_those_of_the_model_and_of_its_greedy_decoding(kind: str) -> None:
    scorer = tiny_lm(kind)
    prompts = known_prompts(kind, 6)
    questions = [*prompts, *((prompt, other) for (prompt, _), (_, other) in pairwise(prompts))]
    questions += [(prompt, f"{answer} {answer} film") for prompt, answer in prompts]
    for (prompt, answer), scores in zip(questions, AnswerScorer(scorer, " ")(questions), strict=True):
        assert isinstance(scores, AnswerScores)
        whole = scorer.encode(f"{prompt} {answer}")
        first = len(scorer.encode(prompt))
        assert scores.tokens == len(whole) - first
        table = all_logprobs(scorer._engine.model, whole)
        mean = np.mean([table[at - 1, whole[at]] for at in range(first, len(whole))])
        assert scores.logprob == pytest.approx(mean, abs=ATOL)
        (written,) = scorer.ask([GenerateRequest(whole[:first], scores.tokens)])
        assert scores.matched == (written.tokens == whole[first:])
    matched = [one.matched for one in AnswerScorer(scorer, " ")(questions) if isinstance(one, AnswerScores)]
    assert all(matched[:6])
    assert not all(matched)


def test_the_mean_is_over_tokens_and_one_miss_is_no_match() -> None:
    scorer = WordLM(lambda _, word: {"yes": 0.8, "sir": 0.2}[word])
    both, first = AnswerScorer(scorer, " ")([("so", "yes sir"), ("so", "yes")])
    assert isinstance(both, AnswerScores)
    assert isinstance(first, AnswerScores)
    assert (both.tokens, both.matched, first.tokens, first.matched) == (2, False, 1, True)
    assert np.exp(both.logprob) == pytest.approx(0.4)  # sqrt(0.8 * 0.2)


def test_what_cannot_be_scored_says_why_and_touches_no_other_question() -> None:
    scorer = WordLM(likes_good, max_tokens=6)
    found = AnswerScorer(scorer, " ")([("a good", "yes"), ("broken", "yes"), ("a b c d e f g", "yes"), ("so", " ")])
    assert isinstance(found[0], AnswerScores)
    assert all(isinstance(one, VictimError) for one in found[1:])
    assert [str(one) for one in found[1:]] == [
        "non-finite logits, asked for the answer 'yes' after 'broken'",
        "7 tokens are too many, asked for the answer 'yes' after 'a b c d e f g'",
        "the tokenizer makes no token of the answer, asked for the answer ' ' after 'so'",
    ]
