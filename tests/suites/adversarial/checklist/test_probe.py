from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.case import Case
from harness.api.needs import Need
from harness.api.scorer import ClassScores, TextRequest
from harness.base.validation import validated
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError, UsageError
from harness.stats.intervals import clopper_pearson
from suites.adversarial.checklist.changes import CHANGES
from suites.adversarial.checklist.probe import KINDS, Checklist, ChecklistParams
from suites.adversarial.checklist.templates import ChecklistTests, built_in_words
from tests.fakes import FakeScorer, by_key, dataset, make_info, plan, rows_of

INFO = make_info(Need.SEQUENCE_CLASSIFIER)
TOPICS = make_info(Need.SEQUENCE_CLASSIFIER, labels=("sports", "business"))
WORDS = built_in_words()
GOOD = {*WORDS["pos"], *WORDS["plain_pos"], "love", "adore", "admire", "enjoy", "recommend", "best", "better", "beats"}
BAD = {*WORDS["neg"], "hate", "dislike", "despise", "stand", "worse", "worst", "advise", "angry", "waste"}


def bag_of_words(request: TextRequest) -> Sequence[float]:
    """Counts words of praise and complaint and knows nothing of negation, time or roles; names and length leak in."""
    words = f"{request.text} {request.pair or ''}".lower().replace(".", " ").replace(",", " ").split()
    score = float(sum(word in GOOD for word in words) - sum(word in BAD for word in words))
    score += 0.2 * ("anna" in words) - 0.02 * len(words)
    p = 1 / (1 + np.exp(-score))
    return (1 - p, p)


def run(chosen: Sequence[Case], folder: Path, info: Any = INFO, **params: Any) -> pd.DataFrame:
    return rows_of(Checklist(ChecklistParams(**params)), FakeScorer(info, classify=bag_of_words), chosen, folder)


@cache
def cases() -> tuple[Case, ...]:
    return tuple(Checklist().cases(plan(INFO)))


def some(n: int, seed: int = 0) -> list[Case]:
    return random.Random(seed).sample(cases(), n)


def own(*rows: tuple[str, ...]) -> pd.DataFrame:
    columns = ["kind", "capability", "test", "expect", "template", "changed"]
    return pd.DataFrame([(*row, "")[:6] for row in rows], columns=columns)


# --- against a direct loop --------------------------------------------------------------------------------------------


def test_outcomes_and_rates_are_those_of_a_direct_loop_over_the_texts(tmp_path: Path) -> None:
    """Each case decided again from the texts in its row, by CheckList's definitions."""
    chosen = some(400)
    rows = run(chosen, tmp_path)
    outcomes: dict[str, str] = {}
    for row in rows.to_dict("records"):
        before = bag_of_words(TextRequest(row["text"]))
        fails: list[bool] = []
        if row["kind"] == "MFT":
            wanted = {"positive": 1, "not negative": 1, "negative": 0}[row["expected"]]
            fails = [int(np.argmax(before)) != wanted]
        for version in json.loads(row["versions"]):
            after = bag_of_words(TextRequest(version["text"]))
            assert version["probabilities"] == pytest.approx(after)
            if row["kind"] == "INV":
                fails.append(bool(np.argmax(after) != np.argmax(before)))
            else:
                name, _, way = row["expected"].partition(" not ")
                at = ("negative", "positive").index(name)
                if (before[at] if way == "down" else 1 - before[at]) > 0.1:
                    fails.append((before[at] - after[at]) * (1 if way == "down" else -1) > 0.1)
        outcomes[row["case_id"]] = "not applicable" if not fails else "failed" if any(fails) else "passed"
    assert rows.set_index("case_id")["outcome"].to_dict() == outcomes
    metrics = by_key(Checklist().measure(rows))
    for kind in KINDS:
        mine = [outcomes[case.id] for case in chosen if case.data["kind"] == kind]
        rate = mine.count("failed") / (len(mine) - mine.count("not applicable"))
        assert metrics[f"{kind.lower()}_failure_rate", ""].value == pytest.approx(rate)
    assert metrics["not_applicable", ""].value == list(outcomes.values()).count("not applicable") / 400


