"""Every rule finds what it is for, and an ordinary checkpoint is found clean by all of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.scan.finding import Level, Outcome
from harness.scan.rules import RULES
from tests.harness.scan.inputs import ELSEWHERE, INPUTS, edit, found, scan
from tests.tiny import KINDS, heads_of, make_checkpoint


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("sound"), "bert", "classifier")


def test_every_rule_has_an_input() -> None:
    assert set(INPUTS) | ELSEWHERE == set(RULES)


@pytest.mark.parametrize("rule", INPUTS)
def test_the_input_of_a_rule_is_found_by_it(rule: str, sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(sound, folder)
    assert rule not in {finding.rule for finding in scan(folder).findings}
    INPUTS[rule](folder)
    report = scan(folder)
    assert rule in {finding.rule for finding in report.findings}, report.findings
    if RULES[rule].level is Level.NOTE:
        assert found(report) == set()
    else:
        assert report.outcome is Outcome.FOUND
        assert int(report.exit_code) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_ordinary_checkpoint_is_clean(kind: str, tmp_path: Path) -> None:
    for head in heads_of(kind):
        report = scan(make_checkpoint(tmp_path / head, kind, head))
        assert report.outcome is Outcome.CLEAN, (report.findings, report.unscanned)
        assert found(report) == set()
        assert report.estimate is not None
        assert report.estimate.parameters > 1000
        assert {record.path for record in report.files if record.fingerprint} == {
            record.path for record in report.files
        }


def test_the_layout_of_transformers_5_is_clean(sound: Path, tmp_path: Path) -> None:
    """dtype instead of torch_dtype, rope_parameters, a backend, and no special_tokens_map.json."""
    folder = tmp_path / "new"
    shutil.copytree(sound, folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("torch_dtype", None)
    config.update(
        dtype="float32", transformers_version="5.24.0", rope_parameters={"rope_theta": 1e4, "rope_type": "default"}
    )
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    edit(folder, "tokenizer_config.json", backend="tokenizers", is_local=False, tokenizer_class="TokenizersBackend")
    assert scan(folder).outcome is Outcome.CLEAN


def test_the_hubs_own_cache_is_clean(sound: Path, tmp_path: Path) -> None:
    """Its files are links to blobs beside the snapshot."""
    home = tmp_path / "models--someone--model"
    snapshot = home / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    for number, file in enumerate(sorted(sound.iterdir())):
        shutil.copy(file, home / "blobs" / f"{number:040x}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number:040x}")
    report = scan(snapshot)
    assert report.outcome is Outcome.CLEAN, report.findings
    assert {record.kind for record in report.files} == {"json", "safetensors"}
    (snapshot / "more.txt").symlink_to("../../../elsewhere")
    assert "file/link-leaves" in found(scan(snapshot))


def test_the_files_beside_a_published_checkpoint_are_notes(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    shutil.copytree(sound, folder)
    (folder / "README.md").write_text("# A model\n\n```python\nimport torch\nfrom transformers import pipeline\n```\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    (folder / "LICENSE").write_text("Apache License\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\nthe\ncat\ndog\n")
    edit(folder, "config.json", _name_or_path="bert-base-uncased")
    edit(folder, "tokenizer_config.json", special_tokens_map_file="/home/somebody/special_tokens_map.json")
    report = scan(folder)
    assert report.outcome is Outcome.CLEAN, report.findings
    assert not {record.path: record.fingerprint for record in report.files}["README.md"]


def test_pickled_weights_of_torch_are_notes(sound: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = tmp_path / "pickled"
    shutil.copytree(sound, folder)
    state = {"a.weight": torch.ones(3, 2), "b": torch.nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))}
    torch.save(state, folder / "pytorch_model.bin")
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    report = scan(folder)
    assert found(report) == set(), report.findings
    kinds = {record.path: record.kind for record in report.files}
    assert kinds["pytorch_model.bin"] == "torch archive"
    assert kinds["legacy.pt"] == "pickle"
    state["a.weight"][1, 1] = float("nan")
    torch.save(state, folder / "pytorch_model.bin")
    assert found(scan(folder)) == {"weights/nan"}


def test_numbers_that_look_like_files_are_numbers(sound: Path, tmp_path: Path) -> None:
    """Bytes of tensors, and of plain data, begin with every two bytes there are."""
    torch = pytest.importorskip("torch")
    begins = (
        b"MZ",
        b"\x78\x01",
        b"\x78\x9c",
        b"\x1f\x8b",
        b"BZh",
        b"\x5d\x00\x00",
        b"\x80\x04",
        b"\x80\x02",
        b"#!",
        b"(I1",
    )
    folder = tmp_path / "numbers"
    shutil.copytree(sound, folder)
    state = {
        f"t{number}": torch.frombuffer(bytearray(begin.ljust(64, b"\x07")), dtype=torch.uint8)
        for number, begin in enumerate(begins)
    }
    torch.save(state, folder / "optimizer.pt")
    for number, begin in enumerate(begins[:6]):
        (folder / f"raw{number}.data").write_bytes(begin.ljust(64, b"\x81"))
    report = scan(folder)
    assert found(report) == set(), report.findings
    assert report.outcome is Outcome.CLEAN, report.unscanned


def test_nothing_heavy_is_imported_by_a_scan(sound: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.scan.scan import Options, scan_tree;"
        "from harness.scan.tree.folder import FolderTree; from harness.scan.render.formats import FORMATS;"
        f"report = scan_tree(FolderTree(Path({str(sound)!r}), 'x'), Options());"
        "[render(report) for render in FORMATS.values()];"
        "sys.exit(str({'torch', 'transformers', 'tokenizers', 'safetensors'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "", done.stderr


def test_the_fingerprint_column_is_what_is_staged(tmp_path: Path) -> None:
    """The table of covered files and the loader's own list are kept together."""
    from harness.checkpoint import CheckpointSource, Permissions
    from harness.checkpoint.stage import stage

    folder = make_checkpoint(tmp_path / "model", "gpt2", "causal_lm")
    for name in ("vocab.txt", "merges.txt", "chat_template.jinja", "bpe.codes", "notes.txt", "extra.safetensors"):
        (folder / name).write_bytes(b"x")
    edit(folder, "added_tokens.json", x=1)
    staged = stage(folder, CheckpointSource(source=str(folder)), Permissions())
    there: set[str] = {file.name for file in staged.model.iterdir()}
    staged_names: Any = there & {file.name for file in folder.iterdir()}
    assert {record.path for record in scan(folder).files if record.fingerprint} == staged_names
