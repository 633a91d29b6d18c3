"""`memorization/membership`: does what a model says of a record tell that it was trained on it?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import pandas as pd
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case
from harness.api.columns import column, list_column
from harness.api.curves import CurvePlot
from harness.api.declared import Declared
from harness.api.models import ModelRole, Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, RowDict, error_row, ok_row
from harness.api.scorer import Scorer
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import DataSource
from suites.memorization.canary_scores import task_of
from suites.memorization.hygiene.ceilings import CURVE_RATES, ceilings
from suites.memorization.hygiene.columns import Kept, MemberRow, as_columns, member_columns
from suites.memorization.hygiene.rates import DEFAULT_FPRS
from suites.memorization.hygiene.roc import roc
from suites.memorization.members import MEMBERS, NON_MEMBERS, manifest_sources
from suites.memorization.membership.metrics import LOSS, SIGNALS, declared_metrics
from suites.memorization.membership.records import Records, membership_cases, whole_text
from suites.memorization.membership.scores import Scored, Settings, check_base, class_scores, token_scores
from suites.memorization.signals.tokens import LOWEST_SHARE

BASE = "base"
_CEILINGS = "ceilings at the rates asked for, then along the curve"
_HEADS = any_of(Need.SEQUENCE_CLASSIFIER, Need.CAUSAL_LM, Need.MASKED_LM)
_CHARACTERS = 4
"""Of a token, roughly."""
_MOST_TOKENS = 512
"""Of a text that a plan counts: where training cuts it unless told otherwise."""


class MembershipParams(ProbeParams):
    """How many records are scored, and at which false-positive rates the attack is read."""

    members: int = Field(default=500, ge=1, description="at most so many training records")
    non_members: int = Field(
        default=2200,
        ge=1,
        description="at most so many held-out records; half of them fix the thresholds, and 1 % takes 2,000",
    )
    fprs: tuple[float, ...] = Field(default=DEFAULT_FPRS, description="false-positive rates not to be exceeded")
    k: float = Field(
        default=LOWEST_SHARE, gt=0, le=1, description="share of a text's tokens, the least likely, that Min-K% takes"
    )
    masked_positions: int = Field(
        default=16, ge=1, description="tokens of a text that a masked model is asked for, each a reading of the text"
    )

    neighbours: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="language models: neighbours of each text, a few tokens exchanged, that it is set against; each "
        "costs as much as the text itself; 0: none",
    )

    @field_validator("fprs")
    @classmethod
    def _rates(cls, fprs: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= fpr < 1 for fpr in fprs) or len({f"{100 * fpr:g}" for fpr in fprs}) != len(fprs):
            raise ValueError("different rates of at least 0 and below 1")
        return fprs


class MembershipRow(MemberRow):
    """One record, and what the model says of it."""

    label: Series[pd.Int64Dtype] = column("its class, by index; empty for language models", ge=0, nullable=True)
    loss: Series[float] = column(
        "-log of that class's probability; of language models -log of a token's, mean over those scored", "nats", ge=0
    )
    correct: Series[pd.BooleanDtype] = column("whether the model predicts that class", nullable=True)
    truncated: Series[int] = column("tokens of the record that were not read", "tokens", ge=0)
    scored: Series[pd.Int64Dtype] = column("tokens that the signals are made of", "tokens", ge=1, nullable=True)
    log_odds: Series[float] = column("log of the odds of that class, of classifiers", "nats", nullable=True)
    zlib: Series[float] = column("-loss over the bytes zlib makes of the text read", "nats per byte", nullable=True)
    min_k: Series[float] = column("mean log-probability of its least likely tokens", "nats", nullable=True)
    min_k_pp: Series[float] = column(
        "the same, each token standardised by all that could stand there", "standard deviations", nullable=True
    )
    base_loss: Series[float] = column("loss before training, where the role base is given", "nats", nullable=True)
    calibrated: Series[float] = column("how far training took the loss down", "nats", nullable=True)
    neighbours: Series[float] = column(
        "how much likelier it is than texts with a few of its tokens exchanged", "nats", nullable=True
    )
    claimed: Series[float] = column("epsilon that the training claims; empty: none", nullable=True)
    delta: Series[float] = column("delta of that claim", nullable=True)
    ceilings: Series[object] = list_column(
        "true-positive rates that the claim allows, at the rates of the params, in order; none without a claim",
        of="double",
    )


_SIGNALS = ("label", "correct", "scored", "base_loss", *SIGNALS)
"""Columns that some kinds of model do not have."""


class Membership(Probe[MembershipParams]):
    """Signals of one reading of each record, those of members held against those of non-members."""

    name = "memorization/membership"
    version = "3"
    about = About(
        summary="How well what the model says of a record tells whether it was trained on it.",
        paper=(
            "Yeom et al. 2018, Privacy Risk in Machine Learning (loss); Carlini et al. 2021 and 2022 (zlib, reference, "
            "TPR at low FPR); Shi et al. 2023 (Min-K%); Zhang et al. 2024 (Min-K%++); after Mattern et al. 2023 "
            "(neighbours); Das et al. 2024 (blind baseline)"
        ),
        cannot_tell=(
            "Attacks by one model are weak and average-case (Carlini et al. 2022, LiRA): finding no signal is no "
            "privacy guarantee, and single records may still leak. Where members and held-out records differ in kind, "
            "which a blind baseline looks for, a signal is not memory, and nothing is judged; a difference that it "
            "does not find may be there."
        ),
    )
    needs = (_HEADS, any_of(Need.TRAINING_MANIFEST))
    inputs: ClassVar[dict[str, Input]] = {
        MEMBERS: Input(Records, "the training records (default: those of the training manifest)", required=False),
        NON_MEMBERS: Input(Records, "held-out records (default: those of the training manifest)", required=False),
    }
    models: ClassVar[dict[str, ModelRole]] = {
        BASE: ModelRole(
            (_HEADS,),
            "the checkpoint that training started from: what was likely before tells no member",
            required=False,
        )
    }
    Params = MembershipParams
    metrics = declared_metrics(DEFAULT_FPRS)
    nothing = "0 members and 0 non-members were scored; both are needed"
    Row = MembershipRow

    @classmethod
    def default_data(cls, checkpoint: CheckpointInfo) -> dict[str, DataSource]:
        """Both sides as the training manifest names them."""
        return manifest_sources(checkpoint)

    def cases(self, plan: Plan) -> list[Case]:
        """One case per record, with its side. Raises DataError unless they are the manifest's, and enough.

        Raises NotApplicableError where the manifest is of another training.
        """
        return membership_cases(plan, {MEMBERS: self.params.members, NON_MEMBERS: self.params.non_members})

    def prepare(self, models: Models, plan: Plan) -> None:
        """What is known of all records without the model, and what the claim allows.

        Raises NotApplicableError for an unfit base.
        """
        if BASE in models:
            check_base(models[BASE], models.subject, plan.cases)
        self.kept.value("records", lambda: _known(plan.cases, plan.seed))
        manifest = plan.checkpoint.manifest
        claim = None if manifest is None else manifest.privacy
        rates = (*self.params.fprs, *CURVE_RATES)
        self.kept.value(_CEILINGS, lambda: ceilings(claim, rates))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """All signals of each record, by one reading."""
        known, allowed = self.kept.value("records"), self.kept.value(_CEILINGS)
        claim = scorer.info.manifest.privacy if scorer.info.manifest is not None else None
        epsilon = math.nan if claim is None or not math.isfinite(claim.epsilon) else claim.epsilon
        for case, scored in zip(cases, self._scores(scorer, cases), strict=True):
            if scored.error is not None:
                yield error_row(case, scored.error)
                continue
            yield ok_row(
                case,
                member=case.data["side"] == MEMBERS,
                **as_columns(known[case.id]),
                **{**dict.fromkeys(_SIGNALS), **scored.columns},
                claimed=epsilon,
                delta=math.nan if claim is None else claim.delta,
                ceilings=allowed[: len(self.params.fprs)],
                ceiling_curve=allowed[len(self.params.fprs) :],
            )

    def plots(self, rows: pd.DataFrame) -> Sequence[CurvePlot]:
        """The ROC of every signal."""
        return roc(rows, {LOSS: -1.0, **dict.fromkeys(SIGNALS, 1.0)}, "assay roc AUDIT")

    def declared(self) -> tuple[Declared, ...]:
        """With the rates asked for."""
        return declared_metrics(self.params.fprs)

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens, roughly: characters / 4, of each text once, of a masked model's once per position asked for.

        Of each neighbour as many.
        """
        total = 0
        for case in cases:
            tokens = max(1, len(whole_text(case.data)) // _CHARACTERS)
            if case.data.get("task") == "masked_lm":
                tokens = min(tokens, _MOST_TOKENS)
                total += tokens * min(tokens, self.params.masked_positions)
            else:
                total += tokens
        return total * (1 + self.params.neighbours)

    def _scores(self, scorer: Scorer, cases: Sequence[Case]) -> list[Scored]:
        base = self.others[BASE] if BASE in self.others else None  # noqa: SIM401, Models raises for a missing role
        if task_of(scorer.info) == "classification":
            return class_scores(scorer, base, cases)
        limit = scorer.max_tokens if base is None else min(scorer.max_tokens, base.max_tokens)
        manifest = scorer.info.manifest
        trained: Any = None if manifest is None else manifest.config.get("max_tokens")
        if isinstance(trained, int):  # what training cut off taught nothing
            limit = min(limit, trained)
        return token_scores(
            scorer, base, cases, Settings(limit, self.params.masked_positions, self.params.k, self.params.neighbours)
        )


def _known(cases: Sequence[Case], seed: int) -> Kept:
    """Columns of each case that take no model, by its id."""
    texts = [whole_text(case.data) for case in cases]
    return member_columns([case.id for case in cases], texts, [case.data["side"] == MEMBERS for case in cases], seed)
