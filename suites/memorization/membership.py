"""`memorization/membership`: does a classifier's loss tell its training records from others?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case, make_cases, sample_cases
from harness.api.columns import column
from harness.api.declared import Computed, Declared, Named, Rows
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Bools, Floats, Scorer, TextRequest
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import Dataset, DataSource
from harness.data.schemas import LabelledTexts
from harness.errors import NotApplicableError
from harness.stats.differences import advantage, advantage_interval, newcombe, rate_at_threshold
from harness.stats.intervals import auc, auc_interval
from suites.memorization.members import MEMBERS, NON_MEMBERS, load_side, manifest_sources

DEFAULT_FPRS = (0.01, 0.05, 0.1)


class MembershipParams(ProbeParams):
    """How many records are scored, and at which false-positive rates the attack is read."""

    members: int = Field(default=500, ge=1, description="at most so many training records")
    non_members: int = Field(default=500, ge=1, description="at most so many held-out records")
    fprs: tuple[float, ...] = Field(default=DEFAULT_FPRS, description="false-positive rates not to be exceeded")

    @field_validator("fprs")
    @classmethod
    def _rates(cls, fprs: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= fpr < 1 for fpr in fprs) or len(set(fprs)) != len(fprs):
            raise ValueError("different rates of at least 0 and below 1")
        return fprs


class MembershipRow(ProbeRow):
    """One record. Its text stays out: the rows may be read by people who must not see the training data."""

    member: Series[bool] = column("whether the record was trained on, as the manifest says")
    label: Series[int] = column("its class, by index", ge=0)
    loss: Series[float] = column("-log of that class's probability", "nats", ge=0)
    correct: Series[bool] = column("whether the model predicts that class")
    truncated: Series[int] = column("tokens of the record that the model cannot read", "tokens", ge=0)


def _declared(fprs: Sequence[float]) -> tuple[Declared, ...]:
    named = (
        Named("auc", Better.LOWER, bounds=UNIT, note="0.5: the loss tells nothing; 1: it tells every member"),
        *(Named(_tpr_key(fpr), Better.LOWER, unit="rate") for fpr in fprs),
        Named("advantage", Better.LOWER, bounds=UNIT, note=_ADVANTAGE_NOTE),
        Named("accuracy_gap", Better.LOWER, bounds=(-1.0, 1.0)),
    )
    return (Computed(named, partial(_measure, fprs)),)


_ADVANTAGE_NOTE = "largest TPR - FPR over all thresholds; leans upwards in small samples, the interval allows for it"


def _measure(fprs: Sequence[float], rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """AUC, TPR at fixed FPR, advantage, and the gap in accuracy."""
    member = rows.good["member"].astype(bool)
    ours, others = rows.good[member], rows.good[~member]
    if ours.empty or others.empty:
        why = f"{len(ours)} members and {len(others)} non-members were scored; both are needed"
        yield from (each.none(why, missing=rows.missing) for each in named.values())
        return
    losses = ours["loss"].to_numpy(np.float64), others["loss"].to_numpy(np.float64)
    sizes, missing = (len(ours), len(others)), rows.missing
    value = auc(-losses[0], -losses[1])
    yield named["auc"].value(value, auc_interval(value, *sizes), min(sizes), missing=missing)
    for fpr in fprs:
        yield _tpr(*losses, fpr, named[_tpr_key(fpr)], missing)
    value = advantage(*losses)
    yield named["advantage"].value(value, advantage_interval(value, *sizes), min(sizes), missing=missing)
    correct = ours["correct"].to_numpy(bool), others["correct"].to_numpy(bool)
    yield _accuracy_gap(*correct, named["accuracy_gap"], missing)


def _tpr_key(fpr: float) -> str:
    return f"tpr_at_fpr_{100 * fpr:g}pct"


def _tpr(members: Floats, non_members: Floats, fpr: float, named: Named, missing: int) -> Metric:
    """Members below the largest threshold that at most `fpr` of the non-members lie below.

    The interval is of the rate at that FPR among all non-members, so it allows for where these put the threshold.
    """
    allowed = int(fpr * len(non_members) + 1e-9)
    threshold = np.sort(non_members)[allowed]
    attained = float((non_members < threshold).mean())
    hits = int((members < threshold).sum())
    note = f"attained FPR {attained:.4f} with {len(non_members)} non-members"
    interval = rate_at_threshold(members, non_members, fpr)
    return named.value(hits / len(members), interval, len(members), missing=missing, note=note)


def _accuracy_gap(members: Bools, non_members: Bools, named: Named, missing: int) -> Metric:
    hits, sizes = (int(members.sum()), int(non_members.sum())), (len(members), len(non_members))
    shares = hits[0] / sizes[0], hits[1] / sizes[1]
    note = f"accuracy {shares[0]:.4f} on members, {shares[1]:.4f} on held-out records"
    interval = newcombe(hits[0], sizes[0], hits[1], sizes[1])
    return named.value(shares[0] - shares[1], interval, min(sizes), missing=missing, note=note)


class Membership(Probe[MembershipParams]):
    """The loss attack: a record is called a member when the model's loss on it is low."""

    name = "memorization/membership"
    about = About(
        summary="How well the loss of a record tells whether the classifier was trained on it.",
        paper="Yeom et al. 2018, Privacy Risk in Machine Learning (loss attack); Carlini et al. 2022 (TPR at low FPR)",
        cannot_tell=(
            "The loss attack is weak and average-case (Carlini et al. 2022, LiRA): finding no signal is no privacy "
            "guarantee, single records may still leak, and members and held-out records that differ in kind would "
            "show a signal that is not memory."
        ),
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER), any_of(Need.TRAINING_MANIFEST))
    inputs: ClassVar[dict[str, Input]] = {
        MEMBERS: Input(LabelledTexts, "the training records (default: those of the training manifest)", required=False),
        NON_MEMBERS: Input(LabelledTexts, "held-out records (default: those of the training manifest)", required=False),
    }
    Params = MembershipParams
    metrics = _declared(DEFAULT_FPRS)
    nothing = "0 members and 0 non-members were scored; both are needed"
    Row = MembershipRow

    @classmethod
    def default_data(cls, checkpoint: CheckpointInfo) -> dict[str, DataSource]:
        """Both sides as the training manifest names them."""
        return manifest_sources(checkpoint)

    def cases(self, plan: Plan) -> list[Case]:
        """One case per record, with its side and class index. Raises DataError unless they are the manifest's.

        Raises NotApplicableError where the manifest is of another training.
        """
        manifest = plan.checkpoint.manifest
        if manifest is None or manifest.task != "classification":
            raise NotApplicableError("the training manifest is not of a classification training")
        limits = {MEMBERS: self.params.members, NON_MEMBERS: self.params.non_members}
        chosen: list[Case] = []
        for side, limit in limits.items():
            dataset = load_side(plan.checkpoint, manifest, side, LabelledTexts, plan.data)
            chosen += sample_cases(make_cases(_items(dataset, side, plan.checkpoint.labels)), limit, plan.seed)
        return chosen

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """Loss (natural log) of each record's own class."""
        requests = [TextRequest(case.data["text"], case.data.get("pair")) for case in cases]
        for case, scores in zip(cases, scorer.ask(requests), strict=True):
            if scores.error is not None:
                yield error_row(case, scores.error)
                continue
            label = case.data["label"]
            yield ok_row(
                case,
                member=case.data["side"] == MEMBERS,
                label=label,
                loss=_loss(scores.logits, label),
                correct=scores.label == label,
                truncated=scores.truncated,
            )

    def declared(self) -> tuple[Declared, ...]:
        """With the rates asked for."""
        return _declared(self.params.fprs)


def _items(dataset: Dataset, side: str, labels: tuple[str, ...]) -> Iterable[dict[str, object]]:
    frame = dataset.frame
    for row, label in enumerate(dataset.labels.classes(labels)):
        item = {"side": side, "text": frame["text"].iloc[row], "label": label}
        yield {**item, "pair": frame["pair"].iloc[row]} if "pair" in frame.columns else item


def _loss(logits: Floats, label: int) -> float:
    """-log softmax(logits)[label], without overflow; never below zero."""
    return max(0.0, float(np.logaddexp.reduce(logits) - logits[label]))
