from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from suites.adversarial.resources.textattack_env import load_textattack, nltk_stop_words, stop_words
from suites.adversarial.victims.classifier import VictimError
from suites.adversarial.victims.gradients import (
    GradientVictim,
    WordGradientVictim,
    gradient_swaps_allowed,
)
from suites.adversarial.victims.writable import text_of, word_of
from tests.fakes import FakeScorer, make_info
from tests.scoring import ATOL, load

TEXTS = ("the film was good, the plot unbelievable", "i hated it!", "a doctor and a nurse went home")
PAIR = ("is it good", "he said the story was boring")


@cache
def tiny(kind: str = "bert") -> Any:
    """A classifier that stays in eval mode, out of which TextAttack's own wrapper would take it."""
    loaded = load(kind, "classifier")
    loaded.model.train = lambda _mode=True: loaded.model
    return loaded


def theirs(kind: str = "bert") -> Any:
    return load_textattack().models.wrappers.HuggingFaceModelWrapper(tiny(kind).model, tiny(kind).tokenizer)


@pytest.mark.parametrize("text", [*TEXTS, PAIR])
def test_gradients_are_those_of_textattacks_own_wrapper(text: str | tuple[str, str]) -> None:
    ours = GradientVictim(HFScorer(tiny())).get_grad(text)
    expected = theirs().get_grad(text)
    ids = np.asarray(expected["ids"])[0]
    read = [token for token in ids.tolist() if token != tiny().tokenizer.pad_token_id]
    assert ours["ids"] == read
    assert ours["gradient"].shape == (len(read), 32)
    assert np.abs(expected["gradient"]).max() > 100 * ATOL
    np.testing.assert_allclose(ours["gradient"], expected["gradient"][: len(read)], atol=1e-5)
    assert not tiny().model.training


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2"])
def test_words_are_ranked_by_gradient_as_with_textattacks_own_wrapper(kind: str) -> None:
    search = load_textattack().search_methods.GreedyWordSwapWIR(wir_method="gradient")
    if kind == "gpt2":
        tiny(kind).tokenizer.pad_token = tiny(kind).tokenizer.eos_token
    orders = []
    for victim in (theirs(kind), GradientVictim(HFScorer(tiny(kind)))):
        search.get_victim_model = lambda victim=victim: victim
        search.get_indices_to_order = lambda text: (text.num_words, list(range(text.num_words)))
        orders.append(
            [search._get_index_order(load_textattack().shared.AttackedText(text))[0].tolist() for text in TEXTS]
        )
    assert orders[0] == orders[1]
    assert any(order != sorted(order) for order in orders[0])


def test_alignment_of_words_and_tokens_is_textattacks() -> None:
    ours = GradientVictim(HFScorer(tiny()))
    for text in TEXTS:
        attacked = load_textattack().shared.AttackedText(text)
        assert attacked.align_with_model_tokens(ours) == attacked.align_with_model_tokens(theirs())
    assert ours.tokenize(["i hated it!"]) == [["[CLS]", "i", "hated", "it", "!", "[SEP]"]]


def test_words_have_the_gradient_of_their_first_token() -> None:
    scorer = HFScorer(tiny())
    text = "the unbelievable film, good"
    words, tokens = WordGradientVictim(scorer).get_grad(text), GradientVictim(scorer).get_grad(text)
    pieces = GradientVictim(scorer).tokenize([text])[0]
    firsts = [pieces.index(piece) for piece in ("the", "u", "film", "good")]
    assert pieces[pieces.index("u") + 1] == "##n"
    assert words["ids"] == [tokens["ids"][place] for place in firsts]
    np.testing.assert_array_equal(words["gradient"], tokens["gradient"][firsts])
    assert WordGradientVictim(scorer).tokenize([text]) == [["the", "unbelievable", "film", "good"]]


def test_a_word_beyond_what_the_model_reads_has_no_gradient() -> None:
    scorer = HFScorer(load("bert", "classifier", max_tokens=6))
    found = WordGradientVictim(scorer).get_grad("the film was good and happy")
    assert [bool(np.any(row)) for row in found["gradient"]] == [True, True, True, True, False, False]


