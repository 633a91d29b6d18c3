"""Models that give a text or pair a number."""

from suites.quality.regression.probe import Regression as Regression
