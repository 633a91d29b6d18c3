"""adversarial/deepwordbug: does the predicted class survive misspelt words.

DeepWordBugGao2018 of TextAttack 0.3.11 differs from the paper (Gao, Lanchantin, Soffa & Qi 2018):

- words are ranked by the loss of the true class's probability when '[UNK]' stands in for them, once, on the original
  text (the paper also has temporal and combined scores); for a tokenizer without [UNK] that is just odd text;
- words are changed one by one, each in the best of four ways (swap of neighbours, substitution, deletion, insertion of
  a letter, one random place each) if that lowers the probability, until the class flips; the paper changes the top
  words all at once, in one way, without asking the model in between;
- stop words are left alone and no word is changed twice; the paper has no such rules;
- the edit distance to the original is at most 30 characters of the whole text (Levenshtein, a swap counts two).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from harness.case import Case, make_cases
from harness.errors import DataError
from harness.metrics import Metric
from harness.probe import About, Input, Need, Plan, Probe, RowDict, any_of
from harness.schemas import LabelledTexts
from harness.scorer.api import Scorer
from suites.adversarial.attack_metrics import measure_attacks
from suites.adversarial.attacks import AttackParams, AttackRow, Victim, first_words, run_attacks
from suites.adversarial.textattack_env import missing
from suites.labels import true_classes
from suites.sources import IMDB_HELD_OUT

EXAMPLES = IMDB_HELD_OUT.model_copy(update={"start": 42_000, "stop": 42_100})


class DeepWordBug(Probe[AttackParams]):
    """Character-level attack on a classifier, through TextAttack's own recipe."""

    name = "adversarial/deepwordbug"
    about = About(
        summary="Whether misspelling a few words changes the predicted class",
        paper="Gao et al. 2018, Black-box Generation of Adversarial Text Sequences to Evade Deep Learning Classifiers "
        "(arXiv:1801.04354), as DeepWordBugGao2018 of TextAttack 0.3.11, greedy and with stop words left alone",
        cannot_tell="whether a reader would still see the true class in the misspelt text, or whether another search, "
        "more queries or other random letters would succeed: a failed attack is no proof of robustness",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"examples": Input(LabelledTexts, "texts with their true labels", EXAMPLES)}  # noqa: RUF012
    chunk = 8
    Params = AttackParams
    Row = AttackRow

    @classmethod
    def why_not(cls, offers: frozenset[Need]) -> str | None:
        """Also when TextAttack is not installed."""
        return super().why_not(offers) or missing()

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text, cut to `max_words`."""
        frame = plan.data["examples"].frame
        if "pair" in frame:
            raise DataError(f"{plan.data['examples'].source.source}: text pairs; {self.name} attacks single texts")
        classes = true_classes(plan, "examples", EXAMPLES)
        cut = (first_words(text, self.params.max_words) for text in frame["text"])
        return make_cases(
            {"text": text, "label": label, "words_cut": words_cut}
            for (text, words_cut), label in zip(cut, classes, strict=True)
        )

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text. Raises UsageError where TextAttack is not installed."""
        return run_attacks(_recipe, self.params, scorer, cases)

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        """Accuracy before and after, success, cost and change of the attacks."""
        return measure_attacks(rows)

    def cost(self, cases: Sequence[Case]) -> int:
        """Each text is read about three times per word, at most `query_budget` times."""
        total = 0
        for case in cases:
            text = case.data["text"]
            queries = 1 + 3 * len(text.split())
            total += min(queries, self.params.query_budget or queries) * len(text) // 4
        return total


def _recipe(textattack: Any, victim: Victim) -> Any:
    return textattack.attack_recipes.DeepWordBugGao2018.build(victim)
