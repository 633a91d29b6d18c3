"""Questions about a checkpoint as a whole, each asked for itself: one that fails is said, and the others stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import BinaryIO

from harness.scan.archives.members import ERRORS, zip_members
from harness.scan.budget import Budget, BudgetError
from harness.scan.covered import covered
from harness.scan.finding import Estimate
from harness.scan.gathered import Gathered
from harness.scan.git_files import report_git
from harness.scan.notebook import Notebook, shown
from harness.scan.resources import (
    estimate,
    report_counts,
    report_empty,
    report_gguf,
    report_labels,
    report_layers,
    report_vocabulary,
)
from harness.scan.tree.api import UnreadableError
from harness.scan.weights.check import check_numbers, check_storages
from harness.scan.weights.headers import Span
from harness.scan.weights.numbers import STORAGES


class Whole:
    """Asks them."""

    def __init__(
        self, gathered: Gathered, open_file: Callable[[str], BinaryIO], budget: Budget, notebook: Notebook
    ) -> None:
        self._gathered, self._open, self._budget, self._notebook = gathered, open_file, budget, notebook
        self.covered = covered(gathered.paths, gathered.indexes)
        self.cannot_tell: list[str] = []
        self.estimate: Estimate | None = None

    def ask(self, weights: bool) -> None:
        """All of them; numbers of weights last and only if asked for. Raises BudgetError."""
        self._step("git settings", self._git)
        self._step("settings against weights", self._settings)
        self._step("weight files against each other", self._files)
        if weights:
            self._step("numbers of weights", self._numbers)
            self._step("numbers of pickled weights", self._pickled)

    def loaded(self) -> list[Span]:
        """Tensors of the files that are loaded; where none are known, of all weight files."""
        spans = self._gathered.spans
        files = [file for file in spans if file in self.covered] or list(spans)
        return [span for file in files for span in spans[file]]

    def _step(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except BudgetError:
            raise
        except Exception as error:  # a scanner that fails has not scanned, whatever the reason
            self._notebook.miss(".", f"{name}: the scanner failed ({type(error).__name__}: {shown(str(error), 80)})")

    def _git(self) -> None:
        report_git(self._gathered.paths, self._gathered.git, self._notebook)

    def _settings(self) -> None:
        spans = self.loaded()
        self.estimate = estimate(spans)
        config = self._gathered.settings.get("config.json")
        for file, value in self._gathered.settings.items():
            if file in ("config.json", "adapter_config.json"):
                report_counts(file, value, spans, self._notebook)
        report_labels(config, spans, self._notebook)
        report_empty(spans, self._notebook)
        for file, counts in self._gathered.counts.items():
            report_gguf(file, counts, self._gathered.spans[file], self._notebook)
        unclear = report_layers(config, spans, self._notebook) if config is not None else ""
        if unclear:
            self.cannot_tell.append(unclear)
        report_vocabulary(self._gathered.vocabularies, config, self._notebook)

    def _files(self) -> None:
        spans = self._gathered.spans
        for file in sorted(spans):
            if file.endswith(".safetensors") and file not in self.covered and "/" not in file:
                self._notebook.find("weights/unlisted", file, "holds tensors, but is not loaded")
        names = Counter(span.name for file in spans if file in self.covered for span in spans[file])
        for name, count in names.items():
            if count > 1:
                self._notebook.find("weights/twice", ".", f"{count} files hold a tensor {name}", name)
        index = self._gathered.indexes.get("model.safetensors.index.json")
        if isinstance(index, dict) and "model.safetensors" not in self._gathered.paths:
            held = {span.name: span.file for file in spans for span in spans[file]}
            lost = [name for name, file in index.items() if file in spans and held.get(name) != file]
            if lost:
                self._notebook.find(
                    "reference/missing",
                    "model.safetensors.index.json",
                    f"names {len(lost):,} tensors that their shards do not hold, e.g. {lost[0]}",
                    lost[0],
                )

    def _numbers(self) -> None:
        unclear = check_numbers(self._gathered.spans, self._open, self._budget, self._notebook)
        if unclear:
            self.cannot_tell.append(unclear)

    def _pickled(self) -> None:
        """Torch archives say the type of each storage; older pickles keep numbers where only unpickling finds them."""
        for file in sorted(set(self._gathered.pickled)):
            storages = {key: STORAGES.get(kind, "") for key, kind in self._gathered.storages.get(file, {}).items()}
            if "!" in file or not storages or file not in self._gathered.paths:
                self._notebook.miss(file, "the numbers of its pickled weights were not read")
                continue
            try:
                with closing(self._open(file)) as stream:
                    for member in zip_members(stream, self._budget):
                        folder, _, key = member.name.rpartition("/")
                        if folder.rpartition("/")[2] == "data":
                            check_storages(file, [(key, member.open)], storages, self._budget, self._notebook)
            except (*ERRORS, UnreadableError) as error:
                self._notebook.miss(file, f"the numbers of its pickled weights were not read ({shown(str(error), 60)})")
