from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness.base.numbers import duration
from harness.provenance.trade_off import TradeOff
from privacy.frontier.as_json import as_json
from privacy.frontier.measure import Frontier, measure
from privacy.frontier.page import page
from privacy.frontier.plot import BOTTOM, LEFT, RIGHT, TOP, frontier_plot, round_numbers
from privacy.frontier.rows import Quality
from privacy.frontier.table import markdown, terminal
from privacy.frontier.words import caption, cells, header
from tests.privacy.frontier_rows import failed_rows, made_rows

INF = math.inf


def accuracy(epsilons: tuple[float, ...] = (8.0, 3.0, 1.0, INF), seeds: int = 3) -> Frontier:
    rng = np.random.default_rng(0)
    chances = {INF: 0.9, 8.0: 0.85, 3.0: 0.8, 1.0: 0.7}
    return measure(
        made_rows(
            {(eps, seed): list(rng.random(100) < chances.get(eps, 0.5)) for eps in epsilons for seed in range(seeds)}
        )
    )


def perplexity() -> Frontier:
    rng = np.random.default_rng(0)
    cells = {
        (epsilon, seed): [(tokens * rng.normal(nats, 0.2), tokens) for tokens in range(5, 205)]
        for epsilon, nats in ((2.0, 3.5), (INF, 3.0))
        for seed in range(2)
    }
    return measure(made_rows(cells, Quality.PSEUDO))


def shown(frontier: Frontier, width: int = 120) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal(frontier))
    return captured.get()


def test_every_column_of_the_table() -> None:
    frontier = accuracy()
    plain, eight, *_ = cells(frontier)
    assert header(frontier) == (
        *("epsilon, target", "epsilon, claimed", "delta", "noise multiplier", "seeds", "n", "accuracy"),
        *("lost to privacy", "minutes"),
    )
    assert plain[:6] == ("none", "none", "none", "none", "0, 1, 2", "100")
    assert plain[7:] == ("", "1.5")
    assert eight[:6] == ("8", "7.92", "1e-05", "0.5", "0, 1, 2", "100")
    for cell in (plain[6], eight[6], eight[7]):
        assert re.fullmatch(r"-?0\.\d+ \[-?0\.\d+, -?[01]\.?\d*\]", cell)


def test_terminal_and_markdown_say_the_same() -> None:
    frontier = measure(pd.concat([made_rows({(8.0, 0): [1, 0, 1], (INF, 0): [1, 1, 0]}), failed_rows(1, 0, "a|b")]))
    console, document = shown(frontier), markdown(frontier)
    for row in cells(frontier):
        for cell in row:
            assert cell in console
            assert cell.replace("[", "\\[").replace("]", "\\]") in document
    assert "failed: eps1-seed0: a|b" in console
    assert "a&#124;b" in document
    widths = {line.count("|") for line in document.splitlines() if line.startswith("|")}
    assert widths == {len(header(frontier)) + 1}


def test_the_table_fits_a_hundred_columns() -> None:
    lines = shown(accuracy(), width=100).splitlines()
    (eight,) = (line for line in lines if line.strip().startswith("8 "))
    assert " ".join(eight.split()) == " ".join(list(cells(accuracy()))[1])


def test_the_caption_says_what_the_numbers_rest_on() -> None:
    said = " ".join(caption(accuracy()))
    for part in (
        "Accuracy on 100 held-out examples of held.jsonl, of models trained on 1000 records, 3 seeds (0, 1, 2).",
        "upper bound (PRV), the largest over the seeds, at delta 1e-05, for each record.",
        "It covers one model that was settled on before any of them was seen.",
        "a choice that looks at a model without privacy has no bound.",
        "Intervals: 95 %, over seeds and examples",
        "paired by seed and example",
        "Always giving the commonest class has accuracy 0.5000.",
    ):
        assert part in said


def test_the_caption_warns_of_one_seed_and_of_nothing_to_compare_with() -> None:
    said = " ".join(caption(accuracy((8.0,), seeds=1)))
    assert "epsilon 8: one seed: says nothing about other seeds." in said
    assert "over examples only" in said
    assert "add inf to --epsilons" in said


def test_choosing_the_best_costs_all_of_them_together() -> None:
    """Against dp_accounting on its own grid."""
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    ran: dict[str, Any] = {"sample_rate": 0.1, "compositions": 30, "group": 1}
    rows = made_rows({(epsilon, seed): [1, 0, 1] for epsilon in (8.0, 2.0) for seed in (0, 1)}, **ran)
    accountant = PLDAccountant(value_discretization_interval=1e-4)
    for noise in (0.5, 2.0):
        one = dp_event.PoissonSampledDpEvent(0.1, dp_event.GaussianDpEvent(noise))
        accountant.compose(one, 2 * 30)
    said = " ".join(caption(measure(rows)))
    shown_epsilon = float(said.split("the 4 private models spend together: epsilon <= ")[1].split(" ")[0])
    assert shown_epsilon == pytest.approx(float(accountant.get_epsilon(1e-5)), rel=0.01)
    assert "at delta 1e-05." in said
    assert "without privacy has no bound" not in said


