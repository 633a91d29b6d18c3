"""Settings of a form that no reader expects: not dangerous by itself, but never what a library saved."""

from __future__ import annotations

import re
from typing import Any

from harness.checkpoint.patterns import why_costly
from harness.scan.notebook import Notebook, shown

OBJECTS = frozenset({
    "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "adapter_config.json", "training_manifest.json", "model.safetensors.index.json",
    "pytorch_model.bin.index.json", "preprocessor_config.json",
})  # fmt: skip
"""Files whose readers expect a JSON object."""
_WORD = re.compile(r"[\w+. -]{0,100}", re.ASCII)
_CLASS = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
_POSITIVE = frozenset({
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "type_vocab_size",
    "max_position_embeddings", "n_embd", "n_layer", "n_head", "n_positions", "num_key_value_heads", "r",
})  # fmt: skip
_LOADS_MORE = frozenset({"TransfoXLTokenizer", "TransfoXLTokenizerFast", "RagTokenizer", "RagTokenizerFast"})
"""Tokenizers of transformers that read pickles, or load models by names of their own settings."""
_METHODS = frozenset({
    "to_dict", "to_diff_dict", "to_json_string", "to_json_file", "from_dict", "from_json_file", "from_pretrained",
    "save_pretrained", "push_to_hub", "update", "update_from_string", "get_text_config", "get_config_dict",
    "register_for_auto_class", "dict_dtype_to_str", "dict_torch_dtype_to_str",
})  # fmt: skip
"""Methods of a config that a key of the same name would replace."""
_LABEL = 1_000
_PATTERNS = frozenset({
    "target_modules", "exclude_modules", "layers_pattern", "modules_to_save", "feedforward_modules",
    "target_parameters",
})  # fmt: skip


def report_shape(file: str, name: str, value: Any, notebook: Notebook) -> None:
    """Say what is of another form; `name` is the file's own."""
    if name in OBJECTS and not isinstance(value, dict):
        notebook.find("settings/shape", file, "holds no JSON object, though its readers expect one")
    if not isinstance(value, dict):
        return
    if name in ("config.json", "tokenizer_config.json", "generation_config.json", "adapter_config.json"):
        for key in value:
            if key.startswith("__") or key in _METHODS:
                notebook.find(
                    "settings/overrides", file, f"its key {shown(key, 60)!r} replaces what the library has", key
                )
        _classes(file, value, notebook)
    if name in ("config.json", "adapter_config.json"):
        _numbers(file, value, notebook)
    if name == "config.json":
        _labels(file, value, notebook)
    elif name == "adapter_config.json":
        _adapter(file, value, notebook)
    elif name == "tokenizer.json":
        _tokenizer(file, value, notebook)


def _classes(file: str, value: dict[str, Any], notebook: Notebook) -> None:
    kind = value.get("tokenizer_class")
    if isinstance(kind, str) and (kind in _LOADS_MORE or not _CLASS.fullmatch(kind)):
        notebook.find("code/class-path", file, f"tokenizer_class is {shown(kind, 60)!r}", "tokenizer_class")
    elif kind is not None and not isinstance(kind, str):
        _odd(file, "tokenizer_class", kind, notebook)
    for key in ("model_type", "hidden_act", "problem_type", "peft_type", "task_type", "activation_function", "bias"):
        item = value.get(key)
        plain = item is None or isinstance(item, bool) or (isinstance(item, str) and _WORD.fullmatch(item))
        if not plain or (key == "model_type" and item is None and key in value) or ".." in str(item):
            _odd(file, key, item, notebook)
    named = value.get("architectures")
    if named is not None and not (
        isinstance(named, list) and all(isinstance(each, str) and _CLASS.fullmatch(each) for each in named)
    ):
        _odd(file, "architectures", named, notebook)


def _numbers(file: str, value: dict[str, Any], notebook: Notebook) -> None:
    for key in _POSITIVE & value.keys():
        item = value[key]
        whole = isinstance(item, int) and not isinstance(item, bool)
        unset = item is None or (key == "type_vocab_size" and item == 0 and value.get("model_type") == "deberta-v2")
        if not unset and not (whole and item > 0):
            _odd(file, key, item, notebook)


def _labels(file: str, value: dict[str, Any], notebook: Notebook) -> None:
    labels = value.get("id2label")
    if labels is None:
        return
    if not isinstance(labels, dict):
        _odd(file, "id2label", labels, notebook)
        return
    texts = all(isinstance(label, str | int) and len(str(label)[: _LABEL + 1]) <= _LABEL for label in labels.values())
    if not texts or sorted(labels) != sorted(str(number) for number in range(len(labels))):
        notebook.find("settings/shape", file, "id2label does not number plain labels 0, 1, 2 …", "id2label")


def _adapter(file: str, value: dict[str, Any], notebook: Notebook) -> None:
    for key, item in value.items():
        patterns = [item] if key in _PATTERNS and isinstance(item, str) else []
        if key in _PATTERNS and isinstance(item, list):
            patterns = [each for each in item if isinstance(each, str)]
        elif key.endswith("_pattern") and isinstance(item, dict):
            patterns = list(item)
        for pattern in patterns[:1000]:
            why = why_costly(pattern)
            if why:
                notebook.find("resources/pattern", file, f"a pattern of {shown(key, 40)} {why}", key)
    base = value.get("base_model_name_or_path")
    if base is not None and (not isinstance(base, str) or len(base) > 1_000):
        _odd(file, "base_model_name_or_path", base, notebook)
    if value.get("layer_replication"):
        notebook.find("resources/count", file, "layer_replication builds another, larger model", "layer_replication")


def _tokenizer(file: str, value: dict[str, Any], notebook: Notebook) -> None:
    model = value.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") not in ("BPE", "WordPiece", "Unigram", "WordLevel"):
        _odd(file, "model", model, notebook)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        rule = value.get(part)
        if rule is not None and not (isinstance(rule, dict) and isinstance(rule.get("type"), str)):
            _odd(file, part, rule, notebook)


def _odd(file: str, key: str, item: Any, notebook: Notebook) -> None:
    kind = {dict: "an object", list: "a list", type(None): "null"}.get(type(item))
    what = kind or shown(str(item)[:200], 60)
    notebook.find("settings/shape", file, f"{key} is {what}, which is none of its values", key)
