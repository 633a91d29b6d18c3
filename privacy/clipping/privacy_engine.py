"""Opacus' PrivacyEngine with book-keeping in the place of its gradient samplers; its accountants and loader stay.

Three defects of Opacus 1.6 are left out of what it is given here. The steps of an epoch and the sampling rate are those
of the loader, not int(1 / rate), which is one less for some loaders. An empty first batch has the structure of all
others. And sums are divided by the batch size asked for, which does not depend on the number of records.
"""

from __future__ import annotations

from typing import Any

import torch
from opacus import PrivacyEngine
from opacus.accountants.utils import get_noise_multiplier
from opacus.data_loader import DPDataLoader
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from privacy.clipping.errors import ClippingError
from privacy.clipping.make import EngineName, make_engine
from privacy.clipping.optimizer import ClippedSumOptimizer
from privacy.clipping.rules import Clipping, ClippingRule
from privacy.sampling import refuse_loader

Private = tuple[nn.Module, ClippedSumOptimizer, DPDataLoader]
"""The module itself, not wrapped; its optimizer, which has the clipping engine as `engine`; its Poisson loader."""


class BookKeepingPrivacyEngine(PrivacyEngine):  # type: ignore[misc]  # opacus has no types
    """Trains with `optimizer.engine`: losses inside its `recording(n)`, then its `backward(losses)`, then a step.

    Also with Opacus' BatchMemoryManager, for micro-batches.
    """

    def make_private(  # type: ignore[no-untyped-def]  # further arguments are Opacus'
        self,
        *,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        data_loader: DataLoader[Any],
        noise_multiplier: float,
        max_grad_norm: float,
        clipping: Clipping | ClippingRule = "flat",
        engine: EngineName = "book-keeping",
        noise_generator: torch.Generator | None = None,
        **others,
    ) -> Private:
        """Make the three private.

        Args:
            module: the model, in the state (frozen layers, adapters) it will be trained in.
            optimizer: over the parameters that are trained.
            data_loader: its batch size over its number of batches is what Poisson sampling keeps, on average.
            noise_multiplier: see ClippedSumOptimizer.
            max_grad_norm: see ClippingEngine.
            clipping: see ClippingEngine.
            engine: which clipping engine.
            noise_generator: of the noise; not in secure mode.
            others: arguments of Opacus' method; refused where they would ask for something else than is done here.

        Raises:
            ClippingError: the model, its optimizer or the loader cannot be made private.
        """
        _refuse(others)
        if noise_generator is not None and self.secure_mode:
            raise ClippingError("noise_generator is given, but in secure mode noise comes from the operating system")
        _check_loader(data_loader)
        clipped = ClippedSumOptimizer(
            getattr(optimizer, "original_optimizer", optimizer),
            engine=make_engine(engine, module, max_grad_norm=max_grad_norm, clipping=clipping),
            noise_multiplier=noise_multiplier,
            expected_batch_size=float(data_loader.batch_size or 1),
            generator=self.secure_rng if self.secure_mode else noise_generator,
            secure_mode=self.secure_mode,
        )
        loader = self._poisson(data_loader)
        clipped.attach_step_hook(self.accountant.get_optimizer_hook_fn(sample_rate=loader.sample_rate))
        return module, clipped, loader

    def make_private_with_epsilon(  # type: ignore[no-untyped-def]  # further arguments are Opacus'
        self, *, data_loader: DataLoader[Any], target_epsilon: float, target_delta: float, epochs: int, **others
    ) -> Private:
        """make_private with the noise that leaves (target_epsilon, target_delta) after `epochs` of the loader."""
        if len(self.accountant) > 0:
            raise ClippingError(
                "the accountant has steps in it already, which the target would not count; make a new engine"
            )
        noise = get_noise_multiplier(
            target_epsilon=target_epsilon,
            target_delta=target_delta,
            sample_rate=1 / len(data_loader),
            steps=epochs * len(data_loader),  # Opacus takes int(epochs / rate), which can be one less
            accountant=self.accountant.mechanism(),
        )
        return self.make_private(data_loader=data_loader, noise_multiplier=noise, **others)

    def _poisson(self, data_loader: DataLoader[Any]) -> DPDataLoader:
        loader = self._prepare_data_loader(data_loader, poisson_sampling=True, distributed=False)
        loader.batch_sampler.steps = len(data_loader)
        collate = loader.collate_fn  # learns the structure of an empty batch from the first one that is not
        collate([data_loader.dataset[0]])
        refuse_loader(loader)
        return loader


_ACCEPTED = {
    "batch_first": True,
    "loss_reduction": "mean",
    "poisson_sampling": True,
    "rand_on_empty": False,
    "wrap_model": True,
}
"""Arguments of Opacus' method that mean what is done here."""


def _refuse(others: dict[str, Any]) -> None:
    for name, value in others.items():
        if name in {"criterion", "grad_sample_mode"}:
            raise ClippingError(f"{name} has no meaning here: losses are given to optimizer.engine.backward per sample")
        if name not in _ACCEPTED or value != _ACCEPTED[name]:
            raise ClippingError(f"{name}={value!r} is not supported with clipping engines; leave it out")


def _check_loader(data_loader: DataLoader[Any]) -> None:
    """Raise ClippingError where Poisson sampling would not be what the loader's owner asked for."""
    batches = data_loader.batch_sampler
    if type(batches) is not BatchSampler or type(batches.sampler) not in {RandomSampler, SequentialSampler}:
        sampler = type(getattr(batches, "sampler", batches)).__name__
        raise ClippingError(
            f"the loader draws records with a {sampler}, but the guarantee holds for Poisson sampling at one rate for "
            "all; give a plain DataLoader(dataset, batch_size=...)"
        )
    if data_loader.drop_last:
        raise ClippingError("the loader has drop_last set, which Poisson sampling does not; leave it out")
