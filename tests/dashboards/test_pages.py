from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from dashboards.settings import TRACKING_URI
from dashboards.widgets.reveal import LOG
from harness.base.stores import default_uri
from harness.errors import AuditError
from harness.gate.verdict import Comparison, Flips
from harness.record.folder import Status
from harness.record.rows import row_parts
from harness.tracking.log import log_audit
from tests.audit_folder import HOSTILE, make_audit
from tests.dashboards.attacked import write_attacked

APP = Path(__file__).parents[2] / "dashboards" / "app.py"
BLOCKED = "20260102T030405Z-sentiment-ab12"


@pytest.fixture(autouse=True)
def _environment(output: Path) -> None:
    """Every test has its own folder of audits."""


def visit(page: str = "", /, **query: str) -> AppTest:
    """The app after one run on a page, with the given query; fails on an exception."""
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    for name, value in query.items():
        app.query_params[name] = value
    app = app.switch_page(f"screens/{page}.py").run() if page else app
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    """Everything the page says outside of tables."""
    said = [app.title, app.header, app.subheader, app.markdown, app.text, app.caption, app.code]
    said += [app.info, app.warning, app.error, app.success]
    return "\n".join(str(element.value) for group in said for element in group).replace("\\", "")


def tables(app: AppTest) -> str:
    """Every cell of every table."""
    frames = [element.value for element in [*app.dataframe, *app.table]]
    return "\n".join(frame.to_csv(index=False) for frame in frames).replace("\\", "")


@pytest.mark.parametrize("page", ["", "audits", "audit", "compare", "attacks", "rows", "report"])
def test_without_audits_every_page_says_how_to_run_one(page: str) -> None:
    assert "assay run --checkpoint" in texts(visit(page))


def test_the_list_shows_every_audit_and_names_damage(output: Path) -> None:
    make_audit(output)
    make_audit(output, "20260103T000000Z-good-0001", passes=True)
    make_audit(output, "20260101T000000Z-stopped-0002", status=Status.INTERRUPTED)
    make_audit(output, "20251231T000000Z-bad-0003").manifest_path.write_text("{", encoding="utf-8")
    (table,) = visit("audits").dataframe
    assert list(table.value["verdict"]) == ["✔ pass", "✖ block", "– none yet", "! damaged"]
    assert list(table.value["gates"]) == ["2 passed", "1 passed, 1 blocked, 3 undecided", "", ""]
    assert "manifest.json: damaged at the top" in table.value["why"].iloc[3]
    assert table.value["why"].iloc[2] == "interrupted by the user"


