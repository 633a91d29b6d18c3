"""The verdict as a section of a Hugging Face model card, with every measured headline in its `model-index`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.api.metrics import PROVEN, Metric
from harness.api.needs import Need
from harness.base import numbers
from harness.base.loglines import plain
from harness.record.folder import ProbeRecord
from harness.reports.content.api import ReportInput
from harness.reports.content.report import OUTCOME_WORDS, gate_name, outcome_label, probe_sections, training
from harness.reports.formats.comment import quiet
from harness.reports.formats.markdown import code, table

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

suffix = ".card.md"
default = False

BEGIN, END = "<!-- assay-card -->", "<!-- /assay-card -->"
_SECTION = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
_TASKS = {
    Need.SEQUENCE_CLASSIFIER: "text-classification",
    Need.MULTI_LABEL: "text-classification",
    Need.REGRESSION: "text-classification",
    Need.TOKEN_CLASSIFIER: "token-classification",
    Need.QUESTION_ANSWERING: "question-answering",
    Need.MULTIPLE_CHOICE: "multiple-choice",
    Need.MASKED_LM: "fill-mask",
    Need.CAUSAL_LM: "text-generation",
}
_OURS = "Assay audit"
"""Name of the task under which the results stand; an update replaces the results under it and no others."""


def render(report: ReportInput) -> str:
    """A whole card: the evaluation results as metadata, and the section."""
    return update("", report)


def update(card: str, report: ReportInput) -> str:
    """`card` with its section and results from Assay replaced, or added at the end; the rest stays as it is."""
    from huggingface_hub import ModelCard

    card = card.removeprefix("\ufeff")  # a byte order mark, which would hide the metadata that begin the card
    found = ModelCard(card or "---\n{}\n---\n")
    data: Any = found.data
    theirs = [result for result in data.eval_results or [] if result.task_name != _OURS]
    data.eval_results = [*theirs, *_results(report)] or None
    if data.eval_results and not data.model_name:
        data.model_name = plain(report.manifest.name) or "model"
    text = _section(report).replace("<!--", "<!\u200b--")  # no text can pass for the end of the section
    section = f"{BEGIN}\n{text}\n{END}"
    if _SECTION.search(found.text):
        found.text = _SECTION.sub(lambda _match: section, found.text, count=1)
    else:
        found.text = f"{found.text.rstrip()}\n\n{section}\n".lstrip("\n")
    return str(found)


def _results(report: ReportInput) -> Iterator[EvalResult]:
    from huggingface_hub import EvalResult

    records = {record.name: record for record in report.manifest.probes}
    offers = report.manifest.checkpoint.offers
    task = next((name for need, name in _TASKS.items() if need in offers), "other")
    for metric in report.metrics:
        if metric.value is None or not metric.headline:
            continue
        probe = metric.key.rpartition("/")[0]
        name, digest = _dataset(records.get(probe), probe)
        yield EvalResult(
            task_type=task,
            task_name=_OURS,
            dataset_type=name,
            dataset_name=name,
            dataset_revision=digest,
            metric_type=plain(metric.key),
            metric_name=plain(f"{metric.key} [{metric.slice}]" if metric.slice else metric.key),
            metric_value=metric.value,
            metric_args=_interval(metric),
        )


def _dataset(record: ProbeRecord | None, probe: str) -> tuple[str, str | None]:
    """Name and digest of what the probe read; a probe with its own cases is its own dataset."""
    if record is None or not record.data:
        return plain(probe) or "unknown", None
    names = [plain(str(data.source.get("source", "?")).split("#")[0]) for data in record.data.values()]
    digests = [data.digest for data in record.data.values()]
    return " + ".join(names), "+".join(digests)


def _interval(metric: Metric) -> dict[str, float | int | str | None]:
    return {
        "n": metric.n,
        "low": metric.low,
        "high": metric.high,
        "level": None if metric.interval == PROVEN else metric.level,
        "method": plain(metric.interval),
    }


def _section(report: ReportInput) -> str:
    verdict = report.verdict
    policy = quiet(verdict.policy) or "none"
    blocks = [
        "## Release audit",
        f"**{OUTCOME_WORDS[verdict.outcome]}** under the policy {policy}: {quiet(verdict.reason)}",
        f"Training: {quiet(training(report.manifest))}",
        *map(quiet, report.manifest.checkpoint.permissions),
    ]
    if verdict.gates:
        rows = [
            (
                f"**{outcome_label(item)}**",
                code(gate_name(item)),
                code(item.gate.rule),
                numbers.number(item.value),
                quiet(numbers.interval(item.low, item.high)),
                str(item.n),
            )
            for item in verdict.gates
        ]
        blocks.append(table(("outcome", "metric", "rule", "value", "interval", "n"), rows))
    limits = [
        f"- {code(section.name)}: {quiet(section.about.cannot_tell)}"
        for section in probe_sections(report)
        if section.about is not None
    ]
    if limits:
        blocks += ["### What these numbers cannot tell", "\n".join(limits)]
    fingerprint = report.manifest.checkpoint.fingerprint
    blocks.append(f"Audit {code(report.manifest.audit_id)} of the checkpoint with fingerprint {code(fingerprint)}.")
    return "\n\n".join(blocks)
