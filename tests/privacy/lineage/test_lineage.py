"""A private training that goes on from another: what its base read of the same records is composed, refused or named.

Guards against: train on D without privacy, then on D from that checkpoint at epsilon 8, and claim 7.997 for each.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import CheckpointError, UsageError
from harness.provenance.claim_check import ClaimCheck
from harness.provenance.keys import KEYS_NAME, keyed, read_keys, same_digest
from harness.provenance.manifest import MANIFEST_NAME, PrivacyClaim, TrainingManifest, read_manifest
from privacy.accounting import Mechanism, claim
from privacy.ledger import read_chain
from privacy.lineage import LEDGER_NAME, earlier_ledger, kept_bytes, read_history, records_path
from privacy.training import TrainResult, TrainSpec, train
from privacy.verification.recompute import recompute_here
from privacy.verification.verify import verify_claim
from tests.privacy.claim_cases import genuine
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

EIGHT = {"epsilon": 8}
UNKNOWN_ROOT = "what a checkpoint that its base goes back to had learnt: it has no training manifest"
PUBLIC_ROOT = "what its base had learnt: it has no training manifest that says from which records"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("root"), "bert", "classifier")


def trained(
    folder: Path, base: Path, name: str, rows: list[dict[str, str]] | None = None, **fields: Any
) -> TrainResult:
    return train(spec_of(folder, base, name, rows, **fields))


def spec_of(folder: Path, base: Path, name: str, rows: list[dict[str, str]] | None = None, **fields: Any) -> TrainSpec:
    data = write_rows(folder / f"{name}.jsonl", rows if rows is not None else opinions(64, seed=1))
    settings = {"batch_size": 16, "epochs": 1, "data": str(data), "output": folder / name}
    return make_spec(folder, base, **{**settings, **fields})


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plain and private on the same 64 records; again: private from private."""
    folder = tmp_path_factory.mktemp("runs")
    trained(folder, root, "plain")
    trained(folder, root, "private", privacy=EIGHT)
    trained(folder, folder / "private", "again", privacy=EIGHT)
    return folder


def privacy_of(folder: Path) -> PrivacyClaim:
    return genuine(folder)


def test_the_same_records_without_privacy_first_are_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"was trained without privacy on 64 of these 64 records.*; start from"
    ) as raised:
        trained(tmp_path, runs / "plain", "next", privacy=EIGHT)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "next").exists()
    assert not (tmp_path / "next.training").exists(), "no budget may be spent"


def test_the_same_records_without_privacy_are_known_by_the_manifest_alone(runs: Path, tmp_path: Path) -> None:
    """A checkpoint from before digests of records were kept has the digest of all of them."""
    (tmp_path / "plain").symlink_to(runs / "plain")
    with pytest.raises(UsageError, match="without privacy on 64 of these 64 records"):
        trained(tmp_path, tmp_path / "plain", "next", privacy=EIGHT)


def test_one_shared_record_of_many_is_enough_to_refuse(runs: Path, tmp_path: Path) -> None:
    shared = opinions(64, seed=1)[5]
    other = {"text": f"  {shared['text'].upper().replace(' ', '   ')} ", "label": "negative"}
    rows = [*opinions(40, seed=77), other]
    with pytest.raises(UsageError, match="without privacy on 1 of these 41 records"):
        trained(tmp_path, runs / "plain", "next", rows, privacy=EIGHT)


def test_without_noise_nothing_is_claimed_and_nothing_refused(runs: Path, tmp_path: Path) -> None:
    made = trained(tmp_path, runs / "plain", "next", privacy={"noise_multiplier": 0.0})
    assert made.manifest.privacy is not None
    assert made.manifest.privacy.epsilon == float("inf")


