"""What the models of a grid spend together, whatever the sampling: rows say what the ledgers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from privacy.accounting import claim_all
from privacy.frontier.grid import Cell
from privacy.frontier.measure import measure
from privacy.frontier.rows import cell_rows
from privacy.frontier.together import epsilon_together, together
from privacy.frontier.words import caption
from privacy.ledger import read_chain
from privacy.lineage import LEDGER_NAME, mechanism_of_header
from privacy.training import train
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

_SAMPLINGS: dict[str, dict[str, Any]] = {
    "capped": {"sampling": "truncated-poisson", "max_batch": 22},
    "bins": {"sampling": "balls-in-bins"},
    "shuffled": {"sampling": "shuffle"},
    "banded": {"noise": "banded", "bands": 2},
    "banded and shuffled": {"noise": "banded", "bands": 2, "sampling": "shuffle"},
}


@pytest.mark.parametrize("kind", sorted(_SAMPLINGS))
def test_models_of_every_sampling_are_composed_as_their_ledgers_say(kind: str, tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "held.jsonl", opinions(8, seed=2))
    spec = make_spec(
        tmp_path,
        make_base(tmp_path / "base", "bert", "classifier"),
        held_out=str(held_out),
        privacy={"noise_multiplier": 1.5, **_SAMPLINGS[kind]},
        batch_size=16,
        epochs=2,
    )
    manifest = train(spec).manifest
    probed = pd.DataFrame(
        {"case_id": ["a", "b"], "status": "ok", "error": None, "label": [0, 1], "predicted": [0, 0]}, index=[0, 1]
    )
    cells = [Cell(8.0, seed, spec.model_copy(update={"output": tmp_path / f"eps8-seed{seed}"})) for seed in (0, 1)]
    rows = pd.concat([cell_rows(cell, manifest, probed) for cell in cells], ignore_index=True)
    chain = read_chain(spec.output / LEDGER_NAME)
    one = mechanism_of_header(chain.header, chain.spent, 1)
    both = together(rows)
    assert both is not None
    assert both.mechanisms == (one, one)
    expected = claim_all([one, one], both.delta).epsilon
    assert epsilon_together(both, "prv") == expected
    assert "an unknown epsilon" not in " ".join(caption(measure(rows)))
