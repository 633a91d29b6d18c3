"""adversarial/checklist: does a classifier do what it obviously must, in tests of one capability at a time.

CheckList's three kinds of test (Ribeiro et al. 2020): MFT, a text whose class is beyond doubt; INV, a change that
must not change the class; DIR, a change that must not move a class's probability the wrong way. Differs from the paper:

- templates, words and changes are Assay's own, and about opinions; names and places are found in lists, no tagger;
- an INV case fails whenever the class changes (`flip_tolerance` 0; CheckList forgives moves of at most 0.1);
- a change at the end of a text that the model cuts off does not count as passed, but as not applicable.

As in CheckList a case fails if any of its changed versions fails, so its failure rate grows with `versions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Declared
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict
from harness.api.scorer import Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from harness.errors import DataError
from suites.adversarial.checklist.cases import Wanted, make_items
from suites.adversarial.checklist.changes import CHANGES, changed_versions
from suites.adversarial.checklist.expect import Tolerances
from suites.adversarial.checklist.metrics import FAILED, NOT_APPLICABLE, PASSED, checklist_metrics
from suites.adversarial.checklist.rows import ask, make_row, original_of
from suites.adversarial.checklist.templates import ChecklistTests, Kind, Words, built_in_words
from suites.labels import check_classes

KINDS: tuple[Kind, ...] = ("MFT", "INV", "DIR")


class ChecklistParams(ProbeParams):
    """Settings."""

    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1, description="kinds of test that are run")
    changes: tuple[str, ...] = Field(
        default=tuple(CHANGES), description=f"ways to change base texts and examples, of: {', '.join(CHANGES)}"
    )
    fillings: int = Field(default=8, ge=1, description="most texts made of each template")
    versions: int = Field(default=3, ge=1, description="most changed versions of a text per way to change it")
    tolerance: float = Field(default=0.1, ge=0, lt=1, description="DIR: how far a probability may move the wrong way")
    flip_tolerance: float = Field(
        default=0.0, ge=0, lt=1, description="INV: a flip that moves the first class's probability no farther passes"
    )
    classes: dict[str, str] = Field(
        default_factory=dict,
        description="class as the tests call it -> label of the checkpoint, e.g. positive: LABEL_1",
    )
    words: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="lists of words that are added to the built-in ones or replace them, by name"
    )
    seed: int = Field(default=0, description="with a text's content, seeds which words and changes are drawn")

    @field_validator("kinds", "changes")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each may stand once")
        return names

    @field_validator("changes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in CHANGES]
        if unknown:
            raise ValueError(f"no change is called {unknown[0]!r}; there are {', '.join(CHANGES)}")
        return names

    @field_validator("words")
    @classmethod
    def _no_empty_word(cls, words: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, given in words.items():
            if not given or len(set(given)) < len(given) or not all(word.strip() for word in given):
                raise ValueError(f"the list {name!r} must have words, none empty, each once")
        return words


class ChecklistRow(ProbeRow):
    """One row per test case.

    base is the template of the text, or the text itself if it is one of the examples; label its true class, if known.
    outcome 'not applicable' has its reason in why. perturbed_* are of the changed version that moved the probability at
    stake farthest the wrong way, of the failed ones if any. versions is a JSON list of objects: text (and pair),
    predicted, probabilities, failed (null: it could not fail, or the model does not read the change) and why.
    left_out is a JSON object: kind that could not be planned -> why.
    """

    kind: Series[str] = column("kind of test: MFT, INV or DIR", isin=KINDS)
    capability: Series[str] = column("what is tested, such as Negation")
    test: Series[str] = column("name of the test")
    source: Series[str] = column("where the text comes from", isin=["templates", "examples"])
    base: Series[str] = column("template of the text, or the text; rows that share one are related")
    text: Series[str] = column("the text as it is")
    pair: Series[str] = column("its second text, of pairs", nullable=True)
    label: Series[pd.Int64Dtype] = column("true class, by index, where known", ge=0, nullable=True)
    expected: Series[str] = column("what the test asks for")
    predicted: Series[pd.Int64Dtype] = column("class predicted of the text, by index", ge=0, nullable=True)
    probabilities: Series[object] = list_column(
        "probability of each class, in order of index", of="double", nullable=True
    )
    perturbed_text: Series[str] = column("the changed version that moved farthest the wrong way", nullable=True)
    perturbed_pair: Series[str] = column("its second text, of pairs", nullable=True)
    perturbed_predicted: Series[pd.Int64Dtype] = column("class predicted of it, by index", ge=0, nullable=True)
    perturbed_probabilities: Series[object] = list_column(
        "probability of each class of it, in order of index", of="double", nullable=True
    )
    outcome: Series[str] = column(
        "whether the case passed, failed or does not apply", isin=[PASSED, FAILED, NOT_APPLICABLE]
    )
    why: Series[str] = column("why it does not apply", nullable=True)
    truncated: Series[pd.Int64Dtype] = column(
        "tokens of the text that the model cannot read", "tokens", ge=0, nullable=True
    )
    versions: Series[str] = column("JSON list of the changed versions, each an object")
    left_out: Series[str] = column("JSON object: kind of test that could not be planned -> why")


class Checklist(Probe[ChecklistParams]):
    """Behavioural tests of a text classifier: minimum functionality, invariance, direction."""

    name = "adversarial/checklist"
    about = About(
        summary="How often a classifier fails simple behavioural tests: negation, change over time, contrast, whose "
        "opinion it is, changes that keep the class or should move it one way",
        paper="Ribeiro et al. 2020, Beyond Accuracy: Behavioral Testing of NLP Models with CheckList (arXiv:2005.04118)"
        "; templates, words and changes are Assay's own, and an INV case fails at any change of class",
        cannot_tell="how it does on other wordings, topics and languages than those of its English templates, which "
        "are simpler than real texts; whether a failure matters in use; a rate over tests depends on which tests there "
        "are, and a case with more changed versions fails more easily; names and places outside its lists are not "
        "found, and a few that are found are part of a title; a classifier that ignores its input passes INV and DIR",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {  # noqa: RUF012
        "tests": Input(ChecklistTests, "tests of your own, instead of the built-in ones on opinions", required=False),
        "examples": Input(LabelledTexts, "texts that are changed as well as the built-in ones", required=False),
    }
    metrics = checklist_metrics(KINDS)
    nothing = "no test case could be run"
    Params = ChecklistParams
    Row = ChecklistRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per filled template and test, and per base text or example and way to change it.

        Raises DataError where tests of the user's own name no class of the checkpoint, and where nothing is left.
        """
        check_classes(plan.checkpoint.labels, plan.checkpoint.source.source)
        params = self.params
        wanted = Wanted(
            params.kinds,
            params.changes,
            params.fillings,
            params.versions,
            params.classes,
            self._words,
            params.seed,
        )
        items, left_out = make_items(plan, wanted)
        if not items:
            why = "; ".join(left_out.values()) or f"the tests have none of the kinds {', '.join(params.kinds)}"
            raise DataError(f"{self.name}: nothing to run: {why}")
        return make_cases({**item, "left_out": left_out} for item in items)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per case; each distinct text of all of them goes to the model once, together."""
        versions = [self._versions(case) for case in cases]
        asked = [request for case, mine in zip(cases, versions, strict=True) for request in (original_of(case), *mine)]
        answers = ask(scorer, asked)
        allowed = Tolerances(self.params.tolerance, self.params.flip_tolerance)
        for case, mine in zip(cases, versions, strict=True):
            yield make_row(case, mine, answers, allowed)

    def declared(self) -> tuple[Declared, ...]:
        """Failure rates over all, by kind, capability and test; what does not apply."""
        return checklist_metrics(self.params.kinds)

    def cost(self, cases: Sequence[Case]) -> int:
        """Each text is read once, and once per changed version, at most."""
        characters = 0
        for case in cases:
            text = len(case.data["text"]) + len(case.data["pair"] or "")
            made = case.data["versions"]
            characters += text + (self.params.versions * text if made is None else sum(map(len, made)))
        return characters // 4

    @property
    def _words(self) -> Words:
        return {**built_in_words(), **self.params.words}

    def _versions(self, case: Case) -> list[TextRequest]:
        """The changed versions of a case, none for MFT."""
        data = case.data
        if data["change"] is None:
            return [TextRequest(text) for text in data["versions"]]
        change, seed = CHANGES[data["change"]], f"{self.params.seed}:{case.id}"
        found = changed_versions(change, data["text"], data["pair"], self._words, seed, self.params.versions)
        return [TextRequest(*each) for each in found]
