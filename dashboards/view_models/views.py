"""View models: what the pages show of audits, as plain tables and texts; pure, and tested without Streamlit."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboards.address import link
from dashboards.audits import Audit, Entry
from dashboards.rows import CELL, CUT
from harness.api.metrics import Control, Metric
from harness.base import loglines, numbers
from harness.base.language import _, marked, told
from harness.base.stores import shown_uri
from harness.gate.decide import GateResult, Outcome, Verdict
from harness.record.events import Event, MetricSoFar, Progress
from harness.reports import report_input
from harness.reports.content import report as content
from harness.reports.content.api import ReportInput
from harness.reports.content.recorded import retold
from harness.tracking.log import gate_counts

BADGES = {
    Outcome.PASS: marked("✔ pass"),
    Outcome.BLOCK: marked("✖ block"),
    Outcome.INCONCLUSIVE: marked("? inconclusive"),
}
"""Outcomes told by a sign and a word, never by colour alone."""
NO_VERDICT = marked("– none yet")
_GRAVEST = [Outcome.BLOCK, Outcome.INCONCLUSIVE, Outcome.PASS]
_HUES = {Outcome.PASS: "green", Outcome.BLOCK: "red", Outcome.INCONCLUSIVE: "orange"}
COUNTED = {
    Outcome.PASS: marked("{n} passed"),
    Outcome.BLOCK: marked("{n} blocked"),
    Outcome.INCONCLUSIVE: marked("{n} undecided"),
}
AUDIT_COLUMNS = (
    marked("verdict"),
    marked("name"),
    marked("checkpoint"),
    marked("started (UTC)"),
    marked("status"),
    marked("gates"),
    marked("why"),
    marked("where"),
    marked("audit"),
)
"""Columns of the list of audits; a page shows `titled` ones."""
METRIC_COLUMNS = (
    marked("metric"),
    marked("value"),
    marked("interval"),
    marked("control"),
    marked("n"),
    marked("missing"),
    marked("gate"),
    marked("better"),
    marked("method"),
    marked("note"),
)
"""Columns of a table of metrics; a page shows `titled` ones."""
_SHORT_TEXT = 60
_REDRAWN = re.compile("<-|->|--|[<>~]=")
"""What Streamlit turns into arrows, dashes and signs wherever it reads Markdown, escaped or not."""
_LONG_TEXT = 100_000
"""Letters of one value on a page: a browser takes seconds to lay out more."""


@dataclass(frozen=True, slots=True)
class Caution:
    """Something a reader must know before trusting the numbers."""

    kind: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a row in full: `kind` is short, text, json or missing."""

    name: str
    kind: str
    text: str


def badge(outcome: str) -> str:
    """An outcome as sign and word."""
    return _(BADGES[Outcome(outcome)] if outcome in set(Outcome) else NO_VERDICT)


def tinted(outcome: str) -> str:
    """Markdown of an outcome's badge, tinted as well."""
    return f":{_HUES[Outcome(outcome)]}-badge[{badge(outcome)}]" if outcome in set(Outcome) else badge(outcome)


