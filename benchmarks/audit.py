"""A whole audit's seconds against the bare model's on the same distinct requests, and where they go.

The peer is the model class called on padded batches, as somebody would write who wants only its numbers: transformers
loads the same files with nothing checked, the distinct texts (or token rows) that the audit asked about are tokenised,
sorted by length, padded and read, in the scorer's own batch sizes, which are the fastest known. Everything else that an
audit does is over this floor. Probes are those that only ask: attacks search, and have a benchmark of their own. One
process, one lane, in turns; both have their imports behind them, and the audit ran once before on a few cases.
What that one read of data files is forgotten.

Seconds are the processor's, of all processes, which other work on the machine stretches less than those of a clock: the
confined process that reads a checkpoint first is started for each audit, ends with it, and counts with what it forks.
Seconds by the clock, and of that process, stand beside the cells with loading.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers

from benchmarks.attack_sides import VICTIM
from benchmarks.report import Cell
from benchmarks.scorer import SMOLLM2
from benchmarks.timing import seconds
from harness.api.scorer import Request, TextRequest
from harness.audit import plan as planning
from harness.audit import run as running
from harness.audit.spec import AuditSpec
from harness.checkpoint.isolated import client as isolated
from harness.data import datasets
from harness.data.pypi import is_pypi, pypi_file
from harness.errors import AssayError, UsageError
from harness.executors import local
from harness.record.folder import AuditFolder
from harness.record.rows import RowStore
from harness.scorer.forward.batching import TokenBudget, run_batches
from harness.scorer.forward.memory import default_budget, default_padding
from harness.scorer.forward.pooled import PooledVectors
from harness.scorer.forward.positions import NeededPositions
from harness.scorer.hf import HFScorer
from harness.scorer.tokenization import texts as tokenising

PEERS = ("transformers",)
TARGET = 1.15
"""Times the bare model's seconds, at most."""
ROUNDS = 3
TOLERANCE = 1e-3
"""Of a logit or a log-likelihood per token, between the two."""
AUDITS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "MiniLM": (
        str(VICTIM),
        "AutoModelForSequenceClassification",
        [
            {"name": "quality/classification", "limit": 600},
            {"name": "bias/counterfactual", "limit": 60},
            {"name": "adversarial/typos", "limit": 10},
        ],
    ),
    "SmolLM2-135M": (
        SMOLLM2,
        "AutoModelForCausalLM",
        [{"name": "quality/perplexity", "limit": 2}, {"name": "bias/crows_pairs", "limit": 40}],
    ),
}
"""Name -> source, class that loads it, probes; half a minute of model each."""


