"""Tensors that the config ties into one: where the files hold two different ones, nobody knows which is meant.

transformers 4 takes the embedding and drops the head, version 5 keeps both: two functions from one folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.base.confined import open_regular
from harness.checkpoint.files import allowed_in
from harness.checkpoint.shapes import spellings
from harness.checkpoint.tensors import MAX_FILE_BYTES, Tensor
from harness.errors import CheckpointError

T = TypeVar("T")
_BLOCK = 2**22


def tied_names(model: Any) -> Iterator[list[str]]:
    """Names that `model` (on the meta device, say) gives to one and the same parameter, for each that has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return (each for each in names.values() if len(each) > 1)


def check_tied(model: Any, tensors: Sequence[Tensor], where: str) -> None:
    """Raises CheckpointError where safetensors files hold different tensors for parameters that the config ties."""
    _check(model, {tensor.name: tensor for tensor in tensors}, _equal, where)


def check_tied_pickles(model: Any, files: Sequence[Path], where: str) -> None:
    """The same of pickled weights, which have no header: their tensors are mapped, or loaded where they are old."""
    import torch

    if not any(tied_names(model)):
        return
    stored: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            stored.update(torch.load(file, map_location="cpu", weights_only=True, mmap=True))
        except RuntimeError:  # the format before torch 1.6 cannot be mapped
            stored.update(torch.load(file, map_location="cpu", weights_only=True))
    _check(model, stored, torch.equal, where)


def _check(model: Any, stored: Mapping[str, T], equal: Callable[[T, T], bool], where: str) -> None:
    prefix = f"{model.base_model_prefix}."
    for names in tied_names(model):
        keys = [key for name in names if (key := next((k for k in spellings(name, prefix) if k in stored), None))]
        first, *others = dict.fromkeys(keys) or [""]
        other = next((key for key in others if not equal(stored[first], stored[key])), None)
        if other is not None:
            raise CheckpointError(
                f"{where}: its config ties {first!r} and {other!r} into one tensor, but the weights hold two different "
                "ones, and versions of transformers differ in which they use; set tie_word_embeddings to false in "
                "config.json or remove the tensor that is not meant"
            )


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of the files are the same to the last bit."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    within = allowed_in(one.file.parent)
    with (
        open_regular(one.file, MAX_FILE_BYTES, within) as left,
        open_regular(other.file, MAX_FILE_BYTES, within) as right,
    ):
        left.seek(one.start)
        right.seek(other.start)
        todo = one.end - one.start
        while todo > 0:
            size = min(_BLOCK, todo)
            if left.read(size) != right.read(size):
                return False
            todo -= size
    return True
