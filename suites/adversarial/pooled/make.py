"""Builds attacks that ask the broker, in whichever process they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from suites.adversarial.faster import Memo, speed_up
from suites.adversarial.faster.masked_lm import AskedModel
from suites.adversarial.pooled.asking import AskingScorer, asked_vectors, asked_words
from suites.adversarial.pooled.lean_goal import lean_goal
from suites.adversarial.pooled.time_limit import keep_to_time
from suites.adversarial.recipes.parts import Goal, MaskedLM, Parts, most_tokens
from suites.adversarial.resources.textattack_env import StopWords, load_textattack, nltk_stop_words, stop_words
from suites.adversarial.victims.classifier import Victim

if TYPE_CHECKING:
    from harness.api.scorer import Scorer
    from harness.checkpoint import CheckpointInfo

EVERY_QUERY = 1 << 20
"""The broker forms the batches, so TextAttack hands over all it has."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What an attack is built from; picklable, so that a worker can build it, unless it holds a `scorer`.

    `query_budget` None: as the recipe says. `scorer`: the real one, for attacks that ask for gradients. `masked_lm`:
    that of the scorer which the broker asks for words.
    """

    build: Callable[[Parts, Goal], Any]
    goal: Goal
    checkpoint: CheckpointInfo
    query_budget: int | None = None
    scorer: Scorer | None = None
    masked_lm: CheckpointInfo | None = None


def make_attacks(setup: Setup, count: int) -> list[Any]:
    """`count` attacks that share what they are built from."""
    chosen = stop_words()
    parts = Parts(
        textattack=load_textattack(),
        victim=_victim(setup),
        stop_words=chosen,
        encode=asked_vectors,
        masked_lm=None if setup.masked_lm is None else partial(_masked_lm, setup.masked_lm),
    )
    memo = Memo()
    attacks = []
    for _ in range(count):
        with nltk_stop_words(chosen):
            attack = setup.build(parts, setup.goal)
        attack.goal_function.batch_size = EVERY_QUERY
        if setup.query_budget is not None:
            attack.goal_function.query_budget = setup.query_budget
        attack.stop_words = _left_alone(attack, chosen)
        lean_goal(attack)
        speed_up(attack, memo)
        keep_to_time(attack)
        attacks.append(attack)
    return attacks


def _left_alone(attack: Any, chosen: StopWords) -> str:
    """Which stop words the attack does not change: some recipes have their own, and the rule holds for swaps alone."""
    rules = [rule for rule in attack.pre_transformation_constraints if hasattr(rule, "stopwords")]
    held = [rule.stopwords for rule in rules if rule.check_compatibility(attack.transformation)]
    if not held:
        return "none"
    same = held[0] == set(chosen.words)
    return chosen.name if same else StopWords("the recipe's own list", sorted(held[0])).name


def _masked_lm(info: CheckpointInfo) -> MaskedLM:
    from harness.checkpoint import load_tokenizer

    return MaskedLM(AskedModel(info.model_type, asked_words), load_tokenizer(info), most_tokens(info))


def _victim(setup: Setup) -> Victim:
    if setup.scorer is None:
        return Victim(AskingScorer(setup.checkpoint))
    from suites.adversarial.victims.gradients import GradientVictim

    return GradientVictim(AskingScorer(setup.checkpoint, setup.scorer))
