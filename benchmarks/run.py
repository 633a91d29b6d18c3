"""`python -m benchmarks.run NAME`: run one benchmark, print its table, write its results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks.report import table, write
from harness.errors import AssayError, Exit

HELPERS = {"__init__", "attack_sides", "data", "former", "lm_eval_tasks", "report", "run", "timing"}


def names() -> list[str]:
    """Modules of this folder that have `run() -> list[Cell]` and `PEERS`, the packages they compare with."""
    modules = (path for path in Path(__file__).parent.glob("*.py") if path.stem not in HELPERS)
    return sorted(path.stem for path in modules if "\nPEERS" in path.read_text(encoding="utf-8"))


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 also where the peer was better."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a log file has no width of its own
    if len(arguments) != 1 or arguments[0] not in names():
        console.print(f"give the name of one benchmark: {', '.join(names())}")
        return Exit.USAGE
    name = arguments[0]
    module = import_module(f"benchmarks.{name}")
    try:
        cells = module.run()
    except AssayError as error:
        console.print(str(error))
        return error.exit_code
    console.print(table(f"{name}: ours against {', '.join(module.PEERS)}", cells))
    console.print(f"written to {write(name, cells, peers=module.PEERS)}")
    return Exit.PASS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
