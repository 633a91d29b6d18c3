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
from harness.api.lists import as_list
from harness.api.metrics import Metric
from harness.api.needs import Need
from harness.api.scorer import ClassScores, TextRequest
from harness.base.validation import validated
from harness.errors import DataError, UsageError
from harness.stats.intervals import clopper_pearson
from suites.adversarial.cases import case_seed
from suites.adversarial.typos.corruptions import KINDS, changed_spans, corrupt
from suites.adversarial.typos.probe import EXAMPLES, Typos, TyposParams
from suites.adversarial.typos.tables import HOMOGLYPHS, ZERO_WIDTH
from tests.fakes import FakeScorer, by_key, dataset, make_info, plan, rows_of
from tests.scoring import scorer as tiny_scorer

INFO = make_info(Need.SEQUENCE_CLASSIFIER)
KEYS = [key for key, each in Typos().named().items() if not each.sliced_only]
TEXT = """
film movie story plot actor music love hated boring great awful really very second half world a I in was good fine
"""
WORDS = TEXT.split()
NO_WORDS = "12 + 30 = 42"
ONLY_SHORT = "so it is, an ox"
"""No word is long enough to be mistyped."""


@cache
def texts() -> tuple[str, ...]:
    rng = np.random.default_rng(0)
    return tuple(f"{' '.join(rng.choice(WORDS, rng.integers(3, 15)))}." for _ in range(40))


@cache
def cases() -> tuple[Case, ...]:
    frame = pd.DataFrame({"text": [*texts(), NO_WORDS, ONLY_SHORT], "label": [i % 2 for i in range(42)]})
    return tuple(Typos().cases(plan(INFO, examples=frame)))


def spelling(request: TextRequest) -> Sequence[float]:
    """Positive as far as words are spelt as in the list, so that spoilt texts are less so; the pair counts as well."""
    words = f"{request.text} {request.pair or ''}".strip(" .").split()
    p = 0.05 + 0.9 * sum(word.strip(".") in WORDS for word in words) / len(words)
    return (1 - p, p)


def run(chosen: Sequence[Case], folder: Path, classify: Any = spelling, **params: Any) -> pd.DataFrame:
    return rows_of(Typos(TyposParams(**params)), FakeScorer(INFO, classify=classify), chosen, folder)


def example(text: str, label: int = 1, **more: Any) -> Case:
    frame = pd.DataFrame({"text": [text], "label": [label], **{name: [value] for name, value in more.items()}})
    return Typos().cases(plan(INFO, examples=frame))[0]


