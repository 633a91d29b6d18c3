"""How a hardening is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from harness.campaign.changes import Change
from harness.provenance.manifest import HardeningRecord, HardeningRound
from suites.adversarial.harden.result import Checkpoint, Comparison, HardeningReport
from suites.adversarial.harden.table import markdown, summary, terminal

BOUGHT = Change(
    metric="adversarial/deepwordbug/after_attack_accuracy",
    n=200,
    before=0.05,
    after=0.31,
    difference=0.26,
    low=0.18,
    high=0.34,
    method="Tango",
    p=0.0000012,
    became_right=54,
    became_wrong=2,
)
COST = Change(
    metric="quality/classification/accuracy",
    n=700,
    before=0.8,
    after=0.79,
    difference=-0.01,
    low=-0.03,
    high=0.01,
    method="Tango",
    p=0.25,
    became_right=11,
    became_wrong=18,
)
NOT = Change(metric="quality/classification/nll", n=0, note="no case has a usable row in both audits")


def make_report(*changes: Change, **fields: Any) -> HardeningReport:
    one = HardeningRound(
        number=1,
        attacked=100,
        succeeded=80,
        failed=5,
        skipped=14,
        errors=1,
        added=79,
        queries=2500,
        seconds=12.6,
        texts_digest="d",
    )
    record = HardeningRecord(
        method="augment",
        recipe="deepwordbug",
        recipe_version="1",
        resources="",
        share=0.2,
        weight=1,
        rounds=(one,),
        settings={},
    )
    before = Checkpoint(name="before", path=Path("before"), weights="w", steps=9, seconds=3.4, audit=Path("audits/a"))
    after = Checkpoint(name="after", path=Path("after"), weights="w", steps=9, seconds=None, audit=Path("audits/b"))
    values: dict[str, Any] = {
        "hardening": record,
        "checkpoints": (before, after),
        "comparisons": (Comparison(against="before", changes=changes),),
        "versions": {},
        **fields,
    }
    return HardeningReport(**values)


def test_what_was_bought_and_what_it_cost_is_one_sentence_each() -> None:
    bought, cost = summary(make_report(BOUGHT, COST, NOT))
    assert bought == (
        "bought (accuracy under attack), against before: adversarial/deepwordbug/after_attack_accuracy 0.050 to 0.310, "
        "+0.260 [0.180, 0.340] of 200 texts, p 1.2e-06; 54 texts became right, 2 became wrong"
    )
    assert cost == (
        "cost (accuracy on clean texts), against before: quality/classification/accuracy 0.800 to 0.790, "
        "-0.010 [-0.030, 0.010] of 700 texts, p 0.25; 11 texts became right, 18 became wrong"
    )


def test_the_page_holds_every_metric_round_and_checkpoint() -> None:
    page = markdown(make_report(BOUGHT, COST, NOT, notes=("the texts | were few",)))
    lines = page.splitlines()
    assert (
        "| quality/classification/accuracy | 700 | 0.800 | 0.790 | -0.010 | \\[-0.030, 0.010\\] | 0.25 | 11 | 18 |"
        in lines
    )
    assert "| 1 | 100 | 80 | 5 | 14 | 1 | 79 | 2500 | 13 |" in lines
    assert "| before | before | 9 | 3 | audits/a |" in lines
    assert "| after | after | 9 | unknown | audits/b |" in lines
    (missing,) = [line for line in lines if line.startswith("| quality/classification/nll")]
    assert "| missing | missing | missing | no case has a usable row in both audits |" in missing
    assert "- the texts &#124; were few" in lines
    assert "deepwordbug (version 1) on 20 % of the training texts" in page


def test_the_terminal_fits_eighty_columns() -> None:
    console = Console(width=80, record=True)
    console.print(terminal(make_report(BOUGHT, COST, NOT)))
    shown = console.export_text()
    for cell in ("+0.260", "[0.180, 0.340]", "after_attack_accuracy", "1.2e-06", "quality/classification/"):
        assert cell in shown