def test_a_private_base_on_the_same_records_composes(runs: Path) -> None:
    one, both = privacy_of(runs / "private"), privacy_of(runs / "again")
    assert both.run_epsilon is not None
    assert both.run_epsilon <= 8
    again = claim(Mechanism(both.noise_multiplier, both.sample_rate, 2 * both.compositions), both.delta)
    assert both.noise_multiplier == one.noise_multiplier
    assert both.epsilon == again.epsilon, "two equal runs are one of twice the steps"
    assert both.epsilon > 8
    assert [(each.ledger, each.shared, each.records) for each in both.earlier] == [(one.ledger, 64, 64)]
    assert both.note is not None
    assert "counts an earlier private training of its base as well, which read 64 of these 64 records" in both.note
    assert (runs / "again" / earlier_ledger(1)).read_bytes() == (runs / "private" / LEDGER_NAME).read_bytes()
    assert read_chain(runs / "again" / LEDGER_NAME).header.earlier == (one.ledger,)


def test_a_chain_composes_over_all_of_it(runs: Path) -> None:
    third = privacy_of(trained(runs, runs / "again", "third", privacy=EIGHT).folder)
    thrice = claim(Mechanism(third.noise_multiplier, third.sample_rate, 3 * third.compositions), third.delta)
    assert third.epsilon == thrice.epsilon
    assert [each.shared for each in third.earlier] == [64, 64]
    assert third.outside == (f"{UNKNOWN_ROOT} that says from which records",)


def test_a_base_in_between_does_not_hide_the_one_before(runs: Path, tmp_path: Path) -> None:
    """D privately, then other records without privacy, then D again; and D plain, others privately, then D."""
    trained(runs, runs / "private", "between", opinions(32, seed=5))
    found = privacy_of(trained(tmp_path, runs / "between", "after", privacy=EIGHT).folder)
    assert [each.shared for each in found.earlier] == [64]
    trained(runs, runs / "plain", "hiding", opinions(32, seed=6), privacy=EIGHT)
    with pytest.raises(
        UsageError, match="goes back to a checkpoint that was trained without privacy on 64 of these 64"
    ):
        trained(tmp_path, runs / "hiding", "hidden", privacy=EIGHT)


def test_a_composed_claim_does_not_say_more_of_its_base_than_the_base_did(root: Path, tmp_path: Path) -> None:
    """An order that is fixed protects what stands in a place, not who comes or goes; amplified steps do not mend it."""
    trained(tmp_path, root, "shuffled", privacy={**EIGHT, "sampling": "shuffle"})
    trained(tmp_path, tmp_path / "shuffled", "again", privacy=EIGHT)
    found = privacy_of(tmp_path / "again")
    assert found.neighbours == (
        "add or remove one record; in an earlier training replace one record by nothing (zero-out)"
    )
    check = forged(tmp_path / "again", neighbours="add or remove one record")
    assert not check.verified
    assert "the manifest says neighbours is add or remove one record" in check.reason


def test_a_part_of_the_records_composes_and_is_counted(runs: Path, tmp_path: Path) -> None:
    rows = [*opinions(64, seed=1)[:10], *opinions(54, seed=78)]
    found = privacy_of(trained(tmp_path, runs / "private", "part", rows, privacy=EIGHT).folder)
    assert [each.shared for each in found.earlier] == [10]
    assert found.epsilon > 8
    assert found.note is not None
    assert "read 10 of these 64 records" in found.note


def test_other_records_leave_the_claim_as_it_is(runs: Path, tmp_path: Path) -> None:
    for base in ("plain", "private"):
        rows = opinions(64, seed=79)
        found = privacy_of(trained(tmp_path, runs / base, f"from-{base}", rows, privacy=EIGHT).folder)
        assert (found.earlier, found.run_epsilon) == ((), None)
        assert found.epsilon <= 8
        assert found.outside == (f"{UNKNOWN_ROOT} that says from which records",)


