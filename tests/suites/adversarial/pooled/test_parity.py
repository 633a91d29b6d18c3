"""Every black-box recipe, pooled and sped up, against TextAttack's own Attacker on stock components.

The same outcome, number of queries and final text; the reference rounds its scores by the tie rule and runs one text
at a time through TextAttack's own model wrapper. Real sentences and classifier: `benchmarks/attack_parity.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from harness.api.case import Case, make_cases
from harness.api.scorer import TextRequest
from suites.adversarial.attacks.models import masked_lm
from suites.adversarial.attacks.result import OUTCOMES, attacked
from suites.adversarial.cases import case_seed
from suites.adversarial.pooled.asking import handlers
from suites.adversarial.pooled.broker import Broker
from suites.adversarial.pooled.lean_goal import DIGITS
from suites.adversarial.pooled.make import Setup, make_attacks
from suites.adversarial.pooled.run import run_pool
from suites.adversarial.recipes import INPUT_REDUCTION, RECIPES, UNTARGETED, Parts
from suites.adversarial.recipes.parts import sentence_encoder
from suites.adversarial.resources.textattack_env import load_textattack, missing, nltk_stop_words, stop_words
from tests.suites.adversarial.recipes.ingredients import resources, scorer

pytestmark = [pytest.mark.skipif(missing() is not None, reason=str(missing())), pytest.mark.slow]

WORDS = [
    "good",
    "great",
    "nice",
    "happy",
    "bad",
    "awful",
    "boring",
    "film",
    "movie",
    "story",
    "plot",
    "book",
    "loved",
    "liked",
    "the",
    "a",
    "was",
    "and",
    "it",
]
BUDGET = 120
"""Most queries per text."""


@pytest.fixture(scope="module", autouse=True)
def _small_resources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ASSAY_RESOURCES", str(resources()["wordnet"].parent))
        yield


@cache
def cases() -> tuple[Case, ...]:
    """Some of them with a label that the victim does not give."""
    draw = np.random.default_rng(5)
    texts = [" ".join(draw.choice(WORDS, draw.integers(4, 10))) for _ in range(10)]
    labels = [answer.label for answer in scorer().ask([TextRequest(text) for text in texts])]
    labels = [1 - label if place % 7 == 6 else label for place, label in enumerate(labels)]
    return tuple(
        make_cases({"text": text, "label": label, "words_cut": 0} for text, label in zip(texts, labels, strict=True))
    )


def pooled(name: str) -> dict[str, tuple[str, int, str | None]]:
    goal = INPUT_REDUCTION if RECIPES[name].reduces else UNTARGETED
    proposes = masked_lm(RECIPES[name], {}, "cpu")
    info = None if proposes is None else proposes.info
    setup = Setup(RECIPES[name].build, goal, scorer().info, BUDGET, masked_lm=info)
    jobs = [(case, case_seed(0, case.id)) for case in cases()]
    broker = Broker(handlers(scorer(), sentence_encoder, proposes))
    ended = list(run_pool(jobs, partial(make_attacks, setup), attacked, broker, concurrent=6))
    found = {}
    for one in ended:
        assert one.error is None, one.error
        row = one.result
        assert row is not None
        found[one.job.id] = (row["outcome"], row["queries"], row.get("perturbed_text"))
    return found


def by_textattack(name: str) -> dict[str, tuple[str, int, str | None]]:
    textattack, model = load_textattack(), scorer()._engine
    wrapper = textattack.models.wrappers.HuggingFaceModelWrapper(model.model, model.tokenizer)
    parts = Parts(textattack=textattack, victim=wrapper, stop_words=stop_words())
    with nltk_stop_words(stop_words()):
        attack = RECIPES[name].build(parts, INPUT_REDUCTION if RECIPES[name].reduces else UNTARGETED)
    goal = attack.goal_function
    goal.query_budget, exact = BUDGET, goal._get_score
    goal._get_score = lambda output, text: round(float(exact(output, text)), DIGITS)
    return {case.id: _one(textattack, attack, case) for case in cases()}


def _one(textattack: Any, attack: Any, case: Case) -> tuple[str, int, str | None]:
    data = textattack.datasets.Dataset([(case.data["text"], case.data["label"])])
    seed = case_seed(0, case.id)
    settings = textattack.AttackArgs(num_examples=1, random_seed=seed, disable_stdout=True, silent=True)
    before = random.getstate(), np.random.get_state()
    try:
        (result,) = textattack.Attacker(attack, data, settings).attack_dataset()
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
    outcome = OUTCOMES[type(result).__name__]
    text = None if outcome == "skipped" else result.perturbed_result.attacked_text.text
    return outcome, int(result.num_queries), text


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.black_box])
def test_outcome_queries_and_text_are_textattacks(name: str) -> None:
    ours, theirs = pooled(name), by_textattack(name)
    assert ours == theirs
    assert len({outcome for outcome, *_ in ours.values()}) >= 2  # attacked and skipped, at least
