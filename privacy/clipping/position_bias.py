"""MPNet's relative position bias: a table looked up once for the whole batch, then repeated for each sample.

After the backward pass its gradient is a sum over samples, so it is taken where the bias has been repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

_METHOD = "compute_position_bias"
_TABLE = "relative_attention_bias"

Record = Callable[[nn.Embedding, Tensor, Tensor], Tensor]
"""(table, ids [samples, *], looked up [samples, *, features]) -> the latter, its gradient recorded."""


def is_position_bias(module: nn.Module) -> bool:
    """Whether `module` computes one."""
    return callable(getattr(module, _METHOD, None)) and isinstance(getattr(module, _TABLE, None), nn.Embedding)


def table_of(module: nn.Module) -> nn.Embedding:
    """The table that `module` looks up."""
    return cast(nn.Embedding, getattr(module, _TABLE))


def record_bias(module: nn.Module, record: Record) -> Callable[[], None]:
    """Have `module` hand its bias to `record`; returns what undoes that."""
    table, computed = table_of(module), getattr(module, _METHOD)
    seen: list[Tensor] = []
    handle = table.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    def recorded(*args: Any, **kwargs: Any) -> Tensor:
        bias: Tensor = computed(*args, **kwargs)  # [samples, heads, positions, positions]
        ids = seen.pop().expand(len(bias), *bias.shape[2:])
        return record(table, ids, bias.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    setattr(module, _METHOD, recorded)

    def undo() -> None:
        handle.remove()
        delattr(module, _METHOD)

    return undo
