"""`assay train --plan`: the numbers of the run to come, its refusals, and nothing spent or written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml

from harness.cli import main
from harness.errors import AssayError, UsageError
from privacy.accounting import calibrate_mechanism, claim
from privacy.ledger import LedgerError
from privacy.planning import TrainPlan, plan_text, plan_training
from privacy.planning.advice import ENOUGH, likely_best
from privacy.planning.modes import ModeOutlook, count_trained, trained_weights
from privacy.training import TrainResult, TrainSpec, train
from privacy.training.models.load import load_trainable, load_whole
from privacy.training.private import guarantee
from privacy.training.private.session import LEDGER_NAME, session_folder
from privacy.training.settings.spec import MODES, Mode
from privacy.training.train import ready
from tests.privacy.claim_cases import genuine
from tests.privacy.toys import make_base, make_spec

PRIVATE: dict[str, Any] = {"privacy": {"epsilon": 8}, "label_names": ("negative", "positive")}


@pytest.fixture(scope="module", autouse=True)
def quick_accounting() -> Iterator[None]:
    """The same mechanism is accounted once in this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarantee, "calibrate_mechanism", cache(calibrate_mechanism))
        patch.setattr(guarantee, "claim", cache(claim))
        yield


@pytest.fixture(autouse=True)
def features(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where features of records would be kept; every checkpoint is staged beside it while it is loaded."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ASSAY_CACHE", str(folder))
    return folder / "features"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "base")


def planned(spec: TrainSpec, **options: Any) -> TrainPlan:
    made = plan_training(spec, **options)
    assert isinstance(made, TrainPlan)
    return made


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path with its size and time of change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize("fields", [{"mode": "head"}, {"lora": {"rank": 2}}, {"privacy": None, "mode": "head"}])
def test_nothing_is_written(base: Path, tmp_path: Path, features: Path, fields: dict[str, Any]) -> None:
    spec = make_spec(tmp_path, base, output=tmp_path / "new" / "trained", **{**PRIVATE, **fields})
    before = tree(tmp_path)
    plan = planned(spec)
    assert tree(tmp_path) == before
    assert not spec.output.parent.exists()
    assert not features.exists()
    assert plan.cost.seconds > 0
    assert plan.cost.memory > 0


def test_a_plan_has_the_numbers_of_the_run(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, **PRIVATE)
    plan = planned(spec)
    train(spec)
    run = genuine(spec.output)
    assert plan.claim is not None
    for name in ("epsilon", "delta", "noise_multiplier", "steps", "sample_rate", "unit", "neighbours", "outside"):
        assert getattr(plan.claim, name) == getattr(run, name), name
    assert (plan.steps, plan.done, plan.records) == (run.steps, 0, 64)


def test_what_privacy_fills_in_is_shown(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, mode="head", **PRIVATE)  # it gives batch size, rate and epochs itself
    assert planned(spec).filled == {
        "accumulation": 1,
        "averaging": "last",
        "optimizer": "sgd",
        "schedule": "constant",
        "warmup_ratio": 0.0,
        "weight_decay": 0.0,
        "privacy.max_grad_norm": 1.0,
    }


def test_without_privacy_there_are_steps_time_and_memory(base: Path, tmp_path: Path) -> None:
    plan = planned(make_spec(tmp_path, base, epochs=3, batch_size=10))
    assert (plan.steps, plan.claim, plan.modes) == (21, None, ())
    assert plan.cost.seconds > 21 * plan.cost.step > 0
    text = plan_text(plan)
    assert "21, of 10 records each: 3 epochs" in text
    assert "epsilon" not in text


def test_each_mode_trains_what_a_training_of_it_would(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, **PRIVATE)
    job = ready(spec)
    assert not isinstance(job, TrainResult)
    whole = load_whole(job.spec, job.base, job.data, job.limit)
    counts = count_trained(spec, whole)
    assert set(counts) == set(MODES) == set(get_args(Mode))
    for mode in MODES:
        model, _ = load_trainable(spec.with_mode(mode), job.base, job.data, job.limit)
        assert counts[mode] == trained_weights(model), mode
    assert all(value.requires_grad for value in whole.model.parameters())
    assert not any("lora" in name for name, _ in whole.model.named_parameters())


