"""What a file is, by its bytes; its name only names what it pretends to be."""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

HEAD_BYTES = 4096
"""Enough for every magic number, a tar header, and to tell text from data."""
TAIL_BYTES = 22 + 2**16
"""Where a zip's end record stands, whatever comes before the archive."""

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GGUF", "gguf"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x93NUMPY", "npy"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (4, b"1AY&SY", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"ZF0x", "zfile"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (257, b"ustar", "tar"),
    (0, b"\x7fELF", "elf"),
    (0, b"\xfe\xed\xfa\xce", "mach-o"),
    (0, b"\xfe\xed\xfa\xcf", "mach-o"),
    (0, b"\xce\xfa\xed\xfe", "mach-o"),
    (0, b"\xcf\xfa\xed\xfe", "mach-o"),
    (0, b"\xca\xfe\xba\xbe", "mach-o"),
    (0, b"\0asm", "wasm"),
    (0, b"\x89PNG\r\n\x1a\n", "image"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"GIF8", "image"),
    (8, b"WEBP", "image"),
    (0, b"%PDF-", "pdf"),
    (0, b"PAR1", "parquet"),
    (0, b"ARROW1", "arrow"),
    (0, b"SQLite format 3\0", "sqlite"),
    (4, b"TFL3", "tflite"),
    (0, b"DIRC", "git index"),
    (0, b"PACK\0", "git pack"),
    (0, b"\xfftOc", "git pack index"),
)
NATIVE = frozenset({"elf", "pe", "mach-o", "wasm"})
STREAMS = frozenset({"gzip", "bzip2", "xz", "lzma", "zlib"})
UNREAD = frozenset({"zstd", "lz4", "7z", "rar", "zfile"})
"""Archives that Python's standard library does not read; zfile is that of old joblib."""
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+\.*[\w.]*[ \t]+import[ \t(]|import[ \t]+[a-z_][\w.]*(?:[ \t]+as[ \t]+\w+)?[ \t]*(?:[,;#]|$)"
    r"|def[ \t]+\w+[ \t]*\([^\n]*:[ \t]*(?:#.*)?$|class[ \t]+\w+[ \t]*(?:\([^\n]*\))?:[ \t]*$|__import__\()",
    re.MULTILINE,
)
_JSON = re.compile(r"\{\s*(?:[\"}]|$)|\[\s*(?:[\"{\[\]\d-]|true|false|null|$)")
_PROSE = (".md", ".txt", ".rst", ".html", ".htm", ".ipynb", ".csv", ".tsv", ".jsonl", ".jinja", ".j2", ".cff", ".tex")

EXPECTED: Mapping[str, frozenset[str]] = {
    ".safetensors": frozenset({"safetensors", "git-lfs pointer"}),
    ".gguf": frozenset({"gguf", "git-lfs pointer"}),
    ".json": frozenset({"json", "text", "empty", "git-lfs pointer"}),
    ".jinja": frozenset({"text", "json", "empty"}),
    ".txt": frozenset({"text", "json", "empty", "python", "html", "git-lfs pointer"}),
    ".md": frozenset({"text", "json", "empty", "python", "html"}),
    ".npy": frozenset({"npy", "git-lfs pointer"}),
    ".npz": frozenset({"zip", "npz", "git-lfs pointer"}),
    ".png": frozenset({"image", "git-lfs pointer"}),
    ".jpg": frozenset({"image", "git-lfs pointer"}),
    ".jpeg": frozenset({"image", "git-lfs pointer"}),
    ".gif": frozenset({"image", "git-lfs pointer"}),
    ".h5": frozenset({"hdf5", "git-lfs pointer"}),
    ".onnx": frozenset({"onnx", "git-lfs pointer"}),
    ".parquet": frozenset({"parquet", "git-lfs pointer"}),
}
"""Endings that promise a kind."""


def kind_of(head: bytes, size: int, name: str) -> str:
    """The kind of a file from its first `HEAD_BYTES`; 'data' where nothing tells."""
    if not size:
        return "empty"
    if _is_safetensors(head, size):
        return "safetensors"
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head[:1] == b"\x80" and len(head) > 2 and head[1] <= 5:
        return "pickle"
    if (
        head[2:4] == b"\r\n"
        and len(head) >= 16
        and head[1] <= 0x0F
        and head[4:8] in (b"\0\0\0\0", b"\1\0\0\0", b"\3\0\0\0")
    ):
        return "python bytecode"
    for kind, holds in _CONFIRMED.items():
        if holds(head):
            return kind
    text = _as_text(head)
    if text is not None:
        return _kind_of_text(text, name)
    if name.lower().endswith(".onnx") and head[:1] == b"\x08":
        return "onnx"
    return "data"


def _is_pe(head: bytes) -> bool:
    """Two letters are not enough: the offset of the second header must lead to it, as far as can be seen."""
    at = int.from_bytes(head[60:64], "little")
    return head[:2] == b"MZ" and 0 < at < 2**20 and head[at : at + 4] in (b"PE\0\0", b"")


def _is_zlib(head: bytes) -> bool:
    return head.startswith(_ZLIB) and _inflates(zlib.decompressobj(), head)


def _is_lzma(head: bytes) -> bool:
    return head[:2] == b"\x5d\x00" and _inflates(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=2**27), head)


def _inflates(engine: Any, head: bytes) -> bool:
    """Whether bytes are the beginning of a compressed stream, and not of numbers that look like one."""
    try:
        return bool(engine.decompress(head, 64))
    except (zlib.error, lzma.LZMAError):
        return False


def _is_tar(head: bytes) -> bool:
    """A tar of before 1988 has no magic, but a check sum of its first header."""
    block = head[:512]
    if len(block) < 512 or not block[0]:
        return False
    try:
        said = int(block[148:156].strip(b" \0") or b"-1", 8)
    except ValueError:
        return False
    return said == sum(block) - sum(block[148:156]) + 8 * 0x20


_CONFIRMED: Mapping[str, Callable[[bytes], bool]] = {"tar": _is_tar, "pe": _is_pe, "zlib": _is_zlib, "lzma": _is_lzma}


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and 2 <= length <= min(100_000_000, size - 8) and head[8:9] == b"{"


def _as_text(head: bytes) -> str | None:
    """As text, where it is such: UTF-8, or UTF-16 with its mark, without controls."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "ignore")
    else:
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4 or len(head) < HEAD_BYTES:
                return None
            text = head[: error.start].decode("utf-8")
    return None if any(char < " " and char not in "\t\n\r\f\x1b" for char in text) else text


def _kind_of_text(text: str, name: str) -> str:
    begin = text.lstrip("\ufeff \t\r\n")
    lower = name.lower()
    first = begin.split("\n", 1)[0]
    if begin.startswith("#!"):
        return "python" if "python" in first else "script"
    if begin.startswith("version https://git-lfs"):
        return "git-lfs pointer"
    if lower.endswith((".py", ".pyw", ".pyi", ".pyx")):
        return "python"
    if lower.endswith((".sh", ".bash", ".zsh", ".bat", ".cmd", ".ps1")):
        return "script"
    if _JSON.match(begin):
        return "json"
    if begin[:100].lower().startswith(("<!doctype html", "<html", "<svg", "<?xml")):
        return "html"
    if not lower.endswith(_PROSE) and looks_like_python(text):
        return "python"
    return "text"


def looks_like_python(text: str) -> bool:
    """Whether a line of it imports or defines something."""
    return _PYTHON.search(text) is not None
