"""What every MLflow run of Assay is written with: its experiment, batches within MLflow's limits, and common tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.mlflow_session import TrackingError, shown_uri
from harness.pypi import is_pypi

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run

LOGGED = "assay.logged"
_DIGEST_LENGTH = 36
"""MLflow keeps at most so many characters of a dataset's digest."""
_PARAM_LENGTH, _TAG_LENGTH, _NAME_LENGTH = 500, 2000, 500
_METRICS_PER_CALL, _ENTRIES_PER_CALL = 1000, 50
"""MLflow takes at most 1000 metrics, and 100 params and tags together, in one call."""


class _Fingerprint(Protocol):
    """Digests that tell one checkpoint from another."""

    @property
    def weights(self) -> str: ...
    @property
    def config(self) -> str: ...
    @property
    def tokenizer(self) -> str: ...


def default_uri(output: Path) -> str:
    """The sqlite store beside the audits of `output`."""
    return f"sqlite:///{output.absolute() / 'mlflow.db'}"


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
        store = Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None
        location = (store.parent / "mlartifacts").as_uri() if store else None
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        raise TrackingError(f"{shown_uri(uri)}: the experiment {name!r} is deleted; restore it or name another")
    return str(found.experiment_id)


def find_or_create(client: MlflowClient, experiment: str, key: str, value: str, *, name: str, start: int | None) -> Run:
    """The run whose tag `key` is `value`; a new one has it from birth, so that one cut short is found again.

    Args:
        client: of the store.
        experiment: its id.
        key: of the tag.
        value: of the tag.
        name: of a new run.
        start: of a new run, Unix time in ms.
    """
    quoted = value.replace("'", "")
    found = client.search_runs([experiment], f"tags.`{key}` = '{quoted}'", max_results=1)
    return found[0] if found else client.create_run(experiment, start, {key: value}, run_name=name)


def log_entries(
    client: MlflowClient, run: Run, params: Mapping[str, str], tags: Mapping[str, str], metrics: Sequence[Metric]
) -> None:
    """Add what the run lacks; a param that is there stays as it is."""
    from mlflow.entities import Param, RunTag

    run_id = run.info.run_id
    new_tags = [RunTag(key, text[:_TAG_LENGTH]) for key, text in tags.items()]
    new_params = [Param(key, text[:_PARAM_LENGTH]) for key, text in params.items() if key not in run.data.params]
    for start in range(0, max(len(new_tags), len(new_params)), _ENTRIES_PER_CALL):
        part = slice(start, start + _ENTRIES_PER_CALL)
        client.log_batch(run_id, params=new_params[part], tags=new_tags[part], synchronous=True)
    for start in range(0, len(metrics), _METRICS_PER_CALL):
        client.log_batch(run_id, metrics[start : start + _METRICS_PER_CALL], synchronous=True)


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
    """`name` in the characters MLflow allows in keys on every platform."""
    return re.sub(r"[^\w\-. /]", "_", name)


def milliseconds(moment: str | None) -> int | None:
    """Unix time in ms of an ISO 8601 moment."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000) if moment else None


def _source_type(source: str) -> str:
    if is_pypi(source):
        return "pypi"
    return "local" if Path(source).expanduser().exists() or Path(source).suffix else "hugging_face"
