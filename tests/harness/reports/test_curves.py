"""Curves in reports: drawn to scale, the same in numbers, escaped, at the levels that allow them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.api.curves import Curve, CurvePlot, Point
from harness.errors import AuditError
from harness.record.folder import CURVES, AuditFolder
from harness.reports.content.api import Level, ReportInput
from harness.reports.content.disclosure import disclose
from harness.reports.formats import as_json, html, markdown
from harness.reports.formats.curves import drawing, table
from tests.harness.reports.inputs import HOSTILE, by_hand
from tests.harness.reports.page import Page

SPACE = "{http://www.w3.org/2000/svg}"


def line(name: str, *points: tuple[float, float], **keys: object) -> Curve:
    return Curve.model_validate({"name": name, "points": [{"x": x, "y": y} for x, y in points], **keys})


def plot(key: str = "toy/share/roc", text: str = "", **keys: object) -> CurvePlot:
    measured = Curve(
        name=f"loss{text}",
        n=100,
        points=(Point(x=0.002, y=0.01, low=0.005, high=0.02), Point(x=0.1, y=0.5, low=0.4, high=0.6), Point(x=1, y=1)),
    )
    curves = (
        measured,
        line(f"chance{text}", (0.001, 0.001), (1, 1)),
        line("the claim allows", (0.001, 0.003), (0.1, 0.3), (1, 1), claimed=True),
    )
    values = {"title": f"ROC{text}", "x": f"false{text}", "y": f"true{text}", "note": f"as seen{text}", "log": True}
    return CurvePlot.model_validate({"key": key, "command": "assay roc AUDIT", "curves": curves, **values, **keys})


def report(*plots: CurvePlot) -> ReportInput:
    return replace(by_hand(), plots=plots)


def lines_of(svg: str) -> dict[str, list[tuple[float, float]]]:
    """Pixels of each line by its name."""
    found = {}
    for each in ElementTree.fromstring(svg).findall(f"{SPACE}polyline"):
        pairs = [point.split(",") for point in each.attrib["points"].split()]
        found[str(each.findtext(f"{SPACE}title"))] = [(float(x), float(y)) for x, y in pairs]
    return found


def test_both_axes_are_logarithmic_to_scale() -> None:
    lines = lines_of(drawing(plot()))
    low, high = lines["chance"]
    decade = (high[0] - low[0]) / 3
    assert decade == pytest.approx((low[1] - high[1]) / 3)
    first, second, last = lines["the claim allows"]
    assert second[0] - first[0] == pytest.approx(2 * decade, abs=0.2)
    assert first[1] - second[1] == pytest.approx(2 * decade, abs=0.2)
    assert last == high
    assert lines["loss"][0][0] - low[0] == pytest.approx(0.30103 * decade, abs=0.2)


def test_linear_axes_begin_at_nought() -> None:
    curve = line("one", (0, 0), (5, 2), (10, 4), n=3)
    [pixels] = lines_of(drawing(plot(log=False, curves=[curve]))).values()
    assert pixels[1] == pytest.approx(((pixels[0][0] + pixels[2][0]) / 2, (pixels[0][1] + pixels[2][1]) / 2))
    assert table(plot(log=False, curves=[curve]))[1][1:3] == [("2", "0"), ("4", "0")]


def test_the_table_says_the_same_in_numbers() -> None:
    header, rows = table(plot())
    assert header == ("false", "loss", "chance", "the claim allows")
    cells = {row[0]: row[1:] for row in rows}
    assert list(cells) == ["0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]
    assert cells["0.002"] == ("0.010 [0.0050, 0.020]", "0.0020", "0.0060")
    assert cells["0.05"] == ("0.010 [0.0050, 0.020]", "0.050", "0.150")
    assert cells["0.1"][0] == "0.500 [0.400, 0.600]"
    assert cells["1"] == ("1.00", "1.00", "1.00")


def test_a_page_draws_it_and_no_text_becomes_markup() -> None:
    for text in HOSTILE:
        page = Page(html.render(report(plot(text=f" {text}"))))
        assert set(page.tags) <= {*Page(html.render(report(plot()))).tags, "br", "wbr"}
        names = {name for name, _ in page.attributes}
        assert not names & {"href", "src", "style"}
        assert not [name for name in names if name.startswith("on")]


def test_a_drawing_is_well_formed_whatever_it_is_called() -> None:
    for text in HOSTILE:
        assert ElementTree.fromstring(drawing(plot(text=text))).tag == f"{SPACE}svg"


def test_the_figure_stands_with_its_probe_and_its_table() -> None:
    before, after = html.render(report()), html.render(report(plot()))
    assert "<figure>" not in before
    assert after.count("<polyline") == 3
    section = after[after.index("<h3>toy/share</h3>") : after.index("<h3>other/auc</h3>")]
    assert "<figure>" in section
    [numbers] = Page(after).tables_of("false")
    assert numbers.column("loss")[-1] == "1.00"


def test_other_formats_name_the_command_and_json_has_the_points() -> None:
    assert "ROC: 3 curves, drawn in the HTML report and by: assay roc AUDIT" in markdown.render(report(plot()))
    [said] = json.loads(as_json.render(report(plot())))["curves"]
    assert CurvePlot.model_validate(said) == plot()


def test_a_summary_shows_the_curves_of_what_is_gated_and_texts_are_masked() -> None:
    mail = "ann@example.com"
    full = report(plot(text=f" {mail}"), plot("other/auc/roc"), plot("un/gated/roc"))
    shown = {level: disclose(full, level).plots for level in Level}
    assert [each.key for each in shown[Level.SUMMARY]] == ["toy/share/roc", "other/auc/roc"]
    assert len(shown[Level.FINDINGS]) == len(shown[Level.FULL]) == 3
    assert mail not in shown[Level.FINDINGS][0].model_dump_json()
    assert shown[Level.FINDINGS][0].curves[0].points == plot().curves[0].points
    assert mail in shown[Level.FULL][0].title


def test_the_folder_keeps_them(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    assert folder.curves() == []
    folder.write_curves([plot()])
    assert folder.curves() == [plot()]
    for damage in ("{", "[{}]", json.dumps([{**plot().model_dump(), "curves": []}])):
        (tmp_path / CURVES).write_text(damage)
        with pytest.raises(AuditError, match=r"curves\.json"):
            folder.curves()
    folder.write_curves([])
    assert not (tmp_path / CURVES).exists()


def test_what_a_claim_allows_can_be_left_out() -> None:
    left = plot().without_claimed()
    assert left is not None
    assert [each.name for each in left.curves] == ["loss", "chance"]
    assert plot(curves=[line("a", (1, 1), claimed=True)]).without_claimed() is None


def test_points_stand_in_order() -> None:
    with pytest.raises(ValidationError, match="in the order of x"):
        line("back", (1, 1), (0.5, 1))


@pytest.mark.parametrize(("low", "high"), [(-1e308, 1e308), (0.0, float("inf")), (float("nan"), 1.0)])
def test_numbers_whose_distance_is_none_are_damage(low: float, high: float, tmp_path: Path) -> None:
    kept = json.loads(plot().model_dump_json())
    kept["curves"][0]["points"] = [{"x": 0.1, "y": low}, {"x": 1, "y": high}]
    (tmp_path / CURVES).write_text(json.dumps([kept]))
    with pytest.raises(AuditError, match=r"curves.json: damaged at 0.curves.0.points"):
        AuditFolder(tmp_path).curves()