def test_domain_training_then_a_classifier_is_the_same_records(tmp_path: Path) -> None:
    """Labels are no part of what tells a record."""
    base = make_base(tmp_path / "base", "bert", "masked_lm")
    trained(tmp_path, base, "domain", task="masked_lm")
    fields: dict[str, Any] = {"privacy": EIGHT, "label_names": ("negative", "positive")}
    with pytest.raises(UsageError, match="without privacy on 64 of these 64 records"):
        trained(tmp_path, tmp_path / "domain", "classifier", **fields)
    trained(tmp_path, base, "private-domain", task="masked_lm", privacy={"epsilon": 3})
    found = privacy_of(trained(tmp_path, tmp_path / "private-domain", "classifier", **fields).folder)
    assert [each.shared for each in found.earlier] == [64]
    parts = [
        claim(Mechanism(n, 0.25, 4), found.delta).epsilon
        for n in (found.noise_multiplier, found.earlier[0].noise_multiplier)
    ]
    assert max(parts) < found.epsilon < sum(parts)


def test_a_base_without_a_manifest_is_named_as_unknown(runs: Path) -> None:
    assert privacy_of(runs / "private").outside == (PUBLIC_ROOT,)


def test_a_base_without_its_key_or_its_digests_is_named_as_unknown(runs: Path, tmp_path: Path) -> None:
    rows = opinions(64, seed=80)
    (tmp_path / "plain").symlink_to(runs / "plain")
    found = privacy_of(trained(tmp_path, tmp_path / "plain", "without", rows, privacy=EIGHT).folder)
    assert any("its training manifest has no digests of single records" in part for part in found.outside)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "plain").symlink_to(runs / "plain")
    shutil.copy(records_path(runs / "plain"), tmp_path / "moved")
    found = privacy_of(trained(tmp_path, tmp_path / "moved/plain", "keyless", rows, privacy=EIGHT).folder)
    assert any("the key of its records' digests is not beside it" in part for part in found.outside)


