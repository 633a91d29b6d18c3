"""Table look-ups inside an embedding that has a forward of its own (OPT's positions, Gemma's scaled tokens)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class LookupMode(TorchFunctionMode):
    """While active, hands what is looked up in `table` to `record`."""

    def __init__(self, table: nn.Embedding, record: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self._table = table
        self._record = record

    def start(self, *_: object) -> None:
        """A forward pre-hook of the table."""
        self.__enter__()  # type: ignore[no-untyped-call]  # torch has no type for it

    def stop(self, *_: object) -> None:
        """A forward hook of the table."""
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # torch has no type for it

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See TorchFunctionMode."""
        result = func(*args, **(kwargs or {}))
        if func is functional.embedding and len(args) > 1 and args[1] is self._table.weight:
            return self._record(cast(Tensor, args[0]), cast(Tensor, result))
        return result