def test_hotflips_choice_is_the_best_first_order_flip_to_a_whole_word() -> None:
    scorer = HFScorer(tiny())
    victim = WordGradientVictim(scorer)
    with gradient_swaps_allowed():
        swap = load_textattack().transformations.WordSwapGradientBased(victim, top_n=5)
    attacked = load_textattack().shared.AttackedText("the film was good")
    found = swap._get_replacement_words_by_grad(attacked, [1, 3])
    gradient, table = victim.get_grad("the film was good")["gradient"], scorer.input_embeddings()
    gains = {}
    for place, word in ((1, "film"), (3, "good")):
        (own,) = scorer.encode(word, special=False)
        for token, gain in enumerate((table - table[own]) @ gradient[place]):
            other = word_of(scorer, token)
            if other is not None and any(sign.isalpha() for sign in other):
                gains[other, place] = gain
    expected = sorted(gains, key=lambda flip: -gains[flip])[:5]
    assert found == expected


def test_hotflip_runs_as_an_attack_and_lowers_the_score() -> None:
    ta = load_textattack()
    scorer = HFScorer(tiny())
    victim = WordGradientVictim(scorer)
    with gradient_swaps_allowed():
        swap = ta.transformations.WordSwapGradientBased(victim, top_n=1)
    attack = ta.Attack(
        ta.goal_functions.UntargetedClassification(victim),
        [ta.constraints.pre_transformation.RepeatModification()],
        swap,
        ta.search_methods.BeamSearch(beam_width=3),
    )
    text = "the film was good and the acting great"
    (before,) = scorer.ask([TextRequest(text)])
    result = attack.attack(text, before.label)
    (after,) = scorer.ask([TextRequest(result.perturbed_result.attacked_text.text)])
    assert after.probabilities[before.label] < before.probabilities[before.label]


def test_textattacks_recipe_builds_and_runs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """HotFlipEbrahimi2017 as it is, but for two constraints that need word vectors and a tagger."""
    ta = load_textattack()
    module = importlib.import_module("textattack.attack_recipes.hotflip_ebrahimi_2017")
    for name in ("WordEmbeddingDistance", "PartOfSpeech"):
        monkeypatch.setattr(module, name, lambda **_: ta.constraints.pre_transformation.RepeatModification())
    scorer = HFScorer(tiny())
    with gradient_swaps_allowed(), nltk_stop_words(stop_words()):
        attack = ta.attack_recipes.HotFlipEbrahimi2017.build(WordGradientVictim(scorer))
    text = "film plot happy story great"
    (before,) = scorer.ask([TextRequest(text)])
    result = attack.attack(text, before.label)
    assert result.original_result.output == before.label
    changed = result.original_result.attacked_text.all_words_diff(result.perturbed_result.attacked_text)
    assert 0 < len(changed) <= 2


def test_textattack_refuses_other_models_outside() -> None:
    victim = WordGradientVictim(HFScorer(tiny()))
    with gradient_swaps_allowed():
        pass
    with pytest.raises(ValueError, match="Cannot perform GradientBasedWordSwap"):
        load_textattack().transformations.WordSwapGradientBased(victim)


def test_without_gradients_it_says_so() -> None:
    fake = FakeScorer(make_info(Need.SEQUENCE_CLASSIFIER))
    with pytest.raises(UsageError, match="the attack needs gradients: the fake gives no gradients"):
        GradientVictim(fake)


def test_an_unusable_answer_is_an_error() -> None:
    loaded = load("bert", "classifier")
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[loaded.tokenizer.convert_tokens_to_ids("doctor")] = float("nan")
    with pytest.raises(VictimError, match="non-finite logits, asked for 'a doctor'"):
        GradientVictim(HFScorer(loaded)).get_grad("a doctor")


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
def test_text_of_tokens_is_read_as_those_tokens(kind: str) -> None:
    scorer = HFScorer(load(kind, "classifier"))
    rng = np.random.default_rng(0)
    vocabulary = len(scorer.input_embeddings())
    kept = 0
    for _ in range(400):
        tokens = tuple(rng.integers(0, vocabulary, 2).tolist())
        text = text_of(scorer, tokens)
        if text is not None:
            kept += 1
            assert scorer.encode(f"{text} film was", special=False)[:2] == tokens
            assert scorer.encode(text, special=False) == tokens  # half a character reads as more
            assert text == text.strip()
    assert 5 < kept < 400
    special = [token for token in scorer.encode("a") if scorer.special_positions((token,))[0]]
    assert all(text_of(scorer, (token,)) is None for token in special)
    assert text_of(scorer, ()) is None


def test_only_whole_words_are_words() -> None:
    scorer = HFScorer(tiny())
    parts_or_special = 0
    for token in range(len(scorer.input_embeddings())):
        piece = scorer.decode((token,))
        no_word = piece.startswith("##") or scorer.special_positions((token,))[0]
        assert word_of(scorer, token) == (None if no_word else piece)
        parts_or_special += no_word
    assert parts_or_special > 50
