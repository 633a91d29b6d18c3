"""Who signed in sees and does what the file of roles says, asked anew each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards.settings import KEY, OUTPUT, PERMISSIONS, ROLES, TRACKING_URI
from dashboards.widgets.reveal import LOG
from tests.audit_folder import make_audit
from tests.dashboards.test_pages import texts, visit

APP = Path(__file__).parents[3] / "dashboards" / "app.py"
AUDIT = "20260102T030405Z-sentiment-ab12"
ANNA = {"is_logged_in": True, "email": "anna@example.org", "email_verified": True, "sub": "1"}
BEN = {"is_logged_in": True, "email": "ben@example.org", "email_verified": True, "sub": "2"}


@pytest.fixture(autouse=True)
def roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(OUTPUT, str(tmp_path / "audits"))
    for name in (TRACKING_URI, KEY, PERMISSIONS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    make_audit(tmp_path / "audits")
    file = tmp_path / "roles.yaml"
    file.write_text("default: viewer\nemails: {anna@example.org: auditor}\n")
    monkeypatch.setenv(ROLES, str(file))
    st.cache_data.clear()
    return file


def front(monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]) -> AppTest:
    monkeypatch.setattr("dashboards.access.actor.claims", lambda: claims)
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    return app


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


@pytest.mark.parametrize("claims", [{}, {"is_logged_in": False}, {"is_logged_in": "yes", "email": "anna@example.org"}])
def test_nobody_sees_anything_before_signing_in(claims: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    app = front(monkeypatch, claims)
    assert labels(app) == ["Sign in"]
    assert "sentiment" not in texts(app)


def test_an_auditor_may_start_and_a_viewer_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Signed in as anna@example.org, auditor" in texts(front(monkeypatch, ANNA))
    assert "Checkpoint" in [each.label for each in visit("start").text_input]
    assert "Signed in as ben@example.org, viewer" in texts(front(monkeypatch, BEN))
    said = texts(visit("start"))
    assert "ben@example.org; the file of roles makes you a viewer" in said
    assert "allow-start" not in said


def test_who_is_in_no_file_is_refused_where_it_says_so(roles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roles.write_text("emails: {anna@example.org: auditor}\n")
    app = front(monkeypatch, BEN)
    assert "signed in as ben@example.org, who has no role here" in texts(app)
    assert labels(app) == ["Sign out"]
    assert "Releases" not in texts(app)


def test_a_role_is_gone_with_the_next_click(roles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    front(monkeypatch, ANNA)
    app = visit("start")
    app.text_input(key="start-checkpoint.source").set_value("model").run()
    assert "Plan" in labels(app)
    roles.write_text("default: viewer\n")
    app.button[0].click().run()
    assert "Here you may look at audits" in texts(app)


def test_a_file_that_went_wrong_lets_nobody_in_and_says_so(roles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roles.write_text("default: everybody\n")
    app = front(monkeypatch, ANNA)
    assert "The file of roles cannot be read" in texts(app)
    assert "Releases" not in texts(app)


def test_a_reveal_names_who_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    front(monkeypatch, BEN)
    app = visit("rows", audit=AUDIT, probe="quality/classification")
    app.toggle(key="reveal").set_value(True).run()
    (line,) = (tmp_path / "audits" / LOG).read_text().splitlines()
    assert json.loads(line)["user"] == "ben@example.org"
