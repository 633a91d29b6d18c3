"""Archives: bombs, members that leave, devices, nesting, and formats that are not read."""

from __future__ import annotations

import gzip
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from harness.scan.finding import Outcome
from tests.harness.scan.inputs import found, scan, tarred, write, zipped


def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def special(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("a")
    member.type = kind
    return member


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "C:/x"], ids=lambda name: name.replace("/", "|")
)
def test_members_that_leave(name: str, tmp_path: Path) -> None:
    write(tmp_path, "a.zip", zipped({name: b"x"}))
    write(tmp_path, "a.tar", tarred(tarfile.TarInfo(name), content=b"x"))
    report = scan(tmp_path)
    leaves = [finding.file for finding in report.findings if finding.rule == "file/path-leaves"]
    assert {file.partition("!")[0] for file in leaves} == {"a.zip", "a.tar"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x"])
def test_links_in_a_tar_that_leave(target: str, tmp_path: Path) -> None:
    write(tmp_path, "a.tar", tarred(linked("a/b", target)))
    assert "file/path-leaves" in found(scan(tmp_path))
    write(tmp_path, "a.tar", tarred(linked("a/b", "../c")))
    assert "file/path-leaves" not in found(scan(tmp_path))


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_in_a_tar(kind: bytes, tmp_path: Path) -> None:
    write(tmp_path, "a.tar", tarred(special(kind)))
    assert "file/special" in found(scan(tmp_path))


def test_a_bomb_is_left_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LIMITS", "0.01")
    size = 50 * 2**20
    bomb = b"\x80\x04B" + size.to_bytes(4, "little") + bytes(size) + b"."
    write(tmp_path, "a.zip", zipped({"a.pkl": bomb}, zipfile.ZIP_DEFLATED))
    write(tmp_path, "b.gz", gzip.compress(bomb))
    report = scan(tmp_path)
    assert report.outcome is Outcome.INCOMPLETE
    assert any("unpack to more than" in missed.why for missed in report.unscanned)
    assert any("were not looked at" in missed.why for missed in report.unscanned)


def test_archives_in_archives_end(tmp_path: Path) -> None:
    content = zipped({"a.txt": b"x"})
    for _ in range(10):
        content = zipped({"a.zip": content})
    write(tmp_path, "a.zip", content)
    report = scan(tmp_path)
    assert report.outcome is Outcome.INCOMPLETE
    assert any("archives" in missed.why for missed in report.unscanned)


@pytest.mark.parametrize(
    "magic", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"]
)
def test_what_is_not_read_is_never_clean(magic: bytes, tmp_path: Path) -> None:
    write(tmp_path, "a.bin", magic + bytes(100))
    report = scan(tmp_path)
    assert report.outcome is Outcome.INCOMPLETE
    assert int(report.exit_code) == 3


def test_an_encrypted_or_damaged_member_is_never_clean(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.txt": b"content"}))
    content[6] |= 1
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    write(tmp_path, "a.zip", bytes(content))
    report = scan(tmp_path)
    assert "archive/damaged" in found(report)
    assert report.unscanned


def test_a_list_of_contents_that_takes_all_memory_is_refused(tmp_path: Path) -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**31, 0, 0)
    with (tmp_path / "a.zip").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2**31 + 4)
        file.seek(0, 2)
        file.write(end)
    report = scan(tmp_path)
    assert report.outcome is not Outcome.CLEAN


def test_a_tar_whose_header_claims_gigabytes_is_not_read_whole(tmp_path: Path) -> None:
    member = special(b"L")
    member.size = 2**33
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.truncate(10 * 2**20)
    report = scan(tmp_path)
    assert report.unscanned
