"""Graphs of other frameworks, searched for operations that run code or read files; the graphs are not interpreted."""

from __future__ import annotations

import re
from typing import BinaryIO

from harness.scan.budget import Budget
from harness.scan.notebook import Notebook, shown
from harness.scan.references import why_leaves

_BLOCK = 2**22
_OVERLAP = 2**12
_OPERATIONS = re.compile(
    rb"(?<![A-Za-z])(EagerPyFunc|PyFuncStateless|PyFunc|ReadFile|WriteFile|MatchingFiles|PyOp)(?![A-Za-z])"
)
_LAMBDA = re.compile(rb'"class_name"\s*:\s*"Lambda"')
_LOCATION = re.compile(rb"\x0a\x08location\x12(.)", re.DOTALL)
"""ONNX keeps the file of external data under this key (onnx.proto3, StringStringEntryProto)."""


def report_graph(file: str, stream: BinaryIO, budget: Budget, notebook: Notebook) -> None:
    """Say what is found. Raises BudgetError, OSError."""
    before = b""
    while block := stream.read(_BLOCK):
        budget.check()
        window = before + block
        for match in _OPERATIONS.finditer(window):
            notebook.find("code/graph", file, f"holds the operation {match[1].decode()}", match[1].decode())
        if _LAMBDA.search(window):
            notebook.find("code/graph", file, "holds a Lambda layer, whose bytes are Python code", "Lambda")
        for match in _LOCATION.finditer(window):
            _location(file, window, match, notebook)
        before = window[-_OVERLAP:]


def _location(file: str, window: bytes, match: re.Match[bytes], notebook: Notebook) -> None:
    length = match[1][0]
    named = window[match.end() : match.end() + length].decode("utf-8", "replace")
    why = why_leaves(named)
    if why:
        notebook.find("reference/leaves", file, f"keeps data by {why}: {shown(named)}", shown(named, 60))
