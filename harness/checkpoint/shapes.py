"""The model its config describes, built without memory and compared with the weights' headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from harness.checkpoint.heads import Head
from harness.checkpoint.quiet import quiet
from harness.checkpoint.reason import reason
from harness.checkpoint.tensors import Tensor
from harness.errors import CheckpointError

_SLACK_NUMBERS = 2**24
"""Room for tensors that are computed instead of stored, e.g. sinusoidal positions."""
_SLACK_MODULES = 1_000


def build_empty(config: Any, head: Head, where: str, *, numbers: int, tensors: int) -> Any:
    """The model on torch's meta device: shapes without memory.

    Args:
        config: transformers.PretrainedConfig.
        head: which class to build.
        where: the checkpoint, for messages.
        numbers: how many numbers the weights hold; a larger model is refused while it is built.
        tensors: how many tensors they hold; likewise.

    Raises:
        CheckpointError: the config asks for more than the weights hold, or describes no model at all.
    """
    import torch
    import transformers

    auto = getattr(transformers, head.auto_class)
    try:
        with (
            quiet(),
            torch.random.fork_rng(devices=[]),
            torch.device("meta"),
            undrawn(),
            _limited(where, numbers, tensors),
        ):
            return auto.from_config(config)
    except CheckpointError:
        raise
    except Exception as error:  # constructors raise whatever their arithmetic on wrong values raises
        raise CheckpointError(f"{where}: its config describes no model that can be built ({reason(error)})") from error


_DRAWN = "normal_", "uniform_", "kaiming_uniform_"
"""Functions of torch.nn.init, and methods of tensors, that all others draw their random numbers by."""


@contextmanager
def undrawn() -> Iterator[None]:
    """Initial weights are not drawn: where there is no memory to fill, torch takes the long way to fill none."""
    import torch
    from torch.overrides import TorchFunctionMode

    homes = (torch.Tensor, torch.nn.init)
    drawn = {getattr(home, name) for home in homes for name in _DRAWN if hasattr(home, name)}

    class Undrawn(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in drawn:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **(kwargs or {}))

    with Undrawn():
        yield


def check_shapes(model: Any, tensors: Sequence[Tensor], where: str) -> None:
    """Raises CheckpointError where a tensor of the weights has another shape than the config asks for."""
    found = {tensor.name: tensor for tensor in tensors}
    prefix = f"{model.base_model_prefix}."
    for name, expected in model.state_dict().items():
        tensor = next((found[key] for key in spellings(name, prefix) if key in found), None)
        if tensor is not None and tensor.shape != tuple(expected.shape):
            raise CheckpointError(
                f"{where}: tensor {tensor.name!r} has shape {list(tensor.shape)} in {tensor.file.name}, "
                f"but the config asks for {list(expected.shape)}; config and weights do not belong together"
            )


def spellings(name: str, prefix: str) -> Iterator[str]:
    """Names a tensor may have in a file: with or without the base model's prefix, LayerNorm in TensorFlow's words."""
    for key in (name, prefix + name, name.removeprefix(prefix)):
        yield key
        if key.endswith("LayerNorm.weight"):
            yield key.removesuffix("weight") + "gamma"
        elif key.endswith("LayerNorm.bias"):
            yield key.removesuffix("bias") + "beta"


@contextmanager
def _limited(where: str, numbers: int, tensors: int) -> Iterator[None]:
    """Stops construction as soon as one tensor is larger than all weights, or far more modules than tensors appear."""
    from torch.nn.modules import module

    most_numbers, most_modules = numbers + _SLACK_NUMBERS, 20 * tensors + _SLACK_MODULES
    modules = 0

    def on_parameter(owner: Any, _name: str, parameter: Any) -> None:
        if parameter is not None and parameter.numel() > most_numbers:
            raise CheckpointError(
                f"{where}: the config asks for a tensor of shape {list(parameter.shape)} ({type(owner).__name__}), but "
                f"the weights hold {numbers:,} numbers in all; config and weights do not belong together"
            )

    def on_module(_owner: Any, _name: str, _module: Any) -> None:
        nonlocal modules
        modules += 1
        if modules > most_modules:
            raise CheckpointError(
                f"{where}: the config asks for more than {most_modules:,} modules, but the weights hold {tensors:,} "
                "tensors; config and weights do not belong together"
            )

    handles = [
        module.register_module_parameter_registration_hook(on_parameter),
        module.register_module_module_registration_hook(on_module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def total_bytes(model: Any, itemsize: int) -> int:
    """Bytes of parameters and buffers (integers at their own size), tied ones once."""
    import itertools

    seen = {id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers())}
    return sum(
        tensor.numel() * (itemsize if tensor.is_floating_point() else tensor.element_size()) for tensor in seen.values()
    )


def parameter_count(model: Any) -> int:
    """Parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def position_limit(config: Mapping[str, Any] | Any, model: Any | None) -> int | None:
    """Most positions the model has an embedding or a training length for; None where it sets no limit.

    RoBERTa and its kin start counting after their padding index, which costs that many positions and one more.
    """
    names = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx")
    limit = next((value for name in names if isinstance(value := getattr(config, name, None), int)), 0)
    if limit <= 0:
        return None
    lost = [
        module.padding_idx + 1
        for name, module in (model.named_modules() if model is not None else ())
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    return max(1, limit - max(lost, default=0))
