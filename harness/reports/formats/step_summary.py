"""The verdict for the summary page of a GitHub job: what a pull request gets, without its marker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from harness.base.files import explain
from harness.errors import UsageError
from harness.reports.content.api import ReportInput
from harness.reports.formats.comment import body

suffix = ".step.md"
default = False

VARIABLE = "GITHUB_STEP_SUMMARY"
_LONGEST = 900_000
"""Characters; GitHub shows no summary of a step above 1 MiB."""


def render(report: ReportInput) -> str:
    """The summary."""
    return body(report, _LONGEST)


def append(markdown: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Append to the file GitHub names in GITHUB_STEP_SUMMARY; False outside a GitHub job."""
    name = environment.get(VARIABLE)
    if not name:
        return False
    try:
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(f"{markdown}\n")
    except OSError as error:
        found = explain(error, Path(name))
        if found is error:
            raise UsageError(f"{VARIABLE}={name}: cannot be written ({error.strerror})") from error
        raise found from error
    return True
