"""Recipes against TextAttack's own of the same name, built of the same parts: same components, same settings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nltk.data
import pytest

from suites.adversarial.recipes import RECIPES, UNTARGETED
from suites.adversarial.resources.textattack_env import load_textattack, nltk_stop_words
from suites.adversarial.victims.gradients import gradient_swaps_allowed
from tests.suites.adversarial.nltk_tagger import put_tagger
from tests.suites.adversarial.recipes.ingredients import SENTENCES, STOP_WORDS, parts, victim

TWINS = {
    "textfooler": "TextFoolerJin2019",
    "iga": "IGAWang2019",
    "faster_genetic": "FasterGeneticAlgorithmJia2019",
    "bert_attack": "BERTAttackLi2020",
    "bae": "BAEGarg2019",
    "clare": "CLARE2020",
    "pwws": "PWWSRen2019",
    "pso": "PSOZang2020",
    "deepwordbug": "DeepWordBugGao2018",
    "textbugger": "TextBuggerLi2018",
    "pruthi": "Pruthi2019",
    "a2t": "A2TYoo2021",
    "hotflip": "HotFlipEbrahimi2017",
    "input_reduction": "InputReductionFeng2018",
    "checklist_inv": "CheckList2020",
}
STANDS_FOR = {
    "ResourceSentenceEncoder": "SentenceEncoder",
    "UniversalSentenceEncoder": "SentenceEncoder",
    "SBERT": "SentenceEncoder",
    "ResourcePartOfSpeech": "PartOfSpeech",
    "ResourceWordNetSwap": "WordSwapWordNet",
    "ResourceWordMerge": "WordMergeMaskedLM",
}
LEFT_OUT = {
    "faster_genetic": {"LearningToWriteLanguageModel"},
    "checklist_inv": {"WordSwapChangeName", "WordSwapChangeLocation"},
}
NOT_SETTINGS = {"encoding_key", "_tfhub_url", "model", "language", "max_length"}
"""Of the substitutes; and how long a text a masked LM reads, which the tiny one decides."""
Described = tuple[str, dict[str, Any]]


def described(component: Any) -> list[Described]:
    """The class and settings of a component, or of each of a composite's."""
    inner = getattr(component, "transformations", None)
    if inner is not None:
        return [one for part in inner for one in described(part)]
    name = type(component).__name__
    simple = (bool, int, float, str, tuple, list, set, type(None))
    settings = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in vars(component).items()
        if isinstance(value, simple) and key not in NOT_SETTINGS
    }
    return [(STANDS_FOR.get(name, name), settings)]


def shape(attack: Any) -> dict[str, list[Described]]:
    constraints = [*attack.pre_transformation_constraints, *attack.constraints]
    return {
        "constraints": [one for constraint in constraints for one in described(constraint)],
        "transformation": described(attack.transformation),
        "search": described(attack.search_method),
        "goal": described(attack.goal_function),
    }


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """TextAttack's recipes by our name, with what they would download handed to them."""
    textattack = load_textattack()
    lm = parts().masked_lm()
    as_model, as_tokenizer = (
        SimpleNamespace(from_pretrained=lambda *_, it=it, **__: it) for it in (lm.model, lm.tokenizer)
    )
    for family, module in (("swaps", "swap"), ("insertions", "insertion"), ("merges", "merge")):
        path = f"textattack.transformations.word_{family}.word_{module}_masked_lm"
        monkeypatch.setattr(f"{path}.AutoModelForMaskedLM", as_model)
        monkeypatch.setattr(f"{path}.AutoTokenizer", as_tokenizer)
    monkeypatch.setattr("transformers.AutoModelForCausalLM", as_model)
    monkeypatch.setattr("transformers.AutoTokenizer", as_tokenizer)
    kinds, encoders = textattack.transformations, textattack.constraints.semantics.sentence_encoders
    language_models = textattack.constraints.grammaticality.language_models
    monkeypatch.setattr(
        textattack.shared.WordEmbedding,
        "counterfitted_GLOVE_embedding",
        staticmethod(lambda: parts().embedding()),
    )
    monkeypatch.setattr(kinds.WordSwapHowNet, "__init__", lambda self: None)
    monkeypatch.setattr(kinds.WordSwapWordNet, "__init__", kinds.WordSwap.__init__)
    monkeypatch.setattr(language_models.LearningToWriteLanguageModel, "__init__", lambda self, **_: None)
    monkeypatch.setattr(
        encoders.SBERT,
        "__init__",
        lambda self, model_name, **settings: encoders.SentenceEncoder.__init__(self, **settings),
    )
    homoglyphs = kinds.WordSwapHomoglyphSwap.__init__

    def without_the_file(self: Any) -> None:
        with pytest.raises(FileNotFoundError):
            homoglyphs(self)

    with ExitStack() as stack:
        stack.enter_context(nltk_stop_words(STOP_WORDS))
        stack.enter_context(gradient_swaps_allowed())

        def build(name: str) -> Any:
            RECIPES["textbugger"].build(parts(), UNTARGETED)  # ours needs no patch
            monkeypatch.setattr(kinds.WordSwapHomoglyphSwap, "__init__", without_the_file)
            return getattr(textattack.attack_recipes, TWINS[name]).build(victim(name))

        yield build


