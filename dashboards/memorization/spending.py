"""How epsilon was spent: over the steps of a training, and over trainings on the same records; pure."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from harness.base.language import _
from harness.base.numbers import bound
from harness.provenance.claim import rounded_up
from harness.provenance.spending import SharedRecords, Spending

STEPS = ["training", "step", "epsilon"]
TRAININGS = ["place", "training", "epsilon"]


def group_of(found: Spending, name: str) -> SharedRecords | None:
    """The trainings that share records with the one of this name."""
    return next((group for group in found.groups if name in {each.name for each in group.trainings}), None)


def name_below(root: Path, checkpoint: Path) -> str:
    """What a history in `root` calls a checkpoint."""
    return checkpoint.relative_to(root).as_posix()


def over_steps(group: SharedRecords, name: str) -> pd.DataFrame:
    """Epsilon of one training after each of some steps, from nothing on."""
    lines = [
        (each.name, spent.after, spent.epsilon)
        for each in group.trainings
        if each.name == name and each.history
        for spent in each.history
    ]
    return pd.DataFrame([(name, 0, 0.0), *lines] if lines else [], columns=STEPS)


def over_trainings(group: SharedRecords) -> pd.DataFrame:
    """Epsilon of the worst record after each training that read it; up to the first that leaves no bound."""
    lines = [
        (spent.after, name, spent.epsilon)
        for spent, name in zip(group.together, group.worst, strict=False)
        if math.isfinite(spent.epsilon)
    ]
    return pd.DataFrame(lines, columns=TRAININGS)


def table(group: SharedRecords) -> pd.DataFrame:
    """A line per training, the oldest first."""
    columns = [_("training"), _("began (UTC)"), _("noisy steps"), _("records"), _("epsilon alone"), _("state")]
    return pd.DataFrame(
        [
            (
                each.name,
                each.created[:16].replace("T", " "),
                f"{each.steps:,}" if each.planned is None else f"{each.steps:,} of {each.planned:,}",
                _("unknown") if each.records is None else f"{each.records:,}",
                rounded_up(each.epsilon) if math.isfinite(each.epsilon) else _("no bound: {why}", why=each.why or "?"),
                each.state or _("finished"),
            )
            for each in group.trainings
        ],
        columns=columns,
    )


def said(group: SharedRecords, found: Spending) -> str:
    """What all of them spent together, and against which total."""
    last = group.together[-1].epsilon if group.together else 0.0
    at = f"{group.delta:.3g}"
    if math.isfinite(last):
        told = _("Together: epsilon at most {epsilon} at delta {delta}.", epsilon=rounded_up(last), delta=at)
    else:
        told = _("Together: no bound ({why}).", why=group.why or "?")
    parts = [told]
    if found.total is not None:
        kept = last <= found.total
        stated = {"total": bound(found.total), "delta": f"{found.total_delta or 0:.3g}"}
        parts.append(
            _("The total of epsilon {total} at delta {delta} is kept.", **stated)
            if kept
            else _("The total of epsilon {total} at delta {delta} is passed.", **stated)
        )
    if group.unknown:
        names = ", ".join(group.unknown)
        parts.append(_("Nobody can tell whether these read the same records: {names}.", names=names))
    return " ".join(parts)
