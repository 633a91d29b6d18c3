"""Runs the accountant on a stranger's numbers: in a process of its own, with limits on its time and memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from harness.base.limits import ACCOUNTING_BYTES, ACCOUNTING_SECONDS, capped, to_raise
from privacy.accounting import AccountantName, AccountingError, Mechanism, claim_all
from privacy.verification.errors import NotVerifiableError

_WAIT = 30
"""Times as long on the clock as on the processor, whose limit binds anyway: a busy machine tells nothing of a claim."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Bounds on epsilon of one mechanism at one delta; see `privacy.accounting.claims.Claim`."""

    epsilon: float
    lower: float | None
    accountant: str
    second_accountant: str | None
    second_opinion: float | None
    rdp: float


Recompute = Callable[[tuple[Mechanism, ...], float, AccountantName], Recomputed]
"""Of trainings that one unit was in, one after the other."""


def recompute_here(mechanisms: tuple[Mechanism, ...], delta: float, accountant: AccountantName) -> Recomputed:
    """The bounds, as training claims them. Raises NotVerifiableError where no accountant can bound the mechanism."""
    try:
        found = claim_all(mechanisms, delta, accountant)
    except (AccountingError, ArithmeticError, ValueError, MemoryError) as error:
        raise NotVerifiableError(f"no accountant can bound it ({error})") from error
    second = found.second_opinion
    return Recomputed(
        epsilon=found.epsilon,
        lower=found.lower,
        accountant=found.accountant,
        second_accountant=second.accountant if second else None,
        second_opinion=second.upper if second else None,
        rdp=found.rdp.upper,
    )


def recompute_apart(mechanisms: tuple[Mechanism, ...], delta: float, accountant: AccountantName) -> Recomputed:
    """The same in a process that is ended at ACCOUNTING_SECONDS of processor time or ACCOUNTING_BYTES of memory."""
    seconds = capped(ACCOUNTING_SECONDS)
    asked = json.dumps([[asdict(each) for each in mechanisms], delta, accountant, seconds, capped(ACCOUNTING_BYTES)])
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "privacy.verification.recompute"],
            input=asked,
            capture_output=True,
            text=True,
            timeout=_WAIT * seconds,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
    except subprocess.TimeoutExpired as error:
        raise NotVerifiableError(
            f"recomputing it did not end within {_WAIT * seconds} s on a busy machine; audit again when it is idle"
        ) from error
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise _too_long(seconds)
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise NotVerifiableError(f"recomputing it failed ({last:.200})") from error
    if isinstance(answer, str):
        raise NotVerifiableError(answer)
    return Recomputed(**answer)


def main() -> None:
    """Reads a mechanism from standard input, and writes its bounds, or the reason why there are none, as JSON."""
    values, delta, accountant, seconds, memory = json.loads(sys.stdin.read())
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_DATA, memory)
    try:
        found: object = asdict(recompute_here(tuple(Mechanism(**each) for each in values), delta, accountant))
    except NotVerifiableError as error:
        found = str(error)
    sys.stdout.write(f"\n{json.dumps(found)}\n")


def _limit(what: int, value: int) -> None:
    """Lower a limit of this process, never above what it was started with; macOS knows no limit on memory."""
    hard = resource.getrlimit(what)[1]
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(what, (most, hard))
    except (ValueError, OSError):
        return


def _too_long(seconds: int) -> NotVerifiableError:
    return NotVerifiableError(f"recomputing it takes more than {seconds} s of processor time; {to_raise()}")


if __name__ == "__main__":
    main()
