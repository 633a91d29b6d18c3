"""A whole job in whichever process: a function of what can be pickled."""

from __future__ import annotations

from harness.api.job import Done, Job
from harness.api.permissions import NOTHING, Permissions
from harness.api.scorer import Counts
from harness.executors.bench import FromSources
from harness.executors.local import LocalExecutor


def run_job(job: Job, permissions: Permissions = NOTHING) -> Done:
    """All rows of the job, in any order, and the work they took.

    Raises UsageError where probe or checkpoint are not here as they were planned, NotApplicableError where the model
    turns out not to fit the probe.
    """
    parts = list(LocalExecutor(FromSources(permissions=permissions)).run(job))
    counts = sum((part.counts for part in parts), Counts())
    return Done([row for part in parts for row in part.rows], counts)
