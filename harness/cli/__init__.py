"""`assay`: the command line. Thin: parses, calls the harness, prints, and turns errors into exit codes."""

from harness.cli.commands import app
from harness.cli.entry import main

__all__ = ["app", "main"]
