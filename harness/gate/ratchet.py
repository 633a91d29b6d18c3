"""The ratchet: on a pass, bounds tighten to what was achieved and never loosen, as a diff for review."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from harness.base.limits import YAML_BYTES, capped
from harness.base.regular import read_bounded
from harness.base.strict_yaml import compose_yaml
from harness.base.validation import load_yaml, validated, yaml_mapping
from harness.errors import UsageError
from harness.gate.policy import Gate, Policy
from harness.gate.verdict import GateResult, Outcome, Verdict

_DIGITS = 3
"""Significant digits of a new bound, rounded so that the audit that set it passes it."""

Bound = tuple[str, int]
"""Key of a bound in its gate, and its place where it is a list (0 elsewhere)."""


def tighter_bounds(verdict: Verdict) -> dict[str, dict[Bound, float]]:
    """New bounds by gate id: the end of the interval that decided, where it is inside the bound.

    Nothing tightens unless the whole release passes; nor do gates that are waived, are patterns, compare with a
    baseline (which moves by itself) or say `ratchet: false`.
    """
    if verdict.outcome is not Outcome.PASS:
        return {}
    return {result.gate.id: bounds for result in verdict.gates if (bounds := dict(_tighter(result)))}


def ratchet_diff(path: Path, verdict: Verdict) -> str:
    """A unified diff (for `git apply` or `patch -p1`) of the policy file with tighter bounds; '' when none is tighter.

    Comments and layout stay. Raises UsageError when the file is not the policy of the verdict, or shares a bound
    between gates by a YAML anchor.
    """
    policy = load_yaml(path, Policy)
    if policy.digest() != verdict.policy_digest:
        raise UsageError(f"{path}: is not the policy that was decided by; run `assay gate` with it again")
    changes = tighter_bounds(verdict)
    if not changes:
        return ""
    old = read_bounded(path, capped(YAML_BYTES)).decode("utf-8-sig")
    new = tighten_text(old, changes)
    _check(path, new, policy, changes)
    name = _shown(path)
    return _diff(old, new, name)


def tighten_text(text: str, changes: Mapping[str, Mapping[Bound, float]]) -> str:
    """The YAML of a policy with other bounds; every other character stays. Raises UsageError at shared anchors."""
    edits: dict[tuple[int, int], str] = {}
    for gate_id, bounds in changes.items():
        for bound, value in bounds.items():
            node = _scalar(text, gate_id, bound)
            span = (node.start_mark.index, node.end_mark.index)
            if span in edits:
                raise UsageError(
                    f"gate {gate_id!r}: its {bound[0]} is shared by a YAML anchor; write it out, then ratchet"
                )
            edits[span] = f"{value:.12g}"
    for (start, end), number in sorted(edits.items(), reverse=True):
        text = text[:start] + number + text[end:]
    return text


def _tighter(result: GateResult) -> Iterator[tuple[Bound, float]]:
    gate = result.gate
    plain = gate.ratchet and not gate.is_pattern and gate.baseline is None and gate.measured is None
    if not plain or result.outcome is not Outcome.PASS:
        return
    lowest, highest = gate.allowed
    low = None if result.low is None else _outward(result.low, -1)
    high = None if result.high is None else _outward(result.high, 1)
    if low is not None and math.isfinite(lowest) and low > lowest:
        yield ("min" if gate.within is None else "within", 0), low
    if high is not None and math.isfinite(highest) and high < highest:
        yield ("max" if gate.within is None else "within", 0 if gate.within is None else 1), high


def _outward(value: float, sign: int) -> float:
    """`value` to a few digits, never further in than it is."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    if step == 0:  # of a number next to the smallest there is
        return value
    steps = value / step
    whole = math.isclose(steps, round(steps), rel_tol=1e-12)
    rounded = round(steps) if whole else math.ceil(steps) if sign > 0 else math.floor(steps)
    out = float(f"{rounded * step:.12g}")
    return out if (out - value) * sign >= 0 else value


def _scalar(text: str, gate_id: str, bound: Bound) -> yaml.ScalarNode:
    """The YAML node that holds a bound."""
    root = compose_yaml(text)
    for gate in _value(root, "gates").value:
        if _value(gate, "id").value == gate_id:
            node = _value(gate, bound[0])
            found = node.value[bound[1]] if isinstance(node, yaml.SequenceNode) else node
            if isinstance(found, yaml.ScalarNode):
                return found
    raise UsageError(f"gate {gate_id!r}: its bound is not written as a number in this file; write it out, then ratchet")


def _value(node: yaml.Node | None, key: str) -> yaml.Node:
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if name.value == key:
            found: yaml.Node = value
            return found
    raise UsageError(f"the policy file has no plain key {key!r} here; write it out, then ratchet")


def _check(path: Path, text: str, old: Policy, changes: Mapping[str, Mapping[Bound, float]]) -> None:
    """The new text must be the old policy but for the new bounds, none of them looser."""
    new = validated(Policy, yaml_mapping(text, str(path)), str(path))
    expected = old.model_copy(update={"gates": tuple(_changed(gate, changes.get(gate.id, {})) for gate in old.gates)})
    looser = [
        one.id
        for one, two in zip(old.gates, new.gates, strict=False)
        if two.allowed[0] < one.allowed[0] or two.allowed[1] > one.allowed[1]
    ]
    if looser or new != expected:
        raise UsageError(f"{path}: its bounds could not be edited in place; write them as plain numbers, then ratchet")


def _changed(gate: Gate, bounds: Mapping[Bound, float]) -> Gate:
    update: dict[str, float | tuple[float, float]] = {}
    for (key, at), value in bounds.items():
        if key == "within" and gate.within is not None:
            pair = list(update.get("within", gate.within))  # type: ignore[arg-type]
            pair[at] = value
            update["within"] = (pair[0], pair[1])
        else:
            update[key] = value
    return gate.model_copy(update=update)


def _shown(path: Path) -> str:
    absolute = path.resolve()
    here = Path.cwd().resolve()
    return absolute.relative_to(here).as_posix() if absolute.is_relative_to(here) else path.name


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Lines as `patch` sees them: only a line feed ends one."""
    return [line for line in re.split(r"(?<=\n)", text) if line]
