"""What trainings on the same records spend together, found in a folder and kept within a total.

Guards against: ten trainings at epsilon 8 on one data set, each with a claim of 8, and nobody who adds them up.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.provenance.keys import KEYS_NAME
from harness.provenance.spending import SPENDING_NAME, read_spending
from privacy.accounting import Mechanism, claim, claim_all
from privacy.budget import BUDGET_NAME, Exposure, Reading, exposures, find_trainings
from privacy.budget.overlap import components, holders_by_digest, largest
from privacy.commands.budget import budget_text
from privacy.ledger import Ledger, read_chain
from privacy.lineage import LEDGER_NAME, RECORDS_NAME, records_path
from privacy.lineage.records import Digests
from privacy.training import TrainSpec, train
from privacy.training.private.session import session_folder, witness_path
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

EIGHT = {"epsilon": 8}
DELTA = 1e-3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("root"), "bert", "classifier")


def spec_of(folder: Path, base: Path, name: str, rows: list[dict[str, str]] | None = None, **fields: Any) -> TrainSpec:
    data = write_rows(folder / f"{name}.jsonl", rows if rows is not None else opinions(64, seed=1))
    settings = {"batch_size": 16, "epochs": 1, "data": str(data), "output": folder / name, "privacy": EIGHT}
    return make_spec(folder, base, **{**settings, **fields})


def mechanism(folder: Path) -> Mechanism:
    chain = read_chain(folder / LEDGER_NAME)
    return Mechanism(chain.header.noise_multiplier, chain.header.rate, chain.spent)


def by_reference(mechanisms: list[Mechanism], delta: float) -> float:
    """Epsilon by dp_accounting itself, its own grid, both directions."""
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=1e-4)
    for each in mechanisms:
        one = dp_event.PoissonSampledDpEvent(each.rate, dp_event.GaussianDpEvent(each.noise_multiplier))
        accountant.compose(one, each.compositions)
    return float(accountant.get_epsilon(delta))


@pytest.fixture(scope="module")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a and b on the same records, c on half of those and others, d on others."""
    folder = tmp_path_factory.mktemp("checkpoints")
    train(spec_of(folder, root, "a"))
    train(spec_of(folder, root, "b", privacy={"noise_multiplier": 1.0}, epochs=2))
    train(spec_of(folder, root, "c", [*opinions(64, seed=1)[:32], *opinions(32, seed=7)]))
    train(spec_of(folder, root, "d", opinions(64, seed=9)))
    return folder


def copy_of(folder: Path, to: Path, *names: str) -> Path:
    for name in names:
        shutil.copytree(folder / name, to / name)
        shutil.copy(records_path(folder / name), to)
    shutil.copy(folder / KEYS_NAME, to)
    return to


def of(folder: Path, **settings: Any) -> dict[frozenset[str], Exposure]:
    made = exposures(find_trainings(folder), **settings)
    return {frozenset(share.training.name for share in each.shares): each for each in made}


def test_trainings_that_share_records_are_composed_and_others_are_not(folder: Path) -> None:
    found = of(folder, delta=DELTA)
    assert set(found) == {frozenset("abc"), frozenset("d")}
    worst = found[frozenset("abc")].worst
    every = [mechanism(folder / name) for name in "abc"]
    assert worst.epsilon == claim_all(every, DELTA).epsilon
    assert worst.epsilon == pytest.approx(by_reference(every, DELTA), rel=0.02)
    assert found[frozenset("d")].worst.epsilon == claim(mechanism(folder / "d"), DELTA).epsilon
    assert {share.training.name: share.shared for share in found[frozenset("abc")].shares} == {
        "a": 64,
        "b": 64,
        "c": 32,
    }


