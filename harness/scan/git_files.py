"""Git folders, and folders that git takes for one: their settings can name programs that any git command runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.scan.notebook import Notebook, shown

_RUNS = frozenset({
    "fsmonitor", "sshcommand", "hookspath", "pager", "editor", "gitproxy", "askpass", "external", "textconv", "helper",
    "clean", "smudge", "process", "driver", "command", "cmd", "program", "uploadpack", "receivepack", "worktree",
    "path", "attributesfile", "trustctime",
})  # fmt: skip
"""Last parts of settings whose value is a program, or a file of more settings (git-config(1))."""
_HARMLESS = frozenset({"trustctime"})
_LINE = re.compile(r"\s*([A-Za-z][\w.-]*)\s*(?:=\s*(.*?))?\s*$")


def report_git(paths: frozenset[str], configs: Mapping[str, str], notebook: Notebook) -> None:
    """Say what git would run.

    Args:
        paths: all files.
        configs: path -> text of every file called `config`, or `.git`.
        notebook: where to write.
    """
    for path, text in configs.items():
        folder = path.rpartition("/")[0]
        if path.rpartition("/")[2] == ".git":
            notebook.find("code/git", path, f"sends git elsewhere ({shown(text, 60)})")
            continue
        if f"{folder}/HEAD".lstrip("/") not in paths:
            continue
        if folder.rpartition("/")[2] != ".git":
            notebook.find("code/git", path, "its folder looks like a bare repository, whose settings git obeys")
        for setting, value in _settings(text):
            if _runs(setting, value):
                notebook.find("code/git", path, f"has git run {value!r} ({setting})", setting)
        hooks = f"{folder}/hooks/".lstrip("/")
        for hook in sorted(paths):
            if hook.startswith(hooks) and not hook.endswith((".sample", ".md")):
                notebook.find("code/git", hook, "is a hook, which git runs")


def _settings(text: str) -> list[tuple[str, str]]:
    section, found = "", []
    for line in text[:200_000].splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            section, _, rest = stripped[1:].partition("]")
            line = rest
        match = _LINE.match(line)
        if match and match[1]:
            found.append((f"{section.strip()}.{match[1]}".lower(), (match[2] or "").strip('"')))
    return found


def _runs(setting: str, value: str) -> bool:
    section, _, last = setting.rpartition(".")
    if section.startswith("alias"):
        return value.lstrip('"').startswith("!")
    if last not in _RUNS or last in _HARMLESS:
        return False
    return not (section.startswith("filter") and value.startswith("git-lfs ")) and value.lower() not in ("false", "")
