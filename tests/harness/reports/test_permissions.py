"""A permission that was given is in every format at every level, and so is how the checkpoint was confined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from harness.checkpoint import Permissions
from harness.reports.content.api import Level, ReportInput
from harness.reports.content.disclosure import disclose
from harness.reports.formats import as_json, card, comment, html, junit, markdown, sarif, step_summary
from harness.reports.formats.terminal import print_report
from tests.harness.reports.inputs import by_hand


def with_permissions(report: ReportInput, permissions: Permissions) -> ReportInput:
    """The same report of a checkpoint that was allowed something."""
    changes = {"permissions": permissions.notes(), "isolation": "none (its own code is run)"}
    checkpoint = report.manifest.checkpoint.model_copy(update=changes)
    return replace(report, manifest=report.manifest.model_copy(update={"checkpoint": checkpoint}))


FORMATS: dict[str, Callable[[ReportInput], str]] = {
    each.__name__.rpartition(".")[2]: each.render
    for each in (as_json, card, comment, html, junit, markdown, sarif, step_summary)
}


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_permission_is_in_every_format(name: str, level: Level) -> None:
    report = with_permissions(by_hand(), Permissions(pickle=True, remote_code=True, manifest_sources=True))
    content = FORMATS[name](disclose(report, level))
    assert [option for option in ("allow-pickle", "allow-remote-code", "trust-manifest") if option not in content] == []
    assert "allow-pickle" not in FORMATS[name](disclose(by_hand(), level))


def test_a_permission_is_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Console(width=200), with_permissions(by_hand(), Permissions(pickle=True)))
    assert "Permission --allow-pickle was given" in capsys.readouterr().out
