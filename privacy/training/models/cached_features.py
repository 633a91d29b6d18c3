"""A frozen model is read once: what its last layer gets of each record, kept, so that a step costs a matrix product.

The file depends on every record and nothing in it is protected by noise: it lies in the user's cache, for the user's
eyes only, and nothing publishes it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from harness.base.files import make_folder, write_atomic
from harness.data.pypi import cache_home
from harness.errors import UsageError
from privacy.training.data.batches import Collator
from privacy.training.data.tokens import Encoded, Features
from privacy.training.job import Job
from privacy.training.models.modes import last_linear

BATCH = 32
"""Records that are read together."""
_CLOSE = 1e-4
"""Between a record read now and as it was kept: float32 sums in another order differ by less."""
_VERSION = "1"
"""Another one for another meaning of a kept file."""


class CachedHead(nn.Module):
    """The last layer alone; its `input_ids` [records, 1] are rows of the features [records, width]."""

    def __init__(self, head: nn.Linear, features: torch.Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("features", features, persistent=False)

    def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> SimpleNamespace:
        """Logits [records, classes]."""
        assert isinstance(self.features, torch.Tensor)
        return SimpleNamespace(logits=self.head(self.features[input_ids[:, 0]]))


def can_cache(model: Any) -> bool:
    """Whether the last layer is all that is trained."""
    if model.config.num_labels < 2:
        return False
    _, head = last_linear(model)
    own = {id(value) for value in head.parameters()}
    return {id(value) for value in model.parameters() if value.requires_grad} == own


def cached_head(
    model: Any, job: Job, encoded: Encoded, collator: Collator, device: torch.device, length: int | None
) -> CachedHead:
    """The head over features that are read now, or were for the same encoder, tokenizer, records, cut and padding.

    Raises UsageError where what the head gets cannot be told.
    """
    name, head = last_linear(model)
    reader = _Reader(model.to(device).eval(), head, collator, device, length)
    path = _path(job, name, length)
    kept = _kept(path, len(encoded.records), head.in_features)
    if kept is None or not _same(kept, reader, encoded):
        kept = _read_all(reader, encoded, lambda done, total: job.on_step(done, total, math.nan))
        _keep(path, kept)
    return CachedHead(head, kept.to(device))


def features_kept(model: Any, job: Job, encoded: Encoded, length: int | None) -> bool:
    """Whether the features of these records are there from another run."""
    name, head = last_linear(model)
    return _kept(_path(job, name, length), len(encoded.records), head.in_features) is not None


def rehearsed_head(
    model: Any, encoded: Encoded, rows: list[int], collator: Collator, device: torch.device, length: int | None
) -> tuple[CachedHead, Encoded]:
    """The head over the features of the records `rows`, which stand for all others; nothing is kept or looked up."""
    _, head = last_linear(model)
    reader = _Reader(model.to(device).eval(), head, collator, device, length)
    features = reader.read([encoded.records[row] for row in rows])
    stand_ins = [encoded.records[rows[place % len(rows)]] for place in range(len(encoded.records))]
    records = as_rows(Encoded(stand_ins, encoded.truncated)).records
    for place, record in enumerate(records):
        record["input_ids"] = [place % len(rows)]
    return CachedHead(head, features.to(device)), Encoded(records, encoded.truncated)


def as_rows(encoded: Encoded) -> Encoded:
    """The records as rows of the features."""
    records: list[Features] = [
        {"input_ids": [row], "attention_mask": [1], "label": record["label"]}
        for row, record in enumerate(encoded.records)
    ]
    return Encoded(records, encoded.truncated)


class _Reader:
    """What the head gets of records."""

    def __init__(
        self, model: Any, head: nn.Linear, collator: Collator, device: torch.device, length: int | None
    ) -> None:
        self._model, self._head, self._collator, self._device, self._length = model, head, collator, device, length
        self._from: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None

    @torch.no_grad()
    def read(self, records: list[Features]) -> torch.Tensor:
        """Features [records, width], float32 on the CPU."""
        batch = {
            name: value.to(self._device) for name, value in self._collator.micro_batch(records, self._length).items()
        }
        if self._from is None:
            with _moved(self._head):  # one that is zero scores all it may be given alike
                given, logits = self._run(batch)
                self._from = self._choose(given, batch["attention_mask"], logits)
        else:
            given, _ = self._run(batch)
        return self._from(given, batch["attention_mask"]).float().cpu()

    def _run(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head is given, and the class scores."""
        seen: list[torch.Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
        try:
            logits = self._model(**{name: value for name, value in batch.items() if name != "label"}).logits
        finally:
            hook.remove()
        return seen[-1], logits

    def _choose(self, given: torch.Tensor, mask: torch.Tensor, logits: torch.Tensor) -> Any:
        """Which position's input makes the class scores; told by comparing them."""
        ways = (_whole,) if given.ndim == 2 else (_last, _first)
        for way in ways:
            if _alike(self._head(way(given, mask)), logits):
                return way
        kind = self._model.config.model_type
        raise UsageError(f"mode head: a {kind} classifier does not score one vector of each text; choose lora")


@contextmanager
def _moved(head: nn.Linear) -> Iterator[None]:
    """The head with other weights while it lasts."""
    kept = head.weight.detach().clone()
    other = torch.randn(kept.shape, generator=torch.Generator().manual_seed(0)) / math.sqrt(head.in_features)
    try:
        head.weight.copy_(other)
        yield
    finally:
        head.weight.copy_(kept)


def _whole(given: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return given


def _first(given: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return given[:, 0]


def _last(given: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    place = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
    return given[torch.arange(len(given), device=given.device), place]


def _read_all(reader: _Reader, encoded: Encoded, progress: Callable[[int, int], None]) -> torch.Tensor:
    lengths = encoded.lengths
    order = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)  # running out of memory shows first
    found: torch.Tensor | None = None
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        part = reader.read([encoded.records[row] for row in rows])
        if found is None:
            found = torch.empty(len(order), part.shape[1])
        found[rows] = part
        progress(start + len(rows), len(order))
    assert found is not None  # there is a record at least
    return found


def _path(job: Job, head: str, length: int | None) -> Path:
    """Named by all that the features depend on, so that a change of any is another file."""
    base = job.base.fingerprint.digest if job.base is not None else ""
    about = [_VERSION, base, job.data.members.digest, job.limit, job.spec.pooling, head, torch.__version__]
    about += [] if length is None else [length]
    about += [] if job.spec.pooling_layer is None else ["layer", job.spec.pooling_layer]
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    return cache_home().absolute() / "features" / f"{name}.safetensors"


def _kept(path: Path, records: int, width: int) -> torch.Tensor | None:
    """The kept features; None where there are none, or they are damaged or of another shape."""
    try:
        with safe_open(path, framework="pt") as file:
            kept: torch.Tensor = file.get_tensor("features")
    except (OSError, SafetensorError, ValueError):
        return None
    return kept if kept.shape == (records, width) and kept.dtype == torch.float32 else None


def _same(kept: torch.Tensor, reader: _Reader, encoded: Encoded) -> bool:
    """Whether the first, middle and last record give today what was kept of them."""
    rows = sorted({0, len(kept) // 2, len(kept) - 1})
    return _alike(reader.read([encoded.records[row] for row in rows]), kept[rows])


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Also where both are no numbers: a record that the model cannot read contributes zero, as in other modes."""
    return torch.allclose(one, other, atol=_CLOSE, equal_nan=True)


def _keep(path: Path, features: torch.Tensor) -> None:
    make_folder(path.parent)
    os.chmod(path.parent, 0o700)  # noqa: PTH101
    write_atomic(path, lambda scratch: save_file({"features": features}, scratch))
    path.chmod(0o600)
