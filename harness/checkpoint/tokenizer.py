"""The tokenizer of a checkpoint: found before loading, loaded on either major version of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.checkpoint.files import read_json
from harness.errors import CheckpointError

if TYPE_CHECKING:
    pass

_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_SETTINGS = "tokenizer_config.json"
_INPUTS_OF_5 = ["input_ids", "attention_mask"]
"""What a tokenizer of version 5 gives unless it says otherwise; version 4 adds token types, which GPT-2 would embed."""
_UNLIMITED = 10_000_000
"""A model_max_length above this is transformers' way of saying that nobody set one (1e30)."""
_KEPT = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "model_max_length",
    "additional_special_tokens", "padding_side", "truncation_side", "model_input_names", "chat_template",
    "clean_up_tokenization_spaces",
)  # fmt: skip


def has_tokenizer(folder: Path) -> bool:
    """Whether a vocabulary lies in the folder."""
    return any(next(folder.glob(pattern), None) is not None for pattern in _VOCABULARIES)


def tokenizer_limit(folder: Path) -> int | None:
    """Most tokens the tokenizer's settings allow; None where nobody set a limit."""
    limit = _settings(folder).get("model_max_length")
    return int(limit) if isinstance(limit, int | float) and 0 < limit < _UNLIMITED else None


def load_tokenizer(folder: Path, *, remote: bool = False) -> Any:
    """transformers.PreTrainedTokenizerBase of a folder; its own code runs only where `remote`."""
    from transformers import AutoTokenizer

    if _needs_version_5(folder):
        return _from_json(folder)
    names = {"model_input_names": _INPUTS_OF_5} if _saved_by_version_5(_settings(folder)) else {}
    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=remote, **names)


def load_gguf_tokenizer(file: Path, metadata: Mapping[str, Any]) -> Any:
    """transformers.PreTrainedTokenizerBase of a GGUF file, with the special tokens its metadata names.

    Version 4 of transformers swaps beginning and end of sequence, and puts the former before every text.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        str(file.parent), gguf_file=file.name, local_files_only=True, trust_remote_code=False
    )
    for name, key in {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}.items():
        token = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if isinstance(token, int) and token < len(tokenizer):
            setattr(tokenizer, f"{name}_token", tokenizer.convert_ids_to_tokens(token))
    for flag in ("add_bos_token", "add_eos_token"):
        if hasattr(tokenizer, flag):
            setattr(tokenizer, flag, metadata.get(f"tokenizer.ggml.{flag}", getattr(tokenizer, flag)))
    return tokenizer


def unnamed_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Of 'start' (BOS, else EOS) and 'mask': those that a tokenizer has not."""
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return tuple(
        name for name, token in (("start", start), ("mask", getattr(tokenizer, "mask_token_id", None))) if token is None
    )


def settle_inputs(tokenizer: Any, model: Any) -> None:
    """Let the tokenizer give only inputs the model takes: Llama and DistilBERT refuse token types."""
    from inspect import signature

    taken = signature(model.forward).parameters
    if "input_ids" in taken:  # a shipped model class may hide its inputs behind **kwargs
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in taken]


def settle_padding(tokenizer: Any, config: Any) -> None:
    """Give tokenizer and config one padding token, as batches need: the one either names, else end of sequence.

    A decoder used as classifier reads its label off the last token that is not padding, by `config.pad_token_id`.
    """
    if tokenizer.pad_token is None:
        named = config.pad_token_id
        known = named is not None and 0 <= named < len(tokenizer)
        tokenizer.pad_token = (
            tokenizer.convert_ids_to_tokens(named) if known else tokenizer.eos_token or tokenizer.unk_token
        )
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id


def _settings(folder: Path) -> dict[str, Any]:
    return read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}


def _saved_by_version_5(settings: dict[str, Any]) -> bool:
    """Whether the settings are a generic tokenizer's of version 5 that names no inputs of its own."""
    generic = settings.get("tokenizer_class") in {"PreTrainedTokenizerFast", "TokenizersBackend"}
    return generic and "backend" in settings and "model_input_names" not in settings


def _needs_version_5(folder: Path) -> bool:
    """Version 5 saves tokenizers under a class name that version 4 lacks, next to the same tokenizer.json."""
    import transformers

    if _settings(folder).get("tokenizer_class") != "TokenizersBackend":
        return False
    return not hasattr(transformers, "TokenizersBackend") and (folder / "tokenizer.json").is_file()


def _from_json(folder: Path) -> Any:
    from transformers import AddedToken, PreTrainedTokenizerFast

    settings = _settings(folder)
    if isinstance(settings.get("extra_special_tokens"), list):
        settings.setdefault("additional_special_tokens", settings["extra_special_tokens"])
    kept = {
        key: AddedToken(**{name: item for name, item in value.items() if name != "__type"})
        if isinstance(value, dict)
        else value
        for key in _KEPT
        if (value := settings.get(key)) is not None
    }
    kept.setdefault("model_input_names", _INPUTS_OF_5)
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **kept)


def require_tokenizer(folders: tuple[Path, ...]) -> Path:
    """The first folder with a tokenizer. Raises CheckpointError when none has one."""
    for folder in folders:
        if has_tokenizer(folder):
            return folder
    raise CheckpointError(
        f"{folders[0]}: holds no tokenizer (tokenizer.json, vocab.txt, vocab.json or *.model); "
        "save it there with tokenizer.save_pretrained"
    )