def test_without_a_choice_the_newest_that_can_be_read_is_shown(output: Path) -> None:
    folder = make_audit(output)
    shutil.copytree(folder.path, output / "copy of it")
    make_audit(output, "20260103T000000Z-bad-0001").manifest_path.write_text("{", encoding="utf-8")
    for page in ("audit", "rows", "report"):
        assert visit(page).query_params["audit"] == BLOCKED
        assert visit(page, audit="gone").query_params["audit"] == BLOCKED
    assert "copy of it: says that it is" in texts(visit("audit", audit="copy of it"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_checkpoint_may_be_called_as_a_column_of_the_board_is(output: Path, language: str) -> None:
    make_audit(output, "20260103T000000Z-a-0001", spec={"name": "gate"})
    make_audit(output, "20260103T000000Z-b-0001", spec={"name": "门禁"})
    app = visit(lang=language)
    (grid,) = app.dataframe
    assert {"gate", "门禁"} < set(grid.value.columns)
    assert len(grid.value.columns) == 3


def test_the_list_can_be_searched(output: Path) -> None:
    make_audit(output)
    make_audit(output, "20260103T000000Z-good-0001", passes=True)
    app = visit("audits")
    app.text_input[0].set_value("BLOCKED").run()
    assert list(app.dataframe[0].value["audit"]) == [f"audit?audit={BLOCKED}"]


def test_an_audit_begins_with_its_verdict(output: Path) -> None:
    folder = make_audit(output)
    app = visit("audit", audit=BLOCKED)
    verdict = folder.verdict()
    assert verdict is not None
    (box,) = app.error
    assert box.value.startswith("**✖ BLOCK**")
    assert verdict.reason in texts(app)
    assert app.table[0].value["outcome"].iloc[0] == ":red-badge[✖ block]"
    shown = tables(app)
    assert "missing: no non-members are recorded" in shown
    assert "needs a causal LM or masked LM" in shown
    assert "the limit of 5 minutes was reached" in shown
    assert "It cannot tell: Whether the same holds" in texts(app)


def test_minor_metrics_are_shown_on_demand(output: Path) -> None:
    make_audit(output)
    app = visit("audit", audit=BLOCKED)
    assert "quality/classification/brier" not in tables(app)
    app.toggle[0].set_value(True).run()
    assert "quality/classification/brier" in tables(app)


def test_an_unfinished_audit_says_how_to_go_on(output: Path) -> None:
    folder = make_audit(output, status=Status.INTERRUPTED)
    said = texts(visit("audit", audit=BLOCKED))
    assert f"assay resume {folder.path}" in said
    assert "interrupted by the user" in said


def test_a_damaged_audit_and_an_unknown_one_leave_the_page_usable(output: Path) -> None:
    make_audit(output)
    make_audit(output, "20251231T000000Z-bad-0003").manifest_path.write_text("{", encoding="utf-8")
    assert "damaged at the top" in texts(visit("audit", audit="20251231T000000Z-bad-0003"))
    app = visit("audit", audit="no such audit")
    assert "No audit is called 'no such audit'" in texts(app)
    assert app.error[0].value.startswith("**✖ BLOCK**")  # the newest one


def test_rows_come_a_page_at_a_time_and_hidden_until_asked_for(output: Path) -> None:
    folder = make_audit(output, rows=10_000)
    app = visit("rows", audit=BLOCKED, probe="quality/classification")
    assert "10,000 of 10,000 rows; page 1 of 200" in texts(app)
    assert len(app.dataframe[0].value) == 50
    assert app.dataframe[0].value["text"].iloc[0].startswith("hidden (")
    assert set(app.dataframe[0].value["label"].dropna()) == {"negative", "positive"}  # few differ: no text to read
    assert not (output / LOG).exists()
    app.toggle(key="reveal").set_value(True).run()
    assert app.dataframe[0].value["text"].iloc[0].startswith("review 0:")
    app.run()
    (noted,) = map(json.loads, (output / LOG).read_text().splitlines())  # once in a session
    assert (noted["audit"], noted["probe"]) == (folder.path.name, "quality/classification")
    app = visit("rows", audit=BLOCKED, probe="quality/classification", page="200")
    app.toggle(key="reveal").set_value(True).run()
    assert app.dataframe[0].value["text"].iloc[0].startswith("review 9950:")


def test_texts_stay_hidden_where_showing_them_cannot_be_noted(output: Path) -> None:
    make_audit(output)
    (output / LOG).mkdir()
    app = visit("rows", audit=BLOCKED, probe="quality/classification")
    app.toggle(key="reveal").set_value(True).run()
    assert "Texts stay hidden" in texts(app)
    assert app.dataframe[0].value["text"].iloc[0].startswith("hidden (")


@pytest.mark.parametrize(
    ("page", "probe"), [("rows", "quality/classification"), ("attacks", "adversarial/deepwordbug")]
)
def test_a_search_in_hidden_texts_is_noted_or_not_made(output: Path, page: str, probe: str) -> None:
    write_attacked(make_audit(output))
    app = visit(page, audit=BLOCKED, probe=probe)
    assert not (output / LOG).exists()
    app.text_input(key="contains").set_value("nothing holds this").run()
    app.text_input(key="contains").set_value("nor this").run()
    (noted,) = map(json.loads, (output / LOG).read_text().splitlines())
    assert (noted["audit"], noted["probe"], noted["how"]) == (BLOCKED, probe, "search")
    app.toggle(key="reveal").set_value(True).run()
    assert ["how" in json.loads(line) for line in (output / LOG).read_text().splitlines()] == [True, False]
    (output / LOG).unlink()
    (output / LOG).mkdir()
    app = visit(page, audit=BLOCKED, probe=probe, contains="nothing holds this")
    assert "Texts stay hidden" in texts(app)
    assert "\n0 of" not in texts(app)
    assert "is left by these filters" not in texts(app)


def test_an_order_by_hidden_texts_is_noted_or_not_made(output: Path) -> None:
    make_audit(output)
    app = visit("rows", audit=BLOCKED, probe="quality/classification", sort="probability")
    assert not (output / LOG).exists()
    written = list(visit("rows", audit=BLOCKED, probe="quality/classification").dataframe[0].value["case_id"])
    app.selectbox(key="sort").set_value("text").run()
    (noted,) = map(json.loads, (output / LOG).read_text().splitlines())
    assert (noted["audit"], noted["how"]) == (BLOCKED, "sort")
    assert list(app.dataframe[0].value["case_id"]) != written
    (output / LOG).unlink()
    (output / LOG).mkdir()
    app = visit("rows", audit=BLOCKED, probe="quality/classification", sort="text")
    assert "Texts stay hidden" in texts(app)
    assert list(app.dataframe[0].value["case_id"]) == written


def test_rows_are_filtered_and_sorted(output: Path) -> None:
    make_audit(output, rows=200)
    app = visit("rows", audit=BLOCKED, probe="quality/classification")
    app.toggle(key="reveal").set_value(True).run()
    app.selectbox(key="status").set_value("error").run()
    assert "10 of 200 rows" in texts(app)
    assert set(app.dataframe[0].value["error"]) == {"the logits are NaN"}
    assert app.dataframe[0].value["probability"].isna().all()
    app.selectbox(key="status").set_value("ok").run()
    app.text_input(key="contains").set_value("WAS DULL").run()
    app.multiselect(key="by").set_value(["correct", "probability"]).run()
    app.multiselect(key="is.correct").set_value(["False"]).run()
    assert app.number_input(key="from.probability").proto.format == "%g"  # whose 0.0004 is not shown as 0.00
    app.number_input(key="from.probability").set_value(0.6).run()
    app.selectbox(key="sort").set_value("probability").run()
    app.toggle(key="descending").set_value(True).run()
    assert not app.exception
    frame = app.dataframe[0].value
    assert 0 < len(frame) < 50
    assert not frame["correct"].any()
    assert frame["text"].str.contains("was dull").all()
    assert frame["probability"].min() >= 0.6
    assert frame["probability"].is_monotonic_decreasing


def test_hidden_texts_are_nothing_to_choose_among(output: Path) -> None:
    make_audit(output, rows=20)  # so few differ that they could be chosen among
    app = visit("rows", audit=BLOCKED, probe="quality/classification", by="text")
    assert "its texts are hidden" in texts(app)
    assert not [choice for box in app.multiselect for choice in box.options if "the film was" in choice]
    app.toggle(key="reveal").set_value(True).run()
    assert [choice for box in app.multiselect for choice in box.options if "the film was" in choice]


def test_a_link_restores_filters_and_order(output: Path) -> None:
    make_audit(output, rows=200)
    link = {"status": "ok", "contains": "was dull", "by": "correct", "is.correct": "False", "sort": "probability"}
    app = visit("rows", audit=BLOCKED, probe="quality/classification", **link)
    frame = app.dataframe[0].value
    assert 0 < len(frame) < 50
    assert not frame["correct"].any()
    assert frame["probability"].is_monotonic_increasing


def test_a_row_can_be_linked_to_and_is_shown_as_plain_text(output: Path) -> None:
    folder = make_audit(output)
    case = folder.rows("adversarial/deepwordbug")["case_id"].iloc[0]
    app = visit("rows", audit=BLOCKED, probe="adversarial/deepwordbug", case=case)
    assert HOSTILE not in texts(app) + tables(app)
    assert f"hidden ({len(HOSTILE)} characters)" in tables(app)
    app.toggle(key="reveal").set_value(True).run()
    assert HOSTILE in [element.value for element in app.code]
    assert not [element for element in app.markdown if "<img" in element.value]
    assert "missing: no error" in tables(app)


def test_an_error_row_says_why_its_numbers_are_missing(output: Path) -> None:
    folder = make_audit(output)
    rows = folder.rows("quality/classification")
    case = rows.loc[rows["status"] == "error", "case_id"].iloc[0]
    app = visit("rows", audit=BLOCKED, probe="quality/classification", case=case)
    shown = app.table[0].value.set_index("column")["value"].str.replace("\\", "")
    assert shown["probability"] == "missing: the logits are NaN"
    assert "No row of this probe" in texts(visit("rows", audit=BLOCKED, probe="quality/classification", case="?"))


def test_a_probe_without_rows_and_a_damaged_part(output: Path) -> None:
    folder = make_audit(output)
    assert "bias/counterfactual has no rows" in texts(visit("rows", audit=BLOCKED, probe="bias/counterfactual"))
    (folder.path / "rows" / "quality__classification" / "part-000001.parquet").write_bytes(b"PAR1")
    app = visit("rows", audit=BLOCKED, probe="quality/classification")
    assert "part-000001.parquet" in texts(app)
    assert "40 of 40 rows" in texts(app)


def test_audits_known_to_mlflow_only_are_listed_once_and_opened(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = default_uri(tmp_path)
    log_audit(make_audit(output), uri, "assay")
    far = make_audit(tmp_path / "elsewhere", "20260105T000000Z-far-0009")
    log_audit(far, uri, "another experiment")
    monkeypatch.setenv(TRACKING_URI, uri)
    (table,) = visit("audits").dataframe
    assert list(table.value["where"]) == ["MLflow", "folder"]
    assert list(table.value["gates"]) == ["1 passed, 1 blocked, 3 undecided"] * 2
    app = visit("rows", audit="20260105T000000Z-far-0009", probe="adversarial/deepwordbug")
    assert "40 of 40 rows" in texts(app)


def test_a_release_that_only_mlflow_has_is_on_the_board(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = default_uri(tmp_path)
    log_audit(make_audit(tmp_path / "elsewhere", "20260105T000000Z-far-0009"), uri, "assay")
    monkeypatch.setenv(TRACKING_URI, uri)
    said = texts(visit())
    assert "In MLflow alone" in said
    assert "1 passed, 1 blocked, 3 undecided" in said


def test_attacks_opens_the_newest_audit_that_has_some(output: Path) -> None:
    write_attacked(make_audit(output))
    make_audit(output, "20260103T000000Z-newest-0001")  # its rows hold no attack
    assert "3 of 3 texts" in texts(visit("attacks"))
    app = visit("audit")  # the newest, since nobody has chosen one
    assert app.query_params["audit"] == "20260103T000000Z-newest-0001"
    app.query_params.clear()
    assert "3 of 3 texts" in texts(app.switch_page("screens/attacks.py").run())
    assert "No rows of this audit hold texts before and after an attack." in texts(
        visit("attacks", audit="20260103T000000Z-newest-0001")
    )


def test_an_unreachable_mlflow_is_a_warning(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_audit(output)
    monkeypatch.setenv(TRACKING_URI, "gopher://nowhere")
    app = visit("audits")
    assert "gopher://nowhere: MLflow failed" in texts(app)
    assert len(app.dataframe[0].value) == 1


def test_an_audit_stays_chosen_from_page_to_page(output: Path) -> None:
    make_audit(output, "20260103T000000Z-newest-0001")
    make_audit(output)
    make_audit(output, "20260101T000000Z-oldest-0002")
    app = visit("audit", audit=BLOCKED)
    app.query_params["probe"] = "adversarial/deepwordbug"
    app.switch_page("screens/rows.py").run()  # a link names the audit
    assert BLOCKED in app.query_params["audit"]
    assert app.selectbox(key="rows-audit").value == BLOCKED
    app.query_params.clear()
    app.switch_page("screens/audit.py").run()  # the menu does not
    assert BLOCKED in app.query_params["audit"]
    app.query_params["case"] = "some case"
    app.selectbox(key="audit-audit").set_value("20260101T000000Z-oldest-0002").run()
    assert "20260101T000000Z-oldest-0002" in app.query_params["audit"]
    assert "case" not in app.query_params


def test_a_stranger_sees_nothing(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_audit(output)
    monkeypatch.setattr("dashboards.server.door.admits", lambda _headers: False)
    app = visit()
    assert "does not answer to" in texts(app)
    assert not app.title
    assert BLOCKED not in texts(app) + tables(app)


def test_the_front_page_says_what_blocks(output: Path) -> None:
    make_audit(output, "20260101T000000Z-sentiment-0001", passes=True)
    make_audit(output)
    said = texts(visit())
    assert "1 blocked" in said
    assert "history ✔ ✖" in said
    assert "attack_success" in said
    assert "since 2026-01-02" in said


def test_attacked_texts_are_read_one_after_the_other(output: Path) -> None:
    folder = make_audit(output)
    write_attacked(folder)
    app = visit("attacks", audit=BLOCKED, probe="adversarial/deepwordbug")
    assert "3 of 3 texts" in texts(app)
    assert "case case-0" in texts(app)
    assert "a fine film" not in texts(app) + "".join(element.proto.body for element in app.get("html"))
    app.toggle(key="reveal").set_value(True).run()
    shown = "".join(element.proto.body for element in app.get("html"))
    assert "&lt;img" in shown
    assert "<img" not in shown
    next(button for button in app.button if button.label == "Next").click().run()
    assert "case case-1" in texts(app)
    app = visit("attacks", audit=BLOCKED, probe="adversarial/deepwordbug", outcome="failed")
    assert "1 of 3 texts" in texts(app)
    gone = visit("attacks", audit=BLOCKED, probe="adversarial/deepwordbug", case="gone")
    assert "No row of this probe has the case 'gone'" in texts(gone)


def test_outcomes_that_are_texts_are_hidden_as_others_are(output: Path) -> None:
    folder = make_audit(output)
    write_attacked(folder)
    (part,) = row_parts(folder.path, "adversarial/deepwordbug")
    table = pq.read_table(part)
    place = table.schema.get_field_index("outcome")
    pq.write_table(table.set_column(place, "outcome", pa.array(["her number is 1", "failed", "skipped"])), part)
    app = visit("attacks", audit=BLOCKED, probe="adversarial/deepwordbug")
    assert "3 of 3 texts" in texts(app)
    assert "her number" not in texts(app) + tables(app)
    assert app.selectbox(key="outcome").options == []
    app.toggle(key="reveal").set_value(True).run()
    assert "her number is 1" in tables(app)


def test_two_audits_are_compared_by_the_cases_of_both(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_audit(output)
    make_audit(output, "20260103T000000Z-good-0001", passes=True)
    case = str(folder.rows("quality/classification")["case_id"].iloc[0])
    worse = Comparison(
        metric="quality/classification/accuracy",
        baseline=0.9,
        candidate=0.8,
        regression=0.1,
        low=0.02,
        high=0.2,
        n=38,
        flips=Flips(worse=1, better=0, worse_ids=(case,)),
    )
    monkeypatch.setattr("dashboards.view_models.comparison.compared", lambda *_: [worse])
    app = visit("compare", audit="20260103T000000Z-good-0001", against=BLOCKED)
    assert app.dataframe[0].value["found"].tolist() == ["✖ worse"]
    assert app.dataframe[1].value["case_id"].tolist() == [case]
    assert app.dataframe[1].value["text"].iloc[0].startswith("hidden (")
    app.toggle(key=f"reveal-{BLOCKED}").set_value(True).run()
    assert app.dataframe[1].value["text"].iloc[0].startswith("review 0:")


def test_rows_that_cannot_be_read_leave_the_comparison(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_audit(output)
    make_audit(output, "20260103T000000Z-good-0001", passes=True)
    flips = Flips(worse=1, better=0, worse_ids=("a",))
    worse = Comparison(metric="quality/classification/accuracy", baseline=0.9, candidate=0.8, flips=flips)
    monkeypatch.setattr("dashboards.view_models.comparison.compared", lambda *_: [worse])

    def damaged(*_: object) -> None:
        raise AuditError("these rows cannot be read: torn")

    monkeypatch.setattr("dashboards.cache.rows", damaged)
    app = visit("compare", audit="20260103T000000Z-good-0001", against=BLOCKED)
    assert "cannot be read" in texts(app)
    assert len(app.dataframe) == 1


def test_audits_that_cannot_be_compared_say_why(output: Path) -> None:
    make_audit(output)
    make_audit(output, "20260103T000000Z-good-0001", passes=True)
    said = texts(visit("compare", audit="20260103T000000Z-good-0001", against=BLOCKED))
    assert "another version of the probe wrote them" in said  # they lack a column of the probe of that name


def test_a_report_is_made_at_each_level(output: Path) -> None:
    make_audit(output)
    app = visit("report", audit=BLOCKED, format="markdown", level="summary")
    assert "BLOCK" in texts(app)
    assert "assay run audit.yaml" not in texts(app)
    assert "assay run audit.yaml" in texts(visit("report", audit=BLOCKED, format="markdown"))
    hidden = visit("report", audit=BLOCKED, format="markdown", level="full")
    assert "Show texts" in texts(hidden)
    hidden.toggle(key="reveal").set_value(True).run()
    assert "review " in texts(hidden)


def test_a_page_leaves_no_script_for_processes_of_later_tests(output: Path) -> None:
    visit()
    assert getattr(sys.modules["__main__"], "__file__", "") == str(APP)  # what the fixture `main_module` puts right


def test_a_file_of_rows_is_made_when_asked_for_and_damage_met_then_is_one_sentence(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_audit(output)
    app = visit("rows", audit=BLOCKED, probe="quality/classification")
    app.toggle(key="reveal").set_value(True).run()
    assert list(app.get("download_button")) == []
    app.button(key="make-CSV").click().run()
    (saved,) = app.get("download_button")
    assert isinstance(saved, Element)
    assert str(saved.label).replace("\\", "") == f"Save {BLOCKED}-quality-classification.csv"

    def torn(*_: object) -> bytes:
        raise AuditError("these rows cannot be read: a part of them is damaged")

    monkeypatch.setattr("dashboards.rows.parquet_bytes", torn)
    app.button(key="make-Parquet").click().run()
    assert "No file was made: these rows cannot be read: a part of them is damaged" in texts(app)
    assert list(app.get("download_button")) == []
    assert not app.exception


def test_the_drawer_of_provenance_opens_by_its_button_and_by_a_link(output: Path) -> None:
    folder = make_audit(output)
    shut = visit("audit", audit=BLOCKED)
    assert "To run it again:" not in texts(shut)
    opened = shut.button(key="open-provenance").click().run()
    assert opened.query_params["panel"] == "provenance"
    for app in (opened, visit("audit", audit=BLOCKED, panel="provenance")):
        assert "To run it again:" in texts(app)
        assert "assay run audit.yaml" in texts(app)
        assert folder.manifest().checkpoint.fingerprint in tables(app)
        assert folder.manifest().checkpoint.weights in tables(app)
    assert "To run it again:" not in texts(visit("audit", audit=BLOCKED, panel="something"))
