"""`memorization/shadow_attack`: LiRA and RMIA, membership by comparison with shadow models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field, field_validator
from scipy.special import log_expit

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.curves import CurvePlot
from harness.api.declared import Computed, Declared, Named, Rows
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.api.models import Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Plan, Probe, ProbeParams, RowDict, error_row, ok_row
from harness.api.scorer import Bools, Floats, Scorer
from harness.checkpoint import CheckpointInfo
from harness.errors import NotApplicableError
from harness.provenance.keys import read_keys
from harness.provenance.manifest import TrainingManifest
from suites.memorization.hygiene.ceilings import CURVE_RATES, ceilings
from suites.memorization.hygiene.columns import MemberRow, as_columns, member_columns
from suites.memorization.hygiene.judgeable import BLIND_AUC, blind_auc, where_both_sides, where_judgeable
from suites.memorization.hygiene.rates import DEFAULT_FPRS, rate, rate_name, side_of
from suites.memorization.hygiene.roc import roc
from suites.memorization.shadows.pool import Pool, load_pool
from suites.memorization.shadows.signal import signals
from suites.memorization.shadows.store import Shadows, read_shadows
from suites.memorization.signals.lira import lira_offline, lira_online
from suites.memorization.signals.rmia import marginal, rmia

ONLINE, OFFLINE = "lira", "lira_offline"
ATTACKS = (ONLINE, OFFLINE, "rmia")
_AUC_NOTE = "0.5: nothing is told; 1: every member"
UNALIKE = (
    "not comparable: the shadows were trained otherwise than the checkpoint (in another mode, or without its privacy), "
    "so its values lie beyond both normals of a record, and which tail is the higher there says nothing; train them "
    "with --mode same, or read offline LiRA and RMIA"
)
"""Why online LiRA has no value. On toy classifiers (12, 100 members, 16 shadows), targets trained in full:
an online AUC of 0.895 by shadows trained in full and 0.598 (0.478 to 0.679) by shadows whose head alone was trained,
where the loss alone has 0.799; offline LiRA 0.829 and 0.846, RMIA 0.854 and 0.827."""


class ShadowAttackParams(ProbeParams):
    """At which false-positive rates the attacks are read."""

    fprs: tuple[float, ...] = Field(default=DEFAULT_FPRS, description="false-positive rates not to be exceeded")
    gamma: float = Field(default=1.0, gt=0, description="of RMIA: how much more a record must gain than another")

    @field_validator("fprs")
    @classmethod
    def _rates(cls, fprs: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < fpr < 1 for fpr in fprs) or len({f"{100 * fpr:g}" for fpr in fprs}) != len(fprs):
            raise ValueError("different rates above 0 and below 1")
        return fprs


class ShadowAttackRow(MemberRow):
    """One record, and what the attacks make of it."""

    alike: Series[bool] = column("whether the shadows were trained as the checkpoint was, in mode and privacy")
    signal: Series[float] = column("log odds of its class, or mean log-probability of a token", "nats")
    inside: Series[int] = column("shadows that saw it", ge=0)
    outside: Series[int] = column("shadows that did not", ge=0)
    lira: Series[float] = column(
        "log likelihood ratio of member to non-member, from shadows of both kinds; empty where they are not alike",
        "nats",
        nullable=True,
    )
    lira_offline: Series[float] = column("deviations above the shadows that did not see it")
    rmia: Series[float] = column(
        "share of held-out records that gain less from the model; of one itself half", "rate", ge=0, le=1
    )


def _key(attack: str, fpr: float) -> str:
    return f"{attack}_tpr_at_fpr_{100 * fpr:g}pct"


def _declared(fprs: Sequence[float]) -> tuple[Declared, ...]:
    found: list[Declared] = []
    for attack in ATTACKS:
        named = (
            Named(f"{attack}_auc", Better.LOWER, bounds=UNIT, note=_AUC_NOTE),
            *(rate_name(_key(attack, fpr), fpr) for fpr in fprs),
        )
        found.append(Computed(named, where_judgeable(partial(_measure, attack, fprs))))
    return (*found, Computed((BLIND_AUC,), where_both_sides(_blind)))


def _measure(attack: str, fprs: Sequence[float], rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    if attack == ONLINE and not rows.good["alike"].all():
        yield from (each.none(UNALIKE, missing=rows.missing) for each in named.values())
        return
    side, area = side_of(rows.good, attack), named[f"{attack}_auc"]
    note = f"{_AUC_NOTE}; {_distance(rows.good)}" if attack in (ONLINE, OFFLINE) else _AUC_NOTE
    yield area.value(*side.area, min(side.sizes), missing=rows.missing, note=note)
    for fpr in fprs:
        yield rate(named[_key(attack, fpr)], side, fpr, rows.missing)


def _distance(good: pd.DataFrame) -> str:
    """How far the model's values of records it did not see lie from those of shadows that did not see them either."""
    deviations = side_of(good, OFFLINE).non_members
    return (
        f"held-out records lie {math.sqrt(np.square(deviations).mean()):.3g} deviations (root mean square) from the "
        "shadows that did not see them; about 1 where shadows are like the checkpoint"
    )


