"""The pooled engine against TextAttack's own Attacker: the same outcome, number of queries and final text?

Every black-box recipe on real sentences (MR, as published with TextFooler) and a real sentiment classifier (MiniLM), on
the same parts. TextAttack runs its stock components one example at a time, scores rounded by our tie rule. Recipes that
breed texts have a budget of queries. Resources are found as in an audit; a recipe that lacks one is left out and named.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.attack_sides import ours, textattacks
from benchmarks.data import SCRATCH, data_file
from benchmarks.report import Cell, write
from harness.case import Case, make_cases
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from suites.adversarial.pooled.make import Setup
from suites.adversarial.recipes import INPUT_REDUCTION, RECIPES, UNTARGETED, Recipe
from suites.adversarial.recipes.parts import sentence_encoder

PEERS = ("textattack",)
VICTIM = Path("checkpoints") / "imdb-minilm"
TEXTS = 200
BUDGET = 60
"""Most queries of one text, but for those of WHOLE: some recipes take thousands."""
WHOLE = {"textfooler", "textfooler_adjusted", "deepwordbug", "checklist_inv"}
LAST = ("bae", "bert_attack", "clare")
"""Those that ask a masked language model, by far the slowest."""


def run() -> list[Cell]:
    """Examples that agree, per recipe; the recipes to run may be named in ASSAY_RECIPES."""
    os.environ.setdefault("ASSAY_RESOURCES", str(SCRATCH / "resources"))
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(VICTIM))), dtype="fp32")
    chosen = os.environ.get("ASSAY_RECIPES", "")
    names = chosen.split(",") if chosen else [name for name, recipe in RECIPES.items() if recipe.black_box]
    names.sort(key=lambda name: name in LAST)
    cells = []
    for name in names:
        why = RECIPES[name].why_not(fetch=False)
        if why is not None:
            print(f"{name}: left out, {why}")  # noqa: T201
            continue
        cells.append(_agreement(RECIPES[name], loaded))
        write("attack_parity", cells, peers=PEERS)  # what is done stays when a later one is stopped
    return cells


def _agreement(recipe: Recipe, loaded: LoadedCheckpoint) -> Cell:
    cases = mr(TEXTS)
    goal = INPUT_REDUCTION if recipe.reduces else UNTARGETED
    setup = Setup(recipe.build, goal, loaded.info, None if recipe.name in WHOLE else BUDGET)
    mine, _ = ours(setup, loaded, sentence_encoder, cases)
    theirs = textattacks(setup, loaded, sentence_encoder, cases, padded=False)
    differ = {case.id for case in cases if mine.outcomes[case.id] != theirs.outcomes[case.id]}
    counted = {case.id for case in cases if mine.outcomes[case.id][:2] != theirs.outcomes[case.id][:2]}
    return Cell(
        f"{recipe.name}: examples with the same outcome, queries and final text",
        len(cases) - len(differ),
        len(cases),
        1.0,
        extra={
            "unit": "examples",
            "other_outcome_or_queries": len(counted),
            "queries": mine.queries,
            "query_budget": setup.query_budget,
            "succeeded": sum(outcome == "succeeded" for outcome, *_ in mine.outcomes.values()),
            "skipped": sum(outcome == "skipped" for outcome, *_ in mine.outcomes.values()),
            "crashed in both": sum(outcome == "error" for outcome, *_ in mine.outcomes.values()),
            "seconds": {"ours": round(mine.seconds, 1), "textattack": round(theirs.seconds, 1)},
            "differing": [[*mine.outcomes[key], *theirs.outcomes[key]] for key in sorted(differ)][:10],
        },
    )


def mr(count: int) -> list[Case]:
    """Movie-review sentences with their true labels (1 positive)."""
    lines = data_file("textfooler_samples/mr.txt").read_text(encoding="utf-8").splitlines()[:count]
    found = (line.split(" ", 1) for line in lines)
    return make_cases({"text": text, "label": int(label), "words_cut": 0} for label, text in found)
