from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from dashboards.audits import Audit, Entry, read_entry
from dashboards.view_models.board import counted, grid, releases, tracked_releases
from harness.gate.decide import Policy, decide
from harness.record.folder import Status
from harness.tracking.fetch import TrackedAudit
from tests.audit_folder import GATES, make_audit


def entries(folder: Path, **audits: bool) -> list[Entry]:
    """Audits by id, each with whether it passes."""
    return [read_entry(make_audit(folder, audit, passes=passes)) for audit, passes in audits.items()]


def test_the_newest_verdict_stands_and_the_others_are_its_history(tmp_path: Path) -> None:
    found = entries(tmp_path, a=False, b=True, c=False)
    (line,) = releases(found)
    assert line.audit.manifest.audit_id == "c"
    assert line.history == "✖ ✔ ✖"
    assert line.in_the_way()[0].gate.id == "robust"
    assert counted([line]) == "1 blocked"


def test_what_changed_since_the_audit_before(tmp_path: Path) -> None:
    (line,) = releases(entries(tmp_path, a=True, b=False))
    changes = line.changes()
    assert any(change.startswith("robust") and change.endswith("✔ → ✖") for change in changes)
    assert any(change.startswith("calibrated") and "new" in change for change in changes)
    (first,) = releases(entries(tmp_path / "other", a=True))
    assert first.changes() == []


def test_undecided_damaged_and_running_audits_are_no_releases(tmp_path: Path) -> None:
    running = read_entry(make_audit(tmp_path, "running", status=Status.INTERRUPTED))
    assert releases([running, Entry("damaged", damage="cut off")]) == []


def waived(audit: Audit, until: date) -> Audit:
    gates = [{**GATES[2], "waiver": {"until": until, "by": "Ada", "reason": "known"}}]
    policy = Policy.model_validate({"name": "release", "gates": gates})
    return replace(audit, verdict=decide(policy, audit.metrics, today=date(2026, 1, 2)))


def test_a_waiver_says_who_answers_and_how_long(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, a=False)
    assert entry.audit is not None
    (line,) = releases([replace(entry, audit=waived(entry.audit, date(2026, 1, 31)))])
    assert line.waivers(date(2026, 1, 21)) == ["robust: Ada until 2026-01-31 (10 days left)"]
    assert line.waivers(date(2026, 2, 1)) == ["robust: Ada ended 2026-01-31"]


def test_every_gate_against_every_checkpoint(tmp_path: Path) -> None:
    one = read_entry(make_audit(tmp_path, "one", spec={"name": "one"}))
    two = read_entry(make_audit(tmp_path, "two", passes=True, spec={"name": "two"}))
    table = grid(releases([one, two])).set_index("gate")
    assert list(table.columns) == ["one", "two"]  # what blocks stands first
    assert list(table.loc["robust", ["one", "two"]]) == ["✖ block", "✔ pass"]
    assert table.loc["fair", "two"] == ""


def test_a_newer_audit_without_a_verdict_is_named_beside_an_older_pass(tmp_path: Path) -> None:
    found = entries(tmp_path, b=True)
    found += [read_entry(make_audit(tmp_path, name, status=Status.INTERRUPTED)) for name in ("a", "c")]
    (line,) = releases(found)
    assert line.audit.manifest.audit_id == "b"
    assert [audit.manifest.audit_id for audit in line.newer] == ["c"]


def test_releases_that_only_mlflow_has_are_named_the_newest_of_each(tmp_path: Path) -> None:
    def run(audit: str, name: str, verdict: str, gates: int = 1) -> Entry:
        shown = {"created": "2026-01-01", "checkpoint": "x", "status": "finished", "reason": "", "logged": ""}
        return Entry(
            audit, tracked=TrackedAudit(f"run-{audit}", audit, name, verdict=verdict, gates={"pass": gates}, **shown)
        )

    here = entries(tmp_path, m=True)  # of the name `sentiment`
    far = [
        run("a", "far", "block"),
        run("b", "far", "pass"),
        run("c", "other", "block"),
        run("d", "other", ""),  # not decided yet
        run("e", "third", "inconclusive", gates=0),  # by no policy
        run("f", "sentiment", "block"),  # older than what is here
        run("z", "sentiment", "block"),
    ]
    found = tracked_releases([*here, *far], releases(here), {"run-b": ["far@production"]})
    assert [(each.run.audit_id, each.aliases) for each in found] == [
        ("z", ()),
        ("c", ()),
        ("b", ("far@production",)),
    ]
    assert tracked_releases(here, releases(here)) == []
