from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from harness.api.case import Case
from harness.api.metrics import Metric
from harness.api.needs import Need
from harness.api.scorer import A, ClassScores, Request, TextRequest
from harness.errors import AssayError, DataError, UsageError
from harness.record.rows import RowStore
from harness.scorer.hf import HFScorer
from suites.adversarial.attacks.catalogue import DeepWordBug
from suites.adversarial.attacks.columns import AttackRow
from suites.adversarial.attacks.params import AttackParams
from suites.adversarial.attacks.probe import EXAMPLES
from suites.adversarial.cases import case_seed
from suites.adversarial.resources.textattack_env import load_textattack, nltk_stop_words, stop_words
from suites.adversarial.victims.classifier import Victim
from suites.words import first_words
from tests.fakes import FakeScorer, dataset, make_info, plan
from tests.scoring import load
from tests.tiny import MAX_TOKENS

TEXT = """
film movie book story plot actor acting music review love loved hate hated like liked best worst very really great awful
good bad happy sad angry boring fun city world life way thing time the a of and to in was it
"""
CLASSIFIER = make_info(Need.SEQUENCE_CLASSIFIER)
SCORE_TOLERANCE = 1e-5
"""How far the same text's probabilities may differ between two ways to pad it."""

Query = tuple[str, np.ndarray[Any, np.dtype[np.float64]]]


class Recorder(HFScorer):
    """A scorer that keeps what it was asked and its answers."""

    log: list[Query]

    def ask(self, requests: Sequence[Request[A]]) -> list[A]:
        answers = super().ask(requests)
        self.log += [
            (asked.text, answer.probabilities)
            for asked, answer in zip(requests, answers, strict=True)
            if isinstance(asked, TextRequest) and isinstance(answer, ClassScores)
        ]
        return answers


@cache
def victim() -> Recorder:
    """A tiny random BERT that finds every example positive, some only just: its bias brings them near the boundary."""
    loaded = load("bert", "classifier")
    scorer = Recorder(loaded)
    scorer.log = []
    logits = np.stack([answer.logits for answer in scorer.ask([TextRequest(text) for text in texts()])])
    with torch.no_grad():
        loaded.model.classifier.bias += torch.tensor([0.85 * float((logits[:, 1] - logits[:, 0]).min()), 0.0])
    return scorer


@cache
def texts() -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    return tuple(" ".join(rng.choice(TEXT.split(), rng.integers(4, 13))) for _ in range(52))


@cache
def cases() -> tuple[Case, ...]:
    """52 examples, every tenth with the label the victim does not give."""
    answers = victim().ask([TextRequest(text) for text in texts()])
    labels = [answer.label if index % 10 else 1 - answer.label for index, answer in enumerate(answers)]
    frame = pd.DataFrame({"text": texts(), "label": labels})
    return tuple(DeepWordBug().cases(plan(victim().info, examples=frame)))


@cache
def rows() -> pd.DataFrame:
    return attacked(cases())


def attacked(chosen: Sequence[Case], scorer: Any = None, **params: Any) -> pd.DataFrame:
    """Rows by case id, in the order of the cases."""
    probe = DeepWordBug(AttackParams(**{"semantics": None, **params}))
    found = pd.DataFrame(list(probe.run(scorer or victim(), chosen)), columns=list(AttackRow.to_schema().columns))
    return found.set_index("case_id").loc[[case.id for case in chosen]]


def example(text: str, label: int = 1) -> Case:
    (case,) = DeepWordBug().cases(plan(CLASSIFIER, examples=pd.DataFrame({"text": [text], "label": [label]})))
    return case


