"""Reads HTML back as a browser would: its tags, their attributes, and the cells of its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from harness.base.loglines import plain
from harness.base.numbers import number
from harness.gate.verdict import GateResult
from harness.reports.content.report import gate_name, outcome_label

VOID = {"meta", "br", "wbr", "rect", "line", "circle", "hr"}


@dataclass
class Table:
    """Header and body cells, as text on one line."""

    rows: list[list[str]] = field(default_factory=list)

    def column(self, name: str) -> list[str]:
        return [row[self.rows[0].index(name)] for row in self.rows[1:]]


@dataclass(frozen=True)
class Decision:
    """What the row of a gate must say."""

    outcome: str
    metric: str
    value: str
    reason: str

    @classmethod
    def of(cls, item: GateResult) -> Decision:
        todo = f" To do: {item.fix}" if item.fix else ""
        return cls(outcome_label(item), gate_name(item), number(item.value), plain(f"{item.reason}{todo}"))


class Page(HTMLParser):
    """A parsed page; raises AssertionError where tags are not properly nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tables: list[Table] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._cell: list[str] | None = None
        self.feed(html)
        self.close()
        assert self._open == []

    def tables_of(self, first: str) -> list[Table]:
        """The tables whose first column is called so."""
        return [table for table in self.tables if table.rows[0][0] == first]

    def decisions(self) -> list[Decision]:
        """What the Markdown report's table of gates says."""
        names = ("outcome", "metric", "value", "reason")
        return [
            Decision(*row) for table in self.tables_of("gate") for row in zip(*map(table.column, names), strict=True)
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "br":
            self.handle_data(" ")
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append(Table())
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1].rows[-1].append(plain("".join(self._cell)))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)
        for tag in self._open[-1:]:
            self.texts.setdefault(tag, []).append(plain(data))
