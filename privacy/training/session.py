"""An unfinished private run beside its output: the ledger of its budget, and its last state."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from harness.errors import UsageError
from harness.files import make_folder
from privacy.clipping import ClippingEngine
from privacy.ledger import Chain, Ledger, LedgerHeader, load_state, read_chain, save_state
from privacy.ledger.lock import Lock
from privacy.lineage.names import LEDGER_NAME as LEDGER_NAME
from privacy.training.guarantee import Guarantee
from privacy.training.progress import RunProgress
from privacy.training.ranks import Ranks
from privacy.training.spec import TrainSpec

_NORMS = "progress.norms"
_SAME = ("spec_digest", "data_digest", "base_fingerprint", "records", "noise_multiplier", "delta", "earlier")
"""What must not change between two starts of one run."""
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

    @property
    def chain(self) -> Chain:
        """The ledger as it is now."""
        return self.ledger.chain if self.ledger else read_chain(self.folder / LEDGER_NAME)

    def spend(self, step: int) -> None:
        """Record the step, in the process that keeps the ledger."""
        if self.ledger is not None:
            self.ledger.spend(step)

    def restore(self, engine: ClippingEngine, optimizer: torch.optim.Optimizer) -> RunProgress:
        """Put the last saved state into the model and its optimizer; what was done until then."""
        state = load_state(self.folder, self.chain)
        if state is None:
            return RunProgress()
        norms = state.tensors.pop(_NORMS)
        with torch.no_grad():
            for name, value in engine.trained.items():
                value.copy_(state.tensors[name])
        optimizer.load_state_dict(state.optimizer_state)
        rows: Any = state.extra["steps"]
        engine.rule.max_grad_norm = float(str(state.extra["max_grad_norm"]))
        return RunProgress(rows, [norms])

    def save(self, engine: ClippingEngine, optimizer: torch.optim.Optimizer, progress: RunProgress) -> None:
        """Save the model between two steps, in the process that keeps the ledger."""
        if self.ledger is None:
            return
        norms = torch.cat(progress.norms) if progress.norms else torch.zeros(0)
        progress.norms = [norms]
        save_state(
            self.folder,
            len(progress.steps),
            tensors={**{name: value.detach() for name, value in engine.trained.items()}, _NORMS: norms},
            optimizer_state=optimizer.state_dict(),
            extra={"max_grad_norm": engine.rule.max_grad_norm, "steps": progress.steps},
            ledger_head=self.ledger.head,
            ledger_spent=self.ledger.spent,
        )

    def close(self) -> None:
        """Let another process go on."""
        if self.ledger is not None:
            self.ledger.close()

    def remove(self) -> None:
        """The checkpoint is written, its ledger with it: let go of the state."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def session_folder(output: Path) -> Path:
    """Where an unfinished run that is to become `output` keeps its ledger."""
    return output.with_name(f"{output.name}.training")


def open_session(spec: TrainSpec, header: LedgerHeader, ranks: Ranks, *, replace: bool, plain: str = "") -> Session:
    """The unfinished run of `spec`, or a new one. `plain`: digest of the records without a key, as older ledgers have.

    Raises UsageError when another run's ledger lies there, LedgerError when it was edited.
    """
    folder = session_folder(spec.output)
    ledger = _open_ledger(folder, header, replace, plain) if ranks.first else None
    return Session(folder, ledger, ranks.agree(ledger.spent if ledger else 0))


def _open_ledger(folder: Path, header: LedgerHeader, replace: bool, plain: str) -> Ledger:
    path = folder / LEDGER_NAME
    if path.exists() and replace:
        lock = Lock(path)  # not under the feet of a run that goes on there
        folder.rename(folder.with_name(f"{folder.name}.{datetime.now(UTC):%Y%m%dT%H%M%S}.{secrets.token_hex(3)}"))
        lock.release()
    if not path.exists():
        return Ledger.create(make_folder(folder) / LEDGER_NAME, header)
    ledger = Ledger.open(path)
    if ledger.header.digest_key is None:
        header = header.model_copy(update={"data_digest": plain})
    changed = [name for name in _SAME if getattr(ledger.header, name) != getattr(header, name)]
    if changed:
        ledger.close()
        raise UsageError(
            f"{folder}: an unfinished private run lies there, {ledger.spent} steps of its budget spent, but its "
            f"{changed[0].replace('_', ' ')} is not this one's; finish it with its own spec, or move it aside with "
            "--replace"
        )
    return ledger


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
    )
