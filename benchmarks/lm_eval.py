"""quality/lm_eval against lm_eval itself: eleven of its tasks on real records, a checkpoint in memory, one run.

Both sides read the task files, build the prompts, ask the model and aggregate; which goes first alternates from task to
task. The benchmark fails where a value or a log-likelihood differs. What a task gave is kept by number of documents and
versions in checkpoints/bench/lm_eval, so that a run that was stopped goes on; delete the folder to measure again.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from benchmarks.data import data_file
from benchmarks.lm_eval_tasks import write_tasks
from benchmarks.report import Cell
from benchmarks.scorer import SMOLLM2
from benchmarks.timing import seconds
from harness.api.metrics import Metric
from harness.api.probe import Plan
from harness.base.files import write_text
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.errors import AssayError, UsageError
from harness.scorer.hf import HFScorer
from suites.quality.lm_eval.probe import LmEval, LmEvalParams

PEERS = ("lm_eval",)
LIGHT = ("winogrande", "arc_challenge", "lambada_openai", "piqa", "hellaswag", "boolq", "arc_easy", "wikitext")
HEAVY = ("gsm8k", "truthfulqa_mc1", "truthfulqa_mc2")
"""Long prompts before many choices, and hundreds of tokens that are written."""
DOCUMENTS = 40
"""Of each task on SmolLM2-135M: about 15 minutes of one core for both sides, a third of it TruthfulQA."""
LIMITS: Mapping[str, Mapping[str, int]] = {
    "stories260K": {**dict.fromkeys(LIGHT, 24), **dict.fromkeys(HEAVY, 4), "wikitext": 4},
    "SmolLM2-135M": {**dict.fromkeys((*LIGHT, *HEAVY), DOCUMENTS), "wikitext": 2, "gsm8k": 10},
}
"""Documents of each task by model, the light tasks first; a page of WikiText-2 is thousands of tokens, and so are the
texts that ten problems of GSM8K have written."""
MINUTES = 40
"""No task is begun after so many, so that a busy machine ends too; what is left out has no cell until the next run."""
KEPT = Path("checkpoints/bench/lm_eval")
SHOTS: Mapping[str, int] = {"gsm8k": 2, "piqa": 2}
"""Where it is not the task's own number: five solved problems of GSM8K are 1,000 tokens a prompt."""
MAX_LENGTH = 1024
"""Tokens read at once on both sides, so that pages of WikiText-2 take several windows."""
PEER_BATCH = 8
TOLERANCE = 1e-3
"""Nats on the log-likelihood of a continuation, of a page per word: lm-eval adds up tokens in float32, we in float64.
With `softmax_dtype="float64"`, which slows it, it differs by less than 1e-4 (tests/suites/quality/lm_eval)."""


@dataclass(frozen=True, slots=True)
class Both:
    """What the two sides found, and the seconds they took."""

    rows: pd.DataFrame
    metrics: list[Metric]
    peer: Any
    seconds: tuple[float, float]
    cpu: tuple[float, float]
    """The same in seconds of this process, which other work on the machine does not lengthen."""


def run() -> list[Cell]:
    """A cell for each value, and for the seconds, of each task."""
    try:
        import lm_eval.models.huggingface  # noqa: F401
    except ImportError as error:
        raise UsageError("this benchmark needs lm-eval; install with pip install -e '.[bench]'") from error
    sources = {"stories260K": str(data_file("model_stories260k/config.json").parent), "SmolLM2-135M": SMOLLM2}
    cells: list[Cell] = []
    end = time.monotonic() + 60 * MINUTES
    for name, limits in LIMITS.items():
        kept = {task: _kept(name, task, limit) for task, limit in limits.items()}
        todo = [task for task, path in kept.items() if not path.is_file()]
        if todo and time.monotonic() < end:
            loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=sources[name])), dtype="fp32")
            with tempfile.TemporaryDirectory() as folder, _quiet():
                tasks = write_tasks(Path(folder), limits)
                for number, task in enumerate(todo):
                    if time.monotonic() < end:
                        both = compare(loaded, tasks, task, ours_first=number % 2 == 0)
                        _keep(kept[task], list(_cells(f"{name}, {task}", task, both)))
        cells += [cell for path in kept.values() if path.is_file() for cell in _read(path)]
    return cells


def _kept(model: str, task: str, documents: int) -> Path:
    """Where a task's cells lie."""
    versions = "-".join(f"{package}{version(package)}" for package in ("lm-eval", "torch"))
    return KEPT / f"{model}-{task}-{documents}-{versions}.json"


def _keep(path: Path, cells: list[Cell]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps([{field: getattr(cell, field) for field in Cell.__slots__} for cell in cells]))


def _read(path: Path) -> list[Cell]:
    return [Cell(**cell) for cell in json.loads(path.read_text(encoding="utf-8"))]


