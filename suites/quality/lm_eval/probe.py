"""quality/lm_eval: any task of EleutherAI's lm-evaluation-harness by name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, field_validator

from harness.api.case import Case, make_cases
from harness.api.declared import Named, declared_values, measure_declared, named_metrics
from harness.api.metrics import Better, Metric, RowValues
from harness.api.needs import Need, any_of
from harness.api.probe import About, Plan, Probe, ProbeParams, RowDict, error_row, ok_row
from harness.api.scorer import Scorer
from harness.errors import NoDataError, UsageError
from suites.framing import require_start
from suites.quality.lm_eval.chat import Rendered, render_all
from suites.quality.lm_eval.metrics import COLUMNS, STANDARD, found_in, named_metric
from suites.quality.lm_eval.reading import Asked, Reader, UnreadableError, unknown_settings
from suites.quality.lm_eval.rows import Document, LmEvalRow, columns_of, key_of
from suites.quality.lm_eval.tasks import Loaded, Wanted, as_lm_eval, load_tasks, names_of


class LmEvalParams(ProbeParams):
    """Settings."""

    task: tuple[str, ...] = Field(default=(), description="task, group or tag of lm-eval by name, or a list of them")
    num_fewshot: int | None = Field(
        default=None, ge=0, description="solved examples before each question; default: the task's own number"
    )
    include_path: str | None = Field(default=None, description="folder of task files of your own, searched first")
    limit: int | None = Field(
        default=None, ge=1, description="only the first so many documents of each task, as lm_eval --limit"
    )
    chat: bool = Field(
        default=False, description="ask through the checkpoint's own chat template, examples as turns before"
    )
    max_length: int | None = Field(
        default=None, ge=2, description="tokens read at once; default: what the model can. Prompts are cut on the left"
    )

    @field_validator("task", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class LmEval(Probe[LmEvalParams]):
    """Tasks of lm-eval, asked through the scorer: its documents, prompts and judgement, our intervals and gates."""

    name = "quality/lm_eval"
    about = About(
        summary="Any task of EleutherAI's lm-evaluation-harness by name, with the value that lm_eval itself gives",
        paper="Gao et al., A framework for few-shot language model evaluation (lm-evaluation-harness); each task's own",
        cannot_tell="whether the checkpoint was trained on the task; a value compares only with one of the same "
        "version of task and lm-eval and as many examples, with the chat template or without",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    metrics = STANDARD
    nothing = "no document could be measured"
    Params = LmEvalParams
    Row = LmEvalRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per document, with lm-eval's requests."""
        if not self.params.task:
            raise NoDataError("quality/lm_eval: no task is named; give params: {task: NAME}, e.g. hellaswag")
        require_start(plan.checkpoint)
        limit, size = self.params.max_length, plan.checkpoint.max_tokens
        if limit is not None and limit > size:
            raise UsageError(f"quality/lm_eval: max_length {limit} is more than the {size} tokens of the model")
        loaded = self._loaded(code_allowed=plan.checkpoint.permissions.task_code)
        return make_cases(
            _case_of(name, mine) for name, documents in loaded.instances.items() for mine in documents.values()
        )

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per document; all requests of all documents go to the scorer together."""
        loaded = self._loaded(code_allowed=scorer.info.permissions.task_code)
        reader = Reader(scorer, self.params.max_length or scorer.max_tokens)
        rendered = render_all(scorer, _prompts(cases)) if self.params.chat else {}
        asked: dict[str, _Asked | str] = {case.id: _asked(reader, case, rendered) for case in cases}
        answers = iter(scorer.ask([request for case in cases for request in _requests(asked[case.id])]))
        answered: dict[str, list[tuple[Case, Document]]] = {}
        for case in cases:
            mine = asked[case.id]
            found = mine if isinstance(mine, str) else _document(reader, loaded, case, mine, answers)
            if isinstance(found, str):
                yield error_row(case, found)
            else:
                answered.setdefault(case.data["task"], []).append((case, found))
        for documents in answered.values():
            with as_lm_eval():
                columns = list(columns_of([document for _, document in documents], loaded.means, len(loaded.tasks)))
            for (case, _), made in zip(documents, columns, strict=True):
                yield error_row(case, made) if isinstance(made, str) else ok_row(case, **made)

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        """Metrics from rows alone, those that only this task has too."""
        return measure_declared(self._declared_in(rows), rows, self.why_nothing(rows))

    def row_values(self, rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
        """What each row adds to a metric of a slice."""
        return declared_values(self._declared_in(rows), rows, metric, part)

    def value_columns(self, metrics: Any) -> tuple[str, ...]:
        """Columns that make any of them."""
        return ("case_id", "status", *COLUMNS)

    def named(self) -> dict[str, Named]:
        """Metrics that lm-eval computes itself, and those of the tasks where this process has read them."""
        return {**named_metrics(self.metrics), **_NAMED.get(self.params.task, {})}

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read: every request with its whole prompt, and 100 written for each that is generated."""
        requests = [(kind, args) for case in cases for kind, args in case.data["requests"]]
        read = sum(len(part) for _, args in requests for part in args if isinstance(part, str)) // 4
        written = sum(1 for kind, _ in requests if kind == "generate_until")
        return int(read + 100 * written)

    def _declared_in(self, rows: pd.DataFrame) -> tuple[Any, ...]:
        return (*self.metrics, *found_in(rows[rows["status"] == "ok"], list(named_metrics(self.metrics))))

    def _loaded(self, *, code_allowed: bool) -> Loaded:
        folders = () if self.params.include_path is None else (Path(self.params.include_path).expanduser(),)
        params = self.params
        wanted = Wanted(params.task, folders, params.num_fewshot, params.limit, code_allowed, params.chat)
        loaded = load_tasks(wanted)
        betters = {None: Better.NEITHER, True: Better.HIGHER, False: Better.LOWER}
        _NAMED[params.task] = {
            key_of(name, "none"): named_metric(key_of(name, "none"), betters[higher])
            for name, higher in names_of(loaded)
        }
        return loaded


