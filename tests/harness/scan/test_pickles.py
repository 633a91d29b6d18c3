"""Pickles are read as programs: under any name, in any archive, broken or disguised."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from harness.scan.budget import Budget, BudgetError
from harness.scan.finding import Outcome
from harness.scan.pickles.scan import Pickles, walk_pickles
from tests.harness.scan.inputs import MARKER, RUNS, Payload, found, scan, tarred, write, zipped

EVIL = pickle.dumps(Payload(), protocol=4)


def walked(content: bytes, *, known: bool = True, likely: bool = False) -> Pickles:
    return walk_pickles(io.BytesIO(content), Budget(), known=known, likely=likely)


def imports(content: bytes, *, known: bool = True) -> set[tuple[str | None, str | None]]:
    return {key for walk in walked(content, known=known).walks for key in walk.imports}


def old_tar(content: bytes) -> bytes:
    """A tar as of 1979: no magic, only a check sum."""
    member = tarfile.TarInfo("a")
    member.size = len(content)
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content.ljust(-(-len(content) // 512) * 512, b"\0") + bytes(1024)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "notes.txt", "picture.png", "config.json", "x", "a.npy", "a.jinja"]
)
def test_a_pickle_is_found_under_any_name(protocol: int, name: str, tmp_path: Path) -> None:
    write(tmp_path, name, pickle.dumps(Payload(), protocol=protocol))
    report = scan(tmp_path)
    assert "pickle/import" in found(report)
    assert any("posix.system" in finding.sentence for finding in report.findings)


@pytest.mark.parametrize(
    "content",
    [
        RUNS,
        b"(S'touch /nonexistent/marker'\niposix\nsystem\n.",  # INST calls what it imports
        b"(cposix\nsystem\nS'touch /nonexistent/marker'\no.",  # OBJ too
        b"cposix\nsystem\np0\n0(S'x'\ntp1\n0g0\ng1\nR.",  # through the memo
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x01x\x85R.",
        b"\x80\x04\x8c\x06system\x940\x8c\x05posixh\x00\x93.",
        b"\x80\x02(cposix\nsystem\n]o.",
        b"Vignored\n0cposix\nsystem\n(S'x'\ntR.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fcposix\nsystem\n(\x8c\x01xtR.",  # a frame that cannot be
        b"\x80\x04cposix\nsystem\n\x8c\x01x\x85\x81.",
        b"\x80\x04cposix\nsystem\n\x8c\x01x\x85}\x92.",
    ],
    ids=lambda content: repr(content)[:40],
)
def test_every_way_to_import(content: bytes) -> None:
    assert ("posix", "system") in imports(content) or (None, None) in imports(content)


def test_what_stands_before_a_break_counts(tmp_path: Path) -> None:
    for number, end in enumerate((b"\xff", b"", b"0000000.", b"h\x63.", b"I\xff\n.")):
        write(tmp_path, f"{number}.bin", RUNS[:-1] + end)
        write(tmp_path, f"{number}.txt", RUNS[:-1] + end)
    report = scan(tmp_path)
    assert len([finding for finding in report.findings if finding.rule == "pickle/import"]) == 10


def test_pickles_that_follow_one_another(tmp_path: Path) -> None:
    write(tmp_path, "a.pkl", pickle.dumps(1) + pickle.dumps([2], 0) + EVIL)
    assert "pickle/import" in found(scan(tmp_path))


def test_an_import_made_of_computed_text_is_found() -> None:
    """The names come out of a call, or of a string too long to keep."""
    joined = b"\x80\x04cbuiltins\nstr\n\x8c\x05posix\x85R\x8c\x06system\x93."
    assert (None, None) in imports(joined)
    assert (None, None) in imports(b"\x80\x04X\x88\x13\0\0" + b"a" * 5000 + b"\x8c\x06system\x93.")


def test_plain_text_is_no_pickle(tmp_path: Path) -> None:
    texts = [
        "cat\ndog\nbird\n",
        "import os\nimport sys\n",
        "cos\nsystem\nof equations\n",
        "I am\nhere.\n",
        "c\n\n.",
        "0.5\n",
    ]
    for number, text in enumerate([*texts, "i\nthe\nof\n", "N.", "(l.", "}.", "# a\n", "V\u00fc\n."]):
        write(tmp_path, f"{number}.txt", text)
    report = scan(tmp_path)
    assert found(report) == set(), report.findings
    assert report.outcome is Outcome.CLEAN


def test_allowed_imports_are_notes(tmp_path: Path) -> None:
    values = OrderedDict(a=np.arange(3), b=np.float32(1), c={1, 2}, d=np.dtype("int8"))
    for protocol in range(2, 6):
        write(tmp_path, f"{protocol}.pkl", pickle.dumps(values, protocol))
    report = scan(tmp_path)
    assert found(report) == set(), report.findings
    assert {finding.rule for finding in report.findings} == {"pickle/present"}


def test_names_near_the_allowed_ones_are_not_allowed() -> None:
    from harness.scan.pickles.allowed import ALLOWED

    near = {
        "builtins": ["eval", "getattr", "exec", "type", "open", "__import__", "map"],
        "collections": ["OrderedDict.__class__", "_sys.modules"],
        "torch": ["load", "_utils._rebuild_tensor", "hub.load"],
        "torch.storage": ["_load_from_bytes"],
        "numpy": ["load", "loads", "f2py"],
        "operator": ["attrgetter", "methodcaller"],
        "Collections": ["OrderedDict"],
    }
    for key in ((module, name) for module, names in near.items() for name in names):
        assert key not in ALLOWED


@pytest.mark.parametrize(
    "kind", ["zip", "deflated", "tar", "gz", "bz2", "xz", "lzma", "zlib", "npy", "npz", "zip in tar.gz", "old tar"]
)
def test_a_pickle_in_an_archive_is_found(kind: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    np.save(out, np.array([Payload()], dtype=object), allow_pickle=True)
    inner = zipped({"archive/data.pkl": EVIL})
    content = {
        "zip": inner,
        "deflated": zipped({"a/b": EVIL}, zipfile.ZIP_DEFLATED),
        "tar": tarred(tarfile.TarInfo("a"), content=EVIL),
        "old tar": old_tar(EVIL),
        "gz": gzip.compress(EVIL),
        "bz2": bz2.compress(EVIL),
        "xz": lzma.compress(EVIL),
        "lzma": lzma.compress(EVIL, format=lzma.FORMAT_ALONE),
        "zlib": zlib.compress(EVIL),
        "npy": out.getvalue(),
        "npz": zipped({"a.npy": out.getvalue()}),
        "zip in tar.gz": gzip.compress(tarred(tarfile.TarInfo("x.bin"), content=inner)),
    }[kind]
    write(tmp_path, "data.bin", content)
    assert "pickle/import" in found(scan(tmp_path)), scan(tmp_path)


def test_a_large_argument_is_passed_over_not_kept() -> None:
    content = b"\x80\x04B" + (50_000_000).to_bytes(4, "little") + bytes(50_000_000) + b"0cposix\nsystem\n."
    assert ("posix", "system") in imports(content)


def test_a_length_beyond_the_end_is_a_break(tmp_path: Path) -> None:
    write(tmp_path, "a.pkl", b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x")
    report = scan(tmp_path)
    assert "pickle/broken" in found(report)
    assert report.unscanned


def test_time_ends_a_walk() -> None:
    ticks = iter(range(10**6))
    with pytest.raises(BudgetError, match="time was up"):
        walk_pickles(io.BytesIO(b"\x80\x04" + b"N0" * 100_000), Budget(5, lambda: float(next(ticks))), known=True)


def test_a_stack_or_memo_without_end_is_not_kept() -> None:
    scanned = walked(b"\x80\x04" + b"N" * 3_000_000)
    assert "stack" in scanned.incomplete
    assert not walked(b"\x80\x04" + b"N\x940" * 1000 + b"N.").incomplete


def test_nothing_of_all_this_has_run() -> None:
    assert not Path(MARKER).exists()
