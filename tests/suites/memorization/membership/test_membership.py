from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from harness.api.metrics import Metric
from harness.api.probe import Plan
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import LabelledTexts
from harness.errors import DataError
from harness.stats.differences import advantage, advantage_interval, newcombe
from harness.stats.intervals import clopper_pearson
from privacy.training import train
from suites.memorization.membership.probe import Membership, MembershipParams, MembershipRow
from suites.memorization.shadow_attack import ShadowAttackParams
from tests.privacy.toys import make_base, make_spec, nonsense, write_rows
from tests.suites.memorization.membership.scored import audited

TRUSTED = Permissions(manifest_sources=True)
"""The records lie beside the checkpoint, as after a training of one's own."""

N = 80


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that learnt the random labels of its members by heart."""
    folder = tmp_path_factory.mktemp("overfitted")
    base = make_base(folder / "base", "bert", "base", dropout=False)
    sides = {
        name: str(write_rows(folder / f"{name}.jsonl", nonsense(N, seed))) for name, seed in (("in", 1), ("out", 2))
    }
    fields = {"data": sides["in"], "held_out": sides["out"], "epochs": 30, "learning_rate": 5e-3, "weight_decay": 0.0}
    train(make_spec(folder, base, **fields))
    return folder / "trained"


def info_of(folder: Path) -> CheckpointInfo:
    return inspect_checkpoint(CheckpointSource(source=str(folder)), TRUSTED)


def rows_of(probe: Membership, info: CheckpointInfo) -> pd.DataFrame:
    with TemporaryDirectory() as folder:
        return audited(probe, info, Path(folder))


def by_key(metrics: list[Metric]) -> dict[str, Metric]:
    return {metric.key: metric for metric in metrics}


def test_an_overfitted_model_gives_its_members_away(overfitted: Path) -> None:
    probe = Membership()
    rows = rows_of(probe, info_of(overfitted))
    metrics = by_key(probe.measure(pd.DataFrame(probe.Row.validate(rows))))
    assert rows.groupby("member").size().to_dict() == {False: N, True: N}
    assert metrics["auc"].value is not None
    assert metrics["auc"].value > 0.95
    assert metrics["auc"].low is not None
    assert metrics["auc"].low > 0.5
    assert metrics["accuracy_gap"].value is not None
    assert metrics["accuracy_gap"].value > 0.3
    assert all(metric.missing == 0 for metric in metrics.values())


def test_texts_it_never_saw_in_the_members_place_give_no_signal(overfitted: Path, tmp_path: Path) -> None:
    """The control: the same model, but the manifest calls unseen records members."""
    info = info_of(overfitted)
    assert info.manifest is not None
    swapped = DataSource(source=str(write_rows(tmp_path / "unseen.jsonl", nonsense(N, 3))))
    digest = load_dataset(swapped, LabelledTexts).digest
    manifest = info.manifest.model_copy(update={"members": swapped, "members_digest": digest})
    auc = by_key(Membership().measure(rows_of(Membership(), replace(info, manifest=manifest))))["auc"]
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < 0.5 < auc.high
    assert auc.value == pytest.approx(0.5, abs=0.14)  # 3 standard deviations of an AUC of 80 against 80


def test_the_loss_is_the_surprise_of_the_true_class(overfitted: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    info = info_of(overfitted)
    probe = Membership(MembershipParams(members=5, non_members=5))
    model = AutoModelForSequenceClassification.from_pretrained(overfitted).eval()
    tokenizer = AutoTokenizer.from_pretrained(overfitted)
    rows = rows_of(probe, info).set_index("case_id")
    for case in probe.cases(Plan(info, 0)):
        label = case.data["label"]
        with torch.no_grad():
            logits = model(**tokenizer(case.data["text"], return_tensors="pt")).logits[0].double()
        assert rows.loc[case.id, "loss"] == pytest.approx(-float(logits.log_softmax(-1)[label]), abs=1e-4)
        assert rows.loc[case.id, "correct"] == (int(logits.argmax()) == label)


def test_changed_records_are_refused(overfitted: Path, tmp_path: Path) -> None:
    info = info_of(overfitted)
    assert info.manifest is not None
    other = DataSource(source=str(write_rows(tmp_path / "other.jsonl", nonsense(N, 4))))
    for side in ("members", "non_members"):
        manifest = info.manifest.model_copy(update={side: other})
        with pytest.raises(DataError, match=f"not the {side.replace('_', '-')} of the training manifest"):
            Membership().cases(Plan(replace(info, manifest=manifest), 0))


def test_without_held_out_records_there_is_nothing_to_compare(overfitted: Path) -> None:
    info = info_of(overfitted)
    assert info.manifest is not None
    manifest = info.manifest.model_copy(update={"non_members": None})
    with pytest.raises(DataError, match="names no held-out records"):
        Membership().cases(Plan(replace(info, manifest=manifest), 0))


def test_records_are_drawn_by_the_seed_and_limited_per_side(overfitted: Path) -> None:
    info = info_of(overfitted)
    probe = Membership(MembershipParams(members=10, non_members=20))
    first, again, other = (probe.cases(Plan(info, seed)) for seed in (0, 0, 1))
    assert [case.data["side"] for case in first] == ["members"] * 10 + ["non_members"] * 20
    assert first == again
    assert {case.id for case in first} != {case.id for case in other}


def table(members: list[float], others: list[float]) -> pd.DataFrame:
    losses = [*members, *others]
    return pd.DataFrame(
        {
            "case_id": [str(index) for index in range(len(losses))],
            "status": "ok",
            "error": None,
            "member": [True] * len(members) + [False] * len(others),
            "fixing": [False] * len(members) + [place % 2 == 0 for place in range(len(others))],
            "label": 0,
            "loss": losses,
            "correct": [loss < 0.7 for loss in losses],
            "truncated": 0,
            "ceilings": [[] for _ in losses],
            "ceiling_curve": [[] for _ in losses],
        },
        columns=list(MembershipRow.to_schema().columns),
    )


@pytest.mark.parametrize("seed", range(4))
def test_metrics_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members, others = rng.exponential(0.5, 30).round(1).tolist(), rng.exponential(1.0, 120).round(1).tolist()
    metrics = by_key(Membership(MembershipParams(fprs=(0.05, 0.2, 0.4))).measure(table(members, others)))
    wins = [1.0 if a < b else 0.5 if a == b else 0.0 for a, b in itertools.product(members, others)]
    assert metrics["auc"].value == pytest.approx(sum(wins) / len(wins))
    thresholds = [*members, *others]
    assert metrics["advantage"].value == pytest.approx(
        max(0.0, *(share(members, "<=", t) - share(others, "<=", t) for t in thresholds))
    )
    fixing, measured = others[::2], others[1::2]
    for fpr, key in ((0.2, "tpr_at_fpr_20pct"), (0.4, "tpr_at_fpr_40pct")):
        allowed = max(t for t in fixing if share(fixing, "<", t) <= fpr)
        hits = round(len(members) * share(members, "<", allowed))
        assert metrics[key].value == pytest.approx(hits / len(members))
        assert f"FPR is {share(measured, '<', allowed):.4f}" in metrics[key].note
        exact = clopper_pearson(hits, len(members))
        assert (metrics[key].low, metrics[key].high) == pytest.approx((exact.low, exact.high))
    assert "5 % needs 200 non-members to fix the threshold on and 200 others" in metrics["tpr_at_fpr_5pct"].note
    gap = share(members, "<", 0.7) - share(others, "<", 0.7)
    assert metrics["accuracy_gap"].value == pytest.approx(gap)


def share(losses: list[float], how: str, threshold: float) -> float:
    hits = [loss < threshold or (how == "<=" and loss == threshold) for loss in losses]
    return sum(hits) / len(hits)


def test_the_false_positive_rate_is_never_exceeded_by_ties() -> None:
    """All losses 0, as an overfitted model gives: no threshold separates, so no member may be claimed."""
    metrics = by_key(Membership().measure(table([0.0] * 50, [0.0] * 200)))
    assert metrics["tpr_at_fpr_10pct"].value == 0
    assert metrics["auc"].value == 0.5
    assert metrics["advantage"].value == 0


def test_error_rows_are_missing_not_zero() -> None:
    rows = table([0.1, 0.2], [0.3, 0.4])
    failed = pd.DataFrame({"case_id": ["x"], "status": ["error"], "error": ["NaN logits"]})
    metrics = Membership().measure(pd.concat([rows, failed], ignore_index=True))
    assert {metric.missing for metric in metrics} == {1}
    assert by_key(metrics)["auc"].value == 1


def test_one_side_alone_gives_no_number() -> None:
    metrics = Membership().measure(table([0.1, 0.2], []))
    assert [metric.key for metric in metrics[:7]] == [
        *(
            "auc",
            "tpr_at_fpr_0.1pct",
            "tpr_at_fpr_1pct",
            "tpr_at_fpr_5pct",
            "tpr_at_fpr_10pct",
            "advantage",
            "accuracy_gap",
        ),
    ]
    assert all(metric.value is None and "both are needed" in metric.note for metric in metrics)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090), ((5, 56, 0, 29), -0.0381, 0.1926)],
)
def test_newcombe_is_wider_than_the_published_one_of_wilsons_ends(
    counts: tuple[int, int, int, int], low: float, high: float
) -> None:
    """Newcombe 1998, Interval estimation for the difference between independent proportions, table II, method 10."""
    interval = newcombe(*counts)
    assert interval.low < low < high < interval.high
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.15)


@pytest.mark.parametrize("n", [20, 60])
def test_no_side_of_newcombe_errs_more_than_it_says(n: int) -> None:
    """Every outcome summed."""
    ends = [[newcombe(a, n, b, n) for b in range(n + 1)] for a in range(n + 1)]
    low, high = (np.array([[getattr(one, end) for one in row] for row in ends]) for end in ("low", "high"))
    for first, second in itertools.product((0.005, 0.02, 0.1, 0.5, 0.9, 0.98), repeat=2):
        chance = np.outer(binom.pmf(np.arange(n + 1), n, first), binom.pmf(np.arange(n + 1), n, second))
        assert chance[low > first - second + 1e-12].sum() <= 0.025
        assert chance[high < first - second - 1e-12].sum() <= 0.025


def test_the_advantage_interval_covers_although_the_threshold_is_the_best_one() -> None:
    """Members N(0, 1), others N(1, 1): the true advantage is 2 Phi(1/2) - 1 = 0.3829, at the threshold 1/2."""
    truth = math.erf(0.5 / math.sqrt(2))
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        value = advantage(rng.normal(0, 1, 60), rng.normal(1, 1, 40))
        interval = advantage_interval(value, 60, 40)
        covered += interval.low <= truth <= interval.high
    assert covered >= 285


@pytest.mark.parametrize("params", [MembershipParams, ShadowAttackParams])
def test_rates_that_would_share_a_name_are_refused(params: type[MembershipParams | ShadowAttackParams]) -> None:
    with pytest.raises(ValueError, match="different rates"):
        params(fprs=(0.01, 0.0100000001))
    assert params(fprs=(0.01, 0.0101)).fprs == (0.01, 0.0101)
