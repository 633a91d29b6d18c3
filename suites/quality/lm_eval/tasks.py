"""Tasks as lm-eval builds them: looked up by name, checked, and seeded as its own evaluator does."""

from __future__ import annotations

import io
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.sandbox import SandboxedEnvironment

from harness.base.hints import did_you_mean
from harness.errors import AssayError, NoDataError, UsageError
from suites.quality.lm_eval.chat import as_prompt
from suites.quality.lm_eval.task_files import check_task, check_user_files

PYTHON_SEED, OTHER_SEED = 0, 1234
"""What lm-eval's evaluator seeds `random`, and numpy, torch and the draw of examples with (lm_eval/defaults.py)."""


@dataclass(frozen=True, slots=True)
class GroupMean:
    """A metric of a group: the mean over its tasks, each weighing as many documents as it has, or the same."""

    group: str
    tasks: frozenset[str]
    metric: str
    filters: frozenset[str] | None
    """None: every filter."""
    by_size: bool
    having: Mapping[str, int]
    """How many of the tasks give the metric, by filter."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Tasks by name, the groups they were asked for by, and the version of lm-eval."""

    tasks: Mapping[str, Any]
    """lm_eval.api.task.Task"""
    instances: Mapping[str, Mapping[int, Sequence[Any]]]
    """Requests of each document (lm_eval.api.instance.Instance), by task and place."""
    means: tuple[GroupMean, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks, and how they are asked."""

    names: tuple[str, ...]
    include: tuple[Path, ...] = ()
    shots: int | None = None
    limit: int | None = None
    code_allowed: bool = False
    chat: bool = False


@lru_cache(maxsize=4)
def load_tasks(wanted: Wanted) -> Loaded:
    """The tasks and their requests, built in one go, as some draw from the random state that lm-eval begins with.

    Raises UsageError for a name that is none, NoDataError where data or lm-eval are not here.
    """
    try:
        import lm_eval.tasks as library
    except ImportError as error:
        raise NoDataError("quality/lm_eval needs lm-eval; install it with: pip install 'assay[lm-eval]'") from error
    package = Path(library.__file__).resolve().parent
    check_user_files(wanted.include, package, code_allowed=wanted.code_allowed)
    with as_lm_eval():
        manager = _manager(library, wanted)
        for name in wanted.names:
            for task, config in _leaves(manager.task_index, name, {}):
                check_task(task, config, _known_metrics())
        found = _load(manager, wanted)
        for task in found["tasks"].values():
            _settle(task, wanted.shots)
        instances = {name: _instances(task, wanted) for name, task in found["tasks"].items()}
    means = tuple(mean for group in found.get("groups", {}).values() for mean in _means(group))
    return Loaded(found["tasks"], instances, means, version("lm-eval"))


@contextmanager
def as_lm_eval() -> Iterator[None]:
    """Inside, lm-eval works as under its own evaluator, but quietly and with sandboxed templates.

    A template of a task file is Jinja, which reaches any Python object unless it is sandboxed. A metric that lm-eval
    does not know it would load as Python by its name, from a file or the hub.
    """
    from lm_eval import utils
    from lm_eval.api import task

    before, get_metric = utils.env, task.get_metric
    sandbox = SandboxedEnvironment(loader=before.loader, undefined=before.undefined, keep_trailing_newline=True)
    sandbox.filters.update(before.filters)
    utils.env, task.get_metric = sandbox, _own_metric
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with _seeded(), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
        utils.env, task.get_metric = before, get_metric


def _own_metric(name: Any, hf_evaluate_metric: bool = False) -> Any:  # lm-eval calls it so
    """A metric of lm-eval's own. Raises NoDataError for any other."""
    from lm_eval.api.registry import METRIC_REGISTRY

    if hf_evaluate_metric or name not in _known_metrics():
        raise NoDataError(
            f"quality/lm_eval: the metric {str(name)[:100]!r} is code that would be loaded by its name (hf_evaluate); "
            "choose another task, or a metric of lm-eval"
        )
    return METRIC_REGISTRY.get(name)


@contextmanager
def _seeded() -> Iterator[None]:
    """The random state that lm-eval's evaluator begins with; some tasks shuffle their choices with it."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(PYTHON_SEED)
        np.random.seed(OTHER_SEED)
        torch.manual_seed(OTHER_SEED)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _manager(library: Any, wanted: Wanted) -> Any:
    """An index of the user's own files where those hold all that is asked for, else of the library's too (6 s)."""
    include = [str(path) for path in wanted.include]
    if include:
        own = library.TaskManager(include_path=include, include_defaults=False)
        try:
            names = [leaf for name in wanted.names for leaf in _leaves(own.task_index, name, {})]
        except UsageError:
            names = []
        if names:
            return own
    return library.TaskManager(include_path=include or None)


def _leaves(index: Mapping[str, Any], name: str, over: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every task that a name stands for, with its settings. Raises UsageError for a name that is none."""
    entry = index.get(name)
    if entry is None:
        raise UsageError(f"quality/lm_eval: lm-eval knows no task {name!r}{did_you_mean(name, index)}")
    config = {**(entry.cfg or {}), **over}
    if entry.kind.name == "TAG":
        for each in sorted(entry.tags):
            yield from _leaves(index, each, over)
    elif entry.kind.name == "GROUP":
        inherited = {key: value for key, value in config.items() if key not in ("task", "group")}
        members = config.get("task") or []
        for member in members if isinstance(members, list) else [members]:
            yield from _members(index, member, inherited)
    else:
        yield name, config


def _members(index: Mapping[str, Any], member: Any, over: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(member, str):
        yield from _leaves(index, member, over)
        return
    name = str(member.get("group") or member.get("task"))
    own = {**over, **{key: value for key, value in member.items() if key not in ("task", "group")}}
    if name in index:
        yield from _leaves(index, name, own)
    elif "group" in member:
        for each in member.get("task") or []:
            yield from _members(index, each, own)
    else:
        yield name, own


def _known_metrics() -> tuple[str, ...]:
    import lm_eval.api.metrics  # noqa: F401
    from lm_eval.api.registry import METRIC_REGISTRY

    return tuple(METRIC_REGISTRY.keys())


def _load(manager: Any, wanted: Wanted) -> Any:
    try:
        return manager.load(list(wanted.names))
    except AssayError:
        raise
    except (ConnectionError, FileNotFoundError) as error:
        raise NoDataError(
            f"quality/lm_eval: the data of {', '.join(wanted.names)} are not here ({_first_line(error)}); they come "
            "from the hub under its own settings (HF_HOME, HF_TOKEN, HF_HUB_OFFLINE)"
        ) from error
    except Exception as error:  # a task can run a package's code, and raise anything
        raise NoDataError(
            f"quality/lm_eval: {', '.join(wanted.names)} cannot be read by lm-eval "
            f"({type(error).__name__}: {_first_line(error)}); check its data set and its fields"
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "no message")[:300]


def _settle(task: Any, shots: int | None) -> None:
    """Number and draw of examples, as lm-eval's evaluator settles them: a task that says 0 keeps 0."""
    own = task.get_config("num_fewshot")
    if own is None or (shots is not None and own != 0):
        task.set_config(key="num_fewshot", value=shots or 0)
    task.set_fewshot_seed(seed=OTHER_SEED)


def _means(group: Any) -> Iterator[GroupMean]:
    members = group.get_all_tasks()
    tasks = frozenset(task.task_name for task in members)
    for each in group.aggregate_metric_list or ():
        filters = None if each.filter_list is None else frozenset(each.filter_list)
        having = Counter(
            ensemble.name for task in members if each.metric in task.aggregation() for ensemble in task._filters
        )
        if each.aggregation == "mean":
            yield GroupMean(group.name, tasks, each.metric, filters, bool(each.weight_by_size), having)


def _instances(task: Any, wanted: Wanted) -> dict[int, Sequence[Any]]:
    """Requests of each document by its place, as lm-eval makes them of the first `limit` documents."""
    chat: dict[str, Any] = {}
    if wanted.chat:
        chat = {"apply_chat_template": True, "fewshot_as_multiturn": True, "chat_template": as_prompt}
    try:
        task.build_all_requests(limit=wanted.limit, **chat)
    except Exception as error:  # templates and functions of a task can raise anything
        raise NoDataError(
            f"quality/lm_eval: {task.task_name}: its documents give no requests ({type(error).__name__}: "
            f"{_first_line(error)}); check its templates and fields"
        ) from error
    documents: dict[int, list[Any]] = {}
    for instance in task.instances:
        documents.setdefault(instance.doc_id, []).append(instance)
    return {place: sorted(mine, key=lambda each: each.idx) for place, mine in sorted(documents.items())}


def names_of(loaded: Loaded) -> Sequence[tuple[str, bool | None]]:
    """Metrics that the tasks aggregate, with whether a higher one is better."""
    found: dict[str, bool | None] = {}
    for task in loaded.tasks.values():
        found |= {str(name): task.higher_is_better().get(name) for name in task.aggregation()}
    return list(found.items())
