from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.models import Models
from harness.api.probe import Plan
from harness.api.scorer import Scorer
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.errors import NotApplicableError
from harness.record.prepared import KeptOnDisk
from harness.scorer.hf import HFScorer
from privacy.training import train
from suites.memorization.membership.probe import Membership, MembershipParams
from tests.privacy.toys import make_base, make_spec, nonsense, write_rows
from tests.suites.memorization.membership.scored import audited

N = 60
SIGNALS = ("zlib", "min_k", "min_k_pp", "calibrated")
NEEDED = {"tpr_at_fpr_0.1pct": "10,000", "tpr_min_k_at_fpr_1pct": "1,000", "tpr_at_fpr_10pct": "100"}
HEADS = {"causal_lm": "gpt2", "masked_lm": "bert"}


def trained(folder: Path, task: str, epochs: int, **fields: Any) -> CheckpointInfo:
    """A tiny language model that learnt its members by heart, and read none of the others."""
    base = make_base(folder / "base", HEADS[task], task, dropout=False)
    texts = {name: nonsense(N, seed, words=10) for name, seed in (("in", 1), ("out", 2))}
    rows = {name: [{"text": row["text"]} for row in side] for name, side in texts.items()}
    sides = {name: str(write_rows(folder / f"{name}.jsonl", side)) for name, side in rows.items()}
    values = {"data": sides["in"], "held_out": sides["out"], "learning_rate": 5e-3, "weight_decay": 0.0, **fields}
    train(make_spec(folder, base, task=task, epochs=epochs, **values))
    return info_of(folder / "trained")


def info_of(folder: Path) -> CheckpointInfo:
    return inspect_checkpoint(CheckpointSource(source=str(folder)), Permissions(manifest_sources=True))


def loader(folder: Path) -> Callable[[], Scorer]:
    return lambda: HFScorer(load_checkpoint(info_of(folder), device="cpu"))


def by_key(metrics: list[Metric]) -> dict[str, Metric]:
    return {metric.key: metric for metric in metrics}


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    return trained(tmp_path_factory.mktemp("gpt"), "causal_lm", 20)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    return trained(tmp_path_factory.mktemp("bert"), "masked_lm", 40)


@pytest.fixture(params=["gpt", "bert"])
def model(request: pytest.FixtureRequest) -> CheckpointInfo:
    found: CheckpointInfo = request.getfixturevalue(request.param)
    return found


def test_every_signal_finds_what_was_learnt_by_heart(model: CheckpointInfo, tmp_path: Path) -> None:
    probe = Membership()
    rows = audited(probe, model, tmp_path, {"base": loader(model.path.parent / "base")})
    metrics = by_key(probe.measure(rows))
    assert (rows["status"] == "ok").all()
    assert rows["label"].isna().all()
    assert rows["log_odds"].isna().all()
    for key in ("auc", *(f"auc_{signal}" for signal in SIGNALS)):
        low = metrics[key].low
        assert low is not None
        assert low > 0.5, key
    for control in ("permuted_auc", "base_auc", "blind_auc"):
        low, high = metrics[control].low, metrics[control].high
        assert low is not None
        assert high is not None
        assert low < 0.5 < high, control
    assert "accuracy_gap" not in metrics
    assert {key for key, metric in metrics.items() if metric.headline} == {
        *("auc", "tpr_at_fpr_1pct", "tpr_at_fpr_5pct", "tpr_at_fpr_10pct", "advantage", "blind_auc"),
    }


def test_a_rate_that_so_few_cannot_show_is_refused(gpt: CheckpointInfo, tmp_path: Path) -> None:
    probe = Membership()
    metrics = by_key(probe.measure(audited(probe, gpt, tmp_path)))
    for key in ("tpr_at_fpr_0.1pct", "tpr_min_k_at_fpr_1pct", "tpr_at_fpr_10pct"):
        assert metrics[key].value is None
        assert f"non-members to fix the threshold on and {NEEDED[key]} others" in metrics[key].note
        assert "here are 30 and 30; give more, or ask for a rate of at least 33 %" in metrics[key].note
    some = Membership(MembershipParams(fprs=(0.4,)))
    assert by_key(some.measure(audited(some, gpt, tmp_path / "some")))["tpr_at_fpr_40pct"].value is not None
    assert "base_auc" not in metrics


def lowest(values: np.ndarray, share: float) -> float:
    return float(np.sort(values)[: max(1, int(share * len(values)))].mean())


def direct(logs: np.ndarray, actual: list[int], share: float, text: str) -> dict[str, float]:
    """All signals from log-distributions [t, vocabulary] of the actual tokens [t]."""
    chosen = logs[np.arange(len(actual)), actual]
    means = (np.exp(logs) * logs).sum(axis=1)
    deviations = np.sqrt((np.exp(logs) * (logs - means[:, None]) ** 2).sum(axis=1))
    return {
        "loss": -chosen.mean(),
        "min_k": lowest(chosen, share),
        "min_k_pp": lowest((chosen - means) / deviations, share),
        "zlib": chosen.mean() / len(zlib.compress(text.encode())),
    }


