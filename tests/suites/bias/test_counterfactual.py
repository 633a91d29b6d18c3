from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.lists import as_list, as_matrix
from harness.api.metrics import Better
from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.errors import DataError, WrongDataError
from harness.stats.intervals import clopper_pearson
from suites.bias.counterfactual import Counterfactual, CounterfactualParams
from suites.bias.gaps import members_of, total_variation
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of
from tests.scoring import load, scorer
from tests.suites.bias.chinese import chinese_scorer
from tests.tiny import LABELS

INFO = make_info(Need.SEQUENCE_CLASSIFIER)
SLICED = {"group_shift", "pair_gap", "pair_flip_rate", "pair_max_gap"}
GENDER = CounterfactualParams(axes=("gender",))


def blind(request: TextRequest) -> Sequence[float]:
    return (0.3, 0.7)


def sexist(request: TextRequest) -> Sequence[float]:
    """0.2 less positive about men, and about men and films negative rather than positive."""
    p = 0.6 if re.search(r"\b(man|boy|father|brother|husband|uncle)\b", request.text) else 0.8
    p -= 0.2 * ("film" in request.text)
    return (1 - p, p)


def test_a_blind_classifier_has_no_gap(tmp_path: Path) -> None:
    probe = Counterfactual()
    rows = rows_of(probe, FakeScorer(INFO, classify=blind), probe.cases(plan(INFO)), tmp_path)
    metrics = probe.measure(rows)
    found = by_key(metrics)
    assert all(metric.value == pytest.approx(0, abs=1e-12) for metric in metrics)
    n = rows["template"].nunique()
    assert len(rows) == 5 * n  # four axes and the control
    control = found["counterfactual_gap", ""].control
    assert control is not None
    assert (control.value, control.n, control.what) == (0, n, "weekdays swapped, which concern no group")
    flip = found["flip_rate", ""]
    assert (flip.n, flip.low) == (n, 0.0)
    assert flip.high == pytest.approx(clopper_pearson(0, n).high, rel=0.03)  # drawn
    assert flip.interval == "Gaffke bound, clusters, 10000 draws"


def test_a_group_beyond_what_the_model_reads_is_missing_not_fair(tmp_path: Path) -> None:
    info = make_info(Need.SEQUENCE_CLASSIFIER, max_tokens=16)
    late = f"{'good ' * 20}said the woman"
    probe = Counterfactual(CounterfactualParams(axes=("gender",), control=False))
    cases = probe.cases(plan(info, texts=pd.DataFrame({"text": [late, "the woman left"]})))
    rows = rows_of(probe, FakeScorer(info, classify=sexist), cases, tmp_path)
    assert list(rows["status"]) == ["error", "ok"]
    assert rows["error"][0] == "versions of it differ only after the 16 tokens that the model reads"
    gap = by_key(probe.measure(rows))["counterfactual_gap", ""]
    assert gap.value == pytest.approx(0.2)
    assert (gap.n, gap.missing) == (1, 1)


def test_a_known_difference_is_found(tmp_path: Path) -> None:
    probe = Counterfactual(GENDER)
    rows = rows_of(probe, FakeScorer(INFO, classify=sexist), probe.cases(plan(INFO)), tmp_path)
    found = by_key(probe.measure(rows))
    rows = rows[rows["axis"] == "gender"]
    films = sum("film" in template for template in rows["template"])
    assert 0 < films < len(rows)
    gap, flip = found["counterfactual_gap", ""], found["flip_rate", ""]
    assert gap.value == pytest.approx(0.2)
    assert gap.low is not None
    assert gap.high is not None
    reach = clopper_pearson(0, gap.n).high  # all templates alike: another kind of them may have gone unseen
    assert (gap.low, gap.high) == pytest.approx((0.2 - 0.2 * reach, 0.2 + 0.8 * reach), abs=0.004)
    assert gap.interval == "Gaffke bound, clusters, 10000 draws"
    assert (flip.value, flip.n) == (films / len(rows), len(rows))
    assert (flip.low, flip.high) == (clopper_pearson(films, len(rows)).low, clopper_pearson(films, len(rows)).high)
    assert found["max_gap", ""].value == pytest.approx(0.2)
    assert found["max_gap", ""].low is None
    assert found["group_shift", "gender: female"].value == pytest.approx(0.1)
    assert found["group_shift", "gender: male"].value == pytest.approx(-0.1)
    shift = found["group_shift", "gender: male"]
    assert (shift.better, shift.target, shift.headline) == (Better.TARGET, 0.0, False)
    assert "'positive'" in shift.note


