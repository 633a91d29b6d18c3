"""A training spec from its file and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.base.confined import read_bytes
from harness.base.validation import read_yaml, validated
from harness.errors import CheckpointError, UsageError
from privacy.canaries.spec import load_canaries
from privacy.training.settings.privacy_spec import PrivacySpec
from privacy.training.settings.spec import TrainSpec

_NAMES_BYTES = 2**20
_EITHER = {"epsilon": "noise_multiplier", "noise_multiplier": "epsilon"}


def load_train_spec(path: Path, privacy: str | None = None, canaries: Path | None = None) -> TrainSpec:
    """The spec in `path`; keys of `privacy` replace those of its privacy section, `off` removes it.

    `canaries`: a file that stands for its canaries section.

    Raises UsageError naming what cannot be read.
    """
    values = read_yaml(path)
    names = values.get("label_names")
    if isinstance(names, dict):
        values["label_names"] = _names(names, path)
    if privacy == "off":
        values.pop("privacy", None)
    elif privacy is not None:
        given = parse_privacy(privacy)
        before = values.get("privacy") or {}
        dropped = {_EITHER[key] for key in given if key in _EITHER} - given.keys()
        kept = {key: value for key, value in before.items() if key not in dropped} if isinstance(before, dict) else {}
        values["privacy"] = validated(PrivacySpec, {**kept, **given}, "--privacy")
    if canaries is not None:
        values["canaries"] = load_canaries(canaries)
    return validated(TrainSpec, values, str(path))


def _names(given: dict[str, Any], spec: Path) -> list[str]:
    """`label_names: {file: labels.txt}`: a public file with a class name on each line, in their order."""
    if set(given) != {"file"} or not isinstance(given["file"], str):
        raise UsageError(f"{spec}: label_names: give a list of names, or {{file: <text file with one on each line>}}")
    path = Path(given["file"]).expanduser()
    try:
        content = read_bytes(path, _NAMES_BYTES)
        names = [line.strip() for line in content.decode().splitlines()]
    except (CheckpointError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{spec}: label_names: {path} is no text file that can be read; give one class name on each line"
        ) from error
    if "" in names or not names:
        raise UsageError(
            f"{path}: line {names.index('') + 1 if names else 1} is empty; give one class name on each line"
        )
    return names


def parse_privacy(text: str) -> dict[str, Any]:
    """`epsilon=8,delta=auto` -> its keys and values. Raises UsageError naming what cannot be read."""
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise UsageError(f"--privacy: {part!r} is not key=value; for example --privacy epsilon=8,delta=auto")
        if key in values:
            raise UsageError(f"--privacy: {key} is given twice")
        values[key] = value
    return values
