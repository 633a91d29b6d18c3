"""The model under attack, as TextAttack calls one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from harness.api.scorer import ClassScores, TextRequest

if TYPE_CHECKING:
    import torch


class Classifies(Protocol):
    """What a victim needs of a scorer."""

    def ask(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        """Class logits of each text (or pair)."""
        ...


class VictimError(Exception):
    """The victim gave no usable answer to a query."""


class Victim:
    """A scorer as TextAttack calls a model: texts or pairs in, float32 logits [texts, labels] out (a ModelWrapper)."""

    def __init__(self, scorer: Classifies) -> None:
        self.model: Any = scorer
        """TextAttack looks up the class of this to warn of models it does not know."""

    def __call__(self, texts: Sequence[str | tuple[str, str]]) -> torch.Tensor:
        """Raises VictimError."""
        import torch

        answers = self.model.ask([TextRequest(*((text,) if isinstance(text, str) else text)) for text in texts])
        for text, answer in zip(texts, answers, strict=True):
            if answer.error is not None:
                shown = text if isinstance(text, str) else " ".join(text)
                raise VictimError(f"{answer.error}, asked for {shown[:60]!r}")
        return torch.from_numpy(np.stack([answer.logits for answer in answers]).astype(np.float32))