def compare(loaded: LoadedCheckpoint, tasks: Path, task: str, *, ours_first: bool = True, **settings: Any) -> Both:
    """One task on both sides; `settings` are further ones of lm-eval's model class."""
    found: dict[str, Any] = {}
    sides = [
        lambda: found.update(ours=_ours(loaded, tasks, task)),
        lambda: found.update(peer=_peer(loaded, tasks, task, **settings)),
    ]
    taken, cpu = [0.0, 0.0], [0.0, 0.0]
    for at in (0, 1) if ours_first else (1, 0):
        before = time.process_time()
        taken[at] = seconds(sides[at])
        cpu[at] = time.process_time() - before
    rows, metrics = found["ours"]
    return Both(rows, metrics, found["peer"], (taken[0], taken[1]), (cpu[0], cpu[1]))


def _ours(loaded: LoadedCheckpoint, tasks: Path, task: str) -> tuple[pd.DataFrame, list[Metric]]:
    params = {"task": f"local_{task}", "include_path": str(tasks), "num_fewshot": SHOTS.get(task)}
    probe = LmEval(LmEvalParams.model_validate({**params, "max_length": _length(loaded)}))
    cases = probe.cases(Plan(loaded.info, 0))
    rows = pd.DataFrame(list(probe.run(HFScorer(loaded), cases)))
    return rows, probe.measure(rows)


def _peer(loaded: LoadedCheckpoint, tasks: Path, task: str, **settings: Any) -> Any:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    settings = {"batch_size": PEER_BATCH, "max_length": _length(loaded), "device": "cpu", **settings}
    model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, **settings)
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    about_the_machine = ("add_env_info", "get_git_commit_hash")  # seconds of subprocesses, which say nothing here
    with ExitStack() as without:
        for name in about_the_machine:
            without.enter_context(patch(f"lm_eval.evaluator.{name}"))
        return lm_eval.simple_evaluate(
            model=model,
            tasks=[f"local_{task}"],
            num_fewshot=SHOTS.get(task),
            task_manager=manager,
            bootstrap_iters=0,
        )


def _length(loaded: LoadedCheckpoint) -> int:
    return min(MAX_LENGTH, loaded.info.max_tokens)


def values_of(task: str, both: Both) -> dict[str, tuple[Metric, float]]:
    """Our metric and the peer's value by name. Raises AssayError where one side has a metric that the other has not."""
    given = both.peer["results"][f"local_{task}"]
    keys = {key.replace(",none", "").replace(",", "."): value for key, value in given.items() if "," in key}
    theirs = {key: float(value) for key, value in keys.items() if not key.partition(".")[0].endswith("_stderr")}
    ours = {metric.key: metric for metric in both.metrics if not metric.slice}
    if set(ours) != set(theirs):
        raise AssayError(f"{task}: our metrics are {sorted(ours)}, lm-eval's {sorted(theirs)}")
    return {key: (ours[key], theirs[key]) for key in theirs}


def largest_difference(task: str, both: Both) -> float:
    """Largest difference of a log-likelihood, in nats per word for whole pages; texts differ by infinity or 0."""
    samples = both.peer["samples"][f"local_{task}"]
    of_document = both.rows.set_index("document")
    largest = 0.0
    for sample in samples:
        row = of_document.loc[sample["doc_id"]]
        answers = [each for mine in sample["resps"] for each in mine]
        if isinstance(answers[0], str):
            largest = max(largest, 0.0 if list(row["texts"]) == answers else float("inf"))
            continue
        pages = not isinstance(answers[0], tuple)
        theirs = [each if pages else each[0] for each in answers]
        size = max(1.0, row["weights"][0]) if pages else 1.0
        pairs = zip(row["loglikelihoods"], theirs, strict=True)
        largest = max(largest, *(abs(ours - other) / size for ours, other in pairs))
    return largest


def _cells(case: str, task: str, both: Both) -> Iterator[Cell]:
    difference = largest_difference(task, both)
    if difference > TOLERANCE:
        raise AssayError(f"{case}: answers differ by {difference:.2g} nats, over {TOLERANCE:g}")
    about = {"documents": len(both.rows), "max_abs_difference": float(f"{difference:.2g}")}
    for key, (metric, theirs) in values_of(task, both).items():
        assert metric.value is not None
        if abs(metric.value - theirs) > 1e-4 * max(1.0, abs(theirs)):
            raise AssayError(f"{case}: {key} is {metric.value}, lm-eval's {theirs}")
        ends = {"low": metric.low, "high": metric.high}
        yield Cell(f"{case}: {key}", metric.value, theirs, target=1.0, extra={**about, **ends})
    wall = {"wall": [float(f"{each:.4g}") for each in both.seconds]}
    yield Cell(f"{case}: CPU seconds", *both.cpu, lower_is_better=True, extra={**about, **wall})


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the peer's warnings out of the table."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
