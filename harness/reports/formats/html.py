"""The report as one HTML file: no script, no request, every text escaped; readable on a phone and in print."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from harness.api.curves import CurvePlot
from harness.base import numbers
from harness.base.language import _, language, spoken
from harness.gate.verdict import Outcome
from harness.reports.content.api import ReportInput
from harness.reports.content.recorded import retold
from harness.reports.content.report import (
    EXAMPLES_NOTE,
    FLIPS_SHOWN,
    attention,
    baseline_line,
    block_advice,
    comparison_name,
    comparisons,
    gate_name,
    lost,
    matching,
    outcome_label,
    outcome_word,
    probe_sections,
    provenance,
    regression,
    section_notes,
    training,
)
from harness.reports.formats.curves import drawing, table
from harness.reports.formats.plot import gate_plot, interval_plot, pair_plot
from harness.reports.formats.template import html_environment

suffix = ".html"
_FIRST = 5
"""Gates of the first screen; the table below it has all."""


def render(report: ReportInput) -> str:
    """The whole report: verdict first, then gates, metrics by probe with their limits, and provenance."""
    with spoken(report.language):
        return _template().render(
            report=report,
            manifest=report.manifest,
            verdict=report.verdict,
            in_the_way=[item for item in attention(report) if item.effective is not Outcome.PASS],
            advice=block_advice(report),
            sections=probe_sections(report),
            provenance=provenance(report),
            training=training(report.manifest),
            comparisons=comparisons(report),
            baseline=baseline_line(report),
        )


_LONG = 24
"""Characters that have room in a column of a phone."""


def _pieces(text: str) -> list[str]:
    """A name or a sentence cut where a line may break: behind each `/`, and in long words behind `_`.

    A sign stays with its number.
    """
    joined = re.sub(r"(?<=[<>]=) (?=[\d.-])|(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)
    long = re.sub(rf"[^/\s]{{{_LONG},}}", lambda word: word[0].replace("_", "_\0"), joined.replace("\0", ""))
    return [piece for piece in long.replace("/", "/\0").split("\0") if piece]


def _drawing(plot: CurvePlot) -> Markup:
    return Markup(drawing(plot))


@cache
def _template() -> jinja2.Template:
    environment = html_environment(Path(__file__).parent)
    environment.globals.update(
        _=_,
        language=language,
        retold=retold,
        outcome_word=outcome_word,
        most_in_the_way=_FIRST,
        number=numbers.number,
        interval=numbers.interval,
        gate_name=gate_name,
        lost=lost,
        section_notes=section_notes,
        pieces=_pieces,
        interval_plot=interval_plot,
        gate_plot=gate_plot,
        pair_plot=pair_plot,
        outcome_label=outcome_label,
        comparison_name=comparison_name,
        regression=regression,
        matching=matching,
        examples_note=EXAMPLES_NOTE,
        flips_shown=FLIPS_SHOWN,
        drawing=_drawing,
        zip=zip,
        curve_table=table,
    )
    return environment.get_template("report.html")
