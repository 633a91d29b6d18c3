"""What an earlier plan found of a checkpoint: used for the very same files alone, and for a dry run alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from harness.api.checkpoint import CheckpointInfo, CheckpointSource
from harness.api.permissions import NOTHING, Permissions
from harness.audit import inspections
from harness.audit.inspections import FOLDER, kept_inspection
from harness.audit.plan import make_plan
from harness.audit.spec import AuditSpec
from harness.checkpoint import inspect_checkpoint
from harness.checkpoint.inspect import examine
from harness.errors import CheckpointError
from tests.tiny import LABELS, make_checkpoint


@pytest.fixture
def bert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose files count as settled at once, and a cache of its own."""
    monkeypatch.setattr("harness.data.kept.SETTLED", 0)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return make_checkpoint(tmp_path / "bert", "bert", "classifier")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints that were inspected for real so far."""
    seen: list[Path] = []

    def counted(path: Path, source: CheckpointSource, permissions: Permissions) -> object:
        seen.append(path)
        return examine(path, source, permissions)

    monkeypatch.setattr(inspections, "examine", counted)
    return seen


def kept(folder: Path, permissions: Permissions = NOTHING) -> CheckpointInfo:
    return kept_inspection(CheckpointSource(source=str(folder)), permissions)


def files(cache: Path) -> list[Path]:
    return sorted((cache / FOLDER).glob("*.json"))


def test_it_is_what_inspecting_finds_but_for_the_private_copy(bert: Path, examined: list[Path]) -> None:
    cold, warm = kept(bert), kept(bert)
    assert examined == [bert]
    assert warm.staged is None
    assert replace(cold, staged=None) == warm
    assert warm == replace(inspect_checkpoint(CheckpointSource(source=str(bert))), staged=None)


def test_it_lies_where_only_its_owner_can_read_and_write(bert: Path, tmp_path: Path) -> None:
    kept(bert)
    (file,) = files(tmp_path / "cache")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def changed(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "no", "1": "yes"}
    (folder / "config.json").write_text(json.dumps(config))


def of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspections, "_version", lambda package: f"{package} 99")


def test_other_files_are_inspected_anew(bert: Path, examined: list[Path]) -> None:
    before = kept(bert)
    changed(bert)
    assert kept(bert).labels == ("no", "yes") != before.labels
    assert len(examined) == 2


def test_a_file_more_may_change_which_are_read_and_so_means_anew(bert: Path, examined: list[Path]) -> None:
    kept(bert)
    one_more(bert)
    kept(bert)
    assert len(examined) == 2


@pytest.mark.parametrize("name", ["weights.dat", "weights"])
def test_a_shard_of_any_name_is_one_of_the_files(bert: Path, examined: list[Path], name: str) -> None:
    tensors = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    save_file(tensors, bert / name, metadata={"format": "pt"})
    (bert / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(tensors, name)}))
    before = kept(bert)
    other = {key: value + 1 for key, value in tensors.items()}
    save_file(other, bert / name, metadata={"format": "pt"})
    assert kept(bert).fingerprint.weights != before.fingerprint.weights
    (bert / name).write_bytes(b"no weights")
    with pytest.raises(CheckpointError):
        kept(bert)
    assert len(examined) == 3


def test_the_same_bytes_under_another_name_are_other_files(bert: Path) -> None:
    (bert / "config.yaml.json").mkdir()
    kept(bert)
    (bert / "config.yaml.json").rmdir()
    (bert / "config.json").rename(bert / "config.yaml.json")
    (bert / "config.json").mkdir()  # the same names, and the same bytes in the same order
    with pytest.raises(CheckpointError, match="a folder"):
        kept(bert)


def test_other_permissions_and_versions_are_inspected_anew(
    bert: Path, examined: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(bert)
    assert kept(bert, Permissions(manifest_sources=True)).permissions.manifest_sources
    assert len(examined) == 2
    of_another_version(monkeypatch)
    kept(bert)
    assert len(examined) == 3


def test_what_shipped_code_may_have_a_say_in_is_not_kept(bert: Path, examined: list[Path], tmp_path: Path) -> None:
    for _ in range(2):
        kept(bert, Permissions(remote_code=True))
    assert len(examined) == 2
    assert files(tmp_path / "cache") == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace("negative", "positive"),
        lambda text: "[" * 100_000,
        lambda text: "",
    ],
)
def test_what_is_damaged_is_found_out_anew(
    bert: Path, examined: list[Path], tmp_path: Path, damage: Callable[[str], str]
) -> None:
    cold = kept(bert)
    (file,) = files(tmp_path / "cache")
    assert "negative" in file.read_text()
    file.write_text(damage(file.read_text()))
    assert replace(kept(bert), staged=None) == replace(cold, staged=None)
    assert len(examined) == 2
    kept(bert)
    assert len(examined) == 2  # mended


def test_a_folder_that_others_can_write_to_is_not_used(bert: Path, examined: list[Path], tmp_path: Path) -> None:
    kept(bert)
    (tmp_path / "cache" / FOLDER).chmod(0o777)
    kept(bert)
    assert len(examined) == 2


def test_a_cache_inside_the_checkpoint_is_not_used(
    bert: Path, examined: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(bert / "cache"))
    for _ in range(2):
        kept(bert)
    assert len(examined) == 2
    assert not (bert / "cache" / FOLDER).exists()


def test_a_file_that_changed_only_just_now_is_not_kept(
    bert: Path, examined: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.kept.SETTLED", 3600)
    for _ in range(2):
        kept(bert)
    assert len(examined) == 2


def one_more(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")


@pytest.mark.parametrize("change", [changed, one_more])
def test_what_is_found_of_files_that_change_meanwhile_is_not_kept(
    bert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    def meanwhile(path: Path, source: CheckpointSource, permissions: Permissions) -> object:
        found = examine(path, source, permissions)
        change(path)
        return found

    monkeypatch.setattr(inspections, "examine", meanwhile)
    kept(bert)
    assert files(tmp_path / "cache") == []


def test_a_link_to_elsewhere_is_not_followed(bert: Path, examined: list[Path], tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (bert / "more.txt").symlink_to(tmp_path / "secret.txt")
    for _ in range(2):
        kept(bert)
    assert len(examined) == 2
    assert files(tmp_path / "cache") == []


def test_what_is_refused_is_refused_again(bert: Path, examined: list[Path], tmp_path: Path) -> None:
    (bert / "config.json").write_text("{}")
    for _ in range(2):
        with pytest.raises(CheckpointError):
            kept(bert)
    assert len(examined) == 2
    assert files(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_stops_nothing(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file"))
    assert kept(bert).labels == tuple(LABELS)


def spec_of(bert: Path, folder: Path) -> Path:
    texts = pd.DataFrame({"text": [f"text number {i}" for i in range(8)], "label": [LABELS[i % 2] for i in range(8)]})
    texts.to_json(folder / "data.jsonl", orient="records", lines=True)
    probe = {"name": "quality/classification", "data": {"examples": str(folder / "data.jsonl")}}
    (folder / "spec.yaml").write_text(json.dumps({"checkpoint": str(bert), "probes": [probe]}))
    return folder / "spec.yaml"


def test_an_audit_inspects_each_time(bert: Path, tmp_path: Path) -> None:
    kept(bert)
    spec = AuditSpec.model_validate(json.loads(spec_of(bert, tmp_path).read_text()))
    assert make_plan(spec).info.staged is not None
    assert make_plan(spec, inspect=kept_inspection).info.staged is None


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_second_plan_says_the_same_and_loads_no_library_of_models(
    bert: Path, tmp_path: Path, form: list[str]
) -> None:
    code = (
        "import sys; import harness.data.kept, harness.audit.cost\n"
        "harness.data.kept.SETTLED = 0; harness.audit.cost.cpu_flops = lambda: 1e11\n"
        "from harness.cli import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "finally: print({'torch', 'transformers', 'textattack', 'opacus', 'sklearn', 'mlflow'} & set(sys.modules),"
        " file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "plan", str(spec_of(bert, tmp_path)), *form]
    cold, warm = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2))
    assert "quality/classification" in cold.stdout
    assert warm.stdout == cold.stdout
    assert "torch" in cold.stderr
    assert warm.stderr.splitlines()[-1] == "set()"
