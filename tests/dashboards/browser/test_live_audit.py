"""An audit started from the form, seen as it runs, stopped, resumed and finished, in a real browser."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dashboards.access.noted import ACTIONS
from dashboards.settings import FOLDER, Access
from harness.record.folder import AuditFolder, Status, audits_in
from harness.record.lock import holder
from tests.dashboards.browser.conftest import Visit, grave_faults, served
from tests.tiny import make_checkpoint

pytestmark = pytest.mark.slow

KEY = "k" * 43
LONG = 240_000  # milliseconds: a plan and the loading of libraries on a busy machine
CASES = 40_000  # of tiny texts: some twenty seconds of one core, so that there is something to stop


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a tiny classifier and texts."""
    folder = tmp_path_factory.mktemp("home")
    make_checkpoint(folder / "bert", "bert", "classifier")
    words = ["the", "film", "was", "good", "bad", "great", "awful", "story", "of", "a", "man", "and", "woman"]
    chance = random.Random(0)
    with (folder / "data.jsonl").open("w") as file:
        for n in range(CASES):
            file.write(json.dumps({"text": f"{n} {' '.join(chance.choices(words, k=60))}", "label": n % 2}) + "\n")
    return folder


@pytest.fixture(scope="module")
def dashboard(home: Path, tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    (home / "audits").mkdir()
    folder = {FOLDER: str(home)}
    with served(home / "audits", tmp_path_factory.mktemp("cache"), Access(KEY), None, None, **folder) as address:
        yield address


@pytest.fixture
def visit(browser: Any, dashboard: str) -> Iterator[Visit]:
    made = Visit(browser, dashboard)
    yield made
    made.close()


def audit_of(home: Path) -> AuditFolder:
    (folder,) = audits_in(home / "audits")
    return folder


def say(tab: Any, text: str) -> None:
    tab.get_by_text(text).first.wait_for(timeout=LONG)


def test_an_audit_is_started_seen_stopped_resumed_and_finished(visit: Visit, home: Path) -> None:
    tab = visit.go(f"start?key={KEY}", "Checkpoint")
    assert "key=" not in tab.url
    assert "Start" in tab.title()
    tab.get_by_role("textbox", name="Checkpoint", exact=True).fill("bert")
    tab.keyboard.press("Tab")
    tab.get_by_role("textbox", name="Labelled examples", exact=True).fill("data.jsonl")
    tab.keyboard.press("Tab")
    tab.get_by_role("combobox", name="Probes").click()
    tab.keyboard.type("quality/class")
    tab.get_by_role("option", name="quality/classification", exact=True).click()
    tab.keyboard.press("Escape")
    tab.get_by_role("textbox", name="Name", exact=True).fill("from the form")
    tab.keyboard.press("Tab")
    tab.get_by_role("button", name="Plan").click()
    say(tab, "What it will do")
    say(tab, f"{CASES:,} of {CASES:,}")
    assert grave_faults(tab) == []
    tab.get_by_role("button", name="Start", exact=True).click()
    say(tab, "Running: process")
    assert "/live?audit=" in tab.url
    assert "Live" in tab.title()
    say(tab, "began")
    assert grave_faults(tab) == []

    audit = audit_of(home)
    worker = holder(audit.path)
    assert worker is not None
    assert psutil.pid_exists(worker.pid)
    tab.get_by_role("button", name="Stop").click()
    say(tab, "Stopped: interrupted by the user")
    assert audit.manifest().status is Status.INTERRUPTED
    assert holder(audit.path) is None
    assert grave_faults(tab) == []

    tab.get_by_role("button", name="Resume").click()
    say(tab, "Running: process")
    say(tab, "Finished.")
    assert audit.manifest().status is Status.FINISHED
    assert audit.manifest().name == "from the form"
    assert audit.count("quality/classification") == CASES  # nothing was lost, and nothing counted twice
    assert visit.ours() == []
    lines = [json.loads(line) for line in (home / "audits" / ACTIONS).read_text().splitlines()]
    assert [each["action"] for each in lines] == ["start", "stop", "resume"]
    assert {each["user"] for each in lines} == {"holder of the key"}


def test_enter_takes_the_first_name_that_fits_and_no_other(visit: Visit) -> None:
    tab = visit.go(f"start?key={KEY}", "Checkpoint")
    tab.get_by_role("combobox", name="Probes").focus()
    for typed in ("quality/classification", "counterf"):
        tab.keyboard.type(typed)
        tab.keyboard.press("Enter")
        tab.wait_for_timeout(1000)
    tab.get_by_text("The spec as YAML").click()
    say(tab, "- bias/counterfactual")
    spec = tab.get_by_test_id("stCode").first.inner_text()
    assert "token_classification" not in spec
    assert "- quality/classification" in spec


def test_a_second_session_may_only_look(visit: Visit) -> None:
    """The key is of a session: another tab, or another person on this machine, has none."""
    tab = visit.go("start", "Here you may look at audits")
    assert tab.get_by_label("Checkpoint").count() == 0
    tab.get_by_label("Key").fill(KEY)
    tab.keyboard.press("Enter")
    say(tab, "Labelled examples")


@pytest.mark.parametrize("settings", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
@pytest.mark.parametrize(
    ("path", "said"), [(f"start?key={KEY}", "Labelled examples"), ("live", "No audit is running.")]
)
def test_dark_and_narrow(browser: Any, dashboard: str, path: str, said: str, settings: dict[str, Any]) -> None:
    visit = Visit(browser, dashboard, **settings)
    tab = visit.go(path, said)
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert grave_faults(tab) == []
    assert visit.ours() == []
    visit.close()


def test_a_request_without_a_session_starts_nothing(dashboard: str, home: Path) -> None:
    """What another site could have a browser send: every path by GET and POST, with the key even."""
    before = sorted(path.name for path in (home / "audits").rglob("*") if path.is_dir())
    for path in ("start", f"start?key={KEY}", "_stcore/stream", "live?start=x"):
        for body in (None, b"checkpoint=bert"):
            request = urllib.request.Request(f"{dashboard}/{path}", body, {"Origin": "http://evil.example"})
            try:
                urllib.request.urlopen(request).close()
            except urllib.error.HTTPError as error:
                error.close()
    assert sorted(path.name for path in (home / "audits").rglob("*") if path.is_dir()) == before
