"""The attack engine on a GPU, where half of the attacks search while the other half is answered: the CPU's rows."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.scorer import TextRequest
from harness.scorer.hf import HFScorer
from suites.adversarial.attacks.catalogue import DeepWordBug, InputReduction
from suites.adversarial.attacks.columns import AttackRow
from suites.adversarial.attacks.params import AttackParams
from suites.adversarial.attacks.probe import AttackProbe
from suites.adversarial.resources.textattack_env import load_textattack
from tests.fakegpu import Counts, fake_cuda
from tests.fakes import plan
from tests.scoring import load

WORDS = "film movie book story plot actor acting music love hated liked best worst awful good bad happy sad"
WAITS = 2
"""Of a batch: the model's own look at its mask, and the scores."""


def texts() -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS.split(), rng.integers(4, 9))) for _ in range(16)]


def rows(kind: type[AttackProbe], scorer: HFScorer, labels: list[int]) -> pd.DataFrame:
    probe = kind(AttackParams(semantics=None))
    cases = probe.cases(plan(scorer.info, examples=pd.DataFrame({"text": texts(), "label": labels})))
    found = pd.DataFrame(list(probe.run(scorer, cases)), columns=list(AttackRow.to_schema().columns))
    return found.set_index("case_id").loc[[case.id for case in cases]]


def check(found: Counts, batches: int) -> None:
    assert batches > 0
    assert found.ops > 10 * batches
    assert found.waits <= WAITS * batches, (found.waits, batches, found.places)


def attacked(kind: type[AttackProbe], monkeypatch: pytest.MonkeyPatch) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Rows on the CPU and on the fake device, and what the device counted, with its batches and threads that asked."""
    load_textattack()  # before the device is there: it would take it for its own models
    loaded = load("bert", "classifier")
    scorer = HFScorer(loaded)
    labels = [answer.label for answer in scorer.ask([TextRequest(text) for text in texts()])]
    want = rows(kind, scorer, labels)
    threads: set[int] = set()
    with fake_cuda() as counts:
        there = HFScorer(replace(loaded, model=copy.deepcopy(loaded.model).to("cuda"), device="cuda"))
        there.ask([TextRequest("a film")])  # what is found out once about a model
        ask = HFScorer.ask

        def noted(self: HFScorer, requests: Any) -> Any:
            threads.add(threading.get_ident())
            return ask(self, requests)

        monkeypatch.setattr(HFScorer, "ask", noted)
        before, batches = counts.copy(), there.counts.batches
        got = rows(kind, there, labels)
        found = counts.since(before), there.counts.batches - batches
    return want, got, (*found, threads)


@pytest.mark.parametrize("kind", [DeepWordBug, InputReduction])
def test_rows_of_the_cpu_and_few_waits(kind: type[AttackProbe], monkeypatch: pytest.MonkeyPatch) -> None:
    want, got, (found, batches, threads) = attacked(kind, monkeypatch)
    assert want["outcome"].isin(["succeeded", "failed", "maximised"]).all()
    columns = [name for name in want if "seconds" not in str(name)]
    pd.testing.assert_frame_equal(got[columns], want[columns], rtol=0, atol=1e-6)
    check(found, batches)
    assert threads != {threading.get_ident()}


def test_a_read_for_each_answer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.scorer.forward.pooled import PooledVectors

    def forward(self: PooledVectors, chosen: Any, side: Any) -> Any:
        vectors = self._vectors(self.inputs(chosen, side)).double()
        return np.array([[float(value) for value in row] for row in vectors])

    monkeypatch.setattr(PooledVectors, "_forward", forward)
    _, _, (found, batches, _) = attacked(DeepWordBug, monkeypatch)
    with pytest.raises(AssertionError):
        check(found, batches)
