"""A test case's row: what its texts got, which of its changed versions fail, and so whether the case does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.api.case import Case
from harness.api.probe import RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from suites.adversarial.checklist.changes import CHANGES
from suites.adversarial.checklist.expect import Expectation, Tolerances, fails_alone, fails_changed, wrong_way
from suites.adversarial.checklist.metrics import FAILED, NOT_APPLICABLE, PASSED, slice_name

_COPIED = ("kind", "capability", "test", "source", "base", "text", "pair", "label")
_NO_ROOM = "the probability is so near its end that it cannot move the wrong way by more than the tolerance"
_NOT_READ = "the model cuts the text off before or within the change"


@dataclass(frozen=True, slots=True)
class Answers:
    """Answer to each text, and the tokens read of those that were cut off."""

    to: Mapping[TextRequest, ClassScores]
    read: Mapping[TextRequest, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Judged:
    """A changed version with its answer; `failed` is None, for the reason `why`, where it shows nothing."""

    request: TextRequest
    answer: ClassScores
    failed: bool | None
    why: str | None
    moved: float


def ask(scorer: Scorer, requests: Sequence[TextRequest]) -> Answers:
    """Answers to the requests, each distinct one asked once, all together."""
    distinct = list(dict.fromkeys(requests))
    to = dict(zip(distinct, scorer.ask(distinct), strict=True))
    cut = [request for request in distinct if to[request].error is None and to[request].truncated]
    read = [each.tokens for each in scorer.inputs_of(cut)] if cut else []
    return Answers(to, dict(zip(cut, read, strict=True)))


def original_of(case: Case) -> TextRequest:
    """The case's text as it is."""
    return TextRequest(case.data["text"], case.data["pair"])


def make_row(case: Case, versions: Sequence[TextRequest], answers: Answers, allowed: Tolerances) -> RowDict:
    """The row of a case with these changed versions."""
    data, original = case.data, original_of(case)
    for what, request in (("the text", original), *(("a changed text", version) for version in versions)):
        error = answers.to[request].error
        if error is not None:
            part = slice_name(data["kind"], data["capability"], data["test"], data["source"])
            return error_row(case, f"{part}: {what}: {error}")
    expected, before = Expectation(**data["expected"]), answers.to[original]
    judged = [_judge(case, expected, version, answers, allowed) for version in versions]
    outcome, why = _outcome(case, expected, before, judged)
    return ok_row(
        case,
        **{name: data[name] for name in _COPIED},
        expected=expected.shown,
        predicted=before.label,
        probabilities=before.probabilities.tolist(),
        **_worst(judged),
        outcome=outcome,
        why=why,
        truncated=int(before.truncated),
        versions=json.dumps([_shown(each) for each in judged], ensure_ascii=False),
        left_out=json.dumps(data["left_out"], ensure_ascii=False),
    )


def _judge(case: Case, expected: Expectation, version: TextRequest, answers: Answers, allowed: Tolerances) -> _Judged:
    original = original_of(case)
    before, after = answers.to[original], answers.to[version]
    moved = wrong_way(expected, before, after)
    at_end = case.data["change"] is not None and CHANGES[case.data["change"]].at_end
    if after.truncated and (at_end or answers.read[version] == answers.read.get(original)):
        return _Judged(version, after, None, _NOT_READ, moved)
    failed = fails_changed(expected, before, after, allowed)
    return _Judged(version, after, failed, _NO_ROOM if failed is None else None, moved)


def _outcome(
    case: Case, expected: Expectation, before: ClassScores, judged: Sequence[_Judged]
) -> tuple[str, str | None]:
    """passed, failed or not applicable, and why the last: a case fails if any of its versions does."""
    if case.data["kind"] == "MFT":
        return (FAILED if fails_alone(expected, before) else PASSED), None
    if not judged:
        change = case.data["change"]
        return NOT_APPLICABLE, "the lists have no other word" if change is None else CHANGES[change].why_not
    verdicts = [each.failed for each in judged if each.failed is not None]
    if not verdicts:
        return NOT_APPLICABLE, "; ".join(dict.fromkeys(str(each.why) for each in judged))
    return (FAILED if any(verdicts) else PASSED), None


def _worst(judged: Sequence[_Judged]) -> RowDict:
    """The version farthest the wrong way, of those that failed if any did, else of those that count, else of all."""
    names = ("perturbed_text", "perturbed_pair", "perturbed_predicted", "perturbed_probabilities")
    if not judged:
        return dict.fromkeys(names)
    worst = max(judged, key=lambda each: (each.failed is True, each.failed is False, each.moved))
    probabilities = worst.answer.probabilities.tolist()
    return dict(zip(names, (worst.request.text, worst.request.pair, worst.answer.label, probabilities), strict=True))


def _shown(each: _Judged) -> dict[str, Any]:
    """A version as it stands in the row."""
    return {
        "text": each.request.text,
        **({} if each.request.pair is None else {"pair": each.request.pair}),
        "predicted": each.answer.label,
        "probabilities": each.answer.probabilities.tolist(),
        "failed": each.failed,
        "why": each.why,
    }
