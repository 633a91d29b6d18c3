"""The Live page: what it says of each standing, and who is offered what."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.access.noted import ACTIONS
from dashboards.control import begin
from dashboards.settings import KEY, PERMISSIONS
from harness.api.metrics import Better, Metric
from harness.record.events import EventLog
from harness.record.folder import Status
from tests.audit_folder import HOSTILE, make_audit
from tests.dashboards.control.processes import working_on
from tests.dashboards.test_pages import tables, texts, visit

AUDIT = "20260102T030405Z-sentiment-ab12"
SECRET = "k" * 43


@pytest.fixture(autouse=True)
def _environment(output: Path) -> None:
    """Every test has its own folder of audits."""


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def bars(app: AppTest) -> str:
    return "\n".join(str(bar.proto.text) for bar in app.get("progress")).replace("\\", "")


def told(output: Path) -> EventLog:
    """Events of a running audit, hostile text among them."""
    log = EventLog(output / AUDIT)
    log.planned({"quality/classification": 40, "adversarial/deepwordbug": 40})
    log.started({"quality/classification": 0, "adversarial/deepwordbug": 0})
    log.progress("quality/classification", 10, 40, 10)
    metric = Metric(key="quality/classification/accuracy", value=0.75, n=10, better=Better.HIGHER)
    log.metrics([metric], final=False)
    log.warned("adversarial/deepwordbug", HOSTILE)
    return log


def test_without_a_running_audit_the_page_says_how_to_start_one(output: Path) -> None:
    make_audit(output)
    app = visit("live")
    assert "No audit is running." in texts(app)
    assert "assay run spec.yaml" in texts(app)
    assert labels(app) == []


def test_stopped_audits_are_listed_with_why(output: Path) -> None:
    make_audit(output, status=Status.INTERRUPTED)
    said = texts(visit("live"))
    assert "No audit is running." in said
    assert f"{AUDIT}: interrupted by the user" in said
    assert f"{AUDIT}: 被用户中断" in texts(visit("live", lang="zh"))


def test_a_running_audit_shows_how_far_it_is(output: Path) -> None:
    audit = make_audit(output, status=Status.RUNNING)
    told(output)
    with working_on(audit.path) as worker:
        app = visit("live")
        said = texts(app)
        assert f"Running: process {worker.pid}" in said
        assert "quality/classification — running · 10 of 40 cases" in bars(app)
        assert "quality/classification/accuracy,0.7500,10" in tables(app)
        assert "warning: adversarial/deepwordbug" in said
        assert app.query_params["audit"] == AUDIT
        assert labels(app) == []  # a viewer is offered nothing
        assert {each.label: each.value for each in app.metric}["Cases"] == "12.5 %"


def test_a_killed_audit_is_told_from_a_running_one(output: Path) -> None:
    audit = make_audit(output, status=Status.RUNNING)
    told(output)
    os.utime(audit.manifest_path, (0, 0))
    said = texts(visit("live", audit=AUDIT))
    assert "its process is gone" in said
    assert f"assay resume {audit.path}" in said


def test_an_audit_that_is_not_there_is_named(output: Path) -> None:
    make_audit(output)
    assert "No audit here is called '../x'" in texts(visit("live", audit="../x"))


def auditor(monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv(KEY, SECRET)
    app = visit("live", **query)
    app.session_state["access-key"] = SECRET
    return app.run()


def test_an_auditor_stops_it(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = make_audit(output, status=Status.RUNNING)
    told(output)
    with working_on(audit.path) as worker:
        app = auditor(monkeypatch, audit=AUDIT)
        assert labels(app) == ["Stop"]
        app.button[0].click().run()
        assert worker.stdout is not None
        assert worker.stdout.readline() == "interrupted\n"
        assert not app.exception
    (line,) = map(json.loads, (output / ACTIONS).read_text().splitlines())
    assert (line["user"], line["action"], line["audit"]) == ("holder of the key", "stop", AUDIT)


def test_a_button_of_a_page_drawn_before_the_role_was_lost_does_nothing(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = make_audit(output, status=Status.RUNNING)
    with working_on(audit.path) as worker:
        app = auditor(monkeypatch, audit=AUDIT)
        monkeypatch.setenv(KEY, "another " * 5)  # the server was started anew
        app.button[0].click().run()
        assert worker.poll() is None
        assert labels(app) == []
    assert not (output / ACTIONS).exists()


def test_an_auditor_resumes_it_under_what_the_dashboard_was_started_with(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = make_audit(output, status=Status.INTERRUPTED)
    spawned: list[list[str]] = []
    monkeypatch.setattr(begin, "_spawn", lambda settings, arguments, log: spawned.append([*arguments, str(log)]))
    monkeypatch.setenv(PERMISSIONS, "--allow-pickle --trust-manifest")
    app = auditor(monkeypatch, audit=AUDIT)
    assert labels(app) == ["Resume"]
    app.multiselect(key="live-permissions").set_value(["--trust-manifest"]).run()
    app.button[0].click().run()
    assert spawned == [["resume", str(audit.path), "--trust-manifest", str(audit.path / "console.log")]]
    assert labels(app) == []  # it is on its way
    assert "about to go on" in texts(app)
    shutil.rmtree(audit.path)
    app.run()
    assert not app.exception
    assert "No audit here is called" in texts(app)


def test_the_key_leaves_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    app = visit("start", key=SECRET)
    assert "key" not in app.query_params
    assert "Checkpoint" in [each.label for each in app.text_input]


@pytest.mark.parametrize("key", ["", "wrong", SECRET[:-1], SECRET + "k", "ключ"])
def test_another_key_opens_nothing(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    app = visit("start", key=key)
    assert "Here you may look at audits" in texts(app)
    assert [each.label for each in app.text_input] == ["Key"]


def test_without_allow_start_no_key_opens_anything() -> None:
    for key in ("", "k"):
        assert "assay dashboard --allow-start" in texts(visit("start", key=key))
