"""What a probe works out once and needs for every case: made in `prepare`, read back in `run`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import AuditError

Arrays = Mapping[str, NDArray[Any]]


class Kept(Protocol):
    """A probe's own store, of one audit's probe, params, models and data: nothing else can be found in it."""

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """The JSON value kept under `name`, else what `make` gives, kept from now on. Raises AuditError: no JSON.

        What is returned went through JSON either way (tuples are lists), so that it is the same on every later call.
        """
        ...

    def arrays(self, name: str, make: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
        """The same for numpy arrays by name."""
        ...


class Unkept:
    """Outside an audit nothing is kept: every call makes it again."""

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, as it would be read back."""
        return json.loads(as_json(name, make()))

    def arrays(self, name: str, make: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
        """What `make` gives."""
        return {key: np.asarray(value) for key, value in make().items()}


def as_json(name: str, value: Any) -> str:
    """The text that stands for a value. Raises AuditError for one that JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise AuditError(
            f"what is kept under {name!r} is no JSON value ({error}); this is a fault of the probe"
        ) from error
