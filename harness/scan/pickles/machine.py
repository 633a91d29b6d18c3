"""A pickle's opcodes read one by one, with a stack that knows strings and imports only; nothing is built or called.

Arguments are decoded leniently and a stack that runs empty is noted, not fatal: a reader that is stricter than the real
one stops before what the real one runs. Opcodes: Lib/pickletools.py.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import BinaryIO

from harness.scan.budget import Budget

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_KEPT_TEXT = 1_000
"""Characters of a string worth keeping: module and name are far shorter."""
_KEPT_TOTAL = 32 * 2**20
"""Characters of all strings kept; beyond it a string is unknown, and an import made of one is reported."""
_STACK = 2_000_000
_OPCODES_MOST = 5_000_000
"""A tensor takes some 30, so that 150,000 tensors fit; walked in about ten seconds."""
_IMPORTS = 10_000
"""Different names; a state dict has ten."""
_LINE = 64 * 2**10
"""Bytes of an argument that ends at a line's end; only strings and numbers of protocol 0 have one."""
_BLOCK = 2**16
_CHECK_EVERY = 4096
_STRINGS = frozenset({
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
})  # fmt: skip
_KEEPS = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"})
_CALLS = frozenset({"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "BUILD"})
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})


@dataclass(frozen=True, slots=True)
class Import:
    """A name that a pickle has imported; None where it is computed."""

    module: str | None
    name: str | None
    offset: int


class _Mark:
    """The only MARK there is."""


class _Unknown:
    """Any value that is no string and no import."""


MARK, UNKNOWN = _Mark(), _Unknown()
Value = str | Import | _Mark | _Unknown | tuple["Value", ...]


@dataclass
class Walk:
    """What one pickle was seen to do."""

    start: int
    imports: dict[tuple[str | None, str | None], Import] = field(default_factory=dict)
    opcodes: int = 0
    protocol: int | None = None
    extensions: bool = False
    calls: bool = False
    stopped: bool = False
    broken: str = ""
    end: int = 0
    storages: dict[str, str] = field(default_factory=dict)
    """Of torch: key of a storage -> its class, e.g. 'FloatStorage'."""


class TooLargeError(Exception):
    """More than is kept of one pickle; the message says of what."""


