"""`assay`: the command line. Thin: parses, calls the harness, prints, and turns errors into exit codes."""

from harness.surroundings import shield, started_as_module

if started_as_module():
    shield()  # before anything else is imported: see there

from harness.cli.commands import app
from harness.cli.entry import main

__all__ = ["app", "main"]
