"""Declared metrics against sums written out by hand."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.declared import (
    By,
    Computed,
    ControlRows,
    Declared,
    MeanOf,
    Named,
    RatioOf,
    Rows,
    ShareOf,
    declared_columns,
    declared_values,
    equal,
    measure_declared,
    named_metrics,
    of,
)
from harness.api.estimates import POSITIVE, UNIT
from harness.api.metrics import Better, Control, Metric
from harness.baseline.pairs import Rule, compare_values, pair
from harness.stats.intervals import clopper_pearson

N = 30
RNG = np.random.default_rng(0)


def frame(errors: int = 2, excluded: int = 3) -> pd.DataFrame:
    columns = {
        "kind": np.where(np.arange(N) % 3 == 0, "a", "b"),
        "group": np.where(np.arange(N) % 5 == 0, "", "g"),
        "x": RNG.random(N),
        "y": RNG.integers(1, 9, N),
        "hit": RNG.random(N) < 0.4,
        "maybe": np.where(np.arange(N) % 4 == 0, np.nan, 1.0),
        "family": np.arange(N) // 3,
    }
    rows = pd.DataFrame({"case_id": [f"c{at}" for at in range(N)], "status": "ok", "error": None, **columns})
    rows = rows.astype(dict.fromkeys(columns, object))
    for status, start, stop in (("error", 0, errors), ("excluded", errors, errors + excluded)):
        rows.loc[start : stop - 1, list(columns)] = None
        rows.loc[start : stop - 1, "status"] = status
        rows.loc[start : stop - 1, "error"] = "no word"
    return rows


def measured(metric: Declared, rows: pd.DataFrame) -> dict[str, Metric]:
    return {one.slice: one for one in measure_declared((metric,), rows, "nothing ran")}


def test_a_mean_over_the_rows_that_count() -> None:
    rows = frame()
    good = rows[rows["status"] == "ok"]
    mine = good[good["kind"] == "a"]["x"].astype(float)
    found = measured(MeanOf("m", Better.LOWER, "x", over=equal("kind", "a"), unit="nats", bounds=UNIT), rows)[""]
    assert found.value == pytest.approx(mine.mean(), abs=1e-12)
    assert (found.n, found.missing, found.excluded, found.unit) == (len(mine), 2, 3, "nats")


def test_a_share_has_the_exact_interval_and_one_of_clusters_has_not() -> None:
    rows = frame()
    good = rows[rows["status"] == "ok"]
    hits, n = int(good["hit"].astype(bool).sum()), len(good)
    alone, related = (
        measured(ShareOf("s", Better.HIGHER, "hit", clusters=clusters), rows)[""] for clusters in (None, "family")
    )
    expected = clopper_pearson(hits, n)
    assert (alone.value, alone.low, alone.high, alone.n) == (hits / n, expected.low, expected.high, n)
    assert related.value == pytest.approx(hits / n, abs=1e-12)
    assert related.n == good["family"].nunique()
    assert "clusters" in related.interval
    assert ShareOf("s", Better.HIGHER, "hit").is_share
    assert not ShareOf("s", Better.HIGHER, "hit", clusters="family").is_share


def test_a_ratio_is_of_sums() -> None:
    rows = frame()
    good = rows[rows["status"] == "ok"]
    ratio = RatioOf("r", Better.LOWER, "x", "y", finish=np.exp, bounds=POSITIVE)
    expected = math.exp(good["x"].sum() / good["y"].sum())
    assert measured(ratio, rows)[""].value == pytest.approx(expected)


def test_a_row_without_a_value_is_missing_from_the_metric_alone() -> None:
    rows = frame()
    undefined = int(rows["maybe"].isna().sum()) - 5
    assert undefined > 0
    found = measured(MeanOf("m", Better.LOWER, "maybe", bounds=UNIT), rows)[""]
    assert (found.n, found.missing) == (N - 5 - undefined, 2 + undefined)
    values = declared_values((MeanOf("m", Better.LOWER, "maybe"),), rows, "m", "")
    assert values is not None
    assert np.isnan(np.asarray(values.above)).sum() == 5 + undefined


def test_slices_are_of_each_value_but_none_and_have_no_errors() -> None:
    rows = frame()
    good = rows[rows["status"] == "ok"]
    found = measured(ShareOf("s", Better.HIGHER, "hit", slices=By(("group", "kind"))), rows)
    assert list(found) == ["", "g", "a", "b"]
    for name, column in (("g", "group"), ("a", "kind"), ("b", "kind")):
        mine = good[good[column] == name]["hit"].astype(bool)
        assert (found[name].value, found[name].n, found[name].missing) == (mine.mean(), len(mine), 0)
        assert (found[name].headline, found[name].excluded) == (False, 0)


def sliced(**columns: list[Any]) -> dict[str, Any]:
    """A share by two columns: 5 good rows, then an error of each of two, an excluded one, and an error that says
    nothing."""
    status = ["ok"] * 5 + ["error", "error", "excluded", "error"]
    rows = pd.DataFrame({"case_id": list("abcdefghi"), "status": status, "error": [""] * 9, **columns})
    rows["hit"] = [True, False, True, True, False, None, None, None, None]
    return measured(ShareOf("s", Better.HIGHER, "hit", slices=By(tuple(columns))), rows)


def test_a_slice_has_its_own_missing_and_excluded_cases() -> None:
    found = sliced(way=["mail", "mail", "app", "app", "app", "mail", "phone", "app", None])
    assert list(found) == ["", "app", "mail", "phone"]
    assert (found[""].n, found[""].missing, found[""].excluded) == (5, 3, 1)
    assert (found["mail"].value, found["mail"].n, found["mail"].missing, found["mail"].excluded) == (0.5, 2, 1, 0)
    assert (found["app"].n, found["app"].missing, found["app"].excluded) == (3, 0, 1)
    assert (found["phone"].value, found["phone"].missing) == (None, 1)
    assert found["phone"].note == "no case of it has a result"


def test_a_value_of_two_columns_is_a_slice_of_each() -> None:
    found = sliced(way=["x", "x", "app", "app", "app"] + [None] * 4, by=["x", "y", "y", "x", "x"] + [None] * 4)
    assert {name: (each.n, each.value) for name, each in found.items() if name} == {
        "app": (3, 2 / 3),
        "way: x": (2, 0.5),
        "by: x": (3, 2 / 3),
        "y": (2, 0.5),
    }


@pytest.mark.parametrize(
    ("values", "names"), [([1, 2, 1, 10, 2], ["1", "10", "2"]), ([True, False] * 2 + [True], ["False", "True"])]
)
def test_slices_of_values_that_are_no_texts(values: list[Any], names: list[str]) -> None:
    for rest in ([values[0]] * 4, [None] * 4):  # a missing value makes floats of whole numbers
        found = sliced(stars=values + rest)
        assert [name for name in found if name] == names
        assert sum(each.n for name, each in found.items() if name) == 5


def test_what_it_is_not_about_is_left_out_and_what_does_not_count_is_missing() -> None:
    rows = frame()
    assert measured(MeanOf("m", Better.LOWER, "x", about=equal("kind", "c")), rows) == {}
    found = measured(MeanOf("m", Better.LOWER, "x", over=equal("kind", "c"), empty="no c"), rows)[""]
    assert (found.value, found.note, found.missing) == (None, "no c", 2)


def test_a_computation_about_no_row_is_not_made() -> None:
    named = Named("c", Better.LOWER)
    assert measured(Computed((named,), lambda *_: [named.none("x")], about=equal("kind", "c")), frame()) == {}
    assert list(measured(Computed((named,), lambda *_: [named.none("x")], about=equal("kind", "a")), frame())) == [""]


METRICS: tuple[Any, ...] = (
    MeanOf("mean", Better.LOWER, "x", over=equal("kind", "a"), clusters="family"),
    MeanOf("plain", Better.LOWER, "x"),
    ShareOf("share", Better.LOWER, of(operator.gt, "y", "x"), about=equal("kind", "b"), slices=By(("group",))),
    ShareOf("share", Better.LOWER, "hit", slice="fixed"),
    RatioOf("ratio", Better.LOWER, "x", "y", finish=np.exp),
)


@pytest.mark.parametrize(
    ("key", "part"), [("mean", ""), ("plain", ""), ("share", ""), ("share", "g"), ("share", "fixed"), ("ratio", "")]
)
def test_what_rows_add_sums_to_what_is_measured(key: str, part: str) -> None:
    rows = frame()
    only = rows[["case_id", "status", *declared_columns(METRICS, [key])]]
    values = declared_values(METRICS, only, key, part)
    assert values is not None
    above = np.asarray(values.above, dtype=float)
    below = np.ones(N) if values.below is None else np.asarray(values.below, dtype=float)
    good = np.isfinite(above)
    assert (good == (rows["status"] == "ok")).all()
    quotient = np.array([above[good].sum() / below[good].sum()])
    found = {(one.key, one.slice): one for one in measure_declared(METRICS, rows, "")}[key, part]
    assert (quotient if values.finish is None else values.finish(quotient))[0] == pytest.approx(found.value)
    assert declared_values(METRICS, rows, key, "no such part") is None or key == "share"


def test_columns_are_those_of_the_metrics_asked_for() -> None:
    assert declared_columns(METRICS, ["plain"]) == ("x",)
    assert set(declared_columns(METRICS, ["mean", "ratio"])) == {"x", "kind", "family", "y"}
    assert declared_columns(METRICS, []) == ()


def test_without_a_usable_row_every_metric_is_missing_and_said_as_declared() -> None:
    said = (
        MeanOf("m", Better.TARGET, "x", target=0.5, unit="nats", headline=False),
        Computed((Named("c", Better.LOWER), Named("parts", Better.LOWER, sliced_only=True)), lambda *_: []),
    )
    rows = frame(errors=N, excluded=0)
    found = measure_declared(said, rows, "nothing ran")
    assert [(one.key, one.note, one.missing) for one in found] == [("m", "nothing ran", N), ("c", "nothing ran", N)]
    assert (found[0].unit, found[0].target, found[0].headline) == ("nats", 0.5, False)
    assert list(named_metrics(said)) == ["m", "c", "parts"]
    (gone,) = measure_declared(said[:1], frame(errors=0, excluded=N), "nothing ran")
    assert (gone.note, gone.missing, gone.excluded) == ("no case applies: no word", 0, N)


def test_a_note_is_made_of_the_rows_that_count() -> None:
    def note(rows: Rows) -> str:
        return f"{len(rows.counted)} of {len(rows.good)}, {rows.part or 'all'}"

    found = measured(MeanOf("m", Better.LOWER, "y", over=equal("kind", "a"), slices=By(("group",)), note=note), frame())
    assert found[""].note.startswith("8 of 25, all")
    assert found["g"].note.startswith("7 of 25, g")


@pytest.mark.parametrize("clusters", ["family", of(lambda family: family.to_numpy(), "family")])
def test_rows_that_count_in_one_audit_alone_are_compared_with_their_clusters(clusters: Any) -> None:
    """Which rows count may follow from the model, such as those that were attacked."""
    said = ShareOf("s", Better.LOWER, "hit", over=equal("kind", "a"), clusters=clusters)
    ours, theirs = frame(), frame()
    theirs["kind"] = np.roll(theirs["kind"], 1)
    values = [declared_values((said,), each, "s", "") for each in (ours, theirs)]
    assert values[0] is not None
    assert values[1] is not None
    metric = measured(said, ours)[""]
    found = compare_values(metric, pair(ours, theirs), values[0], values[1], Rule(0.0, 0.95, "auto", 100))
    assert found.candidate == pytest.approx(metric.value)
    assert found.baseline == pytest.approx(measured(said, theirs)[""].value)
    assert found.n > 0


def test_a_metric_of_no_row_says_so_even_where_nothing_was_declared() -> None:
    assert measured(MeanOf("m", Better.LOWER, "x", over=equal("kind", "c")), frame())[""].note == "no row counts"


def test_a_control_is_the_same_formula_over_its_own_rows_which_count_nowhere_else() -> None:
    rows = frame()
    is_a = equal("kind", "a")
    hits = ShareOf("hits", Better.TARGET, "hit", target=0.5, slices=By(("group",)), control=ControlRows(is_a, "kind a"))
    good = rows[rows["status"] == "ok"]
    for part, mine in (("", good), ("g", good[good["group"] == "g"])):
        metric = measured(hits, rows)[part]
        scored, control = (mine[(mine["kind"] == "a") == side]["hit"] for side in (False, True))
        assert (metric.value, metric.n) == (sum(scored) / len(scored), len(scored))
        assert metric.control is not None
        interval = clopper_pearson(sum(control), len(control))
        assert metric.control.model_dump() == {
            "what": "kind a",
            "value": sum(control) / len(control),
            "low": interval.low,
            "high": interval.high,
            "n": len(control),
            "note": "",
        }
        values = declared_values((hits,), rows, "hits", part)
        assert values is not None
        assert np.nansum(np.asarray(values.above)) == sum(scored)
        assert np.asarray(values.below).sum() == len(scored)
    assert {"kind", "hit", "group"} == set(declared_columns((hits,), ["hits"]))
    without = measured(hits, rows[rows["kind"] != "a"])[""]
    assert without.control is None
    assert Metric.model_validate({k: v for k, v in without.model_dump().items() if k != "control"}) == without


def test_a_control_without_a_value_says_why() -> None:
    rows = frame(0, 0).assign(maybe=np.where(np.arange(N) % 3 == 0, np.nan, 1.0))
    mean = MeanOf(
        "m", Better.NEITHER, "maybe", empty="none is known", control=ControlRows(equal("kind", "a"), "kind a")
    )
    control = measured(mean, rows)[""].control
    assert control is not None
    assert (control.value, control.n, control.note) == (None, 0, "none is known")
    with pytest.raises(ValueError, match="must say why"):
        Control(what="kind a", value=None, n=0)
    with pytest.raises(ValueError, match="reversed"):
        Control(what="kind a", value=0.5, low=0.6, high=0.4, n=3)


def failing(rows: pd.DataFrame, which: Any, *, kept: bool) -> pd.DataFrame:
    """Rows of which some fail; `kept`: these still say their kind, as columns of the case do."""
    out = rows.copy()
    gone = ["group", "x", "y", "hit", "maybe", "family"] + ([] if kept else ["kind"])
    out.loc[which, gone] = None
    out.loc[which, ["status", "error"]] = ["error", "too long"]
    return out


def test_failed_cases_of_a_control_are_not_missing_of_the_score() -> None:
    rows = frame(0, 0)
    control = ControlRows(equal("kind", "a"), "kind a")
    hits = ShareOf("hits", Better.TARGET, "hit", target=0.5, control=control)
    own = Computed(
        (Named("own", Better.TARGET),),
        lambda rows, named: [named["own"].none("x", missing=rows.missing)],
        control=control,
    )
    some = failing(rows, rows.index < 6, kept=True)  # 2 of kind a, 4 of kind b
    for metric in measure_declared((hits, own), some, "nothing ran"):
        assert metric.missing == 4
    found = measured(hits, some)[""].control
    assert found is not None
    assert (found.n, found.note) == (8, "2 of its cases have no result")
    assert measured(hits, failing(rows, rows.index < 6, kept=False))[""].missing == 6  # nobody knows whose


def test_a_control_that_failed_as_a_whole_is_said_to_be_missing() -> None:
    rows = frame(0, 0)
    hits = ShareOf("hits", Better.TARGET, "hit", target=0.5, control=ControlRows(equal("kind", "a"), "kind a"))
    metric = measured(hits, failing(rows, rows["kind"] == "a", kept=True))[""]
    assert (metric.missing, metric.n, metric.note) == (0, 20, "")
    assert metric.control == Control(what="kind a", value=None, n=0, note="none of its 10 cases has a result: too long")
    unknown = measured(hits, failing(rows, rows["kind"] == "a", kept=False))[""]
    assert (unknown.control, unknown.missing) == (None, 10)
    assert "counts failed cases of a control, too" in unknown.note
    nothing = measured(hits, failing(rows, rows["kind"] != "", kept=True))[""]
    assert (nothing.value, nothing.note, nothing.missing) == (None, "nothing ran", 20)
    assert nothing.control is not None
    assert "too long" in nothing.control.note


def test_a_failed_row_of_another_side_is_not_missing() -> None:
    rows = frame(0, 0)
    mean = MeanOf("m", Better.LOWER, "x", over=equal("kind", "b"))
    assert measured(mean, failing(rows, rows.index < 6, kept=True))[""].missing == 4
    assert measured(mean, failing(rows, rows.index < 6, kept=False))[""].missing == 6
