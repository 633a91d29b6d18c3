"""What settings name elsewhere: files, folders, addresses, hub names; and whether following it leaves the folder."""

from __future__ import annotations

import re
from typing import Any

from harness.scan.notebook import Notebook, shown

_ORIGIN = re.compile(
    r"^(_name_or_path|name_or_path|_commit_hash|special_tokens_map_file|source_url|homepage|license_link)$"
)
"""Written by the library that saved the checkpoint, and read by none."""
_FOLLOWED = re.compile(
    r"(_|^)(file|files|filename|path|paths|dir|directory|folder|url|urls|uri|repo|repo_id|location|spm|checkpoint_file"
    r"|vocab|merges|template_file|name_or_path)$"
)
_NOT_PATHS = frozenset({"bos_token", "eos_token", "path_type", "vocab_size"})
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]{1,30}:(//|/)|^(file|data|javascript):", re.IGNORECASE)
_DATA = frozenset({"source", "sources"})
_READ = frozenset({"config.json", "tokenizer_config.json", "adapter_config.json", "generation_config.json"})
_LONGEST = 4_096


def why_leaves(value: str) -> str:
    """Why following a name would leave the folder, as a noun; '' where it would not."""
    text = value.strip()
    if _ADDRESS.match(text):
        return "an address"
    if text.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:[\\/]", text):
        return "an absolute path"
    if text.startswith("~"):
        return "a path in somebody's home"
    if re.match(r"^(\$\w|\$\{|%\w+%)", text):
        return "a path from the environment"
    depth = 0
    for part in re.split(r"[\\/]", text):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return "a path out of the folder"
    return ""


def report_reference(file: str, place: str, key: str, value: Any, paths: frozenset[str], notebook: Notebook) -> None:
    """Say where a text leads, if it is one that names something."""
    if not isinstance(value, str) or not value or len(value) > _LONGEST:
        return
    name = file.rpartition("/")[2]
    why, what = why_leaves(value), shown(value, 100)
    if _ORIGIN.match(key):
        notebook.find("reference/origin", file, f"{key} says {what!r}; nothing is fetched from it", place)
    elif name == "training_manifest.json" and key in _DATA:
        notebook.find(
            "reference/data" if why else "reference/other",
            file,
            f"names its data: {what}{f', {why}' if why else ''}",
            place,
        )
    elif name == "training_manifest.json" and key == "file" and place.startswith("artefacts[") and not why:
        # what is not published lies beside the folder (harness.provenance.artefacts), so that it is not here is no loss
        notebook.find("reference/other", file, f"names the artefact {what} of its training", place)
    elif key == "transformers_weights":
        notebook.find("reference/leaves", file, f"has other weights loaded: {what}", place)
    elif key == "base_model_name_or_path":
        _report_base(file, place, value, why, paths, notebook)
    elif _FOLLOWED.search(key) and key not in _NOT_PATHS:
        _report_followed(file, place, key, value, why, paths, notebook)
    elif why == "a path out of the folder" and name in _READ:
        notebook.find("reference/leaves", file, f"{key or 'a list'} holds {why}: {what}", place)
    elif why and " " not in value.strip() and len(value) < 500 and len(value.strip()) > 2:
        notebook.find("reference/other", file, f"{key or 'a list'} holds {why}: {what}", place)


def report_weight_map(file: str, index: Any, paths: frozenset[str], notebook: Notebook) -> None:
    """Shards that an index names: each a plain name, and there."""
    names = index.values() if isinstance(index, dict) else ()
    folder = file.rpartition("/")[0]
    for name in sorted({value for value in names if isinstance(value, str)})[:10_000]:
        why = why_leaves(name)
        if why or "/" in name or "\\" in name:
            notebook.find("reference/leaves", file, f"names a shard by {why or 'a path'}: {shown(name)}", name[:80])
        elif f"{folder}/{name}".lstrip("/") not in paths:
            notebook.find("reference/missing", file, f"names the shard {shown(name)}, which is not there", name[:80])
    if any(not isinstance(value, str) for value in names) or (index is not None and not isinstance(index, dict)):
        notebook.find("settings/odd-number", file, "its weight_map is no list of file names", "weight_map")


def _report_base(file: str, place: str, value: str, why: str, paths: frozenset[str], notebook: Notebook) -> None:
    what = shown(value, 100)
    if why:
        notebook.find("reference/leaves", file, f"names a base by {why}: {what}", place)
    else:
        notebook.find("reference/base", file, f"is an adapter of {what}", place)
    folder = file.rpartition("/")[0]
    below = f"{folder}/{value.strip().removeprefix('./').rstrip('/')}/".lstrip("/")
    if file.rpartition("/")[2] == "adapter_config.json" and not any(path.startswith(below) for path in paths):
        notebook.miss(file, f"its base {what} lies elsewhere and was not scanned; scan it too")


def _report_followed(
    file: str, place: str, key: str, value: str, why: str, paths: frozenset[str], notebook: Notebook
) -> None:
    what = shown(value, 100)
    if why:
        notebook.find("reference/leaves", file, f"{key} names {why}: {what}", place)
        return
    folder = file.rpartition("/")[0]
    beside = f"{folder}/{value.strip().removeprefix('./')}".lstrip("/")
    if beside in paths:
        notebook.find("reference/other", file, f"{key} names {what}, which lies here", place)
    elif re.search(r"\.[A-Za-z]\w{1,12}$", value):
        notebook.find("reference/missing", file, f"{key} names {what}, which is not there", place)
    else:
        notebook.find("reference/other", file, f"{key} says {what}", place)
