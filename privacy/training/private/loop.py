"""Steps with a guarantee: per-sample clipping, one noisy sum per logical batch, a ledger line before each noise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch

from harness.api.progress import OnStep
from harness.errors import AuditError, UsageError
from harness.scorer.forward.memory import is_out_of_memory
from privacy.clipping import Adaptive, ClippingEngine, make_engine
from privacy.noise import BandedNoise, GeneratorNoise, NoiseSource, SecureNoise, SecureUniforms
from privacy.sampling import LogicalBatches, Shard, Uniforms, fresh_generator, fresh_torch_generator, micro_batches
from privacy.training.data.batches import MicroBatch
from privacy.training.models.averaging import WeightAverage
from privacy.training.models.quantization import frozen_weights
from privacy.training.plain.loop import Schedule, make_optimizer
from privacy.training.private.guarantee import Guarantee
from privacy.training.private.ranks import Ranks
from privacy.training.private.session import Session
from privacy.training.private.sharding import StateShardedOptimizer
from privacy.training.private.shared_step import SharedOptimizer
from privacy.training.records.progress import StepTotals
from privacy.training.work import Work

_SHOWN_STEPS = 20
"""Steps that the loss shown while training is averaged over."""
_SAVES = 10
"""Saved states of a run, at least."""
_CHECKED = 2
"""Records that tell whether an engine tells records apart."""


def save_interval(asked: int, planned: int) -> int:
    """Steps between two saved states: at most a tenth of the run, which is all that a crash may cost."""
    return max(1, min(asked, planned // _SAVES))


def check_lost(lost: int, planned: int, spent: int) -> None:
    """Raises UsageError when crashes took most of a run: what the rest can teach is not worth the budget of all."""
    if 2 * lost > planned:
        raise UsageError(
            f"{lost} of the {planned} noisy steps of this run were lost in crashes and their budget is spent; the "
            f"{planned - spent} that are left make no model worth its epsilon, so nothing more is spent: start anew "
            "with --replace, which moves this run aside and names it in the claim"
        )


def _cannot_clip(engine: str, model: torch.nn.Module, error: Exception) -> UsageError:
    """What a model's own code says when an engine's hooks meet it, as one sentence."""
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    way_out = "take privacy.engine: one-sample" if engine != "one-sample" else "start from a model of another kind"
    said = " ".join(str(error).split("\n")[0].split(". ")[0].split())
    return UsageError(f"a model of the kind {kind} cannot be trained with privacy.engine {engine} ({said}); {way_out}")


class PrivateTraining:
    """One run, from the step its ledger has come to."""

    def __init__(self, work: Work, guarantee: Guarantee, session: Session, ranks: Ranks) -> None:
        """Prepare model and optimizer; take up the state the session has saved."""
        privacy = guarantee.spec
        self._work, self._guarantee, self._session, self._ranks = work, guarantee, session, ranks
        self._engine: ClippingEngine = make_engine(
            privacy.engine, work.model, max_grad_norm=privacy.max_grad_norm, clipping=privacy.clipping
        )
        self._shards = privacy.sharding == "state" and ranks.world > 1  # a plan is made in one process
        kind = StateShardedOptimizer if self._shards else SharedOptimizer
        self._optimizer = kind(
            make_optimizer(work.model, work.spec),
            ranks=ranks,
            engine=self._engine,
            noise_multiplier=guarantee.noise_multiplier,
            expected_batch_size=work.spec.batch_size,
            generator=fresh_torch_generator(work.device),
            noise=self._noise_source(),
        )
        self._coins: Uniforms = SecureUniforms() if privacy.secure else fresh_generator()
        self._unchecked = True
        self._releasing = False
        """Between spending a step and having taken it: the model is at no border."""
        self._micro = 1 if privacy.engine == "one-sample" else work.spec.micro_batch
        self._average = WeightAverage(work.spec.averaging, guarantee.sampling.steps)
        self.progress = session.restore(self._engine, self._optimizer, self._average)
        check_lost(session.resumed_at - len(self.progress.steps), guarantee.sampling.steps, session.resumed_at)
        if ranks.world > 1:
            ranks.check_same(chain(frozen_weights(work.model), self._engine.trained.items()))
        bad = self._no_numbers()
        if bad is not None:
            raise AuditError(
                f"the weights of {bad} are no numbers before a step is taken, so nothing is spent on them; start from "
                "another checkpoint, or anew with --replace where a run had begun"
            )

    def _noise_source(self) -> NoiseSource | None:
        """None: independent noise of the optimizer's generator."""
        if self._guarantee.bands is not None:
            return BandedNoise(self._guarantee.bands, GeneratorNoise(fresh_torch_generator(self._work.device)))
        if not self._guarantee.spec.secure:
            return None
        rule, multiplier = self._engine.rule, self._guarantee.noise_multiplier
        share = rule.gradient_noise(multiplier) if isinstance(rule, Adaptive) else multiplier
        return SecureNoise(sum(value.numel() for value in self._engine.trained.values()), share)

    def run(self, on_step: OnStep) -> None:
        """All steps that the ledger does not have yet. Ctrl-C between two steps loses none of them."""
        try:
            self._run(on_step)
        except KeyboardInterrupt:
            if not (self._releasing or self._shards):  # the others may be in another step, and all save together
                self._save()
            raise
        finally:
            self._engine.close()
        self._average.put(self._optimizer.own())
        self._optimizer.share_weights()
        self._check_weights(self._guarantee.sampling.steps)

    def rehearse(self, drawn: Sequence[int]) -> None:
        """Clip and add up the gradients of `drawn`, and forget the sums: nothing is released or spent."""
        self._work.model.train()
        self._sum(0, drawn)
        self._optimizer.zero_grad(set_to_none=True)

    def rehearse_noise(self) -> None:
        """One step of noise alone, which no record is in; for a session that keeps no ledger."""
        self._release(0, self._sum(0, []))

    def close(self) -> None:
        """Let go of the model after a rehearsal."""
        self._engine.close()

    def _run(self, on_step: OnStep) -> None:
        sampling = self._guarantee.sampling
        every = save_interval(self._guarantee.spec.save_every, sampling.steps)
        schedule = Schedule.of(self._work.spec, sampling.steps)
        shard = Shard(self._ranks.rank, self._ranks.world)
        self._work.model.train()
        if self._session.resumed_at < sampling.steps:
            self._save()  # where a state cannot be saved no step may be spent
        for step, drawn in LogicalBatches(sampling, shard=shard, start=self._session.resumed_at, generator=self._coins):
            for group in self._optimizer.param_groups:
                group["lr"] = self._work.spec.learning_rate * schedule.factor(step)
            self._release(step, self._sum(step, drawn))
            self._average.add(step, self._optimizer.own())
            if (step + 1) % every == 0 or step + 1 == sampling.steps:
                self._check_weights(step + 1)  # what is no number stays none, and would spend the rest for nothing
                self._save()
            on_step(step + 1, sampling.steps, self.progress.recent_loss(_SHOWN_STEPS))

    def _sum(self, step: int, drawn: Sequence[int]) -> StepTotals:
        """Add the clipped gradients of the records drawn; nothing is released yet."""
        self._optimizer.zero_grad(set_to_none=True)
        totals = StepTotals(step, self._optimizer.param_groups[0]["lr"], self._engine.rule.max_grad_norm)
        for part in self._parts(drawn):
            self._add(part, totals)
        if not drawn:  # a step of noise alone
            with self._engine.recording(0):
                self._engine.backward(torch.zeros(0, device=self._work.device))
        return totals

    def _add(self, part: Sequence[int], totals: StepTotals) -> None:
        batch = self._batch(part)
        try:
            with self._engine.recording(len(part)):
                losses = self._work.objective.losses(self._engine.model, batch)
            clipped = self._engine.backward(losses)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            if (isinstance(error, RuntimeError) and is_out_of_memory(error)) or self.progress.steps:
                raise
            raise _cannot_clip(self._guarantee.spec.engine, self._work.model, error) from error
        totals.add(losses, clipped)

    def _parts(self, drawn: Sequence[int]) -> list[list[int]]:
        """Micro-batches. The first of a run is small: the engine checks itself on it, which takes more memory."""
        parts = micro_batches(drawn, self._work.encoded.lengths, self._micro)
        if self._unchecked and parts:
            self._unchecked = False
            parts = [part for part in (parts[0][:_CHECKED], parts[0][_CHECKED:], *parts[1:]) if part]
        return parts

    def _batch(self, part: Sequence[int]) -> MicroBatch:
        records = [self._work.encoded.records[index] for index in part]
        batch = self._work.collator.micro_batch(records, self._work.length)
        return {name: value.to(self._work.device) for name, value in batch.items()}

    def _release(self, step: int, totals: StepTotals) -> None:
        """Spend, then draw the noise: a crash in between wastes a step, the other order could hide one."""
        self._releasing = True
        self._session.spend(step)
        self._optimizer.totals = totals.to_tensor()
        self._optimizer.step()
        totals.from_tensor(self._optimizer.totals)
        self.progress.add(totals)
        self._releasing = False

    def _save(self) -> None:
        self._session.save(self._engine, self._optimizer, self.progress, self._average)

    def _check_weights(self, done: int) -> None:
        """Raises AuditError, in all processes, as all hold the same weights."""
        bad = self._no_numbers()
        if bad is not None:
            raise AuditError(
                f"the weights of {bad} are no numbers after step {done}, so no further step is taken and nothing is "
                f"written; lower learning_rate (now {self._work.spec.learning_rate:g}); the budget of the steps taken "
                "is spent"
            )

    def _no_numbers(self) -> str | None:
        """A trained parameter that is not finite throughout; the host waits for the device once."""
        finite = {name: value.isfinite().all() for name, value in self._engine.trained.items()}
        if not finite or bool(torch.stack(list(finite.values())).all()):
            return None
        return next(name for name, value in finite.items() if not value)
