"""Known answers under made-up probabilities, and the same values as lm_eval under a real, tiny model."""

from __future__ import annotations

import json
import logging
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.needs import Need
from harness.api.probe import Plan
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from suites.quality.multiple_choice.probe import MultipleChoice, MultipleChoiceParams
from suites.quality.multiple_choice.spread import spread
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of
from tests.scoring import load
from tests.suites.quality.lm_eval.local_tasks import CHOICES, QUESTIONS

INFO = make_info(Need.CAUSAL_LM, max_tokens=64)


def frame(*rows: tuple[str, list[str], Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "question": [question for question, _, _ in rows],
            "choices": [json.dumps(choices) for _, choices, _ in rows],
            "answer": [str(answer) for *_, answer in rows],
        }
    )


def asked(
    questions: pd.DataFrame, folder: Path, words: dict[str, float] | None = None, **params: Any
) -> tuple[pd.DataFrame, dict[tuple[str, str], Metric]]:
    """Rows and metrics; `words` gives the log-probability of words, -5 for others."""
    scorer = FakeScorer(INFO)
    if words is not None:
        scorer._logprob = lambda read, token: words.get(scorer.decode((token,)), -5.0)
    probe = MultipleChoice(MultipleChoiceParams.model_validate(params))
    rows = rows_of(probe, scorer, probe.cases(plan(INFO, items=questions)), folder)
    return rows, by_key(probe.measure(rows))


def test_raw_and_by_length_each_pick_their_own(tmp_path: Path) -> None:
    """'no' is likeliest, 'absolutely' likeliest per character and byte, 'it may be so' per token."""
    words = {"no": -2.0, "absolutely": -4.0, "it": -1.0, "may": -1.0, "be": -1.0, "so": -1.5}
    choices = ["no", "absolutely", "it may be so"]
    questions = frame(("first", choices, "no"), ("second", choices, "absolutely"), ("third", choices, "it may be so"))
    rows, found = asked(questions, tmp_path, words=words)
    per_character = [-2 / 2, -4 / 10, -4.5 / 12]
    assert max(per_character) == per_character[2]
    assert list(rows["predicted"]) == [0, 0, 0]
    assert list(rows["by_tokens"]) == [2, 2, 2]
    assert list(rows["by_characters"]) == [2, 2, 2]
    for key in ("accuracy", "accuracy_by_characters", "accuracy_by_tokens", "accuracy_by_bytes"):
        assert found[key, ""].value == pytest.approx(1 / 3)
        assert found[key, ""].interval == "Clopper-Pearson"
    chances = np.exp([-2.0, -4.0, -4.5])
    chances /= chances.sum()
    expected = np.mean([((chances - np.eye(3)[label]) ** 2).sum() for label in range(3)])
    assert found["brier", ""].value == pytest.approx(expected)
    assert found["guessing", ""].value == pytest.approx(1 / 3)


def test_bytes_are_not_characters(tmp_path: Path) -> None:
    rows, _ = asked(frame(("x", ["äöüß", "abcde"], 0)), tmp_path, words={"äöüß": -4.0, "abcde": -4.5})
    assert (rows["by_characters"][0], rows["by_bytes"][0]) == (1, 0)  # -4/4 and -4.5/5; -4/8 and -4.5/5


def test_a_right_choice_that_the_tokenizer_cannot_tell_apart_is_missing(tmp_path: Path) -> None:
    """The fake's tokenizer knows no case: of two that are the same the first would always be predicted."""
    choices = ["Red", "red", "blue"]
    rows, found = asked(frame(("x", choices, "Red"), ("y", choices, "red"), ("z", choices, "blue")), tmp_path)
    assert list(rows["status"]) == ["error", "error", "ok"]
    assert "the same tokens of the right choice and of another" in rows["error"][0]
    assert (found["accuracy", ""].n, found["accuracy", ""].missing) == (1, 2)


def test_a_model_that_says_a_whatever_is_asked_is_found_out_by_orders(tmp_path: Path) -> None:
    letters = {"a": -0.1, "b": -3.0, "c": -3.0}
    questions = frame(*((f"question {at}", ["red", "green", "blue"], [0, 0, 1][at % 3]) for at in range(30)))
    rows, found = asked(questions, tmp_path, words=letters, form="letters", choice_orders=3)
    assert all(list(cell) == [0, 1, 2] for cell in rows["by_choice_order"])
    assert found["accuracy", ""].value == pytest.approx(2 / 3)
    assert found["choice_order_flips", ""].value == 1.0
    assert found["choice_order_spread", ""].value == pytest.approx(2 / 3)  # right in 20, 10 and 0 of 30
    assert ("example_order_flips", "") not in found
    assert ("accuracy_by_tokens", "") not in found


