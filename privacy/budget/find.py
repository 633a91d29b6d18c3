"""Looks for every training in a folder: checkpoints, unfinished runs, what --replace moved aside, and their bases."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import AssayError
from harness.provenance.keys import read_keys
from harness.provenance.manifest import MANIFEST_NAME, TrainingManifest, read_manifest
from privacy.budget.found import Found, Reading, Training
from privacy.ledger import LedgerError, read_chain
from privacy.ledger.witness import counted
from privacy.lineage import LEDGER_NAME, RECORDS_NAME, Kept, read_kept

_KEPT = f".{RECORDS_NAME}"
_UNFINISHED, _REPLACED, _PARTIAL = ".training", ".replaced.", ".partial-"
_WITNESS = "spent"
"""Second count of an unfinished run: in its folder once moved aside, beside it (`NAME.training.spent`) before."""


@dataclass(slots=True)
class _Search:
    root: Path
    runs: dict[str, Training] = field(default_factory=dict)
    """By the run's id, else by the digest of the weights."""
    heads: dict[str, str] = field(default_factory=dict)
    """Last line of a finished ledger -> run."""
    sets: dict[tuple[str | None, str], Reading] = field(default_factory=dict)
    """Digests of single records by key and digest of all of them."""
    whole: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    """Which set a run read, where the digest of all its records is known."""
    keys: dict[str, bytes] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """As a report calls it; an unfinished run by the checkpoint that it is to become."""
        return str(path.relative_to(self.root)).removesuffix(_UNFINISHED)


def find_trainings(root: Path, *, bases: tuple[Path, ...] = ()) -> Found:
    """Every training whose ledger, digests or manifest lies below `root`; `bases`: checkpoints elsewhere to look at.

    A training that lies in several places (a copy, the base of another) is found once; none where there is no `root`.
    Raises UsageError where a file of digests or keys is damaged.
    """
    search = _Search(root)
    folders = [Path(folder) for folder in _folders(root)]
    for folder in folders:
        _read_digests(search, folder)
    for base in bases:
        _read_base(search, base)
    for folder in folders:
        _read_ledgers(search, folder)
        _read_witnesses(search, folder)
    for folder in folders:
        _read_plain(search, folder)
    for run, training in search.runs.items():
        reading = search.sets.get(search.whole[run]) if run in search.whole else None
        if training.reading is None and reading is not None:
            search.runs[run] = replace(training, reading=reading)
    return Found(root, tuple(sorted(search.runs.values(), key=lambda each: each.name)), search.keys)


def _folders(root: Path) -> Iterator[str]:
    for folder, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if _PARTIAL not in name and not name.startswith("."))
        yield folder


def _read_digests(search: _Search, folder: Path) -> None:
    keys = read_keys(folder)
    for key in keys.keys if keys else ():
        search.keys[key] = keys.find(key) or b"" if keys else b""
    for path in sorted(folder.glob(f"*{RECORDS_NAME}")):
        if path.name != RECORDS_NAME and not path.name.endswith(_KEPT):
            continue
        kept = read_kept(path)
        if kept is not None:
            made = folder if path.name == RECORDS_NAME else folder / path.name.removesuffix(_KEPT)
            _add_kept(search, kept, search.name(made))


def _read_base(search: _Search, base: Path) -> None:
    keys = read_keys(base.parent)
    for key in keys.keys if keys else ():
        search.keys.setdefault(key, keys.find(key) or b"" if keys else b"")
    kept = read_kept(base.with_name(f"{base.name}{_KEPT}"))
    if kept is not None:
        _add_kept(search, kept, str(base))


