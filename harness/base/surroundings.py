"""What lies in the working folder is data: neither this process nor one it starts imports a module from there.

`assay` is often started inside the folder that is audited. Python puts the working folder on its import path for `-m`,
for `-c` (with which multiprocessing starts its processes) and for an empty entry of PYTHONPATH.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

_SAFE, _PATH = "PYTHONSAFEPATH", "PYTHONPATH"
_OWN = Path(__file__).resolve().parents[2]


def python_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables (default: this process's) under which a started Python adds no folder to its import path by itself.

    Entries of PYTHONPATH that are relative, or empty, mean the working folder and are left out; the user's others stay.
    """
    values = dict(os.environ if environment is None else environment)
    values[_SAFE] = "1"
    kept = [entry for entry in values.get(_PATH, "").split(os.pathsep) if Path(entry).is_absolute()]
    if kept:
        values[_PATH] = os.pathsep.join(kept)
    else:
        values.pop(_PATH, None)
    return values


def shield() -> None:
    """For the process of a command: what it starts inherits `python_environment`, its own import path is clean too."""
    given = os.environ.get(_PATH, "")
    _set({name: python_environment().get(name) for name in (_SAFE, _PATH)})
    here, entries = Path.cwd(), given.split(os.pathsep) if given else []
    if here.resolve() in {_OWN, *(Path(entry).resolve() for entry in entries if Path(entry).is_absolute())}:
        return  # the user's own word: a checkout of Assay, or a folder named in full
    unwanted = {"", *(str(Path(entry).absolute()) for entry in entries if not Path(entry).is_absolute())}
    if started_as_module():
        unwanted.add(str(here))
    # an entry that is no path (an import hook's) stays, as long as nothing in the working folder bears its name
    sys.path[:] = [
        entry for entry in sys.path if entry not in unwanted and (Path(entry).is_absolute() or not Path(entry).exists())
    ]


def started_as_module() -> bool:
    """Whether this process is `python -m harness.cli`, without -P: the working folder then leads its import path."""
    words = sys.orig_argv
    return not sys.flags.safe_path and any(pair == ("-m", "harness.cli") for pair in pairwise(words))


@contextmanager
def shielded() -> Iterator[None]:
    """Processes that are started inside inherit `python_environment`, whoever starts them."""
    before = {name: os.environ.get(name) for name in (_SAFE, _PATH)}
    after = python_environment()
    _set({name: after.get(name) for name in before})
    try:
        yield
    finally:
        _set(before)


@contextmanager
def empty_working_folder() -> Iterator[None]:
    """Inside, the working folder of the whole process is an empty one: for imports that read settings beside them."""
    before = os.open(".", os.O_RDONLY)
    try:
        with tempfile.TemporaryDirectory(prefix="assay-") as empty:
            os.chdir(empty)
            try:
                yield
            finally:
                os.fchdir(before)
    finally:
        os.close(before)


def find_program(name: str) -> str | None:
    """Absolute path of a program, by the absolute entries of PATH alone; None where it is not installed."""
    folders = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(entry).is_absolute()]
    return shutil.which(name, path=os.pathsep.join(folders)) if folders else None


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
