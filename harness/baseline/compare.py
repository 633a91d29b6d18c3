"""A candidate beside its baseline: finds the audit that is meant, checks that both measured the same, pairs rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.api.metrics import Better, Metric
from harness.api.probe import Probe
from harness.api.registry import Found, ProbeClass, find_probes
from harness.base.validation import validated
from harness.baseline.pairs import DEFAULT_LEVEL, Key, Pairs, Rule, compare_measured, compare_values, pair
from harness.errors import UsageError
from harness.gate.policy import Evidence, Policy
from harness.gate.verdict import BaselineRecord, Compared, Comparison
from harness.record.folder import AuditFolder, AuditManifest, ProbeRecord, Status

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_NO_SHARE = (
    "the baseline's own value has no interval on both sides, so a share of it is not known; give a margin in units"
)
_SEEDS = ("seed",)
"""Settings that may differ: another seed is another draw of the same measurement."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """An audit to compare with, and how the user named it."""

    folder: AuditFolder
    ref: str
    run_id: str = ""
    version: str = ""
    """Registered model and version that it was found by, e.g. 'sentiment 3'."""


def find_baseline(ref: str, output: Path, uri: str | None = None) -> Baseline:
    """The audit that `ref` names: a folder, an id below `output`, an MLflow run id, or [model]@alias of the registry.

    Raises UsageError where nothing is called so, TrackingError where MLflow is away or what it has is not whole,
    NoBaselineYetError where its registry has no such alias yet.
    """
    path = Path(ref).expanduser()
    kept = ("@" in ref or _RUN_ID.fullmatch(ref)) and "/" not in ref  # a folder of that name is written ./NAME
    for folder in () if kept else (path, output / ref):
        if folder.is_dir():
            return Baseline(AuditFolder(folder), ref)
    if kept:
        from harness.base.stores import default_uri, sqlite_path
        from harness.tracking.fetch import check_alias, fetch_run, run_of_alias

        if "@" in ref:
            check_alias(*ref.split("@", 1))
        where = uri or default_uri(output)
        store = sqlite_path(where)
        if store is not None and not store.exists():
            raise UsageError(
                f"baseline {ref}: there is no store at {store} to ask; log an audit there first, or give --tracking-uri"
            )
        if "@" not in ref:
            return Baseline(fetch_run(where, ref), ref, ref)
        found = run_of_alias(where, ref)
        return Baseline(fetch_run(where, found.run_id), ref, found.run_id, found.shown)
    raise UsageError(
        f"baseline {ref!r}: no such folder, and no audit of {output} is called so; "
        "give an audit's folder, an MLflow run id or [model]@alias of a registered model"
    )


def compare(
    policy: Policy,
    folder: AuditFolder,
    baseline: Baseline,
    *,
    allow_other_data: bool = False,
    found: Found | None = None,
) -> Compared:
    """Every metric that a gate of `policy` compares with its baseline, paired by case.

    Raises UsageError where the baseline is no finished audit, or measured other data and that is not allowed.
    """
    work = _work(folder, baseline)
    asked = _asked_by(policy, work)
    other = _checked_data(work, baseline, asked, allow_other_data)
    comparisons = _compared(work, asked, found or find_probes())
    identity = _identity(baseline, work.base_manifest, other)
    return Compared(identity, comparisons, warnings=tuple(_warnings(work, comparisons, other)))


def compare_metrics(
    metrics: Sequence[Metric],
    folder: AuditFolder,
    baseline: Baseline,
    *,
    level: float = DEFAULT_LEVEL,
    found: Found | None = None,
    all_probes: bool = True,
) -> list[Comparison]:
    """Each of these metrics of the audit in `folder`, paired by case with the baseline; in their order.

    A metric is compared in the direction that it names as better, whichever audit it came from. Raises UsageError as
    `compare` does; without `all_probes` a probe that measured other data there is left out and its metrics say so.
    """
    work = _work(folder, baseline)
    rule = Rule(margin=0.0, level=level, test=Evidence().test, draws=Evidence().draws)
    asked = [_Asked(("", metric.key, metric.slice), metric, rule) for metric in metrics]
    if all_probes:
        _checked_data(work, baseline, asked, allowed=False)
    else:
        asked = [replace(each, why=_no_pairs(_other_data(work, each.probe))) for each in asked]
    comparisons = _compared(work, asked, found or find_probes())
    return [comparisons[each.key] for each in asked]


@dataclass(frozen=True, slots=True)
class _Work:
    folder: AuditFolder
    manifest: AuditManifest
    base_folder: AuditFolder
    base_manifest: AuditManifest
    metrics: list[Metric] = field(default_factory=list)
    base_metrics: list[Metric] = field(default_factory=list)


_Key = tuple[str, str, str]
"""Id of the gate that asks ('' for none), key and slice of the metric."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A metric to be compared, and how; without a rule, why not."""

    key: _Key
    metric: Metric
    rule: Rule | None
    why: str = ""

    @property
    def probe(self) -> str:
        return self.metric.key.rpartition("/")[0]