def test_a_bag_of_words_fails_what_it_cannot_know(tmp_path: Path) -> None:
    rows = run([case for case in cases() if case.data["kind"] == "MFT"], tmp_path)
    metrics = by_key(Checklist().measure(rows))
    assert metrics["failure_rate", "MFT Vocabulary: plain praise"].value == 0
    assert metrics["failure_rate", "MFT Vocabulary: plain complaint"].value == 0
    for test in ("negated praise", "negated complaint", "fears that did not come true"):
        metric = metrics["failure_rate", f"MFT Negation: {test}"]
        assert metric.value is not None
        assert metric.value > 0.8
        n = metric.n
        expected = clopper_pearson(round(metric.value * n), n)
        assert (metric.low, metric.high, metric.interval) == (expected.low, expected.high, "Clopper-Pearson")


def test_a_classifier_that_ignores_its_input_passes_every_change(tmp_path: Path) -> None:
    fake = FakeScorer(INFO, classify=lambda _: (0.4, 0.6))
    rows = rows_of(Checklist(), fake, some(300), tmp_path)
    assert set(rows[rows["kind"] != "MFT"]["outcome"]) == {"passed", "not applicable"}
    assert (rows[rows["kind"] == "MFT"]["outcome"] == "failed").any()


# --- rows -------------------------------------------------------------------------------------------------------------


def example(text: str, label: int = 1, *, pair: str | None = None, **params: Any) -> list[Case]:
    """The cases of one text of the user's."""
    frame = pd.DataFrame({"text": [text], "label": [label], **({} if pair is None else {"pair": [pair]})})
    found = Checklist(ChecklistParams(**params)).cases(plan(INFO, examples=frame))
    return [case for case in found if case.data["source"] == "examples"]


def test_one_failing_version_fails_the_case_and_is_the_one_shown(tmp_path: Path) -> None:
    tests = own(
        ("INV", "Named entities", "who", "", "A {good} film", "So {good} a film"),
        ("INV", "Named entities", "who", "", "A {good} film", "A {good} film, no horrible dreadful one"),
        ("INV", "Named entities", "who", "", "A {good} film", "That {good} film"),
    )
    params = {"words": {"good": ["great"]}, "changes": ()}
    (case,) = Checklist(ChecklistParams.model_validate(params)).cases(plan(INFO, tests=tests))
    (row,) = run([case], tmp_path, **params).to_dict("records")
    assert [version["failed"] for version in json.loads(row["versions"])] == [False, True, False]
    assert (row["outcome"], row["perturbed_predicted"], row["predicted"]) == ("failed", 0, 1)
    assert row["perturbed_text"] == "A great film, no horrible dreadful one"
    assert (row["expected"], row["base"], row["text"]) == ("the same class", "A {good} film", "A great film")


def test_a_text_without_a_name_does_not_apply_and_says_so(tmp_path: Path) -> None:
    rows = run(example("a great film", changes=("names", "places", "numbers")), tmp_path)
    assert rows["outcome"].tolist() == ["not applicable"] * 3
    assert rows["why"].tolist() == [CHANGES[name].why_not for name in ("names", "places", "numbers")]
    assert rows["perturbed_text"].isna().all()
    metrics = by_key(Checklist().measure(rows))
    assert metrics["failure_rate", ""].value is None
    assert metrics["failure_rate", ""].missing == 0
    assert metrics["not_applicable", ""].value == 1


def test_no_room_to_move_the_wrong_way_does_not_apply(tmp_path: Path) -> None:
    """'positive' at 0.03 cannot fall by more than 0.1."""
    rows = run(example("awful horrible bad dull film", 0, changes=("praise added", "complaint added")), tmp_path)
    rows = rows.set_index("test")
    assert rows.loc["praise added", "outcome"] == "not applicable"
    assert "so near its end" in str(rows.loc["praise added", "why"])
    assert rows.loc["complaint added", "outcome"] in ("passed", "failed")
    assert [version["failed"] for version in json.loads(str(rows.loc["praise added", "versions"]))] == [None] * 3


class Short(FakeScorer):
    """Reads the first six words alone."""

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        cut = [TextRequest(" ".join(each.text.split()[:6])) for each in requests]
        return [
            ClassScores(answer.logits, len(asked.text.split()) > 6, answer.error)
            for asked, answer in zip(requests, super().classify(cut), strict=True)
        ]


