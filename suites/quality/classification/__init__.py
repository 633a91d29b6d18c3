"""Classifiers of texts and pairs: right or not, believable or not, on which texts, and on texts of another kind."""

from suites.quality.classification.out_of_distribution import OutOfDistribution as OutOfDistribution
from suites.quality.classification.probe import Classification as Classification
from suites.quality.classification.slices import Slices as Slices
