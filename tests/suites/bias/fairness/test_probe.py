from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.data.datasets import Dataset, DataSource, frame_digest, load_dataset
from harness.errors import DataError, WrongDataError
from harness.stats.intervals import clopper_pearson
from suites.bias.fairness.probe import GroupedTexts, GroupFairness, GroupFairnessParams
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of

INFO = make_info(Need.SEQUENCE_CLASSIFIER)
N = 360


def uneven(request: TextRequest) -> Sequence[float]:
    """Right at random, but more often positive about 'red'."""
    p = (crc32(request.text.encode()) % 1000 + 0.5) / 1000
    p = min(0.999, p + 0.25) if "red" in request.text else p
    return (1 - p, p)


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    group = rng.choice(["red", "green", "blue"], N, p=[0.4, 0.4, 0.2])
    second = rng.choice(["old", "young", ""], N)
    return pd.DataFrame(
        {
            "text": [f"text {i} {g} {s}" for i, (g, s) in enumerate(zip(group, second, strict=True))],
            "label": [str(label) for label in rng.integers(0, 2, N)],
            "group": group,
            "group_2": second,
        }
    )


def measured(data: pd.DataFrame, folder: Path, **params: object) -> tuple[pd.DataFrame, dict[tuple[str, str], Metric]]:
    probe = GroupFairness(GroupFairnessParams.model_validate(params))
    cases = probe.cases(plan(INFO, grouped=data))
    rows = rows_of(probe, FakeScorer(INFO, classify=uneven), cases, folder)
    return rows, by_key(probe.measure(rows))


def test_differences_are_those_of_fairlearn(tmp_path: Path) -> None:
    data = frame()
    rows, found = measured(data, tmp_path, fewest=2)
    truth, answer = rows["positive"].astype(int).to_numpy(), rows["answered"].astype(int).to_numpy()
    both = (data["group"] + " " + data["group_2"]).where(data["group_2"] != "", "")
    for axis, groups in (("group", data["group"]), ("group_2", data["group_2"]), ("group x group_2", both)):
        here = (groups != "").to_numpy()
        given = {"sensitive_features": groups[here].to_numpy()}
        keys = {
            "demographic_parity_difference": "demographic_parity_difference",
            "equalized_odds_difference": "equalized_odds_difference",
            "equal_opportunity_difference": "equal_opportunity_difference",
            "false_positive_difference": "false_positive_rate_difference",
        }
        for key, theirs in keys.items():
            expected = getattr(fairlearn.metrics, theirs)(truth[here], answer[here], **given)
            metric = found[key, axis]
            assert metric.value == pytest.approx(expected), (key, axis)
            assert metric.low is not None
            assert metric.high is not None
            assert metric.low <= expected <= metric.high


def test_rates_and_calibration_by_brute_force(tmp_path: Path) -> None:
    data = frame()
    rows, found = measured(data, tmp_path)
    off = {}
    for group in ("red", "green", "blue"):
        mine = rows[(data["group"] == group).to_numpy()]
        hits, n = int(mine["answered"].sum()), len(mine)
        rate = found["selection_rate", f"group: {group}"]
        assert (rate.value, rate.n, rate.low) == (hits / n, n, clopper_pearson(hits, n).low)
        assert "Fisher's test by Holm over 3 groups: p = " in rate.note
        right = mine[mine["label"] == 1]
        assert found["true_positive_rate", f"group: {group}"].value == pytest.approx((right["predicted"] == 1).mean())
        off[group] = (mine["probability"] - mine["positive"].astype(float)).mean()
    gap = found["calibration_difference", "group"]
    assert gap.value == pytest.approx(max(off.values()) - min(off.values()))
    assert gap.note == "red over " + min(off, key=lambda group: off[group])


def test_small_groups_are_masked_and_said(tmp_path: Path) -> None:
    data = frame()
    data.loc[:4, "group"] = "tiny"
    _, found = measured(data, tmp_path, intersections=False)
    masked = found["selection_rate", "group: tiny"]
    assert masked.value is None
    assert masked.note == "5 records, masked under 30"
    assert "masked, under 30 records: tiny" in found["demographic_parity_difference", "group"].note
    assert found["bpsn_auc", "group: tiny"].value is None
    assert "over 3 of 4 groups" in found["bpsn_auc_mean", "group"].note