def _work(folder: AuditFolder, baseline: Baseline) -> _Work:
    record = baseline.folder.manifest()
    if record.status is not Status.FINISHED:
        raise UsageError(f"baseline {baseline.ref}: the audit is {record.status}, not finished")
    return _Work(folder, folder.manifest(), baseline.folder, record, folder.metrics(), baseline.folder.metrics())


def _asked_by(policy: Policy, work: _Work) -> list[_Asked]:
    """What the gates with a baseline compare."""
    asked = []
    for gate in policy.gates:
        for metric in work.metrics if gate.baseline is not None else ():
            if gate.covers(metric.key, metric.slice):
                rule = Rule.of(gate, _value_there(work, metric))
                is_share = gate.baseline is not None and gate.baseline.relative
                why = "a share of a value with a target is no margin; give it in units"
                why = _NO_SHARE if rule is None else why if is_share and metric.better is Better.TARGET else ""
                asked.append(_Asked((gate.id, metric.key, metric.slice), metric, rule, why))
    return asked


def _checked_data(work: _Work, baseline: Baseline, asked: Sequence[_Asked], allowed: bool) -> list[str]:
    """Inputs of the probes asked about that differ. Raises UsageError where there are some and that is not allowed."""
    other = sorted({place for probe in {each.probe for each in asked} for place in _other_data(work, probe)})
    if other and not allowed:
        raise UsageError(
            f"baseline {baseline.ref}: {_no_pairs(other)}; audit the baseline on the same data, or pass "
            "--allow-other-data to pair what both have"
        )
    return other


def _no_pairs(other: Sequence[str]) -> str:
    return f"its data for {other[0]} differ (another digest), so its rows are no pairs of these" if other else ""


def _compared(work: _Work, asked: Sequence[_Asked], found: Found) -> dict[_Key, Comparison]:
    by_probe: dict[str, list[_Asked]] = {}
    for each in asked:
        by_probe.setdefault(each.probe, []).append(each)
    comparisons: dict[_Key, Comparison] = {}
    for probe, mine in by_probe.items():
        comparisons.update(_compare_probe(work, probe, mine, found))
    return comparisons


def _compare_probe(work: _Work, name: str, asked: Sequence[_Asked], found: Found) -> dict[_Key, Comparison]:
    out: dict[_Key, Comparison] = {}
    keys: dict[_Key, tuple[Metric, Rule]] = {}
    record, incomparable = _record(work.manifest, name), _incomparable(work, name, found)
    for each in asked:
        why = incomparable or each.why
        if each.rule is None or record is None or why:
            out[each.key] = _none(each.metric, each.rule, why)
        else:
            keys[each.key] = each.metric, each.rule
    if not keys or record is None:
        return out
    probe = _probe(found, record)
    rest: dict[_Key, tuple[Metric, Rule]] = {}
    pairs = _read(work, probe, probe.value_columns(metric.key.rpartition("/")[2] for metric, _ in keys.values()))
    gone = _rows_gone(work, name, pairs)
    if gone:
        return out | {key: _none(metric, rule, gone) for key, (metric, rule) in keys.items()}
    for key, (metric, rule) in keys.items():
        if _is_per_token(probe, metric) and _other_tokenizer(work):
            out[key] = _none(metric, rule, "it is counted per token, and the baseline has another tokenizer")
            continue
        if metric.better is Better.NEITHER or (metric.better is Better.TARGET and metric.target is None):
            out[key] = _none(metric, rule, "no direction of it is better; give the gate min, max or within")
            continue
        compared = _by_values(probe, metric, rule, pairs)
        if compared is None:
            rest[key] = (metric, rule)
        else:
            out[key] = compared
    return out | _by_measure(work, probe, rest)


