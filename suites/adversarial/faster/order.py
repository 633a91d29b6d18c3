"""The order of an attack's constraints: cheap ones first, where that changes nothing but the time.

A candidate survives when every constraint lets it, so two constraints may change places if each looks at a candidate
and the reference alone. Those here do, and only sentence encoders leave something on a candidate (`similarity_score`),
which they then leave on the survivors, as stock. Constraints that are not known stay in their place, and others do not
pass them: some choose among the candidates that are left (Google's language model). A candidate on which a constraint
crashes may be refused before by another that stock asks later.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

COSTS = {
    "textattack.constraints.overlap.levenshtein_edit_distance.LevenshteinEditDistance": 0,
    "textattack.constraints.overlap.max_words_perturbed.MaxWordsPerturbed": 0,
    "textattack.constraints.semantics.word_embedding_distance.WordEmbeddingDistance": 1,
    "textattack.constraints.grammaticality.part_of_speech.PartOfSpeech": 2,
    "suites.adversarial.recipes.components.ResourcePartOfSpeech": 2,
}
"""Ranks of constraints by class."""
ENCODER = 3
"""The rank of sentence encoders."""


def cheap_first(constraints: Sequence[Any], rank: Callable[[Any], int | None]) -> list[Any]:
    """The constraints in rising rank between those of rank None; of equal rank in their order.

    Of two encoders the last one's score stays on the candidate, so their order is kept.
    """
    ordered: list[Any] = []
    for known, group in itertools.groupby(constraints, key=lambda constraint: rank(constraint) is not None):
        members = list(group)
        ordered += sorted(members, key=lambda constraint: rank(constraint) or 0) if known else members
    return ordered