class Machine:
    """Walks one pickle from where the stream stands.

    Where it is `known` to be one, or marks itself as one, the walk goes on over what a real reader would stumble on;
    else it ends there, so that a text is not taken for a program.
    """

    def __init__(self, stream: BinaryIO, at: int, budget: Budget, *, known: bool) -> None:
        self._stream, self._at, self._budget, self._lenient = stream, at, budget, known
        self._stack: list[Value] = []
        self._memo: dict[int, Value] = {}
        self._kept = 0
        self.walk = Walk(at)

    def run(self) -> Walk:
        """Walk to STOP or to the first byte that is no opcode. Raises TooLargeError, BudgetError, OSError."""
        walk = self.walk
        try:
            while not walk.stopped:
                self._step()
        except EOFError:
            walk.broken = "it ends before its STOP"
        except _NoOpcodeError as error:
            walk.broken = str(error)
        walk.end = self._at
        return walk

    def _step(self) -> None:
        offset = self._at
        code = self._take(1)
        op = _OPCODES.get(code.decode("latin-1"))
        if op is None:
            raise _NoOpcodeError(f"byte {code.hex()} at {offset:,} is no opcode")
        walk = self.walk
        walk.opcodes += 1
        if walk.opcodes % _CHECK_EVERY == 0:
            self._budget.check()
            if walk.opcodes > _OPCODES_MOST:
                raise TooLargeError(f"more than {_OPCODES_MOST:,} opcodes")
            if len(self._stack) > _STACK or len(self._memo) > _STACK:
                raise TooLargeError(f"more than {_STACK:,} values on its stack or in its memo")
        raw = self._argument(op)
        name = op.name
        if name == "PROTO":
            walk.protocol = raw[0]
            self._lenient = True
            if raw[0] > _OPCODES["\x96"].proto:
                raise _NoOpcodeError(f"protocol {raw[0]} is none that Python reads")
        elif name == "STOP":
            if not self._stack:
                self._odd("its stack is empty at STOP")
            walk.stopped = True
        elif name in _STRINGS:
            self._push(self._text(raw, name))
        elif name in ("GLOBAL", "INST"):
            self._global(name, raw, offset)
        elif name == "STACK_GLOBAL":
            attribute, module = self._pop(), self._pop()
            known = isinstance(attribute, str) and isinstance(module, str)
            self._import(module if known else None, attribute if known else None, offset)
        elif name in _EXTENSIONS:
            walk.extensions = True
            self._push(UNKNOWN)
        elif not self._memory(name, raw):
            self._generic(op)
        if name in _CALLS:
            walk.calls = True

    def _memory(self, name: str, raw: bytes) -> bool:
        """Opcodes of memo, marks, copies and tuples; whether it was one."""
        if name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[self._index(name, raw)] = self._top()
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            index = self._index(name, raw)
            if index not in self._memo:
                self._odd("it takes from its memo what is not there")
            self._push(self._memo.get(index, UNKNOWN))
        elif name == "MARK":
            self._stack.append(MARK)
        elif name == "POP":
            self._pop()
        elif name == "DUP":
            self._push(self._top())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            items = [self._pop() for _ in range(int(name[-1]))]
            self._push(tuple(reversed(items)))
        elif name == "TUPLE":
            items = self._to_mark()
            self._push(tuple(items) if len(items) <= 8 else UNKNOWN)
        elif name in ("PERSID", "BINPERSID"):
            self._persistent(self._pop() if name == "BINPERSID" else UNKNOWN)
        else:
            return False
        return True

    def _persistent(self, pid: Value) -> None:
        """Torch's storages: ('storage', class, key, device, size)."""
        if isinstance(pid, tuple) and len(pid) >= 3 and pid[0] == "storage":
            kind, key = pid[1], pid[2]
            if isinstance(kind, Import) and isinstance(kind.name, str) and isinstance(key, str):
                self.walk.storages[key] = kind.name
        self._push(UNKNOWN)

    def _global(self, name: str, raw: bytes, offset: int) -> None:
        module, _, attribute = raw.decode("utf-8", "backslashreplace").partition("\n")
        if name == "INST":
            self._to_mark()
        self._import(module, attribute, offset)

    def _import(self, module: Value | None, name: Value | None, offset: int) -> None:
        found = Import(module if isinstance(module, str) else None, name if isinstance(name, str) else None, offset)
        self.walk.imports.setdefault((found.module, found.name), found)
        if len(self.walk.imports) > _IMPORTS:
            raise TooLargeError(f"more than {_IMPORTS:,} imports")
        self._push(found)

    def _generic(self, op: pickletools.OpcodeInfo) -> None:
        """By pickletools' own description of what an opcode takes and gives."""
        before, after = op.stack_before, op.stack_after
        takes = before.index(pickletools.markobject) if pickletools.markobject in before else len(before)
        if takes < len(before):
            self._to_mark()
        first: Value = UNKNOWN
        for _ in range(takes):
            first = self._pop()
        for _ in after:
            self._push(first if op.name in _KEEPS else UNKNOWN)

    def _odd(self, why: str) -> None:
        """What a real reader stops at; so does the walk, unless these bytes say that they are a pickle."""
        if not self._lenient:
            raise _NoOpcodeError(why)

    def _push(self, value: Value) -> None:
        self._stack.append(value)

    def _top(self) -> Value:
        if not self._stack:
            self._odd("its stack runs empty")
            return UNKNOWN
        return self._stack[-1]

    def _pop(self) -> Value:
        if not self._stack:
            self._odd("its stack runs empty")
            return UNKNOWN
        return self._stack.pop()

    def _to_mark(self) -> list[Value]:
        items: list[Value] = []
        while self._stack:
            value = self._stack.pop()
            if value is MARK:
                return items[::-1]
            items.append(value)
        self._odd("a mark is missing")
        return items[::-1]

    def _text(self, raw: bytes, name: str) -> Value:
        """A string, or unknown where it is too long to keep."""
        if len(raw) > 4 * _KEPT_TEXT or self._kept > _KEPT_TOTAL:
            return UNKNOWN
        if name == "STRING":
            raw = raw.strip()
            if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
                self._odd("a string has no quotes")
            text = _unescaped(raw[1:-1])
        elif name == "UNICODE":
            text = raw.decode("raw-unicode-escape", "replace")
        else:
            text = raw.decode("utf-8", "surrogatepass" if "UNICODE" in name else "backslashreplace")
        if len(text) > _KEPT_TEXT:
            return UNKNOWN
        self._kept += len(text)
        return text

    def _index(self, name: str, raw: bytes) -> int:
        if name in ("PUT", "GET"):
            try:
                return int(raw)
            except ValueError:
                self._odd("a memo index is no number")
                return -1
        return int.from_bytes(raw, "little")

    def _argument(self, op: pickletools.OpcodeInfo) -> bytes:
        """Raw bytes of an argument; of one that is too long to matter only a beginning that is never a whole one."""
        argument = op.arg
        if argument is None:
            return b""
        if argument.n >= 0:
            return self._take(argument.n)
        if argument.n == pickletools.UP_TO_NEWLINE:
            lines = 2 if op.name in ("GLOBAL", "INST") else 1
            return b"\n".join(self._line() for _ in range(lines))
        width = {-2: 1, -3: 4, -4: 4, -5: 8}[argument.n]
        length = int.from_bytes(self._take(width), "little", signed=argument.n == -3)
        if length < 0:
            raise _NoOpcodeError(f"{op.name} at {self._at:,} has a negative length")
        return self._sized(length)

    def _sized(self, length: int) -> bytes:
        if length <= _BLOCK:
            return self._take(length)
        first = self._take(_BLOCK)
        left = length - _BLOCK
        while left:
            left -= len(self._take(min(_BLOCK * 16, left)))
            self._budget.check()
        return first

    def _line(self) -> bytes:
        line = self._stream.readline(_LINE)
        self._at += len(line)
        if not line:
            raise EOFError
        if not line.endswith(b"\n") and len(line) == _LINE:
            raise _NoOpcodeError(f"a line of more than {_LINE:,} bytes")
        return line.rstrip(b"\n")

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._at += len(data)
        if len(data) < size:
            raise EOFError
        return data


class _NoOpcodeError(Exception):
    """Where the real reader stops too."""


def _unescaped(raw: bytes) -> str:
    try:
        return raw.decode("unicode-escape")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
