"""The identity of a checkpoint: sha256 over what it computes with, not over how it happens to be filed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from harness.api.checkpoint import Fingerprint
from harness.checkpoint.files import read_json
from harness.checkpoint.tensors import Tensor
from harness.checkpoint.tokenizer_files import MAX_VOCABULARY_BYTES
from harness.errors import CheckpointError

_BLOCK = 2**20
_VOLATILE = {
    "_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "_attn_implementation_autoset",
}  # fmt: skip
"""At the top of a config: never handed on (harness.checkpoint.architectures), and different after every saving."""
_SAVED_BY = {"backend", "is_local", "local_files_only", "name_or_path"}
"""At the top of a tokenizer's settings: who saved it and from where."""
_STATE = {"truncation", "padding"}
"""What the last call of a tokenizer left in tokenizer.json; never handed on."""
_SETTINGS = "tokenizer_config.json"
_OTHER_JSON = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "emoji.json")
_GENERATION = "generation_config.json"
_BYTES = ("vocab.txt", "merges.txt", "bpe.codes", "*.model", "*.jinja", "*.py")


def fingerprint(weights: str, config: str, tokenizer: str) -> Fingerprint:
    """The three digests and the one over them."""
    whole = hashlib.sha256("\n".join((weights, config, tokenizer)).encode()).hexdigest()
    return Fingerprint(weights, config, tokenizer, whole)


def digest_tensors(tensors: Sequence[Tensor]) -> str:
    """Over name, dtype, shape and bytes of each tensor, by name; the same however the tensors are sharded."""
    total = hashlib.sha256()
    with ExitStack() as stack:
        open_files: dict[Path, BinaryIO] = {}
        for tensor in sorted(tensors, key=lambda tensor: tensor.name):
            if tensor.file not in open_files:
                open_files[tensor.file] = stack.enter_context(tensor.file.open("rb"))
            total.update(json.dumps([tensor.name, tensor.dtype, list(tensor.shape)]).encode() + b"\n")
            _feed(total, open_files[tensor.file], tensor)
    return total.hexdigest()


def digest_files(files: Iterable[Path]) -> str:
    """Over the bytes of files: of one its plain sha256, of several the sha256 over theirs."""
    digests = []
    for file in sorted(files, key=lambda file: file.name):
        with file.open("rb") as handle:
            digests.append(hashlib.file_digest(handle, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else digest_texts(digests)


def digest_texts(texts: Iterable[str]) -> str:
    """Over texts in their order."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def digest_config(raw: Mapping[str, Any], folder: Path) -> str:
    """Over a config without paths, versions and the dtype it was saved in, and over the files handed on beside it."""
    own = _canonical({key: value for key, value in raw.items() if key not in _VOLATILE})
    beside = [file for file in (folder / _GENERATION, *sorted(folder.glob("*.py"))) if file.is_file()]
    if not beside:
        return hashlib.sha256(own.encode()).hexdigest()
    return digest_texts([own, *(f"{file.name} {digest_files([file])}" for file in beside)])


def digest_tokenizer(folder: Path) -> str:
    """Over the content of every tokenizer file in a private folder."""
    total = hashlib.sha256()
    for name in ("tokenizer.json", _SETTINGS, *_OTHER_JSON):
        if (folder / name).is_file():
            content = read_json(folder / name, most=MAX_VOCABULARY_BYTES)
            left_out = {"tokenizer.json": _STATE, _SETTINGS: _SAVED_BY}.get(name, frozenset[str]())
            kept = {key: value for key, value in content.items() if key not in left_out}
            total.update(f"{name}\n{_canonical(kept)}\n".encode())
    for file in sorted({file for pattern in _BYTES for file in folder.glob(pattern)}):
        total.update(f"{file.name}\n{digest_files([file])}\n".encode())
    return total.hexdigest()


def _feed(total: hashlib._Hash, handle: BinaryIO, tensor: Tensor) -> None:
    handle.seek(tensor.start)
    left = tensor.end - tensor.start
    while left:
        block = handle.read(min(_BLOCK, left))
        if not block:
            raise CheckpointError(f"{tensor.file}: became shorter while it was read; audit a copy nobody writes to")
        total.update(block)
        left -= len(block)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
