"""Files of rows are saved in a real browser, each time; what cannot be made is said on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.record.rows import row_parts
from tests.audit_folder import make_audit
from tests.dashboards.browser.conftest import BLOCKED, Visit, served

pytestmark = pytest.mark.slow


@pytest.fixture
def audits(tmp_path: Path) -> Path:
    """A folder of one audit, which the test may damage."""
    make_audit(tmp_path / "audits", BLOCKED, rows=40)
    return tmp_path / "audits"


@pytest.fixture
def visit(browser: Any, audits: Path, tmp_path: Path) -> Iterator[Visit]:
    (tmp_path / "cache").mkdir()
    with served(audits, tmp_path / "cache") as address:
        made = Visit(browser, address)
        yield made
        made.close()


def test_a_file_is_saved_each_time_and_damage_is_a_sentence(visit: Visit, audits: Path) -> None:
    tab = visit.go(f"rows?audit={BLOCKED}&probe=quality/classification", "40 of 40 rows")
    tab.get_by_test_id("stCheckbox").get_by_text("Show texts").click()
    for label, begins in (("CSV", b"case_id"), ("Parquet", b"PAR1"), ("CSV", b"case_id")):
        tab.get_by_role("button", name=label, exact=True).click()
        save = tab.get_by_role("button", name=f"Save {BLOCKED}-quality-classification.{label.lower()}")
        with tab.expect_download() as download:
            save.click()
        assert Path(download.value.path()).read_bytes().startswith(begins)
        assert download.value.suggested_filename == f"{BLOCKED}-quality-classification.{label.lower()}"
    for part in row_parts(audits / BLOCKED, "quality/classification"):
        part.write_bytes(part.read_bytes()[:-40])
    tab.get_by_role("button", name="CSV", exact=True).click()
    tab.get_by_text("is damaged").first.wait_for()
    assert tab.get_by_text("Failed to generate").count() == 0
    assert visit.ours() == []
