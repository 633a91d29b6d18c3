"""A tiny checkpoint with a Chinese vocabulary: one token per character, as in bert-base-chinese."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.scorer.hf import HFScorer
from suites.bias.identity import CONTROL, axes_of, filled_templates
from tests import tiny


def chinese_scorer(folder: Path, head: str = "classifier", more: str = "") -> HFScorer:
    """A scorer over a random BERT that knows every character of the built-in Chinese templates and of `more`."""
    texts = [
        variant.text
        for axis in (*axes_of("zh"), CONTROL)
        for _, variants in filled_templates(axis, "zh")
        for variant in variants
    ]
    with patch.object(tiny, "_WORDS", sorted(set("".join(texts) + more))):
        tiny.make_checkpoint(folder, "bert", head)
    info = inspect_checkpoint(CheckpointSource(source=str(folder)))
    return HFScorer(load_checkpoint(info, device="cpu", dtype="fp32"))