def test_a_model_that_knows_is_untouched_by_orders(tmp_path: Path) -> None:
    questions = frame(*((f"question {at}", ["red", "green"], "green") for at in range(12)))
    scorer = FakeScorer(INFO)

    def knows(read: tuple[int, ...], token: int) -> float:
        listed = scorer.decode(read).split()
        letter = listed[len(listed) - 1 - listed[::-1].index("green") - 1].rstrip(".")
        return -0.1 if scorer.decode((token,)) == letter else -4.0

    scorer._logprob = knows
    probe = MultipleChoice(MultipleChoiceParams.model_validate({"form": "letters", "choice_orders": 2}))
    found = by_key(probe.measure(rows_of(probe, scorer, probe.cases(plan(INFO, items=questions)), tmp_path)))
    assert (found["accuracy", ""].value, found["choice_order_flips", ""].value) == (1.0, 0.0)
    spread_found = found["choice_order_spread", ""]
    assert spread_found.value == 0.0
    assert spread_found.high is not None
    assert 0 < spread_found.high < 0.5  # twelve questions leave room for a spread that none of them showed


def test_a_question_that_cannot_be_scored_is_missing(tmp_path: Path) -> None:
    _, found = asked(frame(("fine", ["red", "green"], 0), ("broken", ["red", "green"], 0)), tmp_path)
    assert (found["accuracy", ""].n, found["accuracy", ""].missing) == (1, 1)


def test_examples_come_from_shots_where_given_and_never_hold_the_question(tmp_path: Path) -> None:
    questions = frame(*((f"question {at}", ["red", "green"], 0) for at in range(6)))
    again = ("Question  0", ["red", "green"], "green")
    shots = frame(*((f"shot {at}", ["red", "green"], "green") for at in range(4)), again)
    probe = MultipleChoice(MultipleChoiceParams(num_fewshot=4))
    for case in probe.cases(plan(INFO, items=questions, shots=shots)):
        (context, _), *_ = case.data["prompts"]
        solved, own = context.split("\n\n")[:-1], context.split("\n\n")[-1]
        assert len(solved) == 4
        assert all(each.endswith("Answer: green") for each in solved)
        asks = [each.split("\n")[0].casefold().split() for each in solved]
        assert own.split("\n")[0].casefold().split() not in asks


def test_more_orders_than_choices_are_refused() -> None:
    probe = MultipleChoice(MultipleChoiceParams.model_validate({"form": "letters", "choice_orders": 3}))
    with pytest.raises(UsageError, match="choice_orders 3 is more than the 2 choices of a question"):
        probe.cases(plan(INFO, items=frame(("x", ["red", "green"], 0))))


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"choice_orders": 2}, "use form: letters"),
        ({"example_orders": 3, "num_fewshot": 2}, "2 examples have not 3 rotations"),
        ({"prompt": "no place"}, "must hold {question} once"),
    ],
)
def test_settings_that_make_no_sense_are_refused(params: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        MultipleChoiceParams.model_validate(params)


def test_the_spread_is_that_of_the_farthest_pair_and_its_interval_covers_the_truth() -> None:
    """Three orders with rates .7, .6 and .4 over the same questions: the true spread is .3."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(60):
        correct = rng.random((80, 1)) < np.array([[0.7, 0.6, 0.4]])
        value, interval = spread(correct)
        rates = correct.mean(axis=0)
        assert value == pytest.approx(max(abs(a - b) for a, b in combinations(rates, 2)))
        covered += interval.low <= 0.3 <= interval.high
    assert covered >= 56


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_values_are_those_of_lm_eval(kind: str, long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the question is longer than the window: both cut its left end."""
    lm_eval = pytest.importorskip("lm_eval")
    import datasets
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    documents: list[dict[str, Any]] = [
        {
            "question": f"{QUESTIONS[at % 5]} number {at}" * (20 if long else 1),
            "choices": CHOICES[at % 3],
            "label": at % 3,
        }
        for at in range(11)
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents))
    (tmp_path / "own.yaml").write_text(
        "task: own\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\ndoc_to_choice: choices\n"
        f'dataset_kwargs: {{data_files: {{test: "{tmp_path / "test.jsonl"}"}}}}\ndoc_to_target: label\n'
        'doc_to_text: "Question: {{question}}\\nAnswer:"\n'
        "metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_bytes}, {metric: brier_score}]\n"
    )
    loaded = load(kind, "causal_lm")
    probe = MultipleChoice()
    questions = frame(*((each["question"], each["choices"], each["label"]) for each in documents))
    cases = probe.cases(Plan(loaded.info, 0, plan(loaded.info, items=questions).data))
    rows = pd.DataFrame(list(probe.run(HFScorer(loaded), cases)))
    assert rows["error"].isna().all()
    assert (rows["truncated"] > 0).all() == long
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=1, device="cpu")
        manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
        peer: Any = lm_eval.simple_evaluate(model=model, tasks=["own"], task_manager=manager, bootstrap_iters=0)
    finally:
        logging.disable(before)
    found = by_key(probe.measure(rows))
    names = {"acc": "accuracy", "acc_norm": "accuracy_by_characters"}
    names |= {"acc_bytes": "accuracy_by_bytes", "brier_score": "brier"}
    for theirs, ours in names.items():
        value = found[ours, ""].value
        assert value is not None
        assert math.isclose(value, peer["results"]["own"][f"{theirs},none"], rel_tol=1e-5), theirs
    for case, row in zip(peer["samples"]["own"], rows.to_dict("records"), strict=True):
        assert row["loglikelihoods"] == pytest.approx([answer[0][0] for answer in case["resps"]], abs=1e-4)
