"""Chat templates, parsed and never rendered: what reaches behind values, loads other templates, or fills memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from harness.scan.notebook import Notebook, shown

MOST_CHARACTERS = 2**18
"""The longest in use have 20,000."""
_RANGE = 1_000_000
_LOADS = (nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends)
_REACHES = frozenset(
    {"attr", "map", "selectattr", "rejectattr", "groupby", "sum", "unique", "min", "max", "sort", "join"}
)
"""Filters that take the name of an attribute as text."""
_GLOBALS = frozenset(
    {"self", "lipsum", "cycler", "joiner", "url_for", "get_flashed_messages", "request", "config", "os"}
)
_HIDDEN = re.compile(r"_{2}|\\x5f|\\u005f|\bmro\b|\bsubclasses\b|\bf_globals\b|\bgi_frame\b|\bfunc_globals\b")


class _Generation(Extension):
    """`{% generation %}`, which transformers adds: read over, since nothing is rendered."""

    tags = {"generation"}  # noqa: RUF012 - the class attribute jinja2 asks for

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def report_template(file: str, place: str, text: str, notebook: Notebook) -> None:
    """Say what a template does beyond text, loops and choices."""
    if len(text) > MOST_CHARACTERS:
        notebook.miss(file, f"its template has {len(text):,} characters")
        return
    try:
        environment = Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do", _Generation])
        tree = environment.parse(text)
        for node in tree.find_all(nodes.Node):
            for what in _wrong(node):
                notebook.find("code/template", file, f"its template {what}", f"{place} line {node.lineno}")
    except (TemplateError, RecursionError, ValueError, TypeError, OverflowError) as error:
        notebook.miss(file, f"its template cannot be parsed ({shown(str(error), 80)})")


def _wrong(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
        yield f"reaches for the hidden attribute {node.attr!r}"
    elif isinstance(node, nodes.Getitem) and _text(node.arg).startswith("_"):
        yield f"reaches for the hidden name {_text(node.arg)!r}"
    elif isinstance(node, _LOADS):
        yield "loads another template"
    elif isinstance(node, nodes.Filter) and node.name in _REACHES:
        yield from _filter(node)
    elif isinstance(node, nodes.Name) and node.name in _GLOBALS and node.ctx == "load":
        yield f"uses {node.name!r}, through which sandboxes were left"
    elif isinstance(node, nodes.Const) and isinstance(node.value, str) and _HIDDEN.search(node.value):
        yield f"holds the text {shown(node.value, 40)!r}, as names of hidden attributes are put together"
    elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "range":
        if any(isinstance(arg, nodes.Const) and _large(arg.value) for arg in node.args):
            yield "counts further than any message needs"
    elif isinstance(node, nodes.Mul | nodes.Pow) and any(
        isinstance(side, nodes.Const) and _large(side.value) for side in (node.left, node.right)
    ):
        yield "multiplies to a size that fills memory"


def _filter(node: nodes.Filter) -> Iterator[str]:
    if node.name == "attr":
        yield "uses the filter attr, through which sandboxes were left"
        return
    given: list[Any] = [*node.args, *(pair.value for pair in node.kwargs)]
    for arg in given:
        if _text(arg).startswith("_") or "._" in _text(arg) or _text(arg) == "attr":
            yield f"reaches for {_text(arg)!r} by the filter {node.name}"


def _text(node: Any) -> str:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else ""


def _large(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) > _RANGE
