"""A run of a text that a masked language model does not see."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api.scorer import Request, TokenScores


@dataclass(frozen=True, slots=True)
class MaskedSpanRequest(Request[TokenScores]):
    """log p of each of `tokens[start:end]`, and whether it is the argmax, the span masked; needs a masked LM.

    `together`: all of the span is masked. Else it is filled from the left: a token is read with the true ones before it
    in place and all after it masked, so that their product is a probability of the span, and the likeliest token each
    time gives the span just where every one of them is the argmax.

    `blind`: further positions that are masked all the while, and not asked about.
    """

    tokens: tuple[int, ...]
    start: int
    end: int
    together: bool = False
    blind: tuple[int, ...] = ()

    @property
    def positions(self) -> tuple[int, ...]:
        """Of the span."""
        return tuple(range(self.start, self.end))

    def hidden(self, slot: int) -> tuple[int, ...]:
        """Positions that are masked where the span's token number `slot` is read."""
        return (self.positions if self.together else self.positions[slot:]) + self.blind