def test_a_mode_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    start = make_base(tmp_path / "gpt", "gpt2", "causal_lm")
    plan = planned(make_spec(tmp_path, start, task="causal_lm", lora={"rank": 2}, privacy={"epsilon": 8}))
    (head,) = (each for each in plan.modes if each.mode == "head")
    assert head.trained is None
    assert "the task is causal_lm; choose lora" in head.why_not
    assert "head: mode head trains the last layer of a classifier" in " ".join(plan_text(plan).split())


def banded_sum(bands: int, steps: int) -> float:
    """Deviation of the sum of correlated noise over that of independent noise, by the whole matrices."""
    column = [math.prod((2 * place - 1) / (2 * place) for place in range(1, at + 1)) for at in range(bands)]
    matrix = sum(value * np.eye(steps, k=-at) for at, value in enumerate(column))
    noise = np.ones(steps) @ np.linalg.inv(matrix) * np.linalg.norm(column)
    return float(np.linalg.norm(noise) / math.sqrt(steps))


def test_signal_is_the_longest_sum_over_the_noise_drawn() -> None:
    """Against a draw: 50 gradients of norm 0.1 along one line, and noise on 40,000 weights."""
    noise = torch.randn(40_000, generator=torch.Generator().manual_seed(0)) * (1.3 * 0.1)
    direction = torch.ones(40_000) / 200
    total = sum((0.1 * direction for _ in range(50)), torch.zeros(40_000))
    outlook = ModeOutlook("full", 40_000, 50, 9, 1.3)
    assert outlook.signal == pytest.approx(float(total.norm() / noise.norm()), rel=0.01)
    assert outlook.signal_of_all == pytest.approx(3 * 50 / (1.3 * 200))
    assert outlook.signal is not None
    correlated = ModeOutlook("full", 40_000, 50, 9, 1.3, bands=3)
    assert correlated.signal == outlook.signal
    assert correlated.signal_of_all == pytest.approx(3 * outlook.signal / banded_sum(3, 9), rel=1e-9)
    assert ModeOutlook("full", 10, 5, 2, 0.0).signal is None


@pytest.mark.parametrize(
    ("task", "units", "epsilon", "best"),
    [
        ("classification", 6_920, 8.0, ("head",)),
        ("classification", 67_349, 8.0, ("lora", "full")),
        ("classification", ENOUGH, 1.0, ("lora", "full")),
        ("classification", ENOUGH, 0.999, ("head",)),
        ("causal_lm", 1_000, 8.0, ("lora",)),
        ("classification", 6_920, math.inf, ()),
    ],
)
def test_rule_of_thumb(task: Any, units: int, epsilon: float, best: tuple[str, ...]) -> None:
    assert likely_best(task, units, epsilon, MODES) == best


def test_the_rule_names_only_what_can_be_had() -> None:
    assert likely_best("causal_lm", 100, 1.0, ("bitfit", "full")) == ("bitfit",)
    assert likely_best("classification", 10, 8.0, MODES[-1:]) == ()


def _taken(folder: Path, base: Path) -> TrainSpec:
    (folder / "trained").mkdir()
    return make_spec(folder, base, **PRIVATE)


def _after_plain(folder: Path, base: Path) -> TrainSpec:
    plain = make_spec(folder, base, output=folder / "plain", epochs=1)
    train(plain)
    return make_spec(folder, folder / "plain", **PRIVATE)


