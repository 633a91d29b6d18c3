from __future__ import annotations

import subprocess
import sys

CODE = """
import io, logging, logging.config, sys
sys.stderr = replaced = io.StringIO()
{first}
from privacy.accounting import Mechanism, epsilon
epsilon(Mechanism(1.0, 0.1, 3), 1e-5, "pld")
sys.stderr = sys.__stderr__
logging.config.dictConfig({{"version": 1}})
sys.exit(7 if replaced.closed else 0)
"""


def exit_code(first: str = "") -> int:
    return subprocess.run([sys.executable, "-c", CODE.format(first=first)], check=False).returncode


def test_configuring_logging_after_accounting_closes_no_stream() -> None:
    assert exit_code() == 0


def test_it_would_without_care() -> None:
    assert exit_code("import privacy.accounting.pld as pld; pld.keep_streams_open = lambda: None") == 7
