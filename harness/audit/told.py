"""What a probe's own code says while it is planned; an answer of another kind is a fault of the probe, and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from harness.base.plugins import PluginError
from harness.errors import AssayError

T = TypeVar("T")


def told(hook: str, ask: Callable[[], T], fits: Callable[[Any], bool]) -> T:
    """What `ask` gives. Raises AssayError as the hook does; PluginError for whatever else, and where nothing fits."""
    try:
        answer = ask()
    except (AssayError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit, too
        raise PluginError(f"its {hook} failed ({type(error).__name__}: {error})") from error
    if not fits(answer):
        raise PluginError(f"its {hook} gave {repr(answer)[:60]}, which is not what the contract asks for")
    return answer


def by_name(kind: type) -> Callable[[Any], bool]:
    """Whether something is a mapping from names to a kind."""

    def fits(answer: Any) -> bool:
        return isinstance(answer, Mapping) and all(
            isinstance(name, str) and isinstance(each, kind) for name, each in answer.items()
        )

    return fits


def is_count(answer: Any) -> bool:
    """Whether something is a whole number of things."""
    number = isinstance(answer, int | float | np.integer | np.floating) and bool(0 <= answer < float("inf"))
    return number and int(answer) == answer


def are_counts(answer: Any) -> bool:
    """The same of each value of a mapping."""
    return isinstance(answer, Mapping) and all(map(is_count, answer.values()))
