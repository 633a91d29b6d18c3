"""All pickles in a stream, and what is to be said of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import BinaryIO

from harness.scan.budget import Budget
from harness.scan.notebook import Notebook, shown
from harness.scan.pickles.allowed import ALLOWED, RUNS_COMMANDS
from harness.scan.pickles.machine import Import, Machine, TooLargeError, Walk

_MOST_PICKLES = 10_000
_MOST_SHOWN = 20
_NAMED = re.compile(r"[^\W\d][^\s()\[\]{},;:!?'\"]{0,200}")


@dataclass
class Pickles:
    """The pickles of one stream that are such."""

    walks: list[Walk] = field(default_factory=list)
    incomplete: str = ""
    """Why the rest was not read."""

    @property
    def storages(self) -> dict[str, str]:
        """Torch storages by key."""
        return {key: kind for walk in self.walks for key, kind in walk.storages.items()}


def walk_pickles(stream: BinaryIO, budget: Budget, *, known: bool, likely: bool = False, start: int = 0) -> Pickles:
    """Pickles one after the other from where the stream stands.

    Args:
        stream: read forwards only.
        budget: of time.
        known: whether the place says that this is a pickle; else only what would run is taken for one.
        likely: whether the name says so; then an import is enough.
        start: offset of the stream, for places.

    Raises BudgetError, OSError.
    """
    found = Pickles()
    at = start
    for number in range(_MOST_PICKLES):
        machine = Machine(stream, at, budget, known=known and number == 0)
        try:
            walk = machine.run()
        except TooLargeError as error:
            found.walks.append(machine.walk)
            found.incomplete = f"a pickle holds {error}"
            return found
        if walk.opcodes and ((known and number == 0) or _is_pickle(walk, likely)):
            found.walks.append(walk)
        if not walk.stopped:
            return found
        at = walk.end
        budget.check()
    found.incomplete = f"more than {_MOST_PICKLES:,} pickles one after the other"
    return found


def report_pickles(found: Pickles, file: str, notebook: Notebook) -> None:
    """Say what the pickles of a file import."""
    if found.incomplete:
        notebook.miss(file, found.incomplete)
    if not found.walks:
        return
    imports = {
        (each.module, each.name): each for walk in reversed(found.walks) for each in reversed(walk.imports.values())
    }
    bad = [each for key, each in imports.items() if key not in ALLOWED]
    for each in sorted(bad, key=lambda each: each.offset)[:_MOST_SHOWN]:
        _report_import(each, file, notebook)
    if any(walk.extensions for walk in found.walks):
        notebook.find(
            "pickle/extension", file, "uses extension codes: they import what the reader's process registered"
        )
    last = found.walks[-1]
    if last.broken and (len(found.walks) == 1 or last.imports or last.calls):
        notebook.find(
            "pickle/broken",
            file,
            f"breaks off at {last.end:,} ({last.broken}); what stands before it would have run, what comes after was "
            "not read",
        )
        notebook.miss(file, f"its pickle breaks off at {last.end:,}, and what comes after could not be read")
    if not bad and imports:
        names = ", ".join(sorted(f"{module}.{name}" for module, name in imports)[:6])
        notebook.find("pickle/present", file, f"pickle; imports {len(imports):,} names, all on the allow-list: {names}")
    elif not imports:
        notebook.find("pickle/present", file, "pickle without imports: plain values only")


def _report_import(each: Import, file: str, notebook: Notebook) -> None:
    where = f"byte {each.offset:,}"
    if each.module is None or each.name is None:
        notebook.find("pickle/computed", file, "imports a name that is computed while it is read", where)
        return
    what = shown(f"{each.module}.{each.name}")
    runs = each.module.split(".")[0] in RUNS_COMMANDS
    means = "which can run commands or code" if runs else "which is not on the allow-list"
    notebook.find("pickle/import", file, f"a pickle imports {what}, {means}; reading it is running it", where)


def _is_pickle(walk: Walk, likely: bool) -> bool:
    """Whether bytes of an unknown kind are a pickle: marked as one, or a program that would import something."""
    if walk.protocol is not None and walk.opcodes >= 2:
        return True
    named = all(part is None or _NAMED.fullmatch(part) for key in walk.imports for part in key)
    return bool(walk.imports) and named and (walk.calls or walk.stopped or likely)
