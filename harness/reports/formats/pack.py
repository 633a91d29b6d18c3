"""The reproduction pack: a zip with all that is needed to run an audit again and compare, without weights and rows.

The same audit gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from harness.base.files import explain
from harness.base.strict_yaml import dump_yaml
from harness.errors import UsageError
from harness.gate.policy import Policy
from harness.reports.content.api import Level, ReportInput

suffix = ".zip"
default = False

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest moment a zip can hold; the real one would make every pack differ."""
_CHUNK = 1 << 20


def render(report: ReportInput) -> bytes:
    """The zip. Raises UsageError without the audit's folder, or at a level that masks what it must hold."""
    if report.folder is None:
        raise UsageError("a reproduction pack is made from an audit's folder; use `assay report`")
    if report.level is not Level.REPRODUCTION:
        level = Level.REPRODUCTION
        raise UsageError(f"a reproduction pack discloses paths and settings: its level is {level} (--level {level})")
    files = {
        "README.md": _readme(report),
        "manifest.json": f"{report.manifest.model_dump_json(indent=2)}\n",
        "metrics.json": _json([metric.model_dump(mode="json") for metric in report.metrics]),
        "policy.yaml": dump_yaml(_policy(report)),
        "spec.yaml": dump_yaml(report.manifest.spec),
        "verdict.json": _json(report.verdict.model_dump(mode="json")),
        "versions.txt": "".join(f"{name}=={version}\n" for name, version in sorted(report.manifest.versions.items())),
        "digests.sha256": _digests(report.folder),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _readme(report: ReportInput) -> str:
    manifest, verdict = report.manifest, report.verdict
    checkpoint = manifest.checkpoint
    return "\n".join(
        [
            f"# Audit {manifest.audit_id}",
            "",
            f"Verdict: {verdict.outcome} (exit code {int(verdict.exit_code)})",
            "",
            "It was run with the command:",
            "",
            *(f"    {line}" for line in (manifest.command or "unknown").splitlines()),
            "",
            "and runs again, from this folder, with the packages of versions.txt and the checkpoint at the place that",
            "spec.yaml names, with:",
            "",
            "    assay run spec.yaml --policy policy.yaml" if verdict.gates else "    assay run spec.yaml",
            "",
            f"Checkpoint fingerprint (sha256 of weights, config and tokenizer): {checkpoint.fingerprint}",
            f"Source: {' '.join(checkpoint.source.split())}",
            *checkpoint.permissions,
            f"Commit: {manifest.git_commit or 'not in a git repository'}",
            "",
            "digests.sha256 holds the digests of all files of the audit's folder; `sha256sum --check` reads it there.",
            "",
        ]
    )


def _policy(report: ReportInput) -> dict[str, Any]:
    """The policy that gave this verdict: the spec's, or its gates alone where the audit was decided by another one."""
    verdict = report.verdict
    own = report.manifest.spec.get("policy")
    if isinstance(own, dict) and Policy.model_validate(own).digest() == verdict.policy_digest:
        return own
    gates = {item.gate.id: item.gate.model_dump(mode="json", exclude_defaults=True) for item in verdict.gates}
    return {"name": verdict.policy or "none", "gates": list(gates.values())}


def _digests(folder: Path) -> str:
    """A line per file as sha256sum writes it, sorted; without reports, made from the rest, and cached answers."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    kept = [path for path in paths if not names[path].startswith(("report", ".", "cache/"))]
    return "".join(f"{_digest(path)}  {names[path]}\n" for path in kept)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    except OSError as error:
        raise explain(error, path) from error
    return found.hexdigest()


def _json(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"