def versions_of(row: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(row["versions"])
    return found


# --- against a direct loop --------------------------------------------------------------------------------------------


def test_accuracies_are_those_of_a_direct_loop_over_the_spoilt_texts(tmp_path: Path) -> None:
    severities = TyposParams().severities
    metrics = by_key(Typos().measure(run(cases(), tmp_path)))
    right: dict[tuple[str, float], list[bool]] = {}
    flipped: dict[str, list[float]] = {}
    clean, robust, means = [], [], []
    for case in cases():
        text, label = case.data["text"], case.data["label"]
        if text == NO_WORDS:
            continue
        answer = int(np.argmax(spelling(TextRequest(text))))
        clean.append(answer == label)
        mine = []
        for kind in KINDS:
            spoilt = corrupt(text, kind, severities, case_seed(0, f"{case.id}:{kind}:text"))
            if not spoilt[0].changeable:
                continue
            predicted = [int(np.argmax(spelling(TextRequest(each.text)))) for each in spoilt]
            for severity, found in zip(severities, predicted, strict=True):
                right.setdefault((kind, severity), []).append(found == label)
            flipped.setdefault(kind, []).append(float(np.mean([found != answer for found in predicted])))
            mine += [found == label for found in predicted]
        robust.append(clean[-1] and all(mine))
        means.append(np.mean(mine))
    n = len(clean)
    assert (metrics["clean_accuracy", ""].value, metrics["clean_accuracy", ""].n) == (np.mean(clean), n)
    assert (metrics["robust_accuracy", ""].value, metrics["robust_accuracy", ""].n) == (np.mean(robust), n)
    assert metrics["mean_accuracy", ""].value == pytest.approx(np.mean(means))
    assert 0 < np.mean(robust) < np.mean(means) < 1
    per_kind = {}
    for kind in KINDS:
        per_kind[kind] = np.mean([np.mean(right[kind, severity]) for severity in severities])
        assert metrics["accuracy", kind].value == pytest.approx(per_kind[kind])
        assert metrics["flip_rate", kind].value == pytest.approx(np.mean(flipped[kind]))
        for severity in severities:
            metric, hits = metrics["accuracy", f"{kind}: {severity:g}"], right[kind, severity]
            expected = clopper_pearson(sum(hits), len(hits))
            assert metric.value == np.mean(hits)
            assert (metric.n, metric.low, metric.high) == (len(hits), expected.low, expected.high)
            assert metric.interval == "Clopper-Pearson"
    assert metrics["worst_kind_accuracy", ""].value == pytest.approx(min(per_kind.values()))
    assert min(per_kind, key=lambda kind: per_kind[kind]) in metrics["worst_kind_accuracy", ""].note


def test_what_is_not_applicable_is_counted_with_its_reason(tmp_path: Path) -> None:
    rows = run(cases(), tmp_path).set_index("case_id")
    wordless, short = cases()[40:]
    assert rows.loc[wordless.id, "status"] == "excluded"
    assert rows.loc[wordless.id, "error"] == "the text has no word with a letter"
    assert set(json.loads(str(rows.loc[short.id, "not_applicable"]))) == {"keyboard", "swap", "drop", "repeat"}
    assert {version["kind"] for version in versions_of(rows.loc[short.id])} == set(KINDS) - {
        "keyboard",
        "swap",
        "drop",
        "repeat",
    }
    metrics = by_key(Typos().measure(rows.reset_index()))
    clean = metrics["clean_accuracy", ""]
    assert (clean.n, clean.missing, clean.excluded) == (41, 0, 1)
    assert "have kinds that cannot change them" in metrics["clean_accuracy", ""].note
    assert metrics["accuracy", "case"].n + metrics["accuracy", "case"].missing == 41
    lacking = int(rows["not_applicable"].dropna().str.contains('"swap"').sum())
    assert lacking > 0
    for part in ("swap", "swap: 0.1"):
        assert (metrics["accuracy", part].n, metrics["accuracy", part].missing) == (41 - lacking, lacking)


def test_a_text_that_no_chosen_kind_can_change_says_why(tmp_path: Path) -> None:
    rows = run([example(ONLY_SHORT)], tmp_path, kinds=("drop",))
    assert rows["error"].tolist() == ["drop: no word has 4 characters with an inner letter"]
    metrics = Typos().measure(rows)
    assert {(metric.value, metric.missing, metric.excluded) for metric in metrics} == {(None, 0, 1)}
    assert [metric.key for metric in metrics] == KEYS


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_hold_every_version_with_what_changed(tmp_path: Path) -> None:
    case = example("A really great movie, I loved it. 10/10")
    (row,) = run([case], tmp_path).to_dict("records")
    versions = versions_of(row)
    assert [(v["kind"], v["severity"]) for v in versions] == [(k, s) for k in KINDS for s in TyposParams().severities]
    for version in versions:
        assert [tuple(span) for span in version["spans"]] == changed_spans(case.data["text"], version["text"])
        assert version["text"] != case.data["text"]
        assert 1 <= version["changed"] == version["edits"] <= version["changeable"] <= row["words"] == 7
        assert version["probabilities"] == pytest.approx(spelling(TextRequest(version["text"])))
        assert version["predicted"] == np.argmax(version["probabilities"])
    worst = min(versions, key=lambda version: version["probabilities"][1])
    assert (row["perturbed_text"], row["perturbed_kind"], row["perturbed_severity"], row["perturbed_predicted"]) == (
        worst["text"],
        worst["kind"],
        worst["severity"],
        worst["predicted"],
    )
    assert row["perturbed_score"] == pytest.approx(worst["probabilities"][1])
    assert row["score"] == pytest.approx(as_list(row["probabilities"])[1])
    assert row["flips"] == sum(version["predicted"] != row["predicted"] for version in versions)
    assert pd.isna(row["pair"])


def test_rows_depend_on_the_case_and_the_seed_alone(tmp_path: Path) -> None:
    together = run(cases(), tmp_path / "all").set_index("case_id")
    shuffled = random.Random(1).sample(cases(), len(cases()))
    for name, shards in {"shuffled": [shuffled], "shards": [shuffled[start::3] for start in range(3)]}.items():
        found = pd.concat([run(shard, tmp_path / f"{name}{at}") for at, shard in enumerate(shards)])
        pd.testing.assert_frame_equal(found.set_index("case_id").loc[together.index], together)
    few = run(cases()[:5], tmp_path / "few", kinds=("swap", "ocr"), severities=(0.2,))
    for row in few.to_dict("records"):
        kept = {(v["kind"], v["severity"]): v for v in versions_of(together.loc[row["case_id"]])}
        assert all(version == kept[version["kind"], version["severity"]] for version in versions_of(row))
    other = run(cases()[:5], tmp_path / "seed", seed=1)
    assert all(other["versions"].to_numpy() != together["versions"].loc[other["case_id"]].to_numpy())


def test_each_distinct_text_is_asked_once_for_all_cases_together() -> None:
    fake = FakeScorer(INFO, classify=spelling)
    chosen = [
        example("good film"),
        *Typos().cases(plan(INFO, examples=pd.DataFrame({"text": ["good film"] * 2, "label": [0, 1]}))),
    ]
    rows = list(Typos(TyposParams(kinds=("case",), severities=(0.5, 0.9, 1))).run(fake, chosen))
    asked = {"good film", *(version["text"] for row in rows for version in versions_of(row))}
    assert fake.calls == [len(asked)]
    assert {"GOOD FILM"} < asked <= {"good film", "GOOD film", "good FILM", "GOOD FILM"}


class Fragile(FakeScorer):
    """Gives no usable answer to 'FILM'."""

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        answers = super().classify(requests)
        broken = ClassScores(np.empty(0), error="out of order")
        return [broken if "FILM" in asked.text else answer for asked, answer in zip(requests, answers, strict=True)]


def test_an_unusable_answer_to_any_version_is_an_error_that_names_it(tmp_path: Path) -> None:
    probe = Typos(TyposParams(kinds=("case",), severities=(0.5, 1)))
    chosen = [example("the broken story"), example("a fine film"), example("film"), example("a fine story")]
    found = rows_of(probe, Fragile(INFO, classify=spelling), chosen, tmp_path)
    assert found["status"].tolist() == ["error", "error", "error", "ok"]
    assert found["error"][0] == "the text: non-finite logits"
    assert found["error"][1] in {"case at 0.5: out of order", "case at 1: out of order"}
    assert found["error"][2] == "case at 0.5: out of order"
    assert [metric.missing for metric in probe.measure(found) if not metric.slice] == [3] * len(KEYS)


def test_tokens_and_unknown_ones_of_a_real_tokenizer() -> None:
    real = tiny_scorer("bert", "classifier")
    case = example("the good film was great")
    (row,) = Typos(TyposParams(kinds=("homoglyph", "zero_width"), severities=(1,))).run(real, [case])
    homoglyph, zero_width = versions_of(row)
    for found, text in ((row, case.data["text"]), (homoglyph, homoglyph["text"]), (zero_width, zero_width["text"])):
        tokens = real.encode(text, special=False)
        assert found["tokens"] == len(tokens)
        assert found["unknown_tokens"] == sum(real.decode((token,)) == "[UNK]" for token in tokens)
    assert row["unknown_tokens"] == 0
    assert homoglyph["unknown_tokens"] > 0
    assert any(char in homoglyph["text"] for char in HOMOGLYPHS.values())
    assert any(char in zero_width["text"] for char in ZERO_WIDTH)


# --- pairs, cuts, settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "changed"), [("both", (True, True)), ("first", (True, False)), ("second", (False, True))]
)
def test_the_side_of_a_pair_that_is_spoilt(side: str, changed: tuple[bool, bool], tmp_path: Path) -> None:
    case = example("a great story", pair="the second half was boring")
    (row,) = run([case], tmp_path, side=side).to_dict("records")
    for version in versions_of(row):
        assert (version["text"] != row["text"], version["pair"] != row["pair"]) == changed
        assert [tuple(span) for span in version["pair_spans"]] == changed_spans(row["pair"], version["pair"])
        assert version["changed"] == len(version["spans"]) + len(version["pair_spans"])
    assert (row["perturbed_pair"] != row["pair"]) == changed[1]


