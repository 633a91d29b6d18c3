"""`ask`: kinds of request mixed, the order kept, handlers from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import numpy as np
import pytest

from harness.api.needs import Need
from harness.api.scorer import EmbedRequest, GenerateRequest, InputRequest, Request, TextRequest, TokenRequest
from harness.base.plugins import Installed
from harness.errors import UsageError
from harness.scorer import abilities
from harness.scorer.handler import Handler
from tests.fakes import FakeScorer, make_info
from tests.scoring import scorer


@dataclass(frozen=True, slots=True)
class LengthRequest(Request[int]):
    text: str


class Lengths(Handler[LengthRequest, int]):
    """How many tokens a text has."""

    asked: ClassVar[tuple[type[Request[Any]], ...]] = (LengthRequest,)
    kind = "length"
    needs: ClassVar[Need | None] = None

    def run(self, requests: Sequence[LengthRequest]) -> list[int]:
        with self.engine.timed(self.kind) as counts:
            counts.rows += len(requests)
        return [len(self.engine.tokenizer(request.text)["input_ids"]) for request in requests]


class Unmet(Lengths):
    needs = Need.MASKED_LM


class Unable(Lengths):
    @property
    def why_not(self) -> str | None:
        return "it is Sunday"


def install(monkeypatch: pytest.MonkeyPatch, *handlers: abilities.AnyHandler, **errors: str) -> None:
    found = Installed({handler.__name__: handler for handler in handlers}, errors)
    monkeypatch.setattr(abilities, "_of_others", lambda: found)


def test_kinds_are_mixed_and_the_order_is_kept() -> None:
    one = scorer("gpt2", "causal_lm")
    asked: list[Request[Any]] = [
        TokenRequest((11,), (12, 13)),
        EmbedRequest(" the man"),
        GenerateRequest((11, 12), 3),
        TokenRequest((11, 14), (15,)),
        EmbedRequest(" she"),
    ]
    together = one.ask(asked)
    for request, answer in zip(asked, together, strict=True):
        (alone,) = scorer("gpt2", "causal_lm").ask([request])
        assert type(alone) is type(answer)
        for name in ("logprobs", "vector", "tokens"):
            np.testing.assert_allclose(getattr(answer, name, 0), getattr(alone, name, 0), atol=1e-4, rtol=0)
    assert one.counts.by_kind == {"token_logprobs": 2, "embed": 2, "generate": 1}
    assert one.counts_of("token_logprobs").batches == one.counts_of("embed").batches == 1


def test_texts_and_their_tokens_share_batches() -> None:
    one = scorer("bert", "classifier")
    (read,) = one.inputs_of([TextRequest("she was good")])
    text, tokens, other = one.ask([TextRequest("she was good"), read, InputRequest((2, 20, 3))])
    assert np.array_equal(text.logits, tokens.logits)
    assert not np.array_equal(text.logits, other.logits)
    assert one.counts_of("classify").rows == 2


def test_a_handler_from_elsewhere_answers_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Lengths)
    one = scorer("bert", "base")
    three, vector, four = one.ask([LengthRequest("a"), EmbedRequest("a"), LengthRequest("a man")])
    assert (three, four) == (3, 4)
    assert not isinstance(vector, int)
    assert one.counts.by_kind == {"length": 2, "embed": 1}


def test_what_cannot_be_answered_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    one = scorer("bert", "base")
    asked: list[Request[Any]] = [EmbedRequest("a"), LengthRequest("a")]
    install(monkeypatch, broken="it does not import")
    with pytest.raises(UsageError, match=r"no handler answers a LengthRequest; .*assay.requests \(broken: it does not"):
        one.ask(asked)
    install(monkeypatch, Unmet)
    with pytest.raises(UsageError, match=r"^length needs a masked LM; .*tiny-bert offers embeddings$"):
        one.ask(asked)
    install(monkeypatch, Unable)
    with pytest.raises(UsageError, match=r"tiny-bert: it is Sunday$"):
        one.ask(asked)
    assert one.counts.rows == 0


def test_entry_points_that_name_no_handler_are_told_why() -> None:
    point = EntryPoint("lengths", "somewhere:Lengths", abilities.GROUP)
    assert abilities.checked(point, Lengths) == ("lengths", Lengths)

    class Bare(Handler[LengthRequest, int]):
        asked = (LengthRequest,)

    class Thief(Lengths):
        asked = (TextRequest,)

    for handler, why in [
        (LengthRequest, "is not a subclass of harness.scorer.handler.Handler"),
        (Bare, "Bare does not set kind, needs"),
        (Thief, "Thief answers TextRequest, which the harness answers itself"),
    ]:
        with pytest.raises(TypeError, match=why):
            abilities.checked(point, handler)


def test_no_two_handlers_answer_one_type_or_share_a_name() -> None:
    types = [asked for handler in abilities.OWN for asked in handler.asked]
    assert len(types) == len(set(types))
    assert len({handler.kind for handler in abilities.OWN}) == len(abilities.OWN)


def test_the_fake_answers_a_new_type_without_a_change() -> None:
    fake = FakeScorer(make_info())
    fake.answers[LengthRequest] = lambda asked: [len(request.text) for request in asked]
    assert fake.ask([LengthRequest("a"), LengthRequest("abc")]) == [1, 3]
