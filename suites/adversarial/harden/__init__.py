"""Hardening: a classifier trained on adversarial texts, and what that bought and cost by paired rows."""

from suites.adversarial.harden.run import HardeningResult, run_hardening
from suites.adversarial.harden.spec import HardenSpec, load_harden_spec

__all__ = ["HardenSpec", "HardeningResult", "load_harden_spec", "run_hardening"]
