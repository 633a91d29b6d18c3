"""Inputs that begin alike, laid out so that what they share is read once.

The inputs form a tree of stretches of tokens. A part of it that is small becomes one row, read in one pass under a mask
that hides branches from each other. What many rows begin with becomes a stem: read once, its keys and values lent to
the rows. What is not worth either is read again by each, as without sharing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.api.scorer import Bools
from harness.scorer.forward.positions import Ints

SHARE = 0.05
"""Least part of the tokens that sharing must save: below, masks and lent keys cost as much."""
DEEPEST = 4
"""Most stems on one path (few-shot examples, subject, text, question): each holds a cache of all its tokens."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When sharing is worth it, all in tokens."""

    row: int
    """Longest row that branches: a branch looks at the others' tokens too, only to ignore them."""
    branch: float
    """Least saving of a row that branches."""
    stem: float
    """Least saving of a stem, which costs a forward pass of its own."""


@dataclass(eq=False, slots=True)
class Node:
    """Tokens `start` to `end` of `read`, which all inputs below have there."""

    read: tuple[int, ...]
    start: int
    end: int
    above: Node | None = None
    below: list[Node] = field(default_factory=list)
    leaf: int = -1
    """Index of the input that ends here."""
    leaves: int = 0
    plain: int = 0
    """Sum of the lengths of all inputs below."""
    distinct: int = 0
    """Tokens of this node and all below it."""
    unit: Row | Part | None = None
    """Where it is read,"""
    place: int = 0
    """and at which place of it."""


@dataclass(eq=False, slots=True)
class Row:
    """Trees read side by side in one row, each node after the one above it."""

    nodes: list[Node] = field(default_factory=list)
    size: int = 0

    @property
    def is_chain(self) -> bool:
        """Whether no token is hidden from a later one."""
        return len(self.nodes) == 1

    @property
    def ids(self) -> list[int]:
        """The tokens, [size]."""
        return [token for node in self.nodes for token in node.read[node.start : node.end]]

    def positions(self) -> Ints:
        """Of each token in its input, [size]."""
        return np.concatenate([np.arange(node.start, node.end) for node in self.nodes])

    def sees(self) -> Bools:
        """Which tokens of the row (columns) each token sees, [size, size]."""
        seen = np.zeros((self.size, self.size), dtype=np.bool_)
        for node in self.nodes:
            mine = slice(node.place, node.place + node.end - node.start)
            if node.above is not None and node.above.unit is self:
                seen[mine] = seen[node.above.place + node.above.end - node.above.start - 1]
            seen[mine, mine] = np.tri(node.end - node.start, dtype=np.bool_)
        return seen


@dataclass(eq=False, slots=True)
class Part:
    """What is read with one stem in memory: rows that begin with it, then longer stems."""

    stem: Node | None
    rows: list[Row] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Whether nothing is shared."""
        return not self.parts and all(row.is_chain for row in self.rows)


@dataclass(frozen=True, slots=True)
class Layout:
    """What to read, and the node at which each input ends, [inputs]."""

    whole: Part
    ends: list[Node]


def lay_out(reads: Sequence[tuple[int, ...]], limits: Limits | None) -> Layout:
    """Where each input is read. None of them may be another's beginning. No limits: each is a row of its own."""
    ends = [Node(read, 0, len(read), leaf=index) for index, read in enumerate(reads)]
    whole = Part(None)
    if limits is None:
        for node in ends:
            _add(whole.rows, node, 0)
    else:
        _fill(whole, _tree(ends).below, limits, 0)
    return Layout(whole, ends)


def _fill(part: Part, nodes: Sequence[Node], limits: Limits, depth: int) -> None:
    """Lay out subtrees under a part's stem; stems come largest subtree first."""
    begun = 0 if part.stem is None else part.stem.end
    todo = list(reversed(nodes))
    stems: list[Node] = []
    while todo:
        node = todo.pop()
        size = node.distinct + node.start - begun
        saved = node.plain - node.leaves * begun - size
        if not node.below or (size <= limits.row and _is_worth(saved, limits.branch, node, begun)):
            node.start, node.above = begun, part.stem
            _add(part.rows, node, limits.row if part.stem is not None else 0)
        elif depth < DEEPEST and _is_worth((node.end - begun) * (len(node.below) - 1), limits.stem, node, begun):
            node.start, node.above = begun, part.stem
            stems.append(node)
        else:
            todo += reversed(node.below)
    for node in sorted(stems, key=lambda stem: stem.distinct, reverse=True):
        inner = Part(node)
        node.unit = inner
        part.parts.append(inner)
        _fill(inner, node.below, limits, depth + 1)


def _is_worth(saved: int, least: float, node: Node, begun: int) -> bool:
    return saved >= max(least, SHARE * (node.plain - node.leaves * begun))


def _add(rows: list[Row], top: Node, longest: int) -> None:
    """Put a subtree into the last row, where that stays within `longest` tokens, else into a new one."""
    nodes = _preorder(top)
    size = sum(node.end - node.start for node in nodes)
    if not rows or rows[-1].size + size > longest:
        rows.append(Row())
    row = rows[-1]
    for node in nodes:
        node.unit, node.place = row, row.size
        row.size += node.end - node.start
    row.nodes += nodes


def _tree(ends: Sequence[Node]) -> Node:
    """The root above all inputs: every node below has inputs that part after it, or is where one ends."""
    root = Node((), 0, 0)
    path = [root]
    before = np.zeros(0, dtype=np.int64)
    for node in sorted(ends, key=lambda node: node.read):
        tokens = np.array(node.read, dtype=np.int64)
        common = _common(before, tokens)
        last = root
        while path[-1].end > common:
            last = path.pop()
        if path[-1].end < common:
            fork = Node(last.read, path[-1].end, common, below=[last])
            path[-1].below[-1] = fork
            last.start = common
            path.append(fork)
        node.start = common
        path[-1].below.append(node)
        path.append(node)
        before = tokens
    for node in reversed(_preorder(root)):
        node.leaves = 1 if not node.below else sum(each.leaves for each in node.below)
        node.plain = len(node.read) if not node.below else sum(each.plain for each in node.below)
        node.distinct = node.end - node.start + sum(each.distinct for each in node.below)
        for each in node.below:
            each.above = node
    return root


def _common(left: Ints, right: Ints) -> int:
    """Tokens that both begin with."""
    shorter = min(len(left), len(right))
    other = left[:shorter] != right[:shorter]
    return int(other.argmax()) if other.any() else shorter


def _preorder(top: Node) -> list[Node]:
    found, todo = [], [top]
    while todo:
        node = todo.pop()
        found.append(node)
        todo += reversed(node.below)
    return found
