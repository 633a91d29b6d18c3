"""Artefacts of a training: found by name, their digests checked, for their readers only."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.errors import CheckpointError, NoDataError, UsageError
from harness.provenance.artefacts import Artefact, Reader, beside, digest_of, find_artefact
from harness.provenance.manifest import TrainingManifest


def artefact(path: Path, name: str = "coins", **fields: Any) -> Artefact:
    values = {"name": name, "kind": "coins", "digest": digest_of(path), "readers": "audit", "file": "coins.json"}
    return Artefact.model_validate({**values, **fields})


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = tmp_path / "trained[1]"  # a name that a pattern would read otherwise
    folder.mkdir()
    beside(folder, "coins.json").write_text("{}")
    return folder


def test_one_is_found_by_name_and_the_digest_is_of_its_bytes(trained: Path) -> None:
    path = trained.with_name("trained[1].coins.json")
    left = [artefact(path)]
    assert left[0].digest == hashlib.sha256(b"{}").hexdigest()
    assert find_artefact(trained, left, "coins") == path
    path.rename(beside(trained, "coins.json", unfinished="f" * 64))  # a kill came before the renaming
    assert find_artefact(trained, left, "coins").name == "trained[1].unfinished-ffffffffffffffff.coins.json"


def test_missing_or_edited_is_one_sentence(trained: Path) -> None:
    path = beside(trained, "coins.json")
    left = [artefact(path)]
    with pytest.raises(NoDataError, match=r"left no artefact 'shadows' \(it left coins\)"):
        find_artefact(trained, left, "shadows")
    path.write_text("{ }")
    with pytest.raises(UsageError, match="has been edited since the training, or belongs to another; restore it"):
        find_artefact(trained, left, "coins")
    path.unlink()
    with pytest.raises(NoDataError, match=r"trained\[1\].coins.json is not beside it"):
        find_artefact(trained, left, "coins")
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="not a regular file but a pipe"):
        find_artefact(trained, left, "coins")


@pytest.mark.parametrize(
    ("readers", "allowed"),
    [("published", ["published", "audit", "owner"]), ("audit", ["audit", "owner"]), ("owner", ["owner"])],
)
def test_each_reader_gets_what_is_for_it(trained: Path, readers: Reader, allowed: list[Reader]) -> None:
    inside = trained / "coins.json"
    inside.write_text("{}")
    left = [artefact(inside, readers=readers)]
    asked: list[Reader] = ["published", "audit", "owner"]
    for reader in asked:
        if reader in allowed:
            found = find_artefact(trained, left, "coins", reader)
            assert (found == inside) is (readers == "published")
        else:
            with pytest.raises(UsageError, match=f"is for its {readers} alone, and is asked for as {reader}"):
                find_artefact(trained, left, "coins", reader)


def test_a_folder_has_a_digest_of_names_and_contents(tmp_path: Path) -> None:
    shadows = tmp_path / "shadows"
    (shadows / "b").mkdir(parents=True)
    (shadows / "b" / "one").write_text("1")
    (shadows / "a").write_text("2")
    pairs = [["a", hashlib.sha256(b"2").hexdigest()], ["b/one", hashlib.sha256(b"1").hexdigest()]]
    before = digest_of(shadows)
    assert before == hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
    (shadows / "a").rename(shadows / "c")
    assert digest_of(shadows) != before
    (shadows / "link").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match="a link that leaves its folder"):
        digest_of(shadows)


@pytest.mark.parametrize("file", ["../out", "a/b", ".hidden", "", "a\nb", "*"])
def test_a_name_that_leads_elsewhere_is_refused(file: str) -> None:
    with pytest.raises(ValidationError):
        Artefact(name="x", kind="x", digest="0" * 64, readers="audit", file=file)


def test_two_of_one_name_are_refused(trained: Path) -> None:
    left = artefact(beside(trained, "coins.json"))
    with pytest.raises(ValidationError, match="two artefacts have the same name"):
        TrainingManifest.model_validate({"artefacts": [left.model_dump(), left.model_dump()]})
