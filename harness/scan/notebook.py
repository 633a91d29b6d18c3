"""Where scanners write down what they find, within bounds; what steers a terminal is written out on the way in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from harness.base.loglines import clean
from harness.scan.finding import Finding, Unscanned
from harness.scan.rules import RULES

MOST_EACH = 200
"""Findings of one rule that are kept; beyond them a count says enough."""
_LONGEST = 300


def shown(text: str, longest: int = 120) -> str:
    """Text of a stranger on one line, printable, short, and fit for any encoding."""
    flat = clean(text.encode("utf-8", "backslashreplace").decode()[: longest * 4]).replace("\n", "\\n")
    flat = flat.replace("\t", "\\t")
    return flat if len(flat) <= longest else f"{flat[:longest]}…"


@dataclass
class Notebook:
    """Findings and what could not be scanned."""

    findings: list[Finding] = field(default_factory=list)
    unscanned: list[Unscanned] = field(default_factory=list)
    _kept: Counter[str] = field(default_factory=Counter)
    _seen: set[tuple[str, str, str]] = field(default_factory=set)

    def find(self, rule: str, file: str, sentence: str, where: str = "") -> None:
        """Note a finding; the same rule in the same place once."""
        key = (rule, file, where)
        if key in self._seen:
            return
        self._kept[rule] += 1
        if self._kept[rule] > MOST_EACH:
            return
        self._seen.add(key)
        self.findings.append(
            Finding(
                rule=rule,
                level=RULES[rule].level,
                file=shown(file, 500),
                where=shown(where),
                sentence=shown(sentence, _LONGEST * 2),
            )
        )

    def miss(self, file: str, why: str) -> None:
        """Note that a file was not read, or not to its end."""
        self._kept["unscanned"] += 1
        if self._kept["unscanned"] <= MOST_EACH:
            self.unscanned.append(Unscanned(file=shown(file, 500), why=shown(why, _LONGEST)))

    def left_out(self) -> dict[str, int]:
        """How many of each rule were not kept."""
        return {rule: count - MOST_EACH for rule, count in sorted(self._kept.items()) if count > MOST_EACH}
