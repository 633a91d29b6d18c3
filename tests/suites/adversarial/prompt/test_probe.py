from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from harness.api.case import Case
from harness.api.needs import Need
from harness.api.scorer import Scorer
from harness.data.datasets import load_dataset
from harness.errors import AssayError, DataError, UsageError
from suites.adversarial.cases import case_seed
from suites.adversarial.pooled.lean_goal import DIGITS
from suites.adversarial.prompt.answers import AnswerScorer, AnswerScores, Question
from suites.adversarial.prompt.attack import after_goal
from suites.adversarial.prompt.probe import PROMPTS, Prompt, PromptAnswers, PromptParams, PromptRow
from suites.adversarial.recipes import RECIPES, UNTARGETED, Parts
from suites.adversarial.resources.textattack_env import load_textattack, nltk_stop_words, stop_words
from suites.adversarial.semantics.diff_spans import apply_spans, spans_from_json
from suites.adversarial.victims.classifier import Victim
from tests.fakes import make_info, plan, rows_of
from tests.suites.adversarial.recipes.ingredients import SENTENCES, resources
from tests.suites.adversarial.word_lm import CAUSAL, WordLM, known_prompts, likes_good, tiny_lm

GOALS = ("answer", "likelihood")


def cases_of(*pairs: tuple[str, str], **params: Any) -> list[Case]:
    frame = pd.DataFrame(pairs, columns=["prompt", "answer"])
    return Prompt(PromptParams(**params)).cases(plan(CAUSAL, prompts=frame))


def attacked(scorer: Scorer, chosen: Sequence[Case], **params: Any) -> pd.DataFrame:
    """Rows by case id, in the order of the cases."""
    probe = Prompt(PromptParams(**{"semantics": None, **params}))
    found = pd.DataFrame(list(probe.run(scorer, chosen)), columns=list(PromptRow.to_schema().columns))
    return found.set_index("case_id").loc[[case.id for case in chosen]]


def one(likely: Any, prompt: str, answer: str = "yes", **params: Any) -> Any:
    around = {name: params[name] for name in ("template",) if name in params}
    return attacked(WordLM(likely), cases_of((prompt, answer), **around), **params).iloc[0]


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Equal but for the seconds, and the last digits of what a model gives."""
    pair = (frame[[name for name in frame if "seconds" not in str(name)]].astype(object) for frame in (left, right))
    first, second = (frame.where(frame.notna(), None) for frame in pair)
    pd.testing.assert_frame_equal(first, second, rtol=1e-4)


# --- against TextAttack ---------------------------------------------------------------------------------------------


def by_textattack(scorer: Scorer, case: Case, goal: str, recipe: str, drop: float = 1.0) -> tuple[Any, ...]:
    """Outcome, queries, final prompt and scores of TextAttack's own Attack with its own texts, alone, no broker."""
    from suites.adversarial.prompt.goals import AnswerLost, LikelihoodDrop

    answering = AnswerScorer(scorer, " ")

    def direct(questions: Sequence[Question]) -> list[AnswerScores]:
        found = answering(questions)
        assert all(isinstance(scores, AnswerScores) for scores in found)
        return [scores for scores in found if isinstance(scores, AnswerScores)]

    textattack = load_textattack()
    parts = Parts(textattack=textattack, victim=Victim(scorer), stop_words=stop_words())
    with nltk_stop_words(stop_words()):
        attack = RECIPES[recipe].build(parts, UNTARGETED)
    function: Any = AnswerLost(direct) if goal == "answer" else LikelihoodDrop(drop, direct)
    function.around = (case.data["before"], case.data["after"])
    attack = after_goal(function, attack, textattack)
    seed = case_seed(0, case.id)
    random.seed(seed)
    np.random.seed(seed)
    result = attack.attack(case.data["prompt"], case.data["answer"])
    outcome = type(result).__name__.removesuffix("AttackResult").lower()
    last = result.perturbed_result
    return (
        {"successful": "succeeded"}.get(outcome, outcome),
        result.num_queries,
        last.attacked_text.text,
        last.raw_output.matched,
        round(last.score, DIGITS),
    )


