"""The hostile corpus: nothing of it runs in a scan, and whatever would run, leave or hang elsewhere is found."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from harness.scan.finding import Outcome
from tests.harness.scan.inputs import scan
from tests.hostile.corpus import CORPUS, Hostile
from tests.hostile.test_corpus import sound

__all__ = ["sound"]

CPU_SECONDS = 30
CLEAN_KINDS = {"fingerprint"}
"""Changes that are allowed, and covered by the fingerprint."""
ORDINARY = frozenset({
    "config key _name_or_path", "config key _commit_hash", "config key quantization_config", "config key torch_dtype",
    "tokenizer_class BertJapaneseTokenizer", "index without shards", "normalizer of an unknown kind", "adapter r of 2",
    "adapter peft_type unheard of", "hidden_act odd 0", "layer_norm_eps odd 0", "layer_norm_eps odd 1",
    "problem_type odd 0", "dtype a list",
})  # fmt: skip
"""Wrong or unknown settings that could do nothing; only the architecture tells, which a scan does not build."""


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry.name.encode("ascii", "backslashreplace").decode())
def test_hostile_input(entry: Hostile, sound: dict[str, Path], tmp_path: Path) -> None:
    folder, marker = tmp_path / "checkpoint", tmp_path / "marker"
    shutil.copytree(sound[entry.base], folder)
    assert scan(folder).outcome is Outcome.CLEAN
    entry.build(folder, marker)
    began = time.process_time()
    report = scan(folder, seconds=60)
    assert time.process_time() - began < CPU_SECONDS
    assert not marker.exists(), "code of the checkpoint has run"
    assert not any("scanner failed" in missed.why for missed in report.unscanned), report.unscanned
    if entry.kind not in CLEAN_KINDS and entry.name not in ORDINARY:
        assert report.outcome is not Outcome.CLEAN