def test_signals_of_a_causal_model_are_those_of_its_logits(gpt: CheckpointInfo, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    probe = Membership(MembershipParams(members=5, non_members=5, k=0.3))
    rows = audited(probe, gpt, tmp_path).set_index("case_id")
    tokenizer = AutoTokenizer.from_pretrained(gpt.path)
    model = AutoModelForCausalLM.from_pretrained(gpt.path).eval()
    for case in probe.cases(Plan(gpt, 0)):
        ids = tokenizer(case.data["text"])["input_ids"]
        with torch.no_grad():
            logs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()
        told = direct(logs[:-1], ids[1:], 0.3, case.data["text"])
        assert rows.loc[case.id, "scored"] == len(ids) - 1  # what has nothing before it is not scored
        for signal, value in told.items():
            assert rows.loc[case.id, signal] == pytest.approx(value, abs=2e-4), signal


def test_signals_of_a_masked_model_are_those_of_its_logits(bert: CheckpointInfo, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    probe = Membership(MembershipParams(members=4, non_members=4, masked_positions=100))
    few = Membership(MembershipParams(members=4, non_members=4, masked_positions=3))
    rows = audited(probe, bert, tmp_path).set_index("case_id")
    tokenizer = AutoTokenizer.from_pretrained(bert.path)
    model = AutoModelForMaskedLM.from_pretrained(bert.path).eval()
    for case in probe.cases(Plan(bert, 0)):
        ids = tokenizer(case.data["text"])["input_ids"]
        each = []
        for place in range(1, len(ids) - 1):  # between [CLS] and [SEP]
            masked = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
            with torch.no_grad():
                each.append(model(torch.tensor([masked])).logits[0, place].double().log_softmax(-1).numpy())
        for signal, value in direct(np.array(each), ids[1:-1], 0.2, case.data["text"]).items():
            assert rows.loc[case.id, signal] == pytest.approx(value, abs=2e-4), signal
        assert rows.loc[case.id, "scored"] == len(ids) - 2
    first, again = (audited(few, bert, tmp_path / name) for name in ("first", "again"))
    assert set(first["scored"]) == {3}
    pd.testing.assert_frame_equal(first, again)  # the same positions


def test_one_question_a_record_serves_all_signals(gpt: CheckpointInfo, tmp_path: Path) -> None:
    probe, scorer = Membership(), loader(gpt.path)()
    cases, models = probe.cases(Plan(gpt, 0)), Models(scorer)
    ready = probe.within(models, KeptOnDisk(tmp_path / "kept"))
    ready.prepare(models, Plan(gpt, 0, cases=cases))
    assert sum(scorer.counts.by_kind.values()) == 0  # the blind baseline asks no model
    assert len(list(ready.run(scorer, cases))) == len(cases)
    assert sum(scorer.counts.by_kind.values()) == len(cases)


def test_only_what_training_read_is_scored(tmp_path: Path) -> None:
    info = trained(tmp_path, "causal_lm", 1, max_tokens=6)
    rows = audited(Membership(), info, tmp_path)
    assert rows["scored"].max() <= 6
    assert (rows["truncated"] > 0).all()
    masked = trained(tmp_path / "masked", "masked_lm", 1, max_tokens=6)
    assert set(audited(Membership(), masked, tmp_path / "masked")["scored"]) == {4}  # [CLS] and [SEP] are read, too


def test_of_instructions_the_completion_alone_is_scored(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "gpt2", "causal_lm", dropout=False)
    sides = {}
    for name, seed in (("in", 1), ("out", 2)):
        rows = [
            {"prompt": row["text"], "completion": f" {other['text']}"}
            for row, other in zip(nonsense(30, seed), nonsense(30, seed + 10, words=3), strict=True)
        ]
        sides[name] = str(write_rows(tmp_path / f"{name}.jsonl", rows))
    spec = {"task": "causal_lm", "completions": "plain", "data": sides["in"], "held_out": sides["out"], "epochs": 1}
    train(make_spec(tmp_path, base, **spec))
    info = info_of(tmp_path / "trained")
    probe = Membership()
    found, scorer = audited(probe, info, tmp_path).set_index("case_id"), loader(info.path)()
    for case in probe.cases(Plan(info, 0)):
        assert found.loc[case.id, "scored"] == len(scorer.encode(case.data["pair"], special=False))


def test_a_base_that_cannot_be_compared_is_refused(gpt: CheckpointInfo, bert: CheckpointInfo, tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError, match="the base has another head"):
        audited(Membership(), gpt, tmp_path, {"base": loader(bert.path)})


def test_a_plan_counts_each_reading_of_a_masked_model(gpt: CheckpointInfo, bert: CheckpointInfo) -> None:
    probe = Membership(MembershipParams(masked_positions=2))
    once, twice = (probe.cost(probe.cases(Plan(info, 0))) for info in (gpt, bert))
    assert twice == 2 * once