def test_what_models_spend_together_is_unknown_where_rows_do_not_say() -> None:
    assert "the 2 private models spend together: an unknown epsilon." in " ".join(
        caption(accuracy((8.0, 2.0), seeds=1))
    )
    assert "One private model: nothing was chosen among several." in " ".join(caption(accuracy((8.0,), seeds=1)))
    rows = made_rows({(epsilon, 0): [1, 0] for epsilon in (8.0, 2.0)})
    failed = pd.concat([rows, failed_rows(1.0, 0, "lost")], ignore_index=True)
    assert "models that failed are not in it" in " ".join(caption(measure(failed)))


def test_notes_of_claims_and_examples_left_out_are_told() -> None:
    rows = made_rows({(8.0, 0): [1, None, 0], (INF, 0): [1, 1, 0]}, note="RDP only")
    said = " ".join(caption(measure(rows)))
    assert "Note: RDP only." in said
    assert "1 examples that some model could not be scored on are left out" in said


def test_perplexities_are_shown_as_such() -> None:
    frontier = perplexity()
    _, two = cells(frontier)
    value, low, high = map(float, re.findall(r"[\d.]+", two[6]))
    assert value == pytest.approx(math.exp(frontier.points[1].quality.value), rel=0.01)
    assert 1 < low < value < high
    assert float(two[7].split()[0]) == pytest.approx(math.exp(0.5), rel=0.05)
    assert header(frontier)[6:8] == ("pseudo-perplexity", "times that without privacy")
    said = " ".join(caption(frontier))
    assert "ends are exp of those of the nats" in said
    assert "not comparable with a causal model's" in said


@pytest.mark.parametrize("frontier", [accuracy(), accuracy((8.0,), 1), accuracy((INF,)), perplexity()])
def test_everything_is_drawn_inside(frontier: Frontier) -> None:
    plot = frontier_plot(frontier)
    for mark, point in zip(plot.marks, frontier.points, strict=True):
        assert LEFT < mark.x < RIGHT
        assert point.quality.interval is not None
        assert mark.low is not None
        assert mark.high is not None
        assert TOP <= mark.high <= mark.y <= mark.low <= BOTTOM
        assert all(TOP <= seed <= BOTTOM for seed in mark.seeds)
        assert len(mark.seeds) == (len(point.seeds) if len(point.seeds) > 1 else 0)
    assert len(plot.y_ticks) >= 4
    assert all(TOP - 1 <= tick.at <= BOTTOM + 1 for tick in plot.y_ticks)
    assert (plot.plain is None) == (frontier.plain is None)


def test_epsilons_stand_by_their_logarithm_with_better_quality_above() -> None:
    plot = frontier_plot(accuracy((9.0, 3.0, 1.0, INF)))
    plain, nine, three, one = plot.marks
    assert three.x - one.x == pytest.approx(nine.x - three.x)
    assert plain.x > nine.x > three.x > one.x
    assert three.y > plain.y
    assert [tick.label for tick in plot.x_ticks] == ["9", "3", "1", "none"]


def test_labels_do_not_touch() -> None:
    ticks = frontier_plot(accuracy((1.0, 1.01, 1.02, 8.0, 100.0))).x_ticks
    assert len(ticks) == 5
    named = sorted(tick.at for tick in ticks if tick.label)
    assert all(right - left >= 30 for left, right in pairwise(named))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.83, 0.91, ["0.84", "0.86", "0.88", "0.90"]),
        (17.2, 61, ["20", "30", "40", "50", "60"]),
        (-0.1, 0.1, ["-0.10", "-0.05", "0.00", "0.05", "0.10"]),
        (900, 100000, ["20000", "40000", "60000", "80000", "100000"]),
    ],
)
def test_axes_have_round_numbers(start: float, end: float, expected: list[str]) -> None:
    assert round_numbers(start, end) == expected


def test_json_holds_perplexities_and_their_ratio_not_nats() -> None:
    made = perplexity()
    saved = TradeOff.model_validate_json(as_json(made))
    private = next(point for point in made.points if point.private)
    told = next(point for point in saved.points if math.isfinite(point.target))
    assert private.lost is not None
    assert told.cost is not None
    assert told.quality.value == math.exp(private.quality.value)
    assert told.cost.value == math.exp(private.lost.value)
    assert saved.better == "lower"


class Page(HTMLParser):
    """Tags in order, with their attributes, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    frontier = accuracy()
    text = page(frontier)
    found = Page(text)
    assert found.open == []
    assert not {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe", "object", "image", "use"}
    assert not [name for _, attrs in found.tags for name in attrs if name in {"src", "href"} or name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    classes = [attrs.get("class") for _, attrs in found.tags]
    assert classes.count("dot") == classes.count("whisker") == 4
    assert classes.count("seed") == 12
    assert (classes.count("band"), classes.count("plain")) == (1, 1)
    for line in [*caption(frontier), *(cell for row in cells(frontier) for cell in row)]:
        assert line in found.text


def test_text_from_outside_is_text_on_the_page() -> None:
    rows = pd.concat([made_rows({(8.0, 0): [1, 0]}, note="<script>alert(1)</script>"), failed_rows(1, 0, "<b>no</b>")])
    text = page(measure(rows))
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text


def test_one_example_is_drawn_without_a_whisker() -> None:
    frontier = measure(made_rows({(8.0, 0): [1], (INF, 0): [0]}))
    classes = [attrs.get("class") for _, attrs in Page(page(frontier)).tags]
    assert (classes.count("dot"), classes.count("whisker"), classes.count("band")) == (2, 0, 0)
    assert "1.00, no interval" in markdown(frontier)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
