"""What the files of a checkpoint were found to be, apart from where it lies and what the user allows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.api.checkpoint import CheckpointInfo, CheckpointSource, Fingerprint
from harness.api.isolation import Isolation
from harness.api.needs import Need
from harness.api.permissions import Permissions
from harness.api.staging import Staged
from harness.provenance.manifest import MANIFEST_NAME, TrainingManifest, read_manifest


@dataclass(frozen=True, slots=True)
class Findings:
    """Of an inspection, all that needs the model's libraries to find out. Fields as in `CheckpointInfo`."""

    architecture: str
    model_type: str
    offers: tuple[Need, ...]
    """Without the training manifest, which is looked at each time."""
    labels: tuple[str, ...]
    max_tokens: int
    parameters: int
    fingerprint: Fingerprint
    isolation: Isolation
    lacks: Mapping[Need, str]
    notes: tuple[str, ...]
    """On its files."""
    use_notes: tuple[str, ...]
    """On what probes can do with them."""


def described(
    found: Findings, source: CheckpointSource, path: Path, permissions: Permissions, staged: Staged | None = None
) -> CheckpointInfo:
    """The checkpoint at `path` of which that was found, with the manifest that lies there now.

    Raises CheckpointError for a manifest that cannot be read.
    """
    manifest, why_none = _manifest(path, found.fingerprint.weights)
    offers = {*found.offers, *([Need.TRAINING_MANIFEST] if manifest is not None else [])}
    info = CheckpointInfo(
        source=source,
        path=path,
        architecture=found.architecture,
        model_type=found.model_type,
        offers=frozenset(offers),
        labels=found.labels,
        max_tokens=found.max_tokens,
        parameters=found.parameters,
        fingerprint=found.fingerprint,
        manifest=manifest,
        permissions=permissions,
        isolation=found.isolation,
        lacks=found.lacks,
        staged=staged,
        notes=(*found.notes, *([why_none] if why_none else []), *found.use_notes),
    )
    unopened = _unopened(info)
    return info if unopened is None else replace(info, notes=(*info.notes, unopened))


def _manifest(path: Path, weights: str) -> tuple[TrainingManifest | None, str | None]:
    """The manifest that belongs to these weights, or a sentence why the one lying there does not."""
    folder = path if path.is_dir() else path.parent
    manifest = read_manifest(folder)
    if manifest is None or manifest.weights == weights:
        return manifest, None
    return None, (
        f"{MANIFEST_NAME} does not belong to these weights ({manifest.weights[:12]} against {weights[:12]}): "
        "ignored, so no training manifest is offered."
    )


def _unopened(info: CheckpointInfo) -> str | None:
    """A note on data that its manifest names and that is not opened."""
    sources = (info.manifest.members, info.manifest.non_members) if info.manifest is not None else ()
    names = [
        source.source.split("#")[0][:200] for source in sources if source is not None and not info.may_open(source)
    ]
    if not names:
        return None
    return f"Its training manifest names data outside its folder ({names[0]}): not opened without --trust-manifest."
