"""Which earlier trainings of a base read the records of a new private one: composed, refused, or named as unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.checkpoint import CheckpointInfo
from harness.errors import UsageError
from harness.provenance.artefacts import find_artefact
from harness.provenance.keys import Keys, read_keys, same_digest
from harness.provenance.manifest import PrivacyClaim, TrainingManifest
from privacy.ledger import LedgerError, read_chain
from privacy.ledger.chain import Chain
from privacy.lineage.history import RECORDS, History, Kept, Run, Stage, read_history
from privacy.lineage.names import LEDGER_NAME, earlier_ledger
from privacy.lineage.records import Digests, Records

_NO_MANIFEST = "it has no training manifest that says from which records"
_NO_DIGESTS = "its training manifest has no digests of single records, so they cannot be compared with these"
_NO_HISTORY = "nothing beside the base says from which records"
_NO_KEY = "the key of its records' digests is not beside it, so they cannot be compared with these"
_NO_UNITS = "it does not record whose its records are, in the unit that is protected here"
_BASE, _FURTHER = "its base", "a checkpoint that its base goes back to"


@dataclass(frozen=True, slots=True)
class Composed:
    """An earlier private training that units of this one were in."""

    run: Run
    group: int
    """Most records that one unit had there."""
    shared: int
    """Units of this training that were in it."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What came before a training."""

    kept: Kept | None = None
    """Trainings known, with their digests; None: none is."""
    unknown: tuple[str, ...] = ()
    """Why what other ones read cannot be told, by whoever goes on from here either."""
    composed: tuple[Composed, ...] = ()
    outside: tuple[str, ...] = ()
    """What the claim must name as not covered. No paths: every reader of a report sees it."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys of the digests in `kept`, by id."""


@dataclass(frozen=True, slots=True)
class _Question:
    base: CheckpointInfo
    folder: Path
    records: Records
    unit: str
    guarded: bool
    keys: Keys
    """Of the folder that the new checkpoint will lie in."""


def trace(base: CheckpointInfo | None, records: Records, unit: str, keys: Keys, *, guarded: bool) -> Lineage:
    """What the trainings that made `base` have read of `records`, for a claim that protects `unit`.

    `keys`: of the folder that the new checkpoint will lie in. `guarded`: privacy is claimed, so records that the base
    was trained on without privacy are refused. Raises UsageError then, and where a private base cannot prove what it
    spent on the same records.
    """
    if base is None:
        return Lineage()
    folder = base.path if base.path.is_dir() else base.path.parent
    asked = _Question(base, folder, records, unit, guarded, keys)
    if base.manifest is None:
        return Lineage(unknown=(_NO_MANIFEST,), outside=(_said(_BASE, _NO_MANIFEST),))
    kept = known_history(base)
    return _by_manifest(asked, base.manifest) if kept is None else _by_digests(asked, kept)


def known_history(base: CheckpointInfo) -> Kept | None:
    """The history beside a base; None where there is none, or that of other weights, e.g. of what it replaced.

    Raises UsageError where it is damaged, or is not what its training left.
    """
    if base.manifest is None:
        return None
    kept = read_history(base.path)
    if kept is None or kept.weights != base.manifest.weights or not _same_run(kept, base.manifest):
        return None
    if any(each.name == RECORDS for each in base.manifest.artefacts):  # not in manifests of older versions
        find_artefact(base.path, base.manifest.artefacts, RECORDS, reader="owner")
    return kept


def _said(whose: str, why: str) -> str:
    return f"what {whose} had learnt: {why}"


def _same_run(kept: Kept, manifest: TrainingManifest) -> bool:
    run = kept.history.stages[-1].run
    return (run.head if run else None) == (manifest.privacy.ledger if manifest.privacy else None)


def _by_digests(asked: _Question, kept: Kept) -> Lineage:
    theirs = read_keys(asked.folder.parent)
    composed: list[Composed] = []
    outside = [_said(_FURTHER, why) for why in kept.history.unknown]
    used: dict[str, str] = {}
    last = len(kept.history.stages) - 1
    for place, (stage, texts, units) in enumerate(zip(kept.history.stages, kept.texts, kept.units, strict=True)):
        whose = _BASE if place == last else _FURTHER
        key = theirs.find(stage.key) if theirs else None
        if key is None:
            outside.append(_said(whose, _NO_KEY))
            continue
        used[stage.key] = key.hex()
        found = _compare(asked, stage, key, texts, units, is_base=place == last)
        if isinstance(found, str):
            outside.append(_said(whose, found))
        elif found is not None:
            composed.append(found)
            outside += [f"of {whose}, {part}" for part in stage.outside]
    # the latest first, as in a claim by manifests
    return Lineage(kept, kept.history.unknown, tuple(reversed(composed)), tuple(dict.fromkeys(outside)), used)


def _compare(
    asked: _Question, stage: Stage, key: bytes, texts: Digests, units: Digests, *, is_base: bool
) -> Composed | str | None:
    """What one training shares with this one; a reason where nobody can tell; None where nothing."""
    records = asked.records
    shared = records.shared_records(key, texts)
    if records.units is None:
        return _record_level(asked, stage.run, len(shared), is_base=is_base) if shared else None
    if stage.run is not None and stage.run.header.unit == asked.unit and stage.run.header.group is not None:
        count = records.shared_units(key, units, shared)
        return Composed(stage.run, stage.run.header.group, count) if count else None
    if not shared:
        return _NO_UNITS
    if stage.run is not None:
        raise UsageError(
            f"{asked.base.source.source}: was trained with privacy for {stage.run.header.unit} on {len(shared)} of "
            f"these {len(records.texts)} records, not for {asked.unit}, so the two do not add up; train the base with "
            "the same privacy.unit, or start from one that has not seen these records"
        )
    _refuse_plain(asked, records.units_of(shared), is_base=is_base)
    return None


