"""`memorization/epsilon_audit`: how large an epsilon do canaries prove, beside the one that is claimed?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar

import pandas as pd
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Computed, Declared, Named, Rows
from harness.api.metrics import Alarm, Better, Metric
from harness.api.models import ModelRole, Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Scorer
from harness.checkpoint import CheckpointInfo
from harness.errors import NoDataError, NotApplicableError, WrongDataError
from harness.provenance.manifest import PrivacyClaim
from harness.stats.places import places
from privacy.accounting import AccountingError
from privacy.audit import Audited, Bound, alarm, audit_independent, audit_one_run, guess
from privacy.audit.own_curve import TradeOff, audit_own_curve, hypotheses
from privacy.canaries.canary import Canary
from privacy.canaries.store import open_coins, read_canaries
from suites.memorization.canary_scores import TASKS, canary_scores, less, task_of
from suites.memorization.hygiene.ceilings import mechanisms_of

_FEW = 100
"""Canaries below which no attack shows an epsilon of 3.5: ceilings are printed beside every bound."""
_DELTA = 1e-5
"""Of a bound on a training that claims nothing."""
BASE, _CURVES, _FIRST = "base", "curves", "first"
_HEADS = any_of(Need.SEQUENCE_CLASSIFIER, Need.CAUSAL_LM, Need.MASKED_LM)
GUESSED = (0.02, 0.1, 0.3, 1.0)
"""Few guesses are best where a model gives a few canaries away, all where it gives all away; four cost little."""


class EpsilonAuditParams(ProbeParams):
    """What is guessed is fixed here, before any coin is looked at."""

    guessed: tuple[float, ...] = Field(
        default=GUESSED,
        min_length=1,
        description="shares of the canaries that a guess is made for, half of each at either end, or the upper half "
        "alone; of all these the best bound counts, each at its part of the error (Bonferroni)",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="how often a bound like this holds, at least")

    @field_validator("guessed")
    @classmethod
    def _shares(cls, guessed: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share <= 1 for share in guessed) or len(set(guessed)) != len(guessed):
            raise ValueError("different shares above 0 and at most 1")
        return guessed


class EpsilonAuditRow(ProbeRow):
    """One canary. Its text stays out; its coin is looked up when its score is known."""

    kind: Series[str] = column("kind of canary")
    label: Series[str] = column("class it is planted with; '' where there are none")
    score: Series[float] = column("how much the model prefers it: larger for what it was trained on", "nats")
    calibrated: Series[bool] = column("whether what the base prefers by itself was taken off the score")
    planted: Series[bool] = column("whether its coin planted it")
    delta: Series[float] = column("delta of the claim, or of this audit where none is made", ge=0, le=1)
    curves: Series[object] = list_column(
        "trade-off curves of the claimed accounting at several sizes of noise: of each its epsilon at delta, then all "
        "its epsilons, then their deltas; in the first canary's row alone, none without such a claim",
        of="double",
        depth=2,
    )
    claimed: Series[float] = column("epsilon that the training claims for one record; empty: none", nullable=True)


_PROVES = "what one run proves, at least; an ideal attack on a true epsilon of 3 proves about 1 with 1,000 canaries"

_CEILING = "the most that epsilon_lower could be with so many canaries: what all of them guessed rightly would show"


def _declared(guessed: Sequence[float], confidence: float) -> tuple[Declared, ...]:
    return (
        Computed(
            (
                Named("epsilon_lower", Better.LOWER, note=_PROVES, bounds=(0.0, 64.0)),
                Named("epsilon_ceiling", Better.NEITHER, bounds=(0.0, 64.0), headline=False, note=_CEILING),
                Named("epsilon_lower_gaussian", Better.LOWER, bounds=(0.0, 64.0), headline=False),
                Named("epsilon_lower_own_curve", Better.LOWER, bounds=(0.0, 64.0), headline=False),
                Named("epsilon_lower_independent", Better.LOWER, bounds=(0.0, 64.0), headline=False),
                Named("guesses_right", Better.LOWER, unit="rate", note="0.5: the model tells nothing of its canaries"),
            ),
            partial(_measure, guessed, confidence),
        ),
    )


def _measure(guessed: Sequence[float], confidence: float, rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    scores = places(*(rows.good[name] for name in ("score", "kind", "label")))
    planted = rows.good["planted"].to_numpy(bool)
    delta, claimed = float(rows.good["delta"].iloc[0]), float(rows.good["claimed"].iloc[0])
    ends = [max(1, int(share * len(scores) / 2)) if len(scores) > 1 else 0 for share in guessed]
    counts = [(end, below) for end in ends for below in (end, 0)]
    found = {
        bound: audit_one_run(scores, planted, counts, delta, confidence, bound)
        for bound in (Bound.ONE_RUN, Bound.ONE_RUN_GAUSSIAN)
    }
    yield _bounded(named["epsilon_lower"], found[Bound.ONE_RUN], claimed, rows.missing)
    yield named["epsilon_ceiling"].value(found[Bound.ONE_RUN].ceiling, None, len(scores), missing=rows.missing)
    yield _assuming(named["epsilon_lower_gaussian"], found[Bound.ONE_RUN_GAUSSIAN], rows.missing)
    curves = _curves(rows.good)
    if curves:
        own = audit_own_curve(scores, planted, counts, delta, confidence, curves)
        yield _assuming(named["epsilon_lower_own_curve"], own, rows.missing)
    else:
        why = (
            "no claim whose accounting is that of sampled Gaussian sums, so there is no curve of its own; or the first "
            "canary, whose row holds it, has no score"
        )
        yield named["epsilon_lower_own_curve"].none(why, missing=rows.missing)
    thresholds = [1 - end / len(scores) for end in ends]
    independent = audit_independent(scores, planted, thresholds, delta, confidence)
    yield _assuming(named["epsilon_lower_independent"], independent, rows.missing)
    most = max((guess(scores, planted, *each) for each in counts), key=lambda each: each.made)
    if most.made:
        yield named["guesses_right"].share(most.right, most.made, missing=rows.missing)
    else:
        yield named["guesses_right"].none("no guess was made: plant more canaries", missing=rows.missing)


def _curves(good: pd.DataFrame) -> list[TradeOff]:
    """Those that one row holds."""
    held = next((value for value in good["curves"] if len(value)), ())
    return [_curve(float(epsilon), list(rest)) for epsilon, *rest in held]


def _curve(epsilon: float, rest: list[float]) -> TradeOff:
    half = len(rest) // 2
    return TradeOff(epsilon, tuple(rest[:half]), tuple(rest[half:]))


def _bounded(named: Named, found: Audited, claimed: float, missing: int) -> Metric:
    m = found.canaries
    said = f"at delta {found.delta:.3g}; {m} canaries could show at most {found.ceiling:.2f}"
    if m < _FEW:
        said += f", too few to tell much: plant {_FEW} or more"
    if not math.isnan(claimed):
        said += f"; claimed: at most {claimed:.4g}"
    metric = _one_sided(named, found, missing, note=f"{said}; {_PROVES}")
    if math.isnan(claimed) or not alarm(found.lower, claimed):
        return metric
    reason = (
        f"{found.right} of {found.guesses} guesses on {m} canaries were right, which a training with epsilon <= "
        f"{claimed:.4g} allows in fewer than {1 - found.confidence:.2g} of all audits; a bug in the training or in its "
        "accounting is the likeliest cause"
    )
    return metric.model_copy(update={"alarm": Alarm(bound=claimed, reason=reason)})


def _assuming(named: Named, found: Audited, missing: int) -> Metric:
    return _one_sided(named, found, missing, note=f"only where {found.assumes}; never an alarm")


def _one_sided(named: Named, found: Audited, missing: int, *, note: str) -> Metric:
    """Both ends are the bound: it is the end of an interval itself, and epsilon may be anything above it."""
    metric = named.value(found.lower, None, found.canaries, missing=missing, note=note)
    ends = {"low": found.lower, "high": found.lower, "level": found.confidence}
    return metric.model_copy(update={**ends, "interval": f"lower bound: {found.bound.value}"})


def _fit(base: Scorer, info: CheckpointInfo) -> Scorer:
    """The base, where it answers as the checkpoint does. Raises NotApplicableError where it has another head."""
    task = task_of(info)
    if TASKS[task] not in base.info.offers or base.info.labels != info.labels:
        raise NotApplicableError(
            "the base has another head than the checkpoint, so its scores cannot be compared; leave the role base out"
        )
    return base


def _own_curves(claim: PrivacyClaim | None) -> list[list[float]]:
    """As rows hold them; none where nothing is claimed, or the accountant cannot say."""
    mechanisms = None if claim is None else mechanisms_of(claim)
    if claim is None or not mechanisms:
        return []
    try:
        found = hypotheses(mechanisms, claim.delta)
    except AccountingError:
        return []
    return [[each.epsilon, *each.epsilons, *each.deltas] for each in found]


def _check_claim(info: CheckpointInfo, claim: PrivacyClaim) -> None:
    """Raises WrongDataError for numbers that no claim can have: nothing can be held against them."""
    epsilons = [claim.epsilon, *([] if claim.run_epsilon is None else [claim.run_epsilon])]
    if not 0 < claim.delta < 1 or not all(epsilon >= 0 for epsilon in epsilons):
        shown = " and ".join(f"{epsilon:g}" for epsilon in epsilons)
        raise WrongDataError(
            f"{info.path}: its manifest claims epsilon {shown} at delta {claim.delta:g}, which no training can have; "
            "restore the manifest that training wrote"
        )


class EpsilonAudit(Probe[EpsilonAuditParams]):
    """One training run, its canaries, and guesses which of them were planted."""

    name = "memorization/epsilon_audit"
    version = "2"
    about = About(
        summary="A lower bound on epsilon, from guesses which canaries the training had planted.",
        paper="Steinke, Nasr & Jagielski 2023, Privacy Auditing with One (1) Training Run",
        cannot_tell=(
            "It proves that epsilon is at least so large, never that it is so small: an attack by scores of the final "
            "model finds much less than the guarantee allows, and no attack shows more than the ceiling of so many "
            "canaries. Canaries that are easier to remember than any record are needed for a bound near the truth."
        ),
    )
    needs = (_HEADS, any_of(Need.TRAINING_MANIFEST))
    models: ClassVar[dict[str, ModelRole]] = {
        BASE: ModelRole(
            (_HEADS,),
            "the checkpoint that training started from: what it prefers by itself tells no canary",
            required=False,
        )
    }
    Params = EpsilonAuditParams
    metrics = _declared(GUESSED, 0.95)
    nothing = "no canary could be scored"
    Row = EpsilonAuditRow

    def cases(self, plan: Plan) -> list[Case]:
        """One per canary of one copy: a claim is about one record. Raises NotApplicableError where there is none."""
        manifest = plan.checkpoint.manifest
        if manifest is None or manifest.canaries is None:
            raise NotApplicableError("its training planted no canaries; train with --canaries to have epsilon audited")
        task_of(plan.checkpoint)
        if manifest.privacy is not None:
            _check_claim(plan.checkpoint, manifest.privacy)
        canaries = read_canaries(plan.checkpoint.path, manifest.artefacts).canaries
        single = [(place, canary) for place, canary in enumerate(canaries) if canary.repetitions == 1]
        if not single:
            raise NoDataError(
                "every canary was planted several times, and a claim is about one record; plant some with repetitions: "
                "[1]"
            )
        return make_cases({"place": place, **canary.model_dump(mode="json")} for place, canary in single)

    def prepare(self, models: Models, plan: Plan) -> None:
        """The curves that the training's own accounting allows."""
        manifest = plan.checkpoint.manifest
        self.kept.value(_FIRST, lambda: plan.cases[0].data["place"])
        self.kept.value(_CURVES, lambda: _own_curves(None if manifest is None else manifest.privacy))

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens, roughly: characters / 4, of each text once."""
        return sum(len(case.data["text"]) + len(case.data["pair"] or "") for case in cases) // 4

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """Scores first; the coins are opened when there is no score left to be made."""
        info = scorer.info
        manifest = info.manifest
        assert manifest is not None
        canaries = [Canary(**{name: case.data[name] for name in Canary.model_fields}) for case in cases]
        scores = canary_scores(scorer, manifest.task, canaries, info.labels)
        if BASE in self.others:
            before = canary_scores(_fit(self.others[BASE], info), manifest.task, canaries, info.labels)
            scores = [less(score, base) for score, base in zip(scores, before, strict=True)]
        coins, claim = open_coins(info.path, manifest.artefacts), manifest.privacy
        curves = self.kept.value(_CURVES, lambda: _own_curves(claim))
        first = self.kept.value(_FIRST, lambda: cases[0].data["place"])
        claimed = math.nan if claim is None else claim.epsilon if claim.run_epsilon is None else claim.run_epsilon
        for case, canary, score in zip(cases, canaries, scores, strict=True):
            if score.value is None:
                yield error_row(case, score.error or "no score")
                continue
            yield ok_row(
                case,
                kind=canary.kind,
                label=canary.label or "",
                score=score.value,
                calibrated=BASE in self.others,
                planted=coins.planted[case.data["place"]],
                delta=claim.delta if claim else _DELTA,
                curves=curves if case.data["place"] == first else [],
                claimed=claimed if math.isfinite(claimed) else math.nan,
            )

    def declared(self) -> tuple[Declared, ...]:
        """With the guesses and confidence asked for."""
        return _declared(self.params.guessed, self.params.confidence)
