"""What each level of disclosure leaves out, taken away before any writer sees it.

Below `full`, text of rows is replaced by a mark whatever it says, and personal data are masked by their form in every
other text from outside (notes, slices, reasons, settings). Numbers are never masked.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from harness.api.lists import as_list, is_list
from harness.api.probe import About
from harness.base.language import marked
from harness.gate.verdict import GateResult, Verdict
from harness.record.folder import AuditManifest
from harness.reports.content.api import Example, Level, ReportInput
from harness.reports.content.identity import identity

WITHHELD = "withheld at this level"
ROW_TEXT = marked("text of a row")

T = TypeVar("T")

_EXACT = frozenset(
    {
        *(
            "key",
            "metric",
            "id",
            "audit_id",
            "by",
            "worse_ids",
            "better_ids",
            "created",
            "finished",
            "git_commit",
            "versions",
            "version",
        ),
        *("digest", "weights", "config", "tokenizer", "fingerprint", "spec_digest", "cases_digest", "policy_digest"),
    }
)
"""Fields that Assay itself fills, or that other fields refer to."""
_LONGEST = 2000
"""Characters of a row's text that a report shows; the rows hold all of it."""
_IDENTIFIER = re.compile(r"[0-9a-f-]{1,80}|[a-z_]{0,12}-?\d{1,12}")
"""A digest or a number with a word before it: an id that says nothing about anybody."""


def disclose(report: ReportInput, level: Level) -> ReportInput:
    """The same report with what `level` does not allow masked or left out; counts say how much was masked."""
    report = replace(report, identity=identity(report))
    if level.shows_text:
        return replace(report, level=level)
    counts: Counter[str] = Counter()
    manifest = _masked(report.manifest, counts)
    verdict = _cases_hidden(_masked(report.verdict, counts), level, counts)
    metrics, plots = report.metrics, report.plots
    if level is Level.SUMMARY:
        manifest = _summarised(manifest)
        gated = {(item.metric, item.slice) for item in report.verdict.gates}
        metrics = tuple(metric for metric in metrics if (metric.key, metric.slice) in gated)
        probes = {name.rpartition("/")[0] for name, _slice in gated}
        plots = tuple(plot for plot in plots if plot.probe in probes)
    abouts = {
        name: About(*(mask_personal(text, counts) for text in (about.summary, about.paper, about.cannot_tell)))
        for name, about in report.abouts.items()
    }
    return replace(
        report,
        abouts=abouts,
        manifest=manifest,
        metrics=tuple(_masked(metric, counts) for metric in metrics),
        plots=tuple(_masked(plot, counts) for plot in plots),
        verdict=verdict,
        level=level,
        examples=() if level is Level.SUMMARY else report.examples,
        masked=dict(Counter(report.masked) + counts),
    )


def show_row(probe: str, row: Mapping[str, Any], level: Level, counts: Counter[str]) -> Example:
    """A row for a report: numbers and lists of them as they are, any text masked below `full` and counted."""
    row = {name: json.dumps(as_list(value)) if is_list(value) else value for name, value in row.items()}
    case_id = str(row.get("case_id", ""))
    cells = [
        (name, _cell(value, level, counts))
        for name, value in row.items()
        if name not in ("case_id", "status") and not _is_missing(value)
    ]
    known = level.shows_text or _IDENTIFIER.fullmatch(case_id) is not None
    return Example(probe, case_id if known else text_mark(case_id, counts), tuple(cells))


def text_mark(text: str, counts: Counter[str]) -> str:
    """What stands for the text of a row: its length, and the personal data found in it."""
    counts[ROW_TEXT] += 1
    inside: Counter[str] = Counter()
    mask_personal(text, inside)
    counts.update(inside)
    found = "".join(f", {count} {kind}" for kind, count in sorted(inside.items()))
    return f"[masked: {len(text)} characters{found}]"


def mask_personal(text: str, counts: Counter[str]) -> str:
    """`text` with e-mail addresses, card, bank account and phone numbers and credentials replaced by a mark."""
    for kind, pattern, holds in _PERSONAL:
        text = pattern.sub(partial(_mark, kind=kind, holds=holds, counts=counts), text)
    return text


def _mark(match: re.Match[str], *, kind: str, holds: Callable[[str], bool], counts: Counter[str]) -> str:
    if not holds(match[0]):
        return match[0]
    counts[kind] += 1
    return f"[masked {kind}]"


