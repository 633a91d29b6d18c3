"""Runs the CI templates of `examples/ci` as GitHub and GitLab would; `assay run`, `gh`, `curl` and pip are fakes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import string
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CI = Path(__file__).parent.parent / "examples" / "ci"
TOKEN = "secret-token-0123"
HEAD = "0123456789abcdef0123456789abcdef01234567"
REAL = Path("real")
"""In place of a made-up audit: let `assay run` run."""
HOSTILE_REF = "$(touch pwned)`touch pwned`\"; touch pwned; '||touch pwned"

_ASSAY = """#!/bin/sh
# `run` leaves a made-up audit, unless it is to be real; every other command is the real one
printf '%s\\n' "$@" >"$FAKES/assay-$1"
if [ "$1" = run ] && [ "$FAKE_AUDIT" != real ]; then
  while [ "$1" != --output ]; do shift; done
  [ -z "$FAKE_AUDIT" ] || cp -R "$FAKE_AUDIT" "$2/"
  echo '::error::text of a row'
  exit "$FAKE_CODE"
fi
exec {python} -m harness.cli "$@"
"""
_PYTHON = """#!/bin/sh
case "$1 $2 $3" in
  '-P -m pip') printf '%s\\n' "$@" >"$FAKES/pip" ;;
  *) exec {python} "$@" ;;
esac
"""
_FORGE = """#!{python}
import json, os, pathlib, sys
from urllib.parse import parse_qs, urlsplit

words = sys.argv[1:]
home = pathlib.Path(os.environ["FAKES"])
with (home / "calls").open("a") as log:
    log.write(json.dumps([pathlib.Path(sys.argv[0]).name, *words]) + "\\n")
if os.environ.get("FAKE_FORGE") == "down":
    sys.exit("the forge is away")
gitlab = pathlib.Path(sys.argv[0]).name == "curl"
if gitlab:
    assert words[:2] == ["--config", "-"]
    assert sys.stdin.read() == 'header = "PRIVATE-TOKEN: {token}"\\n'
else:
    assert words[0] == "api" and os.environ["GH_TOKEN"] == "{token}"
method = next((words[at + 1] for at, word in enumerate(words) if word in ("--method", "--request")), "GET")
url = urlsplit(next(word for word in words if word.startswith(("repos/", "https://gitlab"))))
content = next((word for word in words if word.startswith("body@") or word.startswith("body=@")), "")
body = pathlib.Path(content.partition("@")[2]).read_text() if content else ""
store = home / "comments.json"
comments = json.loads(store.read_text()) if store.exists() else []
mine = {{"author": {{"username": "assay-bot"}}}} if gitlab else {{"user": {{"login": "github-actions[bot]"}}}}
if url.path.endswith("/user"):
    answer = mine["author"]
elif method == "GET":
    query = {{key: int(values[0]) for key, values in parse_qs(url.query).items() if key in ("page", "per_page")}}
    start = (query["page"] - 1) * query["per_page"]
    answer = comments[start : start + query["per_page"]]
elif method == "POST":
    answer = {{"id": 1000 + len(comments), "body": body, **mine}}
    comments.append(answer)
else:
    assert method == ("PUT" if gitlab else "PATCH")
    (answer,) = [one for one in comments if one["id"] == int(url.path.rpartition("/")[2])]
    answer["body"] = body