def test_what_is_unknown_stays_unknown_for_whoever_goes_on(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").symlink_to(runs / "plain")
    trained(tmp_path, tmp_path / "plain", "one", opinions(64, seed=81), privacy=EIGHT)
    found = privacy_of(trained(tmp_path, tmp_path / "one", "two", opinions(64, seed=82), privacy=EIGHT).folder)
    assert any(
        part.startswith("what a checkpoint that its base goes back to had learnt: its training manifest has no")
        for part in found.outside
    )


def test_an_older_private_base_composes_by_its_manifest_and_ledger(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(runs / "again")
    shutil.copy(runs / KEYS_NAME, tmp_path)
    found = privacy_of(trained(tmp_path, tmp_path / "again", "next", privacy=EIGHT).folder)
    assert [each.ledger for each in found.earlier] == [
        privacy_of(runs / "again").ledger,
        privacy_of(runs / "private").ledger,
    ]
    further = privacy_of(trained(tmp_path, tmp_path / "next", "further", privacy=EIGHT).folder)
    assert [each.shared for each in further.earlier] == [64, 64, 64]


def test_a_private_base_without_its_ledger_is_refused(root: Path, tmp_path: Path) -> None:
    trained(tmp_path, root, "base", privacy=EIGHT)
    records_path(tmp_path / "base").unlink()
    (tmp_path / "base" / LEDGER_NAME).unlink()
    with pytest.raises(UsageError, match=r"what it spent cannot be proven.*put its ledger back"):
        trained(tmp_path, tmp_path / "base", "next", privacy=EIGHT)


def owned(seed: int, count: int = 64, authors: int = 32, first: int = 0) -> list[dict[str, str]]:
    rows = opinions(count, seed=seed)
    return [{**row, "author": f"a{first + index % authors}"} for index, row in enumerate(rows)]


def test_other_records_of_the_same_people_compose_for_them(root: Path, tmp_path: Path) -> None:
    by_author = {"noise_multiplier": 2.0, "unit": "author"}
    trained(tmp_path, root, "base", owned(1), privacy=by_author)
    rows = owned(2, first=22)  # ten of the authors, none of the records
    found = privacy_of(trained(tmp_path, tmp_path / "base", "next", rows, privacy=by_author).folder)
    assert [(each.shared, each.group) for each in found.earlier] == [(10, 2)]
    assert found.run_epsilon is not None
    assert found.epsilon > found.run_epsilon
    each = privacy_of(trained(tmp_path, tmp_path / "base", "each", rows, privacy={"noise_multiplier": 2.0}).folder)
    assert each.earlier == (), "for each record there is none that both read"
    assert each.epsilon < found.epsilon


def test_a_base_that_does_not_know_the_people_is_refused_or_named(root: Path, tmp_path: Path) -> None:
    by_author = {"noise_multiplier": 2.0, "unit": "author"}
    trained(tmp_path, root, "records", owned(1), privacy={"noise_multiplier": 2.0})
    with pytest.raises(
        UsageError, match="for each record on 64 of these 64 records, not for all records of one author"
    ):
        trained(tmp_path, tmp_path / "records", "next", owned(1), privacy=by_author)
    found = privacy_of(trained(tmp_path, tmp_path / "records", "other", owned(3), privacy=by_author).folder)
    assert any("does not record whose its records are" in part for part in found.outside)
    trained(tmp_path, root, "plain", owned(1))
    with pytest.raises(UsageError, match="without privacy on 32 of these 32 units"):
        trained(tmp_path, tmp_path / "plain", "refused", owned(1), privacy=by_author)


def forged(folder: Path, **changes: Any) -> ClaimCheck:
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.privacy is not None
    made = manifest.model_copy(update={"privacy": manifest.privacy.model_copy(update=changes)})
    return verify_claim(folder, made, made.weights, recompute_here)


def test_leaving_out_the_earlier_training_is_found(runs: Path) -> None:
    found = privacy_of(runs / "again")
    one = found.earlier[0]
    for changes, reason in (
        ({"epsilon": found.run_epsilon}, "epsilon is"),
        ({"earlier": (), "run_epsilon": None, "epsilon": found.run_epsilon}, "earlier trainings is ()"),
        ({"run_epsilon": 0.1}, "run_epsilon is"),
        ({"run_epsilon": None}, "run_epsilon stands with"),
        ({"earlier": (one.model_copy(update={"noise_multiplier": 50.0}),)}, "noise_multiplier of an earlier training"),
        ({"earlier": (one.model_copy(update={"steps": 1}),)}, "number of steps of an earlier training"),
        ({"earlier": (one.model_copy(update={"shared": 0}),)}, "shared is 0"),
        ({"earlier": (one, one)}, earlier_ledger(2)),
    ):
        check = forged(runs / "again", **changes)
        assert not check.verified
        assert reason in check.reason


def test_an_earlier_ledger_that_is_missing_or_changed_is_found(runs: Path) -> None:
    path = runs / "again" / earlier_ledger(1)
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])
        assert "not that of a finished run" in forged(runs / "again").reason
        path.unlink()
        assert earlier_ledger(1) in forged(runs / "again").reason
    finally:
        path.write_bytes(whole)
    assert forged(runs / "again").verified


def test_digests_of_records_have_a_key_and_lie_outside_the_checkpoint(runs: Path) -> None:
    manifest, keys = read_manifest(runs / "private"), read_keys(runs)
    assert manifest is not None
    assert keys is not None
    assert manifest.digest_key == keys.own
    inside = b"".join(path.read_bytes() for path in (runs / "private").rglob("*") if path.is_file())
    plain = read_manifest(runs / "plain")
    assert plain is not None
    assert plain.members_digest.encode() not in inside, "whoever holds all records but one could try the last"
    assert manifest.members_digest == keyed(plain.members_digest, keys.own_key)
    assert same_digest(manifest.members_digest, manifest.digest_key, plain.members_digest, runs / "private")
    assert not same_digest(manifest.members_digest, manifest.digest_key, "0" * 64, runs / "private")
    for path in (runs / KEYS_NAME, records_path(runs / "private")):
        assert path.stat().st_mode & 0o077 == 0, path
    kept = read_history(runs / "private")
    assert kept is not None
    assert kept.texts[-1].shape == (len({row["text"] for row in opinions(64, seed=1)}), 16)


