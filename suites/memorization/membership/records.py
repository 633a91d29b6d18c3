"""The records that are compared: members and non-members of a training, as cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandera.pandas as pa
from pandera.typing import Series

from harness.api.case import Case, make_cases, sample_cases
from harness.api.probe import Plan
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import Dataset, frame_digest
from harness.data.schemas import Instructions, LabelledTexts, PairedTexts, Texts
from harness.errors import NoDataError, NotApplicableError
from harness.provenance.manifest import TrainingManifest
from suites.memorization.canary_scores import task_of
from suites.memorization.members import check_disjoint, load_side

LEAST = 20
"""Records a side. With fewer the interval of an AUC of one half reaches further than 0.28 either way."""
_CLASSIFICATION = "classification"


class Records(PairedTexts):
    """Records of any training: texts, those that go with them where there are such, and labels of classes."""

    label: Series[Any] | None = pa.Field(nullable=True)


def membership_cases(plan: Plan, limits: dict[str, int]) -> list[Case]:
    """One case per record drawn, `limits` of each side at most: side, text, pair; class index, or task of an LM.

    Raises NotApplicableError for a training of another kind, NoDataError where a side is too small or not there, and
    WrongDataError where records are not those of the manifest, or some non-members are members.
    """
    task = task_of(plan.checkpoint)
    manifest = plan.checkpoint.manifest
    assert manifest is not None
    schema = _schema(manifest)
    loaded = {side: _as_trained(plan.data[side], schema) for side in limits if side in plan.data}
    sides = {side: load_side(plan.checkpoint, manifest, side, schema, loaded) for side in limits}
    _check_sizes(sides)
    check_disjoint(sides)
    chosen: list[Case] = []
    for side, limit in limits.items():
        items = _items(sides[side], side, task, plan.checkpoint)
        chosen += sample_cases(make_cases(items), limit, plan.seed)
    return chosen


def whole_text(data: Mapping[str, Any]) -> str:
    """All that is known of a record's texts, in one; a blind baseline reads it."""
    return f"{data['text']}\n{data['pair']}" if "pair" in data else str(data["text"])


def _schema(manifest: TrainingManifest) -> type[Texts]:
    """What the training read its records as; their digest is of these columns."""
    settings = manifest.config
    if manifest.task == _CLASSIFICATION:
        return LabelledTexts
    if settings.get("completions", "none") == "chat":
        raise NotApplicableError(
            "was trained on answers in a chat template, which membership does not score yet; completions: plain are"
        )
    if settings.get("completions", "none") != "none":
        return Instructions
    return PairedTexts if settings.get("next_sentence") else Texts


def _as_trained(dataset: Dataset, schema: type[Texts]) -> Dataset:
    """A dataset with the columns that training read, and no others."""
    columns = [name for name in schema.to_schema().columns if name in dataset.frame.columns]
    frame = dataset.frame[columns]
    return Dataset(frame, dataset.source, frame_digest(frame), dataset.seen)


def _check_sizes(sides: dict[str, Dataset]) -> None:
    for side, dataset in sides.items():
        if len(dataset) < LEAST:
            raise NoDataError(
                f"{dataset.source.source}: {len(dataset)} {side.replace('_', '-')}, and membership needs {LEAST} a "
                "side to tell anything from chance; train with more records, or with a larger held_out"
            )


def _items(dataset: Dataset, side: str, task: str, checkpoint: CheckpointInfo) -> Iterator[dict[str, object]]:
    frame = dataset.frame
    classes = dataset.labels.classes(checkpoint.labels) if task == _CLASSIFICATION else None
    for row, text in enumerate(frame["text"]):
        kind: dict[str, object] = {"task": task} if classes is None else {"label": classes[row]}
        item = {"side": side, "text": text, **kind}
        yield {**item, "pair": frame["pair"].iloc[row]} if "pair" in frame.columns else item