def test_the_record_that_most_was_spent_on_decides(root: Path, folder: Path, tmp_path: Path) -> None:
    """p and q share no record, both share some with r: no record is in all three."""
    one, other = opinions(32, seed=21), opinions(32, seed=22)
    p = train(spec_of(tmp_path, root, "p", one, privacy={"noise_multiplier": 1.0}))
    q = train(spec_of(tmp_path, root, "q", other, privacy={"noise_multiplier": 2.0}))
    r = train(spec_of(tmp_path, root, "r", [*one[:16], *other[:16]], privacy={"noise_multiplier": 1.0}))
    (exposure,) = exposures(find_trainings(tmp_path), DELTA)
    p_, q_, r_ = (mechanism(each.folder) for each in (p, q, r))
    assert exposure.worst.epsilon == claim_all([p_, r_], DELTA).epsilon
    assert exposure.worst.epsilon < claim_all([p_, q_, r_], DELTA).epsilon
    assert sorted(each.name for each in exposure.worst.trainings) == ["p", "r"]


def test_largest_sets_are_those_of_a_brute_force() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        held = rng.random((40, 5)) < 0.3
        digests = [np.arange(40, dtype=np.uint8)[held[:, run], None].repeat(16, axis=1) for run in range(5)]
        sets = {frozenset(np.flatnonzero(row).tolist()) for row in held} - {frozenset()}
        wanted = {each for each in sets if not any(each < other for other in sets)}
        assert set(holders_by_digest(digests, together=False)) == wanted
        assert holders_by_digest(digests, together=True) == [frozenset(range(5))]
    assert largest([frozenset({index}) for index in range(40)]) == [frozenset(range(40))], "never less than the truth"


def test_only_digests_of_one_key_are_compared() -> None:
    digests: Digests = np.ones((1, 16), dtype=np.uint8)
    none: Digests = np.zeros((0, 16), dtype=np.uint8)
    one, other = Reading("k", digests, none, False), Reading("l", digests, none, False)
    assert components([one, one, other]) == [[0, 1], [2]]


def test_unfinished_and_replaced_runs_count_what_they_spent(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a")
    spec = spec_of(tmp_path, root, "stopped")
    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=_stop_after(2))
    before = mechanism(tmp_path / "a")
    train(spec_of(tmp_path, root, "a"), replace=True)
    (exposure,) = exposures(find_trainings(tmp_path), DELTA)
    states = {share.training.state: share.training for share in exposure.shares}
    assert set(states) == {"", "unfinished", "moved aside"}
    assert states["unfinished"].steps == 2
    every = [before, mechanism(tmp_path / "a"), mechanism(session_folder(spec.output))]
    assert every[2].compositions == 2
    assert exposure.worst.epsilon == claim_all(every, DELTA).epsilon


def _stop_after(steps: int) -> Any:
    def on_step(step: int, planned: int, loss: float) -> None:
        if step == steps:
            raise KeyboardInterrupt

    return on_step


def test_a_run_that_goes_on_just_now_counts_as_planned(root: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, root, "going")
    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=_stop_after(1))
    with Ledger.open(session_folder(spec.output) / LEDGER_NAME):
        (training,) = find_trainings(tmp_path).trainings
        assert (training.state, training.steps) == ("running", 4)
    (training,) = find_trainings(tmp_path).trainings
    assert (training.state, training.steps) == ("unfinished", 1)


def test_a_ledger_that_is_gone_or_cut_is_never_zero(root: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, root, "cut")
    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=_stop_after(3))
    ledger = session_folder(spec.output) / LEDGER_NAME
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:2]))
    (training,) = find_trainings(tmp_path).trainings
    assert training.steps == 3, "the witness remembers"
    ledger.unlink()
    shutil.rmtree(ledger.parent)
    (exposure,) = exposures(find_trainings(tmp_path), DELTA)
    assert math.isinf(exposure.worst.epsilon)
    assert "3 noisy steps were taken, but its privacy ledger is missing" in budget_text(tmp_path)
    assert witness_path(ledger.parent).exists()


