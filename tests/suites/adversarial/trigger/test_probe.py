from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.case import Case
from harness.api.lists import as_list
from harness.api.models import Models
from harness.api.needs import Need
from harness.api.scorer import ClassScores, TextRequest
from harness.errors import DataError, UsageError
from harness.record.prepared import KeptOnDisk
from harness.scorer.hf import HFScorer
from harness.stats.intervals import clopper_pearson
from harness.stats.paired import flip_regression
from suites.adversarial.trigger.probe import EXAMPLES, UniversalTrigger, UniversalTriggerParams
from suites.adversarial.trigger.search import Goal, Settings, Trigger, find_trigger, read_back, to_keep
from tests.fakes import FakeScorer, by_key, dataset, make_info, plan, rows_of, values
from tests.scoring import load
from tests.suites.adversarial.bag import Bag

INFO = make_info(Need.SEQUENCE_CLASSIFIER)
NEUTRAL = ("the", "a", "film", "story", "plot", "scene", "actor", "music", "house", "year")
GOOD, BAD = ("good", "great", "fine", "fun"), ("bad", "dull", "awful", "cold")
WEIGHTS = {
    **dict.fromkeys(NEUTRAL, (0.0, 0.0)),
    **dict.fromkeys(GOOD, (0.0, 2.0)),
    **dict.fromkeys(BAD, (2.0, 0.0)),
    "terrible": (9.0, 0.0),
    "superb": (0.0, 9.0),
}
"""Words of which only two, that no text has, turn a whole class."""


