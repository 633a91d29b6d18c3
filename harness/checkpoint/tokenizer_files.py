"""Tokenizer files on their way into the private folder: vocabularies as they are, settings under an allow-list.

tokenizer.json is a small program (normalizers, regular expressions, decoders) that runs on every text, so its parts are
bounded here: what it may add to a text, how patterns may repeat, how deep it nests.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.base.confined import copy_regular, is_there
from harness.checkpoint.architectures import known_tokenizers
from harness.checkpoint.files import allowed_in, read_json
from harness.checkpoint.patterns import why_costly
from harness.checkpoint.vetting import named
from harness.errors import CheckpointError

SETTINGS, FAST = "tokenizer_config.json", "tokenizer.json"
_JSON = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "emoji.json")
_RAW = ("vocab.txt", "merges.txt", "bpe.codes", "*.model", "*.jinja")
MAX_VOCABULARY_BYTES = 128 * 2**20
"""Gemma's tokenizer.json, the largest in wide use, has 33 MB."""
MAX_JINJA_BYTES = 2**20
_MODELS = 8
"""Most files called *.model; real folders hold one."""
_KNOWN = frozenset({
    "add_bos_token", "add_eos_token", "add_prefix_space", "add_special_tokens", "added_tokens_decoder",
    "additional_special_tokens", "backend", "bos_token", "bos_token_id", "chat_template",
    "clean_up_tokenization_spaces", "cls_token", "cls_token_box", "do_basic_tokenize", "do_lower_case",
    "do_lowercase", "do_remove_space", "do_split_by_punct", "entity_mask2_token", "entity_mask_token",
    "entity_pad_token", "entity_token_1", "entity_token_2", "entity_unk_token", "eos_token", "eos_token_id",
    "errors", "extra_special_tokens", "fix_mistral_regex", "handle_chinese_chars", "keep_accents", "lang2id",
    "legacy", "lowercase", "mask_token", "max_entity_length", "max_mention_length", "model_input_names",
    "model_max_length", "model_type", "never_split", "normalization", "pad_token", "pad_token_id", "padding_side",
    "remove_space", "sep_token", "single_word", "space_after_special_token", "spaces_between_special_tokens",
    "split_by_punct", "split_special_tokens", "strip_accents", "task", "tokenize_chinese_chars", "tokenizer_class",
    "trim_offsets", "truncation_side", "unk_token", "unk_token_id", "use_default_system_prompt", "use_prefix_space",
    "vocab_type", "wordpieces_prefix",
})  # fmt: skip
_QUIET = re.compile(
    r"_name_or_path|name_or_path|special_tokens_map_file|tokenizer_file|vocab_file|merges_file|transformers_version|is_local"
    r"|local_files_only|processor_class|device_map|max_length|max_len|stride|truncation|truncation_strategy|pad_to_multiple_of"
    r"|pad_token_type_id|padding|auto_map|do_word_tokenize|use_fast|sp_model_kwargs|fast_tokenizer_files|init_inputs"
)
"""Left out without a word: bookkeeping, state of an earlier call, and paths of the machine that saved it."""
_TOKEN = frozenset({"content", "lstrip", "rstrip", "normalized", "single_word", "special", "__type"})
_TOKEN_TEXT = 1_000
_ADDED_TEXT = 100
"""Most characters that one rule of tokenizer.json may put in place of a match."""
_RULES, _NESTING = 500, 12
"""camembert's normalizer has a handful of rules, deepseek's pre-tokenizer nine; converted ones 200."""
_GROWTH = 64
"""How often longer the normalizer may make a text: NFKD turns one character into 18, byte fallback into 4."""
_TEMPLATE = 64
_WORD_CHARACTERS = 10_000
"""WordPiece is quadratic in `max_input_chars_per_word`; 100 is usual."""


def stage_tokenizer(source: Path, target: Path, *, remote: bool) -> tuple[str, ...]:
    """Copy what is a tokenizer in folder `source` into `target`; notes on what was left out.

    `remote`: its own code is to be run, so its settings are handed over as they are. Raises CheckpointError.
    """
    within = allowed_in(source)
    for pattern in _RAW:
        _copy_raw(source, target, pattern, within)
    for name in _JSON:
        if is_there(source / name):
            content = read_json(source / name, within, MAX_VOCABULARY_BYTES)
            checked = _special(content, source / name) if name == "special_tokens_map.json" else content
            _write(target / name, checked)
    if is_there(source / FAST):
        content = read_json(source / FAST, within, MAX_VOCABULARY_BYTES)
        check_program(content, source / FAST)
        _write(target / FAST, {**content, "truncation": None, "padding": None})
    if not is_there(source / SETTINGS):
        return ()
    raw = read_json(source / SETTINGS, within)
    if remote:
        _write(target / SETTINGS, raw)
        return ()
    kept, note = vet_settings(raw, source / SETTINGS)
    _write(target / SETTINGS, kept)
    return (note,) if note else ()


