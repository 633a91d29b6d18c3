"""tokenizer.json as the small program it is: what its rules may add to a text, how their patterns repeat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.checkpoint.patterns import why_costly
from harness.checkpoint.tokenizer_files import check_program
from harness.errors import CheckpointError
from harness.scan.json_text import walk
from harness.scan.notebook import Notebook

VOCABULARY = frozenset({"vocab", "merges"})
"""Parts that hold words, not settings: left alone by every rule about settings."""
_RULES = 500
"""camembert's normalizer has a handful of rules, deepseek's pre-tokenizer nine; converted ones 200."""
_ADDED = 1_000
"""Characters that one rule puts in place of a match; real ones put one or two."""
_GROWTH = 64.0
"""How often longer a text may become: NFKD turns one character into 18."""
_PIECES = 64
_IDS = 1_000_000
_PADDED = 1_000_000
_WORD = 10_000
"""WordPiece is quadratic in `max_input_chars_per_word`; 100 is usual."""


def program_of(content: dict[str, Any]) -> dict[str, Any]:
    """The content without its words."""
    model = content.get("model")
    kept = {key: value for key, value in content.items() if key not in ("model", "added_tokens")}
    if isinstance(model, dict):
        kept["model"] = {key: value for key, value in model.items() if key not in VOCABULARY}
    return kept


def report_program(file: str, content: dict[str, Any], notebook: Notebook) -> None:
    """Say where a short text would become long, or take long."""
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        _report_part(file, part, content.get(part), notebook)
    _report_ids(file, content, notebook)
    for place, key, value in walk(program_of(content)):
        if key == "Regex" and isinstance(value, str):
            why = why_costly(value)
            if why:
                notebook.find("resources/pattern", file, f"a pattern {why}", place)
        elif key in ("Fixed", "pad_to_multiple_of") and _number(value) > _PADDED:
            notebook.find("resources/tokenizer", file, f"pads every text to {value:,} tokens", place)
        elif key == "max_input_chars_per_word" and _number(value) > _WORD:
            notebook.find("resources/tokenizer", file, f"takes words of {value:,} characters, at their square", place)
    _report_refusal(file, content, notebook)


def _report_refusal(file: str, content: dict[str, Any], notebook: Notebook) -> None:
    """What an audit would refuse to load is found too, where nothing above has said it."""
    if any(each.file == file and each.rule.startswith("resources/") for each in notebook.findings):
        return
    try:
        check_program(content, Path(file))
    except CheckpointError as error:
        notebook.find("resources/tokenizer", file, str(error).removeprefix(f"{file}: "))


def _report_ids(file: str, content: dict[str, Any], notebook: Notebook) -> None:
    """Numbers of words far beyond their count make tables as large."""
    model = content.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict) or not vocab:
        return
    odd = sum(type(number) is not int or number < 0 for number in vocab.values())
    largest = max((number for number in vocab.values() if type(number) is int), default=0)
    if odd or largest > _IDS + 10 * len(vocab):
        notebook.find(
            "resources/tokenizer", file, f"its words are numbered up to {largest:,}, {odd:,} by no number", "vocab"
        )


def vocabulary_size(content: dict[str, Any]) -> int:
    """Words of the model and added ones."""
    model, added = content.get("model"), content.get("added_tokens")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    own = len(vocab) if isinstance(vocab, dict | list) else 0
    return own + (len(added) if isinstance(added, list) else 0)


def _report_part(file: str, part: str, rule: Any, notebook: Notebook) -> None:
    rules = list(_rules(rule))
    if len(rules) > _RULES:
        notebook.find("resources/tokenizer", file, f"its {part} has {len(rules):,} rules or more", part)
    growth = 1.0
    for each in rules:
        if each.get("type") == "Replace":
            added = _length(each.get("content"))
            growth *= max(1.0, added / max(1, _matched(each.get("pattern"))))
            if added > _ADDED:
                notebook.find("resources/tokenizer", file, f"puts {added:,} characters in place of a match", part)
        elif each.get("type") == "Prepend":
            growth *= max(1.0, _length(each.get("prepend")) / 8)
        elif each.get("type") == "TemplateProcessing":
            pieces = max(len(value) for key in ("single", "pair") if isinstance(value := each.get(key, []), list))
            if pieces > _PIECES:
                notebook.find("resources/tokenizer", file, f"puts {pieces:,} pieces around every text", part)
    if growth > _GROWTH:
        notebook.find("resources/tokenizer", file, f"its {part} makes a text up to {growth:,.0f} times as long", part)


def _rules(rule: Any) -> Iterator[dict[str, Any]]:
    """All rules below one, at most a few more than are allowed."""
    waiting, count = [rule], 0
    while waiting and count <= _RULES:
        here = waiting.pop()
        if isinstance(here, list):
            waiting.extend(here[: _RULES + 1])
        elif isinstance(here, dict):
            count += 1
            yield here
            waiting.extend(item for key, item in here.items() if key in _NESTING)


_NESTING = ("normalizers", "pretokenizers", "processors", "decoders", "normalizer", "decoder")


def _matched(pattern: Any) -> int:
    """Characters a pattern matches at least; of a regular expression one is taken."""
    text = pattern.get("String") if isinstance(pattern, dict) else None
    return len(text) if isinstance(text, str) else 1


def _length(text: Any) -> int:
    return len(text) if isinstance(text, str) else 0


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
