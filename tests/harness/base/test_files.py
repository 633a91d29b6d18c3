"""An error of the operating system says where it happened and what to do, whatever its number."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.api.checkpoint import CheckpointSource
from harness.api.permissions import Permissions
from harness.base.files import explain, write_bytes
from harness.checkpoint.stage import stage
from harness.errors import AuditError, CheckpointError, UsageError
from tests.tiny import make_checkpoint


@contextmanager
def files_of_at_most(count: int) -> Iterator[None]:
    """No file of this process grows beyond `count` bytes, as after `ulimit -f`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_on_the_size_of_files_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_bytes(path, b"old")
    with (
        files_of_at_most(1000),
        pytest.raises(AuditError, match=r"state: is larger than a file may be here; raise the"),
    ):
        write_bytes(path, bytes(2000))
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_a_checkpoint_that_cannot_be_copied_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are written anew first: that error had no place, and the sentence was `File too large`."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    base = make_checkpoint(tmp_path / "base", "bert", "classifier")
    with (
        files_of_at_most(100),
        pytest.raises(CheckpointError, match=r"base.*: cannot be copied to be checked .File too"),
    ):
        stage(base, CheckpointSource(source=str(base)), Permissions())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_where_nothing_more_can_be_written(number: int) -> None:
    said = explain(OSError(number, os.strerror(number)), Path("run/state"))
    assert isinstance(said, AuditError)
    assert str(said).startswith("run/state: ")
    assert "a training with the same command, nothing is lost" in str(said)


def test_other_errors_keep_their_words_and_get_a_place() -> None:
    refused = explain(OSError(errno.EACCES, "Permission denied"), Path("run"))
    assert isinstance(refused, UsageError)
    found = explain(OSError(errno.EIO, "Input/output error"), Path("run/state"))
    assert isinstance(found, OSError)
    assert (found.errno, found.strerror, found.filename) == (errno.EIO, "Input/output error", "run/state")
    named = OSError(errno.EIO, "Input/output error", "elsewhere")
    assert explain(named, Path("run")) is named
    other = ValueError("no error of the system")
    assert explain(other, Path("run")) is other
