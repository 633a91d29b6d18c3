"""An unfinished private run beside its output: the ledger of its budget, and its last state."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from harness.base.files import make_folder
from harness.errors import AssayError, UsageError
from harness.provenance.keys import KEYS_NAME
from privacy.clipping import Adaptive, ClippingEngine
from privacy.ledger import Chain, Ledger, LedgerHeader, load_state, read_chain, save_state
from privacy.ledger.errors import LedgerError
from privacy.ledger.lock import check_free, lock_of
from privacy.ledger.state import STATE_NAME
from privacy.ledger.witness import Witness, check_witness, counted
from privacy.lineage.names import LEDGER_NAME as LEDGER_NAME
from privacy.training.models.averaging import WeightAverage
from privacy.training.private.fits import check_fits
from privacy.training.private.guarantee import Guarantee
from privacy.training.private.ranks import Ranks
from privacy.training.private.shared_step import SharedOptimizer
from privacy.training.records.progress import RunProgress
from privacy.training.records.save import stamp
from privacy.training.settings.spec import TrainSpec

WITNESS_NAME = "spent"
"""Of a witness that was moved aside with its run."""
_NORMS = "progress.norms"
_SAME = ("spec_digest", "data_digest", "base_fingerprint", "records", "noise_multiplier", "delta", "earlier", "bands")
"""What must not change between two starts of one run."""
_NAMES = {"earlier": "list of earlier trainings on the same records"}
FROM_SCRATCH = "made from scratch"
"""What a ledger has for the base of a fresh model."""


@dataclass(frozen=True, slots=True)
class Session:
    """Where a private run keeps what a crash must not take. All its processes see the folder, the first one writes."""

    folder: Path
    ledger: Ledger | None
    """Held by the first process only."""
    resumed_at: int
    """Noisy steps that were in the ledger when this process started."""
    witness: Witness | None = None
    """Counts them a second time, outside the folder; in the first process only."""

    @property
    def chain(self) -> Chain:
        """The ledger as it is now."""
        return self.ledger.chain if self.ledger else read_chain(self.folder / LEDGER_NAME)

    def spend(self, step: int) -> None:
        """Record the step, in the process that keeps the ledger."""
        if self.ledger is not None:
            self.ledger.spend(step)
        if self.witness is not None:
            self.witness.count()

    def restore(self, engine: ClippingEngine, optimizer: SharedOptimizer, average: WeightAverage) -> RunProgress:
        """Put the last saved state into the model and its optimizer; what was done until then."""
        state = load_state(self.folder, self.chain)
        if state is None:
            return RunProgress()
        norms = state.tensors.pop(_NORMS, torch.zeros(0))
        averaged = average.taken(state.tensors)
        groups, made = optimizer.groups(), optimizer.whole_state()
        norm = None if isinstance(engine.rule, Adaptive) else engine.rule.max_grad_norm
        check_fits(self.folder, state, averaged, engine.trained, groups, made, norm)
        average.restore(averaged, int(str(state.extra.get("averaged", 0))), optimizer.own(), optimizer.part)
        with torch.no_grad():
            for name, value in engine.trained.items():
                value.copy_(state.tensors[name])
        optimizer.load_whole_state(state.optimizer_state)
        rows: Any = state.extra["steps"]
        engine.rule.max_grad_norm = float(str(state.extra["max_grad_norm"]))
        return RunProgress(rows, [norms])

    def save(
        self,
        engine: ClippingEngine,
        optimizer: SharedOptimizer,
        progress: RunProgress,
        average: WeightAverage,
    ) -> None:
        """Save the model between two steps, in the process that keeps the ledger; called in all of them."""
        optimizer_state, averaged = optimizer.whole_state(), average.tensors(optimizer.whole)
        if self.ledger is None:
            return
        norms = torch.cat(progress.norms) if progress.norms else torch.zeros(0)
        progress.norms = [norms]
        save_state(
            self.folder,
            len(progress.steps),
            tensors={
                **{name: value.detach() for name, value in engine.trained.items()},
                **averaged,
                _NORMS: norms,
            },
            optimizer_state=optimizer_state,
            extra={"max_grad_norm": engine.rule.max_grad_norm, "steps": progress.steps, "averaged": average.seen},
            ledger_head=self.ledger.head,
            ledger_spent=self.ledger.spent,
        )

    def close(self) -> None:
        """Let another process go on."""
        if self.ledger is not None:
            self.ledger.close()

    def remove(self) -> None:
        """The checkpoint is written, its ledger with it: let go of the state."""
        if self.ledger is not None:
            _forget(self.ledger)

    def remove_unspent(self) -> None:
        """Leave nothing of a run that was refused before its first noisy step: it would be in the way of the next."""
        if self.ledger is not None and _unspent(self.folder, self.ledger.chain):
            self.remove()


def session_folder(output: Path) -> Path:
    """Where an unfinished run that is to become `output` keeps its ledger."""
    return output.with_name(f"{output.name}.training")


def witness_path(folder: Path) -> Path:
    """Where the steps of the unfinished run in `folder` are counted a second time."""
    return folder.with_name(f"{folder.name}.spent")


def open_session(spec: TrainSpec, header: LedgerHeader, ranks: Ranks, *, replace: bool, plain: str = "") -> Session:
    """The unfinished run of `spec`, or a new one. `plain`: digest of the records without a key, as older ledgers have.

    Raises UsageError when another run's ledger lies there, or the output was finished meanwhile; LedgerError when the
    ledger was edited, cut or taken away.
    """
    folder = session_folder(spec.output)
    if not ranks.first:
        return Session(folder, None, ranks.agree(0))
    ledger = _open_ledger(folder, header, replace, plain)
    try:
        if not replace:
            _check_unfinished(spec.output, ledger)  # again, now that nobody else can finish it
        _check_witness(folder, ledger.header, ledger.spent)
        witness = Witness(witness_path(folder), ledger.chain)
    except BaseException:
        ledger.close()
        raise
    return Session(folder, ledger, ranks.agree(ledger.spent), witness)


def _unspent(folder: Path, chain: Chain) -> bool:
    """Whether nothing remembers a noisy step: neither the file as it lies there, nor its witness, nor a saved state."""
    try:
        if chain.spent or read_chain(folder / LEDGER_NAME).spent or counted(witness_path(folder)):
            return False
        state = load_state(folder, chain)
    except (AssayError, OSError):
        return False
    return state is None or not state.ledger_spent


def _forget(ledger: Ledger) -> None:
    folder = ledger.path.parent
    shutil.rmtree(folder, ignore_errors=True)  # still locked: nobody may go on from what is half gone
    witness_path(folder).unlink(missing_ok=True)
    ledger.close()


def _check_unfinished(output: Path, ledger: Ledger) -> None:
    if not os.path.lexists(output):
        return
    if not ledger.spent:  # begun just now, and of no use
        _forget(ledger)
    raise UsageError(
        f"{output}: exists by now, finished by another start of a training meanwhile; nothing was trained, choose "
        "another output or use --replace"
    )


def _check_witness(folder: Path, header: LedgerHeader, spent: int) -> None:
    if spent and header.digest_key is not None and not witness_path(folder).exists():
        raise LedgerError(
            f"{witness_path(folder)}: is missing, which counts the {spent} noisy steps of the ledger in "
            f"{folder} a second time; put it back, or move the run aside with --replace and count it as spent"
        )


def _move_aside(folder: Path) -> None:
    """What an unfinished run spent is kept beside the new one, which names it in its claim."""
    aside = folder.with_name(f"{folder.name}.{stamp()}")
    witness = witness_path(folder)
    path = folder / LEDGER_NAME
    lock = lock_of(path) if folder.exists() else None  # not under the feet of a run that goes on there
    if lock is not None:
        folder.rename(aside)
    if witness.exists():
        witness.rename(make_folder(aside) / WITNESS_NAME)
    if lock is not None:
        lock.release()


def _open_ledger(folder: Path, header: LedgerHeader, replace: bool, plain: str) -> Ledger:
    path = folder / LEDGER_NAME
    if _begun(folder) and replace:
        _move_aside(folder)
    _check_there(folder)
    if not path.exists():
        return Ledger.create(make_folder(folder) / LEDGER_NAME, header)
    ledger = Ledger.open(path)
    if _unspent(folder, ledger.chain):  # whatever its settings were, nothing is lost with it
        _forget(ledger)
        return Ledger.create(make_folder(folder) / LEDGER_NAME, header)
    try:
        _check_same_run(folder, ledger.header, ledger.spent, header, plain)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _begun(folder: Path) -> bool:
    return (folder / LEDGER_NAME).exists() or (folder / STATE_NAME).exists() or witness_path(folder).exists()


def _check_there(folder: Path) -> None:
    path = folder / LEDGER_NAME
    if _begun(folder) and not path.exists():
        steps = counted(witness_path(folder))
        taken = f"{steps} noisy steps were taken" if steps is not None else "a state was saved"
        raise LedgerError(
            f"{path}: is missing, though {taken} in this run; put it back, or move what is left aside with --replace "
            "and count the run as spent"
        )


def steps_spent(spec: TrainSpec, header: LedgerHeader, *, replace: bool, plain: str = "") -> tuple[int, int]:
    """Noisy steps of the unfinished run that `open_session` would go on with, and those whose result is lost.

    Changes nothing; raises as `open_session` does.
    """
    folder = session_folder(spec.output)
    check_free(folder / LEDGER_NAME)
    if replace or not _begun(folder):
        return 0, 0
    _check_there(folder)
    chain = read_chain(folder / LEDGER_NAME)
    if _unspent(folder, chain):
        return 0, 0
    _check_same_run(folder, chain.header, chain.spent, header, plain)
    _check_witness(folder, chain.header, chain.spent)
    if witness_path(folder).exists():
        check_witness(witness_path(folder), chain)
    state = load_state(folder, chain)
    steps: Any = state.extra["steps"] if state is not None else ()
    return chain.spent, chain.spent - len(steps)


def _check_same_run(folder: Path, there: LedgerHeader, spent: int, header: LedgerHeader, plain: str) -> None:
    """Raises unless the run in `folder` is the one that `header` begins."""
    if there.digest_key is None:
        header = header.model_copy(update={"data_digest": plain})
    elif there.digest_key != header.digest_key:
        raise LedgerError(
            f"{folder}: an unfinished private run lies there, but the key of its records' digest is not in "
            f"{folder.parent / KEYS_NAME}; put that file back, or move the run aside with --replace"
        )
    changed = [name for name in _SAME if getattr(there, name) != getattr(header, name)]
    if changed:
        what = _NAMES.get(changed[0], changed[0].replace("_", " "))
        raise UsageError(
            f"{folder}: an unfinished private run lies there, {spent} steps of its budget spent, but its {what} "
            "is not this one's; finish it with its own spec, or move it aside with --replace"
        )


def ledger_header(
    spec: TrainSpec,
    guarantee: Guarantee,
    data_digest: str,
    base: str | None,
    processes: int,
    *,
    digest_key: str | None = None,
    earlier: tuple[str, ...] = (),
) -> LedgerHeader:
    """What the ledger says before its first step; `earlier` are the heads of the ledgers that its claim composes."""
    return LedgerHeader(
        run=secrets.token_hex(8),
        spec_digest=spec.digest(),
        data_digest=data_digest,
        base_fingerprint=base or FROM_SCRATCH,
        sampling=guarantee.sampling.label,
        records=guarantee.records,
        expected_batch_size=spec.batch_size,
        steps=guarantee.sampling.steps,
        rate=guarantee.rate,
        noise_multiplier=guarantee.noise_multiplier,
        max_grad_norm=guarantee.spec.max_grad_norm,
        clipping=guarantee.spec.clipping,
        delta=guarantee.delta,
        target_epsilon=guarantee.spec.epsilon,
        unit=guarantee.unit.name,
        processes=processes,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        units=guarantee.unit.count,
        group=guarantee.unit.group,
        digest_key=digest_key,
        earlier=earlier,
        max_batch=guarantee.spec.max_batch,
        noise=guarantee.noise,
        bands=guarantee.bands,
    )
