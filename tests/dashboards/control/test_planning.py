"""`assay plan` in a process of its own: its numbers, or its sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from dashboards.access.actor import Actor
from dashboards.access.roles import Role
from dashboards.control import planning
from dashboards.control.planning import plan
from dashboards.settings import Settings
from harness.errors import UsageError
from tests.tiny import make_checkpoint

ANNA = Actor("anna@example.org", Role.AUDITOR)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_checkpoint(tmp_path / "bert", "bert", "classifier")
    rows = [{"text": f"a text about number {at}", "label": at % 2} for at in range(60)]
    pd.DataFrame(rows).to_json(tmp_path / "data.jsonl", orient="records", lines=True)
    return Settings(tmp_path / "audits", None, folder=tmp_path)


def test_paths_are_relative_to_where_the_dashboard_was_started(settings: Settings) -> None:
    waited: list[float] = []
    spec = "checkpoint: bert\nprobes: [quality/classification]\ndata: {examples: data.jsonl}\nlimits: {cases: 20}\n"
    told = plan(ANNA, settings, spec, waiting=waited.append)
    assert [(each.name, each.cases, each.available) for each in told.probes] == [("quality/classification", 20, 60)]
    assert told.probes[0].seconds is not None
    assert told.parameters > 0
    assert waited
    assert not settings.output.exists()


def test_what_is_wrong_is_one_sentence_without_a_file_nobody_has_seen(settings: Settings) -> None:
    with pytest.raises(UsageError) as error:
        plan(ANNA, settings, "checkpoint: bert\npolicy: missing.yaml\n")
    assert "missing.yaml" in str(error.value)
    assert "assay-plan-" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_page_that_is_left_ends_the_planning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "words", lambda *_: [sys.executable, "-c", "import time; time.sleep(600)"])

    def left(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(ANNA, settings, "checkpoint: bert\n", waiting=left)


def test_a_program_that_prints_something_else_is_no_plan(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "words", lambda *_: [sys.executable, "-c", "print('{}')"])
    with pytest.raises(UsageError, match="could not be read"):
        plan(ANNA, settings, "checkpoint: bert\n")