@pytest.mark.parametrize("name", TWINS)
def test_components_and_settings_are_textattacks(name: str, stock: Any) -> None:
    ours = shape(RECIPES[name].build(parts(name), UNTARGETED))
    theirs = shape(stock(name))
    left_out = LEFT_OUT.get(name, set())
    for kind in theirs:
        theirs[kind] = [one for one in theirs[kind] if one[0] not in left_out]
    if name == "pso":  # WordNet's synonyms for HowNet's
        assert ours.pop("transformation")[0][0] == "WordSwapWordNet"
        assert theirs.pop("transformation")[0][0] == "WordSwapHowNet"
    assert ours == theirs


def test_what_is_compared_would_show_a_difference(stock: Any) -> None:
    attack = RECIPES["textfooler"].build(parts(), UNTARGETED)
    before = shape(attack)
    names = [name for name, _ in before["constraints"]]
    assert names == [
        *("RepeatModification", "StopwordModification", "InputColumnModification"),
        *("WordEmbeddingDistance", "PartOfSpeech", "SentenceEncoder"),
    ]
    found = dict(before["constraints"])
    assert found["SentenceEncoder"]["threshold"] == pytest.approx(1 - 0.5 / 3.14159265, abs=1e-6)
    assert len(found["StopwordModification"]["stopwords"]) > 250
    attack.constraints[-1].window_size = 16
    assert shape(attack) != before


def test_textfooler_adjusted_differs_from_textfooler_in_thresholds_alone() -> None:
    plain, adjusted = (
        shape(RECIPES[name].build(parts(), UNTARGETED)) for name in ("textfooler", "textfooler_adjusted")
    )
    assert plain["search"] == adjusted["search"]
    assert plain["transformation"] == adjusted["transformation"]
    found = dict(adjusted["constraints"])
    assert [name for name, _ in plain["constraints"]] == [name for name, _ in adjusted["constraints"]]
    assert found["WordEmbeddingDistance"]["min_cos_sim"] == 0.9
    assert (found["PartOfSpeech"]["tagset"], found["PartOfSpeech"]["allow_verb_noun_swap"]) == (None, False)
    encoder = found["SentenceEncoder"]
    assert (encoder["threshold"], encoder["metric"], encoder["skip_text_shorter_than_window"]) == (
        0.98,
        "cosine",
        False,
    )


@pytest.mark.parametrize("tagset", ["universal", None])
def test_parts_of_speech_are_judged_as_by_stock(
    tagset: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))
    put_tagger(parts().tagger(), tmp_path)
    textattack = load_textattack()
    components = importlib.import_module("suites.adversarial.recipes.components")
    ours = components.ResourcePartOfSpeech(parts().tagger(), tagset=tagset)
    theirs = textattack.constraints.grammaticality.PartOfSpeech(tagset=tagset)
    verdicts = []
    for sentence in SENTENCES:
        text = textattack.shared.AttackedText(sentence)
        for place in range(text.num_words):
            for word in ("great", "story", "hated", "acted", "good"):
                new = text.replace_word_at_index(place, word)
                verdicts.append((ours._check_constraint(new, text), theirs._check_constraint(new, text)))
    assert all(mine == other for mine, other in verdicts)
    assert {mine for mine, _ in verdicts} == {True, False}
    words = ["the", "sad", "film", "ended", "and", "great", "stories", "moved"]
    assert tuple(tag for _, tag in ours.perceptron.tag(words)) == ours.tagger.tags(words)


def test_synonyms_are_stocks_in_wordnets_order(monkeypatch: pytest.MonkeyPatch) -> None:
    components = importlib.import_module("suites.adversarial.recipes.components")
    kinds = load_textattack().transformations
    reader = parts().wordnet()
    monkeypatch.setattr("textattack.transformations.word_swaps.word_swap_wordnet.wordnet", reader)
    theirs = object.__new__(kinds.WordSwapWordNet)
    theirs.language = "eng"
    ours = components.ResourceWordNetSwap(components.Synonyms(reader))
    for word in ("good", "film", "boring", "unheard"):
        assert set(ours._get_replacement_words(word)) == set(theirs._get_replacement_words(word))
    assert ours._get_replacement_words("great") == ["good", "fine"]
    assert ours._get_replacement_words("boring") == ["dull"]


def test_look_alikes_are_textattacks_table() -> None:
    load_textattack()
    swap = importlib.import_module("suites.adversarial.recipes.components").homoglyph_swap()
    assert [len(word) for word in swap._get_replacement_words("bad")] == [3, 3, 3]
    assert all(not word.isascii() for word in swap._get_replacement_words("bad"))


def test_merges_ask_our_tagger_and_leave_the_text_as_it_was() -> None:
    textattack = load_textattack()
    attack = RECIPES["clare"].build(parts(), UNTARGETED)
    merge = attack.transformation.transformations[-1]
    merge.min_confidence = 0.0
    text = textattack.shared.AttackedText("a good film loved")  # tagged X ADJ NOUN VERB, of which ADJ NOUN may merge
    found = merge._get_transformations(text, range(4))
    assert found
    assert all(new.num_words == 3 for new in found)
    assert all((new.words[0], new.words[2]) == ("a", "loved") for new in found)
    assert "pos_of_word_index" not in vars(text)
