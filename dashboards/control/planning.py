"""A spec planned in a process apart: the dashboard itself opens no checkpoint and no data."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from dashboards.access.actor import Actor
from dashboards.control.begin import allowed, last_lines, surroundings, words
from dashboards.settings import Settings
from harness.audit.plan_summary import PlanSummary
from harness.base.language import _
from harness.errors import UsageError

_LONGEST = 1800.0
"""Seconds: a plan may download a checkpoint, which a page should not wait for without end."""
_PAUSE = 0.25
_PREFIX = "assay: "


def plan(
    actor: Actor,
    settings: Settings,
    spec: str,
    permissions: Sequence[str] = (),
    waiting: Callable[[float], None] = lambda seconds: None,
) -> PlanSummary:
    """What `assay plan` says of a spec. Raises UsageError with its sentence.

    `waiting` hears now and then how many seconds it has taken; where it raises, planning is given up.
    """
    actor.require_auditor(_("plan an audit"))
    allowed(settings, permissions)
    with tempfile.TemporaryDirectory(prefix="assay-plan-") as scratch:
        file, out, err = (Path(scratch) / name for name in ("spec.yaml", "out", "err"))
        file.write_text(spec, encoding="utf-8")
        with out.open("wb") as told, err.open("wb") as said:
            process = subprocess.Popen(
                words("plan", str(file), "--json", *permissions),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=said,
                cwd=settings.folder,
                env=surroundings(),
            )
            try:
                _wait(process, waiting)
            finally:
                process.terminate()
                process.wait()
        if process.returncode != 0:
            raise UsageError(_why(err, file))
        try:
            return PlanSummary.model_validate_json(out.read_bytes())
        except ValidationError as error:
            raise UsageError(_("The plan could not be read: {why}", why=str(error).splitlines()[0])) from error


def _wait(process: subprocess.Popen[bytes], waiting: Callable[[float], None]) -> None:
    began = time.monotonic()
    while process.poll() is None:
        passed = time.monotonic() - began
        if passed > _LONGEST:
            raise UsageError(
                _("Planning took more than {minutes} minutes and was given up.", minutes=round(_LONGEST / 60))
            )
        waiting(passed)
        time.sleep(_PAUSE)


def _why(err: Path, spec: Path) -> str:
    """The sentence that `assay` ended with, without the name of a file that nobody has seen."""
    lines = last_lines(err, 50).splitlines()
    told = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
    sentence = (told or lines or [_("planning failed without a word")])[-1]
    return sentence.removeprefix(f"{spec}: ").replace(str(spec), _("the spec"))