def likes_good(request: TextRequest) -> tuple[float, float]:
    return (0.1, 0.9) if "good" in request.text.split() else (0.8, 0.2)


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Equal but for the seconds; None and NaN both mean empty."""
    pair = (frame[[name for name in frame if "seconds" not in str(name)]].astype(object) for frame in (left, right))
    one, other = (frame.where(frame.notna(), None) for frame in pair)
    pd.testing.assert_frame_equal(one, other)


# --- against TextAttack ---------------------------------------------------------------------------------------------


def by_textattack(case: Case) -> tuple[str, int, str, list[Query]]:
    """Outcome, queries and final text of TextAttack's own Attacker with its own wrapper, and what it asked."""
    textattack = load_textattack()
    log: list[Query] = []

    class Wrapper(textattack.models.wrappers.HuggingFaceModelWrapper):  # type: ignore[name-defined, misc]
        def __call__(self, asked: list[str]) -> torch.Tensor:
            logits: torch.Tensor = super().__call__(asked)
            log.extend(zip(asked, logits.double().softmax(1).numpy(), strict=True))
            return logits

    loaded = victim()._engine
    with nltk_stop_words(stop_words()):
        attack = textattack.attack_recipes.DeepWordBugGao2018.build(Wrapper(loaded.model, loaded.tokenizer))
    one = textattack.datasets.Dataset([(case.data["text"], case.data["label"])])
    settings = textattack.AttackArgs(
        num_examples=1, random_seed=case_seed(0, case.id), disable_stdout=True, silent=True
    )
    (result,) = textattack.Attacker(attack, one, settings).attack_dataset()
    outcome = type(result).__name__.removesuffix("AttackResult").lower()
    return (
        {"successful": "succeeded"}.get(outcome, outcome),
        result.num_queries,
        result.perturbed_result.attacked_text.text,
        log,
    )


def is_tie(ours: list[Query], theirs: list[Query]) -> bool:
    """Whether two texts asked before the two runs part have scores that padding alone can swap.

    Both make the same choices from the same scores, so they part only there; that the scores agree is asserted.
    """
    shared = [(a, b) for (text, a), (other, b) in zip(ours, theirs, strict=False) if text == other]
    for a, b in shared:
        np.testing.assert_allclose(a, b, atol=SCORE_TOLERANCE)
    scores = np.sort([a[0] for a, _ in shared])
    return bool((np.diff(scores) < 2 * SCORE_TOLERANCE).any())


@pytest.mark.slow
def test_outcome_queries_and_text_are_those_of_textattack(capsys: pytest.CaptureFixture[str]) -> None:
    ties = 0
    for case in cases():
        victim().log = []
        row = attacked([case]).loc[case.id]
        final = row["text"] if row["outcome"] == "skipped" else row["perturbed_text"]
        ours = (row["outcome"], row["queries"], final)
        asked = victim().log
        *theirs, log = by_textattack(case)
        if ours != tuple(theirs):
            assert is_tie(asked, log), (ours, theirs)
            ties += 1
    assert ties <= 2  # none seen; another processor may round otherwise
    assert set(rows()["outcome"]) == {"succeeded", "failed", "skipped"}


def test_the_tie_rule_finds_ties_and_refuses_other_scores() -> None:
    near, far = np.array([0.4, 0.6]), np.array([0.3, 0.7])
    assert is_tie([("a", near), ("b", near + 4e-6)], [("a", near), ("b", near)])
    assert not is_tie([("a", near), ("b", far)], [("a", near), ("b", far)])
    with pytest.raises(AssertionError):
        is_tie([("a", near)], [("a", far)])


def test_the_recipe_is_what_the_docstring_says() -> None:
    with nltk_stop_words(stop_words()):
        attack = load_textattack().attack_recipes.DeepWordBugGao2018.build(Victim(FakeScorer(CLASSIFIER)))
    assert load_textattack().attack_recipes.DeepWordBugGao2018.__mro__[1].__name__ == "AttackRecipe"
    assert [type(part).__name__ for part in attack.transformation.transformations] == [
        "WordSwapNeighboringCharacterSwap",
        "WordSwapRandomCharacterSubstitution",
        "WordSwapRandomCharacterDeletion",
        "WordSwapRandomCharacterInsertion",
    ]
    assert all(part.random_one for part in attack.transformation.transformations)
    (distance,) = attack.constraints
    assert (type(distance).__name__, distance.max_edit_distance) == ("LevenshteinEditDistance", 30)
    assert distance.compare_against_original
    repeat, stop = attack.pre_transformation_constraints
    assert type(repeat).__name__ == "RepeatModification"
    assert stop.stopwords == set(stop_words().words)
    assert (type(attack.search_method).__name__, attack.search_method.wir_method) == ("GreedyWordSwapWIR", "unk")
    assert attack.search_method.unk_token == "[UNK]"
    assert type(attack.goal_function).__name__ == "UntargetedClassification"
    assert attack.goal_function.query_budget == float("inf")


# --- rows -----------------------------------------------------------------------------------------------------------


