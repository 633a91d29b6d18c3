"""The search spaces and search methods of Yoo et al. 2020 (arXiv:2009.06368), and what they published of MR and BERT.

Spaces as in the recipes of QData/TextAttack-Search-Benchmark ("strict"), with what stands in for what cannot be had:
the angle between mean GloVe vectors for that between vectors of the Universal Sentence Encoder (MiniLM would read a
hundred texts for each that the victim reads), GloVe 50d for counter-fitted PARAGRAM vectors and nothing for BERTScore,
a perceptron tagger for flair's. The thresholds are set on sentences that are not reported, so that greedy's success and
the number of candidates come near the paper's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suites.adversarial.recipes import Goal, Parts
from suites.adversarial.recipes.parts import word_vectors
from suites.adversarial.recipes.pieces import (
    assembled,
    close_word,
    neighbours,
    repeat_and_stop_words,
    same_part_of_speech,
    wordnet_synonyms,
)
from suites.adversarial.resources.finding import find

DELETE = "WIR delete"
RANKING = {"WIR delete", "WIR unk", "WIR saliency"}
"""Methods that ask about every word of the text first; TextAttack 0.3.11 leaves out those that may not change."""
GRADIENT = "WIR gradient"
SLOW = ("genetic", "PSO")


@dataclass(frozen=True, slots=True)
class Published:
    """One method in one space, BERT, 500 sentences of MR.

    `success` (share) and `queries` are Table 3's. The latter are means over all attacked sentences, of queries until
    the text that was returned was scored, as the release of September 2020 counts. `per_success`, the same over
    successes alone, is from the authors' result files (commit 6cde19f); for the gradient two queries more than those,
    as in the table.
    """

    success: float
    queries: float
    per_success: float


@dataclass(frozen=True, slots=True)
class Space:
    """Word swaps under constraints; `candidates` per text in the authors' runs (saliency's queries less unk's)."""

    name: str
    threshold: float
    constraint: str
    candidates: float
    published: dict[str, Published]
    parts: Callable[[Parts], tuple[Any, list[Any]]]


def build(space: Space, method: str, parts: Parts, goal: Goal) -> Any:
    """A textattack.Attack by this method in this space; the gradient needs a GradientVictim."""
    from suites.adversarial.recipes.components import textfooler_stop_words

    transformation, constraints = space.parts(parts)
    stop_words = parts.once("textfooler stop words", lambda: textfooler_stop_words(parts.embedding()))
    rules = [*repeat_and_stop_words(parts, stop_words), *constraints]
    rules.append(same_part_of_speech(parts, allow_verb_noun_swap=False))
    attack = assembled(parts, goal, transformation, rules, _searches(parts)[method]())
    _note_credited(attack.search_method)
    return attack


def _note_credited(search: Any) -> None:
    """Keep in `credited` the queries until the returned text was scored, which TextAttack now overwrites."""
    perform = search.perform_search

    def noted(initial: Any) -> Any:
        result = perform(initial)
        search.credited = result.num_queries
        return result

    search.perform_search = noted


def _searches(parts: Parts) -> dict[str, Callable[[], Any]]:
    methods = parts.textattack.search_methods
    ranked = methods.GreedyWordSwapWIR
    return {
        "WIR random": lambda: ranked("random"),
        DELETE: lambda: ranked("delete"),
        "WIR unk": lambda: ranked("unk"),
        "WIR saliency": lambda: ranked("weighted-saliency"),
        GRADIENT: lambda: ranked("gradient"),
        "greedy": methods.GreedySearch,
        "beam of 8": lambda: methods.BeamSearch(beam_width=8),
        "genetic": lambda: methods.AlzantotGeneticAlgorithm(pop_size=60, max_iters=20),
        "PSO": lambda: methods.ParticleSwarmOptimization(pop_size=60, max_iters=20),
    }


WORDNET_ANGULAR = 0.9765
GLOVE_COSINE = 0.9


def _wordnet(parts: Parts) -> tuple[Any, list[Any]]:
    from suites.adversarial.recipes.components import ResourceSentenceEncoder

    similar = ResourceSentenceEncoder(
        average,
        WORDNET_ANGULAR,
        "angular",
        compare_against_original=False,
        window_size=15,
        skip_text_shorter_than_window=True,
    )
    similar.encoding_key = "average of word vectors"
    return wordnet_synonyms(parts), [similar]


def _glove(parts: Parts) -> tuple[Any, list[Any]]:
    return neighbours(parts, 50), [close_word(parts, min_cos_sim=GLOVE_COSINE)]


def average(texts: Sequence[str]) -> NDArray[np.float32]:
    """Mean GloVe vector of each text's words, [texts, 50]; words without a vector count for nothing."""
    vectors = word_vectors(find("word-vectors"))
    means = np.full((len(texts), vectors.matrix.shape[1]), 1e-6, np.float32)
    for row, text in zip(means, texts, strict=True):
        places = [vectors.index[word] for word in text.lower().split() if word in vectors.index]
        if places:
            row += vectors.matrix[places].mean(0)
    return means


WORDNET = Space(
    "WordNet",
    WORDNET_ANGULAR,
    "least angular similarity of windows of 15 words, by their mean GloVe vectors",
    31.3,
    {
        "WIR random": Published(0.534, 24.12, 23.99),
        DELETE: Published(0.540, 40.13, 37.98),
        "WIR unk": Published(0.556, 39.88, 37.80),
        "WIR saliency": Published(0.582, 71.18, 75.02),
        GRADIENT: Published(0.534, 24.03, 21.69),
        "greedy": Published(0.594, 69.17, 62.61),
        "beam of 8": Published(0.658, 303.27, 247.65),
        "genetic": Published(0.656, 1062.87, 826.10),
        "PSO": Published(0.654, 2077.66, 620.59),
    },
    _wordnet,
)
GLOVE = Space(
    "GloVe",
    GLOVE_COSINE,
    "least cosine of GloVe vectors",
    12.7,
    {
        "WIR random": Published(0.176, 11.53, 9.88),
        DELETE: Published(0.170, 28.52, 27.95),
        "WIR unk": Published(0.178, 28.43, 27.43),
        "WIR saliency": Published(0.210, 41.09, 43.53),
        GRADIENT: Published(0.198, 13.60, 11.36),
        "greedy": Published(0.206, 35.04, 26.45),
        "beam of 8": Published(0.218, 175.08, 114.84),
        "genetic": Published(0.218, 515.60, 322.32),
        "PSO": Published(0.218, 2412.88, 283.97),
    },
    _glove,
)