def test_a_plain_training_on_the_same_records_has_no_bound(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a", "d")
    train(spec_of(tmp_path, root, "plain", privacy=None))
    found = of(tmp_path, delta=DELTA)
    assert math.isinf(found[frozenset({"a", "plain"})].worst.epsilon)
    assert not math.isinf(found[frozenset("d")].worst.epsilon)
    text = budget_text(tmp_path)
    assert "no bound (plain: trained without privacy)" in text
    assert "not private: plain: trained without privacy" in text


def test_what_nobody_can_tell_is_said_and_counted_as_if(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a", "d")
    records_path(tmp_path / "d").unlink()
    (exposure,) = exposures(find_trainings(tmp_path), DELTA)
    assert [each.name for each in exposure.unknown] == ["d"]
    assert exposure.with_unknown is not None
    both = [mechanism(tmp_path / name) for name in "ad"]
    assert exposure.with_unknown.epsilon == claim_all(both, DELTA).epsilon
    assert exposure.worst.epsilon == claim(both[0], DELTA).epsilon
    text = budget_text(tmp_path)
    assert "unknown: whether these read the same records\n  d: no digests of its records; put NAME.records" in text


def test_the_same_set_as_a_whole_is_known_without_digests_of_its_own(folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a", "b")
    records_path(tmp_path / "b").unlink()
    (exposure,) = exposures(find_trainings(tmp_path), DELTA)
    assert exposure.unknown == ()
    assert exposure.worst.epsilon == claim_all([mechanism(tmp_path / name) for name in "ab"], DELTA).epsilon


def test_a_copy_and_a_base_count_once(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a")
    shutil.copytree(tmp_path / "a", tmp_path / "published" / "a")
    train(spec_of(tmp_path, tmp_path / "a", "next"))
    (exposure,) = exposures(find_trainings(tmp_path), DELTA)
    assert len(exposure.shares) == 2
    assert exposure.worst.epsilon == claim_all([mechanism(tmp_path / name) for name in ("a", "next")], DELTA).epsilon


def test_the_history_that_is_saved_ends_at_what_is_reported(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a", "b")
    train(spec_of(tmp_path, root, "plain", opinions(64, seed=1), privacy=None))
    result = CliRunner().invoke(app, ["budget", str(tmp_path), "--delta", "1e-3", "--save"])
    assert result.exit_code == 0, result.output
    (group,) = read_spending(tmp_path / SPENDING_NAME).groups
    assert [each.name for each in group.trainings] == ["a", "b", "plain"]  # the oldest first, no ledger last
    assert (group.worst, group.trainings[2].history) == (("a", "b", "plain"), ())
    alone = [by_reference([mechanism(tmp_path / name)], DELTA) for name in ("a", "b")]
    both = by_reference([mechanism(tmp_path / name) for name in ("a", "b")], DELTA)
    told = [each.epsilon for each in group.together]
    assert told[:2] == pytest.approx([alone[0], both], rel=0.02)
    assert told[2] == group.trainings[2].epsilon == math.inf
    assert "trained without privacy" in group.why
    for training, epsilon in zip(group.trainings, alone, strict=False):
        assert [each.after for each in training.history][-1] == training.steps == training.planned
        assert training.history[-1].epsilon == training.epsilon == pytest.approx(epsilon, rel=0.02)
        first = training.history[0]
        part = replace(mechanism(tmp_path / training.name), compositions=first.after)
        assert first.epsilon == pytest.approx(by_reference([part], DELTA), rel=0.02)


def test_the_command_compares_the_records_of_a_spec_across_keys(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a")
    other = tmp_path / "grid"
    other.mkdir()
    train(spec_of(other, root, "e", opinions(64, seed=1)[:10] + opinions(40, seed=3)))
    made = exposures(find_trainings(tmp_path), DELTA)
    assert [len(each.unknown) for each in made] == [1, 1], "keys differ"
    told = " ".join(budget_text(tmp_path).split())
    assert (
        f"grid/e: its digests have another folder's key, so none is like these; assay budget {tmp_path} --spec" in told
    )
    assert "1 training that shares no record with another" in told
    (other / KEYS_NAME).rename(tmp_path.parent / KEYS_NAME)
    told = " ".join(budget_text(tmp_path).split())
    assert f"grid/e: its digests have a key that is not below {tmp_path}; name a folder that" in told
    (tmp_path.parent / KEYS_NAME).rename(other / KEYS_NAME)
    spec = tmp_path / "train.yaml"
    data = write_rows(tmp_path / "now.jsonl", opinions(64, seed=1))
    spec.write_text(
        f"base: {root}\ntask: classification\nlabel_names: [negative, positive]\ndata: {data}\n"
        f"output: {tmp_path / 'now'}\nprivacy: {{epsilon: 1}}\n"
    )
    result = CliRunner().invoke(app, ["budget", str(tmp_path), "--spec", str(spec), "--delta", "1e-3"])
    assert result.exit_code == 0, result.output
    both = claim_all([mechanism(tmp_path / "a"), mechanism(other / "e")], DELTA)
    assert f"epsilon <= {math.ceil(both.epsilon * 1000) / 1000:.3f} at delta 0.001" in result.output
    rows = {line.split()[0]: line.split() for line in result.output.splitlines() if line.startswith("  ")}
    assert rows["a"][2:4] == ["64", "64"]
    assert rows["grid/e"][2:4] == ["50", "10"]


def test_users_are_composed_by_their_own_bound_and_single_records_by_theirs(root: Path, tmp_path: Path) -> None:
    rows = [{**row, "author": str(index % 32)} for index, row in enumerate(opinions(64, seed=1))]
    fields = {"unit": "author", "noise_multiplier": 3.0}
    for name in ("one", "two"):
        train(spec_of(tmp_path, root, name, rows, privacy=fields, label_names=("negative", "positive")))
    records, users = exposures(find_trainings(tmp_path), DELTA)
    assert (records.unit, users.unit) == ("each record", "all records of one author")
    one = mechanism(tmp_path / "one")
    assert records.worst.epsilon == claim_all([one, one], DELTA).epsilon
    assert users.worst.epsilon == claim_all([replace(one, group=2)] * 2, DELTA).epsilon
    train(spec_of(tmp_path, root, "single", rows[:8], batch_size=4, privacy={"noise_multiplier": 3.0}))
    _, users = exposures(find_trainings(tmp_path), DELTA)
    assert math.isinf(users.worst.epsilon)
    assert users.worst.why == "single: protects each record, not all records of one author"
    more = spec_of(tmp_path, root, "more", rows, privacy={**fields, "total_epsilon": 100})
    assert "no bound (single: protects each record, not all records of one author)" in refused(more)


def test_batches_with_a_cap_are_composed_as_what_they_are(root: Path, tmp_path: Path) -> None:
    capped = {"noise_multiplier": 2.0, "sampling": "truncated-poisson", "max_batch": 24}
    for name in ("one", "two"):
        train(spec_of(tmp_path, root, name, privacy=capped))
    (exposure,) = exposures(find_trainings(tmp_path), DELTA)
    mechanisms = [share.training.mechanism(1) for share in exposure.shares]
    assert all(each.max_batch is not None for each in mechanisms)
    assert exposure.worst.epsilon == claim_all(mechanisms, DELTA).epsilon
    without_cap = [mechanism(tmp_path / name) for name in ("one", "two")]
    assert exposure.worst.epsilon > claim_all(without_cap, DELTA).epsilon


# a total


def refused(spec: TrainSpec, **settings: Any) -> str:
    with pytest.raises(UsageError) as raised:
        train(spec, **settings)
    assert not spec.output.exists()
    assert not session_folder(spec.output).exists(), "nothing may be spent"
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_run_that_would_pass_the_total_is_refused_with_what_fits(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a")
    delta = 1 / 640
    said = refused(spec_of(tmp_path, root, "more", privacy={"epsilon": 8, "total_epsilon": 9}))
    spent = claim(mechanism(tmp_path / "a"), delta).epsilon
    assert f"would pass the total of epsilon 9 at delta {delta:g} (privacy.total_epsilon)" in said
    assert f"{math.ceil(spent * 1000) / 1000:.3f} is spent by a, this training takes 7.99" in said
    fits = float(said.split("the largest privacy.epsilon that fits is ")[1].split(";")[0])
    made = train(spec_of(tmp_path, root, "more", privacy={"epsilon": fits, "total_epsilon": 9}))
    together = by_reference([mechanism(tmp_path / "a"), mechanism(made.folder)], delta)
    assert 0.97 * 9 < together <= 9.01


def test_the_file_beside_or_above_binds_every_training(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a")
    result = CliRunner().invoke(app, ["budget", str(tmp_path), "--total", "8", "--delta", "0.0015625"])
    assert result.exit_code == 0, result.output
    assert "kept, 7.99" in result.output
    below = tmp_path / "grid"
    below.mkdir()
    said = refused(spec_of(below, root, "more", opinions(64, seed=1)[:1] + opinions(60, seed=4)))
    assert str(tmp_path / BUDGET_NAME) in said
    train(spec_of(below, root, "others", opinions(64, seed=5)))


def test_without_privacy_no_total_is_kept(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a")
    (tmp_path / BUDGET_NAME).write_text("total_epsilon: 20\ndelta: 1e-3\n")
    said = refused(spec_of(tmp_path, root, "plain", privacy=None))
    assert "trains without privacy, which no total bounds" in said
    assert "read by a;" in said
    train(spec_of(tmp_path, root, "elsewhere", opinions(64, seed=5), privacy=None))
    said = refused(spec_of(tmp_path, root, "next", opinions(64, seed=5)))
    assert "has no bound (elsewhere: trained without privacy)" in said


def test_an_unknown_training_is_not_zero_for_a_total(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "d")
    records_path(tmp_path / "d").unlink()
    assert "is spent by d," in refused(spec_of(tmp_path, root, "next", privacy={"epsilon": 8, "total_epsilon": 8}))


def test_a_run_that_goes_on_is_not_counted_twice(root: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, root, "run", privacy={"epsilon": 8, "total_epsilon": 8})
    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=_stop_after(2))
    lower = spec_of(tmp_path, root, "run", privacy={"epsilon": 8, "total_epsilon": 7})
    assert spec.digest() == lower.digest(), "whether a run may start changes nothing that is learnt"
    with pytest.raises(UsageError, match="would pass the total of epsilon 7"):
        train(lower)
    with pytest.raises(UsageError, match="would pass the total of epsilon 8"):
        train(spec, replace=True)
    assert train(spec).manifest.steps == 4


def test_a_full_total_lets_nothing_fit(root: Path, folder: Path, tmp_path: Path) -> None:
    copy_of(folder, tmp_path, "a")
    said = refused(spec_of(tmp_path, root, "more", privacy={"epsilon": 1, "total_epsilon": 5}))
    assert "nothing more fits" in said


@pytest.mark.parametrize("text", ["total_epsilon: 0\ndelta: 1e-5\n", "total_epsilon: 8\n", "epsilon: 8\n", ""])
def test_a_file_that_states_no_total_is_refused(root: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / BUDGET_NAME).write_text(text)
    assert BUDGET_NAME in refused(spec_of(tmp_path, root, "a"))


def test_a_checkpoint_is_no_folder_of_checkpoints(folder: Path) -> None:
    with pytest.raises(UsageError, match="is a checkpoint itself; name the folder that it lies in"):
        budget_text(folder / "a")
    with pytest.raises(UsageError, match="needs its delta"):
        budget_text(folder, total=8)


def test_digests_of_a_run_are_kept_from_its_start_and_by_its_owner_only(root: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, root, "stopped")
    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=_stop_after(1))
    kept = session_folder(spec.output) / RECORDS_NAME
    assert kept.stat().st_mode & 0o077 == 0
    train(spec)
    assert not kept.exists()
