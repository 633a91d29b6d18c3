"""A plan in words, 80 columns wide."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator

from harness.base.numbers import duration, number
from harness.checkpoint import NOTHING, Permissions
from harness.provenance.claim import claim_sentence
from privacy.planning.advice import likely_best
from privacy.planning.modes import ModeOutlook
from privacy.planning.plan import TrainPlan, plan_training
from privacy.training.private.guarantee import Guarantee
from privacy.training.settings.spec import TrainSpec

WIDTH = 80
_LABEL = 11
_DIGITS = 3
_GIB, _MIB = 2**30, 2**20


def planned(
    spec: TrainSpec, *, if_missing: bool = False, replace: bool = False, permissions: Permissions = NOTHING
) -> str:
    """What `assay train --plan` prints; see `plan_training`."""
    made = plan_training(spec, if_missing=if_missing, replace=replace, permissions=permissions)
    return plan_text(made) if isinstance(made, TrainPlan) else made.sentence


def plan_text(plan: TrainPlan) -> str:
    """The whole plan, several lines of at most 80 columns; a name that is longer stands alone."""
    facts = list(_facts(plan))
    lines = [line for label, text in facts for line in _wrapped(label, text)]
    if plan.modes:
        lines += ["", *_table(plan), *_wrapped("", _advice(plan))]
    return "\n".join([*lines, "nothing was trained, spent or written"])


def _facts(plan: TrainPlan) -> Iterator[tuple[str, str]]:
    spec, cost = plan.spec, plan.cost
    share = f", of which mode {spec.mode} trains {plan.trained:,}" if plan.trained < plan.total else ", all trained"
    yield "model", f"{plan.model_type}, {plan.total:,} parameters{share}"
    cut = f", {cost.truncated:,} of them cut at the token limit" if cost.truncated else ""
    yield "records", f"{plan.records:,}{cut}"
    yield "steps", _steps(plan)
    if plan.filled:
        yield "filled in", ", ".join(f"{name} {_setting(value)}" for name, value in plan.filled.items())
    if plan.guarantee is not None:
        yield "noise", _noise(plan, plan.guarantee)
        yield "signal", _signal(plan, plan.guarantee)
    yield "time", _time(plan)
    alone = "; of one process, which shares nothing out" * (
        spec.privacy is not None and spec.privacy.sharding != "none"
    )
    what = f"the whole process, on the longest records that can meet{alone}"
    yield "memory", f"about {_bytes(cost.memory)} on {cost.device}: {what}"
    if plan.claim is not None:
        first, *others = claim_sentence(plan.claim).split("\n")
        yield "claim", first
        for line in others:
            yield "", line
    if plan.note:
        yield "note", plan.note


def _setting(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _steps(plan: TrainPlan) -> str:
    spec = plan.spec
    expected = "expected" if plan.guarantee is not None and plan.guarantee.rate < 1 else "each"
    rate = f" (sampling rate {plan.guarantee.rate:.4g})" if plan.guarantee is not None else ""
    parts = f", in micro-batches of {spec.micro_batch:,}" if spec.accumulation > 1 else ""
    done = f"; {plan.done:,} are spent by an unfinished run, which goes on" if plan.done else ""
    epochs = "1 epoch" if spec.epochs == 1 else f"{spec.epochs} epochs"
    return f"{plan.steps:,}, of {spec.batch_size:,} records {expected}{rate}{parts}: {epochs}{done}"


def _noise(plan: TrainPlan, guarantee: Guarantee) -> str:
    privacy, spec = guarantee.spec, plan.spec
    each = guarantee.noise_multiplier * privacy.max_grad_norm / spec.batch_size
    if spec.optimizer == "sgd":
        moved = f"times learning rate {spec.learning_rate:g}: {number(each * spec.learning_rate, _DIGITS)} a step"
    else:
        moved = (
            f"AdamW scales it away, so a weight of noise alone moves by about the learning rate, {spec.learning_rate:g}"
        )
    return (
        f"multiplier {number(guarantee.noise_multiplier)} (standard deviation over the clipping norm, "
        f"{privacy.max_grad_norm:g}); on each weight's mean gradient {number(each, _DIGITS)} "
        f"(multiplier x norm / batch); {moved}"
    )


def _signal(plan: TrainPlan, guarantee: Guarantee) -> str:
    if not guarantee.noise_multiplier:
        return "no noise"
    own = ModeOutlook(
        plan.spec.mode, plan.trained, plan.spec.batch_size, plan.steps, guarantee.noise_multiplier, guarantee.bands
    )
    correlated = f"; noise is correlated over {own.bands} steps, a step's own is counted as if not" * bool(own.bands)
    return (
        f"at most {number(own.signal, _DIGITS)} times the noise in a step, {number(own.signal_of_all, _DIGITS)} over "
        "all steps: batch / (multiplier x root of the weights trained), if all gradients pointed one way "
        f"(Li et al. 2022){correlated}"
    )


def _time(plan: TrainPlan) -> str:
    cost = plan.cost
    reading = f", {duration(cost.reading)} of it to read all records once" if cost.reading else ""
    return (
        f"about {duration(cost.seconds)} on {cost.device}{reading}: {number(cost.step, _DIGITS)} s a step, measured on "
        f"{cost.records:,} records, whose gradients were thrown away; writing ledger and states comes on top"
    )


def _table(plan: TrainPlan) -> list[str]:
    """One line per mode, and why some are none."""
    titles = ("mode", "trained", "batch", "steps", "noise", "signal a step", "over all")
    had = [each for each in plan.modes if each.trained is not None and not each.why_not]
    rows = [
        (
            f"{each.mode} *" if each.mode == plan.spec.mode else each.mode,
            f"{each.trained:,}",
            f"{each.batch:,}",
            f"{each.steps:,}",
            number(each.noise_multiplier),
            number(each.signal, _DIGITS),
            number(each.signal_of_all, _DIGITS),
        )
        for each in had
    ]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = [_row(titles, widths), *(_row(row, widths) for row in rows)]
    lacking = [each for each in plan.modes if each not in had]
    return [*lines, *(line for each in lacking for line in _wrapped("", f"{each.mode}: {each.why_not}"))]


def _row(cells: Iterable[str], widths: Iterable[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def _advice(plan: TrainPlan) -> str:
    claim = plan.claim
    assert claim is not None  # modes are compared for private trainings only
    own = plan.spec.privacy.epsilon if plan.spec.privacy is not None else None  # the target, as the spec has it
    own = own or (claim.run_epsilon if claim.run_epsilon is not None else claim.epsilon)
    possible = [each.mode for each in plan.modes if each.trained is not None and not each.why_not]
    best = likely_best(plan.spec.task, claim.units, own, possible)
    marked = "* this spec; the others with the settings that privacy fills in. "
    if not best or math.isinf(own):
        return f"{marked}No rule of thumb says which of them is best here."
    modes = " or ".join(best)
    return (
        f"{marked}Likely best at epsilon {own:.3g} and {claim.units:,} units: {modes}. A rule of thumb (few weights "
        "where units x epsilon is below 100,000), not a measurement: the signal is an upper bound and says nothing of "
        "how much a mode can learn; assay frontier --modes measures it."
    )


def _bytes(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
