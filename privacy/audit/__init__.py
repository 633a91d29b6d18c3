"""Whether a claimed epsilon survives an attack: lower bounds from guesses about canaries whose coins are known."""

from __future__ import annotations

from privacy.audit.guesses import Guesses, guess
from privacy.audit.independent import audit_independent
from privacy.audit.one_run import audit_one_run, ceiling
from privacy.audit.result import Audited, Bound, alarm
from privacy.audit.roc import true_positive_ceiling

__all__ = [
    "Audited",
    "Bound",
    "Guesses",
    "alarm",
    "audit_independent",
    "audit_one_run",
    "ceiling",
    "guess",
    "true_positive_ceiling",
]
