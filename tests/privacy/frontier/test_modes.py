"""Several modes in one frontier: each one's curve, the best of each epsilon, and what choosing it is worth."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from privacy.frontier import make_grid, measure, read_frontier, run_frontier
from privacy.frontier.best import Table, best_of_each
from privacy.frontier.measure import Frontier
from privacy.frontier.page import page
from privacy.frontier.plot import frontier_plot
from privacy.frontier.rows import FILE_NAME, Quality, checked
from privacy.frontier.table import markdown, terminal
from privacy.frontier.two_way import two_way
from privacy.frontier.words import best_cells, caption, cells, header
from privacy.training.settings.spec import MODES
from tests.privacy.frontier_rows import made_rows
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

INF = math.inf


def by_mode(
    modes: Mapping[str, Mapping[tuple[float, int], Sequence[Any]]], quality: Quality = Quality.ACCURACY
) -> pd.DataFrame:
    """Rows of several modes; each cell has a folder of its own."""
    frames = [
        made_rows({key: values}, quality, mode=mode) for mode, own in modes.items() for key, values in own.items()
    ]
    for mode, frame in zip([mode for mode, own in modes.items() for _ in own], frames, strict=True):
        frame["checkpoint"] = mode + "-" + frame["checkpoint"]
    return checked(pd.concat(frames, ignore_index=True))


def right(share: float, n: int = 200, *, seed: int = 0) -> list[bool]:
    """So large a share of ones, in an order of its own."""
    values = np.arange(n) < round(share * n)
    return list(np.random.default_rng(seed).permutation(values))


def two_modes(head_at_8: float = 0.8, lora_at_8: float = 0.7, head_at_1: float = 0.75) -> Frontier:
    rows = {
        "lora": {(8.0, 0): right(lora_at_8), (1.0, 0): right(0.5, seed=1)},
        "head": {(8.0, 0): right(head_at_8, seed=2), (1.0, 0): right(head_at_1, seed=3)},
        "full": {(INF, 0): right(0.9, seed=4)},
    }
    return measure(by_mode(rows))


def test_each_mode_has_its_points_and_each_epsilon_its_best() -> None:
    frontier = two_modes(lora_at_8=0.9)
    order = [("full", INF), ("head", 8), ("head", 1), ("lora", 8), ("lora", 1)]
    assert [(point.mode, point.target) for point in frontier.points] == order
    assert frontier.modes == ("head", "lora")
    assert [(best.target, best.mode, best.of) for best in frontier.best] == [(8, "lora", 2), (1, "head", 2)]
    assert [round(best.quality.value, 3) for best in frontier.best] == [0.9, 0.75]
    assert frontier.falls == ()
    lost = {(point.mode, point.target): point.lost.value for point in frontier.points if point.lost}
    assert lost == pytest.approx({("head", 8): 0.1, ("head", 1): 0.15, ("lora", 8): 0.0, ("lora", 1): 0.4})


def test_for_perplexity_the_least_is_best() -> None:
    rng = np.random.default_rng(0)

    def texts(nats: float) -> list[tuple[float, int]]:
        return [(tokens * rng.normal(nats, 0.2), tokens) for tokens in range(5, 105)]

    rows = by_mode({"lora": {(8.0, 0): texts(3.0)}, "full": {(8.0, 0): texts(3.5)}}, Quality.PERPLEXITY)
    assert [best.mode for best in measure(rows).best] == ["lora"]


def test_one_mode_is_shown_as_before() -> None:
    frontier = measure(made_rows({(8.0, 0): [1, 0], (INF, 0): [1, 1]}))
    assert (frontier.best, frontier.falls, header(frontier)[0]) == ((), (), "epsilon, target")
    assert frontier_plot(frontier).lines == ()


def test_the_interval_of_the_best_is_that_of_a_higher_level() -> None:
    frontier = two_modes()
    best = frontier.best[0]
    expected = two_way([np.array(right(0.8, seed=2), float)], 1 - 0.05 / 2, (0.0, 1.0)).interval
    usual = frontier.points[1].quality.interval
    assert best.quality.interval is not None
    assert expected is not None
    assert usual is not None
    assert (best.quality.interval.low, best.quality.interval.high) == (expected.low, expected.high)
    assert best.quality.interval.low < usual.low < usual.high < best.quality.interval.high


def test_the_widened_interval_holds_although_the_best_was_chosen() -> None:
    """Five modes that are all right with 0.7: the usual interval of the best misses that more often than it may."""
    rng = np.random.default_rng(0)
    missed, missed_usual, times = 0, 0, 200
    for _ in range(times):
        tables: dict[tuple[str, float], Table] = {
            (mode, 8.0): {0: (rng.random(150) < 0.7).astype(float)} for mode in MODES
        }
        (best,) = best_of_each(tables, Quality.ACCURACY, 0.95, (0.0, 1.0))
        usual = two_way([tables[best.mode, 8.0][0]], 0.95, (0.0, 1.0)).interval
        assert best.quality.interval is not None
        assert usual is not None
        missed += not best.quality.interval.low <= 0.7 <= best.quality.interval.high
        missed_usual += not usual.low <= 0.7 <= usual.high
    assert missed / times <= 0.05
    assert missed_usual / times > 0.07


def test_a_best_that_falls_with_more_epsilon_is_told() -> None:
    fallen = two_modes(head_at_8=0.5, lora_at_8=0.5, head_at_1=0.9)
    ((larger, smaller),) = [(fall.larger.target, fall.smaller.target) for fall in fallen.falls]
    assert (larger, smaller) == (8, 1)
    assert fallen.falls[0].worse.value == pytest.approx(0.4)
    said = " ".join(caption(fallen))
    assert re.search(r"The best at epsilon 8 \(head, 0\.500\) is worse than at 1 \(head, 0\.900\), beyond", said)
    assert "never gets worse" not in said
    slightly = two_modes(head_at_8=0.74)
    assert slightly.falls == ()
    assert "The best never gets worse with more epsilon, beyond its interval." in caption(slightly)


def test_what_choosing_is_worth_is_said() -> None:
    said = " ".join(caption(two_modes()))
    for part in (
        "chosen among up to 2 modes by these same 200 examples, so its value is optimistic",
        "score the chosen model on examples that chose nothing",
        "spends what the 4 private models spend together",
        "Without privacy one mode was trained (full); all are compared with it.",
    ):
        assert part in said


def test_tables_and_page_show_every_mode_and_the_best() -> None:
    frontier = two_modes()
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal(frontier))
    document, drawn = markdown(frontier), page(frontier)
    assert header(frontier)[0] == "mode"
    assert next(best_cells(frontier))[:3] == ("8", "2 modes", "head")
    for row in [*cells(frontier), *best_cells(frontier)]:
        for cell in row:
            assert cell in captured.get()
            assert cell.replace("[", "\\[").replace("]", "\\]") in document
            assert cell in drawn
    assert drawn.count('class="curve') == 3
    assert "Best of each epsilon" in drawn


def test_the_best_line_goes_through_the_best_marks() -> None:
    frontier = two_modes()
    plot = frontier_plot(frontier)
    heights = {(point.mode, point.target): mark.y for point, mark in zip(frontier.points, plot.marks, strict=True)}
    best = plot.lines[-1]
    assert [y for _, y in best.points] == [heights["head", 8.0], heights["head", 1.0]]
    assert [line.name for line in plot.lines] == ["head", "lora", "best of each epsilon"]
    assert [tick.label for tick in plot.x_ticks] == ["8", "1", "none"]
    assert len({mark.x for mark in plot.marks}) == 5


def test_rows_of_a_version_without_modes_are_still_read(tmp_path: Path) -> None:
    made_rows({(8.0, 0): [1, 0], (INF, 0): [1, 1]}).drop(columns="mode").to_parquet(tmp_path / FILE_NAME)
    frontier = measure(read_frontier(tmp_path))
    assert [(point.mode, point.target) for point in frontier.points] == [("", INF), ("", 8)]


def test_a_real_grid_grows_by_a_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    base = make_base(tmp_path / "base", "bert", "base")
    held = write_rows(tmp_path / "held.jsonl", opinions(40, seed=2))
    names = ("negative", "positive")
    fields: dict[str, Any] = {"held_out": str(held), "label_names": names, "mode": "head", "epochs": 1}
    spec = make_spec(tmp_path, base, output=tmp_path / "frontier", **fields)
    run_frontier(make_grid(spec, [8, INF], [0]))
    ledger = spec.output / "eps8-seed0" / "privacy_ledger.jsonl"
    before = ledger.read_bytes()
    result = run_frontier(make_grid(spec, [8, INF], [0], modes=["head", "bitfit"]))
    assert ledger.read_bytes() == before
    assert result.frontier.failures == {}
    assert set(result.rows["checkpoint"]) == {"epsinf-seed0", "eps8-seed0", "bitfit-eps8-seed0"}
    assert [(point.mode, point.target) for point in result.frontier.points] == [
        ("head", INF),
        ("head", 8),
        ("bitfit", 8),
    ]
    assert "| bitfit | 8 |" in (spec.output / "frontier.md").read_text()