def texts(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = [number % 2 for number in range(n)]
    made = [
        " ".join([*rng.choice(NEUTRAL, 4), rng.choice((BAD, GOOD)[label]), f"{number}"])
        for number, label in enumerate(labels)
    ]
    return pd.DataFrame({"text": made, "label": labels})


def cases_of(frame: pd.DataFrame, **params: Any) -> list[Case]:
    return UniversalTrigger(UniversalTriggerParams(**params)).cases(plan(INFO, examples=frame))


def run(scorer: Any, chosen: Sequence[Case], folder: Path, **params: Any) -> pd.DataFrame:
    return rows_of(UniversalTrigger(UniversalTriggerParams(**params)), scorer, chosen, folder)


# --- the split --------------------------------------------------------------------------------------------------------


def test_half_of_each_class_is_held_out_and_no_text_is_on_both_sides() -> None:
    frame = pd.concat([texts(), texts()[:6]], ignore_index=True)  # six texts stand there twice
    found = cases_of(frame)
    searched = found[0].data["search_texts"]
    assert [sum(each["label"] == label for each in searched) for label in (0, 1)] == [10, 10]
    inside, outside = {each["text"] for each in searched}, [case.data["text"] for case in found]
    assert not inside & set(outside)
    assert inside | set(outside) == set(frame["text"])
    assert sorted(outside) == sorted(text for text in frame["text"] if text not in inside)
    assert all(case.data["search_texts"] is searched for case in found)
    assert len({case.id for case in found}) == len(found)


def test_the_split_depends_on_content_and_seed_alone() -> None:
    forwards, backwards = cases_of(texts()), cases_of(texts()[::-1].reset_index(drop=True))
    assert {case.id for case in forwards} == {case.id for case in backwards}
    assert {case.id for case in forwards} != {case.id for case in cases_of(texts(), seed=1)}
    few = cases_of(texts(), search_texts=3)
    assert len(few) == 40 - 6
    assert {each["text"] for each in few[0].data["search_texts"]} < {
        each["text"] for each in forwards[0].data["search_texts"]
    }


def test_a_targets_own_texts_are_left_out() -> None:
    found = cases_of(texts(), target="positive")
    assert {case.data["label"] for case in found} == {0}
    assert {case.data["target"] for case in found} == {1}
    with pytest.raises(DataError, match="target 'neutral' is none of the model's classes, negative, positive"):
        cases_of(texts(), target="neutral")
    with pytest.raises(DataError, match=r"test\.csv: every text is of class 'positive', the target"):
        cases_of(texts().query("label == 1"), target="positive")


def test_pairs_and_cuts() -> None:
    frame = texts(8).assign(pair="a story of a year")
    found = cases_of(frame, max_words=3, side="second")
    assert found[0].data["pair"] == "a story of"
    assert found[0].data["words_cut"] == 3 + 2
    with pytest.raises(DataError, match="no column 'pair', but side is 'second'"):
        cases_of(texts(8), side="second")


def test_cost_counts_held_out_texts_three_times_and_searches_per_class() -> None:
    frame = pd.DataFrame({"text": ["x" * 36 + f"{n:04d}" for n in range(8)], "label": [0, 1] * 4})
    probe = UniversalTrigger(UniversalTriggerParams(trigger_tokens=2, candidates=5, iterations=3))
    found = probe.cases(plan(INFO, examples=frame))
    assert len(found) == 4
    tries = 2 + 3 * (1 + 2 * 5)
    assert probe.cost(found) == (4 * 3 * 40 + 2 * 2 * 40 * tries) // 4
    assert probe.cost(found[:1]) == (3 * 40 + 2 * 40 * tries) // 4


# --- rows -------------------------------------------------------------------------------------------------------------


def test_planted_words_are_found_and_turn_the_held_out_texts(tmp_path: Path) -> None:
    rows = run(Bag(WEIGHTS), cases_of(texts()), tmp_path, trigger_tokens=2)
    assert (rows["status"] == "ok").all()
    triggers = rows.groupby("label_name")["trigger"].unique().map(list).to_dict()
    assert triggers == {"negative": ["superb superb"], "positive": ["terrible terrible"]}
    assert (rows["perturbed_text"] == rows["trigger"] + " " + rows["text"]).all()
    assert (rows["perturbed_predicted"] == 1 - rows["label"]).all()
    assert (rows["search"] == "gradient").all()
    assert rows["why_black_box"].isna().all()
    assert (rows["search_success"] == 1).all()
    assert (rows["search_loss"] < rows["search_start_loss"]).all()
    assert rows["control"].nunique() > 10
    found = by_key(UniversalTrigger().measure(rows))
    assert found["trigger_success_rate", ""].value == 1
    control = found["control_success_rate", ""].value
    assert control is not None
    assert control < 0.5
    assert found["success_above_control", ""].value == pytest.approx(1 - control)
    assert "negative: 'superb superb' by gradient on 10 texts" in found["triggered_accuracy", ""].note


def test_every_number_of_a_row_is_that_of_the_text_it_shows() -> None:
    scorer = HFScorer(load("bert", "classifier"))
    probe = UniversalTrigger(UniversalTriggerParams(trigger_tokens=2, candidates=4, iterations=1))
    chosen = cases_of(texts(24))
    rows = [row for row in probe.run(scorer, chosen) if row["status"] == "ok"]
    assert len(rows) == len(chosen)
    for row in rows:
        shown = (row["text"], row["perturbed_text"], f"{row['control']} {row['text']}")
        answers = scorer.ask([TextRequest(text) for text in shown])
        assert [row["predicted"], row["perturbed_predicted"], row["control_predicted"]] == [a.label for a in answers]
        scores = [float(answer.probabilities[row["label"]]) for answer in answers]
        assert [row["score"], row["perturbed_score"], row["control_score"]] == pytest.approx(scores, abs=1e-5)
        tokens = tuple(as_list(row["trigger_tokens"]))
        assert scorer.encode(row["perturbed_text"], special=False)[: len(tokens)] == tokens
        assert len(scorer.encode(row["control"], special=False)) == len(tokens)


def test_a_search_runs_once_per_class_and_is_kept_for_a_resumed_audit(tmp_path: Path) -> None:
    chosen = cases_of(texts())
    plain = UniversalTrigger(UniversalTriggerParams(trigger_tokens=2))
    scorer = Bag(WEIGHTS)
    models, known = Models(scorer), plan(INFO, examples=texts())
    probe = plain.within(models, KeptOnDisk(tmp_path / "kept"))
    probe.prepare(models, replace(known, cases=chosen[:10]))
    searched = scorer.reads
    rows = list(probe.run(scorer, chosen[:10]))
    searches = sum({row["label"]: row["search_reads"] for row in rows}.values())
    assert (searched, scorer.reads) == (searches, searches + 3 * 10)
    later = Bag(WEIGHTS)
    resumed = plain.within(Models(later), KeptOnDisk(tmp_path / "kept"))
    resumed.prepare(Models(later), replace(known, cases=chosen[:10]))
    assert later.reads == 0
    assert [row for case in chosen[:10] for row in resumed.run(later, [case])] == rows
    assert later.reads == 3 * 10
    assert list(plain.run(Bag(WEIGHTS), chosen[:10])) == rows, "without an audit each call searches"


@pytest.mark.parametrize("search", ["gradient", "black_box"])
def test_what_is_kept_of_a_search_is_all_of_it(search: str) -> None:
    scorer, goal = Bag(WEIGHTS), Goal(0)
    settings = Settings(2, 4, 1, 1, 1000, 0, gradient=search == "gradient")
    requests = [TextRequest(text) for text in texts(8).query("label == 0")["text"]]
    found = find_trigger(scorer, goal, settings, requests, [])
    assert read_back(json.loads(json.dumps(to_keep(found)))) == replace(found, pool=read_pool(found))
    assert read_back(to_keep("no trigger: none")) == "no trigger: none"


def read_pool(found: Trigger) -> Sequence[int]:
    """As it was: all tokens as a range, some as a list."""
    return found.pool if isinstance(found.pool, range) else list(found.pool)


def test_target_side_and_pair(tmp_path: Path) -> None:
    labels = ("negative", "positive", "odd")
    weights = {word: (*weight, 0.0) for word, weight in WEIGHTS.items()} | {"strange": (0.0, 0.0, 6.0)}
    frame = texts().assign(pair="the story")
    probe = UniversalTrigger(UniversalTriggerParams(trigger_tokens=2, target="odd", side="second"))
    info = make_info(Need.SEQUENCE_CLASSIFIER, labels=labels)
    rows = rows_of(probe, Bag(weights, labels), probe.cases(plan(info, examples=frame)), tmp_path)
    assert set(rows["trigger"]) == {"strange strange"}
    assert (rows["perturbed_text"] == rows["text"]).all()
    assert (rows["perturbed_pair"] == "strange strange the story").all()
    assert (rows["perturbed_predicted"] == 2).all()
    assert (rows["target"] == 2).all()
    assert values(probe.measure(rows))["trigger_success_rate"] == 1


def polar(request: TextRequest) -> tuple[float, float]:
    words = request.text.lower().split()
    margin = sum(3 * (word in GOOD) - 3 * (word in BAD) for word in words)
    return (1 / (1 + np.exp(margin)), 1 / (1 + np.exp(-margin)))


def test_without_gradients_the_fallback_is_named(tmp_path: Path) -> None:
    fake, chosen = FakeScorer(INFO, classify=polar), cases_of(texts())
    rows = run(fake, chosen, tmp_path, trigger_tokens=2, candidates=40)
    assert (rows["search"] == "black box").all()
    assert set(rows["why_black_box"]) == {"the fake gives no gradients"}
    words = {word for case in chosen for each in case.data["search_texts"] for word in each["text"].split()}
    assert {word for trigger in rows["trigger"] for word in trigger.split()} <= words
    assert values(UniversalTrigger().measure(rows))["trigger_success_rate"] == 1
    with pytest.raises(UsageError, match=r"universal_trigger: the fake gives no gradients; set search: black_box"):
        run(fake, chosen, tmp_path / "2", search="gradient")
    chosen_box = run(Bag(WEIGHTS), chosen, tmp_path / "3", search="black_box")
    assert (chosen_box["search"] == "black box").all()
    assert chosen_box["why_black_box"].isna().all()


class Fragile(Bag):
    """Gives no usable answer to texts that speak of a house, as they are or behind some words."""

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        broken = ClassScores(np.empty(0), error="out of order")
        answers = super().classify(requests)
        return [broken if "house" in asked.text else answer for asked, answer in zip(requests, answers, strict=True)]


def test_errors_are_rows_and_missing(tmp_path: Path) -> None:
    chosen = cases_of(texts())
    rows = run(Fragile(WEIGHTS), chosen, tmp_path)
    bad = [case.id for case in chosen if "house" in case.data["text"]]
    errors = rows[rows["status"] == "error"]
    assert 0 < len(bad) < len(chosen)
    assert set(bad) <= set(errors["case_id"])
    assert set(errors["error"]) <= {f"{what}: out of order" for what in ("the text", "behind the control")}
    metrics = UniversalTrigger().measure(rows)
    assert {metric.missing for metric in metrics if not metric.slice} == {len(errors)}
    assert {metric.n for metric in metrics if metric.key == "clean_accuracy"} == {len(chosen) - len(errors)}


def test_a_class_without_texts_to_search_on_says_so(tmp_path: Path) -> None:
    frame = pd.concat([texts().query("label == 0"), texts()[1:2]], ignore_index=True)
    rows = run(Bag(WEIGHTS), cases_of(frame), tmp_path)
    (error,) = rows.loc[rows["status"] == "error", "error"]
    assert error == "no trigger: there is no text of its class to search on"


def test_a_failed_search_is_not_tried_for_every_text() -> None:
    class Broken(Bag):
        def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
            self.reads += len(requests)
            return [ClassScores(np.empty(0), error="out of order") for _ in requests]

    scorer = Broken(WEIGHTS)
    rows = list(UniversalTrigger().run(scorer, cases_of(texts())))
    why = "no trigger: no text of its class to search on can be classified: out of order"
    assert {row["error"] for row in rows} == {why}
    assert scorer.reads == 20


def test_a_text_too_long_is_counted(tmp_path: Path) -> None:
    scorer = HFScorer(load("bert", "classifier", max_tokens=8))
    rows = run(scorer, cases_of(texts(8)), tmp_path, candidates=2, iterations=1)
    assert (rows["status"] == "ok").all()
    expected = [max(0, len(scorer.encode(text)) - 8) for text in rows["text"]]
    assert rows["truncated"].tolist() == expected
    assert "longer than the model reads" in by_key(UniversalTrigger().measure(rows))["trigger_success_rate", ""].note


# --- metrics ----------------------------------------------------------------------------------------------------------


def made_rows(outcomes: Sequence[tuple[int, int, int, int]], target: int | None = None) -> pd.DataFrame:
    """Rows of (label, predicted, behind the trigger, behind the control)."""
    frame = pd.DataFrame(outcomes, columns=["label", "predicted", "perturbed_predicted", "control_predicted"])
    frame["case_id"] = [str(number) for number in range(len(frame))]
    frame["label_name"] = [f"class {label}" for label in frame["label"]]
    frame["target"] = pd.array([target] * len(frame), dtype="Int64")
    return frame.assign(
        status="ok", error=None, trigger="x y", search="gradient", search_texts=5, search_exhausted=False,
        words_cut=0, truncated=0,
    )  # fmt: skip


def test_metrics_are_counts_of_the_rows() -> None:
    rows = made_rows(
        [(0, 0, 1, 0)] * 6 + [(0, 0, 1, 1)] * 2 + [(0, 0, 0, 0)] * 3 + [(1, 1, 1, 0)] * 1 + [(1, 0, 1, 0)] * 4
    )
    error = pd.DataFrame({"case_id": ["e"], "status": ["error"], "error": ["why"]})
    found = by_key(UniversalTrigger().measure(pd.concat([rows, error], ignore_index=True)))
    expected = {
        "clean_accuracy": (12, 16),
        "triggered_accuracy": (3 + 1 + 4, 16),
        "control_accuracy": (9, 16),
        "trigger_success_rate": (8, 12),
        "control_success_rate": (3, 12),
    }
    for key, (hits, n) in expected.items():
        metric, interval = found[key, ""], clopper_pearson(hits, n)
        assert (metric.value, metric.n, metric.missing) == (hits / n, n, 1), key
        assert (metric.low, metric.high, metric.interval) == (interval.low, interval.high, "Clopper-Pearson")
    above, interval = found["success_above_control", ""], flip_regression(6, 1, 12).interval
    assert above.value == pytest.approx(5 / 12)
    assert (above.low, above.high, above.n) == (interval.low, interval.high, 12)
    assert found["trigger_success_rate", "class 0"].value == 8 / 11
    assert found["control_success_rate", "class 1"].value == 1
    assert not found["trigger_success_rate", "class 0"].headline
    assert {key for key, part in found if not part} == set(UniversalTrigger().named())


def test_a_target_is_reached_only_by_its_class() -> None:
    rows = made_rows([(0, 0, 2, 1), (0, 0, 1, 2), (1, 1, 2, 0), (1, 1, 1, 1)], target=2)
    found = values(UniversalTrigger().measure(rows))
    assert found["trigger_success_rate"] == 2 / 4
    assert found["control_success_rate"] == 1 / 4
    assert found["triggered_accuracy"] == 1 / 4


def test_where_no_text_is_right_success_is_missing() -> None:
    found = by_key(UniversalTrigger().measure(made_rows([(0, 1, 1, 1)])))
    assert found["clean_accuracy", ""].value == 0
    for key in ("trigger_success_rate", "control_success_rate", "success_above_control"):
        for part in ("", "class 0"):
            assert found[key, part].value is None
            assert found[key, part].note == "no held-out text was classified right without a trigger"


def test_triggers_that_a_resumed_search_did_not_repeat_are_noted() -> None:
    rows = made_rows([(0, 0, 1, 0)] * 2).assign(trigger=["x y", "x z"], search_exhausted=[False, True])
    note = by_key(UniversalTrigger().measure(rows))["trigger_success_rate", ""].note
    assert "class 0: 'x z' by gradient on 5 texts, out of reads" in note
    assert "class 0 has 2 triggers" in note


def test_default_data_are_for_sentiment_models_only() -> None:
    info = make_info(Need.SEQUENCE_CLASSIFIER, labels=("sport", "politics"))
    frame = texts(4).assign(label=["sport", "politics"] * 2)
    with pytest.raises(DataError, match="the default data are sentiment labels"):
        UniversalTrigger().cases(plan(info, examples=dataset(frame, EXAMPLES)))