def test_a_change_that_is_cut_off_does_not_apply(tmp_path: Path) -> None:
    info = make_info(Need.SEQUENCE_CLASSIFIER, max_tokens=8)
    text = "great films are made in London and once more in Berlin"
    rows = rows_of(
        Checklist(ChecklistParams(versions=100)),
        Short(info, classify=bag_of_words),
        example(text, changes=("neutral ending", "places", "neutral opening")),
        tmp_path,
    ).set_index("test")
    assert rows.loc["neutral ending", "outcome"] == "not applicable"
    assert rows.loc["neutral ending", "why"] == "the model cuts the text off before or within the change"
    assert rows.loc["neutral opening", "outcome"] != "not applicable"
    read = {
        version["text"].split()[5] == "London": version["failed"]
        for version in json.loads(str(rows.loc["places", "versions"]))
    }
    assert read == {True: None, False: False}


def test_rows_depend_on_the_case_and_the_seed_alone(tmp_path: Path) -> None:
    chosen = some(60)
    together = run(chosen, tmp_path / "all").set_index("case_id")
    shuffled = random.Random(1).sample(chosen, len(chosen))
    for at, shard in enumerate((shuffled[::2], shuffled[1::2])):
        found = run(shard, tmp_path / f"shard{at}").set_index("case_id")
        pd.testing.assert_frame_equal(found, together.loc[found.index], check_dtype=False)
    names = [case for case in cases() if case.data["change"] == "names"][:20]
    one, other = (run(names, tmp_path / f"seed{seed}", seed=seed) for seed in (0, 1))
    assert one["versions"].tolist() != other["versions"].tolist()


def test_each_distinct_text_is_asked_once_for_all_cases_together() -> None:
    fake = FakeScorer(INFO, classify=bag_of_words)
    chosen = some(50)
    rows = list(Checklist().run(fake, chosen))
    asked = {row["text"] for row in rows} | {v["text"] for row in rows for v in json.loads(row["versions"])}
    assert fake.calls == [len(asked)]


def test_an_unusable_answer_is_an_error_that_names_the_test(tmp_path: Path) -> None:
    rows = run(example("a broken film", changes=("final mark", "praise added")), tmp_path)
    assert rows["error"].tolist() == [
        "INV Robustness: final mark (examples): the text: non-finite logits",
        "DIR Vocabulary: praise added (examples): the text: non-finite logits",
    ]
    good = run(example("a fine film", changes=("final mark",)), tmp_path / "good")
    metrics = by_key(Checklist().measure(pd.concat([rows, good], ignore_index=True)))
    assert (metrics["inv_failure_rate", ""].missing, metrics["inv_failure_rate", ""].n) == (1, 1)
    assert metrics["failure_rate", "INV Robustness: final mark (examples)"].missing == 1


def test_pairs_are_changed_alike_and_nothing_is_added_to_them(tmp_path: Path) -> None:
    rows = run(example("Anna slept.", pair="Anna was awake", changes=("names", "praise added")), tmp_path)
    names, praise = rows.to_dict("records")
    assert names["pair"] == "Anna was awake"
    for version in json.loads(names["versions"]):
        assert version["text"].split()[0] == version["pair"].split()[0] != "Anna"
    assert names["perturbed_pair"].endswith(" was awake")
    assert (praise["outcome"], praise["why"]) == ("not applicable", "nothing is added to pairs or empty texts")


# --- planning ---------------------------------------------------------------------------------------------------------


def test_what_is_planned() -> None:
    data = [case.data for case in cases()]
    assert {each["kind"] for each in data} == set(KINDS)
    assert all(each["versions"] == [] for each in data if each["kind"] == "MFT")
    base = {each["text"] for each in data if each["change"] is not None}
    assert sum(each["change"] is not None for each in data) == len(base) * len(CHANGES)
    assert {each["label"] for each in data if each["change"] is not None} == {0, 1}
    assert all(each["left_out"] == {} for each in data)
    assert len({case.id for case in cases()}) == len(cases())
    texts = example("a film", kinds=("INV",), changes=("final mark",))
    assert [(case.data["base"], case.data["label"], case.data["kind"]) for case in texts] == [("a film", 1, "INV")]


def test_a_model_without_sentiment_classes_gets_invariance_tests_alone(tmp_path: Path) -> None:
    found = Checklist().cases(plan(TOPICS))
    assert {case.data["kind"] for case in found} == {"INV"}
    rows = run(found[:40], tmp_path, TOPICS)
    metrics = by_key(Checklist().measure(rows))
    for key in ("mft_failure_rate", "dir_failure_rate"):
        assert metrics[key, ""].value is None
        assert (
            "about the classes 'positive' and 'negative', the model's are 'sports', 'business'" in metrics[key, ""].note
        )
        assert "classes: {positive: <label>, negative: <label>}" in metrics[key, ""].note
    assert metrics["inv_failure_rate", ""].value is not None
    with pytest.raises(DataError, match="nothing to run: the built-in MFT tests are about the classes 'positive'"):
        Checklist(ChecklistParams(kinds=("MFT",))).cases(plan(TOPICS))


