"""Fuzzing of what is read of a checkpoint: small sound files, changed at random, never end in anything but a sentence.

In the tests a fixed number of changes; longer by `make fuzz`, which runs this module: `python -m tests.hostile.fuzz`,
for FUZZ_MINUTES minutes (default 10). A failure prints the change that made it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.errors import AssayError
from tests.hostile.corpus import edit, make_gguf
from tests.tiny import make_checkpoint

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 1e308, 0.5, 10**30, "", "x", "../x", "/etc/passwd", "\x1b[2J",
    "\ud800", "x" * 5000, "https://example.org/x", "someone/model", "bert", "gpt2", "llama", "LORA",
    [], {}, [None], [[[]]], [0] * 2000, {"a": {"b": []}}, {"Regex": "(a+)+$"}, {"trust_remote_code": True},
    {"type": "Sequence", "normalizers": []},
)  # fmt: skip
"""Values that stand where others were meant."""


def sound(root: Path) -> dict[str, Path]:
    """The checkpoints that are changed: a classifier, an adapter with its base, a GGUF file."""
    import peft
    import transformers

    folders = {name: root / name for name in ("bert", "adapter", "gguf")}
    make_checkpoint(folders["bert"], "bert", "classifier")
    base = make_checkpoint(folders["adapter"] / "base", "gpt2", "causal_lm")
    settings = peft.LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, fan_in_fan_out=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    peft.get_peft_model(model, settings).save_pretrained(folders["adapter"])
    edit(folders["adapter"] / "adapter_config.json", base_model_name_or_path="base")
    folders["gguf"].mkdir()
    make_gguf(folders["gguf"])
    return folders


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, shallow ones first; of long lists and objects the first few."""
    found = [path] if path else []
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())[:60]
    else:
        items = list(enumerate(value))[:5] if isinstance(value, list) else []
    for key, item in items:
        found += places(item, (*path, key))
    return found


def change_json(content: Any, rng: random.Random) -> Any:
    """One to three values replaced, removed, renamed or doubled."""
    for _ in range(rng.randint(1, 3)):
        spots = places(content)
        if not spots:
            break
        spot = rng.choice(spots)
        parent = content
        for key in spot[:-1]:
            parent = parent[key]
        action = rng.random()
        if action < 0.7:
            parent[spot[-1]] = deepcopy(rng.choice(ODD))
        elif action < 0.85:
            del parent[spot[-1]]
        elif isinstance(parent, dict):
            parent[str(rng.choice(ODD))[:50]] = deepcopy(parent[spot[-1]])
    return content


def change_bytes(raw: bytes, rng: random.Random, most: int) -> bytes:
    """A few bytes of the first `most` overwritten, cut out, or the file cut short."""
    changed = bytearray(raw)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(min(most, len(changed)) or 1)
        action = rng.random()
        if action < 0.6 and changed:
            changed[at : at + 8] = rng.choice([rng.randbytes(8), b"\xff" * 8, bytes(8), struct.pack("<Q", 2**40)])
        elif action < 0.8:
            del changed[at : at + rng.randint(1, 16)]
        else:
            changed = changed[: max(1, at)]
    return bytes(changed)


def change_header(raw: bytes, rng: random.Random) -> bytes:
    """The header of a safetensors file changed as JSON, its length told truly."""
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.dumps(change_json(json.loads(raw[8 : 8 + length]), rng)).encode()
    return struct.pack("<Q", len(header)) + header + raw[8 + length :]


def _json_file(name: str) -> Callable[[Path, random.Random], None]:
    def change(folder: Path, rng: random.Random) -> None:
        path = folder / name
        if rng.random() < 0.1:
            path.write_bytes(change_bytes(path.read_bytes(), rng, 10_000))
        else:
            path.write_text(json.dumps(change_json(json.loads(path.read_text()), rng)))

    return change


def _safetensors(folder: Path, rng: random.Random) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    path.write_bytes(change_header(raw, rng) if rng.random() < 0.7 else change_bytes(raw, rng, 4_000))


def _gguf(folder: Path, rng: random.Random) -> None:
    path = folder / "model.gguf"
    path.write_bytes(change_bytes(path.read_bytes(), rng, 2_000))


TARGETS: dict[str, tuple[str, Callable[[Path, random.Random], None]]] = {
    "config.json": ("bert", _json_file("config.json")),
    "tokenizer.json": ("bert", _json_file("tokenizer.json")),
    "tokenizer_config.json": ("bert", _json_file("tokenizer_config.json")),
    "special_tokens_map.json": ("bert", _json_file("special_tokens_map.json")),
    "safetensors header": ("bert", _safetensors),
    "GGUF header": ("gguf", _gguf),
    "adapter_config.json": ("adapter", _json_file("adapter_config.json")),
}


def try_one(target: str, seed: int, folders: dict[str, Path], scratch: Path) -> bool:
    """Change one file of a checkpoint by `seed` and inspect it; whether it was accepted. Raises what is no sentence."""
    base, change = TARGETS[target]
    folder = scratch / f"{base}-{seed}"
    shutil.copytree(folders[base], folder)
    try:
        source = folders[base] / "special_tokens_map.json"
        if target == "special_tokens_map.json" and not source.is_file():  # version 5 of transformers writes none
            (folder / "special_tokens_map.json").write_text('{"unk_token": "[UNK]"}')
        change(folder, random.Random(f"{target} {seed}"))
        inspect_checkpoint(CheckpointSource(source=str(folder)))
    except AssayError as error:
        if not 10 < len(str(error)) < 3_000:
            raise AssertionError(f"no sentence: {str(error)[:200]!r}") from error
        return False
    finally:
        shutil.rmtree(folder)
    return True


def main() -> None:
    """Fuzz for FUZZ_MINUTES minutes, from seed FUZZ_SEED on."""
    deadline = time.monotonic() + 60 * float(os.environ.get("FUZZ_MINUTES", "10"))
    seed = int(os.environ.get("FUZZ_SEED", "1000000"))
    counts = dict.fromkeys(TARGETS, (0, 0))
    with tempfile.TemporaryDirectory() as scratch:
        folders = sound(Path(scratch) / "sound")
        while time.monotonic() < deadline:
            for target in TARGETS:
                try:
                    accepted = try_one(target, seed, folders, Path(scratch))
                except BaseException:
                    sys.stderr.write(f"target {target!r}, seed {seed}\n")
                    raise
                tried, taken = counts[target]
                counts[target] = (tried + 1, taken + accepted)
            seed += 1
    for target, (tried, taken) in counts.items():
        sys.stdout.write(f"{target}: {tried} changes, {taken} accepted, the others refused by a sentence\n")


if __name__ == "__main__":
    main()
