"""Two starts of one private training, and starts after a crash: nothing is replaced unasked, nothing spent forgotten.

Guards against: the second of two starts replaced the finished checkpoint and its 188-step ledger; a kill at step 49 of
50 published a model of one step at epsilon 8.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.provenance.manifest import read_manifest
from privacy.accounting import Mechanism, claim
from privacy.ledger import LedgerError, read_chain
from privacy.ledger.chain import ledger_bytes
from privacy.ledger.header import LedgerHeader
from privacy.ledger.state import STATE_NAME
from privacy.lineage import RECORDS_NAME, records_path
from privacy.training import TrainSpec, train
from privacy.training import train as train_module
from privacy.training.data.load import load_training_data
from privacy.training.private.loop import check_lost, save_interval
from privacy.training.private.session import LEDGER_NAME, session_folder, witness_path
from privacy.training.records import save
from privacy.training.records.step_rows import step_rows_path
from tests.privacy.claim_cases import genuine
from tests.privacy.toys import make_base, make_spec

NOISY = {"noise_multiplier": 2.0}


class CrashError(Exception):
    """Something that Assay does not foresee."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier", dropout=False)


def spec_of(folder: Path, base: Path, **fields: Any) -> TrainSpec:
    """Forty steps."""
    return make_spec(folder, base, **{"privacy": NOISY, "batch_size": 16, "epochs": 10, **fields})


def crash_at(step: int) -> Any:
    def progress(done: int, steps: int, loss: float) -> None:
        if done == step:
            raise CrashError

    return progress


def crashed(folder: Path, base: Path, step: int, **fields: Any) -> TrainSpec:
    spec = spec_of(folder, base, **fields)
    with pytest.raises(CrashError):
        train(spec, progress=crash_at(step))
    return spec


