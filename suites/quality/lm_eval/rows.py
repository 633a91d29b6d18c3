"""Rows of documents: lm-eval's metrics of each as numbers that can be added up without lm-eval."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from pandera.typing import Series

from harness.api.columns import column, list_column
from harness.api.metrics import Better
from harness.api.probe import ProbeRow
from suites.quality.lm_eval.tasks import GroupMean

MEANS = ("mean", "nanmean", "brier_score", "perplexity", "weighted_perplexity", "bits_per_byte")
"""Aggregations of lm-eval that are a sum over a sum, finished."""
CORPUS = ("f1", "matthews_corrcoef", "bleu", "chrf", "chrf++", "ter", "median")
"""Those of whole sets of documents, which lm-eval's function is given again."""


class LmEvalRow(ProbeRow):
    """One row per document of a task."""

    task: Series[str] = column("the task")
    tasks: Series[int] = column("tasks that were asked for together", "tasks", ge=1, absent=1)
    document: Series[int] = column("place in the split that the task evaluates, from 0", ge=0)
    shots: Series[int] = column("solved examples before the question", "examples", ge=0)
    version: Series[str] = column("version of the task, and of lm-eval")
    truncated: Series[int] = column("tokens cut off the left of its requests", "tokens", ge=0)
    chat: Series[str] = column("how its prompt went through the chat template, '' where it did not", absent="")
    names: Series[object] = list_column("metrics that lm-eval gives the document, name or name.filter", of="string")
    values: Series[object] = list_column("what it adds to each above the line", of="double")
    weights: Series[object] = list_column("and below the line", of="double")
    items: Series[object] = list_column("as JSON for those of whole sets, else empty", of="string")
    aggregations: Series[object] = list_column("how lm-eval aggregates each over documents", of="string")
    betters: Series[object] = list_column("higher, lower or neither", of="string")
    groups: Series[object] = list_column(
        "means of groups it belongs to: group, metric, whether a task counts by its documents (documents, tasks), and "
        "how many tasks there are",
        of="string",
        depth=2,
    )
    loglikelihoods: Series[object] = list_column("of each request that is scored", "nats", of="double")
    texts: Series[object] = list_column("written for each request that is generated", of="string")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a task, answered: lm-eval's instances of it, with their responses."""

    task: Any
    instances: Sequence[Any]
    truncated: int
    version: str
    chat: str = ""


def columns_of(documents: Sequence[Document], means: Sequence[GroupMean], tasks: int) -> Iterator[dict[str, Any] | str]:
    """The columns of each document of one task of so many, or why it has none."""
    task = documents[0].task
    for ensemble in task._filters:
        ensemble.apply([instance for document in documents for instance in document.instances])
    aggregation, higher = _names_of_aggregations(task), task.higher_is_better()
    for document in documents:
        try:
            given = list(_given(document))
            entries = [_entry(*each, aggregation, higher) for each in given]
        except Exception as error:  # functions of a task can raise anything
            yield f"{task.task_name} could not judge the answer ({type(error).__name__}: {str(error)[:200]})"
            continue
        yield {
            **_about(document),
            "tasks": tasks,
            **{name: [entry[name] for entry in entries] for name in _ENTRY},
            "groups": _groups_of(task.task_name, given, means),
        }


def _given(document: Document) -> Iterator[tuple[str, str, Any]]:
    """Metric, filter and what lm-eval gives the document."""
    for name in document.instances[0].filtered_resps:
        responses = [instance.filtered_resps[name] for instance in document.instances]
        for metric, value in document.task.process_results(document.instances[0].doc, responses).items():
            yield str(metric), str(name), value


_ENTRY = ("names", "values", "weights", "items", "aggregations", "betters")


def key_of(metric: str, filter_name: str) -> str:
    """A metric's name here: letters that MLflow and policies take; `none` is lm-eval's word for no filter."""
    whole = metric if filter_name == "none" else f"{metric}.{filter_name}"
    return "".join(sign if sign.isalnum() or sign in "_.-" else "_" for sign in whole)


def _entry(
    metric: str, filter_name: str, value: Any, aggregation: Mapping[str, str], higher: Mapping[str, Any]
) -> dict[str, Any]:
    how = aggregation.get(metric, "mean")  # as lm-eval does where a task names none
    above, below, item = _parts(how, value)
    is_higher = higher.get(metric)
    better = Better.NEITHER if is_higher is None else Better.HIGHER if is_higher else Better.LOWER
    return {
        "names": key_of(metric, filter_name),
        "values": above,
        "weights": below,
        "items": item,
        "aggregations": how,
        "betters": str(better),
    }


def _parts(how: str, value: Any) -> tuple[float, float, str]:
    """What a value adds above and below the line, and the whole of it where that is no number."""
    if how == "perplexity":
        return -float(value), 1.0, ""
    if how in ("weighted_perplexity", "bits_per_byte"):
        return -float(value[0]), float(value[1]), ""
    if how == "brier_score":
        label, chances = value
        truth = np.eye(len(chances))[label]
        return float(((np.asarray(chances) - truth) ** 2).sum()), 1.0, ""
    if how in MEANS and isinstance(value, Real | np.bool_):
        return float(value), 1.0, ""
    return float("nan"), 1.0, json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _names_of_aggregations(task: Any) -> dict[str, str]:
    """Name of each metric's aggregation; one that is a function of the task by its own name, in brackets."""
    from lm_eval.api.registry import AGGREGATION_REGISTRY

    known: dict[Callable[..., Any], str] = {function: name for name, function in AGGREGATION_REGISTRY.items()}
    return {
        str(metric): known.get(function, f"[{getattr(function, '__name__', 'function')}]")
        for metric, function in task.aggregation().items()
    }


def _groups_of(task: str, given: Sequence[tuple[str, str, Any]], means: Sequence[GroupMean]) -> list[list[str]]:
    return [
        [mean.group, key_of(metric, name), "documents" if mean.by_size else "tasks", str(mean.having.get(name, 0))]
        for mean in means
        for metric, name, _ in given
        if task in mean.tasks and mean.metric == metric and (mean.filters is None or name in mean.filters)
    ]


def _about(document: Document) -> dict[str, Any]:
    first = document.instances[0]
    responses = [response for instance in document.instances for response in instance.resps]
    return {
        "task": document.task.task_name,
        "document": int(first.doc_id),
        "shots": int(document.task.get_config("num_fewshot") or 0),
        "version": document.version,
        "truncated": document.truncated,
        "chat": document.chat,
        "loglikelihoods": [_likelihood(each) for each in responses if not isinstance(each, str)],
        "texts": [each for each in responses if isinstance(each, str)],
    }


def _likelihood(response: Any) -> float:
    return float(response[0] if isinstance(response, tuple) else response)
