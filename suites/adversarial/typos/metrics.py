"""What the rows of adversarial/typos add up to: curves over severities, and means and worst cases over kinds."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json
from numpy.typing import NDArray

from harness.api.declared import Computed, Declared, Named, Rows
from harness.api.estimates import POSITIVE, UNIT
from harness.api.lists import as_list
from harness.api.metrics import Better, Metric, RowValues
from harness.stats.intervals import Method, clopper_pearson
from suites.adversarial.typos.corruptions import KINDS

_SHARE: dict[str, Any] = {"unit": "rate", "is_share": True}
_NAMED = (
    Named("clean_accuracy", Better.HIGHER, **_SHARE),
    Named("mean_accuracy", Better.HIGHER, unit="rate", note="kinds and severities weigh the same"),
    Named("worst_kind_accuracy", Better.HIGHER, unit="rate"),
    Named("robust_accuracy", Better.HIGHER, note="right as it is and in every version", **_SHARE),
    Named("flip_rate", Better.LOWER, unit="rate"),
    Named("token_growth", Better.NEITHER, headline=False),
    Named("accuracy", Better.HIGHER, unit="rate", sliced_only=True),
)
_OF = {each.key: each for each in _NAMED}
VALUE_COLUMNS = ("label", "predicted", "versions")


def typo_metrics() -> tuple[Declared, ...]:
    """Metrics over all usable rows, per kind (slice 'swap'), and per kind and severity (slice 'swap: 0.1').

    A kind that cannot change a text says nothing of it: the text counts as missing in that kind's slices.
    """
    return (Computed(_NAMED, _measure, typo_values, VALUE_COLUMNS),)


def _measure(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    good, missing = rows.good, rows.missing
    versions = _versions(good)
    kinds = [kind for kind in KINDS if kind in set(versions["kind"])]
    right = good["label"].astype("int64") == good["predicted"].astype("int64")
    robust = right & versions.groupby("case_id")["right"].all().reindex(good["case_id"]).to_numpy()
    yield named["clean_accuracy"].share(int(right.sum()), len(good), note=_counts(good), missing=missing)
    yield _per_text(named["mean_accuracy"], versions, "right", missing=missing)
    yield worst_kind(versions, kinds, missing)
    yield named["robust_accuracy"].share(int(robust.sum()), len(good), missing=missing)
    flips = "share of versions classified unlike the text"
    yield _per_text(named["flip_rate"], versions, "flipped", note=flips, missing=missing)
    yield _token_growth(versions, missing=missing)
    for kind in kinds:
        yield from _of_kind(versions[versions["kind"] == kind], kind, len(rows.all) - rows.excluded)


def typo_values(rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
    """What each text adds to a rate: a slice's is over the texts that its kind can change."""
    of_versions = ("accuracy", "flip_rate") if part else ("mean_accuracy", "robust_accuracy", "flip_rate")
    if metric not in of_versions and (part or metric != "clean_accuracy"):
        return None
    ok = (rows["status"] == "ok").to_numpy()
    label, predicted = (pd.to_numeric(rows[name]).to_numpy(np.float64, na_value=np.nan) for name in VALUE_COLUMNS[:2])
    right = label == predicted
    if metric == "clean_accuracy":
        return RowValues(np.where(ok, right, np.nan), bounds=UNIT)
    of, versions = _answers(rows["versions"].where(rows["status"] == "ok", "[]"))
    answer = versions.field("predicted").to_numpy(zero_copy_only=False)
    if part:
        kind, severity = (versions.field(name).to_numpy(zero_copy_only=False) for name in ("kind", "severity"))
        chosen = np.array(
            [part in (each, _point(each, at)) for each, at in zip(kind, severity, strict=True)], dtype=bool
        )
        of, answer = of[chosen], answer[chosen]
    hit = answer != predicted[of] if metric == "flip_rate" else answer == label[of]
    counts, hits = (np.bincount(of, each, len(rows)) for each in (None, hit))
    if metric == "robust_accuracy":
        return RowValues(np.where(ok, right & (hits == counts), np.nan), bounds=UNIT)
    above = np.divide(hits, counts, out=np.zeros(len(rows)), where=counts > 0)
    return RowValues(np.where(ok, above, np.nan), ((counts > 0) | ~ok).astype(np.float64), bounds=UNIT)