def test_a_second_start_that_comes_too_late_replaces_nothing(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has passed the first check of the output when the first start finishes."""
    spec = spec_of(tmp_path, base)
    check = train_module.__globals__["check_output"]

    def finish_first(*args: Any) -> None:
        check(*args)
        monkeypatch.setitem(train_module.__globals__, "check_output", check)
        train(spec)

    monkeypatch.setitem(train_module.__globals__, "check_output", finish_first)
    with pytest.raises(UsageError, match=r"exists by now, finished by another start.*nothing was trained"):
        train(spec)
    found = genuine(spec.output)
    assert read_chain(spec.output / LEDGER_NAME).head == found.ledger
    assert not session_folder(spec.output).exists(), "nor is anything begun"
    assert not witness_path(session_folder(spec.output)).exists()


@pytest.mark.parametrize("privacy", [None, NOISY])
def test_what_appears_while_training_is_not_replaced(
    base: Path, tmp_path: Path, privacy: dict[str, Any] | None
) -> None:
    spec = spec_of(tmp_path, base, privacy=privacy, epochs=1)

    def appear(step: int, steps: int, loss: float) -> None:
        if step == 1:
            spec.output.mkdir()
            (spec.output / "precious").touch()
            records_path(spec.output).write_text("of the one that was first")

    with pytest.raises(UsageError, match="exists by now, made while this was going on; nothing is overwritten"):
        train(spec, progress=appear)
    assert [path.name for path in spec.output.iterdir()] == ["precious"]
    assert records_path(spec.output).read_text() == "of the one that was first"
    assert not step_rows_path(spec.output).exists()
    if privacy:
        shutil.rmtree(spec.output)
        train(spec)  # what was learnt is saved
        assert genuine(spec.output).steps_lost == 0


def test_replacing_keeps_the_ledger_and_the_claim_names_it(base: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, base)
    train(spec)
    first = read_chain(spec.output / LEDGER_NAME)
    train(spec, replace=True)
    (aside,) = tmp_path.glob("trained.replaced.*")
    assert read_chain(aside / LEDGER_NAME) == first
    assert read_manifest(aside) is not None
    found = genuine(spec.output)
    assert found.ledger != first.head
    both = claim(Mechanism(found.noise_multiplier, found.sample_rate, 80), found.delta)
    (named,) = [part for part in found.outside if "moved aside" in part]
    assert named.startswith(
        "an earlier run into the same folder, 40 noisy steps, moved aside by --replace; with them it"
    )
    assert float(named.rpartition(" ")[2]) == pytest.approx(both.epsilon, abs=1e-3)
    assert float(named.rpartition(" ")[2]) >= both.epsilon


def test_an_unfinished_run_that_is_moved_aside_is_named_too(base: Path, tmp_path: Path) -> None:
    spec = crashed(tmp_path, base, 7)
    train(spec, replace=True)
    assert any(", 7 noisy steps, moved aside" in part for part in genuine(spec.output).outside)
    assert [path.is_dir() for path in tmp_path.glob("trained.training*")] == [True]


def test_a_crash_costs_at_most_a_tenth_of_the_run(base: Path, tmp_path: Path) -> None:
    spec = crashed(tmp_path, base, 39, privacy={**NOISY, "save_every": 50})
    train(spec)
    found = genuine(spec.output)
    assert (found.steps, found.steps_lost) == (40, 3)


@pytest.mark.parametrize(
    ("asked", "planned", "every"), [(50, 50, 5), (50, 10_000, 50), (7, 120, 7), (50, 8, 1), (1, 100, 1)]
)
def test_states_are_saved_by_share_of_the_run(asked: int, planned: int, every: int) -> None:
    assert save_interval(asked, planned) == every


def test_a_run_that_lost_most_of_its_steps_stops(base: Path, tmp_path: Path) -> None:
    spec = crashed(tmp_path, base, 39)
    folder = session_folder(spec.output)
    (folder / STATE_NAME).unlink()
    with pytest.raises(UsageError, match=r"39 of the 40 noisy steps .* lost.*the 1 that are left") as raised:
        train(spec)
    assert "\n" not in str(raised.value)
    assert not spec.output.exists()
    assert read_chain(folder / LEDGER_NAME).spent == 39, "and spends no more"
    train(spec, replace=True)
    assert any(", 39 noisy steps, moved aside" in part for part in genuine(spec.output).outside)


def test_half_a_run_lost_is_the_border() -> None:
    check_lost(20, 40, 30)
    with pytest.raises(UsageError, match="21 of the 40"):
        check_lost(21, 40, 30)


def cut_to(path: Path, lines: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[: lines + 1]))


def test_lines_cut_before_the_first_saved_state_are_found(base: Path, tmp_path: Path) -> None:
    spec = crashed(tmp_path, base, 3)
    path = session_folder(spec.output) / LEDGER_NAME
    (path.parent / STATE_NAME).unlink()  # it was saved before the first step and remembers none
    cut_to(path, 1)
    with pytest.raises(LedgerError, match="3 noisy steps were taken, but the privacy ledger holds 1: lines were taken"):
        train(spec)
    train(spec, replace=True)
    assert any("3 noisy steps, moved aside by --replace" in part for part in genuine(spec.output).outside)


@pytest.mark.parametrize("whole", [False, True])
def test_a_ledger_taken_away_is_found(base: Path, tmp_path: Path, whole: bool) -> None:
    spec = crashed(tmp_path, base, 3)
    folder = session_folder(spec.output)
    if whole:
        shutil.rmtree(folder)
    else:
        (folder / LEDGER_NAME).unlink()
    with pytest.raises(LedgerError, match="is missing, though 3 noisy steps were taken in this run; put it back"):
        train(spec)
    train(spec, replace=True)
    assert any("3 noisy steps, moved aside" in part for part in genuine(spec.output).outside)


def test_a_count_taken_away_or_of_another_run_is_found(base: Path, tmp_path: Path) -> None:
    spec = crashed(tmp_path, base, 3)
    witness = witness_path(session_folder(spec.output))
    content = witness.read_bytes()
    witness.unlink()
    with pytest.raises(LedgerError, match="is missing, which counts the 3 noisy steps"):
        train(spec)
    witness.write_bytes(b"0" * 64 + content[64:])
    with pytest.raises(LedgerError, match="counts the steps of another privacy ledger"):
        train(spec)
    witness.write_bytes(content[:-1])  # a power cut may take the last ones
    train(spec)
    assert genuine(spec.output).steps == 40
    assert not witness.exists()


def test_a_state_without_a_ledger_is_found(base: Path, tmp_path: Path) -> None:
    spec = crashed(tmp_path, base, 9)
    folder = session_folder(spec.output)
    (folder / LEDGER_NAME).unlink()
    witness_path(folder).unlink()
    with pytest.raises(LedgerError, match="is missing, though a state was saved in this run"):
        train(spec)


def test_a_run_that_an_older_version_began_goes_on(base: Path, tmp_path: Path) -> None:
    """Its ledger has a digest of the records without a key, and nothing counts its steps a second time."""
    spec = crashed(tmp_path, base, 3)
    path = session_folder(spec.output) / LEDGER_NAME
    header = read_chain(path).header.model_dump(exclude={"digest_key", "earlier"})
    old = LedgerHeader.model_validate({**header, "data_digest": load_training_data(spec).members.digest})
    path.write_bytes(ledger_bytes(old, 3))
    for later in (witness_path(path.parent), path.parent / STATE_NAME, path.parent / RECORDS_NAME):
        later.unlink()
    train(spec)
    found, manifest = genuine(spec.output), read_manifest(spec.output)
    assert (found.steps, found.steps_lost) == (40, 3)
    assert manifest is not None
    assert (manifest.digest_key, manifest.members_digest) == (None, old.data_digest)
    assert not train(spec, if_missing=True).trained


def test_a_lost_key_is_named(base: Path, tmp_path: Path) -> None:
    spec = crashed(tmp_path, base, 3)
    (tmp_path / "assay_keys.json").rename(tmp_path / "elsewhere")
    with pytest.raises(
        LedgerError, match=r"the key of its records' digest is not in .*assay_keys\.json; put that file"
    ):
        train(spec)
    (tmp_path / "elsewhere").replace(tmp_path / "assay_keys.json")
    train(spec)
    assert genuine(spec.output).steps == 40


def test_a_failed_replacement_keeps_everything(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path, base, epochs=1)
    train(spec)
    first = read_chain(spec.output / LEDGER_NAME)

    def fails(*_: Any) -> None:
        raise CrashError

    monkeypatch.setattr(save, "_flush", fails)
    with pytest.raises(CrashError):
        train(spec, replace=True)
    assert read_chain(spec.output / LEDGER_NAME) == first
