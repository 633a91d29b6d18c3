"""A training spec from its file and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.validation import read_yaml, validated
from privacy.training.privacy_spec import PrivacySpec
from privacy.training.spec import TrainSpec

_EITHER = {"epsilon": "noise_multiplier", "noise_multiplier": "epsilon"}


def load_train_spec(path: Path, privacy: str | None = None) -> TrainSpec:
    """The spec in `path`; keys of `privacy` replace those of its privacy section, `off` removes it.

    Raises UsageError naming what cannot be read.
    """
    values = read_yaml(path)
    if privacy == "off":
        values.pop("privacy", None)
    elif privacy is not None:
        given = parse_privacy(privacy)
        before = values.get("privacy") or {}
        dropped = {_EITHER[key] for key in given if key in _EITHER} - given.keys()
        kept = {key: value for key, value in before.items() if key not in dropped} if isinstance(before, dict) else {}
        values["privacy"] = validated(PrivacySpec, {**kept, **given}, "--privacy")
    return validated(TrainSpec, values, str(path))


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
