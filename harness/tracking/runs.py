"""What every MLflow run of Assay is written with: its experiment, batches within MLflow's limits, and common tags."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.base.files import make_folder
from harness.base.stores import shown_uri, sqlite_path
from harness.data.pypi import is_pypi
from harness.tracking.artifacts import BESIDE
from harness.tracking.session import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run

LOGGED = "assay.logged"
_BORN = "assay.born"
"""Tag with the ns at which a run was made: MLflow keeps no order of that."""
_DIGEST_LENGTH = 36
"""MLflow keeps at most so many characters of a dataset's digest."""
_PARAM_LENGTH, _TAG_LENGTH, _NAME_LENGTH, _KEY_LENGTH = 6000, 2000, 500, 250
"""MLflow's own limits, in characters, but for tags, of which it takes 8000 and a list of runs shows the first few."""
_METRICS_PER_CALL, _ENTRIES_PER_CALL = 250, 15
"""MLflow takes at most 1000 metrics, and 100 params and tags together, in one call of at most 1 MB; with every
character written as \\uXXXX these come to 0.4 and 0.5 MB."""
NOT_LOGGED = "assay.not_logged"
"""Tag with the keys that the store refused."""


class _Fingerprint(Protocol):
    """Digests that tell one checkpoint from another."""

    @property
    def weights(self) -> str: ...
    @property
    def config(self) -> str: ...
    @property
    def tokenizer(self) -> str: ...


def checkpoint_tags(source: str, digest: str, parts: _Fingerprint) -> dict[str, str]:
    """What names a checkpoint; the same for its training and its audits, so that one search finds both."""
    return {
        "assay.checkpoint": source,
        "assay.fingerprint": digest,
        "assay.weights": parts.weights,
        "assay.config": parts.config,
        "assay.tokenizer": parts.tokenizer,
    }


def common_tags(versions: Mapping[str, str]) -> dict[str, str]:
    """When a run was logged, by what."""
    return {
        LOGGED: datetime.now(UTC).isoformat(),
        "mlflow.source.name": "assay",
        "mlflow.source.type": "LOCAL",
        **{f"assay.version.{package}": number for package, number in versions.items()},
    }


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """Id of the experiment, created when needed; a local sqlite store keeps its artifacts beside itself."""
    found = client.get_experiment_by_name(name)
    if found is None:
        store = sqlite_path(uri)
        location = make_folder(store.parent / BESIDE).as_uri() if store else None
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        raise TrackingError(f"{shown_uri(uri)}: the experiment {name!r} is deleted; restore it or name another")
    return str(found.experiment_id)


def find_or_create(client: MlflowClient, experiment: str, key: str, value: str, *, name: str, start: int | None) -> Run:
    """The run whose tag `key` is `value`, in any experiment; a new one has it from birth, so it is found again.

    Of two that were made at the same moment the younger one is deleted, by whoever made it.

    Args:
        client: of the store.
        experiment: id of the experiment of a new run.
        key: of the tag.
        value: of the tag.
        name: of a new run.
        start: of a new run, Unix time in ms.
    """
    found = runs_with(client, key, value)
    if found:
        return found[0]
    made = client.create_run(experiment, start, {key: value, _BORN: f"{time.time_ns():020}"}, run_name=name)
    first = next(iter(runs_with(client, key, value)), made)
    if first.info.run_id != made.info.run_id:
        client.delete_run(made.info.run_id)
    return first


def runs_with(client: MlflowClient, key: str, value: str) -> list[Run]:
    """Runs that are not deleted and have the tag, the oldest first."""
    quoted = value.replace("'", "")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`{key}` = '{quoted}'") if experiments else []
    return sorted(found, key=lambda run: (run.data.tags.get(_BORN, ""), run.info.run_id))


def log_entries(
    client: MlflowClient, run: Run, params: Mapping[str, str], tags: Mapping[str, str], metrics: Sequence[Metric]
) -> None:
    """Add what the run lacks; a param that is there stays as it is."""
    from mlflow.entities import Metric as Entry
    from mlflow.entities import Param, RunTag

    run_id = run.info.run_id
    new_params = {safe(key): text[:_PARAM_LENGTH] for key, text in params.items() if safe(key) not in run.data.params}
    entries = {
        "tags": [RunTag(safe(key), text[:_TAG_LENGTH]) for key, text in tags.items()],
        "params": [Param(key, text) for key, text in new_params.items()],
        "metrics": [Entry(safe(each.key), each.value, each.timestamp, each.step) for each in metrics],
    }
    refused = [key for kind, all_of in entries.items() for key in _log(client, run_id, kind, all_of)]
    if refused:
        client.set_tag(run_id, NOT_LOGGED, ", ".join(refused)[:_TAG_LENGTH])


def _log(client: MlflowClient, run_id: str, kind: str, entries: Sequence[Any]) -> Iterator[str]:
    """Log entries of a kind in batches; the keys of those that the store refuses, which cost no others."""
    from mlflow.exceptions import MlflowException

    size = _METRICS_PER_CALL if kind == "metrics" else _ENTRIES_PER_CALL
    for start in range(0, len(entries), size):
        batch = list(entries[start : start + size])
        try:
            client.log_batch(run_id, **{kind: batch}, synchronous=True)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            if len(batch) == 1:
                yield batch[0].key
            else:
                for each in batch:
                    yield from _log(client, run_id, kind, [each])


def dataset_input(source: Mapping[str, Any], digest: str, rows: int, context: str) -> DatasetInput:
    """A dataset by its DataSource and digest; `context` says who read it. No data is sent."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name = dataset_name(source)
    return DatasetInput(
        Dataset(
            name=name,
            digest=digest[:_DIGEST_LENGTH],
            source_type=_source_type(name),
            source=json.dumps(source),
            profile=json.dumps({"num_rows": rows}),
        ),
        [InputTag("mlflow.data.context", context[:_NAME_LENGTH])],
    )


def dataset_name(source: Mapping[str, Any]) -> str:
    """The name a dataset is shown with."""
    return str(source.get("source", "unknown")).split("#")[0][-_NAME_LENGTH:]


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as params: `limits.cases`; those that are empty are left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif value not in (None, "", [], ()):
            yield safe(prefix + key), (value if isinstance(value, str) else json.dumps(value))[:_PARAM_LENGTH]


def safe(name: str) -> str:
    """`name` as a key MLflow takes on every platform: its characters, a path that leads nowhere else, its length.

    One that is cut ends in a digest of the whole, so that two long names stay two keys.
    """
    parts = re.sub(r"[^\w\-. /]", "_", name).split("/")
    key = "/".join("_" if part in ("", ".", "..") else part for part in parts)
    return key if len(key) <= _KEY_LENGTH else f"{key[: _KEY_LENGTH - 9]}-{_digest(name)}"


def distinct_keys(names: Sequence[str]) -> dict[str, str]:
    """`safe` of each name; those that would become one key get a digest of their own, but for the first."""
    taken: dict[str, str] = {}
    for name in names:
        key = safe(name)
        if taken.setdefault(key, name) != name:
            taken[safe(f"{key[: _KEY_LENGTH - 9]}-{_digest(name)}")] = name
    return {name: key for key, name in taken.items()}


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]


def milliseconds(moment: str | None) -> int | None:
    """Unix time in ms of an ISO 8601 moment."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000) if moment else None


def _source_type(source: str) -> str:
    if is_pypi(source):
        return "pypi"
    return "local" if Path(source).expanduser().exists() or Path(source).suffix else "hugging_face"
