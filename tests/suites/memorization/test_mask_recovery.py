"""Holes in texts that a tiny BERT learnt by heart, and in texts that it never saw."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from harness.api.case import Case
from harness.api.probe import Plan
from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.scorer.hf import HFScorer
from privacy.training import train
from suites.framing import masked_frame
from suites.memorization.mask_recovery import MaskRecovery, MaskRecoveryParams
from tests.privacy.toys import BAD, GOOD, WORDS, make_base, make_spec, write_rows

N = 8
PARAMS = MaskRecoveryParams(window_tokens=20, span_tokens=2)


def documents(seed: int) -> list[dict[str, str]]:
    """Random words, so that nothing but memory puts them back."""
    rng = random.Random(seed)
    return [{"text": " ".join(rng.choices([*WORDS, *GOOD, *BAD], k=20))} for _ in range(N)]


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    folder = tmp_path_factory.mktemp("overfitted")
    base = make_base(folder / "base", "bert", "masked_lm", dropout=False)
    sides = {name: str(write_rows(folder / f"{name}.jsonl", documents(seed))) for name, seed in (("in", 1), ("out", 2))}
    fields = {"data": sides["in"], "held_out": sides["out"], "epochs": 150, "learning_rate": 5e-3}
    train(make_spec(folder, base, task="masked_lm", weight_decay=0.0, **fields))
    return inspect_checkpoint(CheckpointSource(source=str(folder / "trained")), Permissions(manifest_sources=True))


def test_members_are_put_back_and_the_control_is_not(overfitted: CheckpointInfo) -> None:
    probe, scorer = MaskRecovery(PARAMS), HFScorer(load_checkpoint(overfitted, device="cpu"))
    cases = probe.cases(Plan(overfitted, 0))
    rows = pd.DataFrame(probe.Row.validate(pd.DataFrame(list(probe.run(scorer, cases)))))
    metrics = {metric.key: metric.value for metric in probe.measure(rows)}
    assert len(rows) == 2 * N
    recovered, control = metrics["tokens_right"], metrics["control_tokens_right"]
    assert recovered is not None
    assert control is not None
    assert recovered > control + 0.2
    assert metrics["control_share"] == 0
    mine, other = (rows[rows["side"] == side]["logprob"].mean() for side in ("texts", "control"))
    assert mine > other
    by_id = rows.set_index("case_id")
    for case in cases[:3]:
        framed = masked_frame(scorer, case.data["text"])
        start = len(framed.before) + (len(framed.tokens[:20]) - 2) // 2
        (scores,) = scorer.ask(
            [MaskedSpanRequest((*framed.before, *framed.tokens[:20], *framed.after), start, start + 2)]
        )
        assert by_id.loc[case.id, "exact"] == scores.greedy.all()
        assert float(np.asarray(by_id.loc[case.id, "logprob"])) == pytest.approx(scores.logprobs.sum(), abs=1e-3)


def test_what_is_too_short_or_too_long_is_an_error_row(overfitted: CheckpointInfo) -> None:
    scorer = HFScorer(load_checkpoint(overfitted, device="cpu"))
    case = Case("a", {"side": "texts", "document": 0, "offset": 0, "text": "film film"})
    (row,) = MaskRecovery(PARAMS).run(scorer, [case])
    assert row["error"] == "too short: 2 tokens, more than 2 needed"
    long = Case("b", {"side": "texts", "document": 0, "offset": 0, "text": " ".join(["film"] * 200)})
    (row,) = MaskRecovery(MaskRecoveryParams(window_tokens=150)).run(scorer, [long])
    assert row["error"] == "the model reads 128 tokens, 152 needed"
