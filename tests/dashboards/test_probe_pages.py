"""Pages that assemble themselves from the views that fit what a probe declares."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.folder_key import folder_key
from dashboards.kinds import find_views
from dashboards.kinds.view import digest
from dashboards.widgets.reveal import LOG
from harness.api.registry import Found, find_probes
from harness.gate.verdict import Comparison
from harness.record.folder import Status
from tests.audit_folder import make_audit
from tests.dashboards.kinds.shown import BLOCKED, audit_with
from tests.dashboards.kinds.third import ROWS, Gap
from tests.dashboards.test_pages import tables, texts, visit


@pytest.fixture(autouse=True)
def _environment(output: Path) -> None:
    """Every test has its own folder of audits."""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third party's plug-in is there."""
    monkeypatch.setattr("dashboards.cache.find_probes", lambda: Found({Gap.name: Gap}, {}))


def view_of(app: AppTest) -> str:
    """The view that is shown."""
    (choice,) = (group for group in app.button_group if "-view-" in str(group.key))
    return str(choice.value)


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
    assert "quality/classification/accuracy" not in tables(app)  # what is closed is not sent
    app.session_state["numbers-quality/classification"] = True
    app.run()
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
    assert view_of(app) == "distribution"
    assert "n = 4, 0 without a value" in texts(app)
    assert {key: app.query_params[key] for key in wanted} == wanted
    app.selectbox(key="probe-probe").set_value("quality/classification").run()
    assert not app.exception
    assert app.query_params["probe"] == "quality/classification"
    assert "distribution.column" not in app.query_params


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


@pytest.mark.usefixtures("installed")
def test_a_cell_by_address_shows_its_rows_hidden_until_asked_for(output: Path) -> None:
    audit_with(output, "third/gap", ROWS, Gap)
    cell = {"groups.across": digest("b", folder_key(output)), "groups.down": digest("my secret", folder_key(output))}
    app = visit("probe", audit=BLOCKED, probe="third/gap", view="groups", **cell)
    assert "Rows behind this cell: 1" in texts(app)
    shown = app.dataframe[-1].value
    assert shown["gap"].tolist() == [0.3]
    assert shown["template"].tolist() == ["hidden (9 characters)"]
    assert shown["row"].iloc[0].endswith("case=case-2")
    assert "secret" not in tables(app) + texts(app)
    app.toggle(key="reveal").set_value(True).run()
    assert app.dataframe[-1].value["template"].tolist() == ["my secret"]


@pytest.mark.usefixtures("installed")
def test_a_cell_can_be_chosen_by_name_and_an_unknown_one_is_none(output: Path) -> None:
    audit_with(output, "third/gap", ROWS, Gap)
    app = visit("probe", audit=BLOCKED, probe="third/gap", view="groups", **{"groups.across": "nothing"})
    assert "Click a cell, or choose one by name" in texts(app)
    across, down = (box for box in app.selectbox if box.label in ("axis", "template"))
    across.set_value(digest("a", folder_key(output)))
    down.set_value(digest("my secret", folder_key(output))).run()
    assert app.dataframe[-1].value["gap"].tolist() == [0.1]
    assert app.query_params["groups.down"] == digest("my secret", folder_key(output))


def test_the_metrics_of_a_probe_without_its_plugin_stand_by_slice(output: Path) -> None:
    audit_with(output, "third/gap", ROWS, Gap)
    app = visit("probe", audit=BLOCKED, probe="third/gap")
    assert view_of(app) == "slices"
    assert "masked: n is under 30" in tables(app)
    app.number_input(key="slices-fewest").set_value(1).run()
    assert "masked" not in tables(app)
    assert app.query_params["slices.fewest"] == "1"


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("answers", "n = 6, of which 4 are right"),
        ("reliability", "n = 6; mean confidence 75 %, right 66.67 %"),
        ("risk-coverage", "n = 6; answering all, 33.33 % are wrong"),
        ("efficiency", "Seconds in the model, by probe"),
    ],
)
def test_each_view_of_a_classifier_is_drawn(output: Path, view: str, said: str) -> None:
    sure = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    rows: dict[str, list[Any]] = {
        "probabilities": [[p, 1 - p] for p in sure],
        "label": [0, 0, 1, 0, 1, 0],
        "predicted": [0] * 6,
    }
    audit_with(output, "third/class", rows)
    app = visit("probe", audit=BLOCKED, probe="third/class", view=view)
    assert view_of(app) == view
    assert said in texts(app)
    assert not app.error


def test_bits_by_length_are_drawn(output: Path) -> None:
    rows: dict[str, list[Any]] = {"nll": [7.0, 8.0], "bytes": [10, 20], "kind": ["causal"] * 2}
    audit_with(output, "quality/perplexity", rows, find_probes().probes["quality/perplexity"], [])
    app = visit("quality", audit=BLOCKED, probe="quality/perplexity", view="lengths")
    assert view_of(app) == "lengths"
    assert "2 texts in parts of equal size" in texts(app)
    assert app.dataframe[-1].value["bits per byte"].tolist() == ["1.010", "0.5771"]


def test_a_view_that_fails_and_one_that_does_not_load_leave_the_page(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit_with(output, "third/gap", ROWS, Gap)
    here = "tests.dashboards.kinds.test_registry"
    named = {"efficiency": "dashboards.kinds.efficiency:Efficiency", "fails": f"{here}:Breaks", "gone": f"{here}:Gone"}
    points = [EntryPoint(name, value, "assay.views") for name, value in named.items()]
    monkeypatch.setattr("dashboards.cache.find_views", lambda: find_views(points))
    app = visit("probe", audit=BLOCKED, probe="third/gap", view="breaks")
    assert "The view breaks failed: ZeroDivisionError" in texts(app)
    assert f"A view cannot be used: gone = {here}:Gone" in texts(app)
    assert "How often and how surely" in texts(app)


def test_the_audit_shows_metrics_by_suite_and_leads_to_slices(output: Path) -> None:
    folder = make_audit(output)
    app = visit("audit", audit=BLOCKED)
    assert [each.value for each in app.subheader] == ["quality", "adversarial", "bias", "memorization"]
    assert "No metric has a value; the table says why." in texts(app)
    assert "Ring: the baseline's value" not in texts(app)
    labels = [link.proto.label.replace("\\", "") for link in app.get("page_link")]
    assert "Slices of quality/classification, with n" in labels
    verdict = folder.verdict()
    assert verdict is not None
    compared = Comparison(metric="quality/classification/accuracy", baseline=0.8)
    first = verdict.gates[0].model_copy(update={"comparison": compared})
    folder.write_verdict(verdict.model_copy(update={"gates": (first, *verdict.gates[1:])}))
    assert "Ring: the baseline's value" in texts(visit("audit", audit=BLOCKED))
