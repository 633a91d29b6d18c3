"""What a task of lm-eval may be before any of it runs: files are read as YAML nodes, and nothing is built.

A task file can name Python (`!function`), and its templates are Jinja. Files of the installed lm-eval are a package's,
as trusted as its code; the user's own files may come from anywhere and run Python only where the user allows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.base.limits import YAML_BYTES, capped
from harness.base.regular import read_bounded
from harness.errors import NoDataError, UsageError

OUTPUTS = ("loglikelihood", "multiple_choice", "loglikelihood_rolling", "generate_until")
_FUNCTION = "!function"
_RUNS_CODE = frozenset({"pandas", "webdataset", "spark", "cache", "generator", "iceberg", "sql"})
"""Readers of `datasets` that unpickle what they read, or run a function, a class by its name, or a statement."""
_JUDGE = re.compile(r"^\s*(?:import|from)\s+(openai|anthropic|litellm)\b", re.MULTILINE)
"""Clients of models that are asked over the network."""


def check_user_files(folders: Sequence[Path], package: Path, *, code_allowed: bool) -> None:
    """Raises UsageError for a file that is no task file, or that runs Python without `code_allowed`."""
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"include_path: {folder} is no folder; name the folder that holds the task files")
        found = sorted(folder.glob("**/*.yaml"))
        if not found:
            raise UsageError(f"include_path: {folder} holds no .yaml file; name the folder that holds the task files")
        for path in found:
            _check_file(path, package, code_allowed, set())


def _check_file(path: Path, package: Path, code_allowed: bool, seen: set[Path]) -> None:
    path = path.resolve()
    if path in seen or path.is_relative_to(package):
        return
    seen.add(path)
    root = _root(path)
    for node in _nodes(root, set()):
        line = node.start_mark.line + 1
        if node.tag.startswith("!") and node.tag != _FUNCTION:
            raise UsageError(f"{path}, line {line}: the tag {node.tag[:60]!r} is none of a task file; take it out")
        if node.tag.startswith("tag:yaml.org,2002:python"):
            raise UsageError(f"{path}, line {line}: a tag makes a Python object; take it out")
        if node.tag == _FUNCTION and not code_allowed:
            raise UsageError(
                f"{path}, line {line}: !function runs Python, which only the command line allows: --allow-task-code; "
                "read the file and its code first"
            )
        for reader in _scalars(node, "dataset_path"):
            if reader in _RUNS_CODE and not code_allowed:
                raise UsageError(
                    f"{path}, line {line}: dataset_path {reader!r} can run code that the data hold; use json, csv, "
                    "parquet or text, or allow it on the command line: --allow-task-code"
                )
    # a merged mapping (<<) brings its include along, so every mapping counts
    for name in [name for node in _nodes(root, set()) for name in _scalars(node, "include")]:
        other = path.parent / name
        if _is_file(other):
            _check_file(other, package, code_allowed, seen)


def _is_file(path: Path) -> bool:
    """Whether a name from a file is one here; a name longer than names can be is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _root(path: Path) -> yaml.Node | None:
    content = read_bounded(path, capped(YAML_BYTES))
    try:
        return yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise UsageError(f"{path}: not YAML in UTF-8 ({first}); mend it or take it out of include_path") from error


def _nodes(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.Node]:
    """Every node once, whatever its aliases."""
    open_nodes = [] if node is None else [node]
    while open_nodes:
        each = open_nodes.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, yaml.MappingNode):
            open_nodes += [part for pair in each.value for part in pair]
        elif isinstance(each, yaml.SequenceNode):
            open_nodes += each.value


def _scalars(node: yaml.Node, key: str) -> list[str]:
    """What a mapping has under a key, or in the list there; all where the key comes twice, as YAML takes the last."""
    values = [value for name, value in node.value if name.value == key] if isinstance(node, yaml.MappingNode) else []
    parts = [part for value in values for part in (value.value if isinstance(value, yaml.SequenceNode) else [value])]
    return [part.value for part in parts if isinstance(part, yaml.ScalarNode)]


def check_task(name: str, config: Mapping[str, Any], metrics: Sequence[str]) -> None:
    """Raises NoDataError for a task that cannot be run here, by name and with the reason.

    Args:
        name: of the task.
        config: its settings, functions as the paths that name them.
        metrics: those that lm-eval itself computes.
    """
    for why in _unfit(config, metrics):
        raise NoDataError(f"quality/lm_eval: {name} is not supported: {why}; choose another task")


def _unfit(config: Mapping[str, Any], metrics: Sequence[str]) -> Iterator[str]:
    if config.get("unsafe_code"):
        yield "it runs the code that the model writes (unsafe_code)"
    if config.get("doc_to_image") is not None or config.get("doc_to_audio") is not None:
        yield "it shows the model images or sound"
    if config.get("use_prompt") is not None:
        yield "its prompts come from promptsource, whose templates are fetched"
    output = config.get("output_type", "generate_until")
    if "class" not in config and output not in OUTPUTS:
        yield f"its output_type {output!r} is none of {', '.join(OUTPUTS)}"
    own = config.get("process_results") is not None
    for each in config.get("metric_list") or ():
        metric = each.get("metric") if isinstance(each, Mapping) else None
        fetched = isinstance(metric, str) and not _is_function(metric) and not own
        if fetched and (each.get("hf_evaluate") is True or metric not in metrics):
            yield f"its metric {metric!r} is code that would be downloaded (hf_evaluate)"
    for path in sorted(_functions(config)):
        judge = _JUDGE.search(path.read_text(encoding="utf-8", errors="replace")) if _is_file(path) else None
        if judge:
            yield f"its answers are judged by another model over the network ({judge[1]})"


def _is_function(value: str) -> bool:
    """Whether a value is a function as lm-eval writes it unresolved: the folder of its file, and its name."""
    return value.startswith("/") or Path(value).is_absolute()


def _functions(value: Any) -> set[Path]:
    """Python files beside the task file that its settings name."""
    if isinstance(value, Mapping):
        return {path for each in value.values() for path in _functions(each)}
    if isinstance(value, list):
        return {path for each in value for path in _functions(each)}
    if isinstance(value, str) and len(value) < 1000 and "\n" not in value and _is_function(value):
        module = value.rpartition(".")[0]
        return {Path(f"{module}.py")} if module else set()
    return set()
