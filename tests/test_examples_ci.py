"""The CI templates, by the very steps of their YAML: real shell and reports, a made-up audit, and fake forges."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from harness.baseline.judge import first_verdict
from harness.gate.decide import Policy, decide
from tests.audit_folder import GATES, HOSTILE, make_audit
from tests.ci_job import CI, HEAD, HOSTILE_REF, REAL, TOKEN, GitHubJob, GitLabJob, fake_tools
from tests.harness.baseline.two_audits import ACCURACY, answers
from tests.harness.baseline.two_audits import make_audit as make_compared
from tests.tiny import make_checkpoint

SCRIPTS = sorted(CI.glob("*.sh"))
ACTION: dict[str, Any] = yaml.safe_load((CI / "github" / "action.yml").read_text())
WORKFLOW: dict[Any, Any] = yaml.safe_load((CI / "github" / "audit.yml").read_text())
FAILED = "**FAILED** There is no report on this commit"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_tools(tmp_path_factory.mktemp("tools") / "bin")


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished audits of one model under one policy, by verdict; and one whose every text is hostile."""
    home = tmp_path_factory.mktemp("audits")
    found = {name: make_audit(home / name, passes=name == "pass") for name in ("pass", "block", "inconclusive")}
    undecided = found["inconclusive"]
    undecided.write_verdict(
        decide(Policy.model_validate({"name": "release", "gates": GATES[1:2]}), undecided.metrics())
    )

    hostile = make_audit(home / "hostile", spec={"name": "$(touch pwned)`touch pwned`"})
    manifest = hostile.manifest()
    labels = {"labels": (HOSTILE_REF, HOSTILE), "source": HOSTILE_REF, "notes": ("\n/close\n::error::x",)}
    hostile.write_manifest(
        manifest.model_copy(update={"checkpoint": manifest.checkpoint.model_copy(update=labels), "incomplete": {}})
    )
    gates = [{**gate, "id": f"{gate['id']} {HOSTILE_REF}", "reason": f"/close\n/close {HOSTILE}"} for gate in GATES]
    hostile.write_verdict(decide(Policy.model_validate({"name": HOSTILE_REF, "gates": gates}), hostile.metrics()))
    return {**{name: folder.path for name, folder in found.items()}, "hostile": hostile.path}


@pytest.fixture
def github(tmp_path: Path, tools: Path) -> GitHubJob:
    return GitHubJob(tmp_path / "github", tools)


@pytest.fixture
def gitlab(tmp_path: Path, tools: Path) -> GitLabJob:
    return GitLabJob(tmp_path / "gitlab", tools)