def test_a_pair_is_not_applicable_only_where_no_side_can_be_changed(tmp_path: Path) -> None:
    case = example(NO_WORDS, pair="a great story")
    rows = run([case], tmp_path)
    assert rows["status"].tolist() == ["ok"]
    rows = run([case], tmp_path / "first", side="first")
    assert rows["error"].str.startswith("keyboard: no word has").tolist() == [True]


def test_bad_data_and_settings_are_refused() -> None:
    frame = pd.DataFrame({"text": ["a"], "label": ["neg"]})
    with pytest.raises(DataError, match="no column 'pair', but side is 'second'; leave side out"):
        Typos(TyposParams(side="second")).cases(plan(INFO, examples=frame))
    topics = make_info(Need.SEQUENCE_CLASSIFIER, labels=("sports", "business"))
    with pytest.raises(DataError, match="default data are sentiment"):
        Typos().cases(plan(topics, examples=dataset(frame, EXAMPLES)))
    for params, why in (
        ({"kinds": ["swap", "swap"]}, "each kind may stand once"),
        ({"kinds": []}, "at least 1 item"),
        ({"kinds": ["swop"]}, "'keyboard', 'ocr'"),
        ({"severities": [0, 0.1]}, "a severity is a share of words, above 0 and at most 1"),
        ({"severities": [float("nan")]}, "must be a finite number"),
        ({"severities": [0.2, 0.1]}, "severities must ascend, each once"),
        ({"severities": [0.1, 0.1]}, "severities must ascend, each once"),
        ({"edits_per_word": 0}, "greater than or equal to 1"),
        ({"kind": ["swap"]}, "unknown key 'kind'; did you mean 'kinds'"),
    ):
        with pytest.raises(UsageError, match=why):
            validated(TyposParams, params, "params")