def audit_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One line per audit, columns AUDIT_COLUMNS; `audit` is its address, which ends with its id."""
    return pd.DataFrame([_audit_line(entry) for entry in entries], columns=AUDIT_COLUMNS).fillna("")


def as_report(audit: Audit) -> ReportInput:
    """What every report says of an audit; one that is not decided has a verdict that says so."""
    verdict = audit.verdict or Verdict(outcome=Outcome.INCONCLUSIVE, reason="not decided yet")  # `retold` knows it
    return report_input(audit.manifest, audit.metrics, verdict)


def gate_table(verdict: Verdict) -> pd.DataFrame:
    """One line per gate and metric: what it counts as and why; what blocks and what is undecided first; Markdown."""
    results = sorted(verdict.gates, key=lambda result: _GRAVEST.index(result.effective))
    table = markdown_table(
        (_("gate"), _("rule"), _("because"), _("purpose")),
        [
            (
                content.gate_title(result),
                f"{content.gate_name(result)} {retold(result.gate.rule)}",
                retold(result.reason),
                result.gate.reason,
            )
            for result in results
        ],
    )
    table.insert(0, _("outcome"), [_stands(result) for result in results])
    return table if any(table[_("purpose")]) else table.drop(columns=_("purpose"))


def baseline_table(audit: Audit) -> pd.DataFrame:
    """One line per metric that was compared with the baseline, those proven worse first; cells are Markdown."""
    return markdown_table(
        (_("metric"), _("candidate"), _("baseline"), _("worse by"), _("compared")),
        [
            (
                content.comparison_name(comparison),
                numbers.number(comparison.candidate),
                numbers.number(comparison.baseline),
                content.regression(comparison),
                content.matching(comparison),
            )
            for _result, comparison in content.comparisons(as_report(audit))
        ],
    )


def running(events: Iterable[Event]) -> list[str]:
    """How far the probes of an unfinished audit are, with the latest of each metric; one line each."""
    probes: dict[str, str] = {}
    metrics: dict[str, str] = {}
    for event in events:
        if isinstance(event, Progress):
            probes[event.probe] = _(
                "{probe}: {done} of {all} cases, {at} UTC",
                probe=event.probe,
                done=event.done,
                all=event.total,
                at=event.at[:19],
            )
        elif isinstance(event, MetricSoFar):
            metrics[event.metric] = _(
                "{metric}: {value} so far, over {n}", metric=event.metric, value=numbers.number(event.value), n=event.n
            )
    return [*probes.values(), *metrics.values()]


def counted(result: GateResult) -> str:
    """What a gate counts as and, where that differs, what it found: `✔ pass: block (waived)`."""
    if not result.asked or (result.excused and not result.waived):
        return content.outcome_label(result).lower()
    same = result.effective is result.outcome
    return badge(result.effective) if same else f"{badge(result.effective)}: {content.outcome_label(result).lower()}"


def _stands(result: GateResult) -> str:
    """The same as Markdown, tinted by what counts; in words where it was not measured and need not be."""
    if not result.asked or (result.excused and not result.waived):
        return plain(counted(result))
    return f":{_HUES[result.effective]}-badge[{counted(result)}]"


def markdown_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> pd.DataFrame:
    """A table whose cells, read as Markdown, show their text as it is."""
    return pd.DataFrame([[plain(cell) for cell in line] for line in lines], columns=list(columns))


def metric_table(metrics: Iterable[Metric], verdict: Verdict | None) -> pd.DataFrame:
    """One line per metric; a missing value says 'missing' and why."""
    table = pd.DataFrame([_metric_line(metric, verdict) for metric in metrics], columns=list(METRIC_COLUMNS))
    return table.drop(columns=[column for column in ("control", "note") if not any(table[column])])


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its columns' names in the language spoken now."""
    return table.rename(columns={name: _(name) for name in table.columns})


def cautions(audit: Audit) -> list[Caution]:
    """What did not run, ran in part, or came out empty."""
    manifest = audit.manifest
    found = [Caution(_("incomplete"), probe, retold(why)) for probe, why in manifest.incomplete.items()]
    found += [
        Caution(_("missing number"), name(metric), retold(metric.note))
        for metric in audit.metrics
        if metric.value is None
    ]
    found += [
        Caution(_("missing cases"), name(metric), _("{n} planned cases gave no usable row", n=metric.missing))
        for metric in audit.metrics
        if metric.value is not None and metric.missing and metric.headline
    ]
    excluded = {metric.key.rpartition("/")[0]: metric.excluded for metric in audit.metrics if metric.excluded}
    found += [
        Caution(
            _("excluded cases"),
            probe,
            _("it does not apply to {n} planned cases: neither counted nor missing", n=count),
        )
        for probe, count in excluded.items()
    ]
    found += [
        Caution(
            _("texts cut"),
            f"{work.probe} ({work.model})" if work.model else work.probe,
            _(
                "{n} of {all} texts were longer than the model reads",
                n=work.truncated_rows,
                all=work.rows + work.reused,
            ),
        )
        for work in manifest.work
        if work.truncated_rows
    ]
    found += [Caution(_("checkpoint"), manifest.checkpoint.source, retold(note)) for note in manifest.checkpoint.notes]
    found += [Caution(_("not applicable"), probe, retold(why)) for probe, why in manifest.not_applicable.items()]
    found += [Caution(_("data or tools missing"), probe, retold(why)) for probe, why in manifest.no_data.items()]
    found += [Caution(_("plug-in not loaded"), point, why) for point, why in manifest.plugin_errors.items()]
    return found


def provenance(audit: Audit) -> list[tuple[str, str]]:
    """What was audited, on what, with which software: as every report says it, and the MLflow run."""
    facts = content.provenance(as_report(audit))
    if audit.tracking.get("run_id"):
        facts.append((_("MLflow run"), f"{shown_uri(audit.tracking.get('uri', ''))} {audit.tracking['run_id']}"))
    return facts


def row_fields(row: Mapping[str, Any]) -> list[Field]:
    """Every value of a row in full; an empty one says why it is missing."""
    why = row.get("error") or _("not recorded")
    return [_field(column, value, why) for column, value in row.items()]


def tidy_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with an error column only where there is an error: a good row lacks none."""
    if "error" not in rows:
        return rows
    return rows.assign(error=rows["error"].fillna("")) if rows["error"].notna().any() else rows.drop(columns="error")


def mask(texts: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The rows with every text of `columns` replaced by its length."""
    masked = texts.copy()
    for column in columns:
        masked[column] = [_hidden(value) for value in texts[column]]
    return masked


def mask_row(row: Mapping[str, Any], keep: Iterable[str]) -> dict[str, Any]:
    """A row with its texts, and lists of them, replaced by their length, except in the columns to `keep`."""
    return {column: value if column in keep else _masked(value) for column, value in row.items()}


