"""Opacus' optimizer over sums that a clipping engine has made: it adds noise and steps, accountants attach as usual."""

from __future__ import annotations

from typing import Any, cast

import torch
from opacus.optimizers import DPOptimizerFastGradientClipping

from privacy.clipping.engine import ClippingEngine
from privacy.clipping.errors import ClippingError
from privacy.clipping.rules import Adaptive
from privacy.clipping.sums import fill_sums, get_sum
from privacy.noise import GeneratorNoise, NoiseSource


class ClippedSumOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc]  # opacus has no types
    """Takes `parameter.summed_grad` as it is, adds noise in place, and hands it to the wrapped optimizer.

    `signal_skip_step`, `attach_step_hook`, `zero_grad` and `noise_multiplier` (what the accountant reads) are Opacus'.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        engine: ClippingEngine,
        noise_multiplier: float,
        expected_batch_size: float,
        generator: torch.Generator | None = None,
        secure_mode: bool = False,
        noise: NoiseSource | None = None,
    ) -> None:
        """Wrap `optimizer`.

        Args:
            optimizer: over exactly the parameters that `engine` clips.
            engine: makes the sums.
            noise_multiplier: standard deviation of the noise over the clipping norm, as the accountant counts it.
            expected_batch_size: what sums are divided by; a constant, not the records drawn.
            generator: of the noise; on the device of the parameters.
            secure_mode: noise safe against floating-point attacks (arXiv 2107.10138).
            noise: instead of the generator.

        Raises:
            ClippingError: a parameter would be stepped without noise, or its noised sum be ignored.
        """
        held = {id(value) for group in optimizer.param_groups for value in group["params"] if value.requires_grad}
        apart = [name for name, value in engine.trained.items() if id(value) not in held]
        if apart or len(held) != len(engine.trained):
            raise ClippingError(
                "the optimizer must hold exactly the parameters that are clipped; "
                + (f"it lacks {apart[0]!r}" if apart else "it holds others, which would be trained without noise")
            )
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=engine.max_grad_norm,
            expected_batch_size=cast(Any, expected_batch_size),
            generator=generator,
            secure_mode=secure_mode,
        )
        self._engine = engine
        self._noise = noise or GeneratorNoise(generator, summed_up=secure_mode)

    @property
    def engine(self) -> ClippingEngine:
        """Makes the sums."""
        return self._engine

    def accumulate(self) -> None:
        """The engine has done so; parameters that nothing was added to get zeros."""
        fill_sums(self._engine.trained)

    def add_noise(self) -> None:
        """Noise of the present clipping norm, in place: the sum becomes the gradient, without copies of the model."""
        rule = self._engine.rule
        self.max_grad_norm = rule.max_grad_norm
        count = self._release(rule.take_count() if isinstance(rule, Adaptive) else 0.0)
        if isinstance(rule, Adaptive):
            rule.move(count, self.expected_batch_size)

    def _release(self, count: float) -> float:
        """Sums with noise become the gradients; the count as it is released."""
        count = self._release_sums(
            [cast(torch.Tensor, get_sum(value)) for value in self._engine.trained.values()], count
        )
        for value in self._engine.trained.values():
            summed = cast(torch.Tensor, get_sum(value))
            cast(Any, summed)._processed = True
            value.grad = summed.to(value.dtype)
        return count

    def _release_sums(self, sums: list[torch.Tensor], count: float) -> float:
        """Turn the sums, in place, and the count into what is released; there are no other processes here."""
        self._add_noise_to(sums)
        return self._noised(count)

    def _add_noise_to(self, sums: list[torch.Tensor]) -> None:
        rule = self._engine.rule
        share = rule.gradient_noise(self.noise_multiplier) if isinstance(rule, Adaptive) else self.noise_multiplier
        for place, summed in enumerate(sums):
            self._noise.add(summed, share * self.max_grad_norm, place)

    def _noised(self, count: float) -> float:
        """The count of the adaptive rule with its own noise, 0 of another rule."""
        rule = self._engine.rule
        return self._noise.number(count, rule.count_noise) if isinstance(rule, Adaptive) else count
