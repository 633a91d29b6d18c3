"""One broker answers what many attacks ask: equal questions are asked once, all of a round in one call."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import AssayError

Handler = Callable[[list[Any]], Sequence[Any]]
"""Distinct items to one answer each; an answer that is an Exception is raised where the item was asked for."""

_REMEMBERED = 1 << 14
"""Answers kept per channel: texts that two attacks share, and those one attack comes back to."""


@dataclass(frozen=True, slots=True)
class Request:
    """Items one attack waits for; `channel` says who answers."""

    channel: str
    items: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer per item; `seconds` is the share of the channel's work that these items caused."""

    answers: tuple[Any, ...]
    seconds: float


@dataclass(slots=True)
class ChannelCounts:
    """What came in and what had to be computed; `calls` of the handler."""

    asked: int = 0
    computed: int = 0
    calls: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Channel:
    handler: Handler
    known: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    counts: ChannelCounts = field(default_factory=ChannelCounts)


class Broker:
    """Answers requests of many attacks in rounds. Not for use from two threads at once."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._channels = {name: _Channel(handler) for name, handler in handlers.items()}

    @property
    def counts(self) -> dict[str, ChannelCounts]:
        """Work so far by channel."""
        return {name: channel.counts for name, channel in self._channels.items()}

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply per request, in order. AssayError and OSError of a handler end the round."""
        replies: dict[int, Reply] = {}
        for name in dict.fromkeys(request.channel for request in requests):
            chosen = [index for index, request in enumerate(requests) if request.channel == name]
            found = _answer(self._channels[name], [requests[index] for index in chosen])
            replies.update(zip(chosen, found, strict=True))
        return [replies[index] for index in range(len(requests))]


def _answer(channel: _Channel, requests: Sequence[Request]) -> list[Reply]:
    items = [item for request in requests for item in request.items]
    new = [item for item in dict.fromkeys(items) if item not in channel.known]
    start = time.perf_counter()
    answers = dict(zip(new, _handled(channel.handler, new), strict=True)) if new else {}
    seconds = time.perf_counter() - start
    replies = [_reply(channel, request, answers, seconds / max(1, len(items))) for request in requests]
    channel.known.update(answers)
    while len(channel.known) > _REMEMBERED:
        channel.known.popitem(last=False)
    channel.counts.asked += len(items)
    channel.counts.computed += len(new)
    channel.counts.calls += bool(new)
    channel.counts.seconds += seconds
    return replies


def _handled(handler: Handler, items: list[Any]) -> Sequence[Any]:
    """One answer per item; where the handler breaks, halves find out which items break it."""
    try:
        return handler(items)
    except (AssayError, OSError):  # not the fault of an item: the audit has to stop
        raise
    except Exception as error:  # only whoever asked for the item hears of it
        if len(items) == 1:
            return [error]
    middle = len(items) // 2
    return [*_handled(handler, items[:middle]), *_handled(handler, items[middle:])]


def _reply(channel: _Channel, request: Request, answers: Mapping[Hashable, Any], each: float) -> Reply:
    found = tuple(answers[item] if item in answers else channel.known[item] for item in request.items)
    return Reply(found, each * len(request.items))
