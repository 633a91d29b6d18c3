"""Where there is nothing to share out, or nobody to share it with."""

from __future__ import annotations

from harness.errors import UsageError
from privacy.training.settings.privacy_spec import PrivacySpec


def check_sharding(privacy: PrivacySpec, processes: int) -> None:
    """Raise UsageError where sharding is asked of a run of one process."""
    if privacy.sharding != "none" and processes == 1:
        raise UsageError(
            f"privacy.sharding: {privacy.sharding} shares out over several processes, and this run has one; start it "
            "by torchrun --nproc-per-node 2 --no-python assay train SPEC, or leave sharding out"
        )
