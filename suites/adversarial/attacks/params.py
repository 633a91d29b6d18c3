"""What a search and an attack are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.api.probe import ProbeParams
from suites.adversarial.semantics.params import SemanticsParams

if TYPE_CHECKING:
    pass


class SearchParams(ProbeParams):
    """Settings every search shares, whatever it is after."""

    seed: int = Field(default=0, description="with the case's id, seeds the random choices of its attack")
    query_budget: int | None = Field(default=None, ge=1, description="most queries per text; null as the recipe says")
    seconds: float | None = Field(default=None, gt=0, description="most seconds per text; longer ones are errors")
    concurrent: int = Field(default=64, ge=1, description="texts attacked at once; changes no row")
    workers: int = Field(default=0, ge=0, description="processes that search; 0 in the model's own; changes no row")
    semantics: SemanticsParams | None = Field(
        default=SemanticsParams(measures=("similarity",)),
        description="what a success must keep to count after filtering; null: nothing is measured",
    )


class AttackParams(SearchParams):
    """Settings every attack on a classifier shares."""

    max_words: int | None = Field(default=None, ge=1, description="attack only the first words of each text; None all")
    target: str | None = Field(default=None, description="label the attack must reach; None any wrong one")
