"""No URI with a secret gets as far as a record, and none is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.base.stores import checked_uri, clean_note, default_uri, shown_uri, sqlite_path, without_secrets
from harness.errors import UsageError

SECRETS = (
    "http://user:hunter2@host:5000/x",
    "http://hunter2@host",
    "HTTP://user:hunter2@host",
    "http:/user:hunter2@host",
    "https://user:hunter2%40host",
    "https://user:hun?hunter2@host",
    "https://user:hun/hunter2@host",
    "https://host/?token=hunter2",
    "https://host/#hunter2",
    "postgresql://user:hunter2@host/db",
    "postgresql://user:hun/hunter2@host/db",
    "postgresql://user:hun?hunter2@host/db",
    "postgresql+psycopg2://user@host/db?password=hunter2",
    "postgresql://user@host/db?sslmode=require&sslpassword=hunter2",
    "mysql+pymysql://user:hunter2@host/db",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2",
    "sqlite+pysqlcipher://:hunter2@/store.db",
    "databricks://hunter2@host",
    "user:hunter2@host",
    "//user:hunter2@host",
)
PLAIN = (
    "http://host:5000",
    "https://mlflow.example/a/b",
    "http://[::1]:5000",
    "postgresql://user@host:5432/db",
    "postgresql://user@host/db?sslmode=require",
    "mysql+pymysql://user@host/db?read_default_file=/etc/my.cnf",
    "sqlite:////a:b@c/mlflow.db",
    "sqlite:///mlflow.db",
    "file:///a@b/mlruns",
    "./mlruns",
    "databricks",
    "databricks://profile",
    "off",
)


@pytest.mark.parametrize("uri", SECRETS)
def test_a_secret_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UsageError, match=r"^--tracking-uri: ") as caught:
        checked_uri(uri, "--tracking-uri")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in shown_uri(uri)
    assert "hunter2" not in clean_note({"uri": uri, "state": "logged"})["uri"]
    assert "hunter2" not in str(checked_uri(shown_uri(uri)))


@pytest.mark.parametrize("uri", PLAIN)
def test_a_uri_without_secrets_stays(uri: str) -> None:
    assert checked_uri(uri) == uri == shown_uri(uri)


@pytest.mark.parametrize("uri", [" http://user:hunter2@host", "http://user:hun\nhunter2@host"])
def test_white_space_is_refused_unshown(uri: str) -> None:
    with pytest.raises(UsageError, match="white space") as caught:
        checked_uri(uri)
    assert "hunter2" not in str(caught.value)


def test_the_sentence_says_where_a_secret_belongs() -> None:
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"):
        checked_uri("http://user:hunter2@host")
    with pytest.raises(UsageError, match="PGPASSWORD"):
        checked_uri("postgresql://user:hunter2@host/db")


def test_a_recorded_command_is_cleaned() -> None:
    command = "assay run a.yaml --tracking-uri 'http://user:hunter2@host' --output o"
    assert without_secrets(command) == "assay run a.yaml --tracking-uri 'http://host' --output o"


def test_the_environment_names_the_default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sqlite_path(default_uri(tmp_path)) == tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert default_uri(tmp_path) == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter2@host:5000")
    with pytest.raises(UsageError, match=r"^MLFLOW_TRACKING_URI: http://host:5000") as caught:
        default_uri(tmp_path)
    assert "MLFLOW_TRACKING_PASSWORD" in str(caught.value)
    assert "hunter2" not in str(caught.value)