_NAMED: dict[tuple[str, ...], dict[str, Named]] = {}
"""Metrics of tasks that this process has read; only hints of plans hang on them."""


def _case_of(task: str, instances: Sequence[Any]) -> dict[str, Any]:
    """A document as case: its place, and its requests as lm-eval writes them. Raises NoDataError."""
    for instance in instances:
        strange = unknown_settings(instance.args[1]) if instance.request_type == "generate_until" else []
        if strange:
            raise NoDataError(
                f"quality/lm_eval: {task} is not supported: it generates with {', '.join(strange)}; choose another task"
            )
    requests = [[instance.request_type, list(instance.args)] for instance in instances]
    return {"task": task, "document": instances[0].doc_id, "repeats": instances[0].repeats or 1, "requests": requests}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for a document, one for each of its requests, and how its prompts were made of conversations."""

    each: list[Asked]
    chat: str


def _prompts(cases: Sequence[Case]) -> Iterator[str]:
    """Contexts of all requests that have one."""
    return (args[0] for case in cases for kind, args in case.data["requests"] if kind != "loglikelihood_rolling")


def _asked(reader: Reader, case: Case, rendered: Mapping[str, Rendered]) -> _Asked | str:
    """What to ask for a document, or why it cannot be asked."""
    seed = zlib.crc32(case.id.encode())
    found, hows = [], {""}
    try:
        for kind, args in case.data["requests"]:
            prompt = rendered.get(args[0], Rendered(args[0]))
            if prompt.error is not None:
                return prompt.error
            hows.add(prompt.how)
            found.append(reader.asked(kind, [prompt.text, *args[1:]], seed, case.data["repeats"]))
    except UnreadableError as error:
        return str(error)
    return _Asked(found, max(hows, key=len))


def _requests(asked: _Asked | str) -> list[Any]:
    return [] if isinstance(asked, str) else [request for each in asked.each for request in each.requests]


def _document(reader: Reader, loaded: Loaded, case: Case, asked: _Asked, answers: Iterator[Any]) -> Document | str:
    """The document with its answers, or why it has none."""
    from lm_eval.api.instance import Instance

    task, place = loaded.tasks[case.data["task"]], int(case.data["document"])
    mine = [[next(answers) for _ in each.requests] for each in asked.each]
    planned = loaded.instances[case.data["task"]].get(place, ())
    if [[each.request_type, list(each.args)] for each in planned] != case.data["requests"]:
        return "the task's data are others than those that were planned"
    instances = []
    for each, got, was in zip(asked.each, mine, planned, strict=True):
        try:
            responses = reader.answer(each, got)
        except UnreadableError as error:
            return str(error)
        if was.request_type != "generate_until":
            responses = responses * case.data["repeats"]
        instances.append(Instance(was.request_type, was.doc, was.arguments, was.idx, was.metadata, responses))
    own = "" if task.VERSION in (None, "Yaml") else f" version {task.VERSION}"  # "Yaml" is lm-eval's word for none
    version = f"{case.data['task']}{own}, lm-eval {loaded.version}"
    return Document(task, instances, sum(each.truncated for each in asked.each), version, asked.chat)
