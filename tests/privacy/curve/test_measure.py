"""A curve from made-up rows: numbers by hand, and what is said and drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness.errors import AuditError, UsageError
from privacy.curve.measure import measure
from privacy.curve.report import curve_plot, markdown, page, terminal
from privacy.curve.rows import checked, read_curve, write_curve
from privacy.curve.words import caption, cells, header
from privacy.frontier.rows import Quality

Scored = Mapping[tuple[int, int], Sequence[Any]]
"""(size, seed) -> right or wrong, or (nats, tokens), or None, of each example."""


def made(cells_of: Scored, quality: Quality = Quality.ACCURACY) -> pd.DataFrame:
    rows = []
    for (size, seed), values in cells_of.items():
        about: dict[str, Any] = {
            "quality": quality.value,
            "data": "/a/held.jsonl",
            "records": 100,
            "size": size,
            "seed": seed,
        }
        about |= {"checkpoint": f"n{size}-seed{seed}", "epochs": 3, "seconds": 60.0, "weights": "w"}
        for index, value in enumerate(values):
            scored: dict[str, Any] = {"status": "error", "error": "too long"}
            if value is not None and quality is Quality.ACCURACY:
                scored = {"status": "ok", "correct": bool(value), "label": index % 2}
            elif value is not None:
                scored = {"status": "ok", "nats": value[0], "tokens": value[1]}
            rows.append({**about, "case_id": f"case{index:03d}", **scored})
    return checked(pd.DataFrame(rows))


def accuracy() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    chances = {10: 0.6, 50: 0.75, 100: 0.8}
    return made({(size, seed): list(rng.random(80) < chance) for size, chance in chances.items() for seed in range(3)})


def test_points_and_gains_by_hand() -> None:
    curve = measure(made({(10, 0): [1, 0, 0, 0], (10, 1): [1, 1, 0, 0], (50, 0): [1, 1, 1, 0], (50, 1): [1, 1, 1, 1]}))
    small, large = curve.points
    assert (small.size, small.seeds, small.by_seed, small.quality.value) == (10, (0, 1), (0.25, 0.5), 0.375)
    assert large.quality.value == 0.875
    assert small.gained is None
    assert large.gained is not None
    assert large.gained.value == 0.5
    assert (curve.n, curve.floor, curve.records, curve.epochs, large.minutes) == (4, 0.5, 100, (3,), 1.0)


def test_perplexity_gains_are_ratios() -> None:
    cells_of = {(10, 0): [(20.0, 10), (12.0, 4)], (50, 0): [(10.0, 10), (4.0, 4)]}
    curve = measure(made(cells_of, Quality.PERPLEXITY))
    assert [point.quality.value for point in curve.points] == pytest.approx([32 / 14, 1.0])
    assert curve.points[1].gained is not None
    assert curve.points[1].gained.value == pytest.approx(18 / 14)
    assert next(row for row in cells(curve) if row[0] == "50")[4].startswith(f"{math.exp(18 / 14):.3g}")
    assert header(curve)[4] == "times smaller, to the size before"


def test_examples_that_some_model_could_not_be_scored_on_count_for_none() -> None:
    curve = measure(made({(10, 0): [1, 0, None], (50, 0): [1, 1, 1]}))
    assert (curve.n, curve.left_out) == (2, 1)
    assert [point.quality.value for point in curve.points] == [0.5, 1.0]
    assert "1 examples that some model could not be scored on are left out of all." in caption(curve)
    with pytest.raises(AuditError, match="no held-out example was scored by every model"):
        measure(made({(10, 0): [1, None], (50, 0): [None, 1]}))


def test_intervals_hold_the_mean_of_all_seeds_and_examples() -> None:
    """60 curves of models whose accuracy varies by seed (sd 0.03): 95 % intervals hold 0.7 in nearly all."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(60):
        chances = 0.7 + 0.03 * rng.standard_normal(4)
        curve = measure(made({(10, seed): list(rng.random(60) < chance) for seed, chance in enumerate(chances)}))
        interval = curve.points[0].quality.interval
        assert interval is not None
        held += interval.low <= 0.7 <= interval.high
    assert held >= 54


def test_what_is_said() -> None:
    curve = measure(accuracy())
    said = " ".join(caption(curve))
    for part in (
        "Accuracy on 80 held-out examples of held.jsonl, of models trained on some of 100 records.",
        "drawn class by class in proportion, and nested",
        "Every size is trained for 3 epochs: fewer records are also fewer steps.",
        "Intervals: 95 %, over seeds and examples",
        "Of all records every seed has the same ones",
        "Always giving the commonest class has accuracy 0.5",
    ):
        assert part in said
    lone = measure(made({(10, 0): [1, 0, 1], (50, 0): [1, 1, 1]}))
    assert "10, 50 records: one seed, which says nothing about other seeds and other records." in caption(lone)


def test_terminal_markdown_and_page_say_the_same() -> None:
    failed = checked(
        accuracy().iloc[:1].assign(checkpoint="n7-seed0", size=7, case_id=None, status="error", error="a|<b>")
    )
    curve = measure(pd.concat([accuracy(), failed], ignore_index=True))
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal(curve))
    document, html = markdown(curve), page(curve)
    for row in cells(curve):
        for cell in row:
            assert cell in captured.get()
            assert cell.replace("[", "\\[").replace("]", "\\]") in document
            assert f"<td>{cell}</td>" in html
    assert "failed: n7-seed0: a|<b>" in captured.get()
    assert "a&#124;" in document
    assert "<b>" not in html
    assert html.count('class="dot"') == 3
    assert html.count('class="seed"') == 9
    assert html.count("<polyline") == 1
    assert "epsilon" not in html
    assert "privacy" not in html.lower()
    HTMLParser().feed(html)


def test_marks_stand_in_the_order_of_size_and_quality() -> None:
    plot = curve_plot(measure(accuracy()))
    assert [tick.label for tick in plot.x_ticks][::-1] == ["10", "50", "100"]
    xs, ys = [mark.x for mark in plot.marks], [mark.y for mark in plot.marks]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)  # upwards is smaller
    assert (xs[1] - xs[0]) / (xs[2] - xs[0]) == pytest.approx(math.log(5) / math.log(10))
    assert all(mark.low is not None and mark.high is not None and mark.high < mark.y < mark.low for mark in plot.marks)


def test_rows_are_read_back_and_other_files_refused(tmp_path: Path) -> None:
    rows = accuracy()
    write_curve(tmp_path, rows)
    pd.testing.assert_frame_equal(read_curve(tmp_path), rows)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(UsageError, match=r"other\.parquet: not the rows of a curve"):
        read_curve(tmp_path / "other.parquet")