def _masked(value: T, counts: Counter[str]) -> T:
    """`value` with personal data masked in every text it holds."""
    masked: Any = value
    if isinstance(value, Enum) or value is None:
        pass
    elif isinstance(value, str):
        masked = mask_personal(value, counts)
    elif isinstance(value, BaseModel):
        names = [name for name in type(value).model_fields if name not in _EXACT]
        masked = value.model_copy(update={name: _masked(getattr(value, name), counts) for name in names})
    elif isinstance(value, Mapping):
        masked = {key: item if key in _EXACT else _masked(item, counts) for key, item in value.items()}
    elif isinstance(value, tuple | list):
        masked = type(value)(_masked(item, counts) for item in value)
    return cast(T, masked)


def _summarised(manifest: AuditManifest) -> AuditManifest:
    """Without paths, settings, versions and the command."""
    probes = tuple(probe.model_copy(update={"params": {}, "data": {}}) for probe in manifest.probes)
    checkpoint = manifest.checkpoint.model_copy(update={"source": _last(manifest.checkpoint.source), "notes": ()})
    empty: dict[str, Any] = {"spec": {}, "versions": {}, "plugin_errors": {}, "git_commit": None}
    texts = {"command": WITHHELD, "why": "", "device": "", "dtype": ""}
    return manifest.model_copy(update={"probes": probes, "checkpoint": checkpoint, **empty, **texts})


def _last(path: str) -> str:
    """Last part of a path or source."""
    return re.split(r"[\\/]", path.split("#")[0].rstrip("/\\"))[-1]


def _cases_hidden(verdict: Verdict, level: Level, counts: Counter[str]) -> Verdict:
    """Without the ids of flipped cases and the baseline's path at `summary`; above it, without ids that are text."""
    gates = tuple(_gate_hidden(item, level, counts) for item in verdict.gates)
    baseline = verdict.baseline
    if baseline is not None and level is Level.SUMMARY:
        baseline = baseline.model_copy(update={"ref": _last(baseline.ref), "checkpoint": _last(baseline.checkpoint)})
    return verdict.model_copy(update={"gates": gates, "baseline": baseline})


def _gate_hidden(item: GateResult, level: Level, counts: Counter[str]) -> GateResult:
    compared = item.comparison
    if compared is not None and compared.flips is not None:
        flips = compared.flips
        ids = {name: _shown_ids(getattr(flips, name), level, counts) for name in ("worse_ids", "better_ids")}
        compared = compared.model_copy(update={"flips": flips.model_copy(update=ids)})
    return item.model_copy(update={"comparison": compared})


def _shown_ids(ids: tuple[str, ...], level: Level, counts: Counter[str]) -> tuple[str, ...]:
    if level is Level.SUMMARY:
        return ()
    return tuple(name if _IDENTIFIER.fullmatch(name) else text_mark(name, counts) for name in ids)


def _cell(value: Any, level: Level, counts: Counter[str]) -> str:
    """Numbers and truth values are shown; everything else is text."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):  # truth values too
        return str(value)
    if not level.shows_text and not _is_numbers(value):
        return text_mark(str(value), counts)
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} [and {len(text) - _LONGEST} more characters]"


def _is_numbers(value: Any) -> bool:
    """Whether a text is a JSON list of numbers, as probes keep probabilities."""
    if not isinstance(value, str) or not value.startswith("[") or len(value) > _LONGEST:
        return False
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return all(isinstance(item, int | float) for item in items)


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # NaN alone differs from itself


def _digits(text: str) -> list[int]:
    return [int(char) for char in text if char.isdigit()]


def _is_card(text: str) -> bool:
    """The checksum of card numbers (ISO/IEC 7812-1, Luhn)."""
    digits = _digits(text)
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(doubled) + sum(digits[::-2])) % 10 == 0


def _is_account(text: str) -> bool:
    """The checksum of bank account numbers (ISO 13616, modulo 97)."""
    packed = text.replace(" ", "")
    turned = packed[4:] + packed[:4]
    return 15 <= len(packed) <= 34 and int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def _is_phone(text: str) -> bool:
    return 7 <= len(_digits(text)) <= 15


def _always(_text: str) -> bool:
    return True


_PERSONAL: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (marked("credentials"), re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"), _always),
    (marked("e-mail address"), re.compile(r"(?<![\w.%+'-])[\w.%+'-]+@[\w-]+(?:\.[\w-]+)+"), _always),
    (
        marked("bank account number"),
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII),
        _is_account,
    ),
    (marked("card number"), re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-]\w|\w)", re.ASCII), _is_card),
    (marked("social security number"), re.compile(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])", re.ASCII), _always),
    (
        marked("phone number"),
        re.compile(
            r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,5}\)?[ .-]?){2,5}\d{2,5}"
            r"|(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}|0\d{2,4}[ /-]\d{3,}(?:[ -]\d{2,})*)(?![\w-])",
            re.ASCII,
        ),
        _is_phone,
    ),
)
"""Kind, form, and a check that tells it from another number of that form; in the order they are looked for."""
