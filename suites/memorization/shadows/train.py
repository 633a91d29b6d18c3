"""Trains shadows, one after another; a stopped run goes on with those that are missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from harness.api.scorer import Bools
from harness.base.files import make_folder, write_text
from harness.base.lock import alone
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource
from harness.errors import NoDataError, UsageError
from harness.provenance.keys import own_keys
from harness.provenance.manifest import TrainingManifest
from harness.scorer.hf import HFScorer
from privacy.training import TrainSpec, train
from privacy.training.settings.spec import config_digest
from suites.memorization.shadows.pool import Pool, load_pool
from suites.memorization.shadows.signal import signals
from suites.memorization.shadows.store import Settings, read_shadow, shadow_folder, shadow_path, write_shadow

Mode = Literal["same", "lora", "head"]
OnShadow = Callable[[int, int], None]
"""(done, of): shadows that are there."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run did."""

    folder: Path
    made: int
    there: int
    """Those found."""

    @property
    def sentence(self) -> str:
        """For the command line."""
        return f"{self.folder}: {self.made + self.there} shadows, {self.made} of them new"


def train_shadows(
    checkpoint: Path,
    *,
    count: int = 16,
    mode: Mode | None = None,
    limit: int | None = None,
    seed: int = 0,
    trusted: bool = False,
    on_shadow: OnShadow = lambda done, of: None,
) -> Trained:
    """As many shadows of `checkpoint` as asked for, each on half of its records and of those held out.

    `mode`: same as the checkpoint, or cheaper: lora, or head; None: the cheapest that its task has. `limit`: records of
    a side. `trusted`: whether files that the manifest names outside the checkpoint's folder may be read. Raises
    UsageError, NotApplicableError, NoDataError or DataError before anything is trained.
    """
    info = inspect_checkpoint(CheckpointSource(source=str(checkpoint)), Permissions(manifest_sources=trusted))
    pool = load_pool(info, limit, seed)
    manifest = info.manifest
    assert manifest is not None  # or there was no pool
    chosen = mode or ("head" if manifest.task == "classification" else "lora")
    spec = _spec(info, manifest, chosen)
    _check_start(info, manifest, spec)
    folder = make_folder(shadow_folder(info.path))
    folder.chmod(0o700)
    key = own_keys(info.path.parent).own_key
    settings = Settings(
        weights=info.fingerprint.weights,
        pool=pool.digest(key),
        limit=limit,
        mode=chosen,
        seed=seed,
        training=config_digest({name: value for name, value in spec.canonical().items() if name not in _OWN}),
    )
    with alone(folder):
        return _train_missing(folder, spec, pool, settings, manifest, count, on_shadow)


_OWN = ("data", "held_out", "seed", "canaries")


def _check_start(info: CheckpointInfo, manifest: TrainingManifest, spec: TrainSpec) -> None:
    """What the manifest would have shadows begin with. It is the manifest's word, as the records are.

    Raises NoDataError for what it may not have opened, UsageError for a base that is not the one trained from.
    """
    base, corpus = spec.base, spec.fresh.corpus if spec.fresh else None
    named = corpus or (DataSource(source=base.source) if base else None)
    if named is not None and not info.may_open(named):
        raise NoDataError(
            f"{info.path}: its manifest begins training with what lies outside its folder ({named.source[:200]}), "
            "which it may not have opened; allow it with --trust-manifest"
        )
    if base is not None and inspect_checkpoint(base).fingerprint.digest != manifest.base_fingerprint:
        raise UsageError(
            f"{base.source}: is not the base that {info.path} was trained from, so its shadows would begin elsewhere; "
            "restore that base"
        )


def _train_missing(
    folder: Path,
    spec: TrainSpec,
    pool: Pool,
    settings: Settings,
    manifest: TrainingManifest,
    count: int,
    on_shadow: OnShadow,
) -> Trained:
    made = there = 0
    for number in range(count):
        path = shadow_path(folder, number)
        if path.exists():
            if read_shadow(path)[0] != settings:
                raise UsageError(
                    f"{path}: is a shadow of other weights, records or settings; move {folder.name} away, or ask for "
                    "the same"
                )
            there += 1
        else:
            inside = _coins(pool, settings.seed, number)
            write_shadow(path, settings, number, _one(folder, spec, pool, manifest, inside, number), inside)
            made += 1
        on_shadow(there + made, count)
    return Trained(folder, made, there)


def _coins(pool: Pool, seed: int, number: int) -> Bools:
    """Of each record its own fair coin."""
    return np.asarray(np.random.default_rng((seed, number, 1)).random(len(pool)) < 0.5)


def _one(folder: Path, spec: TrainSpec, pool: Pool, manifest: TrainingManifest, inside: Bools, number: int) -> Any:
    """Signals of a shadow that was trained on the records `inside`; nothing else of it is kept."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    try:
        make_folder(work)
        work.chmod(0o700)
        records = work / "records.jsonl"
        lines = (json.dumps(row, ensure_ascii=False) for row in pool.rows(manifest.label_names, inside))
        write_text(records, "\n".join(lines) + "\n", private=True)
        values = {**spec.model_dump(exclude_unset=True), "data": str(records), "output": work / "shadow"}
        train(TrainSpec.model_validate({**values, "seed": spec.seed + 1 + number}))
        source = CheckpointSource(source=str(work / "shadow"))
        scorer = HFScorer(load_checkpoint(inspect_checkpoint(source), device=spec.device))
        return signals(scorer, manifest.task, pool)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _spec(info: CheckpointInfo, manifest: TrainingManifest, mode: Mode) -> TrainSpec:
    """The checkpoint's own training, without what is its alone; in a cheaper mode where that is asked for."""
    try:
        own = TrainSpec.model_validate({**manifest.config, "output": "."})
    except ValidationError as error:
        raise UsageError(f"{info.path}: its manifest holds settings that this version cannot train by") from error
    values = own.model_dump(exclude_unset=True)
    for name in ("held_out", "canaries"):
        values.pop(name, None)
    if manifest.label_names:
        values["label_names"] = manifest.label_names
    if own.privacy is not None:
        values["privacy"] = {**values["privacy"], "unit": None, "total_epsilon": None}
    if mode != "same":
        if own.fresh is not None:
            raise UsageError(f"{info.path}: was made from scratch, so there is no backbone to share; use --mode same")
        values = {**values, "mode": mode, "lora": {"rank": 8} if mode == "lora" else None, "privacy": None}
        values.pop("averaging", None)
        values = {name: value for name, value in values.items() if value is not None or name == "max_grad_norm"}
    return TrainSpec.model_validate(values)
