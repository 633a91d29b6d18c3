"""Parts and the catalogue: what is shared, what is said of it, and what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from suites.adversarial import recipes as package
from suites.adversarial.recipes import INPUT_REDUCTION, RECIPES, UNTARGETED, Goal, Parts, find_recipe, targeted
from suites.adversarial.recipes.parts import GIVEN, sentence_encoder
from suites.adversarial.resources import finding
from suites.adversarial.resources.catalogue import RESOURCES
from suites.adversarial.resources.finding import ResourceMissing
from suites.adversarial.resources.textattack_env import load_textattack
from tests.suites.adversarial.recipes.ingredients import STOP_WORDS, parts, resources, victim

ROOT = Path(package.__file__).parents[3]


def fresh(**settings: Any) -> Parts:
    paths = settings.pop("paths", dict(resources()))
    return Parts(textattack=load_textattack(), victim=victim(), stop_words=STOP_WORDS, paths=paths, **settings)


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No resource anywhere on this machine or the network."""
    monkeypatch.setattr(finding, "_look", lambda *_: None)


def test_importing_the_recipes_imports_neither_textattack_nor_torch() -> None:
    probe = "import sys, suites.adversarial.recipes; print({'textattack', 'torch', 'nltk', 'flair'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_every_recipe_says_what_it_is() -> None:
    for name, recipe in RECIPES.items():
        assert name == recipe.name
        assert name.isidentifier()
        assert recipe.version
        assert min(map(len, (recipe.summary, recipe.paper, recipe.differences, recipe.cannot_tell))) > 30
        assert set(recipe.resources) <= set(RESOURCES)
        assert pickle.loads(pickle.dumps(recipe.build)) is recipe.build


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_loads_the_resources_it_names_and_no_others(name: str) -> None:
    made = fresh()
    made.victim = victim(name)
    RECIPES[name].build(made, UNTARGETED)
    assert {text.split(" from user, sha256 ")[0] for text in made.used()} == set(RECIPES[name].resources)


def test_what_is_loaded_is_shared_and_named_once() -> None:
    made = fresh()
    assert made.used() == ()
    assert made.embedding() is made.embedding()
    assert made.tagger() is made.tagger()
    assert made.masked_lm() is made.masked_lm("masked-lm")
    assert [text.split(",")[0] for text in made.used()] == [
        f"{name} from user" for name in ("masked-lm", "pos-tagger", "word-vectors")
    ]


def test_only_vectors_of_words_become_swaps(tmp_path: Path) -> None:
    embedding = parts().embedding()
    assert "good" in embedding._word2index
    assert {".", "1990", "'s"}.isdisjoint(embedding._word2index)
    (tmp_path / "signs.txt").write_text(". 1 0\n1990 0 1\n")
    with pytest.raises(UsageError, match=r"signs\.txt: holds no vector of an English word; give another file"):
        fresh(paths={"word-vectors": tmp_path / "signs.txt"}).embedding()


def test_hotflip_takes_gradients_by_words() -> None:
    attack = RECIPES["hotflip"].build(parts("hotflip"), UNTARGETED)
    assert attack.transformation.model_wrapper.tokenize(["unbelievable good"]) == [["unbelievable", "good"]]


def test_a_substitute_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(finding.FOLDER, str(resources()["word-vectors"].parent))
    made = fresh(paths={})
    made.embedding()
    (text,) = made.used()
    assert text.startswith("word-vectors from user, sha256 ")
    assert text.endswith(", instead of counter-fitted PARAGRAM-SL999 vectors, 300d")


def test_the_encoder_gives_mean_states_whatever_the_company() -> None:
    encode = sentence_encoder(resources()["sentence-encoder"])
    both = encode(["the good film", "a bad story and a sad plot"])
    assert both.dtype == np.float32
    assert both.shape == (2, 32)
    np.testing.assert_allclose(encode(["the good film"])[0], both[0], atol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 1e-2
    np.testing.assert_allclose(fresh().encode(["the good film"])[0], both[0], atol=1e-5)


def test_another_encoder_can_be_handed_in() -> None:
    asked: list[str] = []

    def encode(texts: Any) -> Any:
        asked.extend(texts)
        return np.ones((len(texts), 3), np.float32)

    made = fresh(encode=encode)
    attack = RECIPES["textbugger"].build(made, UNTARGETED)
    attack.goal_function.query_budget = 30
    attack.attack("the film was good", 1)
    assert "the film was good" in asked
    assert GIVEN in made.used()
    assert not any("sentence-encoder from" in text for text in made.used())


def test_a_masked_lm_must_be_one() -> None:
    made = fresh(paths={"masked-lm": resources()["sentence-encoder"]})
    with pytest.raises(UsageError, match="is no masked language model but BertModel; give one"):
        made.masked_lm()


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.resources])
def test_a_missing_resource_says_what_it_is_for_and_how_to_get_it(name: str, nothing: None) -> None:
    made = fresh(paths={})
    made.victim = victim(name)
    with pytest.raises(ResourceMissing, match=r"(?s), for .* is missing; .*ASSAY_RESOURCES"):
        RECIPES[name].build(made, UNTARGETED)


def test_planning_knows_what_is_missing(nothing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RECIPES["deepwordbug"].why_not(fetch=False) is None
    why = RECIPES["pwws"].why_not()
    assert why is not None
    assert why.startswith("wordnet, for synonyms and antonyms (PWWS), is missing; install Debian's")
    assert RECIPES["bert_attack"].why_not() is None  # the hub may have it
    assert "masked-lm, for words in context" in str(RECIPES["bert_attack"].why_not(fetch=False))
    monkeypatch.setattr("suites.adversarial.recipes.recipe.missing", lambda: "needs TextAttack")
    assert RECIPES["deepwordbug"].why_not() == "needs TextAttack"


def test_planning_hears_of_a_wrong_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wordnet").mkdir()
    monkeypatch.setenv(finding.FOLDER, str(tmp_path))
    assert "is no wordnet, it lacks data.adj" in str(RECIPES["pso"].why_not())


@pytest.mark.parametrize("name", ["a2t", "hotflip"])
def test_white_box_recipes_want_gradients(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} asks for gradients, and the victim gives class probabilities alone"):
        RECIPES[name].build(fresh(), UNTARGETED)


def test_goals_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="target class None"):
        Goal("targeted")
    with pytest.raises(UsageError, match="untargeted and has target class 1"):
        Goal(target_class=1)
    with pytest.raises(UsageError, match="input reduction is a recipe of its own"):
        RECIPES["deepwordbug"].build(fresh(), INPUT_REDUCTION)
    for name in (name for name, recipe in RECIPES.items() if not recipe.targeted):
        with pytest.raises(UsageError, match=f"{name} cannot be after one class"):
            RECIPES[name].build(parts(name), targeted(1))
    with pytest.raises(UsageError, match="no recipe is called 'textfoolr'; there are textfooler, "):
        find_recipe("textfoolr")
    assert find_recipe("pso").name == "pso"
