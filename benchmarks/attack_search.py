"""Search methods on the search spaces of Yoo et al. 2020 (arXiv:2009.06368), beside their Table 3 (BERT, MR).

Do the order of the methods' costs and the ratios to WIR delete's hold on real sentences with another victim (MiniLM)?
Costs are compared in three ways: means over successes and over all attacked sentences (what the table holds), both as
the paper's release of TextAttack counted them, and over all attacked as 0.3.11 counts, which is what an audit prints.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.attack_parity import mr
from benchmarks.attack_sides import VICTIM, loaded_from
from benchmarks.data import SCRATCH
from benchmarks.report import Cell, write
from benchmarks.search_spaces import DELETE, GLOVE, GRADIENT, SLOW, WORDNET, Space, build
from benchmarks.search_table import NOT_ATTACKED, Row, method_cell, order_cells, space_cell
from harness.api.case import Case
from harness.api.scorer import ClassScores, TextRequest
from harness.scorer.hf import HFScorer
from suites.adversarial.attacks.result import attacked, attacked_text
from suites.adversarial.cases import case_seed
from suites.adversarial.pooled.asking import VICTIM as VICTIM_CHANNEL
from suites.adversarial.pooled.asking import handlers
from suites.adversarial.pooled.broker import Broker
from suites.adversarial.pooled.make import Setup, make_attacks
from suites.adversarial.pooled.run import run_pool
from suites.adversarial.recipes import UNTARGETED
from suites.adversarial.recipes.parts import sentence_encoder

PEERS = ("textattack",)
SPACES = (WORDNET, GLOVE)
TEXTS = 125
SLOW_TEXTS = 75
"""The first of those, for the genetic search and PSO, which take thousands of queries a text."""
CHUNK = 25
"""Sentences after which rows are saved: a benchmark that is stopped goes on from them."""
CALIBRATION = slice(880, 980)
"""Sentences on which the thresholds were set, by greedy's success and the number of candidates."""
BUDGET = 20_000


def run() -> list[Cell]:
    """For each space the methods' cells, then what holds of the order; rows are kept in checkpoints/bench."""
    os.environ.setdefault("ASSAY_RESOURCES", str(SCRATCH / "resources"))
    runner = _Runner()
    cases = mr(1000)
    rows: dict[str, dict[str, list[Row]]] = {space.name: {} for space in SPACES}
    for space in SPACES:
        for method in space.published:
            if method not in SLOW:
                rows[space.name][method] = runner.rows(space, method, cases[:TEXTS])
                write("attack_search", _cells(rows), peers=PEERS)
    for end in range(CHUNK, SLOW_TEXTS + 1, CHUNK):
        for space in SPACES:
            for method in SLOW:
                rows[space.name][method] = runner.rows(space, method, cases[:end])
            write("attack_search", _cells(rows), peers=PEERS)
    cells = [*_cells(rows), *(_calibrated(runner, space, cases[CALIBRATION]) for space in SPACES)]
    write("attack_search", cells, peers=PEERS)
    return cells


def _cells(rows: dict[str, dict[str, list[Row]]]) -> list[Cell]:
    cells: list[Cell] = []
    for space in SPACES:
        found = rows[space.name]
        if DELETE not in found:
            continue
        cells += [method_cell(space, method, found) for method in found]
        cells.append(space_cell(space, found[DELETE]))
        if set(found) == set(space.published):
            cells += order_cells(space, found)
    return cells


def _calibrated(runner: _Runner, space: Space, cases: Sequence[Case]) -> Cell:
    rows = [row for row in runner.rows(space, "greedy", cases, "calibration") if row["outcome"] not in NOT_ATTACKED]
    return Cell(
        f"{space.name}: greedy's success on the sentences its threshold was set on",
        sum(row["outcome"] == "succeeded" for row in rows) / len(rows),
        space.published["greedy"].success,
        extra={
            space.constraint: space.threshold,
            "sentences": len(rows),
            "candidates per text": round(sum(row["candidates"] for row in rows) / len(rows), 1),
            "published candidates per text": space.candidates,
        },
    )


class _Runner:
    """Attacks with one victim, which is asked about each text once in all runs of this process."""

    def __init__(self) -> None:
        self._loaded = loaded_from(VICTIM)
        self._scorer = HFScorer(self._loaded)
        self._known: dict[TextRequest, ClassScores] = {}

    def rows(self, space: Space, method: str, cases: Sequence[Case], part: str = "reported") -> list[Row]:
        """One row per case, in order; those on disk are read."""
        path = SCRATCH / "attack_search" / f"{space.name}-{space.threshold}-{part}-{method.replace(' ', '_')}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        known: dict[str, Row] = {row["id"]: row for row in map(json.loads, lines)}
        lacking = [case for case in cases if case.id not in known]
        for start in range(0, len(lacking), CHUNK):
            made = self._attack(space, method, lacking[start : start + CHUNK])
            known |= made
            with path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in made.values())
            print(space.name, part, method, len(known), "of", len(cases), flush=True)  # noqa: T201
        return [known[case.id] for case in cases]

    def _attack(self, space: Space, method: str, cases: Sequence[Case]) -> dict[str, Row]:
        scorer = self._scorer if method == GRADIENT else None
        setup = Setup(partial(build, space, method), UNTARGETED, self._loaded.info, BUDGET, scorer)
        broker = Broker({**handlers(self._scorer, sentence_encoder), VICTIM_CHANNEL: self._classify})
        jobs = [(case, case_seed(0, case.id)) for case in cases]
        ended = run_pool(jobs, partial(make_attacks, setup), _row, broker, concurrent=len(jobs))
        made = {}
        for one in ended:
            crashed: Row = {"id": one.job.id, "outcome": "error", "error": str(one.error)}
            made[one.job.id] = crashed if one.result is None else one.result
        return made

    def _classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        new = [request for request in dict.fromkeys(requests) if request not in self._known]
        if new:
            self._known.update(zip(new, self._scorer.ask(new), strict=True))
        return [self._known[request] for request in requests]


def _row(attack: Any, case: Case) -> Row:
    attack.clear_cache()
    found = attacked(attack, case)
    row: Row = {"id": case.id, "outcome": found["outcome"], "queries": found["queries"]}
    if found["outcome"] == "skipped":
        return row
    text = attacked_text(case)
    candidates = attack.get_transformations(text, original_text=text)
    places = {place for one in candidates for place in one.attack_attrs["newly_modified_indices"]}
    return row | {
        "credited": attack.search_method.credited,
        "exhausted": found["budget_exhausted"],
        "words": found["words"],
        "may_change": len(attack.get_indices_to_order(text)[1]),
        "candidates": len(candidates),
        "words_with_candidates": len(places),
        "changed": found["changed_words"],
    }
