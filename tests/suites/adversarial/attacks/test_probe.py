"""What all recipes' probes share: goals, pairs, workers, limits, semantics, and the values that baselines pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.case import Case
from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.errors import DataError, UsageError
from harness.record.rows import RowStore
from suites.adversarial.attacks.catalogue import A2T, PWWS, CheckListInvariance, DeepWordBug, InputReduction, TextFooler
from suites.adversarial.attacks.columns import AttackRow
from suites.adversarial.attacks.params import AttackParams
from suites.adversarial.attacks.probe import AttackProbe
from suites.adversarial.attacks.run import UNREAD, may_search_apart
from suites.adversarial.recipes import RECIPES
from suites.adversarial.resources.finding import ResourceMissing, find
from suites.adversarial.resources.textattack_env import missing, stop_words
from suites.adversarial.semantics.diff_spans import apply_spans, spans_from_json
from suites.adversarial.semantics.params import SemanticsParams
from tests.fakes import FakeScorer, make_info, plan
from tests.suites.adversarial.recipes.ingredients import resources, scorer

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

CLASSIFIER = make_info(Need.SEQUENCE_CLASSIFIER, labels=("neg", "neutral", "pos"))
WORDS = [
    "good",
    "great",
    "nice",
    "bad",
    "awful",
    "boring",
    "film",
    "movie",
    "story",
    "plot",
    "loved",
    "liked",
    "hate",
    "the",
    "a",
    "was",
    "and",
]
OFF = {"semantics": None}


@pytest.fixture(scope="module", autouse=True)
def _small_resources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ASSAY_RESOURCES", str(resources()["wordnet"].parent))
        yield


def attacked(probe: AttackProbe, scorer: Any, cases: Sequence[Case]) -> pd.DataFrame:
    """Rows by case id, in the order of the cases."""
    found = pd.DataFrame(list(probe.run(scorer, cases)), columns=list(AttackRow.to_schema().columns))
    return found.set_index("case_id").loc[[case.id for case in cases]]


def made(probe: AttackProbe, info: Any, **columns: list[Any]) -> list[Case]:
    return probe.cases(plan(info, examples=pd.DataFrame(columns)))


@cache
def cases() -> list[Case]:
    draw = np.random.default_rng(3)
    texts = [" ".join(draw.choice(WORDS, draw.integers(4, 9))) for _ in range(14)]
    labels = [answer.label for answer in scorer().ask([TextRequest(text) for text in texts])]
    return made(TextFooler(), scorer().info, text=texts, label=labels)


def without_seconds(rows: pd.DataFrame) -> pd.DataFrame:
    kept = rows[[name for name in rows if "seconds" not in str(name)]].astype(object)
    return kept.where(kept.notna(), None)


@pytest.mark.slow
def test_workers_and_company_change_no_row() -> None:
    """In this process all at once, one at a time, and by 1, 2 and 4 workers."""
    together = without_seconds(attacked(TextFooler(AttackParams(semantics=None)), scorer(), cases()))
    assert {"succeeded", "failed"} <= set(together["outcome"])
    for options in ({"concurrent": 1}, {"workers": 1}, {"workers": 2, "concurrent": 3}, {"workers": 4}):
        probe = TextFooler(AttackParams(semantics=None, **options))
        found = without_seconds(attacked(probe, scorer(), cases()[::-1])).loc[together.index]
        for name in ("score", "perturbed_score"):
            assert found[name].tolist() == pytest.approx(together[name].tolist(), abs=1e-5)
        rest = [name for name in together if "score" not in str(name)]
        pd.testing.assert_frame_equal(found[rest], together[rest])


def thirds(request: TextRequest) -> tuple[float, float, float]:
    """Says pos for 'good'; each word misspelt moves it to neutral, never to neg."""
    return (0.05, 0.15, 0.8) if "good" in request.text.split() else (0.1, 0.6, 0.3)


def test_a_targeted_attack_wants_its_class() -> None:
    frame = {"text": ["a good film", "a good film", "a film"], "label": ["pos", "neg", "neutral"]}
    for target, outcomes in (
        ("neutral", ["succeeded", "succeeded", "skipped"]),
        ("neg", ["failed", "skipped", "failed"]),
    ):
        probe = DeepWordBug(AttackParams(target=target, semantics=None))
        rows = attacked(probe, FakeScorer(CLASSIFIER, classify=thirds), made(probe, CLASSIFIER, **frame))
        assert rows["outcome"].tolist() == outcomes, target
    metrics = {one.key: one for one in probe.measure(rows.reset_index())}
    assert (metrics["clean_accuracy"].value, metrics["clean_accuracy"].n) == (2 / 3, 3)  # not what was skipped


def test_a_target_that_cannot_be_is_refused() -> None:
    frame = {"text": ["a good film"], "label": ["pos"]}
    with pytest.raises(UsageError, match="has no label 'sports', only 'neg', 'neutral', 'pos'"):
        made(DeepWordBug(AttackParams(target="sports")), CLASSIFIER, **frame)
    with pytest.raises(UsageError, match="cannot be after one class; leave out the target 'pos'"):
        made(InputReduction(AttackParams(target="pos")), CLASSIFIER, **frame)


def test_a_one_label_model_is_refused() -> None:
    one = make_info(Need.SEQUENCE_CLASSIFIER, labels=("score",))
    with pytest.raises(DataError, match="regression"):
        made(DeepWordBug(), one, text=["a"], label=["score"])


def entails(request: TextRequest) -> tuple[float, float, float]:
    assert request.pair is not None
    return (0.1, 0.1, 0.8) if "sleeps" in request.text.split() and "rests" in request.pair.split() else (0.6, 0.3, 0.1)


def test_of_a_pair_both_texts_come_back() -> None:
    probe = DeepWordBug(AttackParams(semantics=None))
    (case,) = made(probe, CLASSIFIER, text=["a man sleeps"], pair=["somebody rests"], label=["pos"])
    (row,) = attacked(probe, FakeScorer(CLASSIFIER, classify=entails), [case]).to_dict("records")
    assert (row["outcome"], row["text"], row["pair"]) == ("succeeded", "a man sleeps", "somebody rests")
    changed = [row["perturbed_text"] != row["text"], row["perturbed_pair"] != row["pair"]]
    assert changed.count(True) == 1
    joined = "a man sleeps\nsomebody rests", f"{row['perturbed_text']}\n{row['perturbed_pair']}"
    assert apply_spans(*joined, spans_from_json(row["diff_spans"])) == joined[1]


def test_recipes_that_spare_the_premise_do() -> None:
    probe = PWWS(AttackParams(semantics=None))
    assert RECIPES["textfooler"].pairs
    (case,) = made(TextFooler(), scorer().info, text=["a good film"], pair=["a great story"], label=["1"])
    (row,) = attacked(TextFooler(AttackParams(semantics=None)), scorer(), [case]).to_dict("records")
    assert row["perturbed_text"] in (None, "a good film")
    assert probe.recipe.resources == ("wordnet",)


def test_a_text_over_its_time_is_an_error_not_robust() -> None:
    probe = DeepWordBug(AttackParams(seconds=1e-9, semantics=None))
    rows = attacked(probe, scorer(), cases()[:2])
    assert rows["status"].tolist() == ["error"] * 2
    assert rows["error"].tolist() == ["OutOfTime: the limit of 1e-09 seconds for one text was reached"] * 2
    metrics = {one.key: one for one in probe.measure(rows.reset_index())}
    assert (metrics["attack_success_rate"].value, metrics["attack_success_rate"].missing) == (None, 2)


def test_seconds_are_by_stage() -> None:
    rows = attacked(TextFooler(AttackParams(semantics=None)), scorer(), cases())
    parts = rows[["seconds_search", "seconds_victim", "seconds_encoder"]].astype(float)
    assert (parts[["seconds_search", "seconds_victim"]] > 0).all().all()
    assert parts.sum(axis=1).tolist() == pytest.approx(rows["seconds"].astype(float).tolist())


def test_successes_are_filtered_by_what_they_mean() -> None:
    probe = TextFooler(AttackParams(semantics=SemanticsParams(measures=("similarity",), min_similarity=1.0)))
    rows = attacked(probe, scorer(), cases())
    won = rows[rows["outcome"] == "succeeded"]
    assert won["similarity"].between(-1, 1).all()
    assert won["semantics_source"].str.contains("sentence-encoder").all()
    metrics = {one.key: one for one in probe.measure(rows.reset_index())}
    raw, filtered = metrics["attack_success_rate"], metrics["filtered_success_rate"]
    assert raw.value is not None
    assert raw.value > 0
    assert (filtered.value, filtered.n) == (0, raw.n)  # none is identical to its original
    assert "raw_success_rate" not in metrics


def test_rows_name_what_the_attack_was_built_from() -> None:
    rows = attacked(TextFooler(AttackParams(semantics=None)), scorer(), cases()[:1])
    named = rows["resources"].iloc[0]
    assert [name in named for name in ("word-vectors", "pos-tagger", "sentence-encoder")] == [True] * 3
    assert attacked(DeepWordBug(AttackParams(semantics=None)), scorer(), cases()[:1])["resources"].tolist() == [""]


@pytest.mark.parametrize(
    ("probe", "named"),
    [
        (DeepWordBug, stop_words().name),
        (TextFooler, "the recipe's own list, "),
        (CheckListInvariance, "none"),
        (InputReduction, "none"),
    ],
)
def test_rows_name_the_words_that_the_recipe_leaves_alone(probe: type[AttackProbe], named: str) -> None:
    """TextFooler brings its own list; TextAttack's rule holds for swaps alone, so not for input reduction."""
    (row,) = attacked(probe(AttackParams(semantics=None)), scorer(), cases()[:1]).to_dict("records")
    assert row["stop_words"].startswith(named)