def ours(row: Any) -> tuple[Any, ...]:
    if row["outcome"] == "skipped":
        return "skipped", row["queries"], row["prompt"], row["matched"], row["score"]
    kept = ("outcome", "queries", "perturbed_prompt", "final_matched", "perturbed_score")
    return tuple(row[name] for name in kept)


@pytest.mark.parametrize("recipe", ["deepwordbug", "pruthi"])
@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_outcome_queries_and_prompt_are_those_of_textattack(kind: str, goal: str, recipe: str) -> None:
    scorer, prompts = tiny_lm(kind), known_prompts(kind, 8, "we say ")
    wrong = [(prompt, other) for (prompt, _), (_, other) in itertools.pairwise(prompts)][:3]
    chosen = cases_of(*prompts, *wrong, template="we say {prompt}")
    rows = attacked(scorer, chosen, goal=goal, recipe=recipe, drop=2.0)
    assert "succeeded" in set(rows["outcome"])
    assert ("skipped" in set(rows["outcome"])) is (goal == "answer")
    for case, (_, row) in zip(chosen, rows.iterrows(), strict=True):
        assert row["error"] is None
        expected = by_textattack(scorer, case, goal, recipe, drop=2.0)
        assert ours(row)[:-1] == expected[:-1]
        assert ours(row)[-1] == pytest.approx(expected[-1], abs=1e-4)


def test_recipes_with_resources_are_those_of_textattack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_RESOURCES", str(resources()["wordnet"].parent))
    scorer = tiny_lm("gpt2")
    chosen = cases_of(*((text, "film") for text in SENTENCES))
    for recipe in ("pwws", "textfooler"):
        rows = attacked(scorer, chosen, goal="likelihood", recipe=recipe, drop=0.1)
        assert set(rows["resources"]) != {""}
        for case, (_, row) in zip(chosen, rows.iterrows(), strict=True):
            assert ours(row)[:-1] == by_textattack(scorer, case, "likelihood", recipe, drop=0.1)[:-1]
    assert set(rows["recipe"]) == {"textfooler 1"}


# --- brute force ----------------------------------------------------------------------------------------------------

SWAPS = {"good": ("fine", "nice"), "film": ("movie",), "story": ("plot", "tale")}


