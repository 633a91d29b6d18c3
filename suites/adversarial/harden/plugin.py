"""What the command line `assay harden` runs; registered under the entry point group assay.harden."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.hardening import Watch

if TYPE_CHECKING:
    from suites.adversarial.harden.result import HardeningResult


class AdversarialHardening:
    """Hardening against the attack recipes."""

    def harden(self, spec: Path, watch: Watch, *, replace: bool) -> HardeningResult:
        """Harden as the spec file says."""
        from suites.adversarial.harden.run import run_hardening
        from suites.adversarial.harden.spec import load_harden_spec

        return run_hardening(load_harden_spec(spec), watch, replace=replace)


plugin = AdversarialHardening()
