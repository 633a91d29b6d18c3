"""Who works on an audit, and that nobody else's process is ever stopped for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dashboards.access.actor import Actor
from dashboards.access.noted import ACTIONS
from dashboards.access.roles import Role
from dashboards.control.process import Standing, local_audit, process_of, stop
from dashboards.settings import Settings
from harness.errors import UsageError
from harness.record.folder import AuditFolder, Status
from harness.record.lock import LOCK
from tests.audit_folder import make_audit
from tests.dashboards.control.processes import working_on

AUDIT = "20260102T030405Z-sentiment-ab12"
ANNA = Actor("anna@example.org", Role.AUDITOR)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "audits", None)


@pytest.fixture
def audit(settings: Settings) -> AuditFolder:
    return make_audit(settings.output, status=Status.RUNNING)


def test_the_lock_says_where_an_audit_stands_not_its_manifest(audit: AuditFolder) -> None:
    with working_on(audit.path) as worker:
        found = process_of(audit, Status.RUNNING)
        assert (found.standing, found.moves, found.may_go_on) == (Standing.WORKING, True, False)
        assert found.holder is not None
        assert found.holder.pid == worker.pid
        assert process_of(audit, Status.INTERRUPTED).standing is Standing.WORKING  # it was resumed a moment ago
    assert process_of(audit, Status.RUNNING).standing is Standing.BEGINNING
    old = time.time() - 60
    os.utime(audit.manifest_path, (old, old))
    gone = process_of(audit, Status.RUNNING)
    assert (gone.standing, gone.moves, gone.may_go_on) == (Standing.GONE, False, True)
    assert process_of(audit, Status.FAILED).standing is Standing.FAILED
    assert process_of(audit, Status.FINISHED).may_go_on is False


@pytest.mark.parametrize("words", [[], ["ignore"]])
def test_stopping_is_ctrl_c_and_noted(settings: Settings, audit: AuditFolder, words: list[str]) -> None:
    with working_on(audit.path, *words) as worker:
        stop(ANNA, settings, AUDIT)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "interrupted\n"
    (line,) = (settings.output / ACTIONS).read_text().splitlines()
    told = json.loads(line)
    assert (told["user"], told["action"], told["audit"]) == ("anna@example.org", "stop", AUDIT)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.NONE])
def test_who_may_not_stops_nothing(settings: Settings, audit: AuditFolder, role: Role) -> None:
    with working_on(audit.path) as worker:
        with pytest.raises(UsageError, match="Only an auditor"):
            stop(Actor("ben", role), settings, AUDIT)
        assert worker.poll() is None
    assert not (settings.output / ACTIONS).exists()


def test_a_process_that_only_has_the_number_is_left_alone(settings: Settings, audit: AuditFolder) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with working_on(audit.path):
            lock = audit.path / LOCK
            words = lock.read_text().split()
            lock.write_text(" ".join([str(bystander.pid), *words[1:]]) + "\n")
            with pytest.raises(UsageError, match="does not work on this audit"):
                stop(ANNA, settings, AUDIT)
        assert bystander.poll() is None
        with pytest.raises(UsageError, match="No process works"):  # the lock's file still names it
            stop(ANNA, settings, AUDIT)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_another_machine_s_process_is_left_to_it(settings: Settings, audit: AuditFolder) -> None:
    with working_on(audit.path) as worker:
        lock = audit.path / LOCK
        lock.write_text(lock.read_text().replace(" on ", " on far-"))
        with pytest.raises(UsageError, match=r"on far-.* works on it; stop it there"):
            stop(ANNA, settings, AUDIT)
        assert worker.poll() is None


def test_what_cannot_be_noted_is_not_done(settings: Settings, audit: AuditFolder) -> None:
    (settings.output / ACTIONS).mkdir()
    with working_on(audit.path) as worker:
        with pytest.raises(UsageError, match="Nothing was done"):
            stop(ANNA, settings, AUDIT)
        assert worker.poll() is None


@pytest.mark.parametrize("name", ["..", ".", "", "../audits/" + AUDIT, "/tmp", "no-such", "a\nb", "a/b"])
def test_only_an_audit_of_this_folder_is_meant(settings: Settings, audit: AuditFolder, name: str) -> None:
    with pytest.raises(UsageError, match="is no audit in"):
        local_audit(settings, name)
    assert local_audit(settings, AUDIT).path == audit.path