def _add_kept(search: _Search, kept: Kept, name: str) -> None:
    last = len(kept.history.stages) - 1
    for place, (stage, texts, units) in enumerate(zip(kept.history.stages, kept.texts, kept.units, strict=True)):
        reading = Reading(stage.key, texts, units, stage.pairs is not False)
        header = stage.run.header if stage.run else None
        run = header.run if header else stage.weights
        called = name if place == last else f"{name}, training {place + 1} of {last + 1} that made it"
        there = search.runs.get(run)
        if header is not None:
            search.sets[header.digest_key, header.data_digest] = reading
        if there is None or (place == last and ", training " in there.name):
            steps = max(stage.run.spent if stage.run else 0, there.steps if there else 0)
            search.runs[run] = Training(called, header=header, steps=steps, records=stage.records, reading=reading)
        if stage.run is not None:
            search.heads[stage.run.head] = run


def _read_ledgers(search: _Search, folder: Path) -> None:
    for path in sorted(folder.glob("privacy_ledger*.jsonl")):
        own = path.name == LEDGER_NAME
        name = search.name(folder if own else path)
        try:
            chain = read_chain(path)
        except LedgerError as error:
            search.runs[f"damaged {name}"] = Training(name, trouble=str(error).partition(";")[0])
            continue
        header = chain.header
        there = search.runs.get(header.run)
        spent = header.steps if own and _in_use(path) else chain.spent
        training = there or Training(name, header=header, records=header.records)
        if own:
            training = replace(training, name=name, state=_state(folder, path))
        search.runs[header.run] = replace(training, header=header, steps=max(training.steps, spent))
        search.heads[chain.head] = header.run
        search.whole[header.run] = (header.digest_key, header.data_digest)


def _state(folder: Path, ledger: Path) -> str:
    if folder.name.endswith(_UNFINISHED):
        return "running" if _in_use(ledger) else "unfinished"
    return "moved aside" if f"{_UNFINISHED}." in folder.name or _REPLACED in folder.name else ""


def _in_use(ledger: Path) -> bool:
    """Whether a training goes on with this ledger just now: then all of its steps are as good as spent."""
    try:
        handle = os.open(ledger.with_name(f"{ledger.name}.lock"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _read_witnesses(search: _Search, folder: Path) -> None:
    """Steps of unfinished runs are counted twice: the larger number counts, whatever became of the ledger."""
    paths = [*folder.glob(f"*{_UNFINISHED}.{_WITNESS}"), *folder.glob(_WITNESS)]
    for path in sorted(path for path in paths if path.is_file()):
        run_folder = folder if path.name == _WITNESS else path.with_name(path.name.removesuffix(f".{_WITNESS}"))
        steps = counted(path) or 0
        try:
            header = read_chain(run_folder / LEDGER_NAME).header
        except LedgerError:
            name = search.name(run_folder)
            if steps and f"damaged {name}" not in search.runs:
                search.runs[f"witness {name}"] = Training(
                    name, "unfinished", trouble=f"{steps} noisy steps were taken, but its privacy ledger is missing"
                )
            continue
        there = search.runs[header.run]
        search.runs[header.run] = replace(there, steps=min(header.steps, max(there.steps, steps)))


def _read_plain(search: _Search, folder: Path) -> None:
    """Checkpoints that no ledger tells of."""
    if not (folder / MANIFEST_NAME).is_file():
        return
    name = search.name(folder)
    manifest = _manifest(folder)
    if manifest is None:
        search.runs.setdefault(f"damaged {name}", Training(name, trouble="its training manifest cannot be read"))
        return
    claim = manifest.privacy
    if claim is None:
        key = manifest.weights
        search.runs.setdefault(key, Training(name, records=manifest.trained_n))
    elif claim.ledger in search.heads or f"damaged {name}" in search.runs:
        return
    else:
        key = f"lost {name}"
        search.runs[key] = Training(
            name, records=manifest.trained_n, trouble="its privacy ledger is missing, or is not the one it claims"
        )
    search.whole.setdefault(key, (manifest.digest_key, manifest.members_digest))


def _manifest(folder: Path) -> TrainingManifest | None:
    try:
        return read_manifest(folder)
    except (AssayError, ValueError, OSError):
        return None
