"""From an audit's record to its verdict: gathers what the pure decision needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from harness.api.metrics import Metric
from harness.base.stores import store_beside
from harness.baseline.compare import compare, find_baseline
from harness.errors import AssayError
from harness.gate.decide import Policy, Verdict, decide
from harness.gate.verdict import Absence, Compared
from harness.provenance.claim import ClaimRecord
from harness.record.folder import AuditFolder, AuditManifest
from harness.tracking.fetch import NoBaselineYetError


def first_verdict(
    folder: AuditFolder, manifest: AuditManifest, metrics: list[Metric], policy: Policy | None
) -> Verdict:
    """The verdict that ends an audit; a baseline that cannot be had must not cost it, so the verdict says why."""
    compared = None
    if policy is not None and policy.baseline:
        try:
            compared = compared_with(
                policy.baseline, policy, folder, store_of(folder, manifest.spec["tracking"]["uri"])
            )
        except AssayError as error:
            compared = Compared(why_not=str(error))
    return judge(policy, manifest, metrics, compared)


def compared_with(
    ref: str, policy: Policy, folder: AuditFolder, uri: str | None, *, allow_other_data: bool = False
) -> Compared:
    """The audit beside the baseline that `ref` names; without one where the registry has no such alias or version yet.

    Raises UsageError, TrackingError: it is misspelt, refused, or cannot be reached.
    """
    try:
        baseline = find_baseline(ref, folder.path.parent, uri)
    except NoBaselineYetError as error:
        return Compared(why_not=str(error), absence=Absence.NO_BASELINE_YET)
    return compare(policy, folder, baseline, allow_other_data=allow_other_data)


def rows_lost(folder: AuditFolder, manifest: AuditManifest) -> dict[str, str]:
    """Probes of which fewer (or more) rows are there than the manifest counts cases -> how many."""
    found = {}
    for record in manifest.probes:
        count = folder.count(record.name)
        if count != record.cases and record.name not in manifest.incomplete:
            found[record.name] = f"{count} rows are there where its manifest records {record.cases}"
    return found


def judge(
    policy: Policy | None,
    manifest: AuditManifest,
    metrics: list[Metric],
    compared: Compared | None,
    lost: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict on a measured audit, today: what its manifest says of the gates' other facts, and `decide`.

    `lost` are probes whose rows are not all there, from `rows_lost`.
    """
    claim = _claim(manifest)
    return decide(
        policy,
        metrics,
        incomplete={**_unloaded(manifest), **(lost or {}), **manifest.incomplete},
        not_applicable=manifest.not_applicable,
        no_data=manifest.no_data,
        left_out=manifest.left_out,
        compared=compared,
        privacy_claim=claim is not None,
        claim_doubt=claim.doubt if claim else "",
        used_up={record.name for record in manifest.probes if record.cases >= record.available},
        today=datetime.now(UTC).date(),
    )


def _unloaded(manifest: AuditManifest) -> dict[str, str]:
    """Probes whose plug-in did not load, by the name of their entry point: a pattern must not pass without them."""
    points = {key.partition(" = ")[0].replace(".", "/", 1): why for key, why in manifest.plugin_errors.items()}
    return {name: f"its plug-in did not load ({why})" for name, why in points.items() if "/" in name}


def _claim(manifest: AuditManifest) -> ClaimRecord | None:
    """What the checkpoint claims; None where it claims no privacy."""
    training = manifest.checkpoint.training
    claim = training.privacy if training else None
    return claim if claim is not None and claim.is_made else None


def store_of(folder: AuditFolder, uri: str | None) -> str | None:
    """The MLflow store to read baselines from; None: the one beside the audits."""
    return store_beside(uri, folder.path) if uri and uri != "off" else folder.tracking().get("uri")
