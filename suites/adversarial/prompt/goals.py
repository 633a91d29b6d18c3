"""Goals of attacks on prompts: the answer is lost, or becomes less likely. Importing this imports TextAttack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from textattack.goal_function_results import TextToTextGoalFunctionResult
from textattack.goal_functions import GoalFunction

from suites.adversarial.pooled.fibres import ask
from suites.adversarial.pooled.lean_goal import DIGITS
from suites.adversarial.prompt.answers import CHANNEL, AnswerScores, Question

Answering = Callable[[Sequence[Question]], Sequence[AnswerScores]]
"""Scores of each (prompt, answer); raises VictimError."""


def ask_broker(questions: Sequence[Question]) -> Sequence[AnswerScores]:
    """Answers, from inside a pooled attack."""
    return ask(CHANNEL, questions)


class _Victim:
    """What TextAttack takes for a model wrapper; it looks up the class of `model` to warn of those it does not know."""

    def __init__(self, answering: Answering) -> None:
        self.model: Any = answering
        self.answering = answering


class PromptGoal(GoalFunction):  # type: ignore[misc]
    """What both goals share. Outputs are AnswerScores; `ground_truth_output` is the answer.

    `around` is what stands before and after the attacked prompt; set it before an attack.
    """

    around = ("", "")
    first: AnswerScores
    """Scores of the prompt as it was given."""

    def __init__(self, answering: Answering = ask_broker, **settings: Any) -> None:
        super().__init__(_Victim(answering), **settings)

    def init_attack_example(self, attacked_text: Any, ground_truth_output: str) -> Any:
        """Also keeps `first`; the model is asked once, and one query is counted."""
        self.clear_cache()  # which knows prompts, not what stood around them or the answer asked for
        self.ground_truth_output = ground_truth_output
        (self.first,) = self._call_model([attacked_text])
        return super().init_attack_example(attacked_text, ground_truth_output)

    def _call_model_uncached(self, attacked_text_list: Sequence[Any]) -> list[AnswerScores]:
        if not attacked_text_list:
            return []
        before, after = self.around
        prompts = [f"{before}{text.tokenizer_input}{after}" for text in attacked_text_list]
        return list(self.model.answering([(prompt, self.ground_truth_output) for prompt in prompts]))

    def _process_model_outputs(self, _: Any, outputs: Any) -> Any:
        return outputs

    def _goal_function_result_type(self) -> Any:
        return TextToTextGoalFunctionResult


class AnswerLost(PromptGoal):
    """Greedy decoding no longer begins with the answer; a prompt that never had it is skipped.

    The score is 1 - the geometric mean probability of the answer's tokens.
    """

    def _is_goal_complete(self, model_output: AnswerScores, _: Any) -> bool:
        return not model_output.matched

    def _get_score(self, model_output: AnswerScores, _: Any) -> float:
        return 1 - math.exp(model_output.logprob)


class LikelihoodDrop(PromptGoal):
    """The answer's mean log-probability per token falls by `drop` nats or more; no prompt is skipped.

    With p the geometric mean probability of the answer's tokens, p0 that of the prompt as it was given, the score is
    p0 / (p0 + p): 1/2 at first, and as fine where the answer is improbable as where it is not.
    """

    def __init__(self, drop: float, answering: Answering = ask_broker) -> None:
        super().__init__(answering, allow_skip=False)
        self.drop = drop

    def _is_goal_complete(self, model_output: AnswerScores, _: Any) -> bool:
        return round(self.first.logprob - model_output.logprob, DIGITS) >= round(self.drop, DIGITS)

    def _get_score(self, model_output: AnswerScores, _: Any) -> float:
        return 1 / (1 + math.exp(min(model_output.logprob - self.first.logprob, 700.0)))
