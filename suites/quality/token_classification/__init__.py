"""Models that give each word of a text a tag, such as taggers of named entities."""

from suites.quality.token_classification.probe import TokenClassification as TokenClassification
