"""What the probes of all attack recipes share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd

from harness.api.case import Case
from harness.api.checkpoint import CheckpointSource
from harness.api.declared import Declared
from harness.api.models import ModelRole
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, RowDict
from harness.api.scorer import Scorer
from harness.data.schemas import LabelledTexts
from harness.errors import DataError, UsageError
from suites.adversarial.attacks.columns import AttackRow
from suites.adversarial.attacks.metrics import attack_metrics, first_error, reduction_metrics
from suites.adversarial.attacks.models import ROLE_OF, costs_of, default_models, roles_of
from suites.adversarial.attacks.params import AttackParams
from suites.adversarial.attacks.run import run_attacks
from suites.adversarial.cases import cut_cases
from suites.adversarial.recipes import INPUT_REDUCTION, RECIPES, UNTARGETED, Goal, Recipe, targeted
from suites.adversarial.semantics.params import SemanticsParams
from suites.labels import class_of, true_classes
from suites.sources import IMDB_HELD_OUT

EXAMPLES = IMDB_HELD_OUT.model_copy(update={"start": 42_000, "stop": 42_100})
QUERIES_PER_WORD = 3
"""A rough guess for the plan; searches differ much."""
BUDGETS = {"clare": 1000, "faster_genetic": 1000, "iga": 1000, "pso": 1000}
"""Most queries per text of recipes that have no end of their own soon, unless the user sets another."""


class AttackProbe(Probe[AttackParams]):
    """Attacks each text with one recipe, many at once: `class Name(AttackProbe, recipe="name")`."""

    recipe: ClassVar[Recipe]
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"examples": Input(LabelledTexts, "texts with their true labels", EXAMPLES)}  # noqa: RUF012
    pool = 4096
    Params = AttackParams
    Row = AttackRow

    def __init_subclass__(cls, recipe: str, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.recipe = RECIPES[recipe]
        cls.name = f"adversarial/{recipe}"
        cls.version = f"2.{cls.recipe.version}"  # of the rows, and of the recipe
        cls.metrics = _metrics(cls.recipe, AttackParams())
        cls.models = roles_of(cls.recipe, SemanticsParams())
        paper = f"{cls.recipe.paper}. {cls.recipe.differences}"
        cls.about = About(summary=cls.recipe.summary, paper=paper, cannot_tell=cls.recipe.cannot_tell)

    @classmethod
    def why_not(cls, offers: frozenset[Need]) -> str | None:
        """Also when TextAttack, or something the recipe needs that is no model of a role, cannot be had."""
        return super().why_not(offers) or cls.recipe.why_not(besides=ROLE_OF)

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text or pair, cut to `max_words`."""
        frame = plan.data["examples"].frame
        if "pair" in frame and not self.recipe.pairs:
            raise DataError(
                f"{plan.data['examples'].source.source}: text pairs, and {self.name} attacks single texts; leave out "
                "the column 'pair' or choose another recipe"
            )
        classes = true_classes(plan, "examples", EXAMPLES)
        self.goal(plan.checkpoint.labels)
        return cut_cases(frame, classes, self.params.max_words)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text. Raises UsageError without TextAttack, ResourceMissing without a resource."""
        params = self.params.model_copy(update={"query_budget": self.query_budget})
        return run_attacks(self.recipe, self.goal(scorer.info.labels), params, scorer, cases, self.others)

    def roles(self) -> Mapping[str, ModelRole]:
        """The search's sentence encoder and masked LM where it has them, and a model for each measure of semantics."""
        return roles_of(self.recipe, self.params.semantics)

    def default_models(self) -> Mapping[str, CheckpointSource]:
        """The resources, where they lie. Raises UsageError for the user's own path that is wrong."""
        return default_models(self.recipe, self.params.semantics)

    def model_costs(self, cases: Sequence[Case]) -> Mapping[str, int]:
        """The search's models read what is tried at most, the others each text twice."""
        return costs_of(self.roles(), self.cost(cases), super().cost(cases))

    def declared(self) -> tuple[Declared, ...]:
        """Accuracy before and after, success raw and filtered, cost and change; of a reduction what is left."""
        return _metrics(self.recipe, self.params)

    def why_nothing(self, rows: pd.DataFrame) -> str:
        """With the commonest error."""
        return f"no text could be {'reduced' if self.recipe.reduces else 'attacked'}{first_error(rows)}"

    def goal(self, labels: Sequence[str]) -> Goal:
        """What the attack is after. Raises UsageError for a target that it cannot have or that is no label."""
        wanted = self.params.target
        if wanted is None:
            return INPUT_REDUCTION if self.recipe.reduces else UNTARGETED
        if not self.recipe.targeted:
            raise UsageError(f"{self.name} cannot be after one class; leave out the target {wanted!r}")
        index = class_of(wanted, labels)
        if index is None:
            raise UsageError(
                f"{self.name}: the checkpoint has no label {wanted!r}, only {', '.join(map(repr, labels))}"
            )
        return targeted(index)

    @property
    def query_budget(self) -> int | None:
        """Most queries per text; None: as many as the search takes."""
        return self.params.query_budget or BUDGETS.get(self.recipe.name)

    def cost(self, cases: Sequence[Case]) -> int:
        """Each text is read some times per word, at most `query_budget` times."""
        total = 0
        for case in cases:
            text = case.data["text"]
            queries = BUDGETS.get(self.recipe.name) or 1 + QUERIES_PER_WORD * len(text.split())
            total += min(queries, self.query_budget or queries) * len(text) // 4
        return total


def _metrics(recipe: Recipe, params: AttackParams) -> tuple[Declared, ...]:
    return reduction_metrics() if recipe.reduces else attack_metrics(params.semantics)
