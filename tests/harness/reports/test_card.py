from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from markdown_it import MarkdownIt

from harness.base.loglines import plain
from harness.reports import update_card
from harness.reports.content.api import ReportInput
from harness.reports.content.report import outcome_label
from harness.reports.formats.card import BEGIN, END, render, update
from tests.harness.reports.inputs import HOSTILE, by_hand, manifest, reports
from tests.harness.reports.page import Page

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TAGS = {"h2", "h3", "p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
MINE = """---
license: mit
model-index:
- name: mine
  results:
  - task: {type: text-classification}
    dataset: {name: IMDb, type: imdb}
    metrics:
    - {type: accuracy, value: 0.5}
---
# My model

Before.
"""


@settings(max_examples=25)
@given(reports())
def test_the_hub_reads_the_card_and_no_text_becomes_markup(report: ReportInput) -> None:
    card: Any = ModelCard(render(report))
    assert set(card.data.to_dict()) <= {"model-index"}
    text = card.text
    assert (text.count(BEGIN), text.count(END), text.count("<!--")) == (1, 1, 2)
    page = Page(READER.render(text.replace(BEGIN, "").replace(END, "")))
    assert set(page.tags) <= TAGS
    assert not page.attributes
    tables = page.tables_of("outcome")
    assert [table.column("outcome") for table in tables] == (
        [[outcome_label(item) for item in report.verdict.gates]] if report.verdict.gates else []
    )


def test_results_are_the_measured_headlines() -> None:
    card: Any = ModelCard(render(by_hand()))
    results = card.data.eval_results
    shown = [(each.metric_name, each.metric_value, each.dataset_name, each.dataset_revision) for each in results]
    assert shown == [
        ("toy/share/flips", 0.25, "texts.csv", "d" * 64),
        ("toy/share/flips [gender]", 0.5, "texts.csv", "d" * 64),
        ("other/auc/auc", 0.5, "texts.csv", "d" * 64),
    ]
    assert results[0].task_type == "fill-mask"
    assert results[0].metric_args == {"n": 100, "low": 0.2, "high": 0.3, "level": 0.95, "method": "Wilson"}


def test_an_update_replaces_its_own_and_nothing_else() -> None:
    first = update(MINE, by_hand())
    later = replace(by_hand(), manifest=manifest(["toy/share"], audit_id="later"), metrics=by_hand().metrics[:1])
    second = update(f"{first}\nAfter.\n", later)
    assert update(second, later) == second
    card: Any = ModelCard(second)
    assert card.data.license == "mit"
    assert "# My model\n\nBefore.\n" in second
    assert second.endswith("\nAfter.\n")
    assert "20260102T030405Z" not in second
    assert second.count(BEGIN) == 1
    results = card.data.eval_results
    assert [(each.metric_type, each.metric_value) for each in results] == [("accuracy", 0.5), ("toy/share/flips", 0.25)]
    assert yaml.safe_load(second.split("---")[1])["model-index"][0]["name"] == "mine"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_within_its_value(hostile: str) -> None:
    metrics = tuple(each.model_copy(update={"slice": hostile}) for each in by_hand().metrics[:1])
    report = replace(by_hand(), manifest=manifest(["toy/share"], hostile), metrics=metrics)
    card: Any = ModelCard(render(report))
    data = card.data.to_dict()
    assert set(data) == {"model-index"}
    assert data["model-index"][0]["name"] == plain(f"toy{hostile}")
    assert READER.render(card.text).count("<h2>") == 1


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_metadata_survive_a_byte_order_mark(tmp_path: Path, ends: str) -> None:
    card = tmp_path / "README.md"
    card.write_bytes(b"\xef\xbb\xbf" + MINE.replace("\n", ends).encode())
    update_card(by_hand(), card)
    text = card.read_text(encoding="utf-8")
    card_of: Any = ModelCard(text)
    assert card_of.data.license == "mit"
    assert text == update(MINE, by_hand()).replace("\r", "") == update(f"\ufeff{MINE}", by_hand())
