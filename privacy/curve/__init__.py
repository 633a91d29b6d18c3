"""The learning curve: how good a model gets by how many records it is fine-tuned on."""

from privacy.curve.cells import Curve, make_curve
from privacy.curve.measure import LearningCurve, measure
from privacy.curve.rows import read_curve
from privacy.curve.run import CurveResult, run_curve

__all__ = ["Curve", "CurveResult", "LearningCurve", "make_curve", "measure", "read_curve", "run_curve"]