@dataclass
class Stages:
    """Processor seconds by stage, each without those of the stages inside it."""

    seconds: dict[str, float] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block as a stage."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted as a stage."""

        @wraps(work)
        def inside(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return work(*args, **options)

        return inside

    def stepped(self, name: str, work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The generator function, each step of which counts."""

        @wraps(work)
        def inside(*args: Any, **options: Any) -> Iterator[Any]:
            steps, end = work(*args, **options), object()
            while True:
                with self.stage(name):
                    step = next(steps, end)
                if step is end:
                    return
                yield step

        return inside

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


_STAGES: tuple[tuple[Any, str, str], ...] = (
    (planning, "inspect_checkpoint", "load"),
    (running, "load_checkpoint", "load"),
    (planning, "load_dataset", "read data"),
    (planning, "make_plan", "plan"),
    (tokenising, "_call", "tokenise"),
    (HFScorer, "encode", "tokenise"),
    (PooledVectors, "_forward", "forward"),
    (NeededPositions, "score", "forward"),
    (HFScorer, "ask", "scorer besides"),
    (RowStore, "append", "write rows"),
    (running, "measure", "metrics"),
    (running, "first_verdict", "verdict"),
    (running, "write_reports", "reports"),
    (AuditFolder, "write_manifest", "manifest"),
)


def run() -> list[Cell]:
    """Seconds of each audit, once the model is loaded and whole."""
    if not VICTIM.is_dir():
        raise UsageError(f"{VICTIM}: no such checkpoint; `make audit` trains it")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [cell for name in AUDITS for cell in _cells(name)]
    finally:
        torch.set_num_threads(threads)


def _cells(name: str) -> list[Cell]:
    source, kind, probes = AUDITS[name]
    with tempfile.TemporaryDirectory() as folder:
        _audit(source, [{**probe, "limit": 2} for probe in probes], Path(folder))
        audits, bare = [], []
        for _ in range(ROUNDS):
            audits.append(_audit(source, probes, Path(folder)))
            bare.append(_bare(source, kind, audits[-1].asked))
    stages = {stage: round(median(audit.stages.get(stage, 0.0) for audit in audits), 3) for stage in audits[0].stages}
    extra = {
        "unit": "processor seconds",
        "requests": len(audits[0].asked),
        "stages": stages,
        "bare tokenise": round(median(each.tokenise for each in bare), 3),
        "bare forward": round(median(each.forward for each in bare), 3),
    }
    work = [sum(audit.stages.values()) - audit.stages["load"] for audit in audits]
    floor = [each.tokenise + each.forward for each in bare]
    return [
        Cell(f"{name}, loaded (processor s)", median(work), median(floor), TARGET, lower_is_better=True, extra=extra),
        Cell(
            f"{name}, with loading (processor s)",
            median(audit.processor for audit in audits),
            median(each.processor for each in bare),
            TARGET,
            lower_is_better=True,
            extra={
                "unit": "processor seconds",
                "confined process": round(median(audit.confined for audit in audits), 3),
                "by the clock": round(median(audit.whole for audit in audits), 2),
                "bare, by the clock": round(median(each.whole for each in bare), 2),
            },
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Audit:
    whole: float
    """Seconds by the clock."""
    processor: float
    """Processor seconds of all processes."""
    confined: float
    """Of these, the confined process and what it forked."""
    stages: dict[str, float]
    asked: dict[Request[Any], Any]
    """Distinct requests, and their answers."""


def _audit(source: str, probes: list[dict[str, Any]], folder: Path) -> _Audit:
    """One audit from spec to report, under a stopwatch."""
    spec = AuditSpec.model_validate({"checkpoint": source, "probes": probes, "output": str(folder), "dtype": "fp32"})
    stages = Stages()
    asked: dict[Request[Any], Any] = {}
    ask = HFScorer.ask

    def noted(scorer: HFScorer, requests: Sequence[Request[Any]]) -> list[Any]:
        answers = ask(scorer, requests)
        asked.update(zip(requests, answers, strict=True))
        return answers

    with ExitStack() as patched:
        patched.enter_context(patch.object(HFScorer, "ask", noted))
        for owner, attribute, stage in _STAGES:
            timed = stages.timed(stage, getattr(owner, attribute))
            patched.enter_context(patch.object(owner, attribute, timed))
        patched.enter_context(patch.object(local, "_rows", stages.stepped("probe", local._rows)))

        def work() -> None:
            with stages.stage("rest"):
                plan = planning.make_plan(spec)
                running.run_audit(plan, running.start_audit(plan))

        datasets.forget()
        own, children = _processor(resource.RUSAGE_SELF), _processor(resource.RUSAGE_CHILDREN)
        whole = seconds(work)
        isolated.stop()
    confined = _processor(resource.RUSAGE_CHILDREN) - children
    return _Audit(whole, _processor(resource.RUSAGE_SELF) - own + confined, confined, stages.seconds, asked)


def _processor(whose: int) -> float:
    """Seconds of the processor that this process, or children that have ended, took so far."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True, slots=True)
class _Bare:
    whole: float
    """Seconds by the clock, loading included."""
    processor: float
    """Processor seconds, loading included."""
    tokenise: float
    """Processor seconds, as the next."""
    forward: float


def _bare(source: str, kind: str, asked: dict[Request[Any], Any]) -> _Bare:
    """Seconds of the model alone on the requests. Raises AssayError where it says something else."""
    start, began = time.perf_counter(), time.process_time()
    path = pypi_file(source) if is_pypi(source) else Path(source)
    gguf = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    where = path.parent if gguf else path
    tokenizer = transformers.AutoTokenizer.from_pretrained(where, **gguf)
    model = getattr(transformers, kind).from_pretrained(where, dtype=torch.float32, **gguf).eval()
    loaded = time.process_time()
    rows = _rows(tokenizer, list(asked))
    tokenised = time.process_time()
    found = _forward(model, rows)
    ended, whole = time.process_time(), time.perf_counter() - start
    worst = max(_difference(found[row], asked[request]) for request, row in zip(asked, rows, strict=True))
    if worst > TOLERANCE:
        raise AssayError(f"{source}: the bare model's answers differ by {worst:.2g}")
    return _Bare(whole, ended - began, tokenised - loaded, ended - tokenised)


_Row = tuple[tuple[int, ...], int]
"""Token ids that are read, and how many of them precede the first one that is asked about (of texts 0)."""


def _rows(tokenizer: Any, asked: Sequence[Any]) -> list[_Row]:
    """What the model reads for each request."""
    texts = [request.text for request in asked if isinstance(request, TextRequest)]
    if texts:
        most = tokenizer.model_max_length
        return [(tuple(ids), 0) for ids in tokenizer(texts, truncation=True, max_length=most)["input_ids"]]
    return [(request.context + request.target, len(request.context)) for request in asked]


def _forward(model: Any, rows: Sequence[_Row]) -> dict[_Row, Any]:
    """Class logits of each distinct row, or the log-probability of each of its last tokens, in padded batches."""
    distinct = list(dict.fromkeys(rows))
    lengths = [len(ids) for ids, _ in distinct]
    causal = not hasattr(model, "num_labels") or hasattr(model, "lm_head")
    found: dict[_Row, Any] = {}

    def read(batch: list[int]) -> list[Any]:
        longest = max(lengths[row] for row in batch)
        ids = torch.tensor([distinct[row][0] + (0,) * (longest - lengths[row]) for row in batch])
        mask = torch.tensor([[1] * lengths[row] + [0] * (longest - lengths[row]) for row in batch])
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask).logits
            if not causal:
                return list(logits.double().numpy())
            chosen = logits[:, :-1].gather(2, ids[:, 1:, None])[..., 0] - logits[:, :-1].logsumexp(-1)
        return [chosen[at, distinct[row][1] - 1 : lengths[row] - 1].double().numpy() for at, row in enumerate(batch)]

    budget = TokenBudget(default_budget("cpu", model))
    for batch, numbers in run_batches(lengths, budget, read, lambda _: False, padding=default_padding("cpu", model)):
        assert numbers is not None
        found.update(zip((distinct[row] for row in batch), numbers, strict=True))
    return found


def _difference(bare: Any, answer: Any) -> float:
    ours = answer.logprobs if hasattr(answer, "logprobs") else answer.logits
    return float(np.abs(bare - ours).max()) if len(ours) else 0.0