def test_cases_hold_class_indices_and_the_words_that_are_left() -> None:
    frame = pd.DataFrame({"text": ["one two  three", "four"], "pair": ["a b c d", "e"], "label": ["pos", "negative"]})
    found = [dict(case.data) for case in Typos(TyposParams(max_words=2)).cases(plan(INFO, examples=frame))]
    assert found == [
        {"text": "one two", "pair": "a b", "label": 1, "words_cut": 3},
        {"text": "four", "pair": "e", "label": 0, "words_cut": 0},
    ]


def test_cost_counts_every_version() -> None:
    case = example("one two three four")  # 18 characters
    assert Typos().cost([case]) == (18 // 4) * (1 + 9 * 4)
    assert Typos(TyposParams(kinds=("ocr",), severities=(0.1, 0.2))).cost([case]) == (18 // 4) * 3


# --- metrics ----------------------------------------------------------------------------------------------------------


def made(name: str, label: int, predicted: int, **kinds: Sequence[int]) -> dict[str, Any]:
    """A row whose versions of each kind at severities 0.1 and 0.2 got these classes."""
    versions = [
        {
            "kind": kind,
            "severity": severity,
            "changed": 1,
            "changeable": 4,
            "tokens": 6,
            "unknown_tokens": 1,
            "predicted": found,
        }
        for kind, given in kinds.items()
        for severity, found in zip((0.1, 0.2), given, strict=True)
    ]
    return {
        "case_id": name,
        "status": "ok",
        "label": label,
        "predicted": predicted,
        "tokens": 4,
        "versions": json.dumps(versions),
        "not_applicable": "{}",
        "words_cut": 0,
        "truncated": 0,
    }


def measured(*rows: dict[str, Any]) -> dict[tuple[str, str], Metric]:
    return by_key(Typos().measure(pd.DataFrame(rows)))


def test_metrics_of_rows_counted_by_hand() -> None:
    rows = [
        made("a", 1, 1, swap=(1, 1), drop=(1, 1)),
        made("b", 1, 1, swap=(1, 0), drop=(0, 0)),
        made("c", 0, 1, swap=(0, 1), drop=(1, 1)),
        made("d", 0, 0, swap=(0, 0)),
        {"case_id": "e", "status": "error", "error": "why"},
    ]
    metrics = measured(*rows)
    clean, robust = metrics["clean_accuracy", ""], metrics["robust_accuracy", ""]
    assert (clean.value, clean.n, clean.missing, robust.value) == (3 / 4, 4, 1, 2 / 4)
    assert (robust.low, robust.high) == (clopper_pearson(2, 4).low, clopper_pearson(2, 4).high)
    assert metrics["mean_accuracy", ""].value == pytest.approx((1 + 1 / 4 + 1 / 4 + 1) / 4)
    flips = metrics["flip_rate", ""]
    assert flips.value == pytest.approx((0 + 3 / 4 + 1 / 4 + 0) / 4)
    assert flips.interval == "Gaffke bound, 10000 draws"
    assert flips.low is not None
    assert flips.high is not None
    assert clopper_pearson(1, 4).low < flips.low < 1 / 4 < flips.high < clopper_pearson(1, 4).high
    swap, drop = metrics["accuracy", "swap"], metrics["accuracy", "drop"]
    assert (swap.value, drop.value) == pytest.approx(((1 + 0.5 + 0.5 + 1) / 4, 1 / 3))
    assert (swap.n, swap.missing, drop.n, drop.missing) == (4, 1, 3, 2)
    assert [metrics["accuracy", f"swap: {severity}"].value for severity in (0.1, 0.2)] == [1, 0.5]
    assert metrics["accuracy", "swap: 0.1"].note == "25.0% of the words it can change were changed"
    worst = metrics["worst_kind_accuracy", ""]
    assert worst.value == pytest.approx(1 / 3)
    assert (worst.n, worst.note) == (3, "the worst is drop")
    assert worst.interval == "worst of kinds, Bonferroni over 2"
    assert worst.low == pytest.approx(clopper_pearson(1, 3, 0.975).low, abs=0.002)  # both versions of a text agree
    assert (worst.high or 0) > (drop.high or 0)
    growth = metrics["token_growth", ""]
    assert (growth.value, growth.headline) == (1.5, False)
    assert "14 of the versions' tokens are unknown" in growth.note


def test_a_perfect_model_has_an_interval_all_the_same() -> None:
    metrics = measured(*(made(str(at), 1, 1, swap=(1, 1)) for at in range(20)))
    for key in ("clean_accuracy", "mean_accuracy", "worst_kind_accuracy", "robust_accuracy"):
        level = 0.95  # of the one kind, too
        assert metrics[key, ""].value == 1
        assert metrics[key, ""].low == pytest.approx(clopper_pearson(20, 20, level).low, abs=0.003)


def test_the_interval_of_a_mean_over_versions_covers_the_truth() -> None:
    """300 samples of 40 texts whose 8 versions agree more or less; at least 93 % of the intervals hold the mean 0.8."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        right = rng.random((40, 8)) < rng.beta(1.6, 0.4, (40, 1))
        total = right.mean(axis=1).sum()
        low, high = clopper_pearson(int(np.floor(total)), 40).low, clopper_pearson(int(np.ceil(total)), 40).high
        held += low <= 0.8 <= high
    assert held / 300 >= 0.93