def few_swaps(parts: Parts, _: Any) -> Any:
    """Swaps by the table above; at most one word is changed; the best change is taken."""
    textattack = parts.textattack

    class Swap(textattack.transformations.WordSwap):  # type: ignore[name-defined, misc]
        def _get_replacement_words(self, word: str) -> list[str]:
            return list(SWAPS.get(word, ()))

    return textattack.Attack(
        textattack.goal_functions.UntargetedClassification(parts.victim),
        [textattack.constraints.overlap.MaxWordsPerturbed(max_num_words=1)],
        Swap(),
        textattack.search_methods.GreedySearch(),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("goal", GOALS)
def test_the_best_of_a_small_space_is_found(monkeypatch: pytest.MonkeyPatch, goal: str, seed: int) -> None:
    monkeypatch.setattr(Prompt, "recipe", replace(RECIPES["deepwordbug"], build=few_swaps))
    prompt, drop = "the good film had a good story", 0.7
    words = prompt.split()
    space = [
        " ".join([*words[:at], swap, *words[at + 1 :]]) for at, word in enumerate(words) for swap in SWAPS.get(word, ())
    ]
    assert len(space) == 7
    chances = dict(zip([prompt, *space], np.random.default_rng(seed).uniform(0.2, 0.95, 8), strict=True))
    if goal == "answer":
        chances[prompt] = 0.97
    drops = {text: np.log(chances[prompt] / chances[text]) for text in space}
    won = [text for text in space if (chances[text] < 0.5 if goal == "answer" else drops[text] >= drop)]
    row = one(lambda read, _: chances[" ".join(read)], prompt, goal=goal, drop=drop)
    best = min(space, key=lambda text: chances[text])
    assert row["outcome"] == ("succeeded" if won else "failed")
    assert row["perturbed_prompt"] == best
    assert row["queries"] == 1 + len(space)
    assert row["logprob"] - row["perturbed_logprob"] == pytest.approx(drops[best])
    score = 1 - chances[best] if goal == "answer" else chances[prompt] / (chances[prompt] + chances[best])
    assert row["perturbed_score"] == pytest.approx(score, abs=1e-6)


# --- rows -----------------------------------------------------------------------------------------------------------


def test_an_attack_whose_course_is_known() -> None:
    scorer = WordLM(likes_good)
    (case,) = cases_of(("the good film was on", "yes"))
    row = attacked(scorer, [case]).loc[case.id]
    assert (row["outcome"], row["matched"], row["final_matched"], row["words"]) == ("succeeded", True, False, 5)
    assert np.exp([row["logprob"], row["perturbed_logprob"]]) == pytest.approx([0.9, 0.1])
    assert (row["score"], row["perturbed_score"]) == pytest.approx((0.1, 0.9))
    before, after = case.data["prompt"].split(), row["perturbed_prompt"].split()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True, True]
    assert (row["changed_words"], row["changed_share"], row["answer_tokens"]) == (1, 0.2, 1)
    prompt, perturbed = str(row["prompt"]), str(row["perturbed_prompt"])
    assert apply_spans(prompt, perturbed, spans_from_json(str(row["diff_spans"]))) == perturbed
    # the prompt, then 'good' and 'film' (the others are stop words) as [UNK], then the ways to misspell 'good'
    assert scorer.calls[:2] == [1, 2]
    assert row["queries"] == sum(scorer.calls)
    assert len(scorer.calls) == 3
    assert (row["recipe"], row["stop_words"]) == ("deepwordbug 1", stop_words().name)


def test_only_the_prompt_is_changed_and_what_stands_around_it_is_read() -> None:
    scorer = WordLM(lambda *_: 0.9)
    params: dict[str, Any] = {"template": "{context} asked: good? {prompt} so", "semantics": None}
    frame = pd.DataFrame({"prompt": ["the good film"], "answer": ["yes sir"], "context": ["they say {prompt}"]})
    probe = Prompt(PromptParams(**params))
    (case,) = probe.cases(plan(CAUSAL, prompts=frame))
    assert (case.data["before"], case.data["after"]) == ("they say {prompt} asked: good? ", " so")
    (row,) = probe.run(scorer, [case])
    first = scorer.read[0]
    assert scorer.decode(first.context) == "they say {prompt} asked: good? the good film so"
    assert scorer.decode(first.target) == "yes sir"
    assert (row["outcome"], row["matched"], row["answer_tokens"]) == ("failed", True, 2)
    read = [scorer.decode(request.context) for request in scorer.read]
    assert len(set(read)) > 3
    assert all(text.startswith("they say {prompt} asked: good? ") and text.endswith(" so") for text in read)
    assert {scorer.decode(request.target) for request in scorer.read} == {"yes sir"}


def test_a_prompt_without_its_answer_is_skipped_after_one_query_unless_likelihood_is_the_goal() -> None:
    row = one(likes_good, "a sad film")
    assert (row["outcome"], row["queries"], row["matched"]) == ("skipped", 1, False)
    assert row[["perturbed_prompt", "final_matched", "perturbed_logprob", "changed_words"]].isna().all()
    row = one(lambda words, _: 0.2 if "sad" in words else 0.02, "a sad film", goal="likelihood", drop=2.0)
    assert (row["outcome"], row["matched"], row["final_matched"]) == ("succeeded", False, False)
    assert row["score"] == 0.5
    assert row["perturbed_score"] == pytest.approx(10 / 11, abs=1e-6)


def test_the_drop_must_be_reached() -> None:
    def likely(words: list[str], _: str) -> float:
        return 0.2 if "sad" in words else 0.02

    for drop, outcome in ((float(np.log(10)), "succeeded"), (float(np.log(10)) + 0.01, "failed")):
        row = one(likely, "a sad film", goal="likelihood", drop=drop)
        assert row["outcome"] == outcome
        assert row["logprob"] - row["perturbed_logprob"] == pytest.approx(np.log(10))