def _record_level(asked: _Question, run: Run | None, shared: int, *, is_base: bool) -> Composed | None:
    if run is None or (run.header.noise_multiplier == 0 and asked.guarded):
        _refuse_plain(asked, shared, is_base=is_base)
        return None
    return Composed(run, 1, shared)


def _refuse_plain(asked: _Question, shared: int, *, is_base: bool) -> None:
    if not asked.guarded:
        return
    what = "records" if asked.records.units is None else "units"
    was = "was trained" if is_base else "goes back to a checkpoint that was trained"
    raise UsageError(
        f"{asked.base.source.source}: {was} without privacy on {shared} of these {asked.records.count} "
        f"{what}, and noise added now cannot take back what it learnt of them; start from a checkpoint that has not "
        "seen them, train that base with privacy too, or leave those records out"
    )


def _by_manifest(asked: _Question, manifest: TrainingManifest) -> Lineage:
    """Without digests of single records only the same records as a whole are known again."""
    before = (_NO_HISTORY,) if manifest.base is not None else ()
    why: str | None = _NO_DIGESTS
    try:
        if any(
            same_digest(manifest.members_digest, manifest.digest_key, digest, asked.folder)
            for digest in asked.records.digests
        ):
            why = None
    except UsageError:
        why = _NO_KEY
    outside = tuple(_said(_FURTHER, reason) for reason in before)
    if why is not None:
        return Lineage(unknown=(*before, why), outside=(*outside, _said(_BASE, why)))
    claim = manifest.privacy
    if claim is None or (claim.noise_multiplier == 0 and asked.guarded):
        _refuse_plain(asked, asked.records.count, is_base=True)
        return Lineage(_as_kept(asked, manifest, []), before, (), outside)
    composed = list(_proven(asked, claim))
    parts = tuple(f"of {_BASE}, {part}" for part in _own_parts(claim))
    return Lineage(_as_kept(asked, manifest, composed), before, tuple(composed), (*outside, *parts))


def _own_parts(claim: PrivacyClaim) -> tuple[str, ...]:
    """What a claim names as not covered, without what it says of trainings before it."""
    return tuple(part for part in claim.outside if not part.startswith((_said(_BASE, ""), _said(_FURTHER, ""))))


def _as_kept(asked: _Question, manifest: TrainingManifest, composed: list[Composed]) -> Kept:
    """The history that this base would have: its records are these, and every run in its claim may have read them."""
    runs: list[Run | None] = [each.run for each in reversed(composed)]
    outside = _own_parts(manifest.privacy) if manifest.privacy else ()
    stages = tuple(
        Stage(weights=manifest.weights, records=manifest.trained_n, key=asked.keys.own, run=run, outside=outside)
        for run in runs or [None]
    )
    texts = asked.records.text_digests(asked.keys.own_key)
    units = asked.records.unit_digests(asked.keys.own_key)
    return Kept(History(stages=stages), (texts,) * len(stages), (units,) * len(stages))


def _proven(asked: _Question, claim: PrivacyClaim) -> Iterator[Composed]:
    """The runs in a private base's claim, each by the ledger that lies in its folder."""
    every = asked.records.count
    ledgers = [(LEDGER_NAME, claim.ledger, claim.steps, every)]
    ledgers += [
        (earlier_ledger(number), earlier.ledger, earlier.steps, min(every, earlier.shared))
        for number, earlier in enumerate(claim.earlier, start=1)
    ]
    for name, head, steps, shared in ledgers:
        chain = _chain(asked, asked.folder / name)
        if (chain.spent, chain.head) != (steps, head):
            raise _unproven(asked, f"{name} there is not the one that its manifest names")
        header = chain.header
        if asked.records.units is None:
            group = 1
        elif header.unit == asked.unit and header.group is not None:
            group = header.group
        else:
            raise _unproven(asked, f"it protects {header.unit}, here {asked.unit} is to be protected")
        yield Composed(Run(header=header, spent=chain.spent, head=chain.head), group, shared)


def _chain(asked: _Question, path: Path) -> Chain:
    try:
        return read_chain(path)
    except LedgerError as error:
        raise _unproven(asked, str(error).partition(";")[0]) from error


def _unproven(asked: _Question, why: str) -> UsageError:
    return UsageError(
        f"{asked.base.source.source}: was trained with privacy on these records, but what it spent cannot be proven "
        f"({why}); put its ledger back, or start from a checkpoint that has not seen them"
    )


def with_stage(lineage: Lineage, stage: Stage, texts: Digests, units: Digests) -> Kept:
    """The history of a new checkpoint: what came before, and the training that made it."""
    kept = lineage.kept
    stages, earlier_texts, earlier_units = (kept.history.stages, kept.texts, kept.units) if kept else ((), (), ())
    history = History(stages=(*stages, stage), unknown=tuple(dict.fromkeys(lineage.unknown)))
    return Kept(history, (*earlier_texts, texts), (*earlier_units, units))
