"""Runs into the same folder that --replace moved aside: what they spent is named in the claim of the one that stays."""

from __future__ import annotations

from pathlib import Path

from harness.provenance.claim import rounded_up
from privacy.accounting import AccountingError, Mechanism, claim_all
from privacy.ledger import LedgerError, read_chain
from privacy.ledger.witness import counted
from privacy.lineage import LEDGER_NAME, mechanism_of_header
from privacy.sampling.errors import SamplingError
from privacy.training.data.units import EACH_RECORD
from privacy.training.private.guarantee import Guarantee
from privacy.training.private.session import WITNESS_NAME, session_folder


def named_aside(output: Path, guarantee: Guarantee, mechanisms: tuple[Mechanism, ...]) -> tuple[str, ...]:
    """What the claim of `output` must name; nothing where no run that spent anything was moved aside.

    `mechanisms`: what the claim itself counts.
    """
    runs, steps = 0, 0
    more: list[Mechanism] | None = list(mechanisms)
    for folder in _folders(output):
        spent, mechanism = _spent(folder, guarantee)
        if not spent:
            continue
        runs, steps = runs + 1, steps + spent
        more = [*more, mechanism] if more is not None and mechanism is not None else None
    if not runs:
        return ()
    total = _total(more, guarantee) if more is not None else None
    bound = f"; with them it is epsilon <= {total}" if total else ""
    was = "an earlier run" if runs == 1 else f"{runs} earlier runs"
    return (f"{was} into the same folder, {steps} noisy steps, moved aside by --replace{bound}",)


def _folders(output: Path) -> list[Path]:
    unfinished = session_folder(output).name
    names = (f"{unfinished}.*/", f"{output.name}.replaced.*/")
    found = sorted(path for name in names for path in output.parent.glob(_literal(name)) if path.is_dir())
    return [*found, output] if (output / LEDGER_NAME).is_file() else found  # it is about to be replaced


def _literal(pattern: str) -> str:
    """A pattern in which only the star is one."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


def _spent(folder: Path, guarantee: Guarantee) -> tuple[int, Mechanism | None]:
    """Steps of a run, and its mechanism where its ledger proves one for this unit."""
    witnessed = counted(folder / WITNESS_NAME) or 0
    try:
        chain = read_chain(folder / LEDGER_NAME)
        own = guarantee.unit
        group = 1 if own.name == EACH_RECORD else chain.header.group if chain.header.unit == own.name else None
        if witnessed > chain.spent or group is None:
            return max(witnessed, chain.spent), None
        return chain.spent, mechanism_of_header(chain.header, chain.spent, group)
    except (LedgerError, SamplingError, AccountingError):
        return max(1, witnessed), None


def _total(mechanisms: list[Mechanism], guarantee: Guarantee) -> str | None:
    try:
        return rounded_up(claim_all(mechanisms, guarantee.delta, guarantee.spec.accountant).epsilon)
    except AccountingError:
        return None
