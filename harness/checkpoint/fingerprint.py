"""The identity of a checkpoint: sha256 over what it computes with, not over how it happens to be filed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from harness.checkpoint.files import read_json
from harness.checkpoint.source import Fingerprint
from harness.checkpoint.tensors import Tensor
from harness.errors import CheckpointError

_BLOCK = 2**20
_VOLATILE = {
    "_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "_attn_implementation_autoset",
    "backend", "is_local", "local_files_only",
}  # fmt: skip
_STATE = {"truncation", "padding"}
"""What the last call of a tokenizer left in tokenizer.json; it says nothing about how text is cut into tokens."""
_TOKENIZER_JSON = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")
_TOKENIZER_BYTES = ("vocab.txt", "merges.txt", "*.model", "*.jinja")


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


def digest_config(raw: Any) -> str:
    """Over the content of a config, without paths, versions and the dtype it was saved in."""
    return hashlib.sha256(_canonical(_settled(raw)).encode()).hexdigest()


def digest_tokenizer(folder: Path) -> str:
    """Over the content of the tokenizer's files."""
    total = hashlib.sha256()
    for name in ("tokenizer.json", *_TOKENIZER_JSON):
        if (folder / name).is_file():
            content = _load(folder / name)
            if name == "tokenizer.json":
                content = {key: value for key, value in content.items() if key not in _STATE}
            elif name == "special_tokens_map.json":
                content = {key: _text_of(value) for key, value in content.items()}
            total.update(f"{name}\n{_canonical(_settled(content))}\n".encode())
    for file in sorted({file for pattern in _TOKENIZER_BYTES for file in folder.glob(pattern)}):
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


def _load(path: Path) -> dict[str, Any]:
    if path.name != "tokenizer.json":
        return read_json(path)
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({str(error)[:120]}); download it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds no JSON object; download it again")
    return value


def _text_of(token: Any) -> Any:
    """A special token is written as text, or as an object whose other fields tokenizer.json repeats."""
    return token.get("content", token) if isinstance(token, dict) else token


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items() if key not in _VOLATILE}
    return [_settled(item) for item in value] if isinstance(value, list) else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
