"""Models that answer a question with a span of a given text, as SQuAD asks."""

from suites.quality.extractive_qa.probe import ExtractiveQA as ExtractiveQA
