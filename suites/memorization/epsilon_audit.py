"""`memorization/epsilon_audit`: how large an epsilon do canaries prove, beside the one that is claimed?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import Computed, Declared, Named, Rows
from harness.api.metrics import Alarm, Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row
from harness.api.scorer import Bools, Scorer
from harness.errors import NoDataError, NotApplicableError
from privacy.audit import LowerBound, best_guesses, clopper_pearson_bound, one_run_bound
from privacy.audit.guesses import Signs
from privacy.canaries.canary import Canary
from privacy.canaries.store import CANARIES, COINS, open_coins, read_canaries
from suites.memorization.canary_scores import canary_scores, task_of

_FEW = 100
"""Canaries below which no attack shows an epsilon of 3.5: ceilings are printed beside every bound."""
_DELTA = 1e-5
"""Of a bound on a training that claims nothing."""
GUESSED = (0.1, 0.3, 1.0)
"""Few guesses are best where a model gives a few canaries away, all where it gives all away; three cost little."""


class EpsilonAuditParams(ProbeParams):
    """What is guessed is fixed here, before any coin is looked at."""

    guessed: tuple[float, ...] = Field(
        default=GUESSED,
        min_length=1,
        description="shares of the canaries that a guess is made for, half of each at either end; of several the best "
        "bound counts, each at a part of the error (Bonferroni)",
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
    score: Series[float] = column("how much the model prefers it: larger for what it was trained on", "nats")
    planted: Series[bool] = column("whether its coin planted it")
    delta: Series[float] = column("delta of the claim, or of this audit where none is made", ge=0, le=1)
    claimed: Series[float] = column("epsilon that the training claims for one record; empty: none", nullable=True)


_PROVES = "what one run proves, at least; an ideal attack on a true epsilon of 3 proves about 1 with 1,000 canaries"


def _declared(guessed: Sequence[float], confidence: float) -> tuple[Declared, ...]:
    return (
        Computed(
            (
                Named("epsilon_lower", Better.LOWER, note=_PROVES, bounds=(0.0, 64.0)),
                Named("epsilon_lower_heuristic", Better.LOWER, bounds=(0.0, 64.0), headline=False),
                Named("guesses_right", Better.LOWER, unit="rate", note="0.5: the model tells nothing of its canaries"),
            ),
            partial(_measure, guessed, confidence),
        ),
    )


def _measure(guessed: Sequence[float], confidence: float, rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    # the order of canaries decides between equal scores: by id, which no coin has a part in
    good = rows.good.sort_values("case_id", kind="stable").reset_index(drop=True)
    planted = good["planted"].to_numpy(bool)
    delta, claimed = float(good["delta"].iloc[0]), float(good["claimed"].iloc[0])
    part = 1 - (1 - confidence) / len(guessed)
    bounds = [_bound(_guesses(good, share), planted, len(good) + rows.missing, delta, part) for share in guessed]
    best = max(bounds, key=lambda bound: bound.epsilon)
    yield _bounded(named["epsilon_lower"], replace(best, confidence=confidence), claimed, rows.missing)
    yield _heuristic(named["epsilon_lower_heuristic"], good, guessed[0], best, rows.missing)
    most = max(bounds, key=lambda bound: bound.guesses)
    if most.guesses:
        yield named["guesses_right"].share(most.right, most.guesses, missing=rows.missing)
    else:
        yield named["guesses_right"].none("no guess was made: plant more canaries of a kind", missing=rows.missing)


def _bound(signs: Signs, planted: Bools, canaries: int, delta: float, confidence: float) -> LowerBound:
    right = int(((signs == 1) & planted).sum() + ((signs == -1) & ~planted).sum())
    made = int(np.count_nonzero(signs))
    return one_run_bound(canaries=canaries, guesses=made, right=right, delta=delta, confidence=confidence)


def _guesses(good: pd.DataFrame, share: float) -> Signs:
    """Among the canaries of each kind by themselves: scores of two kinds cannot be compared; [canaries]."""
    signs = np.zeros(len(good), dtype=np.int64)
    for _, group in good.groupby("kind", sort=True):
        ends = max(1, int(share * len(group) / 2)) if len(group) > 1 else 0
        places = group.index.to_numpy()
        signs[places] = best_guesses(group["score"].to_numpy(np.float64), ends, ends).signs
    return signs


def _bounded(named: Named, bound: LowerBound, claimed: float, missing: int) -> Metric:
    m = bound.canaries
    said = f"at delta {bound.delta:.3g}; {m} canaries could show at most {bound.ceiling:.2f}"
    if m < _FEW:
        said += f", too few to tell much: plant {_FEW} or more"
    if not math.isnan(claimed):
        said += f"; claimed: at most {claimed:.4g}"
    metric = _one_sided(named, bound, missing, note=f"{said}; {_PROVES}")
    if math.isnan(claimed) or bound.epsilon <= claimed:
        return metric
    reason = (
        f"{bound.right} of {bound.guesses} guesses on {m} canaries were right, which a training with epsilon <= "
        f"{claimed:.4g} allows in fewer than {1 - bound.confidence:.2g} of all audits; a bug in the training or in its "
        "accounting is the likeliest cause"
    )
    return metric.model_copy(update={"alarm": Alarm(bound=claimed, reason=reason)})


def _heuristic(named: Named, good: pd.DataFrame, share: float, bound: LowerBound, missing: int) -> Metric:
    """Clopper and Pearson's bound, at the threshold that the upper guesses are above."""
    planted = good["planted"].to_numpy(bool)
    called = _guesses(good, share) == 1
    if planted.all() or not planted.any():
        return named.none("all canaries were planted, or none", missing=missing)
    found = clopper_pearson_bound(
        planted=int(planted.sum()),
        others=int((~planted).sum()),
        true_positives=int((called & planted).sum()),
        false_positives=int((called & ~planted).sum()),
        delta=bound.delta,
        confidence=bound.confidence,
    )
    note = "holds only where canaries do not influence each other, which nobody checked; never an alarm"
    return _one_sided(named, found, missing, note=note)


