"""A server's answers name places and files; those it has no business with are refused before anything is touched."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.base.limits import VARIABLE
from harness.base.stores import default_uri
from harness.tracking.artifacts import ArtifactError, checked_location, download
from harness.tracking.fetch import fetch_run
from harness.tracking.log import AUDIT_ID, log_audit
from harness.tracking.session import TrackingError, mlflow_session
from tests.audit_folder import make_audit

SERVER = "https://mlflow.example:5000"


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/1/abc/artifacts",
        "mlflow-artifacts://mlflow.example:5000/1/abc/artifacts",
        "https://mlflow.example:5000/api/2.0/mlflow-artifacts/artifacts/1",
        "s3://bucket/1/abc/artifacts",
        "gs://bucket/1",
        "wasbs://container@account.blob.core.windows.net/1",
    ],
)
def test_a_server_may_name_itself_and_object_stores(location: str) -> None:
    assert checked_location(SERVER, location, "r") == location


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc",
        "FILE:///etc",
        "file://localhost/etc",
        "file:/etc",
        "file:etc",
        "/etc",
        "etc",
        "./mlruns/1",
        "mlartifacts/1",
        "",
        "ftp://mlflow.example/x",
        "sftp://root@mlflow.example/etc",
        "runs:/abc/x",
        "models:/m/1",
        "dbfs:/x",
        "mlflow-artifacts://other.example/1",
        "mlflow-artifacts://mlflow.example:1/1",
        "http://169.254.169.254/latest",
        "https://user@mlflow.example:5000/x",
        "mlflow-artifacts:/1/../../x",
        "mlflow-artifacts:/1/%2e%2e/x",
        "mlflow-artifacts:/1/%252e%252e/x",
        "s3://bucket/../other",
        "s3://bucket\n/x",
        "plugin-of-somebody://x",
    ],
)
def test_a_server_may_not_name_this_machine_or_others(location: str) -> None:
    with pytest.raises(ArtifactError, match=r"^https://mlflow\.example:5000: refused the artifacts of run r at"):
        checked_location(SERVER, location, "r")


def test_a_local_store_names_folders_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "audits"
    (home / "mlartifacts").mkdir(parents=True)
    (home / "link").symlink_to("/etc")
    uri = f"sqlite:///{home / 'mlflow.db'}"
    inside = (home / "mlartifacts" / "1").as_uri()
    assert checked_location(uri, inside, "r") == inside
    assert checked_location(uri, str(home / "mlartifacts" / "1"), "r") == inside
    assert checked_location(uri, "./mlruns/1", "r") == (tmp_path / "mlruns" / "1").as_uri()
    assert checked_location("postgresql://user@host/db", "./mlruns/1", "r").endswith("/mlruns/1")
    assert checked_location("./mlruns", "mlruns/1", "r").endswith("/mlruns/1")
    assert checked_location(uri, "s3://bucket/1", "r") == "s3://bucket/1"
    for location in ("/etc", "file:///etc", (home / "link" / "ssh").as_uri(), f"{home}-other/1", f"{home}/../other"):
        with pytest.raises(ArtifactError, match="refused"):
            checked_location(uri, location, "r")
    with pytest.raises(ArtifactError, match="refused"):
        checked_location("postgresql://user@host/db", "/etc", "r")


def test_a_store_that_was_moved_names_its_runs_beside_it_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "audits"
    (home / "mlartifacts").mkdir(parents=True)
    uri = f"sqlite:///{home / 'mlflow.db'}"
    before = "file:///before/audits/mlartifacts"
    assert checked_location(uri, f"{before}/r/artifacts", "r") == (home / "mlartifacts" / "r" / "artifacts").as_uri()
    for location in (f"{before}/other/artifacts", f"{before}/r", "/etc/r/artifacts", f"{before}/../r/artifacts"):
        with pytest.raises(ArtifactError, match="refused"):
            checked_location(uri, location, "r")
    (home / "mlartifacts" / "r").symlink_to("/etc")
    for store, run in ((uri, "r"), ("postgresql://user@host/db", "q"), (f"sqlite:///{tmp_path / 'mlflow.db'}", "q")):
        with pytest.raises(ArtifactError, match="refused"):
            checked_location(store, f"{before}/{run}/artifacts", run)


@dataclass(frozen=True)
class Entry:
    path: str
    is_dir: bool = False


class Repository:
    """Lists what it is told to, and writes whatever is asked for."""

    def __init__(self, listing: dict[str | None, list[Entry]], size: int = 10) -> None:
        self.listing, self.size, self.asked = listing, size, list[str]()

    def list_artifacts(self, path: str | None) -> list[Entry]:
        return self.listing.get(path, [])

    def download_artifacts(self, name: str, target: str) -> None:
        self.asked.append(name)
        path = Path(target) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(b"x" * self.size)


def test_only_names_that_an_audit_has_are_asked_for(tmp_path: Path) -> None:
    part = "rows/quality__x/part-000000.parquet"
    repository = Repository(
        {
            None: [
                Entry("manifest.json"),
                Entry("../evil.json"),
                Entry("/etc/passwd"),
                Entry("metrics.json", is_dir=True),
                Entry("report.html"),
                Entry("checkpoint", is_dir=True),
                Entry("rows", is_dir=True),
            ],
            "rows": [
                Entry("rows/quality__x", True),
                Entry("rows/..", True),
                Entry("../x", True),
                Entry("rows/x/../y", True),
            ],
            "rows/quality__x": [Entry(part), Entry("rows/quality__x/../../evil"), Entry("rows/quality__x/run.py")],
        }
    )
    download(repository, tmp_path, "store: run r")
    assert repository.asked == ["manifest.json", part]


@pytest.mark.parametrize("name", ["manifest.json", "rows/p/part-000000.parquet"])
def test_what_is_larger_than_an_audit_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, "0.00001")
    listing: dict[str | None, list[Entry]] = {None: [Entry("manifest.json")]}
    if name.startswith("rows"):
        listing = {None: [Entry("rows", True)], "rows": [Entry("rows/p", True)], "rows/p": [Entry(name)]}
    with pytest.raises(ArtifactError, match=r"is not downloaded|too large"):
        download(Repository(listing, size=10**6), tmp_path, "store: run r")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 10**5


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.0001")
    parts = [Entry(f"rows/p/part-{number:06d}.parquet") for number in range(50)]
    repository = Repository({None: [Entry("rows", True)], "rows": [Entry("rows/p", True)], "rows/p": parts})
    with pytest.raises(ArtifactError, match="over 10 files of rows"):
        download(repository, tmp_path, "store: run r")


@contextmanager
def hostile_server(run: dict[str, Any]) -> Iterator[str]:
    """An MLflow server that answers every question about runs and experiments with `run`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            experiment = {"experiment_id": "1", "name": "assay", "lifecycle_stage": "active"}
            answer = {"run": run, "runs": [run], "experiment": experiment, "experiments": [experiment]}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815  names of http.server

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def hostile_run(location: str) -> dict[str, Any]:
    info = {"run_id": "abc", "run_uuid": "abc", "experiment_id": "1", "status": "FINISHED", "start_time": 1}
    tags = [{"key": AUDIT_ID, "value": "audit"}]
    return {"info": {**info, "artifact_uri": location, "lifecycle_stage": "active"}, "data": {"tags": tags}}