def test_an_exhausted_budget_is_a_failure_that_says_so() -> None:
    for budget, outcome in ((1, "failed"), (3, "failed"), (4, "succeeded")):
        row = one(likes_good, "the good film was on", query_budget=budget)
        assert (row["outcome"], row["queries"], row["budget_exhausted"]) == (outcome, budget, outcome == "failed")


def test_equal_prompts_with_other_answers_or_surroundings_are_other_questions() -> None:
    scorer = WordLM(lambda words, word: 0.9 if (word == "yes") == ("oh" in words) else 0.2)
    pairs = [("a good film", "yes"), ("a good film", "no")]
    chosen = cases_of(*pairs) + cases_of(*pairs, template="oh {prompt}")
    rows = attacked(scorer, chosen, concurrent=1)
    assert rows["matched"].tolist() == [False, True, True, False]
    same(attacked(scorer, chosen, concurrent=4), rows)


def test_rows_depend_on_the_case_alone() -> None:
    scorer = tiny_lm("gpt2")
    chosen = cases_of(*known_prompts("gpt2", 6))
    for goal in GOALS:
        together = attacked(scorer, chosen, goal=goal)
        same(attacked(scorer, chosen[::-1], goal=goal).loc[together.index], together)
        same(pd.concat([attacked(scorer, [case], goal=goal) for case in chosen]), together)
    assert list(attacked(scorer, chosen, seed=1)["perturbed_prompt"]) != list(
        attacked(scorer, chosen)["perturbed_prompt"]
    )


@pytest.mark.slow
def test_workers_give_the_same_rows() -> None:
    scorer, chosen = tiny_lm("gpt2"), cases_of(*known_prompts("gpt2", 6))
    options = {"goal": "likelihood", "drop": 2.0}
    same(attacked(scorer, chosen, workers=2, **options), attacked(scorer, chosen, **options))


def test_whatever_breaks_inside_an_attack_is_an_error_and_touches_no_other_case() -> None:
    def likely(words: list[str], word: str) -> float:
        if "bomb" in words and "[unk]" in words:
            raise ZeroDivisionError("told to")
        return likes_good(words, word)

    fine, crash, broken, wordless = cases_of(
        *((text, "yes") for text in ("a good film", "good bomb", "good broken", "?!"))
    )
    found = attacked(WordLM(likely), [crash, broken, wordless, fine])
    assert list(found["status"]) == ["error", "error", "excluded", "ok"]
    assert found.loc[crash.id, "error"] == "ZeroDivisionError: told to"
    assert found.loc[broken.id, "error"] == (
        "VictimError: non-finite logits, asked for the answer 'yes' after 'good broken'"
    )
    assert found.loc[wordless.id, "error"] == "the prompt has no word to attack"
    assert found.loc[crash.id].drop(["status", "error"]).isna().all()
    same(found.loc[[fine.id]], attacked(WordLM(likes_good), [fine]))


def test_an_error_of_the_audit_itself_stops_it() -> None:
    def likely(_: list[str], __: str) -> float:
        raise AssayError("no device")

    with pytest.raises(AssayError, match="no device"):
        one(likely, "a good film")


def test_rows_fit_the_schema_and_survive_parquet(tmp_path: Path) -> None:
    pairs = [("a good film", "yes"), ("a sad film", "yes"), ("?!", "yes"), ("a good day", "yes")]
    probe = Prompt(PromptParams(semantics=None))
    rows = rows_of(probe, WordLM(likes_good), cases_of(*pairs), tmp_path)
    assert rows["status"].value_counts().to_dict() == {"ok": 3, "excluded": 1}
    values = {metric.key: metric.value for metric in probe.measure(rows)}
    assert (values["clean_accuracy"], values["after_attack_accuracy"]) == pytest.approx((2 / 3, 0))
    assert (values["attack_success_rate"], values["logprob_drop"]) == pytest.approx((1, np.log(9)))