def test_an_attack_whose_course_is_known() -> None:
    scorer = FakeScorer(CLASSIFIER, classify=likes_good)
    case = example("the good film was on")
    row = attacked([case], scorer).loc[case.id]
    assert (row["outcome"], row["predicted"], row["final_predicted"], row["words"]) == ("succeeded", 1, 0, 5)
    assert (row["score"], row["perturbed_score"]) == pytest.approx((0.9, 0.2))
    before, after = case.data["text"].split(), row["perturbed_text"].split()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True, True]
    assert (row["changed_words"], row["changed_share"]) == (1, 0.2)
    assert row["edit_distance"] in (1, 2)
    # the text, then 'good' and 'film' (the others are stop words) as [UNK], then the ways to misspell 'good'
    assert scorer.calls[:2] == [1, 2]
    assert row["queries"] == sum(scorer.calls)
    assert 2 <= scorer.calls[2] <= 4
    assert len(scorer.calls) == 3


def test_rows_depend_on_the_case_alone() -> None:
    chosen = list(cases()[:12])
    together = rows().loc[[case.id for case in chosen]]
    shuffled = random.Random(1).sample(chosen, len(chosen))
    same(attacked(shuffled).loc[together.index], together)
    shards = pd.concat([attacked(chosen[start::3]) for start in range(3)])
    same(shards.loc[together.index], together)


def test_the_seed_changes_the_attack_and_other_random_numbers_do_not() -> None:
    chosen = cases()[1:6]
    first = rows().loc[[case.id for case in chosen]]
    random.seed(5)
    np.random.seed(5)
    expected = (random.random(), np.random.random())
    random.seed(5)
    np.random.seed(5)
    same(attacked(chosen), first)
    assert (random.random(), np.random.random()) == expected
    assert list(attacked(chosen, seed=1)["perturbed_text"]) != list(first["perturbed_text"])


def test_a_query_is_a_query_though_its_answer_was_kept() -> None:
    scorer = HFScorer(replace(load("bert", "classifier"), model=victim()._engine.model), keep_bytes=1 << 24)
    first = attacked(cases()[:8], scorer)
    read = scorer.counts.rows
    again = attacked(cases()[:8], scorer)
    assert scorer.counts.rows == read > 0
    assert again["queries"].sum() > 8
    same(first, again)
    same(first, rows().iloc[:8])


def test_an_exhausted_budget_is_a_failure_that_says_so() -> None:
    case = example("the good film was on")
    for budget, outcome in ((1, "failed"), (2, "failed"), (3, "failed"), (4, "succeeded")):
        row = attacked([case], FakeScorer(CLASSIFIER, classify=likes_good), query_budget=budget).loc[case.id]
        assert (row["outcome"], row["queries"], row["budget_exhausted"]) == (outcome, budget, outcome == "failed")


def test_a_failed_attack_keeps_the_best_it_found() -> None:
    scorer = FakeScorer(CLASSIFIER, classify=lambda request: (0.2, 0.8) if "good" in request.text else (0.3, 0.7))
    case = example("the good film")
    row = attacked([case], scorer).loc[case.id]
    assert (row["outcome"], row["final_predicted"], row["budget_exhausted"]) == ("failed", 1, False)
    assert row["perturbed_score"] == pytest.approx(0.7)
    assert row["changed_words"] == 1


def test_a_misclassified_text_is_skipped_after_one_query() -> None:
    case = example("the good film", label=0)
    row = attacked([case], FakeScorer(CLASSIFIER, classify=likes_good)).loc[case.id]
    assert (row["outcome"], row["queries"], row["predicted"]) == ("skipped", 1, 1)
    assert row[["perturbed_text", "final_predicted", "perturbed_score", "changed_words"]].isna().all()


def test_whatever_breaks_inside_an_attack_is_an_error_and_touches_no_other_case() -> None:
    def classify(request: TextRequest) -> tuple[float, float]:
        if "bomb" in request.text and "[UNK]" in request.text:
            raise ZeroDivisionError("told to")
        return likes_good(request)

    fine, crash, broken, wordless, blank = (
        *(example(text) for text in ("a good film", "good bomb", "good broken", "?!")),
        Case("blank", {"text": "", "label": 1, "words_cut": 0}),
    )
    found = attacked([crash, broken, wordless, blank, fine], FakeScorer(CLASSIFIER, classify=classify))
    assert list(found["status"]) == ["error"] * 2 + ["excluded"] * 2 + ["ok"]
    assert found.loc[crash.id, "error"] == "ZeroDivisionError: told to"
    assert found.loc[broken.id, "error"] == "VictimError: non-finite logits, asked for 'good broken'"
    assert found.loc[[wordless.id, blank.id], "error"].tolist() == ["the text has no word to attack"] * 2
    assert found.loc[crash.id].drop(["status", "error"]).isna().all()
    alone = attacked([fine], FakeScorer(CLASSIFIER, classify=likes_good))
    same(found.loc[[fine.id]], alone)


