"""What a training would spend, take and claim, said before it is started: `assay train --plan`."""

from privacy.planning.plan import TrainPlan, plan_training
from privacy.planning.words import plan_text, planned

__all__ = ["TrainPlan", "plan_text", "plan_training", "planned"]
