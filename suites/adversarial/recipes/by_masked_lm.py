"""Recipes whose substitutes a masked language model proposes in context."""

from __future__ import annotations

from typing import Any

from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.recipes.pieces import assembled, repeat_and_stop_words, same_part_of_speech, similar_sentence
from suites.adversarial.recipes.recipe import Recipe

CANDIDATES = 8
"""Of BERT-Attack, for each word: TextAttack's number. The paper's 48 takes hours for a word of several sub-words."""
BAE_COSINE = 0.936338023
"""1 - 0.2 / pi, TextAttack's reading of the paper's 0.8 under TextFooler's missing pi."""
_FLUENT = (
    "whether a reader would still see the true class: a masked language model proposes what fits the place, which may "
    "mean the opposite; a failed attack is no proof of robustness"
)
_ENCODER = (
    "Substituted: MiniLM for the Universal Sentence Encoder, under the threshold set for that one; masked LM and other "
    "resources as they say."
)


def bert_attack(parts: Parts, goal: Goal) -> Any:
    """BERTAttackLi2020."""
    transformation = _swap(parts, "masked-lm", method="bert-attack", max_candidates=CANDIDATES)
    constraints = [
        *repeat_and_stop_words(parts),
        parts.textattack.constraints.overlap.MaxWordsPerturbed(max_percent=0.4),
        similar_sentence(parts, 0.2, "cosine", compare_against_original=True),
    ]
    search = parts.textattack.search_methods.GreedyWordSwapWIR(wir_method="unk")
    return assembled(parts, goal, transformation, constraints, search)


def bae(parts: Parts, goal: Goal) -> Any:
    """BAEGarg2019."""
    transformation = _swap(parts, "masked-lm", method="bae", max_candidates=50, min_confidence=0.0)
    constraints = [
        *repeat_and_stop_words(parts),
        same_part_of_speech(parts),
        similar_sentence(
            parts,
            BAE_COSINE,
            "cosine",
            compare_against_original=True,
            window_size=15,
            skip_text_shorter_than_window=True,
        ),
    ]
    search = parts.textattack.search_methods.GreedyWordSwapWIR(wir_method="delete")
    return assembled(parts, goal, transformation, constraints, search)


def clare(parts: Parts, goal: Goal) -> Any:
    """CLARE2020."""
    from suites.adversarial.recipes.components import ResourceWordMerge

    kinds, lm = parts.textattack.transformations, _lm(parts, "masked-lm-clare")
    transformation = kinds.CompositeTransformation(
        [
            _swap(parts, "masked-lm-clare", method="bae", max_candidates=50, min_confidence=5e-4),
            kinds.WordInsertionMaskedLM(max_candidates=50, min_confidence=0.0, **lm),
            ResourceWordMerge(parts.tagger(), max_candidates=50, min_confidence=5e-3, **lm),
        ]
    )
    constraints = [
        *repeat_and_stop_words(parts),
        similar_sentence(
            parts, 0.7, "cosine", compare_against_original=True, window_size=15, skip_text_shorter_than_window=True
        ),
    ]
    return assembled(parts, goal, transformation, constraints, parts.textattack.search_methods.GreedySearch())


def _swap(parts: Parts, resource: str, **settings: Any) -> Any:
    return parts.textattack.transformations.WordSwapMaskedLM(**settings, **_lm(parts, resource))


def _lm(parts: Parts, resource: str) -> dict[str, Any]:
    found = parts.masked_lm(resource)
    return {"masked_language_model": found.model, "tokenizer": found.tokenizer, "max_length": found.max_tokens}


RECIPES = (
    Recipe(
        "bert_attack",
        "1",
        bert_attack,
        "Swaps words, most important first, for what a masked LM reads in their place without masking them",
        "Li, Ma, Guo, Xue & Qiu 2020, BERT-ATTACK: Adversarial Attack Against BERT Using BERT (arXiv:2004.09984)",
        f"As BERTAttackLi2020 of TextAttack: {CANDIDATES} candidates for each word (48 in the paper); words are "
        "ranked with [UNK] (the paper masks them); combinations of sub-words in the order of enumeration (by "
        "perplexity in the paper); at most 40% of the words; cosine of sentences at least 0.2 for every data set; no "
        "filter of antonyms. " + _ENCODER,
        _FLUENT,
        ("masked-lm", "sentence-encoder"),
    ),
    Recipe(
        "bae",
        "1",
        bae,
        "Swaps words, most important first, for what a masked LM predicts when they are masked (BAE-R)",
        "Garg & Ramakrishnan 2020, BAE: BERT-based Adversarial Examples for Text Classification (arXiv:2004.01970)",
        "As BAEGarg2019 of TextAttack: replacement only, not insertion; 50 candidates, of which the paper drops those "
        "that are no words of GloVe; cosine of sentences at least 0.936 in a window of 15 words (0.8 in the paper, "
        "which shares TextFooler's code), against the original text (the authors: the step before), shorter texts "
        "unchecked; "
        "verbs and nouns may change places. " + _ENCODER,
        _FLUENT,
        ("masked-lm", "pos-tagger", "sentence-encoder"),
    ),
    Recipe(
        "clare",
        "1",
        clare,
        "Replaces, inserts and merges words as a masked LM proposes, the best of all at each step",
        "Li et al. 2020, Contextualized Perturbation for Textual Adversarial Attack (arXiv:2009.07502)",
        "As CLARE2020 of TextAttack: each step asks the victim for every candidate (the paper ranks them first); "
        "cosine of sentences at least 0.7 in a window of 15 words, shorter texts unchecked; the rule on stop words "
        "does not hold, since TextAttack applies it to swaps alone; which words may be merged is said by the POS "
        "tagger of the resources instead of flair's. Single texts only: a merge may join a pair's two "
        "texts. " + _ENCODER,
        _FLUENT,
        ("masked-lm-clare", "pos-tagger", "sentence-encoder"),
        pairs=False,
    ),
)