def test_an_error_of_the_audit_itself_stops_it() -> None:
    def classify(_: TextRequest) -> tuple[float, float]:
        raise AssayError("no device")

    with pytest.raises(AssayError, match="no device"):
        attacked([example("a good film")], FakeScorer(CLASSIFIER, classify=classify))


def test_rows_fit_the_schema_and_survive_parquet(tmp_path: Path) -> None:
    store = RowStore(tmp_path, DeepWordBug.name, AttackRow)
    wordless = example("?!")
    store.append(DeepWordBug(AttackParams(semantics=None)).run(victim(), [*cases()[:11], wordless]))
    read = store.read().set_index("case_id")
    assert read["stop_words"].dropna().unique().tolist() == [stop_words().name]
    assert read.loc[wordless.id, "status"] == "excluded"
    expected = rows().loc[[case.id for case in cases()[:11]]]
    assert read["queries"].drop(wordless.id)[expected.index].tolist() == expected["queries"].tolist()
    assert set(expected["outcome"]) >= {"skipped", "failed"}


def test_what_the_model_cannot_read_is_counted() -> None:
    text = " ".join(["good"] * 3 + ["film"] * MAX_TOKENS)
    label = victim().ask([TextRequest(text)])[0].label
    row = attacked([example(text, 1 - label)]).iloc[0]
    assert row["truncated"] == len(victim().encode(text)) - MAX_TOKENS > 0


# --- cases ----------------------------------------------------------------------------------------------------------


def test_cases_hold_class_indices_and_the_words_that_are_left() -> None:
    frame = pd.DataFrame({"text": ["one two  three", "four"], "label": ["pos", "negative"]})
    probe = DeepWordBug(AttackParams(max_words=2))
    found = [dict(case.data) for case in probe.cases(plan(CLASSIFIER, examples=frame))]
    assert found == [
        {"text": "one two", "label": 1, "words_cut": 1},
        {"text": "four", "label": 0, "words_cut": 0},
    ]


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("a b  c", None, ("a b  c", 0)),
        ("a b  c", 3, ("a b  c", 0)),
        (" a\nb  c ", 2, (" a\nb", 1)),
        ("a b  c", 1, ("a", 2)),
    ],
)
def test_first_words(text: str, most: int | None, expected: tuple[str, int]) -> None:
    assert first_words(text, most) == expected


def test_bad_data_is_refused() -> None:
    topics = make_info(Need.SEQUENCE_CLASSIFIER, labels=("sports", "business"))
    with pytest.raises(DataError, match="default data are sentiment"):
        DeepWordBug().cases(plan(topics, examples=dataset(pd.DataFrame({"text": ["a"], "label": ["neg"]}), EXAMPLES)))


