"""bias/winobias: whether a model finds whom a pronoun refers to more easily where its gender fits the occupation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from harness.api.case import Case, make_cases
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, RowDict
from harness.api.scorer import Scorer
from harness.data.datasets import Dataset
from harness.data.schemas import Texts
from harness.errors import NoDataError, WrongDataError
from suites.bias.coreference.rows import (
    FEMALE,
    MALE,
    CoreferenceRow,
    coreference_cost,
    coreference_metrics,
    coreference_rows,
)
from suites.bias.coreference.scores import Sentence
from suites.bias.coreference.sentences import own_rows, with_controls

PRONOUNS = {"she": FEMALE, "her": FEMALE, "hers": FEMALE, "herself": FEMALE}
PRONOUNS |= {"he": MALE, "him": MALE, "his": MALE, "himself": MALE}
MOST_FLAWED = 0.05
"""Share of pairs that may differ in more than gender and are left out; 10 of the 792 of the published test sets do."""
TYPES = ("type 1", "type 2")
_BRACKETED = re.compile(r"\[([^\[\]]+)\]")
_NUMBER = re.compile(r"^\d+\s+")
_ARTICLE = re.compile(r"^(?:the|an?|some)\s+", re.IGNORECASE)
_CASES = {"subject": ("she", "he"), "object": ("her", "him"), "possessive": ("her", "his")}
Item = tuple[Sentence, Mapping[str, str]]


class WinoBias(Probe[ProbeParams]):
    """Pronouns that go with and against the stereotype of an occupation."""

    name = "bias/winobias"
    about = About(
        summary="How much better a causal model finds whom a pronoun refers to where its gender fits the stereotype of "
        "the occupation, and how often a language model finds that pronoun likelier",
        paper="Zhao et al. 2018, WinoBias (type 1: world knowledge, type 2: syntax); the question as in "
        "lm-evaluation-harness's winogender",
        cannot_tell="what the paper's F1 of coreference systems says: a language model is asked another question; near "
        "50% accuracy it cannot resolve pronouns at all and the gap says nothing; 40 US occupations, two genders; "
        "Blodgett et al. 2021 find sentences that are unclear; Assay's own sentences are few and share 10 patterns",
    )
    needs = (any_of(Need.MASKED_LM, Need.CAUSAL_LM),)
    inputs = {  # noqa: RUF012
        f"{side}_type{number}": Input(
            Texts, f"published lines of type {number}, {side}-stereotyped; both sides in the same order", required=False
        )
        for number, side in product((1, 2), ("pro", "anti"))
    }
    metrics = coreference_metrics("neutral nouns for the occupations")
    nothing = "no sentence could be scored"
    Row = CoreferenceRow

    def cases(self, plan: Plan) -> list[Case]:
        """Each sentence, and the same about neutral nouns."""
        return make_cases(with_controls(plan, _given(plan.data) or list(_own())))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per sentence."""
        yield from coreference_rows(scorer, cases)

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read."""
        return coreference_cost(cases)


def _own() -> Iterator[Item]:
    """Assay's own patterns, each with pairs of an occupation that most hold to be women's and one of men."""
    pairs = [(row["female"], row["male"]) for row in own_rows("occupation_pairs.csv")]
    for row in own_rows("winobias_patterns.csv"):
        female, male = _CASES[row["pronoun"]]
        for women, men in pairs:
            for right, other, stereotype in ((women, men, FEMALE), (men, women, MALE)):
                texts = (row["pattern"].format(right=right, other=other, pronoun=each) for each in (female, male))
                sentence = Sentence(next(texts), next(texts), female, male, right, other)
                yield sentence, {"group": f"type {row['type']}", "unit": row["pattern"], "stereotype": stereotype}


def _given(data: Mapping[str, Dataset]) -> list[Item]:
    """Sentences of the files that the user named. Raises NoDataError for one side without the other, WrongDataError."""
    found: list[Item] = []
    for number in (1, 2):
        sides = [data.get(f"{side}_type{number}") for side in ("pro", "anti")]
        if sides == [None, None]:
            continue
        pro, anti = sides
        if pro is None or anti is None:
            given, gone = ("pro", "anti") if anti is None else ("anti", "pro")
            raise NoDataError(f"bias/winobias: data.{given}_type{number} lacks its data.{gone}_type{number}; add it")
        found += _type(number, pro, anti)
    occupations = {sentence.right for sentence, _ in found}
    return [(_with_other(sentence, occupations), said) for sentence, said in found]


def _type(number: int, pro: Dataset, anti: Dataset) -> Iterator[Item]:
    # a text file without blank lines is one text
    lines = [
        [line for text in each.frame["text"] for line in text.splitlines() if line.strip()] for each in (pro, anti)
    ]
    if len(lines[0]) != len(lines[1]):
        raise WrongDataError(
            f"{pro.source.source} has {len(lines[0])} sentences and {anti.source.source} {len(lines[1])}; both sides "
            "must be the same sentences in the same order"
        )
    pairs = [(_read(first), _read(second)) for first, second in zip(*lines, strict=True)]
    flaws = [_flaw(*pair) for pair in pairs]
    if sum(map(bool, flaws)) > MOST_FLAWED * len(flaws):
        place = next(at for at, flaw in enumerate(flaws) if flaw)
        raise WrongDataError(
            f"{pro.source.source} and {anti.source.source}: sentence {place + 1} of those used, and more, "
            f"{flaws[place]}"
        )
    for texts, (mine, other), flaw in zip(zip(*lines, strict=True), pairs, flaws, strict=True):
        group = TYPES[number - 1]
        if flaw or mine is None or other is None:
            empty = {"group": group, "unit": texts[0], "stereotype": "", "excluded": f"as published the pair {flaw}"}
            yield Sentence(texts[0], texts[1], "", "", "", ""), empty
            continue
        female, male = (mine, other) if PRONOUNS[mine.pronoun] == FEMALE else (other, mine)
        sentence = Sentence(female.text, male.text, female.pronoun, male.pronoun, mine.person, "")
        yield sentence, {"group": group, "unit": mine.rest, "stereotype": PRONOUNS[mine.pronoun]}


def _flaw(first: _Line | None, second: _Line | None) -> str:
    """What is wrong with a pair of lines; '' where nothing is."""
    if first is None or second is None:
        return "does not have one person and a pronoun in brackets, such as '[The clerk] said [she] left'"
    if (first.rest, first.person) != (second.rest, second.person):
        return "differs in more than the gender of its pronouns; put both sides in the same order"
    if PRONOUNS[first.pronoun] == PRONOUNS[second.pronoun]:
        return "has the same gender on both sides"
    return ""


@dataclass(frozen=True, slots=True)
class _Line:
    """The person in brackets without article, the first pronoun, the text, and the text without its pronouns."""

    person: str
    pronoun: str
    text: str
    rest: str


def _read(line: str) -> _Line | None:
    """A published line; None where it has not one person, and pronouns of one gender, in brackets."""
    line = _NUMBER.sub("", line.strip())
    marked = [match[1] for match in _BRACKETED.finditer(line)]
    pronouns = [each.lower() for each in marked if each.lower() in PRONOUNS]
    persons = [each for each in marked if each.lower() not in PRONOUNS]
    if len({PRONOUNS[each] for each in pronouns}) != 1 or len(persons) != 1:
        return None
    rest = _BRACKETED.sub(lambda match: "_" if match[1].lower() in PRONOUNS else match[1], line)
    return _Line(_ARTICLE.sub("", persons[0]), pronouns[0], _BRACKETED.sub(r"\1", line), rest.lower())


def _with_other(sentence: Sentence, occupations: set[str]) -> Sentence:
    """The other person is the one occupation among those in brackets anywhere that the sentence mentions besides."""
    found = {
        other
        for other in occupations
        if other != sentence.right and re.search(rf"\b{re.escape(other)}\b", sentence.female, re.IGNORECASE)
    }
    longest = [other for other in found if not any(other != each and other in each for each in found)]
    return replace(sentence, other=longest[0]) if len(longest) == 1 else sentence
