"""Whether a training may start: all trainings on its records together must keep to the total that was stated."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.base.files import make_folder
from harness.errors import UsageError
from privacy.accounting import AccountantName, Mechanism
from privacy.budget.find import find_trainings
from privacy.budget.found import Training
from privacy.budget.total import Planned, Total, budget_file, check_total
from privacy.ledger import LedgerError, read_chain
from privacy.lineage import LEDGER_NAME, Composed
from privacy.training.data.load import TrainingData
from privacy.training.data.units import EACH_RECORD
from privacy.training.job import Job
from privacy.training.private.guarantee import Guarantee, plan_guarantee
from privacy.training.private.lineage import records_of
from privacy.training.private.session import session_folder
from privacy.training.settings.defaults import with_defaults
from privacy.training.settings.privacy_spec import PrivacySpec
from privacy.training.settings.spec import TrainSpec


@contextmanager
def within_total(
    job: Job, guarantee: Guarantee | None = None, composed: tuple[Composed, ...] = (), *, replace: bool = False
) -> Iterator[None]:
    """Check the total, and let no other training below its folder be checked until the ledger of this one is there.

    `guarantee`: None for a training without privacy. Raises UsageError where the total would be passed.
    """
    totals = totals_of(job.spec, guarantee.delta if guarantee else None)
    if not totals:
        yield
        return
    with _alone(totals[0].root):
        check_totals(job, guarantee, composed, replace=replace)
        yield


def check_totals(
    job: Job, guarantee: Guarantee | None = None, composed: tuple[Composed, ...] = (), *, replace: bool = False
) -> None:
    """Raises UsageError where `within_total` would, as things are now."""
    for total in totals_of(job.spec, guarantee.delta if guarantee else None):
        _check(total, job, guarantee, composed, replaces=replace)


def totals_of(spec: TrainSpec, delta: float | None) -> list[Total]:
    """The totals that bind `spec`: of the file beside or above its output, and its own; `delta`: of its guarantee.

    One with privacy.total_epsilon counts the trainings below the folder of the file, where there is one.
    """
    beside = budget_file(spec.output.parent)
    totals = [beside] if beside else []
    if spec.privacy is not None and spec.privacy.total_epsilon is not None and delta is not None:
        root = beside.root if beside else spec.output.parent
        totals.append(Total(spec.privacy.total_epsilon, delta, "privacy.total_epsilon", root))
    return totals


def check_grid(specs: Sequence[TrainSpec], data: TrainingData) -> None:
    """Raises UsageError where trainings on `data`, one after the other, would pass a total: before the first of them.

    `data`: as a private one of them reads it. Those that are finished count by their ledgers.
    """
    private = [spec for spec in specs if spec.privacy is not None]
    totals = totals_of(private[0], 0.5) if private else []
    if not totals:
        return
    if len(private) < len(specs):
        raise UsageError(
            f"{private[0].output.parent}: a model without privacy has no bound, so a grid with one keeps to no total "
            f"(epsilon {totals[0].epsilon:g}, {totals[0].where}); leave inf out of the epsilons"
        )
    waiting = [with_defaults(spec, len(data.members)) for spec in private if not spec.output.exists()]
    guarantees: dict[tuple[PrivacySpec | None, int, int], Guarantee] = {}
    for spec in waiting:
        if spec.privacy is not None and _sampled(spec) not in guarantees:
            guarantees[_sampled(spec)] = plan_guarantee(spec, spec.privacy, data)
    if not guarantees:
        return
    first = next(iter(guarantees.values()))
    own = {_own_run(spec.output) for spec in waiting}
    planned = Planned(
        str(private[0].output.parent),
        tuple(_mechanism(guarantees[_sampled(spec)]) for spec in waiting),
        records_of(data),
        first.unit.name,
        first.spec.accountant,
        first.delta,
    )
    for total in totals_of(private[0], first.delta):
        start = private[0].base
        bases = (Path(start.source),) if start is not None and Path(start.source).is_dir() else ()
        found = find_trainings(total.root, bases=bases)
        check_total(total, planned, replace(found, trainings=_without(found.trainings, own)))


def _sampled(spec: TrainSpec) -> tuple[PrivacySpec | None, int, int]:
    """What tells guarantees on the same records apart: grids differ by epsilon and, with modes, by batch and epochs."""
    return spec.privacy, spec.batch_size, spec.epochs


def _mechanism(guarantee: Guarantee) -> Mechanism:
    return guarantee.sampling.mechanism(guarantee.noise_multiplier, group=guarantee.unit.group)


def _without(trainings: Sequence[Training], runs: Collection[str | None]) -> tuple[Training, ...]:
    return tuple(each for each in trainings if each.header is None or each.header.run not in runs)


def _check(
    total: Total, job: Job, guarantee: Guarantee | None, composed: tuple[Composed, ...], *, replaces: bool
) -> None:
    spec = job.spec
    bases = (job.base.path,) if job.base is not None and job.base.manifest is not None else ()
    found = find_trainings(total.root, bases=bases)
    others = _without(found.trainings, () if replaces else (_own_run(spec.output),))
    if guarantee is None and replaces:  # what is replaced goes
        others = tuple(each for each in others if not (each.plain and total.root / each.name == spec.output))
    seen = {each.header.run for each in others if each.header}
    more = tuple(_as_training(each) for each in composed if each.run.header.run not in seen)
    check_total(total, _planned(job, guarantee, more), replace(found, trainings=others))


def _planned(job: Job, guarantee: Guarantee | None, more: tuple[Training, ...]) -> Planned:
    records, name = records_of(job.data), str(job.spec.output)
    if guarantee is None:
        return Planned(name, (), records, EACH_RECORD, "prv")
    sampling, group = guarantee.sampling, guarantee.unit.group
    accountant: AccountantName = guarantee.spec.accountant

    def at_noise(noise: float) -> Mechanism:
        return sampling.mechanism(noise, group=group)

    return Planned(
        name, (_mechanism(guarantee),), records, guarantee.unit.name, accountant, guarantee.delta, at_noise, more
    )


def _as_training(composed: Composed) -> Training:
    run = composed.run
    return Training("an earlier training of its base", header=run.header, steps=run.spent, records=run.header.records)


def _own_run(output: Path) -> str | None:
    """The unfinished run that goes on: its steps are among those planned."""
    try:
        return read_chain(session_folder(output) / LEDGER_NAME).header.run
    except LedgerError:
        return None


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    try:
        handle = os.open(make_folder(root), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{root}: cannot be opened ({error.strerror}); choose a folder you can read") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
