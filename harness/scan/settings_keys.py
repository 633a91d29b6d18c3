"""Keys of JSON settings by which a checkpoint could have a library fetch, import or run something."""

from __future__ import annotations

import re
from typing import Any

from harness.scan.notebook import Notebook, shown

_KNOWN_ATTENTION = frozenset({
    "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", "paged_attention", "sdpa_paged",
    "eager_paged", "grouped_mm", "batched_mm", "flash_attention",
})  # fmt: skip
_KERNELS = re.compile(r"^(use_kernels?|kernels?|kernel_config|kernel_mapping|hub_kernels?)$")
_IMPORTS = frozenset({"parent_library", "megatron_core", "module", "package", "_target_", "py_module", "import_path"})
_TRUSTED_MODULES = re.compile(
    r"(transformers(\.models)?|sentence_transformers|torch\.nn|megatron\.core|keras|diffusers)(\.\w+)*$"
)


def report_key(file: str, place: str, key: str, value: Any, notebook: Notebook) -> None:
    """Say what a key would do; nothing for a key that is empty, false or null."""
    if value is None or value is False or value in ("", [], {}):
        return
    what = shown(str(value)[:300], 80)
    if key == "auto_map":
        notebook.find("code/auto-map", file, f"names classes in code of its own: {what}", place)
    elif key == "trust_remote_code":
        notebook.find("code/trust", file, "sets trust_remote_code, which is the user's to give", place)
    elif key in ("backbone", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone"):
        notebook.find("code/backbone", file, f"has another model loaded by name: {key} {what}", place)
    elif key.endswith("_internal"):
        notebook.find("code/internal", file, f"sets {key} to {what}", place)
    elif key in ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation"):
        if not _ordinary_attention(value):
            notebook.find("code/kernel", file, f"asks for {key} {what}, which is fetched and run", place)
    elif _KERNELS.fullmatch(key):
        notebook.find("code/kernel", file, f"asks for kernels: {key} {what}", place)
    elif key in ("custom_generate", "custom_pipelines", "custom_pipeline"):
        notebook.find("code/auto-map", file, f"names code of its own: {key} {what}", place)
    elif key == "megatron_config":
        notebook.find("code/class-path", file, "sets megatron_config, which has peft import megatron_core", place)
    elif key in _IMPORTS and isinstance(value, str) and not _TRUSTED_MODULES.fullmatch(value):
        if "." in value or key in ("parent_library", "megatron_core", "_target_"):
            notebook.find("code/class-path", file, f"names a module to import: {key} {what}", place)
    elif key == "class_name" and value == "Lambda":
        notebook.find("code/class-path", file, "holds a Lambda layer, whose bytes are Python code", place)
    elif key == "type" and file.rpartition("/")[2] == "modules.json" and not _TRUSTED_MODULES.fullmatch(str(value)):
        notebook.find("code/class-path", file, f"names a module to import: {what}", place)


def _ordinary_attention(value: Any) -> bool:
    """Names that the library implements itself; of one name, or one for each part of a model."""
    if isinstance(value, dict):
        return all(_ordinary_attention(item) for item in value.values() if item is not None)
    return isinstance(value, str) and value in _KNOWN_ATTENTION
