"""What a probe works out once and needs for every case: made in `prepare`, read back in `run`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import AuditError

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


class Kept(Protocol):
    """A probe's own store, of one audit's probe, params, models and data: nothing else can be found in it."""

    def value(self, name: str, make: Callable[[], Any] | None = None) -> Any:
        """The JSON value kept under `name`, else what `make` gives, kept from now on.

        What is returned went through JSON either way (tuples are lists), so that it is the same on every later call.
        Raises AuditError: no JSON, or not kept and no `make` to make it.
        """
        ...

    def arrays(self, name: str, make: Callable[[], Arrays] | None = None) -> dict[str, NDArray[Any]]:
        """The same for numpy arrays by name."""
        ...


class Unkept:
    """Outside an audit nothing is kept: every call makes it again."""

    def value(self, name: str, make: Callable[[], Any] | None = None) -> Any:
        """What `make` gives, as it would be read back."""
        return json.loads(as_json(name, made(name, make)))

    def arrays(self, name: str, make: Callable[[], Arrays] | None = None) -> dict[str, NDArray[Any]]:
        """What `make` gives."""
        return {key: np.asarray(value) for key, value in made(name, make).items()}


def made(name: str, make: Callable[[], T] | None) -> T:
    """What `make` gives. Raises AuditError where there is none."""
    if make is None:
        raise AuditError(f"nothing is kept under {name!r}; `prepare` of the probe has to make it")
    return make()


def as_json(name: str, value: Any) -> str:
    """The text that stands for a value. Raises AuditError for one that JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise AuditError(
            f"what is kept under {name!r} is no JSON value ({error}); this is a fault of the probe"
        ) from error