def test_cost_is_bounded_by_the_budget() -> None:
    case = example("one two three four")  # 18 characters
    assert DeepWordBug().cost([case]) == 13 * 18 // 4
    assert DeepWordBug(AttackParams(query_budget=5)).cost([case, case]) == 2 * (5 * 18 // 4)


def test_without_textattack_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    hint = r"needs TextAttack, which is not installed; pip install 'assay\[adversarial\]'"
    with pytest.raises(UsageError, match=hint):
        list(DeepWordBug().run(FakeScorer(CLASSIFIER), [example("a good film")]))
    offers = frozenset({Need.SEQUENCE_CLASSIFIER})
    why = DeepWordBug.why_not(offers)
    assert why is not None
    assert "pip install 'assay[adversarial]'" in why
    monkeypatch.undo()
    assert DeepWordBug.why_not(offers) is None
    assert DeepWordBug.why_not(frozenset()) == "needs a sequence classifier; the checkpoint offers nothing"


# --- metrics --------------------------------------------------------------------------------------------------------


def made(outcome: str, queries: int = 1, changed: float | None = None, **other: Any) -> dict[str, Any]:
    return {
        "status": "ok",
        "outcome": outcome,
        "label": 1,
        "predicted": 0 if outcome == "skipped" else 1,
        "final_predicted": {"succeeded": 0, "failed": 1}.get(outcome),
        "queries": queries,
        "changed_share": changed,
        "budget_exhausted": False,
        "words_cut": 0,
        "truncated": 0,
        "stop_words": "list",
        **other,
    }


def measured(*found: dict[str, Any]) -> dict[str, Metric]:
    return {metric.key: metric for metric in DeepWordBug(AttackParams(semantics=None)).measure(pd.DataFrame(found))}


def test_metrics_of_rows_counted_by_hand() -> None:
    metrics = measured(
        made("succeeded", 10, 0.1),
        made("succeeded", 20, 0.4),
        made("failed", 60, 0.5, budget_exhausted=True, words_cut=3),
        made("skipped", truncated=2),
        {**dict.fromkeys(made("")), "status": "error"},
    )
    clean, after, success = (
        metrics[f"{key}"] for key in ("clean_accuracy", "after_attack_accuracy", "attack_success_rate")
    )
    assert (clean.value, clean.n, clean.missing) == (3 / 4, 4, 1)
    assert (after.value, after.n, after.missing) == (1 / 4, 4, 1)
    assert (success.value, success.n, success.interval) == (2 / 3, 3, "Clopper-Pearson")
    assert (success.low, success.high) == pytest.approx((0.0943, 0.9916), abs=1e-4)  # of 2 of 3
    assert (metrics["mean_queries"].value, metrics["mean_queries"].n) == (30, 3)
    assert (metrics["mean_queries_success"].value, metrics["mean_queries_success"].n) == (15, 2)
    assert (metrics["perturbed_words"].value, metrics["perturbed_words"].n) == (0.25, 2)
    assert success.note == (
        "2 succeeded, 1 failed, 1 skipped, 1 failed at the query budget, more queries may succeed, "
        "1 cut to their first words, 1 longer than the model reads, 1 errors, their robustness is unknown; "
        "stop words not attacked: list"
    )


def test_what_cannot_be_measured_is_missing_with_its_reason() -> None:
    metrics = measured(made("skipped"), made("skipped"))
    assert (metrics["clean_accuracy"].value, metrics["after_attack_accuracy"].value) == (0, 0)
    for key in ("attack_success_rate", "mean_queries"):
        assert metrics[key].value is None
        assert metrics[key].note == "every text was already what the attack is after"
    metrics = measured(made("failed", 9, 0.0))
    assert metrics["attack_success_rate"].value == 0
    assert metrics["perturbed_words"].value is None
    assert metrics["perturbed_words"].note == "no attack succeeded"
    metrics = measured({**dict.fromkeys(made("")), "status": "error"})
    assert {metric.value for metric in metrics.values()} == {None}
    assert {metric.missing for metric in metrics.values()} == {1}


def test_metrics_are_textattacks() -> None:
    """Its own summary of the same attacks: accuracies, success rate, queries and words, in per cent to two places."""
    textattack = load_textattack()
    with nltk_stop_words(stop_words()):
        loaded = victim()._engine
        wrapper = textattack.models.wrappers.HuggingFaceModelWrapper(loaded.model, loaded.tokenizer)
        attack = textattack.attack_recipes.DeepWordBugGao2018.build(wrapper)
    results = []
    for case in cases()[:20]:
        random.seed(case_seed(0, case.id))
        np.random.seed(case_seed(0, case.id))
        results.append(attack.attack(case.data["text"], case.data["label"]))
    kinds = textattack.metrics
    outcome = kinds.AttackSuccessRate().calculate(results)
    ours = {m.key: m.value or 0 for m in DeepWordBug().measure(rows().loc[[case.id for case in cases()[:20]]])}
    assert [
        outcome["original_accuracy"],
        outcome["attack_accuracy_perc"],
        outcome["attack_success_rate"],
        kinds.AttackQueries().calculate(results)["avg_num_queries"],
        kinds.WordsPerturbed().calculate(results)["avg_word_perturbed_perc"],
    ] == pytest.approx(
        [
            100 * ours["clean_accuracy"],
            100 * ours["after_attack_accuracy"],
            100 * ours["attack_success_rate"],
            ours["mean_queries"],
            100 * ours["perturbed_words"],
        ],
        abs=0.0051,
    )
