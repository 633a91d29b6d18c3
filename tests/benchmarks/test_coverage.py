"""Every interval method is in the benchmark of errors, and what it found is within the bound."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from benchmarks import coverage
from benchmarks.coverage_truths import TRUTHS
from benchmarks.report import RESULTS
from harness.stats.intervals import Method

ROOT = Path(__file__).parents[2]
CODE = [path for folder in ("harness", "suites", "privacy") for path in sorted((ROOT / folder).rglob("*.py"))]


def used() -> set[str]:
    """Members of `Method` that the code names, outside their own definition."""
    found = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Method":
                found.add(node.attr)
    return found


def test_the_methods_of_the_code_are_those_of_the_benchmark() -> None:
    assert {Method[name] for name in used()} == set(Method)
    assert {truth.method for truth in TRUTHS} == set(Method)


def test_every_interval_of_a_metric_is_named_by_its_method() -> None:
    """`Interval` takes no other name; no metric is given the text of one, but for a number that is proven."""
    free = []
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Metric":
                named = [ast.unparse(each.value) for each in node.keywords if each.arg == "interval"]
                free += [f"{path}:{node.lineno}" for text in named if "ethod" not in text and text != "PROVEN"]
    assert free == []


def test_every_size_and_the_hard_truths_are_tried() -> None:
    results = json.loads((RESULTS / "coverage.json").read_text(encoding="utf-8"))
    tried = {(cell["method"], cell["truth"], cell["n"]) for cell in results["cells"]}
    assert tried == {(truth.method, truth.name, n) for truth in TRUTHS for n in truth.sizes}
    assert all(truth.sizes == (20, 60, 200, 1000) for truth in TRUTHS if truth.method is not Method.NONCENTRAL_T)
    assert all(min(truth.sizes) <= 20 and len(truth.sizes) == 4 for truth in TRUTHS)
    names = " ".join(truth.name for truth in TRUTHS)
    assert all(word in names for word in ("0.98", "skewed", "clusters", "zero variance"))


def test_no_error_of_the_committed_results_is_above_the_bound() -> None:
    results = json.loads((RESULTS / "coverage.json").read_text(encoding="utf-8"))
    above = {cell["case"]: cell["ratio"] for cell in results["cells"] if cell["ratio"] > coverage.BOUND}
    assert all(cell["beyond"] for cell in results["cells"] if cell["case"] in above)
    assert sum("beyond" in cell for cell in results["cells"]) == sum(4 * truth.beyond for truth in TRUTHS) == 12
    assert all("beyond" in cell or cell["standard error"] <= 0.2 * cell["peer"] for cell in results["cells"])


@pytest.mark.parametrize("at", range(len(TRUTHS)), ids=lambda at: f"{TRUTHS[at].method}: {TRUTHS[at].name}")
def test_a_cell_is_made_of_every_truth(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TRUTHS[at]), "replicates", lambda self, n: 3)
    first, again = coverage.cell(TRUTHS[at], 20), coverage.cell(TRUTHS[at], 20)
    assert first == again  # seeds are fixed
    assert first.extra["replicates"] == 3
    assert 0 <= first.ours <= 1


def test_outcomes_with_their_chances_make_a_whole() -> None:
    truth = next(truth for truth in TRUTHS if truth.method is Method.FLIPS)
    assert truth.exact is not None
    assert sum(weight for weight, *_ in truth.exact(20)) == pytest.approx(1, abs=1e-6)
    assert coverage.cell(truth, 20).extra["replicates"] == "exact"
