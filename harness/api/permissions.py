"""What a user allows one audit on this command line. Never read from a spec, a manifest or any other file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

OPTIONS: Mapping[str, str] = {
    "pickle": "--allow-pickle",
    "remote_code": "--allow-remote-code",
    "manifest_sources": "--trust-manifest",
    "task_code": "--allow-task-code",
}
_SAID: Mapping[str, str] = {
    "pickle": "pickled weights were loaded if there were any, which can run code",
    "remote_code": "Python code shipped with the checkpoint was run where only that code knows the model",
    "manifest_sources": "data sources named by the checkpoint's training manifest were opened",
    "task_code": "Python code that task files of the spec name was run",
}


@dataclass(frozen=True, slots=True)
class Permissions:
    """Each is off unless the user said otherwise."""

    pickle: bool = False
    """Load pickled weights."""
    remote_code: bool = False
    """Run Python code shipped with a checkpoint that transformers does not know."""
    manifest_sources: bool = False
    """Open data sources that the checkpoint's training manifest names outside its folder."""
    task_code: bool = False
    """Run Python that task files named by the spec (lm-eval's `!function`) ask for."""

    def notes(self) -> tuple[str, ...]:
        """A sentence for every report on each permission given."""
        given = [field.name for field in fields(self) if getattr(self, field.name)]
        return tuple(f"Permission {OPTIONS[name]} was given: {_SAID[name]}." for name in given)


NOTHING = Permissions()
