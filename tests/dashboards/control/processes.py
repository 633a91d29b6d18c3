"""Processes that work on an audit as far as its lock can tell, for tests of what stops them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import signal, sys, time
from pathlib import Path
from harness.record.lock import writing
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever starts the tests may have it ignored
if "ignore" in sys.argv:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    def end(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, end)
with writing(Path(sys.argv[1])):
    try:
        print("held", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@contextmanager
def working_on(audit: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the audit's lock, and says when it is interrupted."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(audit), *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
