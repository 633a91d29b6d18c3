from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.case import Case
from harness.api.lists import as_list
from harness.api.needs import Need
from harness.api.scorer import ClassScores, TextRequest
from harness.base.validation import validated
from harness.errors import DataError, UsageError
from harness.stats.intervals import clopper_pearson
from suites.adversarial.resources.finding import ResourceMissing
from suites.adversarial.resources.vectors import WordVectors, write_vectors
from suites.adversarial.safer.bound import bound_votes, losses, radius
from suites.adversarial.safer.probe import EXAMPLES, Safer, SaferParams
from suites.adversarial.safer.synonym_sets import GroupSynonyms
from tests.fakes import FakeScorer, by_key, dataset, make_info, plan, rows_of

INFO = make_info(Need.SEQUENCE_CLASSIFIER)
GROUPS = [
    ["good", "fine"],
    ["fine", "nice"],
    ["nice", "lovely"],
    ["lovely", "great"],
    ["bad", "poor"],
    ["film", "movie"],
]
SET_SIZE = 3
WORDS = ["good", "fine", "nice", "lovely", "great", "bad", "poor", "film", "movie", "the", "was", "with", "story"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("synonyms") / "groups.txt"
    file.write_text("".join(f"{' '.join(group)}\n" for group in GROUPS))
    return str(file)


@cache
def cases() -> tuple[Case, ...]:
    rng = np.random.default_rng(0)
    texts = [f"The {' '.join(rng.choice(WORDS, rng.integers(2, 7)))} film." for _ in range(30)]
    frame = pd.DataFrame({"text": [*texts, "12 + 30", "the story"], "label": [i % 2 for i in range(32)]})
    return tuple(_cases(frame))


def _cases(frame: pd.DataFrame, **params: Any) -> list[Case]:
    sets = Path(__file__).parents[1] / "synonyms.txt"
    return Safer(SaferParams(**{"synonyms": str(sets), **params})).cases(plan(INFO, examples=frame))


def example(text: str, label: int = 1, **more: Any) -> Case:
    return _cases(pd.DataFrame({"text": [text], "label": [label], **{name: [each] for name, each in more.items()}}))[0]


def probe(table: str, **params: Any) -> Safer:
    given = {"samples": 150, "selection_samples": 30, "set_size": SET_SIZE, **params}
    return Safer(SaferParams(synonyms=table, **given))


@pytest.fixture(scope="module")
def rows(table: str, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of all cases."""
    return rows_of(probe(table), FakeScorer(INFO, classify=praise), cases(), tmp_path_factory.mktemp("rows"))


def praise(request: TextRequest) -> Sequence[float]:
    """Positive by the share of words of praise, with a bias towards one of them; 'not' turns it."""
    words = f"{request.text} {request.pair or ''}".lower().strip(" .").split()
    weight = {"good": 1.0, "fine": 0.4, "nice": 1.2, "lovely": -0.3, "great": 1.5, "bad": -1.5, "poor": -1.0, "not": -3}
    p = 1 / (1 + math.exp(-sum(weight.get(word, 0.05) for word in words)))
    return (1 - p, p)


# --- the certificate --------------------------------------------------------------------------------------------------


def test_a_row_is_what_its_votes_say(rows: pd.DataFrame) -> None:
    sets = GroupSynonyms(GROUPS, SET_SIZE)
    good = rows[rows["status"] == "ok"]
    assert len(good) == 30
    for row in good.to_dict("records"):
        found = [word for word in row["text"].lower().strip(".").split() if len(sets.substitutes(word)) > 1]
        votes, selecting = as_list(row["votes"]), as_list(row["selection_votes"])
        assert (sum(votes), sum(selecting)) == (150, 30)
        bounds = bound_votes(votes, int(np.argmax(selecting)), 0.01)
        most = radius(bounds, losses([sets.overlap(word) for word in found]))
        assert row["smoothed_predicted"] == np.argmax(selecting)
        assert (row["p_low"], row["p_other_high"]) == (bounds.low, bounds.other_high)
        assert row["abstained"] == (most is None) == pd.isna(row["radius"])
        assert most is None or row["radius"] == most
        assert row["certified"] == (most == len(found))
        assert row["substitutable_words"] == len(found)
        assert row["set_words"] == sum(len(sets.substitutes(word)) for word in found)
        assert row["mean_set_size"] == row["set_words"] / len(found)
        assert row["distinct_versions"] <= math.prod(len(sets.substitutes(word)) for word in found)
        assert row["predicted"] == np.argmax(praise(TextRequest(row["text"])))
        assert row["score"] == pytest.approx(praise(TextRequest(row["text"]))[row["label"]])
        assert row["words"] == len(row["text"].split())
        assert row["synonyms"].startswith("file groups.txt, sha256 ")
    assert good["abstained"].nunique() == good["certified"].nunique() == 2
    assert good["radius"].nunique() > 2


def exact_share(sets: GroupSynonyms, words: Sequence[str]) -> float:
    """g(X, 1) of the words, by enumeration."""
    drawn = list(itertools.product(*(sets.substitutes(word) for word in words)))
    return float(np.mean([np.argmax(praise(TextRequest(" ".join(each)))) for each in drawn]))


def test_certificates_hold_against_every_attack(rows: pd.DataFrame) -> None:
    """Every sentence within the radius, each smoothed exactly: the answer is the certified one."""
    sets = GroupSynonyms(GROUPS, SET_SIZE)
    checked = 0
    for row in rows[rows["radius"].notna()].to_dict("records"):
        words = row["text"].lower().strip(".").split()
        if row["substitutable_words"] > 5:
            continue
        for attack in itertools.product(*((word, *sets.synonyms(word)) for word in words)):
            if sum(old != new for old, new in zip(words, attack, strict=True)) <= row["radius"]:
                assert (exact_share(sets, attack) > 0.5) == row["smoothed_predicted"]
                checked += 1
    assert checked > 150


def test_a_false_certificate_is_rarer_than_alpha(table: str) -> None:
    """A text that one synonym does turn, asked with many seeds: it is certified, wrongly, at most as often as alpha."""
    sets, alpha, seeds = GroupSynonyms(GROUPS, SET_SIZE), 0.1, 300
    rest = list(itertools.product(("nice", "fine"), *(sets.substitutes("nice"),) * 2))
    positive = {" ".join(words) for words in rest[:13]}

    def classify(request: TextRequest) -> Sequence[float]:
        return (0.1, 0.9) if request.text.startswith("lovely") or request.text in positive else (0.9, 0.1)

    def exact(*words: str) -> float:
        drawn = itertools.product(*(sets.substitutes(word) for word in words))
        return float(np.mean([np.argmax(classify(TextRequest(" ".join(each)))) for each in drawn]))

    assert exact("nice", "nice", "nice") == pytest.approx(22 / 27)
    assert exact("fine", "nice", "nice") == pytest.approx(13 / 27)  # 'good' is drawn where 'lovely' was
    given = {"alpha": alpha, "samples": 60, "selection_samples": 10, "changed_words": 1}
    case, fake = example("nice nice nice"), FakeScorer(INFO, classify=classify)
    rows = [row for seed in range(seeds) for row in probe(table, seed=seed, **given).run(fake, [case])]
    assert all(row["lost"] == pytest.approx(1 / 3) for row in rows)
    certified = sum(row["certified"] and row["smoothed_predicted"] == 1 for row in rows)
    assert 0.01 * seeds < certified <= alpha * seeds + 3 * math.sqrt(seeds * alpha * (1 - alpha))
    assert np.mean([as_list(row["votes"])[1] / 60 for row in rows]) == pytest.approx(22 / 27, abs=0.01)


def test_synonyms_that_share_their_set_are_certified_by_the_margin_alone(table: str, tmp_path: Path) -> None:
    """bad/poor and film/movie are whole components: no attack changes what is drawn."""
    (row,) = rows_of(probe(table), FakeScorer(INFO, classify=praise), [example("bad film", 0)], tmp_path).to_dict(
        "records"
    )
    assert (row["lost"], row["radius"], row["certified"]) == (0, 2, True)
    assert row["distinct_versions"] == 4


def test_at_most_so_many_changed_words(table: str, tmp_path: Path) -> None:
    def classify(request: TextRequest) -> Sequence[float]:
        return (0.1, 0.9)

    case = example("good nice lovely fine great")
    for changed, certified in ((None, False), (1, True), (5, False)):
        folder = tmp_path / str(changed)
        (row,) = rows_of(
            probe(table, changed_words=changed), FakeScorer(INFO, classify=classify), [case], folder
        ).to_dict("records")
        assert row["radius"] == 1
        assert row["certified"] == certified
        assert row["lost"] == pytest.approx(1 - (2 / 3) ** (1 if changed == 1 else 3))  # the chain's ends lose nothing


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_depend_on_the_case_and_the_seed_alone(table: str, rows: pd.DataFrame, tmp_path: Path) -> None:
    def run(chosen: Sequence[Case], name: str, **params: Any) -> pd.DataFrame:
        found = rows_of(probe(table, **params), FakeScorer(INFO, classify=praise), chosen, tmp_path / name)
        return found.set_index("case_id")

    together, few = rows.set_index("case_id"), cases()[:12]
    apart = run(random.Random(1).sample(few, len(few)), "apart")
    pd.testing.assert_frame_equal(apart.loc[[case.id for case in few]], together.loc[[case.id for case in few]])
    other = run(few, "seed", seed=1)
    assert any(
        as_list(a) != as_list(b) for a, b in zip(other["votes"], together.loc[other.index, "votes"], strict=True)
    )


def test_each_distinct_text_is_asked_once_for_all_cases_together(table: str) -> None:
    fake = FakeScorer(INFO, classify=praise)
    frame = pd.DataFrame({"text": ["good film", "good film", "bad film"], "label": [0, 1, 0]})
    rows = list(probe(table).run(fake, _cases(frame)))
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert len(fake.calls) == 1
    assert fake.calls[0] == 3 * 2 + 2 * 2


def test_a_text_without_synonyms_is_excluded_and_says_why(table: str, rows: pd.DataFrame) -> None:
    errors = rows.set_index("case_id")["error"]
    wordless, without = cases()[30:]
    assert str(errors[wordless.id]).startswith("none of its 2 words has a synonym (file ")
    assert str(errors[without.id]).startswith("none of its 2 words has a synonym (file ")
    fake = FakeScorer(INFO, classify=praise)
    (row,) = probe(table).run(fake, [example("?!")])
    assert row["error"].startswith("the text has no word (file groups.txt")
    assert fake.calls == []
    metrics = by_key(Safer().measure(rows))
    certified = metrics["certified_accuracy", ""]
    assert (certified.n, certified.missing, certified.excluded) == (30, 0, 2)


class Fragile(FakeScorer):
    """Gives no usable answer to 'movie'."""

    def classify(self, requests: Sequence[TextRequest]) -> list[ClassScores]:
        answers = super().classify(requests)
        lost = ClassScores(np.empty(0), error="out of order")
        return [lost if "movie" in asked.text else answer for asked, answer in zip(requests, answers, strict=True)]


def test_an_unusable_answer_is_an_error_not_a_vote(table: str, tmp_path: Path) -> None:
    chosen = [example("a broken film"), example("a film"), example("bad")]
    rows = rows_of(probe(table), Fragile(INFO, classify=praise), chosen, tmp_path)
    assert rows["status"].tolist() == ["error", "error", "ok"]
    assert rows["error"][0] == "the text: non-finite logits"
    assert "of 180 random versions, such as " in rows["error"][1]
    assert rows["error"][1].endswith("out of order")


def test_pairs_and_sides(table: str, tmp_path: Path) -> None:
    case = example("a good story", pair="a bad film")
    for side, words, places in (("both", 6, 3), ("first", 3, 1), ("second", 3, 2)):
        (row,) = rows_of(probe(table, side=side), FakeScorer(INFO, classify=praise), [case], tmp_path / side).to_dict(
            "records"
        )
        assert (row["words"], row["substitutable_words"]) == (words, places)
        assert row["pair"] == "a bad film"


def test_cases_are_those_of_the_attacks() -> None:
    frame = pd.DataFrame({"text": ["one two  three", "four"], "label": ["pos", "negative"]})
    assert [dict(case.data) for case in _cases(frame, max_words=2)] == [
        {"text": "one two", "label": 1, "words_cut": 1},
        {"text": "four", "label": 0, "words_cut": 0},
    ]


def test_vectors_are_another_source(tmp_path: Path) -> None:
    matrix = [[1, 0.1, 0], [1, 0.05, 0], [0, 1, 0.1], [0, 1, 0.05], [-1, -1, 0.3]]
    write_vectors(WordVectors(["good", "fine", "bad", "poor", "film"], np.array(matrix)), tmp_path / "v.txt")
    chosen = Safer(SaferParams(word_vectors=str(tmp_path / "v.txt"), components=0, samples=50))
    (case,) = chosen.cases(plan(INFO, examples=pd.DataFrame({"text": ["A good film"], "label": [1]})))
    (row,) = chosen.run(FakeScorer(INFO, classify=praise), [case])
    assert (row["substitutable_words"], row["distinct_versions"]) == (1, 2)
    assert row["synonyms"].startswith("word-vectors from user, sha256 ")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_bad_data_and_settings_are_refused(tmp_path: Path, table: str) -> None:
    frame = pd.DataFrame({"text": ["a"], "label": ["neg"]})
    with pytest.raises(DataError, match="no column 'pair', but side is 'second'; leave side out"):
        probe(table, side="second").cases(plan(INFO, examples=frame))
    with pytest.raises(UsageError, match="is no file; give a line per group"):
        probe(str(tmp_path / "none.txt")).cases(plan(INFO, examples=frame))
    one = make_info(Need.SEQUENCE_CLASSIFIER, labels=("only",))
    with pytest.raises(DataError, match="1 outputs, a regression"):
        probe(table).cases(plan(one, examples=frame))
    topics = make_info(Need.SEQUENCE_CLASSIFIER, labels=("sports", "business"))
    with pytest.raises(DataError, match="default data are sentiment"):
        probe(table).cases(plan(topics, examples=dataset(frame, EXAMPLES)))
    for params, why in (
        ({"alpha": 0}, "greater than 0"),
        ({"alpha": 0.5}, "less than 0.5"),
        ({"samples": 6}, "6 samples at alpha 0.01 can certify nothing; draw more samples"),
        ({"set_size": 1}, "greater than or equal to 2"),
        ({"changed_words": 0}, "greater than or equal to 1"),
        ({"synonyms": "a", "word_vectors": "b"}, "two sources of synonyms; give one"),
        ({"sample": 6}, "unknown key 'sample'; did you mean 'samples'"),
    ):
        with pytest.raises(UsageError, match=why):
            validated(SaferParams, params, "params")


def test_cost_counts_every_version(table: str) -> None:
    case = example("one two three four")  # 18 characters
    assert probe(table).cost([case]) == (18 // 4) * 181


# --- metrics ----------------------------------------------------------------------------------------------------------


def made(
    name: str, label: int, predicted: int, smoothed: int, most: int | None, *, reach: int = 4, **more: Any
) -> dict[str, Any]:
    return {
        "case_id": name,
        "status": "ok",
        "label": label,
        "predicted": predicted,
        "smoothed_predicted": smoothed,
        "abstained": most is None,
        "certified": most is not None and most >= reach,
        "radius": most,
        "alpha": 0.01,
        "changed_words": None,
        "words": 10,
        "substitutable_words": reach,
        "set_words": 3 * reach,
        "lost": 0.2,
        "words_cut": 0,
        "truncated": 0,
        "synonyms": "a table",
        **more,
    }


def test_metrics_of_rows_counted_by_hand() -> None:
    rows = [
        made("a", 1, 1, 1, 4),
        made("b", 1, 1, 1, 1, lost=0.5),
        made("c", 0, 0, 1, 4),
        made("d", 0, 1, 0, 1, reach=1, set_words=10),
        made("e", 0, 0, 0, None, words_cut=3),
        {"case_id": "f", "status": "error", "error": "why"},
    ]
    metrics = by_key(Safer().measure(pd.DataFrame(rows)))
    expected = {
        ("clean_accuracy", ""): 4,
        ("smoothed_accuracy", ""): 3,
        ("certified_accuracy", ""): 2,
        ("certified_accuracy", "1 changed word"): 3,
        ("certified_accuracy", "2 changed words"): 2,
        ("certified_accuracy", "4 changed words"): 2,
        ("certified_accuracy", "8 changed words"): 2,
        ("abstention_rate", ""): 1,
        ("certifiable_share", ""): 4,
    }
    for key, hits in expected.items():
        metric, interval = metrics[key], clopper_pearson(hits, 5)
        assert (metric.value, metric.n, metric.missing) == (hits / 5, 5, 1)
        assert (metric.low, metric.high, metric.interval) == (interval.low, interval.high, "Clopper-Pearson")
    assert metrics["synonyms_per_word", ""].value == pytest.approx((4 * 8 + 9) / (4 * 4 + 1))
    assert metrics["substitutable_words", ""].value == pytest.approx(17 / 50)
    assert {key for key, part in metrics if not part} == set(Safer().named())
    note = metrics["certified_accuracy", ""].note
    for said in ("any number of the words", "a chance of 0.01", "synonyms: a table", "of the smoothed classifier"):
        assert said in note
    assert metrics["clean_accuracy", ""].note == "1 cut to their first words"


def test_rows_read_back_give_the_same_metrics(table: str, tmp_path: Path) -> None:
    rows = rows_of(probe(table, changed_words=2), FakeScorer(INFO, classify=praise), cases(), tmp_path)
    metrics = by_key(Safer().measure(rows))
    good = rows[rows["status"] == "ok"]
    right = (good["label"] == good["smoothed_predicted"]) & ~good["abstained"].astype(bool)
    assert metrics["smoothed_accuracy", ""].value == right.mean()
    assert metrics["certified_accuracy", ""].value == (right & good["certified"].astype(bool)).mean()
    assert metrics["certified_accuracy", ""].value == metrics["certified_accuracy", "2 changed words"].value
    assert 0 < metrics["certified_accuracy", ""].value < metrics["smoothed_accuracy", ""].value < 1
    assert "at most 2 of the words" in metrics["certified_accuracy", ""].note
    assert Counter(rows["status"]) == {"ok": 30, "excluded": 2}


def test_row_values_add_up_to_the_metrics_of_the_rows(rows: pd.DataFrame) -> None:
    needed = rows[[*Safer().value_columns(Safer().named())]]
    seen = set()
    for metric in Safer().measure(rows):
        values = Safer().row_values(needed, metric.key, metric.slice)
        if values is None:
            continue
        above = np.asarray(values.above, dtype=np.float64)
        assert np.isnan(above).tolist() == (rows["status"] != "ok").tolist()
        below = np.ones(len(above)) if values.below is None else np.asarray(values.below)
        assert np.nansum(above) / below[~np.isnan(above)].sum() == metric.value
        seen.add(metric.key)
    assert seen == set(Safer().named())
    assert Safer().row_values(needed, "certified_accuracy", "3 changed words") is None


def test_missing_vectors_are_bad_data_so_that_other_probes_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(path: str | None) -> None:
        raise ResourceMissing("word-vectors is missing")

    monkeypatch.setattr("suites.adversarial.safer.probe.find_vectors", nowhere)
    with pytest.raises(DataError, match="word-vectors is missing"):
        Safer().cases(plan(INFO, examples=pd.DataFrame({"text": ["a"], "label": [0]})))