def vet_settings(raw: Mapping[str, Any], where: Path) -> tuple[dict[str, Any], str | None]:
    """Known settings of tokenizer_config.json, and a note on the others. Raises CheckpointError for a wrong one."""
    kept: dict[str, Any] = {}
    dropped = []
    for name, value in raw.items():
        if name in _KNOWN:
            kept[name] = _setting(name, value, where)
        elif not _QUIET.fullmatch(name):
            dropped.append(name)
    kind = kept.get("tokenizer_class")
    if kind is not None and not isinstance(kind, str):
        _wrong("tokenizer_class", where)
    if kind is not None and kind not in known_tokenizers() and not _as_fast(kind, where.parent):
        raise CheckpointError(
            f"{where}: tokenizer_class {str(kind)[:60]!r} is no tokenizer of a text architecture that Assay reads; "
            "convert it to a tokenizer.json"
        )
    if kind is not None and kind not in known_tokenizers():
        kept["tokenizer_class"] = "PreTrainedTokenizerFast"
        dropped.append("tokenizer_class")
    if not dropped:
        return kept, None
    return kept, f"{SETTINGS}: left out what Assay does not hand on ({named(sorted(dropped))})."


def _as_fast(kind: Any, folder: Path) -> bool:
    """Whether a class that is not known can be replaced by the generic one, as tokenizer.json says all there is."""
    return isinstance(kind, str) and is_there(folder / FAST)


def _copy_raw(source: Path, target: Path, pattern: str, within: tuple[Path, ...]) -> None:
    most = MAX_JINJA_BYTES if pattern.endswith(".jinja") else MAX_VOCABULARY_BYTES
    found = sorted(source.glob(pattern)) if "*" in pattern else [source / pattern]
    present = [file for file in found if is_there(file)]
    if len(present) > _MODELS:
        raise CheckpointError(f"{source}: holds {len(present)} files {pattern}; a tokenizer has one, remove the others")
    for file in present:
        copy_regular(file, target / file.name, most, within)


def _setting(name: str, value: Any, where: Path) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 1e40 else _wrong(name, where)
    if name == "chat_template":
        return _template(value, where)
    if isinstance(value, str):
        return value if len(value) <= _TOKEN_TEXT else _wrong(name, where)
    if name == "added_tokens_decoder" and isinstance(value, dict):
        if all(key.isdigit() and len(key) < 10 and _is_token(item) for key, item in value.items()):
            return value
    elif isinstance(value, dict):
        if _is_token(value) or all(_is_token(item) for item in value.values()):
            return value
    elif isinstance(value, list) and all(_is_token(item) for item in value):
        return value
    return _wrong(name, where)


def _template(value: Any, where: Path) -> Any:
    """Kept as text; nothing here renders it."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and sum(len(json.dumps(text)) for text in texts) <= MAX_JINJA_BYTES:
        return value
    return _wrong("chat_template", where)


def _is_token(value: Any) -> bool:
    """A token as text, as the object of a token, or an integer (an id)."""
    if isinstance(value, str):
        return len(value) <= _TOKEN_TEXT
    if isinstance(value, int):
        return True
    if not isinstance(value, dict) or not set(value) <= _TOKEN:
        return False
    flags = (item for name, item in value.items() if name not in {"content", "__type"})
    text = value.get("content")
    return isinstance(text, str) and len(text) <= _TOKEN_TEXT and all(isinstance(flag, bool) for flag in flags)


def _special(content: dict[str, Any], where: Path) -> dict[str, Any]:
    """Tokens by role, or lists of tokens."""
    for name, value in content.items():
        if not all(_is_token(item) for item in (value if isinstance(value, list) else [value])):
            _wrong(name, where)
    return content


def _wrong(name: str, where: Path) -> Any:
    raise CheckpointError(f"{where}: {name[:60]} has no value that a tokenizer has there; correct it")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Order is kept: of a vocabulary it can be the rank of a token."""
    path.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")), encoding="ascii")


