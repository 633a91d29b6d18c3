"""`python -P -m harness.scorer.chat.child`: renders one template with many conversations.

A request is JSON on standard input, the answer JSON on standard output: {'rendered': [[text or None, why not], ...]}.
The environment is the one transformers renders chat templates in, but for the date, which is given.
"""

from __future__ import annotations

import json
import platform
import resource
import signal
import sys
from datetime import date
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _TookTooLongError(BaseException):
    """No `except Exception` in a library catches it."""


class Generation(Extension):
    """`{% generation %}`, by which templates mark what the assistant says: rendered as if it were not there."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """What the block holds."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def main() -> None:
    """Confine, render, answer."""
    request = json.loads(sys.stdin.buffer.read())
    _confine(request["memory"], request["cpu_seconds"])
    sys.stdout.write(json.dumps({"rendered": rendered(request)}))


def rendered(request: dict[str, Any]) -> list[tuple[str | None, str]]:
    """The text of each conversation, or None and why there is none."""
    signal.signal(signal.SIGALRM, _ring)
    return [_one(request["template"], chat, request["seconds"], request["characters"]) for chat in request["chats"]]


def environment(today: date) -> ImmutableSandboxedEnvironment:
    """What transformers gives a chat template."""

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = to_json
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = today.strftime
    return made


def _one(template: str, chat: dict[str, Any], seconds: float, characters: int) -> tuple[str | None, str]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        pieces, length = [], 0
        made = environment(date.fromisoformat(chat["today"])).from_string(template)
        for piece in made.generate(**chat["variables"]):
            pieces.append(piece)
            length += len(piece)
            if length > characters:
                return None, f"makes more than {characters:,} characters"
        return "".join(pieces), ""
    except _TookTooLongError:
        return None, f"took more than {seconds:g} s"
    except MemoryError:
        return None, "needs too much memory"
    except Exception as error:  # a template may raise anything, its own words included
        return None, f"fails: {str(error)[:300] or type(error).__name__}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(_number: int, _frame: Any) -> None:
    raise _TookTooLongError


def _confine(memory: int, cpu_seconds: int) -> None:
    """No network, files or programs where the platform can, and limits; a Mac keeps to those of time alone."""
    if platform.system() == "Linux":
        from harness.checkpoint.isolated.confine import confine

        confine((), memory, cpu_seconds)
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


if __name__ == "__main__":
    main()