def _answers(versions: pd.Series[Any]) -> tuple[NDArray[Any], Any]:
    """Of every version of all texts: which row it is of; and its kind, severity and predicted class (arrow structs)."""
    lines = io.BytesIO()  # one line after the other: a million at once take half a gigabyte more
    for cell in versions:
        lines.write(b'{"v": %b}\n' % cell.encode())
    lines.seek(0)
    version = pa.struct([("kind", pa.string()), ("severity", pa.float64()), ("predicted", pa.int64())])
    found = pyarrow.json.read_json(
        lines,
        pyarrow.json.ReadOptions(use_threads=False, block_size=max(1 << 20, 2 * int(versions.str.len().max()) + 64)),
        pyarrow.json.ParseOptions(pa.schema([("v", pa.list_(version))]), unexpected_field_behavior="ignore"),
    )["v"].combine_chunks()
    flat = found.flatten()
    of = np.repeat(np.arange(len(found)), np.diff(found.offsets.to_numpy()))
    return of, flat


def _point(kind: str, severity: Any) -> str:
    """The slice of a kind at one severity."""
    return f"{kind}: {severity:g}"


def _versions(good: pd.DataFrame) -> pd.DataFrame:
    """One line per version of every text."""
    found = [
        {
            "case_id": case_id,
            "kind": version["kind"],
            "severity": version["severity"],
            "right": version["predicted"] == label,
            "flipped": version["predicted"] != predicted,
            "changed": version["changed"] / version["changeable"],
            "tokens": version["tokens"],
            "unknown": version["unknown_tokens"],
            "clean_tokens": tokens,
        }
        for case_id, label, predicted, tokens, versions in zip(
            good["case_id"], good["label"], good["predicted"], good["tokens"], good["versions"], strict=True
        )
        for version in as_list(versions)
    ]
    return pd.DataFrame(found)


def _of_kind(versions: pd.DataFrame, kind: str, planned: int) -> list[Metric]:
    """A kind's accuracy over its severities and at each, its flip rate and token growth."""
    missing = planned - versions["case_id"].nunique()
    curve = [
        _OF["accuracy"].share(
            int(at["right"].sum()),
            len(at),
            slice=_point(kind, severity),
            note=f"{at['changed'].mean():.1%} of the words it can change were changed",
            missing=missing,
        )
        for severity, at in versions.groupby("severity")
    ]
    note = "severities weigh the same"
    return [
        _per_text(_OF["accuracy"], versions, "right", slice=kind, note=note, missing=missing),
        *curve,
        _per_text(_OF["flip_rate"], versions, "flipped", slice=kind, missing=missing),
        _token_growth(versions, slice=kind, missing=missing),
    ]


def _per_text(named: Named, versions: pd.DataFrame, column: str, *, level: float = 0.95, **fields: Any) -> Metric:
    """The mean over texts of each text's mean over its versions; texts are what is independent."""
    values = versions.groupby("case_id")[column].mean()
    if len(versions) == len(values):  # one version each: a share
        hits, n = int(values.sum()), len(values)
        return named.value(hits / n, clopper_pearson(hits, n, level), n, **fields)
    return named.estimate(RowValues(values.to_numpy(np.float64), bounds=UNIT), level=level, **fields)


def worst_kind(versions: pd.DataFrame, kinds: Sequence[str], missing: int) -> Metric:
    """The least of the kinds' accuracies.

    All kinds' intervals hold at once at level 0.95 when each has 1 - 0.05 / kinds (Bonferroni); the least true accuracy
    then lies between the least of the lower and the least of the upper ends.
    """
    level = 1 - 0.05 / len(kinds)
    found = {
        kind: _per_text(_OF["accuracy"], versions[versions["kind"] == kind], "right", level=level) for kind in kinds
    }
    worst = min(kinds, key=lambda kind: found[kind].value or 0.0)
    lows, highs = ([getattr(metric, end) for metric in found.values()] for end in ("low", "high"))
    value = found[worst].value
    assert value is not None  # a share of texts that there are
    metric = _OF["worst_kind_accuracy"].value(
        value, None, found[worst].n, missing=missing, note=f"the worst is {worst}", low=min(lows), high=min(highs)
    )
    return metric.model_copy(update={"interval": f"{Method.WORST} over {len(kinds)}"})


def _token_growth(versions: pd.DataFrame, **fields: Any) -> Metric:
    """Tokens of the versions over tokens of their texts: how much the tokenizer breaks spoilt words up."""
    unknown = int(versions["unknown"].sum())
    grown, clean = (versions[name].to_numpy(np.float64) for name in ("tokens", "clean_tokens"))
    values = RowValues(grown, clean, versions["case_id"].to_numpy(), bounds=POSITIVE)
    note = f"tokens of the versions over tokens of the texts; {unknown} of the versions' tokens are unknown"
    return _OF["token_growth"].estimate(values, note=note, **fields)


def _counts(good: pd.DataFrame) -> str:
    """What a reader has to know of the rows besides their rates."""
    limits = {
        "have kinds that cannot change them": good["not_applicable"] != "{}",
        "cut to their first words": good["words_cut"] > 0,
        "longer than the model reads": good["truncated"] > 0,
    }
    return ", ".join(f"{int(hit.sum())} {what}" for what, hit in limits.items() if hit.any())
