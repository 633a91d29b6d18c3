from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from accelerate import Accelerator

from harness.errors import AuditError
from privacy.training import TrainSpec
from privacy.training.data.batches import Collator, LogicalBatch, padding_values
from privacy.training.data.tokens import encode_records
from privacy.training.models.objective import causal_lm, classification, with_classes
from privacy.training.plain.engine import PlainEngine
from privacy.training.plain.loop import Schedule, fit, make_optimizer
from privacy.training.records.progress import RunProgress
from tests.privacy.toys import opinions
from tests.tiny import make_checkpoint


def spec(**fields: object) -> TrainSpec:
    values = {"base": "base", "task": "classification", "data": "data.csv", "output": "out", "learning_rate": 0.01}
    return TrainSpec.model_validate({**values, **fields})


@pytest.mark.parametrize(("steps", "ratio"), [(10, 0.1), (100, 0.25), (7, 0.0), (5, 1.0), (1, 0.1)])
def test_schedule_is_the_line_up_and_the_line_down(steps: int, ratio: float) -> None:
    schedule = Schedule.of(spec(warmup_ratio=ratio), steps)
    warmup = math.ceil(ratio * steps)
    knots = ([-1, warmup - 1, steps], [0, 1, 0]) if warmup == steps else ([-1, warmup - 1, warmup, steps], [0, 1, 1, 0])
    expected = np.interp(range(steps), *knots) if warmup else [1 - step / steps for step in range(steps)]
    assert [schedule.factor(step) for step in range(steps)] == pytest.approx(list(expected))


class SpyEngine:
    """Notes the learning rate of every step; answers with given losses."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = losses
        self.rates: list[float] = []

    def prepare(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, loader: Iterable[LogicalBatch]
    ) -> Iterable[LogicalBatch]:
        self.optimizer = optimizer
        return loader

    def step(self, batch: LogicalBatch) -> float:
        self.rates += {group["lr"] for group in self.optimizer.param_groups}
        return self.losses[len(self.rates) - 1]


def test_the_loop_needs_no_more_than_a_step_engine() -> None:
    engine, seen = SpyEngine([4.0, 1.0, 2.0, 0.5]), []
    batches: list[LogicalBatch] = [[], [], [], []]
    means = fit(
        engine,
        torch.nn.Linear(2, 2),
        batches,
        spec(epochs=2, warmup_ratio=0.5),
        [3, 1, 3, 1],
        lambda step, steps, loss: seen.append((step, steps, loss)),
        progress := RunProgress(),
    )
    assert engine.rates == pytest.approx([0.005, 0.01, 0.01, 0.005])
    assert means == pytest.approx([(3 * 4 + 1) / 4, (3 * 2 + 0.5) / 4])
    assert [(row["drawn"], row["loss"], row["learning_rate"]) for row in progress.steps] == [
        (size, pytest.approx(size * loss), rate)
        for size, loss, rate in zip([3, 1, 3, 1], engine.losses, engine.rates, strict=True)
    ]
    assert seen == [(1, 4, 4.0), (2, 4, 2.5), (3, 4, pytest.approx(7 / 3)), (4, 4, 1.875)]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_its_step(loss: float) -> None:
    with pytest.raises(AuditError, match=r"the loss became (nan|inf) at step 2 of 3.*lower learning_rate \(now 0.01\)"):
        fit(
            SpyEngine([1.0, loss, 1.0]),
            torch.nn.Linear(2, 2),
            [[], [], []],
            spec(epochs=1),
            [1] * 3,
            lambda *_: None,
            RunProgress(),
        )


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_decay_spares_biases_and_norms(tmp_path: Path, kind: str) -> None:
    model = transformers.AutoModel.from_pretrained(make_checkpoint(tmp_path, kind, "base"))
    decayed, spared = make_optimizer(model, spec(weight_decay=0.3)).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert {names[id(value)] for value in spared["params"]} == {
        name for name in names.values() if name.endswith("bias") or "norm" in name.lower()
    }
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


@pytest.mark.parametrize(("kind", "head"), [("bert", "classifier"), ("gpt2", "causal_lm")])
def test_a_batch_in_parts_takes_the_same_step(tmp_path: Path, kind: str, head: str) -> None:
    """8 records at once and 4 parts of 2. Plain gradient descent: Adam would blow up what is zero but for rounding."""
    folder = make_checkpoint(tmp_path, kind, head)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = [row["text"] for row in opinions(8, seed=0)]
    objective = classification() if head == "classifier" else causal_lm()
    records = with_classes(encode_records(tokenizer, texts, None, 64, segments=False).records, [0, 1] * 4)
    auto = getattr(transformers, {"causal_lm": "AutoModelForCausalLM"}.get(head, "AutoModelForSequenceClassification"))
    found: list[tuple[float, dict[str, torch.Tensor]]] = []
    for parts in (1, 4):
        auto = (
            transformers.AutoModelForCausalLM
            if head == "causal_lm"
            else transformers.AutoModelForSequenceClassification
        )
        model = auto.from_pretrained(folder).eval()
        batch = Collator(objective.add_labels, padding_values(tokenizer), parts=parts, pad_left=False)(records)
        assert len(batch) == parts
        engine = PlainEngine(Accelerator(cpu=True), objective.losses, max_grad_norm=0.5)
        engine.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0), [batch])
        found.append((engine.step(batch), model.state_dict()))
    (loss, whole), (loss_of_parts, parted) = found
    start = auto.from_pretrained(folder).state_dict()
    assert loss_of_parts == pytest.approx(loss, rel=1e-6)
    assert max(float((whole[name] - start[name]).abs().max()) for name in whole) > 1e-2
    assert all(torch.allclose(whole[name], parted[name], atol=1e-6) for name in whole)
