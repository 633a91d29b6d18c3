"""The noise of a step: independent, from the operating system, or correlated from step to step."""

from privacy.noise.banded import BandedNoise
from privacy.noise.secure import SecureNoise, SecureUniforms
from privacy.noise.source import GeneratorNoise, NoiseSource

__all__ = ["BandedNoise", "GeneratorNoise", "NoiseSource", "SecureNoise", "SecureUniforms"]
