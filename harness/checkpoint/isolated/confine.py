"""Takes from this process, for good, what reading a checkpoint does not need: memory, time, network, files, programs.

Everything is a plain call to the Linux kernel; what it cannot do is left out and said. Numbers of calls and bits:
linux/landlock.h, linux/seccomp.h, linux/filter.h, asm/unistd_64.h (x86-64), asm-generic/unistd.h (arm64).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ = 0b1101
"""Landlock: execute (a shared library is mapped so), read a file, list a folder."""
_FILE_ONLY = 0b0101
_WRITE_FILE = 0b0010
_ALL_BY_ABI = (0, 0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
"""Every kind of access that version n of Landlock can take; later versions add none to files."""
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc", "/proc", "/sys", "/opt", "/nix")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

_DENIED = {
    "x86_64": (
        0xC000003E,
        (41, 42, 43, 44, 49, 50, 57, 58, 59, 62, 101, 155, 161, 165, 166, 169, 175, 200, 246, 248, 249, 250, 272, 288,
         298, 308, 310, 311, 313, 321, 322, 323, 424, 425, 426, 427, 434, 438),
    ),
    "aarch64": (
        0xC00000B7,
        (39, 40, 41, 51, 97, 104, 105, 117, 129, 130, 142, 198, 200, 201, 202, 203, 206, 217, 218, 219, 221, 241, 242,
         268, 270, 271, 273, 280, 281, 282, 424, 425, 426, 427, 434, 438),
    ),
}  # fmt: skip
"""By machine: audit architecture, and calls for sockets, programs, tracing, signals, mounts, keys, modules."""


def confine(readable: Sequence[Path], memory: int, cpu_seconds: int) -> tuple[list[str], list[str]]:
    """Confine this process; measures in force, and what could not be done and why.

    Args:
        readable: folders it may read besides Python's own and the system's.
        memory: bytes of address space beyond what it holds now.
        cpu_seconds: of processor time from now on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    done: list[str] = []
    lacking: list[str] = []

    def attempt(name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            lacking.append(f"{name}: {error.strerror or error}")
        else:
            done.append(name)

    _call(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    _call(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    attempt("limits", lambda: _limit(memory, cpu_seconds))
    attempt("network", lambda: _call(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC)))
    attempt("files", lambda: _landlock(libc, readable))
    attempt("calls", lambda: _seccomp(libc))
    if "calls" in done and "network" in [each.split(":")[0] for each in lacking]:  # no sockets is no network
        lacking = [each for each in lacking if not each.startswith("network:")]
        done.append("network")
    return done, lacking


def _call(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _limit(memory: int, cpu_seconds: int) -> None:
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + cpu_seconds
    resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def _landlock(libc: ctypes.CDLL, readable: Sequence[Path]) -> None:
    """Reading below a few folders; no writing, making or removing anywhere; no TCP where the kernel can."""
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    _call(version)
    handled = _ALL_BY_ABI[min(version, len(_ALL_BY_ABI) - 1)]
    fields = struct.pack("<QQQ", handled, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(_LANDLOCK_CREATE, fields, size, 0)
    _call(ruleset)
    own = [sys.prefix, sys.base_prefix, sys.exec_prefix, *(entry for entry in sys.path if Path(entry).is_absolute())]
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    for place in {*own, *(each for each in libraries if Path(each).is_absolute()), *_SYSTEM, *map(str, readable)}:
        _allow(libc, ruleset, place, _READ)
    for device in _DEVICES:
        _allow(libc, ruleset, device, _FILE_ONLY | _WRITE_FILE if device == "/dev/null" else _FILE_ONLY)
    _call(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, place: str, access: int) -> None:
    """Access below a folder or to a file; what is not there needs no rule."""
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(place).is_dir():
            access &= _FILE_ONLY | _WRITE_FILE
        _call(libc.syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("<Qi", access, handle), 0))
    finally:
        os.close(handle)


def _seccomp(libc: ctypes.CDLL) -> None:
    """The calls of `_DENIED` fail with EPERM; every call of another architecture kills."""
    machine = platform.machine()
    if machine not in _DENIED:
        raise OSError(0, f"calls of {machine} are not known here")
    architecture, numbers = _DENIED[machine]
    allow, deny, kill = 0x7FFF0000, 0x00050001, 0x80000000
    steps = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), (0x06, 0, 0, kill), (0x20, 0, 0, 0)]
    if machine == "x86_64":
        steps += [(0x35, 0, 1, 0x40000000), (0x06, 0, 0, deny)]  # the x32 numbering of the same calls
    for at, number in enumerate(numbers):
        steps.append((0x15, len(numbers) - at, 0, number))
    steps += [(0x06, 0, 0, allow), (0x06, 0, 0, deny)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    filters = struct.pack("@HxxxxxxP", len(steps), ctypes.addressof(program))
    _call(libc.prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(filters), 0, 0))
