"""Of every hostile input none executes, hangs, fills memory or ends in a traceback."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoint import CheckpointSource, Fingerprint, inspect_checkpoint, load_checkpoint
from harness.errors import AssayError
from tests.hostile.corpus import CORPUS, Hostile, Outcome, edit, make_gguf
from tests.tiny import make_checkpoint

CPU_SECONDS = 30
MEMORY = 3 * 2**30
"""Bytes this process may map beyond what it holds: more than the largest input makes Assay take here."""
LONGEST = 2_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sound checkpoints that are changed, by name."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    root = tmp_path_factory.mktemp("sound")
    folders = {name: root / name for name in ("bert", "gpt2", "adapter", "gguf")}
    make_checkpoint(folders["bert"], "bert", "classifier")
    make_checkpoint(folders["gpt2"], "gpt2", "causal_lm")
    base = make_checkpoint(folders["adapter"] / "base", "gpt2", "causal_lm")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    settings = peft.LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, fan_in_fan_out=True)
    peft.get_peft_model(model, settings).save_pretrained(folders["adapter"])
    edit(folders["adapter"] / "adapter_config.json", base_model_name_or_path="base")
    folders["gguf"].mkdir()
    make_gguf(folders["gguf"])
    return folders


@pytest.fixture(scope="module")
def fingerprints(sound: dict[str, Path]) -> dict[str, Fingerprint]:
    """Of the sound checkpoints, which all load."""
    return {name: audited(folder) for name, folder in sound.items()}


def audited(folder: Path) -> Fingerprint:
    """What `assay run` does with a checkpoint before its first probe."""
    info = inspect_checkpoint(CheckpointSource(source=str(folder)))
    load_checkpoint(info, device="cpu")
    return info.fingerprint


@contextmanager
def limited() -> Iterator[None]:
    """Memory of this process bounded, and an end to what waits for ever."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)

    def ring(_number: int, _frame: Any) -> None:
        pytest.fail("it waits for ever")

    handler = signal.signal(signal.SIGALRM, ring)
    signal.alarm(10 * CPU_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def test_the_corpus_is_as_large_as_it_claims() -> None:
    assert len(CORPUS) >= 150
    assert len({entry.name for entry in CORPUS}) == len(CORPUS)
    assert min(Counter(entry.kind for entry in CORPUS).values()) >= 5


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry.name.encode("ascii", "backslashreplace").decode())
def test_hostile_input(
    entry: Hostile,
    sound: dict[str, Path],
    fingerprints: dict[str, Fingerprint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, marker = tmp_path / "checkpoint", tmp_path / "marker"
    shutil.copytree(sound[entry.base], folder)
    entry.build(folder, marker)
    monkeypatch.chdir(folder)
    began = time.process_time()
    found: Fingerprint | AssayError
    with limited():
        try:
            found = audited(folder)
        except AssayError as error:
            found = error
    assert time.process_time() - began < CPU_SECONDS
    assert not marker.exists(), "code of the checkpoint has run"
    assert "PASS" not in capfd.readouterr().out
    if entry.outcome is Outcome.REFUSED:
        assert isinstance(found, AssayError), "it was loaded"
        sentence = str(found)
        assert len(sentence) <= LONGEST
        assert "Traceback" not in sentence
        assert re.match(r"\S", sentence)
        assert "staging" not in sentence, "it names a private folder that is gone"
    else:
        assert not isinstance(found, AssayError), str(found)
        assert (found.digest != fingerprints[entry.base].digest) or entry.outcome is Outcome.HARMLESS
