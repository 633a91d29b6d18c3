"""Makes an attack look at its time limit wherever it changes and sieves texts, not only where it asks a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from suites.adversarial.pooled.fibres import check_time


def keep_to_time(attack: Any) -> None:
    """Change a textattack.Attack (the instance), after its components have been replaced, so that OutOfTime ends it.

    The time is looked at before each call of the transformation, before candidates are filtered (also where the answers
    are known), and before each constraint; one call of a component is not interrupted.
    """
    search = attack.search_method
    attack._get_transformations_uncached = _checked(attack._get_transformations_uncached)
    attack.filter_transformations = search.filter_transformations = _checked(attack.filter_transformations)
    attack.get_indices_to_order = search.get_indices_to_order = _checked(attack.get_indices_to_order)
    attack.constraints = _Watched(attack.constraints)


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*args: Any, **kwargs: Any) -> Any:
        check_time()
        return method(*args, **kwargs)

    return checked


class _Watched(list[Any]):
    """Constraints before each of which the time is looked at: TextAttack filters in a loop over them."""

    def __iter__(self) -> Iterator[Any]:
        for constraint in super().__iter__():
            check_time()
            yield constraint