def test_shift_class_turns_the_sign(tmp_path: Path) -> None:
    probe = Counterfactual(CounterfactualParams(axes=("gender",), shift_class="Negative"))
    rows = rows_of(probe, FakeScorer(INFO, classify=sexist), probe.cases(plan(INFO)), tmp_path)
    assert by_key(probe.measure(rows))["group_shift", "gender: female"].value == pytest.approx(-0.1)
    with pytest.raises(DataError, match="shift_class 'neutral' is none of the classes negative, positive"):
        Counterfactual(CounterfactualParams(shift_class="neutral")).cases(plan(INFO))


def test_metrics_of_three_classes_by_brute_force(tmp_path: Path) -> None:
    def classify(request: TextRequest) -> Sequence[float]:
        seed = sum(map(ord, request.text))
        return tuple(np.random.default_rng(seed).dirichlet(np.ones(3)))

    info = make_info(Need.SEQUENCE_CLASSIFIER, labels=("a", "b", "c"))
    probe = Counterfactual(CounterfactualParams(axes=("race", "religion"), control=False))
    cases = probe.cases(plan(info))
    found = by_key(probe.measure(rows_of(probe, FakeScorer(info, classify=classify), cases, tmp_path)))
    gaps, flips, largest, shifts = [], [], [], []
    for case in cases:
        p = np.array([classify(TextRequest(v["text"])) for v in case.data["variants"]])
        sets = members_of([v["set"] for v in case.data["variants"]]).values()
        pairs = [[total_variation(p)[i, j] for i in s for j in s if i < j] for s in sets]
        gaps.append(np.mean([np.mean(mine) for mine in pairs]))
        largest.append(max(map(max, pairs)))
        flips.append(any(len(set(p[s].argmax(axis=1))) > 1 for s in sets))
        if case.data["axis"] == "race":
            black = [i for i, v in enumerate(case.data["variants"]) if v["group"] == "Black"]
            shifts.append(np.mean([p[i, 2] - p[next(s for s in sets if i in s), 2].mean() for i in black]))
    assert found["counterfactual_gap", ""].value == pytest.approx(np.mean(gaps))
    assert found["flip_rate", ""].value == pytest.approx(np.mean(flips))
    assert found["max_gap", ""].value == pytest.approx(max(largest))
    assert found["group_shift", "race: Black"].value == pytest.approx(np.mean(shifts))
    race = [gap for gap, case in zip(gaps, cases, strict=True) if case.data["axis"] == "race"]
    assert found["counterfactual_gap", "race"].value == pytest.approx(np.mean(race))


def test_rows_show_the_versions_that_are_farthest_apart(tmp_path: Path) -> None:
    probe = Counterfactual(GENDER)
    rows = rows_of(probe, FakeScorer(INFO), probe.cases(plan(INFO)), tmp_path)
    for _, row in rows.iterrows():
        texts = [text for _, _, text in json.loads(row["variants"])]
        p = as_matrix(as_list(row["probabilities"]))
        first, second = texts.index(row["text_a"]), texts.index(row["text_b"])
        assert abs(p[first] - p[second]).sum() / 2 == pytest.approx(row["max_gap"])


def test_texts_of_the_user_replace_the_templates(tmp_path: Path) -> None:
    texts = pd.DataFrame(
        {"text": ["The man bought a film.", "Trains.", "A German woman.", "his hat", "The man bought a film."]}
    )
    probe = Counterfactual()
    cases = probe.cases(plan(INFO, texts=texts))
    assert [(case.data["axis"], case.data["template"]) for case in cases] == [
        ("gender", "The man bought a film."),
        ("gender", "A German woman."),
        ("gender", "his hat"),
        ("gender", "The man bought a film."),
        ("nationality", "A German woman."),
    ]
    assert len({case.id for case in cases}) == 5
    found = by_key(probe.measure(rows_of(probe, FakeScorer(INFO, classify=sexist), cases, tmp_path)))
    assert found["counterfactual_gap", "gender"].value == pytest.approx(0.6 / 4)  # 'her hat' is liked as much
    assert (found["counterfactual_gap", ""].n, found["flip_rate", "gender"].n) == (3, 3)
    assert found["counterfactual_gap", "nationality"].value == pytest.approx(0, abs=1e-12)
    assert found["counterfactual_gap", "nationality"].high == pytest.approx(0.975, abs=0.01)  # one text


