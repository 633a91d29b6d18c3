"""The pooled engine against TextAttack's own Attacker: the same outcome, number of queries and final text?

Every black-box recipe on real sentences (MR, as published with TextFooler) and a real sentiment classifier (MiniLM), on
the same parts. TextAttack runs its stock components one example at a time, scores rounded by our tie rule. Recipes that
breed texts have a budget of queries. Resources are found as in an audit; a recipe that lacks one is left out and named.

Those that ask a masked language model (`benchmarks.masked_lm` trains one where none is) have a peer that remembers the
vectors it has encoded, a memory of its own. CLARE, of which stock encodes some thousand candidates a step, is given
the first sentences of `short` length instead of the first ones.

Recipes may be named in ASSAY_RECIPES; results of the others stay in the file, with when and on what they were measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import masked_lm
from benchmarks.attack_sides import VICTIM, loaded_from, ours, textattacks
from benchmarks.data import data_file
from benchmarks.report import RESULTS, Cell, write
from harness.api.case import Case, make_cases
from harness.checkpoint import LoadedCheckpoint
from suites.adversarial.attacks.models import masked_lm as masked_lm_of
from suites.adversarial.pooled.make import Setup
from suites.adversarial.recipes import INPUT_REDUCTION, RECIPES, UNTARGETED, Recipe
from suites.adversarial.recipes.parts import Encode, sentence_encoder

PEERS = ("textattack",)
TEXTS = 200
BUDGET = 60
"""Most queries of one text, but for those of WHOLE: some recipes take thousands."""
WHOLE = {"textfooler", "textfooler_adjusted", "deepwordbug", "checklist_inv", "bert_attack", "bae"}
LAST = ("bae", "bert_attack", "clare")
"""Those that ask a masked language model."""
FEWEST, MOST = 6, 13
"""Words of the short sentences that CLARE is given, and"""
LONG = 18, 20
"""words of one in twenty, which the sentence encoder's window of 15 words does not hold."""
REMEMBERED = 200_000
"""Vectors the peer keeps, about 300 MB."""


def run() -> list[Cell]:
    """Examples that agree, per recipe: those run now and those kept from before."""
    folder = os.environ.setdefault("ASSAY_RESOURCES", str(masked_lm.FOLDER))
    loaded = loaded_from(VICTIM)
    black_box = [name for name, recipe in RECIPES.items() if recipe.black_box]
    chosen = os.environ.get("ASSAY_RECIPES", "")
    names = sorted(chosen.split(",") if chosen else black_box, key=lambda name: name in LAST)
    if folder == str(masked_lm.FOLDER) and any(name in LAST and RECIPES[name].why_not(fetch=False) for name in names):
        masked_lm.ensure()
    before = read_cells(RESULTS / "attack_parity.json")
    cells: list[Cell] = []
    for name in names:
        why = RECIPES[name].why_not(fetch=False)
        if why is not None:
            print(f"{name}: left out, {why}")  # noqa: T201
            continue
        cells.append(_agreement(RECIPES[name], loaded))
        write("attack_parity", merged(cells, before), peers=PEERS)  # it stays when a later one is stopped
    return merged(cells, before)


def read_cells(path: Path) -> list[Cell]:
    """The cells of a file of results, each with where and when it was measured; none where there is no file."""
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    measured = {name: content[name] for name in ("device", "versions", "date")}
    return [_cell({"measured": measured, **cell}) for cell in content["cells"]]


def merged(new: Sequence[Cell], before: Sequence[Cell]) -> list[Cell]:
    """A cell per recipe, the new one where there is one, in a fixed order."""
    return sorted({cell.case: cell for cell in (*before, *new)}.values(), key=_place)


def _cell(values: dict[str, Any]) -> Cell:
    own = {name: values.pop(name) for name in ("case", "ours", "peer", "target", "lower_is_better")}
    del values["ratio"]
    return Cell(**own, extra=values)


def _place(cell: Cell) -> tuple[bool, int]:
    name = cell.case.partition(":")[0]
    known = list(RECIPES)
    return name in LAST, known.index(name) if name in known else len(known)


def _agreement(recipe: Recipe, loaded: LoadedCheckpoint) -> Cell:
    cases = short(TEXTS) if recipe.name == "clare" else mr(TEXTS)
    goal = INPUT_REDUCTION if recipe.reduces else UNTARGETED
    proposes = masked_lm_of(recipe, {}, loaded.device)
    info = None if proposes is None else proposes.info
    setup = Setup(recipe.build, goal, loaded.info, None if recipe.name in WHOLE else BUDGET, masked_lm=info)
    mine, _ = ours(setup, loaded, sentence_encoder, cases, masked_lm=proposes)
    encoder = remembering if recipe.name in LAST else sentence_encoder
    theirs = textattacks(setup, loaded, encoder, cases, padded=False)
    differ = {case.id for case in cases if mine.outcomes[case.id] != theirs.outcomes[case.id]}
    counted = {case.id for case in cases if mine.outcomes[case.id][:2] != theirs.outcomes[case.id][:2]}
    return Cell(
        f"{recipe.name}: examples with the same outcome, queries and final text",
        len(cases) - len(differ),
        len(cases),
        1.0,
        extra={
            "unit": "examples",
            "texts": "short" if recipe.name == "clare" else "first",
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


def remembering() -> Encode:
    """The sentence encoder with a memory of its own."""
    encode = sentence_encoder()
    known: dict[str, Any] = {}

    def encoded(texts: Sequence[str]) -> Any:
        if len(known) > REMEMBERED:
            known.clear()
        lacking = [text for text in dict.fromkeys(texts) if text not in known]
        if lacking:
            known.update(zip(lacking, encode(lacking), strict=True))
        return np.stack([known[text] for text in texts])

    return encoded


def mr(count: int) -> list[Case]:
    """Movie-review sentences with their true labels (1 positive)."""
    return _cases(_mr_lines()[:count])


def short(count: int) -> list[Case]:
    """As `mr`: the first sentences of FEWEST to MOST words, one in twenty LONG."""
    return _cases(chosen_lengths(_mr_lines(), count))


def chosen_lengths(lines: Sequence[str], count: int) -> list[str]:
    """Of lines `label text` the first `count` of these lengths, in their order."""
    counted = [(len(line.split()) - 1, at) for at, line in enumerate(lines)]
    long = [at for words, at in counted if LONG[0] <= words <= LONG[1]][: count // 20]
    others = [at for words, at in counted if FEWEST <= words <= MOST][: count - len(long)]
    return [lines[at] for at in sorted(long + others)]


def _mr_lines() -> list[str]:
    return data_file("textfooler_samples/mr.txt").read_text(encoding="utf-8").splitlines()


def _cases(lines: Sequence[str]) -> list[Case]:
    found = (line.split(" ", 1) for line in lines)
    return make_cases({"text": text, "label": int(label), "words_cut": 0} for label, text in found)