def test_another_folder_has_another_key_and_brings_the_old_one(runs: Path, tmp_path: Path) -> None:
    trained(tmp_path, runs / "private", "next", privacy=EIGHT)
    here, there = read_keys(tmp_path), read_keys(runs)
    assert here is not None
    assert there is not None
    assert here.own != there.own
    assert here.keys[there.own] == there.keys[there.own]
    found = privacy_of(trained(tmp_path, tmp_path / "next", "third", privacy=EIGHT).folder)
    assert [each.shared for each in found.earlier] == [64, 64]


def test_damaged_files_get_one_sentence(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "private").symlink_to(runs / "private")
    shutil.copy(runs / KEYS_NAME, tmp_path)
    records_path(tmp_path / "private").write_bytes(b"no tensors")
    with pytest.raises(UsageError, match="holds no digests of records, or damaged ones; put back a copy") as raised:
        trained(tmp_path, tmp_path / "private", "next", privacy=EIGHT)
    assert "\n" not in str(raised.value)
    (tmp_path / KEYS_NAME).write_text(json.dumps({"own": "a", "keys": {}}))
    with pytest.raises(UsageError, match="no file of keys, or a damaged one; put back a copy"):
        read_keys(tmp_path)
    for path in (tmp_path / KEYS_NAME, records_path(tmp_path / "private")):
        path.unlink()
        os.mkfifo(path)
    for reads in (lambda: read_keys(tmp_path), lambda: read_history(tmp_path / "private")):
        with pytest.raises(CheckpointError, match="not a regular file"):
            reads()


def test_a_key_that_was_edited_is_refused_before_a_training(runs: Path, tmp_path: Path) -> None:
    """Under another key nothing that the base has read is found: the claim would be this training's alone."""
    (tmp_path / "private").symlink_to(runs / "private")
    shutil.copy(records_path(runs / "private"), tmp_path)
    keys = json.loads((runs / KEYS_NAME).read_text())
    keys["keys"] = {name: key[:-1] + ("0" if key[-1] != "0" else "1") for name, key in keys["keys"].items()}
    (tmp_path / KEYS_NAME).write_text(json.dumps(keys))
    with pytest.raises(UsageError, match=r"assay_keys\.json: no file of keys, or a damaged one"):
        trained(tmp_path, tmp_path / "private", "next", privacy=EIGHT)
    assert not (tmp_path / "next").exists()


def test_digests_that_were_edited_are_refused_before_a_training(runs: Path, tmp_path: Path) -> None:
    """Well-formed, but with a record fewer: a claim would leave out what was spent on it."""
    (tmp_path / "private").symlink_to(runs / "private")
    kept = read_history(runs / "private")
    assert kept is not None
    fewer = replace(kept, texts=tuple(each[:-1] for each in kept.texts))
    records_path(tmp_path / "private").write_bytes(kept_bytes(fewer))
    with pytest.raises(UsageError, match=r"private\.records\.safetensors: has been edited since the training"):
        trained(tmp_path, tmp_path / "private", "next", privacy=EIGHT)
    assert not (tmp_path / "next").exists()
    shutil.copy(records_path(runs / "private"), tmp_path)
    trained(tmp_path, tmp_path / "private", "next", privacy=EIGHT)


def test_a_manifest_and_a_ledger_from_before_are_read(runs: Path) -> None:
    values = json.loads((runs / "private" / MANIFEST_NAME).read_text())
    del values["digest_key"], values["privacy"]["earlier"], values["privacy"]["run_epsilon"]
    old = TrainingManifest.model_validate(values)
    assert old.privacy is not None
    assert (old.digest_key, old.privacy.earlier, old.privacy.run_epsilon) == (None, (), None)
