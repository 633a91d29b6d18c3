from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dashboards.kinds import Measure
from harness.api.declared import MeanOf
from harness.api.metrics import Better
from tests.dashboards.kinds.shown import audit_with, declared, shown
from tests.dashboards.kinds.third import ROWS, Gap


class Newer(Gap):
    version = "2"


class Fails(Gap):
    def declared(self) -> tuple[MeanOf, ...]:
        raise RuntimeError("no")


def test_units_meanings_and_slices_are_those_of_the_plugin(tmp_path: Path) -> None:
    folder = audit_with(tmp_path, "third/gap", ROWS, Gap)
    said = declared(folder, "third/gap", Gap)
    assert (said.columns["gap"].type, said.columns["gap"].unit) == ("double", "nats")
    assert said.columns["axis"].meaning == "which axis"
    assert said.measures == (Measure("gap", "nats", Better.LOWER, ("axis",), "template", sliced=True, adds=True),)
    assert isinstance(said.installed, Gap)


@pytest.mark.parametrize("installed", [None, Newer, Fails])
def test_without_its_plugin_rows_and_metrics_still_tell(tmp_path: Path, installed: type[Gap] | None) -> None:
    folder = audit_with(tmp_path, "third/gap", ROWS, Gap)
    said = declared(folder, "third/gap", installed)
    assert said.columns["gap"].type == "double"
    assert said.columns["gap"].unit == ""
    assert said.measures == (Measure("gap", "nats", Better.LOWER, sliced=True),)
    assert said.installed is None


class Centred(Gap):
    metrics = (MeanOf("gap", Better.TARGET, "gap", target=0.5),)


@pytest.mark.parametrize("installed", [Centred, None])
def test_the_target_is_the_metrics_own(tmp_path: Path, installed: type[Gap] | None) -> None:
    (measure,) = declared(audit_with(tmp_path, "third/gap", ROWS, Centred), "third/gap", installed).measures
    assert measure.target == 0.5


def test_texts_are_hidden_in_rows_and_labels_until_they_are_asked_for(tmp_path: Path) -> None:
    folder = audit_with(tmp_path, "third/gap", ROWS, Gap)
    hidden, read = shown(folder, "third/gap", Gap), shown(folder, "third/gap", Gap, readable=True)
    frame = pd.DataFrame({"template": ROWS["template"], "axis": ROWS["axis"]})
    assert hidden.hidden == ("template",)
    assert list(hidden.masked(frame)["template"])[:2] == ["hidden (9 characters)", "hidden (11 characters)"]
    assert list(hidden.names("template", frame["template"])) == ["template 1", "template 2", "template 1", "template 3"]
    assert list(hidden.names("axis", frame["axis"])) == ["a", "a", "b", "b"]
    assert list(read.names("template", frame["template"])) == ROWS["template"]
    assert read.masked(frame).equals(frame)
    assert {metric.slice for metric in hidden.metrics} == {"", "a", "b"}
