from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from scipy.stats import chisquare

from harness.api.scorer import TextRequest
from suites.adversarial.safer.smoothing import smoothed
from suites.adversarial.safer.synonym_sets import GroupSynonyms
from suites.adversarial.safer.word_shapes import shape_of, shaped

SETS = GroupSynonyms(
    [["good", "fine"], ["fine", "nice"], ["nice", "lovely"], ["film", "movie", "o'pus"], ["a", "the", "one"]], 3
)
TEXT = "A GOOD film, they said: The Movie's film-like, McFilm; nice!"


def versions(text: str, n: int = 200, seed: int = 0) -> list[str]:
    found = smoothed({"text": text}, ["text"], SETS)
    return [request.text for request in found.versions(n, np.random.default_rng(seed))]


def test_words_are_drawn_in_their_case_and_all_else_stays() -> None:
    found = smoothed({"text": TEXT}, ["text"], SETS)
    assert [TEXT[place.start : place.end] for place in found.places] == ["GOOD", "film", "The", "film", "nice"]
    assert found.places[0].words == ("GOOD", "FINE", "NICE")
    assert found.places[1].words == ("film", "movie", "o'pus")
    assert set(found.places[2].words) == {"The", "One"}
    assert found.words == 11
    for text in versions(TEXT):
        assert text.startswith("A ")
        assert text.endswith("!")
        assert ", they said: " in text
        assert " Movie's " in text
        assert "-like, McFilm; " in text


def test_versions_are_uniform_over_the_product_of_the_sets() -> None:
    found = smoothed({"text": "Good film"}, ["text"], SETS)
    every = [" ".join(words) for words in itertools.product(*(place.words for place in found.places))]
    counts = Counter(versions("Good film", 9000))
    assert set(counts) == set(every)
    assert len(every) == 9
    assert chisquare([counts[text] for text in every]).pvalue > 1e-3


def test_a_text_with_synonyms_put_for_words_is_smoothed_in_the_same_places() -> None:
    """What the theorem needs: x' has the set P_x' in the case of x, and no other word is touched."""
    before = smoothed({"text": TEXT}, ["text"], SETS)
    choices = []
    for place in before.places:
        word = TEXT[place.start : place.end]
        shape = shape_of(word)
        assert shape is not None
        choices.append([word, *(shaped(other, shape) for other in SETS.synonyms(word.lower()))])
    seen = 0
    for chosen in itertools.product(*choices):
        text, moved = TEXT, 0
        for place, word in zip(before.places, chosen, strict=True):
            text = text[: place.start + moved] + word + text[place.end + moved :]
            moved += len(word) - (place.end - place.start)
        after = smoothed({"text": text}, ["text"], SETS)
        assert [text[place.start : place.end] for place in after.places] == list(chosen)
        assert after.words == before.words
        for word, place in zip(chosen, after.places, strict=True):
            shape = shape_of(word)
            assert shape is not None
            assert place.words == tuple(shaped(each, shape) for each in SETS.substitutes(word.lower()))
        seen += 1
    assert seen == 2 * 3 * 2 * 3 * 3


def test_only_the_chosen_part_of_a_pair_is_drawn() -> None:
    texts = {"text": "good film", "pair": "nice film"}
    for parts, changing in ((["text"], (True, False)), (["pair"], (False, True)), (["text", "pair"], (True, True))):
        drawn = smoothed(texts, parts, SETS).versions(50, np.random.default_rng(0))
        assert all(isinstance(request, TextRequest) for request in drawn)
        assert (len({r.text for r in drawn}) > 1, len({r.pair for r in drawn}) > 1) == changing
        both = {"text", "pair"} == set(parts)
        assert len({(r.text, r.pair) for r in drawn}) > (9 if both else 1)


def test_texts_without_such_words_have_no_places() -> None:
    for text in ("", "42 %", "A tree", "McFilm"):
        assert smoothed({"text": text}, ["text"], SETS).places == ()
