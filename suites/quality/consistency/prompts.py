"""The prompt of a causal model that chooses, in the order of its parts and of its choices."""

from __future__ import annotations

from collections.abc import Sequence

from suites.quality.consistency.changes import Change

CHOICES = "{choices}"
ENDING = "Answer:"


def prompt(text: str, instruction: str, choices: Sequence[str], change: Change | None = None) -> str:
    """Text, instruction and the cue for an answer, each on its line; under `parts` the instruction comes first.

    Where the instruction has {choices} they are listed there; under `choices` from the last to the first.
    """
    listed = reversed(choices) if change == "choices" else choices
    told = instruction.replace(CHOICES, ", ".join(listed))
    parts = [told, text] if change == "parts" else [text, told]
    return "\n".join(part for part in (*parts, ENDING) if part)
