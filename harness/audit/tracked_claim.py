"""What MLflow remembers of a private training, against what lies beside its weights.

Ledger and manifest lie in one folder, so whoever can write there can make up both. The run that the training logged
holds the last line of its ledger as well, in a store that others keep.
"""

from __future__ import annotations

from harness.audit.spec import AuditSpec
from harness.base.stores import default_uri, sqlite_path
from harness.provenance.claim_check import ClaimCheck
from harness.tracking.runs import runs_with
from harness.tracking.session import TrackingError, mlflow_session

LEDGER = "assay.privacy.ledger"
"""Tag of a training's run: hash of the last line of its privacy ledger."""
_WEIGHTS = "assay.weights"


def store_to_ask(spec: AuditSpec) -> str | None:
    """The store that the audit will be logged to; None where it is to be logged nowhere, or that store is yet to be."""
    if spec.tracking.uri == "off":
        return None
    uri = spec.tracking.uri or default_uri(spec.output)
    file = sqlite_path(uri)
    return None if file is not None and not file.exists() else uri


def against_store(check: ClaimCheck, uri: str | None, weights: str, ledger: str) -> ClaimCheck:
    """`check`, or that it fails where a run in the store has these weights with another ledger than `ledger`.

    A store that is away, or knows nothing of the weights, changes nothing.
    """
    if uri is None or not check.verified:
        return check
    try:
        with mlflow_session(uri) as client:
            logged = {run.data.tags.get(LEDGER) for run in runs_with(client, _WEIGHTS, weights)}
    except TrackingError:
        return check
    if logged - {None, ledger}:
        return ClaimCheck.fails(
            "MLflow has a training of these weights with another privacy ledger than the one beside them", check.epsilon
        )
    return check
