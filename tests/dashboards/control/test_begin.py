"""What is started is `assay` with a file and known options, by no shell, in a process that is found again."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboards.access.actor import Actor
from dashboards.access.noted import ACTIONS
from dashboards.access.roles import Role
from dashboards.control import begin
from dashboards.control.begin import CONSOLE, call_off, find_start, last_lines, resume, start, start_of
from dashboards.control.planning import plan
from dashboards.settings import OWN, Access, Settings
from harness.base.language import spoken
from harness.errors import UsageError
from harness.record.folder import Status
from tests.audit_folder import make_audit
from tests.dashboards.control.processes import working_on

ANNA = Actor("anna@example.org", Role.AUDITOR)
AUDIT = "20260102T030405Z-sentiment-ab12"
SPEC = "checkpoint: --allow-pickle\nname: '$(touch ran); `touch ran`'\n"
TELL = """
import json, os, sys, time
print(json.dumps([sys.argv[1:], os.getcwd(), sorted(os.environ), os.getsid(0) == os.getpid()]), flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "work").mkdir()
    (tmp_path / "audits").mkdir()
    return Settings(tmp_path / "audits", None, Access(permissions=("--trust-manifest",)), tmp_path / "work")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that stands in for `assay` and says how it was called."""
    monkeypatch.setattr(begin, "words", lambda *arguments: [sys.executable, "-c", TELL, *arguments])


def _until(found: Callable[[], object]) -> None:
    for _ in range(300):
        if found():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come")


@pytest.mark.usefixtures("told")
def test_a_start_is_a_file_and_a_list_of_words(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OWN, "STREAMLIT_SERVER_PORT"):
        monkeypatch.setenv(name, "secret")
    begun = start(ANNA, settings, SPEC, ["--trust-manifest"])
    log = begun.folder / CONSOLE
    _until(lambda: log.read_text())
    arguments, folder, variables, leads = json.loads(log.read_text())
    assert arguments == ["run", str(begun.spec), "--trust-manifest"]
    assert begun.spec.is_absolute()
    assert begun.spec.read_text() == SPEC
    assert folder == str(settings.folder)
    assert leads  # a session of its own: Ctrl-C in the dashboard's terminal does not reach it
    assert not {*OWN, "STREAMLIT_SERVER_PORT"} & set(variables)
    assert list(settings.folder.iterdir()) == []  # nothing was run by a shell
    assert find_start(settings, begun.id) == begun
    assert begun.process() is not None
    call_off(ANNA, settings, begun.id)
    _until(lambda: begun.process() is None)
    lines = [json.loads(line) for line in (settings.output / ACTIONS).read_text().splitlines()]
    assert [(each["user"], each["action"], each["audit"]) for each in lines] == [
        ("anna@example.org", "start", begun.id),
        ("anna@example.org", "stop", begun.id),
    ]
    assert lines[0]["permissions"] == ["--trust-manifest"]


@pytest.mark.usefixtures("told")
def test_a_start_from_a_chinese_page_asks_for_a_chinese_report(settings: Settings) -> None:
    with spoken("zh"):
        begun = start(ANNA, settings, SPEC)
    log = begun.folder / CONSOLE
    _until(lambda: log.read_text())
    assert json.loads(log.read_text())[0] == ["run", str(begun.spec), "--language", "zh"]
    call_off(ANNA, settings, begun.id)


@pytest.mark.usefixtures("told")
def test_planted_pipes_are_not_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = start(ANNA, settings, SPEC)
    process = begun.process()
    assert process is not None
    process.kill()
    (begun.folder / "pid").unlink()
    os.mkfifo(begun.folder / "pid")
    assert begun.process() is None
    (begun.folder / "pid").unlink()
    (begun.folder / "pid").write_text("9" * 50)
    assert begun.process() is None
    folder = make_audit(settings.output, AUDIT, status=Status.INTERRUPTED)
    os.mkfifo(folder.path / CONSOLE)
    with pytest.raises(UsageError, match=CONSOLE):
        resume(ANNA, settings, AUDIT)


@pytest.mark.usefixtures("told")
def test_a_number_that_another_process_has_by_now_is_not_the_start_s(settings: Settings) -> None:
    begun = start(ANNA, settings, SPEC)
    process = begun.process()
    assert process is not None
    (begun.folder / "pid").write_text(str(os.getpid()))
    assert begun.process() is None
    with pytest.raises(UsageError, match="No process works"):
        call_off(ANNA, settings, begun.id)
    (begun.folder / "pid").write_text(str(process.pid))
    call_off(ANNA, settings, begun.id)


@pytest.mark.parametrize("actor", [Actor("ben", Role.VIEWER), Actor("", Role.NONE)])
def test_who_may_not_starts_plans_and_resumes_nothing(actor: Actor, settings: Settings) -> None:
    make_audit(settings.output, status=Status.INTERRUPTED)
    before = sorted(settings.output.rglob("*"))
    acts: list[Callable[[], object]] = [
        lambda: start(actor, settings, SPEC),
        lambda: plan(actor, settings, SPEC),
        lambda: resume(actor, settings, AUDIT),
        lambda: call_off(actor, settings, "20260102T030405Z-00000000"),
    ]
    for act in acts:
        with pytest.raises(UsageError, match="Only an auditor may"):
            act()
    assert sorted(settings.output.rglob("*")) == before


@pytest.mark.parametrize("option", ["--allow-pickle", "--output=/etc", "", "--trust-manifest --allow-pickle"])
def test_no_option_that_the_dashboard_was_not_started_with(option: str, settings: Settings) -> None:
    make_audit(settings.output, status=Status.INTERRUPTED)
    acts: list[Callable[[], object]] = [
        lambda: start(ANNA, settings, SPEC, [option]),
        lambda: plan(ANNA, settings, SPEC, [option]),
        lambda: resume(ANNA, settings, AUDIT, [option]),
    ]
    for act in acts:
        with pytest.raises(UsageError, match="was not started with"):
            act()
    assert not (settings.output / "starts").exists()


@pytest.mark.usefixtures("told")
def test_resuming_names_the_audit_by_its_path_and_logs_into_it(settings: Settings) -> None:
    audit = make_audit(settings.output, status=Status.INTERRUPTED)
    with working_on(audit.path), pytest.raises(UsageError, match="works on it already"):
        resume(ANNA, settings, AUDIT)
    resume(ANNA, settings, AUDIT)
    log = audit.path / CONSOLE
    _until(lambda: log.is_file() and log.read_text())
    assert json.loads(log.read_text())[0] == ["resume", str(audit.path)]
    begin._children[-1].kill()
    for name in ("../elsewhere", "latest", "--help"):
        with pytest.raises(UsageError, match="is no audit in"):
            resume(ANNA, settings, name)


def test_what_cannot_be_noted_is_not_started(settings: Settings) -> None:
    (settings.output / ACTIONS).mkdir()
    children = len(begin._children)
    with pytest.raises(UsageError, match="Nothing was done"):
        start(ANNA, settings, SPEC)
    assert len(begin._children) == children


def test_the_audit_of_a_start_is_found_by_its_command_line_and_the_start_by_the_audit_s(settings: Settings) -> None:
    name = "20260102T030400Z-0123abcd"
    folder = settings.output / "starts" / name
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(SPEC)
    begun = find_start(settings, name)
    assert begun is not None
    assert begun.audit(settings.output) is None
    make_audit(settings.output, "20260103T000000Z-other-0001")
    audit = make_audit(settings.output)
    command = shlex.join(["assay", "run", str(folder / "spec.yaml")])
    audit.write_manifest(audit.manifest().model_copy(update={"command": command}))
    assert begun.audit(settings.output) == audit
    assert start_of(settings, command) == begun
    for other in (
        "assay run spec.yaml",
        "assay run '",
        f"assay run {folder}/../../x/spec.yaml",
        "assay run /spec.yaml",
    ):
        assert start_of(settings, other) is None


@pytest.mark.parametrize("name", ["..", "", "../starts/20260102T030400Z-0123abcd", "20260102T030400Z-0123ABCD"])
def test_only_a_start_of_this_folder_is_meant(name: str, settings: Settings) -> None:
    assert find_start(settings, name) is None


def test_a_log_is_read_from_its_end_and_steers_nothing(tmp_path: Path) -> None:
    log = tmp_path / CONSOLE
    assert last_lines(log) == ""
    log.write_bytes(b"x" * 200_000 + b"\n" + b"\n".join(b"line %d" % n for n in range(100)) + b"\n\x1b[2J\xff\n")
    lines = last_lines(log, 3).splitlines()
    assert lines[:2] == ["line 98", "line 99"]
    assert "\x1b" not in lines[2]
    log.unlink()
    os.mkfifo(log)
    assert "console.log" in last_lines(log)  # why it is not read, and no wait for somebody to write
