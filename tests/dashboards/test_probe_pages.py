"""Pages that assemble themselves from the views that fit what a probe declares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards.reveal import LOG
from dashboards.settings import OUTPUT, TRACKING_URI
from harness.record.folder import Status
from tests.audit_folder import make_audit
from tests.dashboards.kinds.shown import BLOCKED, audit_with
from tests.dashboards.kinds.third import ROWS, Gap
from tests.dashboards.test_pages import tables, texts, visit


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OUTPUT, str(tmp_path / "audits"))
    monkeypatch.delenv(TRACKING_URI, raising=False)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "audits"


def views_of(app: AppTest) -> list[str]:
    """Titles of the views that can be chosen."""
    (choice,) = app.button_group
    return [getattr(option, "content", str(option)) for option in choice.options]


@pytest.mark.parametrize("page", ["bias", "quality", "probe"])
def test_without_audits_the_page_says_how_to_run_one(page: str) -> None:
    assert "assay run --checkpoint" in texts(visit(page))


def test_a_suite_without_a_probe_is_said(output: Path) -> None:
    manifest = (folder := make_audit(output)).manifest()
    folder.write_manifest(manifest.model_copy(update={"probes": ()}))
    assert "No probe of this audit is of the suite bias." in texts(visit("bias", audit=BLOCKED))
    assert "This audit has no probes." in texts(visit("probe", audit=BLOCKED))


def test_a_probe_says_what_it_measures_and_what_it_cannot_tell(output: Path) -> None:
    make_audit(output)
    app = visit("quality", audit=BLOCKED, probe="quality/classification")
    said = texts(app)
    assert "How often and how surely the classifier is right." in said
    assert "It cannot tell: Whether the same holds" in said
    assert "quality/classification/accuracy" in tables(app)
    assert "adversarial/deepwordbug" not in tables(app)


def test_a_probe_without_rows_and_an_unfinished_audit_are_said(output: Path) -> None:
    make_audit(output, status=Status.INTERRUPTED)
    said = texts(visit("bias", audit=BLOCKED))
    assert "This audit is not finished (interrupted): its rows so far." in said
    assert "bias/counterfactual has no rows." in said
    assert "No number of this probe yet." in said


def test_a_link_restores_probe_view_and_column(output: Path) -> None:
    audit_with(output, "third/gap", ROWS, Gap)
    wanted = {"audit": BLOCKED, "probe": "third/gap", "view": "distribution", "distribution.column": "gap"}
    app = visit("probe", **wanted)
    assert app.button_group[0].value == "distribution"
    assert "n = 4, 0 without a value" in texts(app)
    assert {key: app.query_params[key] for key in wanted} == wanted
    app.selectbox(key="probe-probe").set_value("quality/classification").run()
    assert not app.exception
    assert app.query_params["probe"] == "quality/classification"
    assert app.query_params["distribution.column"] != wanted["distribution.column"]


def test_who_asked_for_texts_is_noted(output: Path) -> None:
    audit_with(output, "third/gap", ROWS, Gap)
    app = visit("probe", audit=BLOCKED, probe="third/gap")
    assert not (output / LOG).exists()
    app.toggle(key="reveal").set_value(True).run()
    (noted,) = map(json.loads, (output / LOG).read_text().splitlines())
    assert noted["probe"] == "third/gap"


def test_a_damaged_part_is_said_and_the_rest_is_shown(output: Path) -> None:
    folder = audit_with(output, "third/gap", ROWS, Gap)
    (folder.path / "rows" / "third__gap" / "part-000001.parquet").write_bytes(b"PAR1")
    app = visit("probe", audit=BLOCKED, probe="third/gap", view="distribution")
    assert "A part of these rows is damaged and left out. part-000001.parquet" in texts(app)
    assert "n = 4" in texts(app)
