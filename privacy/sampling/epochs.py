"""What samplers share that put each record in one step of each epoch."""

from __future__ import annotations

from dataclasses import dataclass

from privacy.sampling.sampling import check_batch, check_counts, check_steps


@dataclass(frozen=True, slots=True)
class EpochBatches:
    """Sizes of a run in epochs. Raises SamplingError for a count below 1, and for a batch larger than the data."""

    records: int
    batch_size: int
    epochs: int

    def __post_init__(self) -> None:
        check_counts(records=self.records, batch_size=self.batch_size, epochs=self.epochs)
        check_batch(self.batch_size, self.records)

    @property
    def expected_batch_size(self) -> int:
        """See Sampling; a step may hold fewer records, where it does not divide them, and is divided by as much."""
        return self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, a short last one included."""
        return -(-self.records // self.batch_size)

    @property
    def steps(self) -> int:
        """See Sampling."""
        return self.epochs * self.steps_per_epoch

    def epochs_begun(self, steps: int | None) -> int:
        """Epochs that `steps` steps reach into; None: all that are planned."""
        spent = self.steps if steps is None else check_steps(steps, self.steps)
        return -(-spent // self.steps_per_epoch)
