"""A release is compared with the version its alias points to, and the alias moves only from there.

Against a real MLflow store (sqlite). Guards against mlflow#3160 and its kind: two writers of one registry.
"""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.base.stores import default_uri
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.gate.decide import Outcome, Policy, Verdict
from harness.record.folder import AuditFolder
from harness.release.release import release, release_verdict
from harness.tracking.fetch import _is_slip, fetch_run, is_logged, run_of_alias
from harness.tracking.log import AUDIT_ID, log_audit
from harness.tracking.session import SETTINGS, TrackingError, mlflow_session
from tests.harness.baseline.two_audits import ACCURACY, answers, make_audit
from tests.harness.cli.test_cli import call
from tests.tiny import make_checkpoint

RULES = Policy.model_validate(
    {
        "name": "no worse",
        "gates": [
            {"id": "accurate", "metric": ACCURACY, "min": 0.0001},
            {
                "id": "no worse",
                "metric": ACCURACY,
                "baseline": {"max_regression": 0.05},
                "excuse": ["no_baseline_yet"],
            },
        ],
    }
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"), "bert", "classifier")


@pytest.fixture(scope="module")
def fingerprint(checkpoint: Path) -> str:
    return inspect_checkpoint(CheckpointSource(source=str(checkpoint))).fingerprint.digest


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("store")
    with mlflow_session(default_uri(home)) as client:
        client.search_experiments()
    return home / "mlflow.db"


class House:
    """Audits of one checkpoint, with answers as the test wants them, in a store of their own."""

    def __init__(self, home: Path, store: Path, checkpoint: Path, fingerprint: str) -> None:
        self.home, self.checkpoint, self.fingerprint = home, checkpoint, fingerprint
        home.mkdir(exist_ok=True)
        shutil.copy(store, home / "mlflow.db")
        self.uri = default_uri(home)

    def audit(self, name: str, accuracy: float, seed: int = 1) -> tuple[AuditFolder, str]:
        folder = make_audit(self.home / name, answers(400, accuracy, seed))
        manifest = folder.manifest()
        record = manifest.checkpoint.model_copy(update={"fingerprint": self.fingerprint})
        spec = {**manifest.spec, "checkpoint": {"source": str(self.checkpoint)}}
        spec["policy"] = RULES.model_dump(mode="json")
        spec["tracking"] = {"uri": None, "experiment": "assay"}
        update = {"checkpoint": record, "spec": spec, "audit_id": name, "name": name}
        folder.write_manifest(manifest.model_copy(update=update))
        return folder, log_audit(folder, self.uri, "assay")

    def release(self, folder: AuditFolder, run: str, verdict: Verdict | None = None) -> Any:
        verdict = verdict or self.verdict(folder)
        return release(folder, verdict, self.uri, run, "sentiment", "production", by="ann")

    def verdict(self, folder: AuditFolder) -> Verdict:
        return release_verdict(folder, RULES, self.uri, "sentiment", "production")

    @property
    def alias(self) -> str:
        with mlflow_session(self.uri) as client:
            return str(client.get_registered_model("sentiment").aliases.get("production", ""))


@pytest.fixture
def house(tmp_path: Path, empty_store: Path, checkpoint: Path, fingerprint: str) -> House:
    return House(tmp_path / "audits", empty_store, checkpoint, fingerprint)


def test_a_model_that_is_all_wrong_does_not_replace_one_that_is_right(house: House) -> None:
    good, good_run = house.audit("good", 1.0)
    first = house.release(good, good_run)
    assert (first.moved, first.verdict.reason.split("; ")[-1]) == (True, "1 not measured (excused: no baseline yet)")
    bad, bad_run = house.audit("bad", 0.01)
    found = house.release(bad, bad_run)
    assert (found.verdict.outcome, found.moved, house.alias) == (Outcome.BLOCK, False, "1")
    assert found.verdict.baseline is not None
    assert found.verdict.baseline.version == "sentiment 1"
    with mlflow_session(house.uri) as client:
        tags = client.get_model_version("sentiment", "2").tags
    assert (tags["assay.compared_with"], tags["assay.verdict"]) == ("sentiment 1", "block")
    assert not [key for key in tags if key.startswith("assay.releasing")]


def test_a_verdict_of_before_moves_nothing_now(house: House) -> None:
    first, first_run = house.audit("first", 0.5)
    house.release(first, first_run)
    late, late_run = house.audit("late", 0.9, 2)
    verdict = house.verdict(late)  # beside version 1
    assert verdict.outcome is Outcome.PASS
    between, between_run = house.audit("between", 1.0, 3)
    assert house.release(between, between_run).version == "2"
    with pytest.raises(TrackingError, match=r"is version 2 now, .* decided against sentiment 1; release again"):
        house.release(late, late_run, verdict)
    assert house.alias == "2"
    assert house.release(late, late_run).verdict.outcome is Outcome.BLOCK


def test_a_verdict_without_a_baseline_moves_nothing_once_there_is_one(house: House) -> None:
    first, first_run = house.audit("first", 1.0)
    second, second_run = house.audit("second", 0.5, 2)
    verdict = house.verdict(second)  # while the alias points nowhere
    assert verdict.outcome is Outcome.PASS
    house.release(first, first_run)
    with pytest.raises(TrackingError, match="decided against none of it"):
        house.release(second, second_run, verdict)
    assert house.alias == "1"


def test_of_two_releases_at_once_one_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    audits = [house.audit(name, 1.0, seed) for seed, name in enumerate(("one", "two"))]
    verdicts = [house.verdict(folder) for folder, _ in audits]
    barrier, said = threading.Barrier(2), list[str]()

    def run(at: int) -> None:
        barrier.wait()
        try:
            done = house.release(*audits[at], verdicts[at])
        except TrackingError as error:
            said.append(f"refused: {error}")
        else:
            said.append(f"moved {done.version}" if done.moved else "stayed")

    threads = [threading.Thread(target=run, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moved = [each.split()[1] for each in said if each.startswith("moved")]
    assert len(moved) <= 1, said
    if moved:
        assert house.alias == moved[0]


def test_a_release_that_is_under_way_is_waited_for_and_a_dead_one_is_not(house: House) -> None:
    first, first_run = house.audit("first", 1.0)
    house.release(first, first_run)
    second, second_run = house.audit("second", 1.0, 2)
    now = datetime.now(UTC).isoformat()
    for since, refused in ((now, True), ("2020-01-01T00:00:00+00:00", False)):
        with mlflow_session(house.uri) as client:
            client.set_model_version_tag("sentiment", "1", "assay.releasing.production.beef", since)
        if refused:
            with pytest.raises(TrackingError, match="version 1 is being released since"):
                house.release(second, second_run)
        else:
            assert house.release(second, second_run).moved


def test_one_audit_is_one_version_and_one_run(house: House, tmp_path: Path) -> None:
    folder, run = house.audit("one", 1.0)
    assert [house.release(folder, run).version for _ in range(3)] == ["1", "1", "1"]
    copy = AuditFolder(Path(shutil.copytree(folder.path, tmp_path / "copy")))
    (copy.path / "tracking.json").unlink()
    assert log_audit(copy, house.uri, "another experiment") == run


def test_a_run_that_is_not_whole_serves_for_nothing(house: House) -> None:
    folder, run = house.audit("one", 1.0)
    house.release(folder, run)
    with mlflow_session(house.uri) as client:
        client.update_run(run, status="RUNNING")
    with pytest.raises(TrackingError, match="is RUNNING: it was not logged whole"):
        fetch_run(house.uri, run)
    other, other_run = house.audit("two", 1.0, 2)
    with pytest.raises(TrackingError, match="is RUNNING"):
        house.verdict(other)
    with mlflow_session(house.uri) as client:
        client.update_run(run, status="FINISHED")
        client.delete_run(run)
        client.delete_run(other_run)
    with pytest.raises(TrackingError, match="is deleted; restore it, or compare with another"):
        house.verdict(other)
    assert not is_logged(house.uri, other_run, "two")
    with pytest.raises(TrackingError, match=f"run {other_run} is deleted"):
        house.release(other, other_run, _passing(other))


def _passing(folder: AuditFolder) -> Verdict:
    from harness.baseline.judge import judge

    rules = RULES.model_copy(update={"gates": RULES.gates[:1]})
    return judge(rules, folder.manifest(), folder.metrics(), None)


def test_an_audit_whose_run_is_gone_is_logged_anew(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = house.audit("one", 1.0)
    with mlflow_session(house.uri) as client:
        client.delete_run(run)
    words = ("release", folder.path, "--name", "sentiment", "--alias", "production", "--tracking-uri", house.uri)
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    assert "1 not measured (excused: no baseline yet)" in " ".join(out.split())
    with mlflow_session(house.uri) as client:
        found = client.get_model_version("sentiment", "1").run_id
    assert found != run
    assert is_logged(house.uri, found, "one")
    assert not is_logged(house.uri, found, "another audit")


def test_what_points_to_a_slip_of_the_alias_is_no_excuse(house: House) -> None:
    folder, run = house.audit("one", 1.0)
    house.release(folder, run)
    assert run_of_alias(house.uri, "@production").version == "1"
    for ref, why in (
        ("@prodution", "did you mean @production"),
        ("@Production", "did you mean @production"),
        ("sentimnet@production", "did you mean 'sentiment'"),
    ):
        with pytest.raises(TrackingError, match=why):
            run_of_alias(house.uri, ref)


def test_the_gates_verdict_is_written_back(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = house.audit("one", 0.5)
    (tmp_path / "strict.yaml").write_text(f"name: strict\ngates:\n  - {{id: a, metric: {ACCURACY}, min: 0.9}}\n")
    code, _, err = call(monkeypatch, capsys, "gate", folder.path, "--policy", tmp_path / "strict.yaml")
    assert code == 1, err
    (decision,) = folder.decisions()
    assert (decision.verdict.outcome, decision.policy.name) == (Outcome.BLOCK, "strict")
    with mlflow_session(house.uri) as client:
        tags = client.get_run(run).data.tags
        kept = [each.path for each in client.list_artifacts(run, "verdicts")]
    assert (tags["assay.gate.verdict"], tags["assay.gate.policy"]) == ("block", "strict")
    assert len(kept) == 1
    assert fetch_run(house.uri, run).decisions() == [decision]
    policy = folder.policy()
    assert policy is not None
    assert policy.name == "strict"
    assert release_verdict(folder, None, house.uri, "sentiment", "production").outcome is Outcome.BLOCK
    assert tags[AUDIT_ID] == "one"


def test_a_first_release_is_compared_with_what_was_named(house: House) -> None:
    good, good_run = house.audit("good", 1.0)
    house.release(good, good_run)
    bad, _ = house.audit("bad", 0.3, 2)
    found = release_verdict(bad, RULES, house.uri, "sentiment", "staging", baseline="sentiment@production")
    assert found.outcome is Outcome.BLOCK
    named = RULES.model_copy(update={"baseline": "sentiment@production"})
    assert release_verdict(bad, named, house.uri, "sentiment", "staging").outcome is Outcome.BLOCK


def test_an_alias_that_was_there_is_no_first_release(house: House) -> None:
    folder, run = house.audit("one", 1.0)
    house.release(folder, run)
    with mlflow_session(house.uri) as client:
        client.delete_registered_model_alias("sentiment", "production")
    other, _ = house.audit("two", 0.3, 2)
    with pytest.raises(TrackingError, match="pointed to version 1 and points to none now"):
        house.verdict(other)
    with pytest.raises(TrackingError, match="pointed to version 1 and points to none now"):
        run_of_alias(house.uri, "sentiment@production")


@pytest.mark.parametrize(("name", "alias"), [("Sentiment", "production"), ("sentiment", "Production")])
def test_a_name_of_another_case_is_no_first_release(house: House, name: str, alias: str) -> None:
    folder, run = house.audit("one", 1.0)
    house.release(folder, run)
    other, _ = house.audit("two", 0.3, 2)
    with pytest.raises(TrackingError, match="by case alone"):
        release_verdict(other, RULES, house.uri, name, alias)


def test_the_audit_that_is_there_already_is_decided_no_second_time(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = house.audit("one", 1.0)
    words = ("release", folder.path, "--name", "sentiment", "--alias", "production", "--tracking-uri", house.uri)
    assert call(monkeypatch, capsys, *words)[0] == 0
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    assert "already, released as pass" in " ".join(out.split())
    with mlflow_session(house.uri) as client:
        client.set_model_version_tag("sentiment", "1", "assay.verdict", "block")
    assert call(monkeypatch, capsys, *words)[0] == 1


def test_a_version_never_stands_on_another_audits_run(house: House) -> None:
    folder, _ = house.audit("one", 1.0)
    _, other_run = house.audit("two", 1.0, 2)
    with pytest.raises(TrackingError, match="is not of the audit one"):
        house.release(folder, other_run)


def test_two_releases_of_one_audit_take_turns_too(house: House) -> None:
    first, first_run = house.audit("first", 1.0)
    house.release(first, first_run)
    second, second_run = house.audit("second", 1.0, 2)
    verdict = house.verdict(second)
    with mlflow_session(house.uri) as client:
        house.release(second, second_run, _blocked(verdict))  # version 2 is there, the alias is not
        now = datetime.now(UTC).isoformat()
        client.set_model_version_tag("sentiment", "2", "assay.releasing.production.other", now)
    with pytest.raises(TrackingError, match="version 2 is being released since"):
        house.release(second, second_run, verdict)
    with mlflow_session(house.uri) as client:
        tags = client.get_model_version("sentiment", "2").tags
    assert [key for key in tags if key.startswith("assay.releasing")] == ["assay.releasing.production.other"]


def _blocked(verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"outcome": Outcome.BLOCK})


@pytest.mark.parametrize(
    ("one", "two", "slip"),
    [
        ("sentimant", "sentiment", True), ("sentimnt", "sentiment", True), ("SENTIMENT", "sentiment", True),
        ("snetiment", "sentiment", True), ("sentimentt", "sentiment", True), ("prod-eu", "prod-us", False),
        ("model-a", "model-b", False), ("v1", "v10", False), ("tier1", "tier2", False), ("sentiment", "topics", False),
    ],
)  # fmt: skip
def test_a_slip_is_told_from_a_name_of_its_own(one: str, two: str, slip: bool) -> None:
    assert _is_slip(one, two) is slip
    assert _is_slip(two, one) is slip