store.write_text(json.dumps(comments))
print("" if "--silent" in words and not gitlab else json.dumps(answer))
"""


def fake_tools(folder: Path) -> Path:
    """A folder of commands that stand before the real ones on PATH."""
    folder.mkdir()
    forge = _FORGE.format(python=sys.executable, token=TOKEN)
    shell = {
        "assay": _ASSAY.replace("{python}", sys.executable),
        "python3": _PYTHON.replace("{python}", sys.executable),
    }
    for name, text in {**shell, "gh": forge, "curl": forge}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@dataclass
class Step:
    """What became of one step."""

    name: str
    outcome: str = "skipped"
    code: int = 0
    output: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    """`with` of a step that uses another action."""


class Job:
    """A workspace with a copy of the templates, and what outlives a job: the comments of the pull request."""

    def __init__(self, home: Path, tools: Path) -> None:
        self.home = home
        self.fakes = home / "fakes"
        self.fakes.mkdir(parents=True)
        self.workspace = home / "workspace"
        shutil.copytree(CI, self.workspace / "ci" / "assay")
        for name in ("audit.yaml", "policy.yaml"):
            (self.workspace / name).touch()
        (home / "temp").mkdir()
        self.environment = {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "FAKES": str(self.fakes),
            "PYTHONPATH": str(CI.parents[1]),
            "OMP_NUM_THREADS": "1",
        }

    @property
    def output(self) -> Path:
        return self.workspace / "assay-audit"

    def comments(self) -> list[dict[str, Any]]:
        """What the fake forge holds."""
        path = self.fakes / "comments.json"
        return json.loads(path.read_text()) if path.exists() else []

    def plant(self, comments: list[dict[str, Any]]) -> None:
        """Put comments there before."""
        (self.fakes / "comments.json").write_text(json.dumps(comments))

    def asked(self, command: str) -> list[str]:
        """The arguments of the last `assay COMMAND`, or of pip."""
        path = self.fakes / command
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def calls(self) -> list[list[str]]:
        """What the forge was asked, as words of a command line."""
        path = self.fakes / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def clean(self) -> None:
        """What a runner does before each job."""
        shutil.rmtree(self.output, ignore_errors=True)

    def _audit(self, audit: Path | None, code: int) -> dict[str, str]:
        return {"FAKE_AUDIT": str(audit or ""), "FAKE_CODE": str(code)}

    def _shell(self, lines: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", lines],
            cwd=self.workspace,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


class GitHubJob(Job):
    """The composite action, as the example workflow calls it."""

    def __init__(self, home: Path, tools: Path) -> None:
        super().__init__(home, tools)
        self.summary = home / "summary.md"
        workflow = yaml.safe_load((CI / "github" / "audit.yml").read_text())
        (self.call,) = [step for step in workflow["jobs"]["audit"]["steps"] if step["uses"].startswith("./")]
        self.folder = self.workspace / self.call["uses"]
        self.action: dict[str, Any] = yaml.safe_load((self.folder / "action.yml").read_text())

    def run(
        self, audit: Path | None, code: int, *, pull: int | None = 7, down: bool = False, **inputs: str
    ) -> tuple[str, dict[str, Step]]:
        """A job on a clean workspace: how it ended, and its steps by name."""
        self.clean()
        return self.run_again(audit, code, pull=pull, down=down, **inputs)

    def run_again(
        self, audit: Path | None, code: int, *, pull: int | None = 7, down: bool = False, **inputs: str
    ) -> tuple[str, dict[str, Step]]:
        """The action once more in the same workspace."""
        self.summary.unlink(missing_ok=True)
        given = {**self.call["with"], "install": "", **{key.replace("_", "-"): value for key, value in inputs.items()}}
        event = {"pull_request": {"number": pull, "head": {"sha": HEAD, "ref": HOSTILE_REF}}} if pull else {}
        context: dict[str, Any] = {
            "inputs": {**{name: one.get("default", "") for name, one in self.action["inputs"].items()}, **given},
            "github": {"token": TOKEN, "event": event},
            "runner": {"temp": str(self.home / "temp"), "os": "Linux"},
            "steps": {},
        }
        context["inputs"] = {key: self._text(value, context) for key, value in context["inputs"].items()}
        steps: dict[str, Step] = {}
        conclusion = "success"
        for one in self.action["runs"]["steps"]:
            step = Step(one["name"])
            steps[step.name] = step
            if not self._due(one, context, conclusion):
                continue
            if "uses" in one:
                step.outcome = "success"
                step.given = {key: self._text(value, context) for key, value in one["with"].items()}
            else:
                self._run(one, step, context, {**self._audit(audit, code), "FAKE_FORGE": "down" if down else ""})
            if step.outcome == "failure" and not one.get("continue-on-error"):
                conclusion = "failure"
        return conclusion, steps

    def _run(self, one: dict[str, Any], step: Step, context: dict[str, Any], fakes: dict[str, str]) -> None:
        outputs = self.home / "outputs"
        outputs.write_text("")
        job = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(self.folder),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_RUN_ID": "42",
            "GITHUB_HEAD_REF": HOSTILE_REF,
        }
        own = {key: self._text(value, context) for key, value in one.get("env", {}).items()}
        done = self._shell(one["run"], {**job, **fakes, **own})
        step.code, step.output = done.returncode, done.stdout + done.stderr
        step.outcome = "failure" if done.returncode else "success"
        lines = [line.partition("=") for line in outputs.read_text().splitlines()]
        context["steps"][one.get("id", step.name)] = {"outputs": {key: value for key, _, value in lines}}
        step.given = {key: value for key, _, value in lines}

    def _due(self, one: dict[str, Any], context: dict[str, Any], conclusion: str) -> bool:
        condition = one.get("if", "true")
        due = bool(self._value(re.sub(r"^\$\{\{|\}\}$", "", condition), context))
        return due and ("cancelled()" in condition or conclusion == "success")

    def _text(self, value: Any, context: dict[str, Any]) -> str:
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(self._value(match[1], context) or ""), str(value))

    def _value(self, expression: str, context: dict[str, Any]) -> Any:
        """GitHub's expressions, as far as the action uses them."""
        code = expression.replace("!cancelled()", "True").replace("&&", " and ").replace("true", "'true'")
        code = code.replace("''true''", "'true'")
        code = re.sub(r"\b(?:inputs|github|runner|steps|vars)\.[\w.-]+", lambda match: f"ref({match[0]!r})", code)

        def ref(path: str) -> Any:
            value: Any = context
            for part in path.split("."):
                value = value.get(part, {}) if isinstance(value, dict) else {}
            return "" if value in ({}, None) else value

        def hash_files(pattern: str) -> str:
            path = self.workspace / pattern
            return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

        return eval(code.strip(), {"ref": ref, "hashFiles": hash_files, "format": str.format})