def test_classes_of_another_name_or_order_or_a_third_one() -> None:
    numbered = make_info(Need.SEQUENCE_CLASSIFIER, labels=("LABEL_0", "LABEL_1"))
    params = ChecklistParams(classes={"positive": "LABEL_0", "negative": "LABEL_1"}, kinds=("MFT",))
    found = Checklist(params).cases(plan(numbered))
    assert {(case.data["expected"]["name"], case.data["expected"]["index"]) for case in found} == {
        ("positive", 0),
        ("negative", 1),
    }
    three = make_info(Need.SEQUENCE_CLASSIFIER, labels=("Neutral", "POS", "NEG"))
    found = Checklist(ChecklistParams(kinds=("MFT",))).cases(plan(three))
    assert {case.data["expected"]["index"] for case in found} == {1, 2}


def test_tests_of_the_users_own_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "kind,capability,test,expect,template,changed\n"
        "MFT,Topics,matches,games,The {team} won.,\n"
        "INV,Topics,another team,,The {team} won.,The {team_2} won.\n"
    )
    source = DataSource(source=str(file), label_map={"games": "sports"})
    given = load_dataset(source, ChecklistTests)
    params = {"words": {"team": ["Reds", "Blues", "Greens"]}}
    probe = Checklist(ChecklistParams.model_validate(params))
    found = [case.data for case in probe.cases(plan(TOPICS, tests=given))]
    assert sorted(each["text"] for each in found if each["kind"] == "MFT") == [
        "The Blues won.",
        "The Greens won.",
        "The Reds won.",
    ]
    assert {each["expected"]["index"] for each in found if each["kind"] == "MFT"} == {0}
    assert all(len(each["versions"]) == 2 for each in found if each["kind"] == "INV")
    with pytest.raises(DataError, match="the test 'matches' expects 'games', a test of kind MFT expects a class"):
        probe.cases(plan(TOPICS, tests=dataset(given.frame)))


def test_bad_settings_are_refused() -> None:
    for params, why in (
        ({"changes": ["nmaes"]}, "no change is called 'nmaes'; there are names, places"),
        ({"changes": ["names", "names"]}, "each may stand once"),
        ({"kinds": []}, "at least 1 item"),
        ({"kinds": ["MTF"]}, "'MFT', 'INV' or 'DIR'"),
        ({"words": {"man": []}}, "the list 'man' must have words"),
        ({"words": {"man": ["Al", "Al"]}}, "the list 'man' must have words, none empty, each once"),
        ({"tolerance": 1.0}, "less than 1"),
        ({"fillings": 0}, "greater than or equal to 1"),
    ):
        with pytest.raises(UsageError, match=why):
            validated(ChecklistParams, params, "params")


def test_bad_examples_are_refused() -> None:
    frame = pd.DataFrame({"text": ["a"], "label": ["happy"]})
    with pytest.raises(DataError, match="has the label 'happy'"):
        Checklist().cases(plan(INFO, examples=frame))
    regression = make_info(Need.SEQUENCE_CLASSIFIER, labels=("score",))
    with pytest.raises(DataError, match="its head has 1 outputs"):
        Checklist().cases(plan(regression))


def test_a_replaced_list_is_used_in_changes_and_templates(tmp_path: Path) -> None:
    params: dict[str, Any] = {"words": {"woman": ["Ada", "Bea"]}, "changes": ("names",)}
    chosen = example("Ada slept, Anna did not.", **params)
    (row,) = run(chosen, tmp_path, **params).to_dict("records")
    assert [version["text"] for version in json.loads(row["versions"])] == ["Bea slept, Anna did not."]


def test_cost_counts_every_version() -> None:
    (case,) = example("one two three four", changes=("names",))  # 18 characters
    assert Checklist().cost([case]) == 18 * 4 // 4
    (mft, *_) = (case for case in cases() if case.data["kind"] == "MFT")
    assert Checklist().cost([mft]) == len(mft.data["text"]) // 4
