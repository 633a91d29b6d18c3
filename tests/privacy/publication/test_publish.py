"""`assay publish`: what others get of a private checkpoint, and what an audit can still say of it.

Guards against: unsalted digests of the records, and facts without noise, in the folder that gets published.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.checkpoint import CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.cli.commands import app
from harness.data.schemas import LabelledTexts
from harness.errors import DataError, UsageError
from harness.provenance.artefacts import Artefact, digest_of, find_artefact
from harness.provenance.claim import TrainingRecord, claim_sentence, rounded_up, training_line
from harness.provenance.claim_check import ClaimCheck, check_claim
from harness.provenance.keys import keyed, read_keys
from harness.provenance.manifest import MANIFEST_NAME, read_manifest
from privacy.ledger.chain import ledger_bytes
from privacy.lineage import LEDGER_NAME, earlier_ledger
from privacy.publication import publish
from privacy.training import train
from suites.memorization.members import load_side
from tests.privacy.claim_cases import genuine
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

EIGHT = {"epsilon": 8}
FILES = ["config.json", "model.safetensors", LEDGER_NAME, "special_tokens_map.json", "tokenizer.json"]


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """private, again (from private, on the same records) and plain."""
    folder = tmp_path_factory.mktemp("owner")
    base = make_base(folder / "base", "bert", "classifier")
    held_out = str(write_rows(folder / "held.jsonl", opinions(16, seed=2)))
    own = {"epochs": 1, "batch_size": 16, "held_out": held_out}
    train(make_spec(folder, base, privacy=EIGHT, output=folder / "private", **own))
    train(make_spec(folder, folder / "private", privacy=EIGHT, output=folder / "again", **own))
    train(make_spec(folder, base, output=folder / "plain", **own))
    return folder


def test_a_published_folder_holds_the_claim_and_nothing_else_of_the_records(owner: Path, tmp_path: Path) -> None:
    (owner / "private" / "notes.txt").write_text("a record")
    found = publish(owner / "private", tmp_path / "public")
    (owner / "private" / "notes.txt").unlink()
    names = sorted(path.name for path in (tmp_path / "public").iterdir())
    assert names == sorted([*FILES, "tokenizer_config.json", MANIFEST_NAME])
    manifest, before = read_manifest(tmp_path / "public"), read_manifest(owner / "private")
    assert manifest is not None
    assert manifest.privacy is not None
    assert before is not None
    assert manifest.privacy.unprivatised is None
    assert (manifest.losses, manifest.seconds, manifest.peak_memory) == ((), None, None)
    assert found.left_out == ("notes.txt", f"seconds, peak_memory, artefacts, privacy.unprivatised of {MANIFEST_NAME}")
    content = b"".join(path.read_bytes() for path in (tmp_path / "public").iterdir())
    keys = read_keys(owner)
    assert keys is not None
    for secret in ('"norm_quantiles": {', '"drawn"', keys.own_key.hex()):
        assert secret.encode() not in content
    plain = read_manifest(owner / "plain")
    assert plain is not None
    assert plain.non_members_digest is not None
    for digest in (plain.members_digest, plain.non_members_digest):
        assert digest.encode() not in content
        assert keyed(digest, keys.own_key).encode() in content


@pytest.mark.parametrize("name", ["private", "again"])
def test_the_claim_of_a_published_folder_is_verified(owner: Path, tmp_path: Path, name: str) -> None:
    """By the installed checker, in a folder that no key or history lies beside."""
    found = publish(owner / name, tmp_path / "public")
    claim = genuine(tmp_path / "public")
    assert found.check == ClaimCheck.holds(claim.epsilon)
    assert f"epsilon <= {rounded_up(claim.epsilon)} is recomputed from what is there" in found.sentence
    assert "nobody but you can check on which records it was trained" in found.sentence
    info = inspect_checkpoint(CheckpointSource(source=str(tmp_path / "public")))
    assert info.manifest is not None
    check = check_claim(info.path, info.manifest, info.fingerprint.weights)
    assert check.verified
    line = training_line(TrainingRecord.of(info.manifest, check))
    assert "recomputed from its ledger" in line
    assert "which records it was trained on is the owner's word" in line
    assert claim_sentence(claim).startswith("epsilon <= ")
    assert (tmp_path / "public" / earlier_ledger(1)).exists() is (name == "again")
    load_checkpoint(info, device="cpu")


def test_only_artefacts_for_all_go_out(owner: Path, tmp_path: Path) -> None:
    """Even one that lies in the folder under a name that a checkpoint's own files have."""
    mine = tmp_path / "mine"
    shutil.copytree(owner / "private", mine)
    (mine / "vocab.txt").write_text("secret")
    (mine / "card").mkdir()
    (mine / "card" / "README.md").write_text("for all")
    manifest = read_manifest(mine)
    assert manifest is not None
    left = {
        "hidden": Artefact(name="hidden", kind="words", digest="0" * 64, readers="owner", file="vocab.txt"),
        "shadow": Artefact(name="shadow", kind="checkpoint", digest="1" * 64, readers="audit", file="shadow"),
        "card": Artefact(name="card", kind="docs", digest=digest_of(mine / "card"), readers="published", file="card"),
    }
    new = manifest.model_copy(update={"artefacts": tuple(left.values())})
    (mine / MANIFEST_NAME).write_text(new.model_dump_json())
    found = publish(mine, tmp_path / "public")
    assert "card" in found.written
    assert "vocab.txt" in found.left_out
    assert not (tmp_path / "public" / "vocab.txt").exists()
    said = read_manifest(tmp_path / "public")
    assert said is not None
    assert said.artefacts == (left["shadow"], left["card"])
    assert (find_artefact(tmp_path / "public", said.artefacts, "card", "published") / "README.md").exists()
    (mine / "card" / "README.md").write_text("edited")
    with pytest.raises(UsageError, match="has been edited since the training"):
        publish(mine, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_its_members_are_for_the_owner_to_check(owner: Path, tmp_path: Path) -> None:
    trusting = Permissions(manifest_sources=True)
    own = inspect_checkpoint(CheckpointSource(source=str(owner / "private")), trusting)
    assert own.manifest is not None
    for side, count in (("members", 64), ("non_members", 16)):
        assert len(load_side(own, own.manifest, side, LabelledTexts, {})) == count
    publish(owner / "private", tmp_path / "public")
    public = inspect_checkpoint(CheckpointSource(source=str(tmp_path / "public")), trusting)
    assert public.manifest is not None
    with pytest.raises(DataError, match="has a key, which only whoever trained it has"):
        load_side(public, public.manifest, "members", LabelledTexts, {})


def test_a_checkpoint_from_before_is_published_without_its_ledger(owner: Path, tmp_path: Path) -> None:
    """Its ledger and manifest have the digest of the records without a key."""
    old = tmp_path / "old"
    shutil.copytree(owner / "private", old)
    values = json.loads((old / MANIFEST_NAME).read_text())
    plain = read_manifest(owner / "plain")
    assert plain is not None
    for name in ("members_digest", "non_members_digest"):
        values[name] = getattr(plain, name)
    values["digest_key"] = None
    (old / MANIFEST_NAME).write_text(json.dumps(values))
    from privacy.ledger import read_chain

    chain = read_chain(old / LEDGER_NAME)
    header = chain.header.model_copy(update={"data_digest": plain.members_digest, "digest_key": None})
    (old / LEDGER_NAME).write_bytes(ledger_bytes(header, chain.spent))
    with pytest.raises(UsageError, match="its class names were read from its records"):
        publish(old, tmp_path / "refused")
    values["config"]["label_names"] = ["negative", "positive"]
    (old / MANIFEST_NAME).write_text(json.dumps(values))
    found = publish(old, tmp_path / "public")
    assert not found.check.verified
    assert "the claim is not verifiable" in found.sentence
    content = b"".join(path.read_bytes() for path in (tmp_path / "public").iterdir())
    assert plain.members_digest.encode() not in content
    manifest = read_manifest(tmp_path / "public")
    assert manifest is not None
    line = training_line(TrainingRecord.of(manifest, found.check))
    assert line.startswith("epsilon not verifiable: privacy_ledger.jsonl: missing")
    assert "the bound cannot be recomputed" in line


def test_what_has_no_claim_is_not_published(owner: Path, tmp_path: Path) -> None:
    for name in ("plain", "base"):
        with pytest.raises(UsageError, match="no claim of privacy belongs to its weights") as raised:
            publish(owner / name, tmp_path / "public")
        assert "\n" not in str(raised.value)
    with pytest.raises(UsageError, match="exists; choose a new folder"):
        publish(owner / "private", tmp_path)
    with pytest.raises(UsageError, match="lies inside the checkpoint"):
        publish(owner / "private", owner / "private" / "public")
    assert not (tmp_path / "public").exists()


def test_a_checkpoint_without_noise_is_not_published(owner: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, owner / "base", epochs=1, privacy={"noise_multiplier": 0.0, "sampling": "shuffle"})
    train(spec)
    with pytest.raises(UsageError, match="was trained without noise, so nothing bounds"):
        publish(spec.output, tmp_path / "public")


def test_the_command_says_what_it_left_out(owner: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["publish", str(owner / "private"), "--output", str(tmp_path / "new" / "public")])
    assert done.exit_code == 0, done.output
    shown = " ".join(done.output.split())
    assert "left out: seconds, peak_memory, artefacts, privacy.unprivatised of training_manifest.json" in shown
    assert "is recomputed from what is there" in shown
