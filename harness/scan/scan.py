"""A whole scan of one tree: every file, then what is asked of all of them together."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from harness import __version__
from harness.base.limits import capped
from harness.scan.budget import SECONDS, Budget, BudgetError
from harness.scan.examine import Blob, Examiner
from harness.scan.finding import FileRecord, Level, ScanReport
from harness.scan.gathered import Gathered
from harness.scan.libraries import AS_OF, known_holes
from harness.scan.names import is_sparse, report_entry, special_of
from harness.scan.notebook import MOST_EACH, Notebook, shown
from harness.scan.opinion import SecondOpinion
from harness.scan.tree.api import Entry, Kind, Tree, Unlisted, UnreadableError
from harness.scan.tree.hub import HubTree
from harness.scan.whole import Whole

MOST_ENTRIES = 100_000
"""Files that are looked at; the largest repositories of the hub have some thousands."""
MOST_LISTED = 20_000
"""Files that the report lists."""
_ORDER = {Level.ERROR: 0, Level.WARNING: 1, Level.NOTE: 2}


@dataclass(frozen=True, slots=True)
class Options:
    """What a user asks of a scan."""

    weights: bool | None = None
    """Read the numbers of weights; None: unless each byte has to be downloaded."""
    seconds: float = SECONDS


def scan_tree(tree: Tree, options: Options) -> ScanReport:
    """Never raises for what a checkpoint holds: what could not be read is in `unscanned`."""
    notebook, budget, gathered, opinion = Notebook(), Budget(options.seconds), Gathered(), SecondOpinion()
    entries = _entries(tree, budget, notebook)
    by_path = {entry.path: entry for entry in entries}
    gathered.paths = frozenset(by_path)
    kinds = _examined(tree, entries, Examiner(notebook, budget, gathered, opinion), notebook)
    weights = options.weights if options.weights is not None else not tree.remote
    whole = Whole(gathered, lambda path: _opened(tree, by_path[path]), budget, notebook)
    try:
        whole.ask(weights)
    except BudgetError as error:
        notebook.miss(".", f"what is asked of all files together: {error}")
    left_out = _left_out(options.weights, weights, notebook)
    for rule, count in notebook.left_out().items():
        whole.cannot_tell.append(f"{count:,} more of {rule}: only the first {MOST_EACH} of a rule are kept")
    if isinstance(tree, HubTree):
        for path, status in tree.listing.statuses.items():
            notebook.find("hub/status", path, f"the hub's own scanners say: {status}")
    return ScanReport(
        source=shown(tree.source, 500),
        kind=tree.kind,
        version=__version__,
        files=tuple(_record(entry, kinds, whole) for entry in entries[:MOST_LISTED]),
        findings=tuple(sorted(notebook.findings, key=lambda each: (_ORDER[each.level], each.file, each.rule))),
        unscanned=tuple(notebook.unscanned),
        left_out=left_out,
        cannot_tell=tuple(whole.cannot_tell),
        estimate=whole.estimate,
        libraries=known_holes(),
        libraries_as_of=AS_OF,
        second_opinion=opinion.sentence,
        files_found=len(entries),
        seconds=round(budget.used, 3),
    )


def _entries(tree: Tree, budget: Budget, notebook: Notebook) -> list[Entry]:
    """Entries by path, up to the cap; what the file system says of each is noted."""
    found: list[Entry] = []
    most = capped(MOST_ENTRIES)
    try:
        for each in tree.entries():
            budget.check()
            if isinstance(each, Unlisted):
                notebook.miss(each.path, each.why)
            elif len(found) >= most:
                notebook.miss(".", f"more than {most:,} files; the others were not even listed")
                break
            else:
                found.append(each)
                report_entry(each, notebook)
    except BudgetError as error:
        notebook.miss(".", f"listing the files: {error}")
    except Exception as error:  # what an archive or a hub raises when it is not what it says
        notebook.miss(".", f"listing the files failed ({type(error).__name__}: {shown(str(error), 100)})")
    if not found:
        notebook.miss(".", "holds no file")
    return sorted(found, key=lambda entry: entry.path)


def _examined(tree: Tree, entries: list[Entry], examiner: Examiner, notebook: Notebook) -> dict[str, str]:
    """Kind of each file; when the budget is used up, all that is left is noted as not scanned."""
    kinds: dict[str, str] = {}
    spent = ""
    for number, entry in enumerate(entries):
        if entry.kind is not Kind.FILE:
            kinds[entry.path] = str(entry.kind)
            if entry.kind is Kind.LINK or entry.kind.special:
                notebook.miss(entry.path, f"is a {entry.kind} and was not opened")
        elif is_sparse(entry):
            notebook.miss(entry.path, "claims far more than is on disk and was not read")
        else:
            blob = Blob(entry.path, entry.size, lambda entry=entry: _opened(tree, entry), tree.kind != "wheel")  # type: ignore[misc]
            try:
                kinds[entry.path] = examiner.examine(blob)
            except BudgetError as error:
                spent = str(error)
                notebook.miss(entry.path, f"not read to its end: {spent}")
                left = len(entries) - number - 1
                if left:
                    notebook.miss(".", f"{left:,} more files were not looked at: {spent}")
                break
            except Exception as error:  # a scanner that fails has not scanned, whatever the reason
                notebook.miss(entry.path, f"the scanner failed ({type(error).__name__}: {shown(str(error), 80)})")
    return kinds


def _opened(tree: Tree, entry: Entry) -> BinaryIO:
    with suppress(RecursionError):
        return tree.open(entry)
    raise UnreadableError("cannot be opened")


def _left_out(asked: bool | None, weights: bool, notebook: Notebook) -> tuple[str, ...]:
    """What the user left out; numbers left unread without their word are not scanned."""
    if weights:
        return ()
    if asked is False:
        return ("the numbers of the weights (--no-weights)",)
    notebook.miss(
        ".", "the numbers of the weights were not downloaded: --weights reads them, --no-weights leaves them out"
    )
    return ()


def _record(entry: Entry, kinds: dict[str, str], whole: Whole) -> FileRecord:
    return FileRecord(
        path=shown(entry.path, 500),
        kind=kinds.get(entry.path, "not looked at"),
        size=entry.size,
        target=shown(entry.target, 200),
        special=special_of(entry),
        fingerprint=entry.path in whole.covered,
    )
