"""What a model says of a pronoun: how likely its two genders are, and whom a causal model takes it to refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.api.scorer import Scorer, TokenRequest, TokenScores
from suites.bias.slots import Ids, differing
from suites.framing import causal_frame, masked_frame

ALIKE = "the tokenizer does not tell the pronouns apart"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with a pronoun of either gender, whom it refers to, and the other person; '' where nobody is known."""

    female: str
    male: str
    pronoun_female: str
    pronoun_male: str
    right: str
    other: str


@dataclass(frozen=True, slots=True)
class Said:
    """Nats, female first: log p of the pronoun (masked) or the sentence (causal), and of right and other person.

    The last two are None for a masked model, and where the other person is not known.
    """

    pronoun: tuple[float, float]
    right: tuple[float, float] | None = None
    other: tuple[float, float] | None = None


def score_masked(scorer: Scorer, sentences: Sequence[Sentence]) -> list[Said | str]:
    """Log p of each pronoun, hidden and filled from the left, given the rest of the sentence; or what went wrong."""
    requests: list[MaskedSpanRequest] = []
    counts = []
    for sentence in sentences:
        female, male = (masked_frame(scorer, text).whole for text in (sentence.female, sentence.male))
        mine = [_hidden(female, male), _hidden(male, female)]
        requests += [request for side in mine for request in side]
        counts.append([len(side) for side in mine])
    answers = iter(scorer.ask(requests))
    return [_pronoun_only([list(islice(answers, count)) for count in sides]) for sides in counts]


def _hidden(row: Ids, other: Ids) -> list[MaskedSpanRequest]:
    """The tokens of `row` that `other` does not share, all hidden, then seen one after the other from the left.

    Rows of unequal length are taken to differ in one run of tokens, which a pronoun of several tokens is.
    """
    if len(row) != len(other):
        return [MaskedSpanRequest(row, *differing(row, other)[0])]
    places = [at for at, (mine, its) in enumerate(zip(row, other, strict=True)) if mine != its]
    return [MaskedSpanRequest(row, at, at + 1, blind=tuple(places[k + 1 :])) for k, at in enumerate(places)]


def score_causal(scorer: Scorer, sentences: Sequence[Sentence]) -> list[Said | str]:
    """Log p of both sentences, and of both persons after "'She' refers to the" (as lm-evaluation-harness asks)."""
    start = (scorer.start_token,)
    requests: list[TokenRequest] = []
    counts, alike = [], []
    for sentence in sentences:
        mine = [TokenRequest(start, causal_frame(scorer, text).tokens) for text in (sentence.female, sentence.male)]
        if sentence.right and sentence.other:
            mine += [
                _named(scorer, text, pronoun, who)
                for who in (sentence.right, sentence.other)
                for text, pronoun in (
                    (sentence.female, sentence.pronoun_female),
                    (sentence.male, sentence.pronoun_male),
                )
            ]
        requests += mine
        counts.append(len(mine))
        alike.append(_alike(mine))
    answers = iter(scorer.ask(requests))
    found = [_both(list(islice(answers, count))) for count in counts]
    return [why if why and not isinstance(said, str) else said for said, why in zip(found, alike, strict=True)]


def _alike(asked: Sequence[TokenRequest]) -> str:
    """Why a tie of these would say nothing of the model's choice; '' where it would."""
    if asked[0] == asked[1]:
        return ALIKE
    if len(asked) > 2 and asked[2:4] == asked[4:6]:
        return "the tokenizer does not tell the two people apart"
    return ""


def _named(scorer: Scorer, text: str, pronoun: str, who: str) -> TokenRequest:
    """The person after the prompt; tokens that prompt and person share make the prompt end one token earlier."""
    prompt = f"{text} '{pronoun.capitalize()}' refers to the"
    context, whole = (causal_frame(scorer, each).tokens for each in (prompt, f"{prompt} {who}"))
    shared = next((at for at, (a, b) in enumerate(zip(context, whole, strict=False)) if a != b), len(context))
    return TokenRequest((scorer.start_token, *whole[:shared]), whole[shared:])


def _totals(answers: Sequence[TokenScores]) -> list[float] | str:
    for answer in answers:
        if answer.error is not None:
            return answer.error
        if not len(answer.logprobs):
            return "the tokenizer makes no token of a pronoun, a person or the sentence"
    return [float(answer.logprobs.sum()) for answer in answers]


def _pronoun_only(sides: Sequence[Sequence[TokenScores]]) -> Said | str:
    sums = []
    for answers in sides:
        totals = _totals(answers)
        if isinstance(totals, str):
            return totals
        if not totals:
            return ALIKE
        sums.append(sum(totals))
    return Said((sums[0], sums[1]))


def _both(answers: Sequence[TokenScores]) -> Said | str:
    totals = _totals(answers)
    if isinstance(totals, str):
        return totals
    if len(totals) == 2:
        return Said((totals[0], totals[1]))
    return Said((totals[0], totals[1]), (totals[2], totals[3]), (totals[4], totals[5]))