def test_semantics_are_of_the_prompt_alone() -> None:
    measures = {"measures": ["similarity"], "sentence_encoder": str(resources()["sentence-encoder"])}
    params: dict[str, Any] = {"template": "we say {prompt}", "semantics": measures}
    rows = attacked(WordLM(likes_good), cases_of(("a good film", "yes"), ("a sad film", "yes")), **params)
    assert rows["similarity"].isna().tolist() == [False, True]
    assert {"filtered_success_rate"} <= {one.key for one in Prompt(PromptParams(**params)).measure(rows.reset_index())}


# --- cases ----------------------------------------------------------------------------------------------------------


def test_the_packaged_prompts_can_be_attacked() -> None:
    data = load_dataset(PROMPTS, PromptAnswers)
    assert len(data) == len(set(data.frame["prompt"])) >= 100
    left_alone = set(stop_words().words)
    for prompt, answer in zip(data.frame["prompt"], data.frame["answer"], strict=True):
        assert set(prompt.lower().replace(",", "").split()) - left_alone, prompt
        assert prompt == prompt.strip()
        assert answer == answer.strip()
        assert 1 <= len(answer.split()) <= 2
    assert len(Prompt().cases(plan(CAUSAL, prompts=data))) == len(data)


def test_blank_prompts_and_answers_are_refused(tmp_path: Path) -> None:
    for bad in ({"prompt": " ", "answer": "yes"}, {"prompt": "so", "answer": ""}, {"prompt": "so"}):
        path = tmp_path / "bad.csv"
        pd.DataFrame([bad]).to_csv(path, index=False)
        with pytest.raises(DataError, match=r"prompt|answer"):
            load_dataset(PROMPTS.model_copy(update={"source": str(path)}), PromptAnswers)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"recipe": "hotflip"}, "'hotflip' is no recipe for prompts; there are"),
        ({"recipe": "input_reduction"}, "is no recipe for prompts"),
        ({"template": "Question:"}, "must hold {prompt} once, and holds it 0 times"),
        ({"template": "{prompt}{prompt}"}, "holds it 2 times"),
        ({"drop": 0}, "greater than 0"),
        ({"goal": "harm"}, "answer"),
    ],
)
def test_bad_settings_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PromptParams(**params)
    assert message in str(caught.value)


def test_a_template_that_does_not_fit_the_data_is_refused() -> None:
    plain = pd.DataFrame({"prompt": ["a"], "answer": ["b"]})
    with pytest.raises(
        DataError, match=r"has no column 'context', and the template a place \{context\} for it; change"
    ):
        Prompt(PromptParams(template="{context} {prompt}")).cases(plan(CAUSAL, prompts=plain))
    with pytest.raises(DataError, match="has a column 'context', and the template no place"):
        Prompt().cases(plan(CAUSAL, prompts=plain.assign(context="c")))


def test_a_missing_resource_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Prompt, "recipe", replace(RECIPES["pwws"], resources=("no such thing",)))
    with pytest.raises(UsageError, match=r"adversarial/prompt, recipe pwws: .*no such thing"):
        cases_of(("a", "b"))


def test_it_is_for_causal_models() -> None:
    assert Prompt.why_not(make_info(Need.CAUSAL_LM).offers) is None
    assert "needs a causal LM" in str(Prompt.why_not(make_info(Need.MASKED_LM).offers))


def test_cost_counts_what_is_read_again() -> None:
    (case,) = cases_of(("one two three", "four"), template="say: {prompt}")
    read = len("say: one two three" + "four")
    assert Prompt().cost([case, case]) == 2 * (19 * read // 4)
    assert Prompt(PromptParams(query_budget=5)).cost([case]) == 5 * read // 4


def test_every_black_box_recipe_is_offered() -> None:
    fit = [name for name, recipe in RECIPES.items() if recipe.black_box and not recipe.reduces]
    assert len(fit) >= 10
    for name, goal in itertools.product(fit, GOALS):
        assert Prompt(PromptParams(recipe=name, goal=goal)).recipe.name == name
