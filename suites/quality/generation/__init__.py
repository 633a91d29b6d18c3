"""Language models that write: against references, and by what they write alone."""

from suites.quality.generation.probe import GenerationQuality as GenerationQuality
