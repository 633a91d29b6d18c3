from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks import planted_plot
from benchmarks.planted_plot import TARGET, drawing

CASE = "bert, epsilon 8: membership/auc"


def test_each_value_stands_at_its_place_with_its_interval() -> None:
    cell = {"case": CASE, "value": 0.5, "interval": [0.25, 0.75]}
    tree = ElementTree.fromstring(drawing({CASE: cell}))
    space = "{http://www.w3.org/2000/svg}"
    (group,) = tree.findall(f"{space}g")
    (dot,), (line,) = group.findall(f"{space}circle"), group.findall(f"{space}line")
    left, right, at = float(line.attrib["x1"]), float(line.attrib["x2"]), float(dot.attrib["cx"])
    assert (at - left, right - at) == (90.0, 90.0)
    assert group.findtext(f"{space}title") == f"{CASE}: 0.5 [0.25, 0.75]"


def test_the_committed_plot_is_that_of_the_committed_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn = tmp_path / "planted.svg"
    monkeypatch.setattr("benchmarks.planted_plot.TARGET", drawn)
    planted_plot.main()
    assert drawn.read_text(encoding="utf-8") == TARGET.read_text(encoding="utf-8")
