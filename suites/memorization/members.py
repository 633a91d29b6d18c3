"""The records a checkpoint was trained on and those held out, as its training manifest names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
import pandera.pandas as pa

from harness.checkpoint import CheckpointInfo
from harness.data.datasets import Dataset, DataSource, load_dataset, without_other_labels
from harness.errors import NoDataError, WrongDataError
from harness.provenance.keys import same_digest
from harness.provenance.manifest import TrainingManifest
from privacy.corpus.same import plain

MEMBERS, NON_MEMBERS = "members", "non_members"


def manifest_sources(checkpoint: CheckpointInfo) -> dict[str, DataSource]:
    """Sources of members and non-members, where the checkpoint's manifest names some that may be opened."""
    manifest = checkpoint.manifest
    if manifest is None:
        return {}
    named = {MEMBERS: manifest.members, NON_MEMBERS: manifest.non_members}
    return {side: source for side, source in named.items() if source is not None and checkpoint.may_open(source)}


def load_side(
    checkpoint: CheckpointInfo,
    manifest: TrainingManifest,
    side: str,
    schema: type[pa.DataFrameModel],
    loaded: Mapping[str, Dataset],
) -> Dataset:
    """One side's records, taken from `loaded` where it is there. Raises DataError unless they are those of training."""
    source = manifest.members if side == MEMBERS else manifest.non_members
    if source is None:
        raise NoDataError("the training manifest names no held-out records; train with held_out to audit membership")
    if side not in loaded and not checkpoint.may_open(source):
        raise NoDataError(
            f"the training manifest names records outside the checkpoint's folder "
            f"({source.source.split('#')[0][:200]}), which it may not have opened; allow it with --trust-manifest, or "
            f"give data: {{{side}: …}} yourself"
        )
    dataset = loaded[side] if side in loaded else load_dataset(source, schema)
    settings = manifest.config.get("privacy")
    if isinstance(settings, dict) and settings.get("other_labels") == "drop" and "label" in dataset.frame.columns:
        dataset = without_other_labels(dataset, manifest.label_names)  # as training did
    check_side(checkpoint, manifest, side, dataset)
    return dataset


def check_side(checkpoint: CheckpointInfo, manifest: TrainingManifest, side: str, dataset: Dataset) -> None:
    """Raises DataError unless `dataset` holds exactly the records of that side, or where only their owner can tell."""
    digest = manifest.members_digest if side == MEMBERS else manifest.non_members_digest
    if digest is None or not same_digest(digest, manifest.digest_key, dataset.digest, checkpoint.path):
        raise WrongDataError(
            f"{dataset.source.source}: its records are not the {side.replace('_', '-')} of the training manifest "
            f"(digest {dataset.digest[:12]}, manifest {str(digest)[:12]}); restore the file that was trained on"
        )


def check_disjoint(sides: Mapping[str, Dataset]) -> None:
    """Raises WrongDataError where non-members are members.

    Case, spaces and ways of writing a character make no other record; nor does another label.
    """
    known = set(_plain_records(sides[MEMBERS].frame))
    shared = sum(record in known for record in _plain_records(sides[NON_MEMBERS].frame))
    if shared:
        raise WrongDataError(
            f"{sides[NON_MEMBERS].source.source}: {shared} of {len(sides[NON_MEMBERS]):,} non-members are members as "
            "well, but for case and spaces; train with a held_out that shares no text with the data (distinct: text)"
        )


def _plain_records(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    pairs = frame["pair"] if "pair" in frame.columns else [""] * len(frame)
    for text, pair in zip(frame["text"], pairs, strict=True):
        yield plain(str(text)), plain(str(pair))