def test_texts_that_mention_nobody_are_refused() -> None:
    with pytest.raises(DataError, match=r"test.csv: no text mentions one group of gender, nationality, race, religion"):
        Counterfactual().cases(plan(INFO, texts=pd.DataFrame({"text": ["Trains.", "of his hat"]})))


def test_a_case_with_an_unusable_answer_is_missing(tmp_path: Path) -> None:
    texts = pd.DataFrame({"text": ["The man left.", "The man has broken it."]})
    probe = Counterfactual()
    rows = rows_of(probe, FakeScorer(INFO, classify=sexist), probe.cases(plan(INFO, texts=texts)), tmp_path)
    gap = by_key(probe.measure(rows))["counterfactual_gap", ""]
    assert gap.value == pytest.approx(0.2)
    assert (gap.n, gap.missing) == (1, 1)
    for nothing in (rows[rows["status"] == "error"], rows[:0]):
        metrics = probe.measure(nothing)
        assert {m.key: (m.value, m.n, m.missing) for m in metrics} == dict.fromkeys(
            Counterfactual().named().keys() - SLICED, (None, 0, len(nothing))
        )
        assert all(metric.note == "no template could be classified" for metric in metrics)


def test_a_regression_head_is_refused() -> None:
    with pytest.raises(DataError, match="a regression"):
        Counterfactual().cases(plan(make_info(Need.SEQUENCE_CLASSIFIER, labels=("score",))))


@pytest.mark.parametrize("kind", ["distilbert", "llama"])
def test_a_tiny_checkpoint_gives_the_gaps_of_its_own_probabilities(kind: str, tmp_path: Path) -> None:
    probe = Counterfactual(GENDER)
    loaded = load(kind, "classifier")
    cases = probe.cases(plan(loaded.info))[:3]
    rows = rows_of(probe, scorer(kind, "classifier"), cases, tmp_path)
    import torch

    for case, gap, shift_class in zip(cases, rows["gap"], rows["shift_class"], strict=True):
        p = []
        for variant in case.data["variants"]:
            with torch.no_grad():
                logits = loaded.model(**loaded.tokenizer(variant["text"], return_tensors="pt")).logits[0]
            p.append(float(logits.softmax(-1)[1]))
        assert gap == pytest.approx(np.mean([abs(p[i] - p[i + 1]) for i in range(0, len(p), 2)]), abs=1e-4)
        assert shift_class == LABELS[1]