class GitLabJob(Job):
    """The hidden job of the template, as one that extends it."""

    def __init__(self, home: Path, tools: Path) -> None:
        super().__init__(home, tools)
        self.job: dict[str, Any] = yaml.safe_load((CI / "gitlab" / "assay.gitlab-ci.yml").read_text())[".assay"]

    def run(
        self, audit: Path | None, code: int, *, merge: int | None = 7, token: str = TOKEN, **variables: str
    ) -> tuple[int, str]:
        """A pipeline's job on a clean workspace: exit code of the script, and the whole log."""
        self.clean()
        environment = {**self._environment(merge, token, variables), **self._audit(audit, code)}
        done = self._shell("\n".join(self.job["script"]), environment)
        return done.returncode, done.stdout + done.stderr + self.after(merge=merge, token=token, **variables)

    def after(self, *, merge: int | None = 7, token: str = TOKEN, **variables: str) -> str:
        """Only what comes after the script; its log."""
        done = self._shell("\n".join(self.job["after_script"]), self._environment(merge, token, variables))
        return done.stdout + done.stderr

    def _environment(self, merge: int | None, token: str, variables: dict[str, str]) -> dict[str, str]:
        predefined = {
            "GITLAB_CI": "true",
            "CI_PROJECT_DIR": str(self.workspace),
            "CI_COMMIT_SHA": HEAD,
            "CI_COMMIT_REF_NAME": HOSTILE_REF,
            "CI_MERGE_REQUEST_TITLE": HOSTILE_REF,
            "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
            "CI_PROJECT_ID": "12",
            "CI_JOB_URL": "https://gitlab.example.com/group/name/-/jobs/42",
            **({"CI_MERGE_REQUEST_IID": str(merge)} if merge else {}),
            **({"ASSAY_GITLAB_TOKEN": token} if token else {}),
        }
        template = {
            key: string.Template(str(value)).safe_substitute(predefined) for key, value in self.job["variables"].items()
        }
        return {**predefined, **template, **variables}
