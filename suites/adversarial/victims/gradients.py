"""A scorer as TextAttack's white-box parts call a model: gradients, embeddings and a tokenizer.

`GreedyWordSwapWIR(wir_method="gradient")` works with `GradientVictim`, whose gradients are by token.
`WordSwapGradientBased` (and with it HotFlipEbrahimi2017) takes the place of a word in the text for the place of its
token, which holds for TextAttack's own LSTM alone, and so refuses every other model; with `WordGradientVictim`, whose
gradients are by word, it is right for any tokenizer, built inside `gradient_swaps_allowed`.

Other than TextAttack 0.3.11's HuggingFaceModelWrapper, the model stays in eval mode (there dropout makes gradients
random), and nothing is padded.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.api.scorer import ClassScores, GradientRequest, Scorer, TextRequest
from harness.errors import UsageError
from suites.adversarial.resources.textattack_env import load_textattack
from suites.adversarial.victims.classifier import Victim, VictimError
from suites.adversarial.victims.writable import word_of

Texts = str | tuple[str, ...]
"""A text, or a pair as TextAttack gives it."""
_PREFIX = "##"
_SWAPS = "textattack.transformations.word_swaps.word_swap_gradient_based"


class GradientVictim(Victim):
    """What GreedyWordSwapWIR asks by gradient; raises UsageError where the model gives none."""

    def __init__(self, scorer: Scorer) -> None:
        if scorer.why_no_gradients is not None:
            raise UsageError(f"the attack needs gradients: {scorer.why_no_gradients}")
        super().__init__(VictimModel(scorer))
        self.scorer = scorer
        self.tokenizer = VictimTokenizer(scorer)

    def get_grad(self, text: Texts) -> dict[str, Any]:
        """Token ids, and the gradient of the predicted class's cross-entropy by them, [tokens, width].

        Raises VictimError where the model gives no usable answer.
        """
        request = _request(text)
        (answer,) = self.scorer.ask([request])
        if answer.error is not None:
            raise VictimError(f"{answer.error}, asked for {request.text[:60]!r}")
        (found,) = self.scorer.ask([GradientRequest(request, answer.label)])
        if found.error is not None:
            raise VictimError(f"{found.error}, asked for the gradient of {request.text[:60]!r}")
        return {"ids": list(found.input.tokens), "gradient": found.gradient}

    def tokenize(self, texts: Sequence[Texts], strip_prefix: bool = False) -> list[list[str]]:
        """The tokens that `get_grad` gives gradients of, as text; with `strip_prefix` without the mark of parts."""
        inputs = self.scorer.inputs_of([_request(text) for text in texts])
        pieces = [[self.tokenizer.piece(token) for token in given.tokens] for given in inputs]
        return [[piece.removeprefix(_PREFIX) for piece in row] for row in pieces] if strip_prefix else pieces


class WordGradientVictim(GradientVictim):
    """A GradientVictim whose tokens are TextAttack's words of the text.

    A word of several tokens is what its first token is; one that the model does not read (cut off) has gradient 0.
    """

    def get_grad(self, text: Texts) -> dict[str, Any]:
        """Id and gradient of each word's first token, [words, width]."""
        by_token = super().get_grad(text)
        tokens, gradient = by_token["ids"], by_token["gradient"]
        attacked = _attacked_text(text)
        view = SimpleNamespace(tokenize=super().tokenize)
        places = attacked.align_with_model_tokens(view)
        ids, found = [], np.zeros((len(attacked.words), gradient.shape[1]), dtype=gradient.dtype)
        for word in range(len(attacked.words)):
            first = None if not places[word] else places[word][0]
            ids.append(tokens[0] if first is None else tokens[first])
            if first is not None:
                found[word] = gradient[first]
        return {"ids": ids, "gradient": found}

    def tokenize(self, texts: Sequence[Texts], strip_prefix: bool = False) -> list[list[str]]:
        """TextAttack's words of each text."""
        return [list(_attacked_text(text).words) for text in texts]


class VictimModel:
    """The scorer with the embedding layer that TextAttack looks for."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def ask(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        """The scorer's answers."""
        return self._scorer.ask(requests)

    def get_input_embeddings(self) -> Any:
        """A torch.nn.Embedding of what the model reads for each token, [vocabulary, width]."""
        return self._embedding

    @cached_property
    def _embedding(self) -> Any:
        import torch

        table = torch.from_numpy(self._scorer.input_embeddings())
        layer = torch.nn.Embedding(table.shape[0], table.shape[1])
        layer.weight = torch.nn.Parameter(table, requires_grad=False)
        return layer


class VictimTokenizer:
    """The tokens of a scorer one by one."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._words: dict[int, str] = {}
        self._pieces: dict[int, str] = {}
        special = [token for token in scorer.encode("a") if any(scorer.special_positions((token,)))]
        self.pad_token_id = special[0] if special else 0
        """A token that TextAttack is to change no word to: a special one, which is no word anyway."""

    def convert_id_to_word(self, token: int) -> str:
        """The word the token stands for by itself; '' for parts of words and special tokens, which TextAttack skips."""
        if token not in self._words:
            self._words[token] = word_of(self._scorer, token) or ""
        return self._words[token]

    def piece(self, token: int) -> str:
        """The token as text, without white space at its ends."""
        if token not in self._pieces:
            self._pieces[token] = self._scorer.decode((token,)).strip()
        return self._pieces[token]


def register(textattack: Any) -> None:
    """Let TextAttack take the victims for model wrappers."""
    textattack.models.wrappers.ModelWrapper.register(GradientVictim)


@contextmanager
def gradient_swaps_allowed() -> Iterator[None]:
    """WordSwapGradientBased can be built inside with these victims, not only with TextAttack's own LSTM."""
    register(load_textattack())
    module: Any = importlib.import_module(_SWAPS)
    before = module.validate_model_gradient_word_swap_compatibility
    module.validate_model_gradient_word_swap_compatibility = lambda _: True
    try:
        yield
    finally:
        module.validate_model_gradient_word_swap_compatibility = before


def _request(text: Texts) -> TextRequest:
    parts = (text,) if isinstance(text, str) else text
    if len(parts) > 2:
        raise VictimError(f"{len(parts)} texts for a model that reads one or two")
    return TextRequest(*parts)


def _attacked_text(text: Texts) -> Any:
    shared = load_textattack().shared
    parts = (text,) if isinstance(text, str) else text
    return shared.AttackedText(OrderedDict((f"text {number}", part) for number, part in enumerate(parts)))
