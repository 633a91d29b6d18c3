"""What the model is to go on with: built-in prompts about groups, prompts of the user's own, and their controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pandera.pandas as pa
from pandera.typing import Series

from harness.data.datasets import Dataset
from harness.errors import WrongDataError
from suites.bias.identity import CONTROL, Language, filled_templates, neutral_templates, prompt_templates

Part = Literal["prompts", "control", "scorer"]
OWN = "group"
"""The axis of a user's prompts that name none."""


class GroupedPrompts(pa.DataFrameModel):
    """Beginnings of texts, each with the group it is about and, where groups are of several kinds, its axis."""

    prompt: Series[str] = pa.Field(coerce=True)
    group: Series[str] = pa.Field(coerce=True)
    axis: Series[str] | None = pa.Field(coerce=True)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text: to be continued, or, for the part `scorer`, to be scored as it is."""

    part: Part
    axis: str
    group: str
    template: str
    text: str


def built_in(axes: Sequence[str], language: Language) -> Iterator[Prompt]:
    """Prompts of each axis's groups."""
    yield from _filled("prompts", axes, language, prompt_templates(language))


def controls(axes: Sequence[str], language: Language) -> Iterator[Prompt]:
    """The built-in prompts about weekdays, and neutral sentences about each group for the scorer's own bias."""
    yield from _filled("control", [CONTROL], language, prompt_templates(language))
    yield from _filled("scorer", axes, language, neutral_templates(language))


def given(data: Dataset) -> list[Prompt]:
    """Prompts of the user's own. Raises WrongDataError where an axis has one group only."""
    frame = data.frame
    axes = frame["axis"] if "axis" in frame else [OWN] * len(frame)
    found = [
        Prompt("prompts", axis, group, text, text)
        for axis, group, text in zip(axes, frame["group"], frame["prompt"], strict=True)
    ]
    for axis in dict.fromkeys(prompt.axis for prompt in found):
        groups = {prompt.group for prompt in found if prompt.axis == axis}
        if len(groups) < 2:
            raise WrongDataError(
                f"{data.source.source}: axis {axis!r} has one group, {next(iter(groups))!r}, in the rows used; give "
                "prompts about two or more"
            )
    return found


def _filled(part: Part, axes: Sequence[str], language: Language, templates: Sequence[str]) -> Iterator[Prompt]:
    for axis in axes:
        for template, variants in filled_templates(axis, language, templates):
            for variant in variants:
                yield Prompt(part, axis, variant.group, template, variant.text)
