"""What the rows of adversarial/typos add up to: curves over severities, and means and worst cases over kinds."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json
from numpy.typing import NDArray

from harness.api.estimates import POSITIVE, UNIT, all_missing, estimate, share, usable, with_interval
from harness.api.metrics import Better, Metric, RowValues
from harness.stats.intervals import Method, clopper_pearson
from suites.adversarial.typos.corruptions import KINDS

METRICS = {
    "clean_accuracy": Better.HIGHER,
    "mean_accuracy": Better.HIGHER,
    "worst_kind_accuracy": Better.HIGHER,
    "robust_accuracy": Better.HIGHER,
    "flip_rate": Better.LOWER,
    "token_growth": Better.NEITHER,
}
VALUE_COLUMNS = ("label", "predicted", "versions")


def measure_typos(rows: pd.DataFrame) -> list[Metric]:
    """Metrics over all usable rows, per kind (slice 'swap'), and per kind and severity (slice 'swap: 0.1').

    A kind that cannot change a text says nothing of it: the text counts as missing in that kind's slices.
    """
    good, missing = usable(rows)
    if good.empty:
        return all_missing(METRICS, "no text could be classified", missing)
    versions = _versions(good)
    kinds = [kind for kind in KINDS if kind in set(versions["kind"])]
    shared: dict[str, Any] = {"missing": missing}
    right = good["label"].astype("int64") == good["predicted"].astype("int64")
    robust = right & versions.groupby("case_id")["right"].all().reindex(good["case_id"]).to_numpy()
    return [
        share("clean_accuracy", int(right.sum()), len(good), better=Better.HIGHER, note=_counts(good), **shared),
        _per_text("mean_accuracy", versions, "right", note="kinds and severities weigh the same", **shared),
        worst_kind(versions, kinds, missing),
        share(
            "robust_accuracy",
            int(robust.sum()),
            len(good),
            better=Better.HIGHER,
            note="right as it is and in every version",
            **shared,
        ),
        _per_text("flip_rate", versions, "flipped", note="share of versions classified unlike the text", **shared),
        _token_growth(versions, **shared),
        *(metric for kind in kinds for metric in _of_kind(versions[versions["kind"] == kind], kind, len(rows))),
    ]


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
        for version in json.loads(versions)
    ]
    return pd.DataFrame(found)


def _of_kind(versions: pd.DataFrame, kind: str, planned: int) -> list[Metric]:
    """A kind's accuracy over its severities and at each, its flip rate and token growth."""
    shared: dict[str, Any] = {"missing": planned - versions["case_id"].nunique(), "headline": False}
    curve = [
        share(
            "accuracy",
            int(at["right"].sum()),
            len(at),
            better=Better.HIGHER,
            slice=_point(kind, severity),
            note=f"{at['changed'].mean():.1%} of the words it can change were changed",
            **shared,
        )
        for severity, at in versions.groupby("severity")
    ]
    return [
        _per_text("accuracy", versions, "right", slice=kind, note="severities weigh the same", **shared),
        *curve,
        _per_text("flip_rate", versions, "flipped", slice=kind, **shared),
        _token_growth(versions, slice=kind, **shared),
    ]


def _per_text(key: str, versions: pd.DataFrame, column: str, *, level: float = 0.95, **fields: Any) -> Metric:
    """The mean over texts of each text's mean over its versions; texts are what is independent."""
    values, better = versions.groupby("case_id")[column].mean(), METRICS.get(key, Better.HIGHER)
    if len(versions) == len(values):  # one version each: a share
        hits, n = int(values.sum()), len(values)
        return with_interval(key, hits / n, clopper_pearson(hits, n, level), n, better=better, unit="rate", **fields)
    above = RowValues(values.to_numpy(np.float64), bounds=UNIT)
    return estimate(key, above, better=better, level=level, unit="rate", **fields)


def worst_kind(versions: pd.DataFrame, kinds: Sequence[str], missing: int) -> Metric:
    """The least of the kinds' accuracies.

    All kinds' intervals hold at once at level 0.95 when each has 1 - 0.05 / kinds (Bonferroni); the least true accuracy
    then lies between the least of the lower and the least of the upper ends.
    """
    level = 1 - 0.05 / len(kinds)
    found = {kind: _per_text("accuracy", versions[versions["kind"] == kind], "right", level=level) for kind in kinds}
    worst = min(kinds, key=lambda kind: found[kind].value or 0.0)
    lows, highs = ([getattr(metric, end) for metric in found.values()] for end in ("low", "high"))
    return Metric(
        key="worst_kind_accuracy",
        value=found[worst].value,
        low=min(lows),
        high=min(highs),
        interval=f"{Method.WORST} over {len(kinds)}",
        n=found[worst].n,
        missing=missing,
        unit="rate",
        better=Better.HIGHER,
        note=f"the worst is {worst}",
    )


def _token_growth(versions: pd.DataFrame, **fields: Any) -> Metric:
    """Tokens of the versions over tokens of their texts: how much the tokenizer breaks spoilt words up."""
    unknown = int(versions["unknown"].sum())
    return estimate(
        "token_growth",
        RowValues(
            versions["tokens"].to_numpy(np.float64),
            versions["clean_tokens"].to_numpy(np.float64),
            versions["case_id"].to_numpy(),
            bounds=POSITIVE,
        ),
        better=Better.NEITHER,
        note=f"tokens of the versions over tokens of the texts; {unknown} of the versions' tokens are unknown",
        **{**fields, "headline": False},
    )


def _counts(good: pd.DataFrame) -> str:
    """What a reader has to know of the rows besides their rates."""
    limits = {
        "have kinds that cannot change them": good["not_applicable"] != "{}",
        "cut to their first words": good["words_cut"] > 0,
        "longer than the model reads": good["truncated"] > 0,
    }
    return ", ".join(f"{int(hit.sum())} {what}" for what, hit in limits.items() if hit.any())
