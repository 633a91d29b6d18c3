"""HFScorer: the Scorer of a checkpoint loaded by transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.api.needs import Need
from harness.api.scorer import (
    ClassScores,
    Counts,
    Embedding,
    Floats32,
    GenerateRequest,
    Generation,
    GradientRequest,
    InputGradient,
    InputRequest,
    MaskedRequest,
    TextRequest,
    TokenRequest,
    TokenScores,
)
from harness.errors import NotApplicableError, UsageError
from harness.scorer import causal, generate, gradients, masked
from harness.scorer.causal import CausalScores
from harness.scorer.engine import Engine
from harness.scorer.generate import GreedyDecoder
from harness.scorer.gradients import InputGradients
from harness.scorer.masked import MaskedScores
from harness.scorer.pooled import PooledVectors, class_logits, mean_states, poolable
from harness.scorer.positions import NeededPositions
from harness.scorer.texts import special_ids, to_input, tokenise

if TYPE_CHECKING:
    from harness.checkpoint import CheckpointInfo, LoadedCheckpoint


class HFScorer:
    """Scores requests on one checkpoint; see `harness.api.scorer.Scorer`.

    Answers do not depend on the batching: in float32 on CPU log-probabilities, logits and embeddings agree within 1e-4
    (absolute) at any batch size, and greedy tokens agree wherever the two best logits are not that close.
    A token budget is the most padded tokens of one batch; each kind of request keeps its own once memory has run out.
    Not for use from two threads at once.
    """

    def __init__(self, loaded: LoadedCheckpoint, *, token_budget: int | None = None) -> None:
        if token_budget is not None and token_budget < 1:
            raise UsageError(f"a token budget of {token_budget} is none; give at least 1")
        self._info = loaded.info
        self._engine = Engine(loaded, token_budget)

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
        total = Counts(by_kind={kind: counts.rows for kind, counts in self._engine.counts.items()})
        for counts in self._engine.counts.values():
            for name in (field.name for field in fields(Counts) if field.name != "by_kind"):
                setattr(total, name, getattr(total, name) + getattr(counts, name))
        return total

    def counts_of(self, kind: str) -> Counts:
        """Work done so far by the method named `kind`."""
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
                f"{self._source}: its tokenizer names no BOS and no EOS token to start a text with"
            )
        return int(token)

    @property
    def scores_needed_positions_only(self) -> bool:
        """Whether the language-model head runs on needed positions only (else on all: same numbers, more work)."""
        return self._head.is_split

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        """Token ids of `text`, never truncated."""
        return tuple(self._engine.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, special tokens kept."""
        return self._engine.decode(tokens)

    def special_positions(self, tokens: Sequence[int]) -> tuple[bool, ...]:
        """True where a token stands for no text; an unknown word is text."""
        return tuple(token in self._special for token in tokens)

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        """Class logits of each text (or pair); needs a sequence classifier."""
        self._require(Need.SEQUENCE_CLASSIFIER, "classify")
        with self._engine.timed("classify"):
            return self._classes.classify(requests)

    def inputs_of(self, requests: Sequence[TextRequest]) -> list[InputRequest]:
        """What `classify` lets the model read of each text (or pair), cut to `max_tokens`."""
        return [to_input(row) for row in tokenise(self._engine.tokenizer, requests, self.max_tokens)]

    def classify_inputs(self, requests: Sequence[InputRequest]) -> list[ClassScores]:
        """Class logits of token ids, which are never cut; needs a sequence classifier. Counted as `classify`."""
        self._require(Need.SEQUENCE_CLASSIFIER, "classify_inputs")
        with self._engine.timed("classify"):
            return self._classes.classify(requests)

    @property
    def why_no_gradients(self) -> str | None:
        """Why `input_gradients` and `input_embeddings` would be refused; None where they work."""
        lacking = self._lacking(Need.SEQUENCE_CLASSIFIER, gradients.KIND)
        if lacking is not None:
            return lacking
        why = self._gradients.why_not
        return None if why is None else f"{self._source}: {why}"

    def input_gradients(self, requests: Sequence[GradientRequest]) -> list[InputGradient]:
        """Gradients by the vectors the model reads for its tokens, float32. Raises UsageError where it gives none."""
        self._require_gradients()
        with self._engine.timed(gradients.KIND, gradients=True):
            return self._gradients.run(requests)

    def input_embeddings(self) -> Floats32:
        """The vector the model reads for each token, [vocabulary, width]. Raises UsageError as `input_gradients`."""
        self._require_gradients()
        return self._gradients.embeddings()

    def token_logprobs(self, requests: Sequence[TokenRequest]) -> list[TokenScores]:
        """Log-probability of each target token; needs a causal LM. The last target token is not read."""
        self._require(Need.CAUSAL_LM, "token_logprobs")
        with self._engine.timed(causal.KIND):
            return self._causal.run(requests)

    def pseudo_log_likelihood(self, requests: Sequence[MaskedRequest]) -> list[TokenScores]:
        """Log-probability of each requested position when it alone is masked; needs a masked LM."""
        self._require(Need.MASKED_LM, "pseudo_log_likelihood")
        with self._engine.timed(masked.KIND):
            return self._masked.run(requests)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """Greedy continuations; needs a causal LM."""
        self._require(Need.CAUSAL_LM, "generate")
        with self._engine.timed(generate.KIND):
            return self._decoder.run(requests)

    def embed(self, requests: Sequence[TextRequest]) -> list[Embedding]:
        """Mean-pooled sentence vectors; any checkpoint can give them."""
        with self._engine.timed("embed"):
            return self._states.embed(requests)

    @cached_property
    def _head(self) -> NeededPositions:
        return NeededPositions(self._engine.model, self._engine.vocabulary)

    @cached_property
    def _special(self) -> frozenset[int]:
        return special_ids(self._engine.tokenizer)

    @cached_property
    def _poolable(self) -> tuple[Any, int]:
        return poolable(self._engine.model, self._engine.vocabulary, moves=self._engine.padding_moves)

    @cached_property
    def _classes(self) -> PooledVectors:
        model, pad = self._poolable
        return PooledVectors(self._engine, "classify", class_logits(model), pad)

    @cached_property
    def _gradients(self) -> InputGradients:
        return InputGradients(self._engine, self._classes, self._poolable[0])

    @cached_property
    def _states(self) -> PooledVectors:
        return PooledVectors(self._engine, "embed", mean_states(self._engine.model))

    @cached_property
    def _causal(self) -> CausalScores:
        return CausalScores(self._engine, self._head)

    @cached_property
    def _decoder(self) -> GreedyDecoder:
        return GreedyDecoder(self._engine, self._head)

    @cached_property
    def _masked(self) -> MaskedScores:
        mask = self._engine.tokenizer.mask_token_id
        if mask is None:
            raise NotApplicableError(f"{self._source}: its tokenizer names no mask token, so nothing can be masked")
        return MaskedScores(self._engine, self._head, int(mask), self._states.side)

    @property
    def _source(self) -> str:
        return self._info.source.source

    def _require(self, need: Need, method: str) -> None:
        lacking = self._lacking(need, method)
        if lacking is not None:
            raise UsageError(lacking)

    def _lacking(self, need: Need, method: str) -> str | None:
        if need in self._info.offers:
            return None
        offers = ", ".join(sorted(self._info.offers)) or "nothing"
        return f"{method} needs a {need}; {self._source} offers {offers}"

    def _require_gradients(self) -> None:
        if self.why_no_gradients is not None:
            raise UsageError(self.why_no_gradients)
