"""Audits read back from MLflow: a list of them, and one downloaded as an audit folder."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.files import make_folder
from harness.base.stores import SQLITE, shown_uri, sqlite_path
from harness.data.pypi import cache_home
from harness.errors import UsageError
from harness.gate.decide import Outcome
from harness.record.folder import MANIFEST, AuditFolder
from harness.tracking.artifacts import artifacts_of, download
from harness.tracking.log import AUDIT_ID, LOGGED
from harness.tracking.runs import runs_with
from harness.tracking.session import TrackingError, mlflow_session

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


MOVED = "assay.moved."
"""Tag, with the alias behind it, of a version that `assay release` has moved an alias to."""


class NoBaselineYetError(TrackingError):
    """The registry was asked, and has no such model, alias or version: there is nothing to compare with yet."""


@dataclass(frozen=True, slots=True)
class AliasedRun:
    """The audit behind an alias of the model registry."""

    run_id: str
    model: str
    version: str

    @property
    def shown(self) -> str:
        """Model and version, e.g. 'sentiment 3'."""
        return f"{self.model} {self.version}"


@dataclass(frozen=True, slots=True)
class TrackedAudit:
    """An audit as its MLflow run tells it; nothing is downloaded yet."""

    run_id: str
    audit_id: str
    name: str
    created: str
    """UTC, ISO 8601."""
    checkpoint: str
    status: str
    verdict: str
    """'' before it was decided."""
    reason: str
    gates: Mapping[str, int]
    """How many gates ended in each outcome."""
    logged: str
    """When it was last logged: changes whenever its artifacts may have."""


def tracked_audits(uri: str, limit: int = 500) -> list[TrackedAudit]:
    """The newest `limit` audits logged at `uri`, in any experiment, newest first. Raises TrackingError."""
    _must_be_there(uri)
    with mlflow_session(uri) as client:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        if not experiments:
            return []
        runs = client.search_runs(
            experiments, f"tags.`{AUDIT_ID}` LIKE '%'", max_results=limit, order_by=["attributes.start_time DESC"]
        )
        return [_tracked(run) for run in runs]


def _must_be_there(uri: str) -> None:
    """A sqlite store that is not there is no empty one, and who only looks makes none. Raises TrackingError."""
    path = sqlite_path(uri)
    if path is not None and "?" not in uri and uri != SQLITE and not path.exists():
        raise TrackingError(f"{shown_uri(uri)}: no store is there; it is made when an audit is logged to it")


def fetch_audit(uri: str, audit: TrackedAudit) -> AuditFolder:
    """The audit without its reports as a folder in the cache, downloaded once per logging. Raises TrackingError."""
    if not re.fullmatch(r"[\w\-]+", audit.run_id):  # it becomes a folder name
        raise TrackingError(f"{shown_uri(uri)}: refused a run with the id {audit.run_id[:60]!r}")
    home = make_folder(cache_home() / "tracked" / _short(uri))
    target = home / f"{audit.run_id}-{_short(audit.logged)}"
    if not target.is_dir():
        scratch = Path(tempfile.mkdtemp(dir=home))
        try:
            with mlflow_session(uri) as client:
                where = f"{shown_uri(uri)}: run {audit.run_id}"
                download(artifacts_of(client, uri, audit.run_id), scratch, where)
            if not (scratch / MANIFEST).is_file():
                raise TrackingError(
                    f"{shown_uri(uri)}: run {audit.run_id} holds no {MANIFEST}; it was not logged whole"
                )
            _move(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return AuditFolder(target)


def _tracked(run: Run) -> TrackedAudit:
    tags = run.data.tags
    return TrackedAudit(
        run_id=run.info.run_id,
        audit_id=tags[AUDIT_ID],
        name=run.info.run_name or "",
        created=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds"),
        checkpoint=tags.get("assay.checkpoint", ""),
        status=tags.get("assay.status", ""),
        verdict=tags.get("assay.verdict", ""),
        reason=tags.get("assay.verdict_reason", ""),
        gates={
            str(outcome): int(tags[key])
            for outcome in Outcome
            if tags.get(key := f"assay.gates.{outcome}", "").isdigit()
        },
        logged=tags.get(LOGGED, ""),
    )


def _move(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:  # another process was first with the same run
        if not target.is_dir():
            raise


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fetch_run(uri: str, run_id: str) -> AuditFolder:
    """The audit that an MLflow run logged whole. Raises TrackingError, naming the run, where there is none."""
    with mlflow_session(uri) as client:
        run = client.get_run(run_id)
    where = f"{shown_uri(uri)}: run {run_id}"
    if AUDIT_ID not in run.data.tags:
        raise TrackingError(f"{where} is no audit (it has no tag {AUDIT_ID})")
    if run.info.lifecycle_stage != "active":
        raise TrackingError(f"{where} is {run.info.lifecycle_stage}; restore it, or compare with another")
    if run.info.status != "FINISHED":
        raise TrackingError(f"{where} is {run.info.status}: it was not logged whole; send it again with `assay sync`")
    return fetch_audit(uri, _tracked(run))


def is_logged(uri: str, run_id: str, audit_id: str) -> bool:
    """Whether the store has that run, whole, not deleted, and of that audit. Raises TrackingError where it is away."""
    from mlflow.exceptions import MlflowException

    with mlflow_session(uri) as client:
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        whole = run.info.lifecycle_stage == "active" and run.info.status == "FINISHED"
        return bool(whole and run.data.tags.get(AUDIT_ID) == audit_id)


def check_alias(model: str, alias: str) -> None:
    """Raises UsageError for a `[model]@alias` that no registry can have, so that a slip never reads as 'not yet'.

    MLflow's own rules: an alias has letters, digits, - and _, and is neither `latest` nor a version such as v3.
    """
    fits = re.fullmatch(r"[A-Za-z0-9_\-]{1,255}", alias) is not None
    taken = alias.lower() == "latest" or re.fullmatch(r"v?[0-9]+", alias, re.IGNORECASE) is not None
    if (
        fits
        and not taken
        and model == model.strip()
        and not any(char in model for char in "/:@")
        and model.isprintable()
    ):
        return
    raise UsageError(
        f"{f'{model}@{alias}'[:100]!r} names no alias of a registered model; write [model]@alias, for example "
        "sentiment@production"
    )


def run_of_alias(uri: str, ref: str) -> AliasedRun:
    """The audit behind `[model]@alias` in the model registry; the model may be left out where one has the alias.

    A model version was registered from its audit's run, or names the audit by the tag `assay.audit_id`.

    Raises:
        NoBaselineYetError: no model has the alias.
        TrackingError: several have it, it looks misspelt, or its version has no audit.
    """
    name, _, alias = ref.partition("@")
    where = shown_uri(uri)
    with mlflow_session(uri) as client:
        aliases = {str(model.name): dict(model.aliases) for model in registered_models(client)}
        names = [model for model, known in aliases.items() if alias in known and name in ("", model)]
        if not names:
            if name in aliases:
                _refuse_gone(where, client, name, alias)
            raise _no_alias(where, name, alias, aliases)
        if len(names) > 1:
            which = f"models {', '.join(sorted(names))} all have it; say model@{alias}"
            raise TrackingError(f"{where}: the alias @{alias} is not clear: {which}")
        return _run_behind(client, where, names[0], alias)


def aliased_runs(uri: str) -> dict[str, list[str]]:
    """Runs behind the aliases of all registered models, each with its aliases as `model@alias`. Raises TrackingError.

    An alias whose version names no audit is left out: no release of Assay's stands behind it.
    """
    found: dict[str, list[str]] = {}
    _must_be_there(uri)
    with mlflow_session(uri) as client:
        for model in registered_models(client):
            for alias in sorted(model.aliases):
                run_id = _run_of_version(client, client.get_model_version_by_alias(model.name, alias))
                if run_id is not None:
                    found.setdefault(run_id, []).append(f"{model.name}@{alias}")
    return found


def alias_run(uri: str, model: str, alias: str) -> AliasedRun:
    """The audit behind an alias of one model.

    Raises NoBaselineYetError where there is no such model or alias, TrackingError where its version has no audit, where
    the alias was there before, or where only case or blanks tell a name from one that is there.
    """
    where = shown_uri(uri)
    with mlflow_session(uri) as client:
        aliases = {str(each.name): dict(each.aliases) for each in registered_models(client)}
        if alias not in aliases.get(model, {}):
            _refuse_other_case(where, model, alias, aliases)
            _refuse_gone(where, client, model, alias)
            raise NoBaselineYetError(f"{where}: {model} has no version with the alias @{alias} yet")
        return _run_behind(client, where, model, alias)


def _run_behind(client: MlflowClient, where: str, model: str, alias: str) -> AliasedRun:
    """Of an alias that is there."""
    version = client.get_model_version_by_alias(model, alias)
    run_id = _run_of_version(client, version)
    if run_id is None:
        raise TrackingError(
            f"{where}: version {version.version} of {model} (@{alias}) names no audit; "
            f"set its tag {AUDIT_ID}, or give the audit's folder or run id"
        )
    return AliasedRun(run_id, model, str(version.version))


def _refuse_other_case(where: str, model: str, alias: str, aliases: Mapping[str, Mapping[str, str]]) -> None:
    for name, known in (("model", list(aliases)), ("alias", list(aliases.get(model, {})))):
        mine = model if name == "model" else alias
        same = [each for each in known if each != mine and each.strip().casefold() == mine.strip().casefold()]
        if same and mine not in known:
            raise TrackingError(
                f"{where}: there is the {name} {same[0]!r}, which {mine!r} would be told from by case alone"
            )


def _refuse_gone(where: str, client: MlflowClient, model: str, alias: str) -> None:
    """Raises TrackingError where a version had the alias: then this is no first release, whoever took it away."""
    found = client.search_model_versions(f"name = '{model.replace(chr(39), '')}' and tags.`{MOVED}{alias}` = 'yes'")
    if found:
        raise TrackingError(
            f"{where}: {model}@{alias} pointed to version {found[0].version} and points to none now; "
            "set the alias again, or compare with an audit by --baseline"
        )


def registered_models(client: MlflowClient) -> Iterator[RegisteredModel]:
    """Every registered model of a store, however many pages they fill."""
    token: str | None = None
    while True:
        page = client.search_registered_models(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _no_alias(where: str, name: str, alias: str, aliases: Mapping[str, Mapping[str, str]]) -> TrackingError:
    """Nothing yet; but where something has nearly that name it is taken for a slip, which no policy excuses."""
    known = sorted({each for of_model in aliases.values() for each in of_model}) if name in ("", *aliases) else []
    slips = [each for each in known if _is_slip(alias, each)]
    models = [] if name in ("", *aliases) else [each for each in aliases if _is_slip(name, each)]
    if models:
        return TrackingError(f"{where}: no registered model is called {name!r}; did you mean {models[0]!r}?")
    if slips and alias not in known:
        return TrackingError(f"{where}: no model has the alias @{alias}; did you mean @{slips[0]}?")
    what = f"{name} has no version with the alias @{alias}" if name else f"no model has the alias @{alias}"
    return NoBaselineYetError(f"{where}: {what} yet")


def _is_slip(one: str, two: str) -> bool:
    """Whether two names differ as mistyped ones do: by case, a letter lost or doubled, or two that changed places.

    Or by one letter of a longer word. @prod-eu and @prod-us, model-a and model-b are names of their own.
    """
    one, two = one.lower(), two.lower()
    if one == two:
        return True
    short, long = sorted((one, two), key=len)
    if len(short) == len(long) and _one_letter(one, two):
        return True
    if len(long) == len(short) + 1:
        return any(long[at].isalpha() and long[:at] + long[at + 1 :] == short for at in range(len(long)))
    pairs = range(len(short) - 1) if len(short) == len(long) else ()
    return any(short[:at] + short[at + 1] + short[at] + short[at + 2 :] == long for at in pairs)


def _one_letter(one: str, two: str) -> bool:
    """Whether one letter differs, in a word of five or more: `sentimant`, but not `model-a` or `tier1`."""
    if sum(a != b for a, b in zip(one, two, strict=True)) != 1:
        return False
    words = zip(re.split(r"[-_. ]", one), re.split(r"[-_. ]", two), strict=False)
    first, second = next((pair for pair in words if pair[0] != pair[1]), ("", ""))
    return len(first) >= 5 and first.isalpha() and second.isalpha()


def _run_of_version(client: MlflowClient, version: ModelVersion) -> str | None:
    if version.run_id and AUDIT_ID in client.get_run(version.run_id).data.tags:
        return str(version.run_id)
    audit = version.tags.get(AUDIT_ID)
    if audit is None:
        return None
    runs = runs_with(client, AUDIT_ID, audit)
    return str(runs[0].info.run_id) if runs else None