def test_a_resource_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the rows and to say what is missing; the parts that an attack is built from find their own."""
    asked: list[str] = []

    def counted(name: str, path: Any = None) -> Any:
        asked.append(name)
        return find(name, path)

    monkeypatch.setattr("suites.adversarial.attacks.models.find", counted)
    attacked(TextFooler(AttackParams(semantics=None)), scorer(), cases()[:2])
    assert asked == list(RECIPES["textfooler"].resources)


def test_a_reduction_reports_what_is_left(tmp_path: Any) -> None:
    def keeps_good(request: TextRequest) -> tuple[float, float, float]:
        return (0.1, 0.1, 0.8) if "good" in request.text.split() else (0.8, 0.1, 0.1)

    probe = InputReduction(AttackParams(semantics=None))
    found = made(probe, CLASSIFIER, text=["a very good film", "a bad film"], label=["pos", "pos"])
    rows = attacked(probe, FakeScorer(CLASSIFIER, classify=keeps_good), found)
    assert rows["outcome"].tolist() == ["maximised", "skipped"]
    assert rows["perturbed_text"].iloc[0].split() == ["very", "good"]  # each place is tried once, as in TextAttack
    metrics = {one.key: one.value for one in probe.measure(rows.reset_index())}
    assert metrics["reduced_to_one_word_rate"] == 0
    assert (metrics["words_left"], metrics["share_left"], metrics["clean_accuracy"]) == (2, 0.5, 0.5)
    store = RowStore(tmp_path, probe.name, AttackRow)
    store.append({str(key): value for key, value in row.items()} for row in rows.reset_index().to_dict("records"))
    assert len(store.read()) == 2


@pytest.mark.parametrize("metric", ["clean_accuracy", "after_attack_accuracy", "attack_success_rate", "mean_queries"])
def test_row_values_add_up_to_the_metric(metric: str) -> None:
    probe = DeepWordBug(AttackParams(semantics=None))
    rows = attacked(probe, scorer(), cases()).reset_index()
    crash = {**dict.fromkeys(rows.columns), "case_id": "x", "status": "error", "error": "told to"}
    rows = pd.concat([rows, pd.DataFrame([crash])], ignore_index=True)
    (expected,) = [one for one in probe.measure(rows) if one.key == metric]
    found = probe.row_values(rows, metric, "")
    assert found is not None
    above = np.asarray(found.above, dtype=float)
    below = np.ones(len(rows)) if found.below is None else np.asarray(found.below, dtype=float)
    assert np.isnan(above[-1])
    good = ~np.isnan(above)
    assert above[good].sum() / below[good].sum() == pytest.approx(expected.value)
    assert probe.row_values(rows, metric, "a slice") is None


def test_a_missing_resource_is_in_every_row_and_stops_no_other_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str, *_: Any, **__: Any) -> Any:
        raise ResourceMissing(f"{name}, for words in context, is missing; get it")

    monkeypatch.setattr("suites.adversarial.attacks.models.find", nowhere)
    rows = attacked(TextFooler(AttackParams(semantics=None)), scorer(), cases()[:2])
    assert rows["error"].tolist() == ["word-vectors, for words in context, is missing; get it"] * 2
    (metric,) = [one for one in TextFooler().measure(rows.reset_index()) if one.key == "attack_success_rate"]
    assert metric.note == "no text could be attacked: word-vectors, for words in context, is missing; get it"


def test_a_model_without_gradients_is_an_error_of_white_box_attacks() -> None:
    fake = FakeScorer(CLASSIFIER, classify=thirds)  # which gives none
    found = made(A2T(), CLASSIFIER, text=["a good film"], label=["pos"])
    (row,) = attacked(A2T(AttackParams(semantics=None)), fake, found).to_dict("records")
    assert row["error"].startswith("the attack needs gradients: ")


def test_a_text_of_unknown_tokens_is_an_error() -> None:
    found = made(DeepWordBug(), scorer().info, text=["\u4f60\u597d \u597d", "a good film"], label=["1", "1"])
    rows = attacked(DeepWordBug(AttackParams(semantics=None)), scorer(), found)
    assert rows["error"].iloc[0] == UNREAD
    assert rows["status"].iloc[1] == "ok"


@pytest.mark.parametrize("probe", [InputReduction, CheckListInvariance, DeepWordBug])
def test_a_text_without_a_word_is_excluded(probe: type[AttackProbe]) -> None:
    found = made(probe(), CLASSIFIER, text=["!!! ?!"], label=["pos"])
    (row,) = attacked(probe(AttackParams(semantics=None)), FakeScorer(CLASSIFIER, classify=thirds), found).to_dict(
        "records"
    )
    assert (row["status"], row["error"]) == ("excluded", "the text has no word to attack")


def test_a_masked_language_model_is_in_one_process_only() -> None:
    assert not may_search_apart(RECIPES["bae"].resources)
    assert may_search_apart(RECIPES["textfooler"].resources)


def test_gradients_stay_in_the_models_process() -> None:
    probe = A2T(AttackParams(semantics=None, workers=2))
    rows = attacked(probe, scorer(), cases()[:3])
    assert (rows["status"] == "ok").all(), rows["error"].tolist()
    assert not probe.recipe.black_box
