"""For every rule of the scan an input that it must find, made by code; payloads would write a marker file."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.scan.finding import Level, ScanReport
from harness.scan.scan import Options, scan_tree
from harness.scan.tree.folder import FolderTree

MARKER = "/nonexistent/marker"
RUNS = b"cposix\nsystem\n(S'touch /nonexistent/marker'\ntR."
"""Protocol 0: plain text that runs a command."""


def scan(folder: Path, **options: Any) -> ScanReport:
    """The report on a folder, in this process."""
    return scan_tree(FolderTree(folder, str(folder)), Options(**options))


def found(report: ScanReport) -> set[str]:
    """Rules above notes."""
    return {finding.rule for finding in report.findings if finding.level is not Level.NOTE}


def write(folder: Path, name: str, content: bytes | str) -> Path:
    """A file with its folders."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def edit(folder: Path, name: str, **changes: Any) -> None:
    """Change keys of a JSON file."""
    path = folder / name
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**content, **changes}))


def safetensors(tensors: Mapping[str, tuple[str, list[int], bytes]]) -> bytes:
    """A sound file of the given dtype, shape and bytes."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A tar of members, all with the same content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


class Payload:
    """Pickles to a call that would write a marker."""

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {MARKER}",))


def _file(name: str, content: bytes | str) -> Callable[[Path], Any]:
    return lambda folder: write(folder, name, content)


def _config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder, "config.json", **changes)


def _tokenizer(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder, "tokenizer.json", **changes)


def _weights(**tensors: tuple[str, list[int], bytes]) -> Callable[[Path], Any]:
    return lambda folder: write(folder, "model.safetensors", safetensors(tensors))


def _link(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


def _mode(mode: int) -> Callable[[Path], None]:
    return lambda folder: write(folder, "notes.txt", "words").chmod(mode)


def _sparse(folder: Path) -> None:
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(2**40)


def _socket(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)  # a socket's path may have some hundred bytes only
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s")
    finally:
        os.chdir(before)


def _linked_folder(folder: Path) -> None:
    write(folder, "a/b.txt", "x")
    (folder / "c").symlink_to("a")


def _git(folder: Path) -> None:
    write(folder, "HEAD", "ref: refs/heads/main\n")
    write(folder, "config", f"[core]\n\tfsmonitor = touch {MARKER}\n")


def _floats(*numbers: float) -> bytes:
    return np.array(numbers, np.float32).tobytes()


def _twice(folder: Path) -> None:
    content = safetensors({"a.weight": ("F32", [2], _floats(1, 2))})
    write(folder, "one.safetensors", content)
    write(folder, "two.safetensors", content)
    index = {"a.weight": "one.safetensors", "b.weight": "two.safetensors"}
    edit(folder, "model.safetensors.index.json", weight_map=index)
    (folder / "model.safetensors").unlink()


INPUTS: Mapping[str, Callable[[Path], Any]] = {
    "file/link-leaves": _link("notes.txt", "/etc/passwd"),
    "file/link": _link("again.json", "config.json"),
    "file/link-folder": _linked_folder,
    "file/link-dangling": _link("notes.txt", "nothing"),
    "file/special": _socket,
    "file/setuid": _mode(0o4644),
    "file/executable": _mode(0o755),
    "file/hidden": _file(".notes/a.txt", "words"),
    "file/sparse": _sparse,
    "file/name": _file("model\u202etxt.nib", "words"),
    "file/path-leaves": _file("a.zip", zipped({"../../evil.txt": b"x"})),
    "file/other-kind": _file("other.safetensors", pickle.dumps([1])),
    "file/two-kinds": _file("notes.txt", b"plain words\n" + zipped({"a.txt": b"x"})),
    "archive/damaged": _file("a.zip", zipped({"a.txt": b"content"}).replace(b"content", b"conTent")),
    "archive/nested": _file("a.zip", zipped({"a.txt": b"x"})),
    "pickle/import": _file("pytorch_model.bin", pickle.dumps(Payload())),
    "pickle/computed": _file("a.bin", b"\x80\x04N\x8c\x06system\x93."),
    "pickle/extension": _file("a.bin", b"\x80\x02\x82\x01."),
    "pickle/broken": _file("a.bin", pickle.dumps(Payload())[:-1] + b"\xff"),
    "pickle/present": _file("a.bin", pickle.dumps({"a": 1})),
    "code/custom-generate": _file("custom_generate/generate.py", "x = 1\n"),
    "code/auto-map": _config(auto_map={"AutoModel": "own.Model"}),
    "code/python": _file("modeling.py", "x = 1\n"),
    "code/shadow": _file("pip.py", "x = 1\n"),
    "code/path-file": _file("a.pth", "import os; os.system('true')\n"),
    "code/native": _file("weights.bin", b"\x7fELF\x02\x01\x01" + bytes(64)),
    "code/bytecode": _file("a.bin", b"\xa7\r\r\n" + bytes(20)),
    "code/script": _file("notes", "#!/bin/sh\ntrue\n"),
    "code/notes": _file("Dockerfile", "FROM scratch\n"),
    "code/trust": _config(text_config={"trust_remote_code": True}),
    "code/backbone": _config(backbone="someone/code", backbone_kwargs={"trust_remote_code": True}),
    "code/internal": _config(_attn_implementation_internal="someone/kernels"),
    "code/kernel": _config(attn_implementation="someone/kernels:attention"),
    "code/class-path": lambda folder: edit(
        folder, "adapter_config.json", megatron_core="own", megatron_config={"a": 1}
    ),
    "code/template": lambda folder: edit(folder, "tokenizer_config.json", chat_template="{{ x.__class__ }}"),
    "code/git": _git,
    "code/graph": _file("saved_model.pb", b"\x0a\x08\x12\x06PyFunc\x1a"),
    "code/settings": _file(".streamlit/config.toml", "[server]\n"),
    "reference/leaves": lambda folder: edit(folder, "tokenizer_config.json", tokenizer_file="/etc/passwd"),
    "reference/data": lambda folder: edit(folder, "training_manifest.json", members={"source": "/etc/passwd"}),
    "reference/missing": lambda folder: edit(folder, "x.safetensors.index.json", weight_map={"a": "gone.safetensors"}),
    "reference/base": lambda folder: edit(folder, "adapter_config.json", base_model_name_or_path="bert-base-uncased"),
    "reference/origin": _config(_name_or_path="/home/somebody/run-3"),
    "reference/other": _config(training_site="https://example.invalid/run"),
    "settings/duplicate": _file("config.json", '{"model_type": "bert", "model_type": "gpt2"}'),
    "settings/shape": _config(architectures="BertModel"),
    "settings/overrides": _config(to_dict="x"),
    "settings/odd-number": _file("config.json", '{"a": 1' + "0" * 5000 + "}"),
    "resources/count": _config(num_hidden_layers=10**9),
    "resources/tokenizer": _tokenizer(
        normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "x" * 5000}
    ),
    "resources/vocabulary": lambda folder: write(
        folder, "vocab.json", json.dumps({f"w{number}": number for number in range(20_000)})
    ),
    "resources/pattern": _tokenizer(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    ),
    "weights/nan": _weights(a=("F32", [2, 1], _floats(1, float("nan")))),
    "weights/infinite": _weights(a=("BF16", [2, 1], b"\x80\x7f\x80\xff")),
    "weights/zero": _weights(a=("F32", [2, 2], bytes(16))),
    "weights/duplicate": _weights(a=("F32", [2], _floats(1, 2)), b=("F32", [2], _floats(1, 2))),
    "weights/unused": _weights(**{"bert.encoder.layer.7.weight": ("F32", [2], _floats(1, 2))}),
    "weights/unsound": _file("model.safetensors", safetensors({"a": ("F32", [2], _floats(1, 2))}) + b"more"),
    "weights/unlisted": _file("other.safetensors", safetensors({"a": ("F32", [2], _floats(1, 2))})),
    "weights/twice": _twice,
}
"""`hub/status` is tried with a stand-in for the hub, `pickle/second-opinion` where picklescan is installed."""
ELSEWHERE = {"hub/status", "pickle/second-opinion"}
