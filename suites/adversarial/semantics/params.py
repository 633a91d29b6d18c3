"""Which measures of semantics are taken, and the thresholds that a perturbed text must keep to count as valid."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from harness.api.probe import ProbeParams

Measure = Literal["similarity", "grammar", "perplexity"]
Similarity = Literal["cosine", "angular"]

HUMAN_SIMILARITY = 0.98
"""Cosine of Universal Sentence Encoder vectors at which people saw meaning kept (Morris et al. 2020, appendix)."""
_THRESHOLD: dict[Measure, str] = {
    "similarity": "min_similarity",
    "grammar": "max_new_grammar_errors",
    "perplexity": "max_perplexity_ratio",
}


class SemanticsParams(ProbeParams):
    """Settings; thresholds are those of Morris et al. 2020 (arXiv:2004.14174), who set none on perplexity.

    Theirs are for another encoder, on windows of 15 words, and for LanguageTool; here whole texts are compared.
    """

    measures: tuple[Measure, ...] = Field(
        default=("similarity", "grammar", "perplexity"), description="what is measured; a lacking resource is reported"
    )
    similarity: Similarity = Field(default="cosine", description="which similarity min_similarity is about")
    min_similarity: float | None = Field(
        default=HUMAN_SIMILARITY, ge=-1, le=1, description="least similarity of a valid perturbed text; None: any"
    )
    max_new_grammar_errors: int | None = Field(
        default=0, ge=0, description="most grammar errors that a valid perturbed text adds; None: any number"
    )
    max_perplexity_ratio: float | None = Field(
        default=None, gt=0, description="most perplexity of a valid perturbed text over the original's; None: any"
    )
    sentence_encoder: str | None = Field(default=None, description="path of a sentence encoder; None: find one")
    grammar_tagger: str | None = Field(default=None, description="path of LanguageTool or a tagger; None: find one")
    causal_lm: str | None = Field(default=None, description="path of a causal language model; None: find one")

    @model_validator(mode="after")
    def _thresholds_are_measured(self) -> Self:
        for measure, name in _THRESHOLD.items():
            limit = getattr(self, name)
            asked = limit is not None and limit != type(self).model_fields[name].default
            if asked and measure not in self.measures:
                raise ValueError(f"{name} needs {measure!r} among measures, which holds {list(self.measures)}; add it")
        return self

    def limit(self, measure: Measure) -> float | None:
        """The threshold of a measure, where it is taken and set."""
        return getattr(self, _THRESHOLD[measure]) if measure in self.measures else None

    def path(self, measure: Measure) -> str | None:
        """The user's own path of what takes the measure."""
        paths = {"similarity": self.sentence_encoder, "grammar": self.grammar_tagger, "perplexity": self.causal_lm}
        return paths[measure]
