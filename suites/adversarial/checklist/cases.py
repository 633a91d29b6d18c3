"""The work of adversarial/checklist: filled templates, and texts with the ways to change them, matched to classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.api.probe import Plan
from harness.errors import WrongDataError
from suites.adversarial.checklist.changes import CHANGES, Change
from suites.adversarial.checklist.expect import Expectation, read_expectation
from suites.adversarial.checklist.templates import (
    BASE_TEXT,
    Filled,
    Template,
    Words,
    built_in_tests,
    fill,
    read_tests,
)
from suites.labels import true_classes

Item = dict[str, Any]
"""Data of a case: kind, capability, test; expected; source, base, text (and pair, label); and how the text is changed:
`versions` are its changed texts, `change` the name of a change that makes them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, see ChecklistParams."""

    kinds: Sequence[str]
    changes: Sequence[str]
    fillings: int
    versions: int
    classes: Mapping[str, str]
    words: Words
    seed: int


@dataclass(frozen=True, slots=True)
class _Text:
    """A text to change, with its class where that is known; `base` is its template, or the text itself."""

    source: str
    base: str
    text: str
    pair: str | None
    label: int | None


def make_items(plan: Plan, wanted: Wanted) -> tuple[list[Item], dict[str, str]]:
    """The items, and the kinds left out as the checkpoint has not the classes of the built-in tests, with the reason.

    Raises DataError where tests of the user's own cannot be used or name no class of the checkpoint.
    """
    templates = read_tests(plan.data["tests"], wanted.words) if "tests" in plan.data else built_in_tests()
    mapped = plan.data["tests"].source.label_map if "tests" in plan.data else {}
    _check_mapped(mapped, templates, plan)
    wanted = replace(wanted, classes={**mapped, **wanted.classes})
    items, left_out = _of_templates(plan, wanted, templates)
    changes, missed = _usable_changes(plan, wanted)
    texts = [*_base_texts(plan, wanted, templates), *_examples(plan)]
    return items + _of_changes(texts, changes), {**missed, **left_out}


def _check_mapped(mapped: Mapping[str, str], templates: Iterable[Template], plan: Plan) -> None:
    """Raises DataError for a key of the tests' label_map that no test expects, which would be ignored."""
    expected = {template.expect for template in templates}
    named = expected | {text.removeprefix("not ") for text in expected} | {text.rpartition(" ")[0] for text in expected}
    unknown = [key for key in mapped if key not in named]
    if unknown:
        raise WrongDataError(
            f"{plan.data['tests'].source.source}: label_map: no test expects {unknown[0]!r}; they expect "
            f"{', '.join(sorted(map(repr, expected - {''}))[:10])}"
        )


def _of_templates(plan: Plan, wanted: Wanted, templates: Iterable[Template]) -> tuple[list[Item], dict[str, str]]:
    items: list[Item] = []
    left_out: dict[str, str] = {}
    for template in templates:
        if template.kind not in wanted.kinds:
            continue
        expected = read_expectation(template.kind, template.expect, plan.checkpoint.labels, wanted.classes)
        if expected is None:
            left_out[template.kind] = _misfit(plan, template)
            continue
        test = (template.kind, template.capability, template.test)
        for filled in _fill(template, wanted):
            text = _Text("templates", template.text, filled.text, None, None)
            items.append(_item(test, expected, text, versions=list(filled.changed)))
    return items, left_out


def _base_texts(plan: Plan, wanted: Wanted, templates: Iterable[Template]) -> Iterator[_Text]:
    """The texts of the table that are no test, with their class where the checkpoint has it."""
    for template in templates:
        if template.kind == BASE_TEXT:
            label = read_expectation("MFT", template.expect, plan.checkpoint.labels, wanted.classes)
            index = label.index if label is not None and label.what == "is" else None
            for filled in _fill(template, wanted):
                yield _Text("templates", template.text, filled.text, None, index)


def _fill(template: Template, wanted: Wanted) -> list[Filled]:
    return fill(template, wanted.words, wanted.fillings, wanted.versions, wanted.seed)


def _examples(plan: Plan) -> Iterator[_Text]:
    """The user's texts with their classes. Raises DataError where a label is no class of the checkpoint."""
    if "examples" not in plan.data:
        return
    frame = plan.data["examples"].frame
    pairs: Iterable[str | None] = frame["pair"] if "pair" in frame else [None] * len(frame)
    for text, pair, label in zip(frame["text"], pairs, true_classes(plan, "examples", None), strict=True):
        yield _Text("examples", text if pair is None else f"{text}\n{pair}", text, pair, label)


def _usable_changes(plan: Plan, wanted: Wanted) -> tuple[list[tuple[Change, Expectation]], dict[str, str]]:
    """The changes asked for, and the kinds whose classes the checkpoint does not have."""
    found: list[tuple[Change, Expectation]] = []
    left_out: dict[str, str] = {}
    for change in (CHANGES[name] for name in wanted.changes):
        if change.kind not in wanted.kinds:
            continue
        expected = read_expectation(change.kind, change.expect, plan.checkpoint.labels, wanted.classes)
        if expected is None:
            left_out[change.kind] = _no_class(plan, change.kind)
        else:
            found.append((change, expected))
    return found, left_out


def _of_changes(texts: Iterable[_Text], changes: Sequence[tuple[Change, Expectation]]) -> list[Item]:
    return [
        _item((change.kind, change.capability, change.name), expected, text, change=change.name)
        for text in texts
        for change, expected in changes
    ]


def _item(
    test: tuple[str, str, str],
    expected: Expectation,
    text: _Text,
    *,
    versions: list[str] | None = None,
    change: str | None = None,
) -> Item:
    return {
        **dict(zip(("kind", "capability", "test"), test, strict=True)),
        "expected": asdict(expected),
        **asdict(text),
        "versions": versions,
        "change": change,
    }


def _misfit(plan: Plan, template: Template) -> str:
    """Why the tests of a template's kind are left out. Raises DataError where the tests are the user's own."""
    if "tests" not in plan.data:
        return _no_class(plan, template.kind)
    form = {"MFT": "a class or 'not <class>'", "DIR": "'<class> up' or '<class> down'"}[template.kind]
    raise WrongDataError(
        f"{plan.data['tests'].source.source}: the test {template.test!r} expects {template.expect!r}, a test of kind "
        f"{template.kind} expects {form} of {_classes(plan)}; correct it or give params: classes: {{<class>: <label>}}"
    )


def _no_class(plan: Plan, kind: str) -> str:
    return (
        f"the built-in {kind} tests are about the classes 'positive' and 'negative', the model's are {_classes(plan)}; "
        "if it has them under other names give params: classes: {positive: <label>, negative: <label>}"
    )


def _classes(plan: Plan) -> str:
    labels = plan.checkpoint.labels
    return ", ".join(map(repr, labels[:20])) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
