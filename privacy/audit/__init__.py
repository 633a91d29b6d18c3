"""What an attack on one training run proves of its epsilon: lower bounds, and how high they could ever be."""

from privacy.audit.guesses import Guesses, best_guesses
from privacy.audit.independent import clopper_pearson_bound
from privacy.audit.one_run import LowerBound, ceiling, one_run_bound

__all__ = ["Guesses", "LowerBound", "best_guesses", "ceiling", "clopper_pearson_bound", "one_run_bound"]
