from __future__ import annotations

import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.wheel import unpack_wheel
from harness.errors import UsageError


def entry(name: str, *, mode: int = 0, text: str = "x") -> tuple[zipfile.ZipInfo, str]:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, text


def write(path: Path, *entries: tuple[zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for info, text in entries:
            archive.writestr(info, text, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([entry("../a")], "leads out"),
        ([entry("/a")], "leads out"),
        ([entry("a\\..\\b")], "leads out"),
        ([entry("a\x1b[2Jb")], "control characters"),
        ([entry("a\nb")], "control characters"),
        ([entry("x" * 300)], "more than 255 bytes"),
        ([entry("a/" + "é" * 200 + "/b")], "more than 255 bytes"),
        ([entry("a", mode=stat.S_IFLNK | 0o777, text="/etc/passwd")], "is a link"),
        ([entry("a", mode=stat.S_IFIFO | 0o644)], "no plain file"),
        ([entry("a", mode=stat.S_IFCHR | 0o644)], "no plain file"),
        ([entry("a", mode=stat.S_IFDIR | 0o755)], "no plain file"),
        ([entry("a"), entry("a")], "is there twice"),
        ([entry("a"), entry("./a")], "is there twice"),
        ([entry("a/b"), entry("A/B")], "is there twice"),
        ([entry("a/b"), entry("A/c")], "folder that is there twice"),
        ([entry("caf\u00e9"), entry("cafe\u0301")], "is there twice"),
        ([entry("a"), entry("a/b")], "both a file and a folder"),
        ([entry("a/b"), entry("a")], "both a file and a folder"),
        ([entry("a/"), entry("a")], "both a file and a folder"),
        ([entry(".")], "has no name"),
    ],
)
def test_entries_that_are_no_plain_files_are_refused(
    tmp_path: Path, entries: list[tuple[zipfile.ZipInfo, str]], why: str
) -> None:
    wheel = write(tmp_path / "w.whl", *entries)
    with pytest.raises(UsageError, match=why) as caught:
        unpack_wheel(wheel, tmp_path / "out")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["w.whl"]


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def patched(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """`value` written at `offset` of each header with this signature."""
    at = content.find(signature)
    while at >= 0:
        content = content[: at + offset] + value + content[at + offset + len(value) :]
        at = content.find(signature, at + 4)
    return content


LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda _: b"no zip", "no zip archive"),
        (lambda _: b"", "no zip archive"),
        (lambda content: content[: len(content) // 2], "no zip archive"),
        (lambda content: content[:-10], "no zip archive"),
        (lambda content: flip(content, 45), "damaged"),
        (lambda content: patched(content, CENTRAL, 16, b"\1\2\3\4"), "damaged"),
        (lambda content: patched(patched(content, CENTRAL, 8, b"\1\0"), LOCAL, 6, b"\1\0"), "is encrypted"),
        (lambda content: patched(content, CENTRAL, 10, b"\x0e\0"), "packed in another way"),
        (lambda content: patched(content, CENTRAL, 24, struct.pack("<L", 2**31)), "damaged|cannot be read"),
        (lambda content: patched(content, CENTRAL, 24, struct.pack("<L", 5)), "damaged"),
        (lambda content: patched(content, CENTRAL, 42, struct.pack("<L", 2**31 - 1)), "damaged|cannot be"),
        (lambda content: patched(content, END, 12, struct.pack("<L", 2**31)), "list of contents takes 2,048 MiB"),
        (
            lambda content: patched(content, END, 12, struct.pack("<L", 0xFFFFFFFF)),
            "damaged|cannot be|list of contents",
        ),
    ],
)
def test_broken_wheels_are_one_sentence(tmp_path: Path, damage: Callable[[bytes], bytes], why: str) -> None:
    wheel = write(tmp_path / "w.whl", entry("a", text="some words " * 50), entry("b", text="other words " * 50))
    wheel.write_bytes(damage(wheel.read_bytes()))
    with pytest.raises(UsageError, match=why) as caught:
        unpack_wheel(wheel, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_what_comes_out_is_counted_whatever_the_header_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LIMITS", "0.001")  # about a mebibyte of 2 MiB
    wheel = write(tmp_path / "w.whl", *(entry(f"f{number}", text="x" * 2**18) for number in range(8)))
    with pytest.raises(UsageError, match=r"unpacks to far more.*ASSAY_LIMITS"):
        unpack_wheel(wheel, tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 1.25 * 2**20
    monkeypatch.delenv("ASSAY_LIMITS")
    unpack_wheel(wheel, tmp_path / "all")
    assert sum(path.stat().st_size for path in (tmp_path / "all").iterdir()) == 2 * 2**20


def test_an_absurd_number_of_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LIMITS", "0.002")
    wheel = write(tmp_path / "w.whl", *(entry(str(number)) for number in range(101)))
    with pytest.raises(UsageError, match=r"it holds 101 files, over the cap of 100; .*ASSAY_LIMITS"):
        unpack_wheel(wheel, tmp_path / "out")


def test_a_wheel_over_the_cap_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "w.whl").open("wb") as file:
        file.truncate(300 * 2**30)
    with pytest.raises(UsageError, match="over the cap of 8,192 MiB"):
        unpack_wheel(tmp_path / "w.whl", tmp_path / "out")


def test_an_honest_wheel_keeps_its_files_and_no_modes(tmp_path: Path) -> None:
    wheel = write(
        tmp_path / "w.whl",
        entry("p/", mode=stat.S_IFDIR | 0o755),
        entry("p/a.py", mode=stat.S_IFREG | 0o4755),
        entry("q/b", text="words"),
    )
    unpack_wheel(wheel, tmp_path / "out")
    assert (tmp_path / "out/q/b").read_text() == "words"
    assert (tmp_path / "out/p/a.py").stat().st_mode & 0o7111 == 0