def test_github_publishes_every_verdict_in_one_comment_and_fails_as_it_should(
    github: GitHubJob, audits: dict[str, Path]
) -> None:
    conclusion, steps = github.run(audits["pass"], 0)
    assert conclusion == "success", steps
    assert {name for name, step in steps.items() if step.outcome != "success"} == set()
    assert steps["Audit"].given == {"verdict": "pass", "exit-code": "0"}
    (comment,) = github.comments()
    assert re.match(r"<!-- assay-verdict [0-9a-f]{16} -->\n\*\*PASS\*\* sentiment: ", comment["body"])
    assert f"https://github.com/owner/name/actions/runs/42), commit {HEAD}\n" in comment["body"]
    assert github.summary.read_text().startswith("**PASS** sentiment: ")

    conclusion, steps = github.run(audits["block"], 1)
    assert conclusion == "failure"
    assert [name for name, step in steps.items() if step.outcome != "success"] == ["Verdict"]
    assert (steps["Verdict"].code, steps["Verdict"].output) == (
        1,
        "::error title=Assay::the policy blocks this release\n",
    )
    again = github.comments()
    assert [(one["id"], "**BLOCK** sentiment: " in one["body"]) for one in again] == [(comment["id"], True)]
    assert steps["SARIF"].given == {"sarif_file": "assay-audit/reports/report.sarif"}
    assert steps["Artifact"].given["path"] == "assay-audit/reports"
    sarif = json.loads((github.output / "reports" / "report.sarif").read_text())
    assert [result["level"] for result in sarif["runs"][0]["results"] if result["kind"] == "fail"] == ["error"]
    suite = ET.parse(github.output / "reports" / "report.junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("5", "1")

    conclusion, steps = github.run(None, 4)  # the job of a later commit fails: no old verdict may stand
    assert (conclusion, steps["Verdict"].code, steps["SARIF"].outcome) == ("failure", 4, "skipped")
    assert [(one["id"], one["body"][: len(FAILED)]) for one in github.comments()] == [(comment["id"], FAILED)]
    assert "exit code of the audit: 4" in github.comments()[0]["body"]
    assert github.summary.read_text().startswith("**FAILED**")

    conclusion, steps = github.run(audits["inconclusive"], 3)  # the example's workflow warns
    assert (conclusion, steps["Verdict"].code) == ("success", 0)
    assert steps["Verdict"].output.startswith("::warning title=Assay::inconclusive")
    assert junit_counts(github) == ("0", "1")
    (last,) = github.comments()
    assert (last["id"], "**INCONCLUSIVE** sentiment: " in last["body"]) == (comment["id"], True)


def junit_counts(job: GitHubJob | GitLabJob) -> tuple[str | None, str | None]:
    suite = ET.parse(job.output / "reports" / "report.junit.xml").getroot().find("testsuite")
    assert suite is not None
    return suite.get("failures"), suite.get("skipped")


def test_junit_is_as_red_as_the_job(github: GitHubJob, gitlab: GitLabJob, audits: dict[str, Path]) -> None:
    """A job that fails as inconclusive, beside a test report all in green, is read as a fault of the job."""
    conclusion, _ = github.run(audits["inconclusive"], 3, inconclusive="fail")
    assert (conclusion, junit_counts(github)) == ("failure", ("1", "0"))
    assert (gitlab.run(audits["inconclusive"], 3)[0], junit_counts(gitlab)) == (3, ("1", "0"))
    code, _ = gitlab.run(audits["inconclusive"], 3, ASSAY_INCONCLUSIVE="warn")
    assert (code, junit_counts(gitlab)) == (0, ("0", "1"))


def test_gitlab_does_the_same(gitlab: GitLabJob, audits: dict[str, Path]) -> None:
    code, log = gitlab.run(audits["block"], 1, ASSAY_POLICY="policy.yaml")
    assert code == 1, log
    assert gitlab.asked("assay-run")[:2] == ["run", "audit.yaml"]
    (comment,) = gitlab.comments()
    assert "**BLOCK** sentiment: " in comment["body"]
    assert f"https://gitlab.example.com/group/name/-/jobs/42), commit {HEAD}\n" in comment["body"]
    junit = gitlab.workspace / gitlab.job["artifacts"]["reports"]["junit"]
    assert ET.parse(junit).getroot().get("failures") == "4"  # three are undecided, which fails this job too
    assert (gitlab.output / "reports" / "report.sarif").stat().st_size > 1000
    assert gitlab.job["artifacts"]["when"] == "always"

    code, log = gitlab.run(None, 2, ASSAY_POLICY="policy.yaml")
    assert code == 2, log
    assert [(one["id"], one["body"].startswith(FAILED)) for one in gitlab.comments()] == [(comment["id"], True)]
    assert TOKEN not in log
    assert all(TOKEN not in word for call in gitlab.calls() for word in call)  # a list of processes would show it

    code, log = gitlab.run(None, 4, token="")
    assert (code, "ASSAY_GITLAB_TOKEN is not set" in log) == (4, True)


def test_nothing_that_a_checkpoint_or_a_branch_says_is_run(
    github: GitHubJob, gitlab: GitLabJob, audits: dict[str, Path], tmp_path: Path
) -> None:
    spec = f"{HOSTILE_REF[:16]}.yaml"
    (github.workspace / spec).touch()
    conclusion, steps = github.run(audits["hostile"], 1, spec=spec, comment_key=HOSTILE_REF, policy=HOSTILE_REF)
    assert (conclusion, steps["Verdict"].code) == ("failure", 1), steps
    assert github.asked("assay-run")[1] == spec
    assert HOSTILE_REF in github.asked("assay-run")
    (comment,) = github.comments()
    code, log = gitlab.run(audits["hostile"], 1, ASSAY_SPEC=spec, ASSAY_COMMENT_KEY=HOSTILE_REF)
    assert code == 1, log
    (note,) = gitlab.comments()
    for body in (comment["body"], note["body"]):
        assert not re.search(r"^\s*/", body, re.MULTILINE)  # GitLab would obey
        assert body.count("<!--") == 2
    assert not list(tmp_path.rglob("pwned"))
    _, opened, rest = steps["Audit"].output.partition("::stop-commands::")
    token = rest.split("\n")[0]
    assert opened
    assert rest.index("::error::text of a row") < rest.index(f"::{token}::")
    assert len(token) == 32


def test_no_line_of_a_comment_is_a_command_to_gitlab(gitlab: GitLabJob) -> None:
    (gitlab.output / "reports").mkdir(parents=True)
    (gitlab.output / "exit-code").write_text("0\n")
    marked = "<!-- assay-verdict 00ff -->"
    (gitlab.output / "reports" / "report.comment.md").write_text(f"{marked}\n/close\n \t/merge\nand/or\n")
    assert "posted" in gitlab.after()
    assert gitlab.comments()[0]["body"].startswith(f"{marked}\n\\/close\n\\/merge\nand/or\n")


@pytest.mark.slow
def test_a_real_audit_goes_through_the_same_steps(github: GitHubJob) -> None:
    home = github.workspace
    make_checkpoint(home / "bert", "bert", "classifier")
    rows = [{"text": f"a text about number {at}", "label": at % 2} for at in range(60)]
    (home / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (home / "audit.yaml").write_text("checkpoint: nowhere\nprobes: [quality]\ndata: {examples: data.jsonl}\n")
    (home / "policy.yaml").write_text(f"name: p\ngates:\n- {{id: lost, metric: {ACCURACY}, max: 0.01}}\n")
    conclusion, steps = github.run(REAL, 0, checkpoint="bert", tracking_uri="off")
    assert (conclusion, steps["Audit"].given, steps["Verdict"].code) == (
        "failure",
        {"verdict": "block", "exit-code": "1"},
        1,
    ), steps
    assert "**BLOCK** bert: " in github.comments()[0]["body"]
    assert len(list((github.output / "audits").glob("*/manifest.json"))) == 1


def test_a_baseline_is_compared_with_and_decides(github: GitHubJob, tmp_path: Path) -> None:
    theirs = answers(300, 0.95, 0)
    baseline = make_compared(tmp_path / "a" / "20260101T000000Z-old-aaaa", theirs)
    ours = make_compared(tmp_path / "a" / "20260102T000000Z-new-bbbb", theirs & answers(300, 0.8, 1))
    ours.write_verdict(first_verdict(ours, ours.manifest(), ours.metrics(), None))
    gate = f"{{id: kept, metric: {ACCURACY}, baseline: {{max_regression: 0.02}}}}"
    (github.workspace / "policy.yaml").write_text(f"name: p\ngates:\n- {gate}\n")
    conclusion, steps = github.run(ours.path, 3, baseline=str(baseline.path))
    assert (conclusion, steps["Audit"].given["verdict"], steps["Verdict"].code) == ("failure", "block", 1), steps
    assert "Against the baseline (1)" in github.comments()[0]["body"]
    assert "--baseline" in github.asked("assay-gate")

    conclusion, steps = github.run(ours.path, 0, baseline=str(baseline.path), policy="")
    assert (conclusion, steps["Audit"].code) == ("failure", 2)
    assert "a baseline needs a policy" in steps["Audit"].output


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_code_without_a_verdict_is_a_failure(github: GitHubJob, code: int) -> None:
    """An interpreter that cannot start Assay ends with 1, which must not read as a block."""
    conclusion, steps = github.run(None, code)
    assert (conclusion, steps["Audit"].given["verdict"], steps["Verdict"].code) == ("failure", "failed", 4), steps
    assert "wrote no verdict" in steps["Audit"].output


def test_an_old_audit_never_passes_for_this_one(github: GitHubJob, audits: dict[str, Path]) -> None:
    github.output.mkdir()
    shutil.copytree(audits["pass"], github.output / "audits" / "old")
    (github.output / "exit-code").write_text("0\n")
    conclusion, steps = github.run_again(audits["pass"], 0)
    assert (conclusion, steps["Audit"].code, steps["Verdict"].code) == ("failure", 2, 2)
    assert "exists already" in steps["Audit"].output
    assert github.comments()[0]["body"].startswith(FAILED)


def test_somebody_elses_comment_is_left_alone(github: GitHubJob) -> None:
    github.run(None, 4)
    (ours,) = github.comments()
    theirs = [{"id": at, "user": {"login": "mallory"}, "body": ours["body"]} for at in range(150)]
    github.plant([*theirs, ours])
    github.run(None, 130)
    assert [one["body"] for one in github.comments()[:150]] == [ours["body"]] * 150
    assert "exit code of the audit: 130" in github.comments()[150]["body"]
    assert len(github.comments()) == 151


def test_two_audits_of_a_spec_can_have_a_comment_each(github: GitHubJob) -> None:
    for key in ("a", "b", "a"):
        github.run(None, 4, comment_key=key)
    assert len(github.comments()) == 2


def test_a_comment_that_cannot_be_posted_changes_no_verdict(github: GitHubJob) -> None:
    conclusion, steps = github.run(None, 4, down=True)
    assert (steps["Comment"].outcome, steps["Verdict"].code) == ("failure", 4)
    assert conclusion == "failure"
    _, steps = github.run(None, 4, pull=None)
    assert (steps["Comment"].outcome, github.comments()) == ("success", [])
    assert "belongs to no pull or merge request" in steps["Comment"].output
    assert github.run(None, 4, comment="false")[1]["Comment"].outcome == "skipped"


@pytest.mark.parametrize(
    ("noted", "inconclusive", "code"),
    [
        ("0", "fail", 0),
        ("1", "warn", 1),
        ("3", "fail", 3),
        ("3", "warn", 0),
        ("3", "wran", 2),
        ("2", "warn", 2),
        ("4", "warn", 4),
        ("130", "warn", 130),
        ("", "warn", 4),
        ("$(exit 0)", "warn", 4),
        (None, "warn", 4),
    ],
)
def test_the_last_step_ends_with_the_audits_exit_code(
    tmp_path: Path, noted: str | None, inconclusive: str, code: int
) -> None:
    if noted is not None:
        (tmp_path / "exit-code").write_text(f"{noted}\n")
    environment = {"PATH": "/usr/bin:/bin", "ASSAY_OUT": str(tmp_path), "ASSAY_INCONCLUSIVE": inconclusive}
    done = subprocess.run(["sh", str(CI / "verdict.sh")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done


def test_assay_is_installed_as_told(github: GitHubJob) -> None:
    assert github.asked("pip") == []
    _, steps = github.run(None, 4, install="assay @ git+https://git.example.com/assay; $(touch pwned)")
    assert github.asked("pip")[-2:] == ["--", "assay @ git+https://git.example.com/assay; $(touch pwned)"]
    assert steps["Install"].outcome == "success"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_plain_sh(path: Path) -> None:
    text = path.read_text()
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    assert not re.search(r"\[\[ |\blocal\b|\bfunction\b|\beval\b|\$'|<<<|set -[a-z]*x", text)
    assert path.name == "common.sh" or text.startswith("#!/bin/sh\n")
    assert not path.stat().st_mode & stat.S_IWOTH


def test_the_action_puts_nothing_into_its_shell_and_pins_what_it_uses() -> None:
    steps = ACTION["runs"]["steps"]
    assert len({step["name"] for step in steps}) == len(steps)
    for step in steps:
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            assert "${{" not in step["run"], step["name"]
            assert step["shell"] == "bash"
        else:
            assert re.fullmatch(r"(actions|github)/[\w/-]+@v\d+", step["uses"])
    tokens = [step["name"] for step in steps if "inputs.token" in json.dumps(step)]
    assert tokens == ["Comment"]
    assert steps[-1]["name"] == "Verdict"
    assert all(set(one) >= {"description"} for one in ACTION["inputs"].values())


def test_the_workflow_asks_for_no_more_than_it_needs() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    job = WORKFLOW["jobs"]["audit"]
    assert job["permissions"] == {"contents": "read", "pull-requests": "write", "security-events": "write"}
    assert set(WORKFLOW[True]) == {"pull_request", "push"}  # YAML 1.1 reads `on` as true
    assert job["steps"][0]["with"] == {"persist-credentials": False}
    assert set(job["steps"][1]["with"]) <= set(ACTION["inputs"])
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True


def test_the_readme_names_every_input() -> None:
    readme = (CI / "README.md").read_text()
    assert [name for name in ACTION["inputs"] if f"`{name}`" not in readme] == []
    assert [path.name for path in SCRIPTS if path.name != "common.sh" and f"`{path.name}`" not in readme] == []