def plain(text: str) -> str:
    """Markdown that shows `text` as it is, on one line: nothing in it becomes a link, image or style.

    Without what reorders the words around it, controls and line ends, as in the reports.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", loglines.plain(text))


def name(metric: Metric) -> str:
    """Key of a metric, with its slice."""
    return _key(metric.key, metric.slice)


def gates_of(metric: Metric, verdict: Verdict | None) -> list[GateResult]:
    """Results of the gates on a metric, those of patterns too; what counts most first."""
    results = content.gates_on(metric, verdict.gates if verdict is not None else ())
    return sorted(results, key=lambda result: (result.unmeasured, _GRAVEST.index(result.effective)))


def counts_text(counts: Mapping[str, int]) -> str:
    """Gates by outcome in words, e.g. '1 passed, 2 undecided'."""
    said = [_(words, n=counts[outcome]) for outcome, words in COUNTED.items() if counts.get(outcome)]
    return _(", ").join(said) or _("no gates")


def _key(metric: str, subset: str) -> str:
    return f"{metric} [{subset}]" if subset else metric


def _audit_line(entry: Entry) -> dict[str, str]:
    shown = {"audit": link("audit", audit=entry.audit_id)}
    if entry.audit is not None:
        manifest, verdict = entry.audit.manifest, entry.audit.verdict
        return shown | {
            "verdict": badge(verdict.outcome if verdict else ""),
            "name": manifest.name,
            "checkpoint": manifest.checkpoint.source.split("#")[0],
            "started (UTC)": _minute(manifest.created),
            "status": _(str(manifest.status)),
            "gates": counts_text(gate_counts(verdict)) if verdict else "",
            "why": retold(verdict.reason) if verdict else retold(manifest.why),
            "where": _("folder"),
        }
    if entry.tracked is not None:
        run = entry.tracked
        return shown | {
            "verdict": badge(run.verdict),
            "name": run.name,
            "checkpoint": run.checkpoint.split("#")[0],
            "started (UTC)": _minute(run.created),
            "status": _(run.status) or _("logged in part"),
            "gates": counts_text(run.gates),
            "why": retold(run.reason),
            "where": _("MLflow, its folder is damaged") if entry.damage else "MLflow",
        }
    return shown | {"verdict": _("! damaged"), "status": _("damaged"), "why": entry.damage, "where": _("folder")}


def _metric_line(metric: Metric, verdict: Verdict | None) -> dict[str, Any]:
    missing = metric.value is None
    unit = f" {told(metric.unit)}" if metric.unit not in ("", "rate") else ""
    gates = gates_of(metric, verdict)
    return {
        "metric": name(metric),
        "value": _("missing: {why}", why=retold(metric.note)) if missing else numbers.number(metric.value) + unit,
        "interval": numbers.interval(metric.low, metric.high),
        "control": "" if metric.control is None else _control(metric.control),
        "n": metric.n,
        "missing": metric.missing,
        "better": content.direction(metric),
        "gate": counted(gates[0]) if gates else "",
        "method": content.method(metric) if metric.interval else "",
        "note": "" if missing else retold(metric.note),
    }


def _control(control: Control) -> str:
    """What is shown of a control beside the value: its numbers, n and what it is."""
    line = content.control_line(control)
    if control.value is None:
        return _("{value}: {note} ({what})", value=line.value, note=retold(control.note), what=told(control.what))
    return _(
        "{value} {interval}, n {n} ({what})",
        value=line.value,
        interval=line.interval,
        n=line.n,
        what=told(control.what),
    )


def _field(column: str, value: Any, why: str) -> Field:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return Field(column, "missing", _("missing: {why}", why=_("no error") if column == "error" else why))
    nested = _nested(value)
    text = str(value) if nested is None else json.dumps(nested, ensure_ascii=False, indent=2, default=str)
    short = len(text) <= _SHORT_TEXT and loglines.plain(text) == text and not _REDRAWN.search(text)
    kind = "json" if nested is not None else "short" if short else "text"
    if len(text) > _LONG_TEXT:
        start = text[:_LONG_TEXT]
        return Field(column, "text", _("{start}… ({n} characters in all)", start=start, n=f"{len(text):,}"))
    return Field(column, kind, text)


def _nested(value: Any) -> Any:
    """A value with parts, from the text of its JSON too; None for any other."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value if isinstance(value, (dict, list)) else None


def _masked(value: Any) -> Any:
    return _hidden(value) if isinstance(value, (str, bytes, list, tuple, dict)) else value


def _hidden(value: Any) -> str | None:
    """Of a list the length of its JSON, as a table shows it; None where there is nothing to hide."""
    if isinstance(value, (list, tuple, dict)):
        value = json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bytes):
        return _("hidden ({n} bytes)", n=len(value))
    if not isinstance(value, str):
        return None
    if value.endswith(CUT) and len(value) == CELL + len(CUT):
        return _("hidden (over {n} characters)", n=CELL)
    return _("hidden ({n} characters)", n=len(value))


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
