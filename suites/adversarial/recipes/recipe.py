"""What a recipe is: a name, a version, how it is built, and what must be said of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.resources.finding import ResourceMissing, described, find
from suites.adversarial.resources.textattack_env import missing


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published attack, as it is built here.

    Args:
        name: as users write it, the last part of its probe's name.
        version: another one may give other results.
        build: makes a textattack.Attack of parts and a goal; picklable. Raises ResourceMissing and UsageError.
        summary: what it does to a text.
        paper: who published it, and where.
        differences: from the paper and from TextAttack 0.3.11's recipe of the same name.
        cannot_tell: what no result of it can show.
        resources: names of what it needs, as in the catalogue of resources.
        black_box: asks for the victim's class probabilities alone; else for gradients too.
        pairs: attacks text pairs too (of NLI, named premise and hypothesis).
        targeted: can be after one class.
        deterministic: draws no random numbers.
        reduces: shortens a text that keeps its class, instead of changing the class.
    """

    name: str
    version: str
    build: Callable[[Parts, Goal], Any]
    summary: str
    paper: str
    differences: str
    cannot_tell: str
    resources: tuple[str, ...] = ()
    black_box: bool = True
    pairs: bool = True
    targeted: bool = True
    deterministic: bool = True
    reduces: bool = False

    def why_not(self, *, fetch: bool = True, besides: Collection[str] = ()) -> str | None:
        """Why it cannot be built, found out without loading or downloading anything; None where nothing is in the way.

        With `fetch` what can only be downloaded, from the hub or a registry, is taken to be there. `besides`: resources
        that are not looked for, as something else may take their place.
        """
        why = missing()
        if why is not None:
            return why
        for name in self.resources:
            if name in besides:
                continue
            try:
                find(name, fetch=False)
            except ResourceMissing as error:
                if not fetch or all(place.kind not in ("hub", "pypi") for place in described(name).places):
                    return str(error)
            except UsageError as error:
                return str(error)
        return None
