import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.report import Cell, table, write
from benchmarks.run import main, names
from benchmarks.timing import alternate
from harness.errors import Exit

CELLS = [
    Cell("rows/s", 300.04567, 150.0, target=1.5, extra={"unit": "rows/s"}),
    Cell("waste", 1.2, 1.0, lower_is_better=True),
    Cell("speed", 1.0, 2.0),
]


def test_ratio_and_who_is_better() -> None:
    assert [cell.ratio for cell in CELLS] == pytest.approx([2.0003, 1.2, 0.5], abs=1e-4)
    assert [cell.is_won for cell in CELLS] == [True, False, False]


def test_results_have_the_shared_form(tmp_path: Path) -> None:
    path = write("toy", CELLS, peers=["numpy", "no-such-package"], folder=tmp_path / "results")
    content = json.loads(path.read_text())
    assert path.name == "toy.json"
    assert content["cells"][0] == {
        "case": "rows/s",
        "ours": 300.0,
        "peer": 150.0,
        "ratio": 2.0,
        "target": 1.5,
        "lower_is_better": False,
        "unit": "rows/s",
    }
    assert content["cells"][1]["target"] is None
    assert content["versions"]["no-such-package"] is None
    assert content["versions"]["torch"]
    assert content["device"]
    assert len(content["date"]) == 10


def test_the_table_shows_lost_cells_too() -> None:
    console = Console(record=True, width=120)
    console.print(table("toy", CELLS))
    lines = console.export_text().splitlines()
    assert [line.split("│")[-2].strip() for line in lines if "│" in line] == ["no worse", "worse", "worse"]


def test_work_is_timed_in_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    alternate(lambda: calls.append("ours"), lambda: calls.append("peer"), 3)
    assert calls == ["ours", "peer"] * 4


def test_an_unknown_benchmark_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonesuch"]) == Exit.USAGE
    assert "scorer" in names()
    assert "scorer" in capsys.readouterr().out