def _one_sided(named: Named, bound: LowerBound, missing: int, *, note: str) -> Metric:
    """Both ends are the bound: it is the end of an interval itself, and epsilon may be anything above it."""
    metric = named.value(bound.epsilon, None, bound.canaries, missing=missing, note=note)
    ends = {"low": bound.epsilon, "high": bound.epsilon, "level": bound.confidence}
    return metric.model_copy(update={**ends, "interval": f"lower bound, {bound.method}"})


class EpsilonAudit(Probe[EpsilonAuditParams]):
    """One training run, its canaries, and guesses which of them were planted."""

    name = "memorization/epsilon_audit"
    about = About(
        summary="A lower bound on epsilon, from guesses which canaries the training had planted.",
        paper="Steinke, Nasr & Jagielski 2023, Privacy Auditing with One (1) Training Run",
        cannot_tell=(
            "It proves that epsilon is at least so large, never that it is so small: an attack by scores of the final "
            "model finds much less than the guarantee allows, and no attack shows more than the ceiling of so many "
            "canaries. Canaries that are easier to remember than any record are needed for a bound near the truth."
        ),
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER, Need.CAUSAL_LM, Need.MASKED_LM), any_of(Need.TRAINING_MANIFEST))
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
        canaries = read_canaries(plan.checkpoint.path, manifest.canaries.files[CANARIES]).canaries
        single = [(place, canary) for place, canary in enumerate(canaries) if canary.repetitions == 1]
        if not single:
            raise NoDataError(
                "every canary was planted several times, and a claim is about one record; plant some with repetitions: "
                "[1]"
            )
        return make_cases({"place": place, **canary.model_dump(mode="json")} for place, canary in single)

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens, roughly: characters / 4, of each text once."""
        return sum(len(case.data["text"]) + len(case.data["pair"] or "") for case in cases) // 4

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """Scores first; the coins are opened when there is no score left to be made."""
        info = scorer.info
        manifest = info.manifest
        assert manifest is not None
        assert manifest.canaries is not None
        canaries = [Canary(**{name: case.data[name] for name in Canary.model_fields}) for case in cases]
        scores = canary_scores(scorer, manifest.task, canaries, info.labels)
        coins = open_coins(info.path, manifest.canaries.files[COINS])
        claim = manifest.privacy
        claimed = math.nan if claim is None else claim.epsilon if claim.run_epsilon is None else claim.run_epsilon
        for case, canary, score in zip(cases, canaries, scores, strict=True):
            if score.value is None:
                yield error_row(case, score.error or "no score")
                continue
            yield {
                "case_id": case.id,
                "status": "ok",
                "error": None,
                "kind": canary.kind,
                "score": score.value,
                "planted": coins.planted[case.data["place"]],
                "delta": claim.delta if claim else _DELTA,
                "claimed": claimed if math.isfinite(claimed) else math.nan,
            }

    def declared(self) -> tuple[Declared, ...]:
        """With the guesses and confidence asked for."""
        return _declared(self.params.guessed, self.params.confidence)
