"""Sentences that an audit recorded in English, said in the language spoken now.

A verdict is written once and read in any language, so its sentences are known again by the pattern the gate made them
by, and their values are put into the translated pattern. What no pattern fits stays as it was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from string import Formatter

from harness.base.language import ENGLISH, _, language, marked, told
from harness.reports.content.note_patterns import NOTES

_TOGETHER = 3
"""Parts of a text that one pattern may hold."""
LONGEST = 2000
"""Characters; a longer text is no sentence of the gate, and no pattern is tried on it."""
_DEPTH = 4
"""Sentences within each other: a waiver about a correction about a regression about its interval."""

_PATTERNS = (
    # what the interval says
    marked("the {level} interval {interval} (n={n}) of {metric} {relation} {rule}"),
    marked("the {level} interval {interval} (n={n}) of {metric} {relation} {rule} ({least} to {most})"),
    marked("the {level} interval {interval} (n={n} pairs) of the regression of {metric} {relation} {rule}"),
    marked(
        "the {level} interval {interval} (n={n} pairs) of the regression of {metric} {relation} {rule} "
        "({least} to {most})"
    ),
    marked("the estimate {value} (n={n}) of {metric} {relation} {rule}"),
    marked("the estimate {value} (n={n} pairs) of the regression of {metric} {relation} {rule}"),
    marked("the proven bound {value} of {metric} {relation} {rule}"),
    marked("satisfies"),
    marked("violates"),
    marked("only partly satisfies"),
    marked("only partly satisfies (its worst end decides)"),
    marked("does not wholly violate (its best end decides)"),
    marked("in [{least}, {most}]"),
    marked("<= {value} worse than the baseline"),
    marked("must be measured"),
    marked("at least {value}"),
    marked("at most {value}"),
    marked("none"),
    marked("{reason}, but not after Holm's correction over {family} gates (p {p} > {alpha})"),
    marked("{reason}, but not after Benjamini and Hochberg's correction over {family} gates (p {p} > {alpha})"),
    # why there is no evidence
    marked("not asked for: the checkpoint makes no privacy claim"),
    marked("{value} > {bound}: {why}"),
    marked("no metric was measured that fits {metric} ({why})"),
    marked("no metric was measured that fits {metric}"),
    marked("{metric} is missing: {why}"),
    marked("{metric} was measured"),
    marked("{metric} does not apply: {why}"),
    marked("{metric} was not run: {why}"),
    marked("{metric} did not finish: {why}"),
    marked("{metric} was not measured; the metric was for {why}"),
    marked("{metric} was not measured; did you mean {why}?"),
    marked("{metric} was not measured"),
    marked("{metric} was measured {n} times, which one is meant is unknown"),
    marked("{metric} is {value}, outside its own interval: it cannot decide {rule}"),
    marked("{metric} has an interval without width, which no sample can have: it cannot decide {rule}"),
    marked("{metric} has no confidence interval"),
    marked("{metric} has no baseline: {why}"),
    marked("{metric} cannot be compared with the baseline: {why}"),
    marked("the comparison of {metric} rests on {n} pairs, the gate asks for {all}"),
    marked("{metric} rests on {n} observations, the gate asks for {all}"),
    marked("{level} of the cases of the comparison of {metric} gave no usable row, the gate allows {allowed}"),
    marked("{level} of the cases of {metric} gave no usable row, the gate allows {allowed}"),
    marked("no value of {metric} can break {bound}, it lies in [{least}, {most}]; {todo}"),
    marked("the privacy claim of the checkpoint is not verifiable: {why}"),
    # what to do
    marked("add cases to this gate"),
    marked("meet the rule, or have the waiver renewed"),
    marked("find the cause before anything else: no policy, waiver or severity lets this pass"),
    marked("correct the bound"),
    marked("report it to the maker of the probe"),
    marked("measure it again with this version of Assay"),
    marked("give --baseline, or `baseline` in the policy"),
    marked("audit the baseline again, as this was audited"),
    marked("raise limits.cases: more of them narrow the regression and the baseline's value"),  # as said before
    marked("raise limits.cases; more cases narrow the regression and the baseline's value"),
    marked("give more data: every case was used; more cases narrow the regression and the baseline's value"),
    marked("the estimate lies on the bound: no number of cases decides"),
    marked("raise limits.cases, or measure a metric with an interval on both sides"),
    marked("if the estimate stays, about more than 10^12 cases decide; raise limits.cases"),
    marked("if the estimate stays, about {n} cases decide; raise limits.cases"),
    marked("raise limits.cases by at least {n}, or give more data"),
    marked("give more data: every case was used, or measure a metric with an interval on both sides"),
    marked("if the estimate stays, about more than 10^12 cases decide; give more data: every case was used"),
    marked("if the estimate stays, about {n} cases decide; give more data: every case was used"),
    marked("give more data: every case was used"),
    marked("see the error rows"),
    marked("measure it: add its probe or data to the spec, or correct the gate"),
    marked("audit it with the ledger and the manifest that its training wrote"),
    # waivers and warnings
    marked("its waiver by {who} ended on {until}, and {reason}"),
    marked("{reason}; waived by {who} until {until}, granted by {owner}: {why}"),
    marked("{reason}; waived by {who} until {until}: {why}"),
    marked("gate {gate} passes without its waiver (by {who} until {until}, granted by {owner}); remove it"),
    marked("gate {gate} passes without its waiver (by {who} until {until}); remove it"),
    marked("gate {gate} is waived by {who} until {until}, granted by {owner} ({why}): {reason}"),
    marked("gate {gate} is waived by {who} until {until} ({why}): {reason}"),
    marked("gate {gate} was not measured, excused as {absence}: {reason}"),
    marked("gate {gate}: {reason}"),
    marked("the baseline's data for {data} differ, as allowed: only cases that both have were compared"),
    marked("the baseline is the candidate itself"),
    marked("{metric}: it does not apply to {n} of the cases that both have, which were left out"),
    marked("{metric}: {n} cases of the candidate and {all} of the baseline have no counterpart and were left out"),
    # why two audits are not compared
    marked("no case has a usable row in both audits"),
    marked("no row counts for the metric in one of the audits"),
    marked("McNemar's test needs independent rows with two outcomes, better one way"),
    marked("McNemar's test needs a value per row"),
    marked("{n} pairs are too few, or too much alike, to bound the difference"),
    marked("it has no value over the common cases"),
    marked("it has no interval on both sides over the common cases"),
    marked("{metric} did not finish in the baseline: {why}"),
    marked("{metric} was version {value} in the baseline and is version {bound} now"),
    marked("its data for {name} differ (another digest), so its rows are no pairs of these"),
    marked("the plug-in of {metric} is not installed here"),
    marked("the setting {name} of {metric} was {before} in the baseline, is {now}"),
    marked("the candidate has no record of {metric}"),
    marked("the baseline has no record of {metric}"),
    marked("the candidate has {n} rows of {metric} where its manifest records {all}"),
    marked("the baseline has {n} rows of {metric} where its manifest records {all}"),
    # why a probe has no number, or not all of its cases
    marked("the limit of {minutes} minutes was reached after {n} of {all} cases"),
    marked("its rows could not be measured ({why})"),
    marked("not applicable: {why}"),
    marked("no case applies: {why}"),
    marked("needs a {need}; the checkpoint offers {offers}"),
    marked("not everything was scanned ({n} entries not read to their end); {why}"),
    marked("{what}: all observations are the same"),
    # what a number rests on, or why there is none
    marked(
        "a false-positive rate of {p} % needs {n} non-members to fix the threshold on and {all} others to measure it "
        "with, here are {some} and {absent}; give more, or ask for a rate of at least {least} %"
    ),
    marked(
        "a false-positive rate of {p} % needs {n} non-members to fix the threshold on and {all} others to measure it "
        "with, here are {some} and {absent}; give more, or no rate can be shown"
    ),
    marked("threshold fixed on {n} held-out records; on the other {all} its FPR is {value} ({least} to {most})"),
    marked("accuracy {value} on members, {most} on held-out records"),
    marked("of the surest {n} of {all} texts; those as sure as the last are answered, too"),
    marked("no upper end: {n} independent observations are too few, {all} could have shown a rare outlier"),
    marked("no lower end: {n} independent observations are too few, {all} could have shown a rare outlier"),
    marked("no interval: {n} independent observations are too few, {all} could have shown a rare outlier"),
    # why an audit stopped
    marked("interrupted by the user"),
    # how its interval was made
    marked("{method}, largest of {n}"),
    # the whole verdict
    marked("no policy was given: nothing was decided"),
    marked("not decided yet"),
)
_HEADS = (
    marked("{n} of {all} gates blocked"),
    marked("{n} of {all} gates blocked ({absent} of them not measured)"),
    marked("{n} of {all} gates not decided"),
    marked("{n} of {all} gates not decided ({absent} of them not measured)"),
    marked("{n} of {all} gates passed"),
    marked("{n} of {all} gates passed with their whole confidence interval"),
    marked("{n} of {all} gates passed ({some} by its best end or the estimate alone)"),
    marked("nothing was decided: no gate that counts was measured"),
)
_BESIDE = (
    *_HEADS[4:7],
    marked("{n} waived"),
    marked("{n} not measured (excused: {absence})"),
    marked("{n} not met, only warned about"),
    marked("{n} not met, only warned about ({absent} not measured)"),
    marked("{n} not met, for information only"),
    marked("{n} not met, for information only ({absent} not measured)"),
    marked("{n} not asked for"),
)
_COUNTS = dict.fromkeys(("n", "all", "family", "absent", "some"), r"[\d,]+")
_FORMS = {
    **_COUNTS,
    "level": r"[\d.e-]+ %",
    "allowed": r"[\d.e-]+ %",
    "interval": r"\[[^\[\]]*\]|at least \S+|at most \S+|none",
    "relation": r"satisfies|violates|only partly satisfies(?: \(.*?\))?|does not wholly violate \(.*?\)",
    "until": r"\d{4}-\d\d-\d\d",
    **dict.fromkeys(("value", "p", "alpha", "least", "most"), r"[^\s()]+"),
    "metric": r"\S+(?: \[.*?\])?",
    **dict.fromkeys(("name", "other", "label", "group"), r"[^;]+?"),
}
"""What a value looks like, by its name; any text otherwise."""
_WITHIN = frozenset({"interval", "relation", "rule", "reason", "absence", "why", "method"})
"""Values that are sentences or words of the gate themselves."""


def retold(text: str) -> str:
    """A sentence of a verdict, of a metric or of why a probe did not run, in the language spoken now."""
    if language() == ENGLISH or len(text) > LONGEST:
        return text
    return _known(text) or _by_parts(text) or text


def _known(text: str) -> str | None:
    known = told(text)
    return known if known != text else _whole(text) or _retold(text, _DEPTH) or _fitted(text, NOTES, 1)


def _by_parts(text: str) -> str | None:
    """Sentences with "; " between them, some of which may be two that belong together; what is not known stays."""
    parts, said, found = text.split("; "), [], False
    while parts:
        for taken in range(min(_TOGETHER, len(parts)), 0, -1):
            known = _known("; ".join(parts[:taken]))
            if known or taken == 1:
                said.append(known or parts[0])
                found |= known is not None
                parts = parts[taken:]
                break
    return _("; ").join(said) if found else None


def _whole(text: str) -> str | None:
    """The reason of a verdict: how many gates, what does not count, then the first that stands in the way."""
    head, *rest = text.split("; ")
    said = [_fitted(head, _HEADS, 1)]
    if said[0] is None:
        return None
    while rest and (beside := _fitted(rest[0], _BESIDE, 1)):
        said.append(beside)
        rest = rest[1:]
    last = [_first("; ".join(rest))] if rest else []
    return _("; ").join([*(each for each in said if each), *last])


def _first(text: str) -> str:
    """`first GATE: REASON`; a gate's id may hold colons as well."""
    several = text.startswith("first ")
    named = text.removeprefix("first ")
    cuts = [at.start() for at in re.finditer(": ", named)] or [len(named)]
    pairs = [(named[:cut], _retold(named[cut + 2 :], _DEPTH)) for cut in cuts[:5]]
    gate, reason = next(((gate, said) for gate, said in pairs if said), (named[: cuts[0]], named[cuts[0] + 2 :]))
    if several:
        return _("first {gate}: {reason}", gate=gate, reason=reason)
    return _("{gate}: {reason}", gate=gate, reason=reason)


def _retold(text: str, depth: int) -> str | None:
    return _fitted(text, _PATTERNS, depth)


def _fitted(text: str, patterns: tuple[str, ...], depth: int) -> str | None:
    """`text` by the first pattern that fits; None where none does."""
    for pattern in patterns:
        found = _compiled(pattern).fullmatch(text)
        if found is not None:
            values = found.groupdict()
            within = {
                name: _retold(value, depth - 1) or told(value) for name, value in values.items() if name in _WITHIN
            }
            return _(pattern, **{**values, **(within if depth else {})})
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_parts(pattern)), re.DOTALL)


def _parts(pattern: str) -> Iterator[str]:
    for literal, name, _spec, _conversion in Formatter().parse(pattern):
        yield re.escape(literal)
        if name is not None:
            yield f"(?P<{name}>{_FORMS.get(name, '.+?')})"
