"""Which handler answers which type of request: those of the harness, then those of installed packages."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

from harness.base.plugins import Installed, installed
from harness.errors import UsageError
from harness.scorer.chat.render import ChatTemplate
from harness.scorer.generation.beams import BeamSearch
from harness.scorer.generation.generate import GreedyDecoder
from harness.scorer.generation.sample import Sampler
from harness.scorer.handler import Handler
from harness.scorer.heads.choices import Choices
from harness.scorer.heads.classes import Classes
from harness.scorer.heads.embed import Embeddings
from harness.scorer.heads.gradients import InputGradients
from harness.scorer.heads.outputs import FollowsOrNot, MultiLabel, Regression
from harness.scorer.heads.spans import SpanFinder, Tagger
from harness.scorer.likelihood.candidates import Candidates
from harness.scorer.likelihood.causal import CausalScores
from harness.scorer.likelihood.chances import Chances
from harness.scorer.likelihood.distributions import CausalDistributions, MaskedDistributions
from harness.scorer.likelihood.in_place import TokensAsRead
from harness.scorer.likelihood.likeliest import MaskedTokens, NextTokens
from harness.scorer.likelihood.masked import MaskedScores, MaskedSpans

GROUP = "assay.requests"
AnyHandler = type[Handler[Any, Any]]
OWN: tuple[AnyHandler, ...] = (
    BeamSearch,
    Candidates,
    CausalDistributions,
    CausalScores,
    Chances,
    ChatTemplate,
    Choices,
    Classes,
    Embeddings,
    FollowsOrNot,
    GreedyDecoder,
    InputGradients,
    MaskedDistributions,
    MaskedScores,
    MaskedSpans,
    MaskedTokens,
    MultiLabel,
    NextTokens,
    Regression,
    Sampler,
    SpanFinder,
    Tagger,
    TokensAsRead,
)
_OWN_TYPES = {asked: handler for handler in OWN for asked in handler.asked}


def handler_of(asked: type[Any]) -> AnyHandler:
    """Who answers requests of the type. Raises UsageError where nobody does, or two of other packages would."""
    own = _OWN_TYPES.get(asked)
    if own is not None:
        return own
    found = _of_others()
    able = [handler for handler in found.plugins.values() if asked in handler.asked]
    if len(able) > 1:  # numbers must not hang on the order of names
        named = " and ".join(f"{handler.__module__}.{handler.__qualname__}" for handler in able)
        raise UsageError(f"{asked.__name__} is answered by {named}; uninstall all but one")
    if able:
        return able[0]
    raise UsageError(
        f"no handler answers a {asked.__name__}; register one under the entry point group {GROUP}{found.broken}"
    )


@cache
def _of_others() -> Installed[AnyHandler]:
    return installed(GROUP, checked)


def checked(point: EntryPoint, handler: Any) -> tuple[str, AnyHandler]:
    """The handler by its point's name. Raises TypeError where it is none, or answers what the harness answers."""
    if not (isinstance(handler, type) and issubclass(handler, Handler)):
        raise TypeError(f"{handler!r} is not a subclass of harness.scorer.handler.Handler")
    lacking = [name for name in ("asked", "kind", "needs") if not hasattr(handler, name)]
    if lacking:
        raise TypeError(f"{handler.__name__} does not set {', '.join(lacking)}")
    taken = [asked.__name__ for asked in handler.asked if asked in _OWN_TYPES]
    if taken:
        raise TypeError(f"{handler.__name__} answers {taken[0]}, which the harness answers itself")
    return point.name, handler
