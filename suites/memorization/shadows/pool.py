"""The records that shadows are trained on: those of the checkpoint, and those held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from harness.api.scorer import Bools
from harness.checkpoint import CheckpointInfo
from harness.data.schemas import LabelledTexts, Texts
from harness.errors import NoDataError, NotApplicableError
from harness.provenance.manifest import TrainingManifest
from suites.memorization.members import MEMBERS, NON_MEMBERS, check_disjoint, load_side


@dataclass(frozen=True, slots=True)
class Pool:
    """Records of both sides in order, members first; all [records]."""

    texts: tuple[str, ...]
    pairs: tuple[str | None, ...]
    labels: tuple[int, ...]
    """Class of each; empty unless the task is classification."""
    member: Bools

    def __len__(self) -> int:
        return len(self.texts)

    def digest(self, key: bytes) -> str:
        """Keyed digest of all of it: shadows of other records are told apart, and nobody learns what these are."""
        digest = hashlib.blake2b(key=key[:64], digest_size=16)
        for row in zip(self.texts, self.pairs, self.labels or (0,) * len(self), self.member.tolist(), strict=True):
            digest.update(repr(row).encode())
        return digest.hexdigest()

    def rows(self, names: tuple[str, ...], chosen: Bools) -> list[dict[str, str]]:
        """Records `chosen` [records] as a file of training records has them, labels by class name."""
        found = []
        for place in np.flatnonzero(chosen):
            row = {"text": self.texts[place]}
            pair = self.pairs[place]
            found.append(
                {
                    **row,
                    **({} if pair is None else {"pair": pair}),
                    **({"label": names[self.labels[place]]} if names else {}),
                }
            )
        return found


def load_pool(checkpoint: CheckpointInfo, limit: int | None = None, seed: int = 0) -> Pool:
    """At most `limit` records of each side. Raises NotApplicableError, NoDataError or DataError without any."""
    manifest = checkpoint.manifest
    if manifest is None:
        raise NotApplicableError(f"{checkpoint.path}: has no training manifest, so nobody knows its records")
    if manifest.non_members is None:
        raise NoDataError(f"{checkpoint.path}: names no held-out records; train with held_out to compare members with")
    return _pool(checkpoint, manifest, limit, seed)


def _pool(checkpoint: CheckpointInfo, manifest: TrainingManifest, limit: int | None, seed: int) -> Pool:
    classes = manifest.task == "classification"
    schema = LabelledTexts if classes else Texts
    texts: list[str] = []
    pairs: list[str | None] = []
    labels: list[int] = []
    sides: list[bool] = []
    datasets = {side: load_side(checkpoint, manifest, side, schema, {}) for side in (MEMBERS, NON_MEMBERS)}
    check_disjoint(datasets)
    for side, dataset in datasets.items():
        frame = dataset.frame
        rng = np.random.default_rng((seed, side == MEMBERS))
        kept = np.sort(rng.permutation(len(frame))[:limit]) if limit is not None else np.arange(len(frame))
        known = dataset.labels.classes(checkpoint.labels) if classes else []
        texts += [str(frame["text"].iloc[place]) for place in kept]
        pairs += [str(frame["pair"].iloc[place]) if "pair" in frame.columns else None for place in kept]
        labels += [known[place] for place in kept] if classes else []
        sides += [side == MEMBERS] * len(kept)
    return Pool(tuple(texts), tuple(pairs), tuple(labels), np.array(sides, dtype=np.bool_))