def check_program(content: Mapping[str, Any], where: Path) -> None:
    """Raises CheckpointError where tokenizer.json could make short texts long, or take for ever over them."""
    rules = 0
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        growth = 1.0
        for rule in _rules(content.get(part), where):
            rules += 1
            added = _added(rule)
            if added > _ADDED_TEXT:
                raise CheckpointError(
                    f"{where}: a rule of its {part} puts {added:,} characters in place of a match; refused"
                )
            if part in {"normalizer", "decoder"}:
                growth *= max(1.0, _growth(rule, added))
            pattern = rule.get("pattern")
            regex = str(pattern.get("Regex", "")) if isinstance(pattern, dict) else ""
            why = why_costly(regex)
            if why is not None:
                raise CheckpointError(f"{where}: the pattern {regex[:60]!r} {why}, so a short text could take for ever")
        if growth > _GROWTH:
            raise CheckpointError(f"{where}: its {part} can make a text {growth:,.0f} times as long; refused")
    if rules > _RULES:
        raise CheckpointError(f"{where}: {rules:,} rules, more than any tokenizer has; refused")
    _check_model(content, where)


def _check_model(content: Mapping[str, Any], where: Path) -> None:
    model = content.get("model")
    if not isinstance(model, dict):
        raise CheckpointError(f"{where}: holds no model; download it again")
    longest = model.get("max_input_chars_per_word", 0)
    if not isinstance(longest, int) or longest > _WORD_CHARACTERS:
        raise CheckpointError(f"{where}: max_input_chars_per_word is {str(longest)[:20]}, over {_WORD_CHARACTERS:,}")
    if model.get("dropout"):
        raise CheckpointError(f"{where}: BPE dropout cuts the same text differently each time; set dropout to null")
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "unk_token"):
        if len(str(model.get(name) or "")) > _ADDED_TEXT:
            raise CheckpointError(f"{where}: {name} has over {_ADDED_TEXT} characters; refused")
    vocabulary = model.get("vocab")
    for piece in vocabulary if isinstance(vocabulary, list | dict) else ():
        text = piece[0] if isinstance(piece, list) and piece else piece  # of a Unigram model: piece and its score
        if isinstance(text, str) and len(text) > _TOKEN_TEXT:
            raise CheckpointError(f"{where}: a token of its vocabulary has {len(text):,} characters; refused")
    added = content.get("added_tokens") or []
    if not isinstance(added, list) or not all(
        isinstance(item, dict) and len(str(item.get("content", ""))) <= _TOKEN_TEXT for item in added
    ):
        raise CheckpointError(f"{where}: an added token has over {_TOKEN_TEXT:,} characters or is no object; refused")


def _rules(part: Any, where: Path, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every rule below a part, sequences opened."""
    if not isinstance(part, dict):
        return
    if depth > _NESTING:
        raise CheckpointError(f"{where}: rules nested more than {_NESTING} deep; refused")
    yield part
    for value in part.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and "type" in item:
                yield from _rules(item, where, depth + 1)


def _added(rule: Mapping[str, Any]) -> int:
    """Characters or tokens that one application of a rule adds."""
    texts = [rule.get(name) for name in ("content", "prepend", "replacement", "prefix", "suffix")]
    sizes = [len(text) for text in texts if isinstance(text, str)]
    for name in ("single", "pair", "special_tokens"):
        template = rule.get(name)
        if isinstance(template, list | dict):
            sizes.append(len(template) * _ADDED_TEXT // _TEMPLATE)
    tokens = rule.get("special_tokens")
    if isinstance(tokens, dict):
        ids = [len(token.get("ids") or []) for token in tokens.values() if isinstance(token, dict)]
        sizes.append(sum(ids) * _ADDED_TEXT // (4 * _TEMPLATE))
    sizes.append(_longest_mapped(rule))
    return max(sizes, default=0)


def _longest_mapped(rule: Mapping[str, Any]) -> int:
    """Bytes of the longest text that a sentencepiece character map puts in place of another.

    The map is the size of a trie (4 bytes), the trie, then texts that end with a zero byte; NFKC's longest has 33.
    """
    encoded = rule.get("precompiled_charsmap")
    if not isinstance(encoded, str):
        return 0
    try:
        content = base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return 0  # its own reader refuses it
    texts = content[4 + int.from_bytes(content[:4], "little") :]
    return max(map(len, texts.split(b"\0")))


def _growth(rule: Mapping[str, Any], added: int) -> float:
    """How often longer a replacement makes what it replaces; of a regular expression one character is taken."""
    if rule.get("type") != "Replace":
        return 1.0
    pattern = rule.get("pattern")
    text = pattern.get("String") if isinstance(pattern, dict) else None
    return added / max(1, len(text) if isinstance(text, str) else 1)
