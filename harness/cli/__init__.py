"""`assay`: the command line. Thin: parses, calls the harness, prints, and turns errors into exit codes."""

import sys
from pathlib import Path

from harness.base.surroundings import shield, started_as_module
from harness.errors import Exit

if started_as_module():
    shield()  # before anything else is imported: see there

try:
    from harness.cli.commands import app
    from harness.cli.entry import main
except Exception as error:  # a library that is missing or broken; Python itself would end with 1, which means blocked
    if Path(sys.argv[0]).stem not in {"assay", "-m"}:  # imported by another program
        raise
    sys.stderr.write(f"assay: cannot start, a library is missing or broken ({type(error).__name__}: {error})\n")
    raise SystemExit(Exit.FAILED) from error

__all__ = ["app", "main"]
