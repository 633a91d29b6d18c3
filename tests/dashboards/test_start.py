"""The Start page: errors where they were typed, the plan before the button, and one start per button."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards.control import begin, planning
from dashboards.settings import KEY, OUTPUT, PERMISSIONS, ROLES, TRACKING_URI
from harness.audit.plan_summary import PlanSummary, ProbeSummary
from harness.errors import UsageError
from tests.audit_folder import HOSTILE
from tests.dashboards.test_pages import tables, texts, visit

SECRET = "k" * 43
PLAN = PlanSummary(
    checkpoint=HOSTILE,
    architecture="BertForSequenceClassification",
    parameters=22_700_000,
    offers=("classifier",),
    fingerprint="ab" * 32,
    notes=(HOSTILE,),
    probes=(
        ProbeSummary(name="quality/a", cases=20, available=60, data={"examples": 60}, tokens=2_000, seconds=100.0),
        ProbeSummary(name="quality/b", cases=10, available=10, data={}, tokens=500, seconds=20.0),
    ),
    weight_bytes=2**30,
    not_applicable={"bias/x": "needs a causal LM"},
    no_data={},
    unused=("models.judge",),
    plugin_errors={},
)


@pytest.fixture(autouse=True)
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(OUTPUT, str(tmp_path / "audits"))
    (tmp_path / "audits").mkdir()
    for name in (TRACKING_URI, ROLES, PERMISSIONS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    st.cache_data.clear()
    return tmp_path / "audits"


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Command lines that would have been started."""
    found: list[list[str]] = []

    def spawn(settings: object, arguments: list[str], log: Path) -> int:
        found.append([str(word) for word in arguments])
        return 2**22 + 1

    monkeypatch.setattr(begin, "_spawn", spawn)
    return found


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Specs that were planned, by a plan that is known."""
    specs: list[str] = []

    def plan(actor: Any, settings: object, spec: str, permissions: object, waiting: object) -> PlanSummary:
        actor.require_auditor("plan an audit")
        specs.append(spec)
        if "unknown" in spec:
            raise UsageError("unknown: no such folder")
        return PLAN

    monkeypatch.setattr(planning, "plan", plan)
    return specs


def page() -> AppTest:
    return visit("start", key=SECRET)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_an_empty_form_complains_of_nothing_and_starts_nothing() -> None:
    app = page()
    assert labels(app) == []
    assert "needed" not in texts(app)


def test_an_error_stands_where_it_was_typed() -> None:
    app = page()
    app.text_input(key="start-checkpoint.source").set_value("model").run()
    app.text_area(key="start-more").set_value("probs: [quality]").run()
    assert "probs: no such key" in texts(app)
    assert labels(app) == []
    app.text_area(key="start-more").set_value("").run()
    assert labels(app) == ["Plan"]


def test_the_plan_comes_before_the_button_and_belongs_to_one_spec(
    planned: list[str], spawned: list[list[str]], output: Path
) -> None:
    app = page()
    app.text_input(key="start-checkpoint.source").set_value("model\n--allow-pickle").run()
    app.multiselect(key="start-probes").set_value(["quality"]).run()
    app.number_input(key="start-limits.cases").set_value(20).run()
    assert "limits:\n  cases: 20" in texts(app)  # the YAML to copy
    app.button[0].click().run()
    assert len(planned) == 1
    assert 'quality/a,20 of 60,"2,000"' in tables(app)
    shown = {each.label: each.value for each in app.metric}
    assert (shown["CPU time, about"], shown["Tokens, about"]) == ("2 min", "2,500")
    assert "needs a causal LM" in tables(app)
    assert any("no probe of this audit asks for it" in caption.value for caption in app.caption)
    assert labels(app) == ["Plan", "Start"]
    app.number_input(key="start-limits.cases").set_value(30).run()
    assert labels(app) == ["Plan"]  # that plan was of another spec
    app.number_input(key="start-limits.cases").set_value(20).run()
    app.button[1].click().run()
    (words,) = spawned
    (folder,) = (output / "starts").iterdir()
    assert words == ["run", str(folder / "spec.yaml")]
    assert (folder / "spec.yaml").read_text() == planned[0]
    assert app.query_params["start"] == folder.name
    assert "It ended before there was an audit" in texts(app)  # of a process that never was


def test_what_cannot_be_planned_is_a_sentence_and_no_start(planned: list[str]) -> None:
    app = page()
    app.text_input(key="start-checkpoint.source").set_value("unknown").run()
    app.button[0].click().run()
    assert "unknown: no such folder" in texts(app)
    assert labels(app) == ["Plan"]


def test_permissions_are_those_the_dashboard_was_started_with(
    planned: list[str], spawned: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page()
    assert "start-permissions" not in [each.key for each in app.multiselect]
    monkeypatch.setenv(PERMISSIONS, "--allow-pickle")
    app = page()
    app.text_input(key="start-checkpoint.source").set_value("model").run()
    assert app.multiselect(key="start-permissions").options == ["--allow-pickle"]
    app.multiselect(key="start-permissions").set_value(["--allow-pickle"]).run()
    app.button[0].click().run()
    app.button[1].click().run()
    assert spawned[0][2:] == ["--allow-pickle"]
