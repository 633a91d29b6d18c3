"""YAML as a spec needs it: bounded, no key twice, no word or number that turns into something else.

Scalars are read as by the core schema of YAML 1.2, not as by YAML 1.1: `off`, `yes`, `1:30`, `010` and dates stay the
text they are. Keys are text as written (`1`, `1.0` and `true` too). Tags
other than `!!str` are refused, merge keys (`<<`) are read.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, NoReturn

import yaml

from harness.base.limits import YAML_DEPTH, YAML_NODES, capped, to_raise

_TAG = "tag:yaml.org,2002:"
_INT, _FLOAT, _BOOL = f"{_TAG}int", f"{_TAG}float", f"{_TAG}bool"
_NULL, _MERGE, _STR = f"{_TAG}null", f"{_TAG}merge", f"{_TAG}str"
_LONGEST_NUMBER = 400
"""Characters: the longest float written out in full has 330; Python refuses integers beyond 4,300 digits."""
_RESOLVERS: tuple[tuple[str, str, str], ...] = (
    (_INT, r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)", "-+0123456789"),
    (_FLOAT, r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*\.[0-9]*)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    (_FLOAT, r"[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789"),
    (_FLOAT, r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_NULL, r"~|null|Null|NULL|", "~nN\0"),
    (_MERGE, r"<<", "<"),
)


class YamlError(ValueError):
    """What is wrong with a YAML text, and where: `line` and `column` count from 1, 0 where they are not known."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column


class _Loader(yaml.SafeLoader):
    """Composes nodes, and counts them with every alias written out, since that is what is walked afterwards."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 -- PyYAML's own name

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes, self._depth = 0, 0
        self._sizes: dict[int, int] = {}
        self._most, self._deepest = capped(YAML_NODES), min(capped(YAML_DEPTH), 200)  # 200: of Python's own stack

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if getattr(event, "tag", None) not in (None, "!", _STR):
            _fail(f"the tag {str(event.tag).removeprefix(_TAG)[:60]!r} is not used here; leave it out", mark)
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                _fail("an alias stands inside what it repeats", mark)
            self._nodes += self._sizes[id(node)]
        else:
            before, self._nodes, self._depth = self._nodes, self._nodes + 1, self._depth + 1
            if self._depth > self._deepest:
                _fail(f"nested more than {self._deepest} levels deep", mark)
            node = super().compose_node(parent, index)
            self._depth -= 1
            self._sizes[id(node)] = self._nodes - before
        if self._nodes > self._most:
            _fail(f"more than {self._most:,} keys, values and items, aliases written out; {to_raise()}", mark)
        return node


class _Dumper(yaml.SafeDumper):
    """Writes so that PyYAML's loader and the one above read the same: quotes what either would take for no text."""


for _tag, _pattern, _first in _RESOLVERS:
    _compiled = re.compile(rf"(?:{_pattern})\Z")
    for _character in _first:
        _Loader.yaml_implicit_resolvers.setdefault(_character if _character != "\0" else "", []).append(
            (_tag, _compiled)
        )
    _Dumper.add_implicit_resolver(_tag, _compiled, list(_first.replace("\0", "")))


_BREAKS = re.compile("[\r\x85\u2028\u2029]")
"""What ends a line in YAML beside a line feed, and is read back as one unless it is written as an escape."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAKS.search(text) else None)


_Dumper.add_representer(str, _text)


def parse_yaml(text: str) -> Any:
    """What a YAML text says: mappings, lists, text, numbers, booleans and None. Raises YamlError."""
    node = compose_yaml(text)
    return None if node is None else _value(node)


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a YAML text with their places in it. Raises YamlError."""
    try:
        return _Loader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"the character U+{_code(error.character):04X} is not allowed in YAML", line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlError(f"not valid YAML ({error.problem or error.context})", *where) from error
    except yaml.YAMLError as error:
        raise YamlError(f"not valid YAML ({' '.join(str(error).split())})") from error


def dump_yaml(content: Any) -> str:
    """`content` as YAML that `parse_yaml` reads as the same."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    return _mapping(node)


def _mapping(node: yaml.Node) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    lines: dict[Hashable, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _fail("a key must be a word, not a list or a mapping", key.start_mark)
        name, line = str(key.value), key.start_mark.line + 1
        if key.tag == _NULL and not name:
            _fail("a key is missing before the colon", key.start_mark)
        if name in lines:
            _fail(f"the key {name[:60]!r} is there twice, first in line {lines[name]}; keep one", key.start_mark)
        lines[name] = line
        if key.tag == _MERGE:
            merged = _merged(value)
        else:
            own[name] = _value(value)
    return {**merged, **own}


def _merged(node: yaml.Node) -> dict[str, Any]:
    """What `<<` brings: a mapping, or several of which the first that has a key wins."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    found: dict[str, Any] = {}
    for each in reversed(nodes):
        if not isinstance(each, yaml.MappingNode):
            _fail("<< takes a mapping, or a list of mappings", node.start_mark)
        found.update(_mapping(each))
    return found


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.tag in (_INT, _FLOAT) and len(text) > _LONGEST_NUMBER:
        _fail(f"a number of {len(text):,} characters", node.start_mark)
    if node.tag == _INT:
        return int(text)
    if node.tag == _FLOAT:
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    if node.tag == _BOOL:
        return text.lower() == "true"
    return None if node.tag == _NULL else text


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _fail(problem: str, mark: yaml.Mark) -> NoReturn:
    raise YamlError(problem, mark.line + 1, mark.column + 1)
