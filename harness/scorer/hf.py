"""HFScorer: the Scorer of a checkpoint loaded by transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.api.scorer import A, Counts, Floats32, InputRequest, Request, TextRequest
from harness.errors import AuditError, NotApplicableError, UsageError
from harness.scorer.abilities import AnyHandler, handler_of
from harness.scorer.cache.kept import KeptAnswers
from harness.scorer.cache.store import AnswerStore
from harness.scorer.forward.engine import Engine
from harness.scorer.handler import Handler, Parts
from harness.scorer.heads.gradients import InputGradients
from harness.scorer.tokenization.texts import special_ids, to_input, tokenise

if TYPE_CHECKING:
    from harness.checkpoint import CheckpointInfo, LoadedCheckpoint


class HFScorer:
    """Scores requests on one checkpoint; see `harness.api.scorer.Scorer`.

    Answers do not depend on the batching: in float32 on CPU log-probabilities, logits and embeddings agree within 1e-4
    (absolute) at any batch size, and greedy tokens agree wherever the two best logits are not that close.
    A token budget is the most padded tokens of one batch; each kind of request keeps its own once memory has run out.
    Answers are kept in `keep_bytes` of memory and given again, so the model must stay as it is; 0: none is kept. A
    `store` keeps them on disk for other runs.
    Not for use from two threads at once.
    """

    def __init__(
        self,
        loaded: LoadedCheckpoint,
        *,
        token_budget: int | None = None,
        keep_bytes: int = 0,
        store: AnswerStore | None = None,
    ) -> None:
        if token_budget is not None and token_budget < 1:
            raise UsageError(f"a token budget of {token_budget} is none; give at least 1")
        self._info = loaded.info
        self._engine = Engine(loaded, token_budget)
        self._parts = Parts(self._engine, loaded.info.source.source)
        self._handlers: dict[AnyHandler, Handler[Any, Any]] = {}
        self._kept = KeptAnswers(keep_bytes)
        self._store = store

    @property
    def info(self) -> CheckpointInfo:
        """The checkpoint behind the scores."""
        return self._info

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self._engine.device

    @property
    def counts(self) -> Counts:
        """Work done so far, all kinds together; `by_kind` has the rows of each."""
        total = sum(self._engine.counts.values(), Counts())
        total.by_kind = {kind: counts.rows for kind, counts in self._engine.counts.items()}
        return total

    def counts_of(self, kind: str) -> Counts:
        """Work done so far for the kind of request that a handler names so."""
        return self._engine.count(kind)

    @property
    def max_tokens(self) -> int:
        """Most tokens the model reads at once, special tokens included."""
        return self._engine.max_tokens

    @property
    def start_token(self) -> int:
        """BOS, else EOS. Raises NotApplicableError where the tokenizer has neither."""
        tokenizer = self._engine.tokenizer
        token = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        if token is None:
            raise NotApplicableError(
                f"{self._parts.source}: its tokenizer names no BOS and no EOS token to start a text with"
            )
        return int(token)

    @property
    def scores_needed_positions_only(self) -> bool:
        """Whether the language-model head runs on needed positions only (else on all: same numbers, more work)."""
        return self._parts.head.is_split

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        """Token ids of `text`, never truncated."""
        return tuple(self._engine.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def encode_all(self, texts: Sequence[str], *, special: bool = True) -> list[tuple[int, ...]]:
        """Token ids of each text, as `encode` gives them one by one, several times faster for many."""
        if not texts:
            return []  # a tokenizer takes an empty list for a text of no words
        encoded = self._engine.tokenizer(
            list(texts), add_special_tokens=special, verbose=False, return_attention_mask=False
        )
        return [tuple(ids) for ids in encoded["input_ids"]]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, special tokens kept."""
        return self._engine.decode(tokens)

    def special_positions(self, tokens: Sequence[int]) -> tuple[bool, ...]:
        """True where a token stands for no text; an unknown word is text."""
        return tuple(token in self._special for token in tokens)

    def inputs_of(self, requests: Sequence[TextRequest]) -> list[InputRequest]:
        """What the model reads of each text (or pair), cut to `max_tokens`."""
        return [to_input(row) for row in tokenise(self._engine.tokenizer, requests, self.max_tokens)]

    def ask(self, requests: Sequence[Request[A]]) -> list[A]:
        """One answer per request, in the order asked; raises UsageError where the checkpoint cannot answer a kind."""
        by_type = {asked: self._handler(handler_of(asked)) for asked in dict.fromkeys(map(type, requests))}
        answers: dict[int, A] = {}
        for handler in dict.fromkeys(by_type.values()):
            chosen = [index for index, request in enumerate(requests) if by_type[type(request)] is handler]
            with self._engine.timed(handler.kind, gradients=handler.gradients):
                found = self._answered(handler, [requests[index] for index in chosen])
            answers.update(zip(chosen, found, strict=True))
        return [answers[index] for index in range(len(requests))]

    def _answered(self, handler: Handler[Any, Any], requests: Sequence[Request[A]]) -> list[A]:
        """What is known, and the handler's answers to the rest."""
        known = self._kept.find(requests)
        rest = [index for index, request in enumerate(requests) if request not in known]
        asked = [requests[index] for index in rest]
        answered = self._computed(handler, asked) if asked or not requests else []
        new = dict(zip(rest, answered, strict=True))
        self._kept.keep(asked, answered)
        counts = self._engine.count(handler.kind)
        counts.reused += len(requests) - len(rest)
        again = (known[request] for request in requests if request in known)
        counts.truncated_rows += sum(getattr(answer, "truncated", 0) > 0 for answer in again)
        return [new[index] if index in new else known[request] for index, request in enumerate(requests)]

    def _computed(self, handler: Handler[Any, Any], requests: Sequence[Request[A]]) -> list[A]:
        """What the store has, and the handler's answers to the rest, which the store gets."""
        if self._store is None or not handler.stored or not requests:
            return _run(handler, requests)
        stored = self._store.find(requests)
        asked = [request for request in requests if request not in stored]
        answered = _run(handler, asked) if asked else []
        self._store.keep(asked, answered)
        counts = self._engine.count(handler.kind)
        counts.cached += len(requests) - len(asked)
        again = (stored[request] for request in requests if request in stored)
        counts.truncated_rows += sum(getattr(answer, "truncated", 0) > 0 for answer in again)
        new = iter(answered)
        return [stored[request] if request in stored else next(new) for request in requests]

    @property
    def why_no_gradients(self) -> str | None:
        """Why a GradientRequest and `input_embeddings` would be refused; None where they work."""
        return self._why_not(InputGradients)

    def input_embeddings(self) -> Floats32:
        """The vector the model reads for each token, [vocabulary, width]. Raises UsageError with `why_no_gradients`."""
        handler = self._handler(InputGradients)
        assert isinstance(handler, InputGradients)
        return handler.embeddings()

    @cached_property
    def _special(self) -> frozenset[int]:
        return special_ids(self._engine.tokenizer)

    def _handler(self, kind: AnyHandler) -> Handler[Any, Any]:
        """The one that answers. Raises UsageError where this checkpoint cannot."""
        why = self._why_not(kind)
        if why is not None:
            raise UsageError(why)
        return self._handlers[kind]

    def _why_not(self, kind: AnyHandler) -> str | None:
        if kind.needs is not None and kind.needs not in self._info.offers:
            offers = ", ".join(sorted(self._info.offers)) or "nothing"
            return f"{kind.kind} needs a {kind.needs}; {self._parts.source} offers {offers}"
        if kind not in self._handlers:
            self._handlers[kind] = kind(self._parts)
        why = self._handlers[kind].why_not
        return None if why is None else f"{self._parts.source}: {why}"


def _run(handler: Handler[Any, Any], requests: Sequence[Request[A]]) -> list[A]:
    """Raises AuditError where it gives more or fewer answers than asked for: nobody knows then whose they are."""
    answers = list(handler.run(requests))
    if len(answers) != len(requests):
        raise AuditError(
            f"{handler.kind}: {len(answers)} answers to {len(requests)} requests; this is a fault of its handler, "
            f"{type(handler).__module__}.{type(handler).__qualname__}"
        )
    return answers