def _blind(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    yield blind_auc(rows, named[BLIND_AUC.key])


class ShadowAttack(Probe[ShadowAttackParams]):
    """Membership attacks that know how other models, trained alike, answer on each record."""

    name = "memorization/shadow_attack"
    version = "4"
    about = About(
        summary="How well LiRA and RMIA tell the records that a checkpoint was trained on.",
        paper="Carlini et al. 2022 (LiRA); Zarifzadeh, Liu & Shokri 2024 (RMIA)",
        cannot_tell=(
            "Shadows that were trained more cheaply than the checkpoint (its head, or adapters, alone) say less about "
            "it than shadows trained as it was, and nothing by online LiRA; few shadows say less than many. No signal "
            "is no privacy guarantee, and where a blind baseline tells members from held-out records by their texts, "
            "nothing is judged."
        ),
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER, Need.CAUSAL_LM, Need.MASKED_LM), any_of(Need.TRAINING_MANIFEST))
    Params = ShadowAttackParams
    metrics = _declared(DEFAULT_FPRS)
    nothing = "no record could be scored"
    Row = ShadowAttackRow

    def cases(self, plan: Plan) -> list[Case]:
        """One per record of the shadows. Raises NoDataError where there are none, UsageError where they are others'."""
        shadows, pool = _shadows(plan.checkpoint)
        items = (
            {"place": place, "text": text, "pair": pair, "member": bool(member), "label": label}
            for place, (text, pair, member, label) in enumerate(
                zip(pool.texts, pool.pairs, pool.member, pool.labels or (0,) * len(pool), strict=True)
            )
        )
        assert shadows.signals.shape[1] == len(pool)  # the digest of the records is that of the pool
        return make_cases(items)

    def prepare(self, models: Models, plan: Plan) -> None:
        """The checkpoint's own signal of every record, as RMIA compares each with all; what is known without it."""
        manifest = plan.checkpoint.manifest
        assert manifest is not None  # or there were no cases
        pool = Pool(
            tuple(case.data["text"] for case in plan.cases),
            tuple(case.data["pair"] for case in plan.cases),
            tuple(case.data["label"] for case in plan.cases),
            np.array([case.data["member"] for case in plan.cases], dtype=np.bool_),
        )
        places = np.array([case.data["place"] for case in plan.cases])
        name = _name(plan.checkpoint)
        self.kept.arrays(name, lambda: self._attacks(models.subject, plan.checkpoint, pool, places))
        ids, texts = [case.id for case in plan.cases], [_whole(case) for case in plan.cases]
        self.kept.value("records", lambda: member_columns(ids, texts, pool.member.tolist(), plan.seed))
        self.kept.value("ceiling curve", lambda: ceilings(manifest.privacy, CURVE_RATES))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """No further question: everything was asked in `prepare`."""
        kept, known = self.kept.arrays(_name(scorer.info)), self.kept.value("records")
        allowed, alike = self.kept.value("ceiling curve"), bool(kept["alike"])
        at = {int(place): number for number, place in enumerate(kept["place"])}
        for case in cases:
            number = at[case.data["place"]]
            values = {name: float(kept[name][number]) for name in ("signal", *ATTACKS)}
            if not all(np.isfinite(value) for name, value in values.items() if alike or name != ONLINE):
                yield error_row(
                    case, "no signal of it under the checkpoint or a shadow, or all shadows saw it, or none"
                )
                continue
            counts = {name: int(kept[name][number]) for name in ("inside", "outside")}
            about = {"member": case.data["member"], **as_columns(known[case.id]), "ceiling_curve": allowed}
            yield ok_row(case, **about, alike=alike, **values, **counts)

    def plots(self, rows: pd.DataFrame) -> Sequence[CurvePlot]:
        """The ROC of every attack that has a value."""
        alike = bool(rows.loc[rows["status"] == "ok", "alike"].all())
        shown = [attack for attack in ATTACKS if alike or attack != ONLINE]
        return roc(rows, dict.fromkeys(shown, 1.0), "assay roc AUDIT --attack shadow_attack")

    def declared(self) -> tuple[Declared, ...]:
        """With the rates asked for."""
        return _declared(self.params.fprs)

    def _attacks(self, scorer: Scorer, info: CheckpointInfo, pool: Pool, places: np.ndarray) -> dict[str, np.ndarray]:
        """Scores of every record by every attack, [records]; NaN where there is none."""
        manifest = info.manifest
        assert manifest is not None
        shadows, _ = _shadows(info)
        values, inside = shadows.signals[:, places], shadows.inside[:, places]
        target = signals(scorer, manifest.task, pool)
        usable = np.isfinite(target) & np.isfinite(values).all(axis=0) & inside.any(axis=0) & ~inside.all(axis=0)
        out = {name: np.full(len(pool), np.nan) for name in ATTACKS}
        alike = trained_alike(manifest, shadows.settings.mode)
        if usable.any():
            seen = (target[usable], values[:, usable], inside[:, usable])
            out[OFFLINE][usable] = lira_offline(*seen)
            if alike:
                out[ONLINE][usable] = lira_online(*seen)
            classes = manifest.task == "classification"
            out["rmia"][usable] = _rmia(*seen, ~pool.member[usable], self.params.gamma, odds=classes)
        counts = {"inside": inside.sum(axis=0), "outside": (~inside).sum(axis=0)}
        return {"place": places, "signal": target, "alike": np.array(alike), **counts, **out}