def test_a_group_masked_in_one_rate_of_the_equalized_odds_is_said_and_n_is_of_the_rate(tmp_path: Path) -> None:
    data = frame()
    blue = data["group"] == "blue"
    data.loc[blue, "label"] = ["0"] * 5 + ["1"] * (int(blue.sum()) - 5)  # no false positive rate of blue
    _, found = measured(data, tmp_path, intersections=False)
    positive, negative = int((data["label"] == "1").sum()), int(((data["label"] == "0") & ~blue).sum())
    odds = found["equalized_odds_difference", "group"]
    assert odds.note.endswith("; masked, under 30 records: blue")
    assert "masked" not in found["equal_opportunity_difference", "group"].note
    keys = ("demographic_parity", "equal_opportunity", "false_positive", "equalized_odds")
    n = [found[f"{key}_difference", "group"].n for key in keys]
    assert n == [N, positive, negative, positive + negative]


def test_two_pairs_of_groups_are_never_one() -> None:
    data = frame().assign(group=["old", "old white"] * (N // 2), group_2=["white man", "man"] * (N // 2))
    cases = GroupFairness().cases(plan(INFO, grouped=data))
    assert {case.data["groups"][2] for case in cases} == {"old x white man", "old white x man"}


def test_a_blind_classifier_has_no_difference(tmp_path: Path) -> None:
    probe = GroupFairness()
    scorer = FakeScorer(INFO, classify=lambda request: (0.2, 0.8))
    found = by_key(probe.measure(rows_of(probe, scorer, probe.cases(plan(INFO, grouped=frame())), tmp_path)))
    parity = found["demographic_parity_difference", "group"]
    assert (parity.value, parity.low, parity.note) == (0.0, 0.0, "all alike")
    assert parity.high is not None
    assert parity.high > 0.01
    assert found["subgroup_auc", "group: red"].value == 0.5


def test_a_group_without_others_is_tested_against_none(tmp_path: Path) -> None:
    probe = GroupFairness()
    scorer = FakeScorer(INFO, classify=lambda request: (0.2, 0.8))
    rows = rows_of(probe, scorer, probe.cases(plan(INFO, grouped=frame())), tmp_path)
    alone = rows.assign(axes=pd.Series([["group"]] * len(rows)), groups=pd.Series([["red"]] * len(rows)))
    found = by_key(probe.measure(alone))["selection_rate", "group: red"]
    assert (found.value, found.note) == (1.0, "")


def test_another_class_can_be_the_positive_one(tmp_path: Path) -> None:
    rows, _ = measured(frame(), tmp_path, positive_class="negative")
    assert (rows["positive"] == (rows["label"] == 0)).all()
    assert set(rows["positive_class"]) == {"negative"}
    with pytest.raises(DataError, match="positive_class 'neutral' is none of the classes negative, positive"):
        GroupFairness(GroupFairnessParams(positive_class="neutral")).cases(plan(INFO, grouped=frame()))


def test_a_text_without_an_answer_is_missing(tmp_path: Path) -> None:
    data = frame()
    data.loc[0, "text"] = "broken"
    _, found = measured(data, tmp_path)
    assert found["auc", ""].missing == 1


def test_a_column_that_is_missing_constant_or_small_is_named(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    frame().drop(columns=["group", "group_2"]).to_csv(file, index=False)
    with pytest.raises(DataError, match=r"missing column 'group'; .*map one with columns: \{group: <its name>\}"):
        load_dataset(DataSource(source=str(file)), GroupedTexts)
    with pytest.raises(WrongDataError, match="column 'group' has 1 group in the rows used"):
        GroupFairness().cases(plan(INFO, grouped=frame().assign(group="red")))
    small = frame().assign(group=["red"] * (N - 3) + ["green"] * 3)
    with pytest.raises(WrongDataError, match=r"fewer than two groups of 30 texts \(the largest has 357, the next 3\)"):
        GroupFairness().cases(plan(INFO, grouped=small))


def test_axes_go_by_their_names_in_the_data() -> None:
    data = frame()
    source = DataSource(source="people.csv", columns={"group": "colour", "group_2": "age"})
    given = plan(INFO, grouped=Dataset(data, source, frame_digest(data), frozenset({"0"})))
    assert GroupFairness().cases(given)[0].data["axes"] == ["colour", "age", "colour x age"]