@pytest.mark.parametrize("form", ["uri", "path"])
def test_a_server_cannot_have_a_local_folder_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    secret = make_audit(tmp_path / "private").path
    (secret / "rows" / "key").mkdir()
    run = hostile_run(secret.as_uri() if form == "uri" else str(secret))
    with hostile_server(run) as uri, pytest.raises(TrackingError, match="none of the store's"):
        fetch_run(uri, "abc")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_server_cannot_have_a_local_folder_written(tmp_path: Path) -> None:
    target = tmp_path / "home"
    target.mkdir()
    with hostile_server(hostile_run(target.as_uri())) as uri, pytest.raises(TrackingError, match="none of the store's"):
        log_audit(make_audit(tmp_path / "audits"), uri, "assay")
    assert not list(target.iterdir())


def test_a_downloaded_audit_has_no_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    folder = make_audit(tmp_path / "audits")
    (folder.path / "report.html").write_text("<script>")
    uri = default_uri(tmp_path / "audits")
    run_id = log_audit(folder, uri, "assay")
    fetched = fetch_run(uri, run_id)
    assert fetched.manifest() == folder.manifest()
    assert not list(fetched.path.glob("report.*"))
    with mlflow_session(uri) as client:
        assert "report.html" in [entry.path for entry in client.list_artifacts(run_id)]
