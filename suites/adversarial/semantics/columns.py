"""The columns that say how far a perturbed text is from the original."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from harness.api.columns import column
from harness.api.probe import ProbeRow


class SemanticColumns(ProbeRow):
    """Measures of one (original, perturbed) pair; empty where not taken, and all of them without a perturbed text.

    Similarities are the cosine and 1 - angle / pi of sentence vectors; grammar errors are counted in each text;
    perplexity is each text's own, exp(-sum log p / tokens). `semantics_source` (JSON object by measure) says what
    measured, and `semantics_missing` (JSON object by measure) why a measure that was asked for is empty.
    """

    similarity: Series[float] = column("cosine of the sentence vectors before and after", ge=-1, le=1, nullable=True)
    angular_similarity: Series[float] = column("1 - angle / pi of the sentence vectors", ge=0, le=1, nullable=True)
    grammar_errors_before: Series[pd.Int64Dtype] = column(
        "grammar errors in the original", "errors", ge=0, nullable=True
    )
    grammar_errors_after: Series[pd.Int64Dtype] = column(
        "grammar errors in the perturbed text", "errors", ge=0, nullable=True
    )
    perplexity_before: Series[float] = column("perplexity of the original, per token", ge=1, nullable=True)
    perplexity_after: Series[float] = column("perplexity of the perturbed text, per token", ge=1, nullable=True)
    semantics_source: Series[str] = column("JSON object: measure -> what measured it", nullable=True)
    semantics_missing: Series[str] = column("JSON object: measure -> why it is empty", nullable=True)


SEMANTIC_COLUMNS: tuple[str, ...] = (
    *("similarity", "angular_similarity", "grammar_errors_before", "grammar_errors_after"),
    *("perplexity_before", "perplexity_after", "semantics_source", "semantics_missing"),
)
"""Names of the columns, in order."""
