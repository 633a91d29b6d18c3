"""A whole job in whichever process: a function of what can be pickled."""

from __future__ import annotations

from harness.api.job import Done, Job, add_counts
from harness.api.permissions import NOTHING, Permissions
from harness.api.scorer import Counts
from harness.executors.bench import FromSources
from harness.executors.local import LocalExecutor


def run_job(job: Job, permissions: Permissions = NOTHING) -> Done:
    """All rows of the job, in any order, and the work they took. `permissions` are the subject's alone.

    Raises UsageError where probe or checkpoint are not here as they were planned, NotApplicableError where the model
    turns out not to fit the probe.
    """
    parts = list(LocalExecutor(FromSources(permissions=permissions)).run(job))
    counts: dict[str, Counts] = {}
    for part in parts:
        counts = add_counts(counts, part.counts)
    return Done([row for part in parts for row in part.rows], counts)
