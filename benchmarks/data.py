"""Real records for benchmarks, from the folder that ASSAY_TEST_DATA names."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError

SCRATCH = Path("checkpoints") / "bench"
"""Where benchmarks keep what they make; git ignores it, and a benchmark that is stopped goes on from it."""


def data_file(name: str) -> Path:
    """A file of the folder. Raises UsageError when there is none."""
    folder = os.environ.get("ASSAY_TEST_DATA", Path(__file__).parent.parent.parent / "shared" / "data")
    path = Path(folder) / name
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; this benchmark needs it, set ASSAY_TEST_DATA to the folder of real data"
        )
    return path


def sst2(split: str) -> Path:
    """A split of SST-2 (Socher et al. 2013) as csv with columns text and label."""
    name = f"sst2/{split}.tsv.gz" if split == "train" else f"sst2/{split}.tsv"
    rows = (line.rsplit("\t", 1) for line in _lines(data_file(name)))
    path = SCRATCH / f"sst2-{split}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([text, ("negative", "positive")[int(label)]] for text, label in rows)
    return path


def news() -> Path:
    """Paragraphs of ABC news (Australia, 2006) of 20 words and more, as jsonl with column text."""
    documents = (json.loads(line)["text"] for line in _lines(data_file("lm_corpora/abc.jsonl.gz")))
    return _jsonl("news", [line for text in documents for line in text.split("\n") if len(line.split()) >= 20])


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode().rstrip("\n").split("\n")


def _jsonl(name: str, texts: Sequence[str]) -> Path:
    path = SCRATCH / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path