def trained_alike(manifest: TrainingManifest, mode: str) -> bool:
    """Whether shadows of a mode were trained as a manifest's checkpoint was; those of head and lora have no privacy."""
    own = manifest.config.get("mode") or ("lora" if manifest.config.get("lora") else "full")
    return mode == "same" or (mode == own and manifest.privacy is None)


def _rmia(target: Floats, shadows: Floats, inside: Bools, population: Bools, gamma: float, *, odds: bool) -> Floats:
    """Against the held-out records; p(x) is the mean of shadows that saw x and of those that did not, half each.

    One of them, which gains what it gains itself, counts itself half at gamma 1: else the member next below it would
    tie with it, and the AUC of a model that tells nothing would be one half and 1 / 2k.
    """
    if not population.any():
        return np.full(len(target), np.nan)
    logs, theirs = (log_expit(target), log_expit(shadows)) if odds else (target, shadows)
    common = marginal(theirs, inside)
    shares = rmia(logs, common, logs[population], common[population], gamma)
    if gamma == 1:
        shares[population] += 0.5 / population.sum()
    return shares


def _whole(case: Case) -> str:
    """All that is known of a record's texts, in one; a blind baseline reads it."""
    return case.data["text"] if case.data["pair"] is None else f"{case.data['text']}\n{case.data['pair']}"


def _name(info: CheckpointInfo) -> str:
    """What its attacks are kept under: more shadows, or others, are another answer to the same cases."""
    return f"attacks by {read_shadows(info.path, {}).digest}"


def _shadows(info: CheckpointInfo) -> tuple[Shadows, Pool]:
    """Those beside the checkpoint, and their records. Raises as `read_shadows` and `load_pool` do."""
    if info.manifest is None:
        raise NotApplicableError("needs a training manifest, which names its records")
    shadows = read_shadows(info.path, {"weights": info.fingerprint.weights})
    pool = load_pool(info, shadows.settings.limit, shadows.settings.seed)
    keys = read_keys(info.path.parent)
    if keys is not None:
        read_shadows(info.path, {"pool": pool.digest(keys.own_key)})
    return shadows, pool