REFUSED: dict[str, Callable[[Path, Path], TrainSpec]] = {
    "taken": _taken,
    "trained without privacy before": _after_plain,
    "no class names": lambda folder, base: make_spec(folder, base, privacy={"epsilon": 8}),
    "batch": lambda folder, base: make_spec(folder, base, **{**PRIVATE, "batch_size": 65}),
    "delta": lambda folder, base: make_spec(folder, base, **{**PRIVATE, "privacy": {"epsilon": 8, "delta": 0.5}}),
    "engine": lambda folder, base: make_spec(
        folder, base, **{**PRIVATE, "privacy": {"epsilon": 8, "engine": "opacus-ghost", "clipping": "automatic"}}
    ),
    "total": lambda folder, base: make_spec(folder, base, **{**PRIVATE, "privacy": {"epsilon": 8, "total_epsilon": 5}}),
    "layers": lambda folder, base: make_spec(folder, base, mode="last-layers", last_layers=99, **PRIVATE),
    "file in the way": lambda folder, base: make_spec(folder, base, output=folder / "train.jsonl" / "x", **PRIVATE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_refuses_as_the_run_does(base: Path, tmp_path: Path, case: str) -> None:
    spec = REFUSED[case](tmp_path, base)
    before = tree(tmp_path)
    with pytest.raises(AssayError) as planning:
        plan_training(spec)
    assert tree(tmp_path) == before
    with pytest.raises(AssayError) as running:
        train(spec)
    assert str(planning.value) == str(running.value)
    assert type(planning.value) is type(running.value)


def interrupted(spec: TrainSpec, after: int) -> None:
    def stop(step: int, steps: int, loss: float) -> None:
        if step == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=stop)


def test_an_unfinished_run_is_planned_to_its_end(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, **PRIVATE)
    interrupted(spec, 5)
    other = make_spec(tmp_path, base, **{**PRIVATE, "learning_rate": 1.0})
    before = tree(tmp_path)
    plan = planned(spec)
    assert (plan.done, plan.steps) == (5, 32)
    assert "5 are spent by an unfinished run, which goes on" in " ".join(plan_text(plan).split())
    with pytest.raises(UsageError, match="5 steps of its budget spent, but its spec digest is not this one's"):
        plan_training(other)
    assert tree(tmp_path) == before
    assert (session_folder(spec.output) / LEDGER_NAME).exists()


def test_a_run_that_is_going_on_is_not_planned(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, **PRIVATE)
    refused: list[str] = []

    def during(step: int, steps: int, loss: float) -> None:
        if step == 3:
            with pytest.raises(LedgerError) as planning:
                plan_training(spec)
            refused.append(str(planning.value))

    train(spec, progress=during)
    assert len(refused) == 1
    assert re.search(r"privacy_ledger.jsonl: in use by process \d+ on .*; wait for it to end", refused[0])


def test_features_that_are_kept_are_not_read_again(base: Path, tmp_path: Path) -> None:
    first = make_spec(tmp_path, base, mode="head", epochs=1, **PRIVATE)
    assert planned(first).cost.reading > 0
    train(first)
    again = planned(first.model_copy(update={"output": tmp_path / "again"}))
    assert again.cost.reading == 0


def test_what_is_done_already_is_said(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, epochs=1)
    train(spec)
    made = plan_training(spec, if_missing=True)
    assert isinstance(made, TrainResult)
    assert made.sentence.endswith("nothing to do")


def test_on_the_command_line(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec(tmp_path, base, **{**PRIVATE, "privacy": None})
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_unset=True)))
    before = tree(tmp_path)
    monkeypatch.setattr("sys.argv", ["assay", "train", str(path), "--plan", "--privacy", "epsilon=8"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert tree(tmp_path) == before
    shown = capsys.readouterr().out
    said = " ".join(shown.split())
    for part in (
        *("32, of 8 records expected (sampling rate 0.125): 4 epochs", "epsilon <= 7.99", "for each record"),
        *("noise multiplier", "not covered: what its base had learnt", "signal a step", "Likely best at epsilon 8"),
        "nothing was trained, spent or written",
    ):
        assert part in said
    tall = [line for line in shown.splitlines() if len(line) > 80]
    assert tall == []


def test_several_processes_are_not_planned(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="--plan measures one process; start it without a launcher"):
        plan_training(make_spec(tmp_path, base))