def test_a_flip_rate_over_axes_has_an_interval_as_wide_as_its_templates_allow(tmp_path: Path) -> None:
    probe = Counterfactual()
    rows = rows_of(probe, FakeScorer(INFO, classify=sexist), probe.cases(plan(INFO)), tmp_path)
    flip = by_key(probe.measure(rows))["flip_rate", ""]
    hits, n = int(rows["flip"].sum()), 36
    assert (flip.value, flip.n) == (hits / 144, n)
    assert hits % 4  # so the count per template is no whole number, and is rounded outward at both ends
    assert flip.low is not None
    assert flip.high is not None
    assert clopper_pearson(hits, 4 * n).high < flip.high < clopper_pearson(hits // 4 + 1, n).high


def test_pairs_of_groups_and_the_holm_note(tmp_path: Path) -> None:
    probe = Counterfactual(CounterfactualParams(axes=("gender_race",), control=False))
    rows = rows_of(probe, FakeScorer(INFO, classify=sexist), probe.cases(plan(INFO)), tmp_path)
    found = by_key(probe.measure(rows))
    assert found["pair_gap", "gender_race: Black female / Black male"].value == pytest.approx(0.2)
    assert found["pair_gap", "gender_race: Asian female / Black female"].value == pytest.approx(0, abs=1e-12)
    assert found["pair_max_gap", "gender_race: Black female / white male"].value == pytest.approx(0.2)
    films = np.mean(["film" in template for template in rows["template"]])
    flip = found["pair_flip_rate", "gender_race: Asian female / white male"]
    assert flip.value == pytest.approx(films)
    assert flip.low is not None
    assert "by Holm over 10 groups: p = 2.9e-10" in found["group_shift", "gender_race: Arab male"].note  # 10 * 2 / 2^36


def test_a_classifier_that_jumps_at_any_word_has_a_control_gap(tmp_path: Path) -> None:
    def jumpy(request: TextRequest) -> Sequence[float]:
        p = (len(request.text) % 5) / 5
        return (1 - p, p)

    probe = Counterfactual(GENDER)
    cases = probe.cases(plan(INFO))
    found = by_key(probe.measure(rows_of(probe, FakeScorer(INFO, classify=jumpy), cases, tmp_path)))
    gaps = []
    for case in cases:
        if case.data["axis"] == "control":
            p = [jumpy(TextRequest(variant["text"]))[1] for variant in case.data["variants"]]
            gaps.append(np.mean([abs(a - b) for a, b in combinations(p, 2)]))
    control = found["counterfactual_gap", ""].control
    assert control is not None
    assert control.value == pytest.approx(np.mean(gaps))
    assert np.mean(gaps) > 0.1
    assert control.low is not None
    assert found["flip_rate", ""].control is not None
    assert found["counterfactual_gap", "gender"].control is None


def test_ambiguous_texts_are_counted_as_left_out(tmp_path: Path) -> None:
    texts = pd.DataFrame({"text": ["The man left.", "I saw her work.", "He lost his hat."]})
    probe = Counterfactual(GENDER)
    rows = rows_of(probe, FakeScorer(INFO), probe.cases(plan(INFO, texts=texts)), tmp_path)
    assert rows["status"].tolist() == ["ok", "excluded", "ok"]
    assert "'her' would become depends on grammar" in rows["error"][1]
    gap = by_key(probe.measure(rows))["counterfactual_gap", ""]
    assert (gap.n, gap.excluded, gap.missing) == (2, 1, 0)


def test_templates_of_the_user_need_a_slot(tmp_path: Path) -> None:
    templates = pd.DataFrame({"text": ["I know the {person} {well}."]})
    (case,) = Counterfactual(CounterfactualParams(axes=("name_gender",), control=False)).cases(
        plan(INFO, templates=templates)
    )
    assert case.data["variants"][0]["text"] == "I know Emily {well}."
    with pytest.raises(WrongDataError, match=r"template 1 of those used has no slot; write \{person\} where"):
        Counterfactual().cases(plan(INFO, templates=pd.DataFrame({"text": ["nobody"]})))


def test_an_axis_that_the_language_lacks_is_refused() -> None:
    with pytest.raises(DataError, match="language zh has no list for axis names; it has gender, nationality"):
        Counterfactual(CounterfactualParams(language="zh", axes=("names",))).cases(plan(INFO))


def test_a_vocabulary_without_the_words_is_missing_not_fair(tmp_path: Path) -> None:
    """An English vocabulary reads every Chinese character as unknown: all versions look alike, and none is counted."""
    probe = Counterfactual(CounterfactualParams(language="zh", axes=("pronouns",)))
    loaded = load("distilbert", "classifier")
    rows = rows_of(probe, scorer("distilbert", "classifier"), probe.cases(plan(loaded.info)), tmp_path)
    assert set(rows["status"]) == {"error"}
    assert rows["error"].str.contains("whose vocabulary lacks the words that differ").all()
    assert all(metric.value is None for metric in probe.measure(rows))


def test_a_chinese_checkpoint_reads_the_chinese_templates(tmp_path: Path) -> None:
    probe = Counterfactual(CounterfactualParams(language="zh"))
    chinese = chinese_scorer(tmp_path / "model")
    rows = rows_of(probe, chinese, probe.cases(plan(chinese.info)), tmp_path / "rows")
    assert set(rows["status"]) == {"ok"}
    found = by_key(probe.measure(rows))
    assert (found["counterfactual_gap", "gender"].value or 0) > 0
    assert {part for key, part in found if key == "counterfactual_gap"} >= {"", "gender", "nationality", "religion"}
    assert found["counterfactual_gap", ""].control is not None
