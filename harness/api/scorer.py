"""The Scorer interface: the only way a probe reaches a model. Requests in, one answer per request out, same order.

What is asked is a class, a `Request` of its answer's type; who answers it is a file in `harness.scorer`. Here are the
requests that probes ask most; the others are in `harness.api.requests`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.api.checkpoint import CheckpointInfo

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Request(Generic[A_co]):
    """What is asked of a model, answered by an `A_co`. Frozen and hashable: equal requests have one answer.

    An answer may be given to several who ask the same: nobody changes it.
    """

    __slots__ = ()
    heavy: ClassVar[bool] = False
    """Whether an answer is megabytes: then nobody keeps it or sends it to another process."""
    drawn: ClassVar[bool] = False
    """Whether equal requests get answers drawn anew, without a seed in the request: then nobody keeps them."""


@dataclass(frozen=True, slots=True)
class TextRequest(Request["ClassScores"]):
    """Class logits of a text, or of a pair of texts; needs a sequence classifier."""

    text: str
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRequest(Request["TokenScores"]):
    """log p(target_i | context, target_<i) under a causal LM; `context` holds at least one token (the BOS, say)."""

    context: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MaskedRequest(Request["TokenScores"]):
    """log p(tokens[i] | all others) for each i of `positions`, each masked alone (Salazar et al. 2020)."""

    tokens: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GenerateRequest(Request["Generation"]):
    """Greedy continuation of `prompt` by at most `max_new_tokens` tokens."""

    prompt: tuple[int, ...]
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class InputRequest(Request["ClassScores"]):
    """What the model reads of a text or pair: token ids, special ones too, and their segments; empty means all 0.

    Asked, it is answered as a TextRequest is, but its tokens are never cut.

    `truncated` tokens of the text were cut off.
    """

    tokens: tuple[int, ...]
    segments: tuple[int, ...] = ()
    truncated: int = 0


class Loss(StrEnum):
    """Which function of the class logits is differentiated; p is their softmax and c the class asked for."""

    OF_CLASS = "of class"
    """-log p_c, the cross-entropy."""
    OF_OTHERS = "of others"
    """-log(1 - p_c): falls as any other class gains."""
    LOGIT = "logit"
    """The logit of c itself."""


@dataclass(frozen=True, slots=True)
class GradientRequest(Request["InputGradient"]):
    """The gradient of `loss` at class `label` by the input embeddings at `positions` (None: of every token).

    Asking raises UsageError with `Scorer.why_no_gradients`.
    """

    heavy: ClassVar[bool] = True
    input: TextRequest | InputRequest
    label: int
    loss: Loss = Loss.OF_CLASS
    positions: tuple[int, ...] | None = None


class Pooling(StrEnum):
    """How the states of a text's tokens (special ones too, padding never) become one vector."""

    MEAN = "mean"
    MAX = "max"
    """The largest of each dimension."""
    CLS = "cls"
    """The state of the tokenizer's [CLS] token, or of the first token where it has none."""
    LAST = "last"
    """The state of the last token."""


@dataclass(frozen=True, slots=True)
class EmbedRequest(Request["Embedding"]):
    """The vector of a text, or of a pair; any checkpoint can give it.

    `layer`: 0 is what the first layer reads, n what the n-th gives, the last one after the final norm as transformers
    gives it; None is the last.
    """

    text: str
    pair: str | None = None
    pooling: Pooling = Pooling.MEAN
    layer: int | None = None


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Class logits [labels]; `truncated` counts the tokens cut off; `error` says why the logits cannot be used."""

    logits: Floats
    truncated: int = 0
    error: str | None = None

    @property
    def probabilities(self) -> Floats:
        """Softmax of the logits, [labels]."""
        shifted = np.exp(self.logits - self.logits.max())
        return np.asarray(shifted / shifted.sum(), dtype=np.float64)

    @property
    def label(self) -> int:
        """Index of the largest logit (the first among equals)."""
        return int(np.argmax(self.logits))


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Natural-log probabilities [targets] and whether each target token was the argmax, [targets]."""

    logprobs: Floats
    greedy: Bools
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """New tokens (end-of-sequence and what follows removed) and their text."""

    tokens: tuple[int, ...]
    text: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """The pooled state [hidden]."""

    vector: Floats
    truncated: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class InputGradient:
    """What was read, its loss, class logits [labels], and d loss / d embedding of each position [positions, width]."""

    input: InputRequest
    gradient: Floats32
    loss: float
    logits: Floats
    error: str | None = None


@dataclass(slots=True)
class Counts:
    """Work done so far, for cost estimates and waste reports."""

    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    batches: int = 0
    halvings: int = 0
    truncated_rows: int = 0
    reused: int = 0
    """Requests answered without the model, by what it had answered before."""
    cached: int = 0
    """Requests answered without the model, by what it had answered in another run or before it was killed."""
    seconds: float = 0.0
    by_kind: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        return self._with(other, 1)

    def __sub__(self, other: Counts) -> Counts:
        return self._with(other, -1)

    def _with(self, other: Counts, sign: int) -> Counts:
        """Each count with that of `other` added or taken off."""
        numbers = (each.name for each in fields(self) if each.name != "by_kind")
        made = Counts(**{name: getattr(self, name) + sign * getattr(other, name) for name in numbers})
        kinds = dict.fromkeys((*self.by_kind, *other.by_kind))
        made.by_kind = {kind: self.by_kind.get(kind, 0) + sign * other.by_kind.get(kind, 0) for kind in kinds}
        return made

    @property
    def padding_waste(self) -> float | None:
        """Padded tokens over real tokens (1.0 is perfect); None before any work."""
        return self.padded_tokens / self.tokens if self.tokens else None


class Scorer(Protocol):
    """What a probe may ask of a checkpoint."""

    @property
    def info(self) -> CheckpointInfo:
        """The checkpoint behind the scores."""
        ...

    @property
    def device(self) -> str:
        """Where the model computes: cpu, cuda, cuda:1, mps."""
        ...

    @property
    def counts(self) -> Counts:
        """Work done so far."""
        ...

    @property
    def max_tokens(self) -> int:
        """Most tokens the model reads at once, special tokens included."""
        ...

    @property
    def start_token(self) -> int:
        """Token to condition the first real token of a causal LM on: BOS, else EOS. Raises NotApplicableError."""
        ...

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        """Token ids of `text`, never truncated."""
        ...

    def encode_all(self, texts: Sequence[str], *, special: bool = True) -> list[tuple[int, ...]]:
        """Token ids of each text, as `encode` gives them one by one, several times faster for many."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, special tokens kept."""
        ...

    def special_positions(self, tokens: Sequence[int]) -> tuple[bool, ...]:
        """True where a token of `tokens` is a special one ([CLS], [SEP], BOS, padding)."""
        ...

    def inputs_of(self, requests: Sequence[TextRequest]) -> list[InputRequest]:
        """What the model reads of each text (or pair), cut to `max_tokens`."""
        ...

    def ask(self, requests: Sequence[Request[A]]) -> list[A]:
        """One answer per request, in the order asked, whatever the batching. Kinds of request may be mixed.

        Raises UsageError where the checkpoint cannot answer a kind at all; what one request cannot be answered stands
        in its answer's `error`.
        """
        ...

    @property
    def why_no_gradients(self) -> str | None:
        """Why a GradientRequest and `input_embeddings` would be refused; None where they work."""
        ...

    def input_embeddings(self) -> Floats32:
        """The vector the model reads for each token, [vocabulary, width]. Raises UsageError with `why_no_gradients`."""
        ...