def _by_values(probe: Probe[Any], metric: Metric, rule: Rule, pairs: Pairs) -> Comparison | None:
    if not len(pairs):
        return _none(metric, rule, "no case is in both audits", **pairs.unmatched)
    last = metric.key.rpartition("/")[2]
    ours, theirs = (probe.row_values(rows, last, metric.slice) for rows in (pairs.candidate, pairs.baseline))
    return None if ours is None or theirs is None else compare_values(metric, pairs, ours, theirs, rule)


def _by_measure(work: _Work, probe: Probe[Any], rest: Mapping[_Key, tuple[Metric, Rule]]) -> dict[_Key, Comparison]:
    if not rest:
        return {}
    pairs = _read(work, probe, ())
    why = _rows_gone(work, probe.name, pairs) or ("" if len(pairs) else "no case is in both audits")
    if why:
        return {key: _none(metric, rule, why, **pairs.unmatched) for key, (metric, rule) in rest.items()}
    out = {}
    rules = {rule for _, rule in rest.values()}
    for rule in sorted(rules, key=repr):  # two gates may ask for the same metric with different margins
        mine = {key: metric for key, (metric, own) in rest.items() if own == rule}
        by_name: dict[Key, tuple[Metric, Rule]] = {
            (metric.key.rpartition("/")[2], metric.slice): (metric, rule) for metric in mine.values()
        }
        compared = compare_measured(probe, by_name, pairs)
        out.update({key: compared[metric.key.rpartition("/")[2], metric.slice] for key, metric in mine.items()})
    return out


def _read(work: _Work, probe: Probe[Any], columns: tuple[str, ...]) -> Pairs:
    wanted = [*dict.fromkeys(("case_id", "status", *columns))] if columns else None
    return pair(work.folder.rows(probe.name, wanted), work.base_folder.rows(probe.name, wanted))


def _incomparable(work: _Work, name: str, found: Found) -> str:
    """Why the rows of a probe in the two audits are not about the same; '' when they are."""
    ours, theirs = _record(work.manifest, name), _record(work.base_manifest, name)
    if ours is None or theirs is None:
        return f"the {'candidate' if ours is None else 'baseline'} has no record of {name}"
    if name in work.base_manifest.incomplete:
        return f"{name} did not finish in the baseline: {work.base_manifest.incomplete[name]}"
    if ours.version != theirs.version:
        return f"{name} was version {theirs.version} in the baseline and is version {ours.version} now"
    if name not in found.probes:
        return f"the plug-in of {name} is not installed here"
    before = {**_defaults(found.probes[name], ours.params), **theirs.params}
    free = (*_SEEDS, *found.probes[name].compared_over)
    for key in (
        key for key in {**before, **ours.params} if key not in free and ours.params.get(key) != before.get(key)
    ):
        return f"the setting {key} of {name} was {before.get(key)!r} in the baseline, is {ours.params.get(key)!r}"
    return ""


def _defaults(probe: ProbeClass, known: Mapping[str, Any]) -> dict[str, Any]:
    """What settings were before there were any: a new one begins with what was done without it, or is a new version."""
    fields = probe.Params.model_fields
    plain = {name: field.default for name, field in fields.items() if name in known and not field.is_required()}
    return {name: value for name, value in plain.items() if isinstance(value, str | int | float | bool | None)}


