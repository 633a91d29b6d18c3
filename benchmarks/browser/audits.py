"""Folders of audits as large as a dashboard may meet, written by the harness' own writers without a model."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from pandera.typing import Series

from harness.api.metrics import Better, Metric
from harness.api.probe import ProbeRow, RowDict
from harness.gate.decide import Policy, decide
from harness.record.folder import AuditFolder
from harness.record.rows import RowStore, compact, row_parts, rows_folder
from harness.stats.intervals import clopper_pearson

AUDITS = 200
CHECKPOINTS = 20
"""Each is audited ten times: a release a month, and what was tried between."""
ROWS = 1_000_000
LARGE = "20270101T000000Z-large-0001"
"""Id of the audit that has them."""
PROBE = "quality/classification"
RARE = tuple(f"ornithopter{letter}" for letter in "abcdefghij")
"""Words of a hundred rows each: a search that was asked before is no search."""
PARTS = 100_000
"""Of an audit that goes on: what a run of two months would leave if its parts were never made one."""
PARTED = "20270102T000000Z-parted-0002"
"""Id of the audit that has them."""
_OPENED, _IN_PART = 2_000, 4
"""Parts with rows of their own, as many as the dashboard opens; the others are copies of the last. Rows of each."""
PARTED_ROWS = _OPENED * _IN_PART
_LINKS = 20_000
"""Names of one file: file systems allow 65,000."""
_PART = 8192
_METRICS = ("accuracy", "macro_f1", "ece", "brier", "nll")
_SLICES = ("", *(f"length {index}" for index in range(9)))
"""With `_METRICS` 50 metrics, 30 kB of them: what an audit of five probes writes."""
_WORDS = ["the", "a", "film", "story", "actor", "scene", "music", "plot", "dull", "good", "slow", "funny", "long"]
_BOUNDS = {"accuracy": {"min": 0.6}, "macro_f1": {"min": 0.6}, "ece": {"max": 0.4}, "brier": {"max": 0.4}}


class Row(ProbeRow):
    """A classified text."""

    text: Series[str]
    label: Series[str]
    predicted: Series[str]
    correct: Series[bool]
    probability: Series[float]
    tokens: Series[int]


def many_audits(output: Path) -> list[str]:
    """Write `AUDITS` audits of `CHECKPOINTS` names; their ids, oldest first."""
    from tests.audit_folder import make_audit

    manifest = make_audit(output.parent / "one", rows=40).manifest()
    chance = random.Random(0)
    first = datetime(2026, 1, 1)  # noqa: DTZ001
    ids = []
    for index in range(AUDITS):
        name, when = f"checkpoint-{index % CHECKPOINTS:02}", first + timedelta(hours=7 * index)
        audit_id = f"{when:%Y%m%dT%H%M%SZ}-{name}-{index:04x}"
        folder = AuditFolder(output / audit_id)
        folder.path.mkdir(parents=True)
        metrics = _metrics(chance)
        folder.write_metrics(metrics)
        folder.write_verdict(decide(_policy(chance), metrics))
        told = {"audit_id": audit_id, "name": name, "created": f"{when.isoformat()}+00:00"}
        folder.write_manifest(manifest.model_copy(update=told))
        _write_rows(folder, 40)
        ids.append(audit_id)
    return ids


def many_rows(output: Path, rows: int = ROWS) -> str:
    """Write one audit with so many rows of texts of 110 characters, in one file as an audit leaves them; its id."""
    from tests.audit_folder import make_audit

    folder = make_audit(output, LARGE, rows=40)
    for part in (folder.path / "rows" / PROBE.replace("/", "__")).iterdir():
        part.unlink()
    _write_rows(folder, rows)
    return folder.path.name


def many_parts(output: Path, parts: int = PARTS) -> None:
    """Write one audit whose rows lie in so many small parts."""
    from tests.audit_folder import make_audit

    folder = make_audit(output, PARTED, rows=40)
    place = rows_folder(folder.path, PROBE)
    for part in place.iterdir():
        part.unlink()
    store, chance = RowStore(folder.path, PROBE, Row), random.Random(2)
    for number in range(min(parts, _OPENED)):
        store.append(_rows(_IN_PART * number, _IN_PART * (number + 1), chance))
    source = row_parts(folder.path, PROBE)[-1]
    for number in range(_OPENED, parts):
        name = place / f"part-{number:06}.parquet"
        if number % _LINKS == 0:
            shutil.copyfile(source, name)
            source = name
        else:
            name.hardlink_to(source)


def _write_rows(folder: AuditFolder, rows: int) -> None:
    store = RowStore(folder.path, PROBE, Row)
    chance = random.Random(1)
    for start in range(0, rows, _PART):
        store.append(_rows(start, min(start + _PART, rows), chance))
    compact(folder.path, PROBE)


def _rows(start: int, end: int, chance: random.Random) -> Iterator[RowDict]:
    for index in range(start, end):
        if index % 20 == 19:
            yield {"case_id": f"{index:016x}", "status": "error", "error": "the logits are NaN"}
            continue
        likely = chance.random()
        label = ("negative", "positive")[index % 2]
        said = " ".join(chance.choices(_WORDS, k=22))
        yield {
            "case_id": f"{index:016x}",
            "status": "ok",
            "error": None,
            "text": f"{said} {RARE[index // 1000 % len(RARE)]}" if index % 1000 == 7 else said,
            "label": label,
            "predicted": label if likely > 0.2 else "negative",
            "correct": likely > 0.2 or label == "negative",
            "probability": round(0.5 + likely / 2, 4),
            "tokens": 20 + index % 9,
        }


def _metrics(chance: random.Random) -> list[Metric]:
    return [_metric(name, subset, chance) for name in _METRICS for subset in _SLICES]


def _metric(name: str, subset: str, chance: random.Random) -> Metric:
    hits = chance.randint(100, 180) if "min" in _BOUNDS.get(name, {}) else chance.randint(20, 90)
    interval = clopper_pearson(hits, 200)
    return Metric(
        key=f"{PROBE}/{name}",
        value=hits / 200,
        low=interval.low,
        high=interval.high,
        n=200,
        unit="rate",
        better=Better.HIGHER if "min" in _BOUNDS.get(name, {}) else Better.LOWER,
        interval=interval.method,
        headline=not subset,
        slice=subset,
    )


def _policy(chance: random.Random) -> Policy:
    gates = [{"id": name, "metric": f"{PROBE}/{name}", **bound} for name, bound in _BOUNDS.items()]
    return Policy.model_validate({"name": chance.choice(["release", "release", "nightly"]), "gates": gates})