def _is_per_token(probe: Probe[Any], metric: Metric) -> bool:
    named = probe.named().get(metric.key.rpartition("/")[2])
    return named is not None and named.per_token


def _other_tokenizer(work: _Work) -> bool:
    ours, theirs = work.manifest.checkpoint.tokenizer, work.base_manifest.checkpoint.tokenizer
    return bool(ours) and bool(theirs) and ours != theirs


def _rows_gone(work: _Work, name: str, pairs: Pairs) -> str:
    """Which side has fewer rows than it recorded, of a folder that was copied or uploaded in part; '' for neither."""
    sides = (
        ("candidate", work.manifest, len(pairs) + pairs.excluded + pairs.only_candidate),
        ("baseline", work.base_manifest, len(pairs) + pairs.excluded + pairs.only_baseline),
    )
    for which, manifest, count in sides:
        record = _record(manifest, name)
        if record is not None and count != record.cases and name not in manifest.incomplete:
            return f"the {which} has {count} rows of {name} where its manifest records {record.cases}"
    return ""


def _other_data(work: _Work, name: str) -> list[str]:
    """Inputs, and roles of other models, in which the two audits of a probe differ."""
    ours, theirs = _record(work.manifest, name), _record(work.base_manifest, name)
    if ours is None or theirs is None:
        return []
    inputs = sorted(ours.data.keys() & theirs.data.keys())
    roles = sorted(ours.models.keys() & theirs.models.keys())
    return [
        *(f"{name}:{key}" for key in inputs if ours.data[key].digest != theirs.data[key].digest),
        *(
            f"{name}:{role} (a model beside the checkpoint)"
            for role in roles
            if ours.models[role].fingerprint != theirs.models[role].fingerprint
        ),
    ]


def _probe(found: Found, record: ProbeRecord) -> Probe[Any]:
    probe_class = found.probes[record.name]
    return probe_class(validated(probe_class.Params, record.params, f"recorded params of {record.name}"))


def _record(manifest: AuditManifest, name: str) -> ProbeRecord | None:
    return next((record for record in manifest.probes if record.name == name), None)


def _value_there(work: _Work, metric: Metric) -> Metric | None:
    """The same metric in the baseline's own record."""
    found = [each for each in work.base_metrics if (each.key, each.slice) == (metric.key, metric.slice)]
    return found[0] if len(found) == 1 else None


def _none(metric: Metric, rule: Rule | None, why: str, **counts: int) -> Comparison:
    level = {"level": rule.level} if rule is not None else {}
    return Comparison(metric=metric.key, slice=metric.slice, note=why, **level, **counts)


def _identity(baseline: Baseline, record: AuditManifest, other: Sequence[str]) -> BaselineRecord:
    return BaselineRecord(
        ref=baseline.ref,
        audit_id=record.audit_id,
        name=record.name,
        created=record.created,
        checkpoint=record.checkpoint.source,
        fingerprint=record.checkpoint.fingerprint,
        run_id=baseline.run_id,
        version=baseline.version,
        other_data=tuple(other),
    )


def _warnings(work: _Work, found: Mapping[Any, Comparison], other: Sequence[str]) -> list[str]:
    warnings = [
        f"the baseline's data for {place} differ, as allowed: only cases that both have were compared"
        for place in other
    ]
    if work.manifest.audit_id == work.base_manifest.audit_id:
        warnings.append("the baseline is the candidate itself")
    unmatched: dict[str, tuple[int, int]] = {}
    excluded = {each.metric.rpartition("/")[0]: each.excluded for each in found.values() if each.excluded}
    warnings += [
        f"{probe}: it does not apply to {count} of the cases that both have, which were left out"
        for probe, count in excluded.items()
    ]
    for each in found.values():
        if each.only_candidate or each.only_baseline:
            unmatched[each.metric.rpartition("/")[0]] = (each.only_candidate, each.only_baseline)
    warnings += [
        f"{probe}: {ours} cases of the candidate and {theirs} of the baseline have no counterpart and were left out"
        for probe, (ours, theirs) in unmatched.items()
    ]
    return warnings
