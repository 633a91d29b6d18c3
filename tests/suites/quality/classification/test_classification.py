from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.lists import as_list
from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import DataError, UsageError
from harness.stats.intervals import clopper_pearson
from suites.quality.classification import Classification
from suites.quality.classification.probe import ClassificationParams
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of, values
from tests.tiny import make_checkpoint

INFO = make_info(Need.SEQUENCE_CLASSIFIER)
PROBABILITY = {"one": 0.9, "two": 0.6, "three": 0.2, "four": 0.7}
"""P(positive) of each text; the long text is cut."""


def classify(request: TextRequest) -> Sequence[float]:
    p = PROBABILITY[request.text.removesuffix(" long")]
    return (1 - p, p)


def examples(texts: Sequence[str], labels: Sequence[object]) -> pd.DataFrame:
    return pd.DataFrame({"text": texts, "label": labels})


def test_metrics_of_four_texts_worked_out_by_hand(tmp_path: Path) -> None:
    probe = Classification()
    texts = examples(["one", "two", "three", "four long"], ["positive", "negative", "negative", "positive"])
    cases = probe.cases(plan(INFO, examples=texts))
    rows = rows_of(probe, FakeScorer(INFO, classify=classify), cases, tmp_path)
    found = values(probe.measure(rows))
    assert found["accuracy"] == 0.75  # 'two' is called positive
    assert found["macro_f1"] == pytest.approx((2 * 1 / 3 + 2 * 2 / 5) / 2)  # negative 1 of 1+2, positive 2 of 3+2
    assert found["brier"] == pytest.approx(2 * (0.1**2 + 0.6**2 + 0.2**2 + 0.3**2) / 4)
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean())
    # bins (9/15, 10/15] would hold 0.6 only above it; each confidence has a bin of its own
    assert found["ece_raw"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.3) / 4)
    assert 0 < (found["ece"] or 0) < (found["ece_raw"] or 0)  # less what four texts add by chance
    assert found["truncated_rate"] == 0.25
    assert found["aurc"] == pytest.approx((0 + 0 + 0 + 1 / 4) / 4)  # 0.9, 0.8, 0.7 right, 0.6 wrong
    assert found["accuracy_at_80"] == 0.75
    assert found["mcc"] == pytest.approx(1 / np.sqrt(3))
    assert set(found) == set(Classification().named())


def test_rows_keep_every_probability_in_full(tmp_path: Path) -> None:
    probe = Classification()
    cases = probe.cases(plan(INFO, examples=examples(["one", "two"], [1, 0])))
    rows = rows_of(probe, FakeScorer(INFO), cases, tmp_path)
    answers = FakeScorer(INFO).ask([TextRequest("one"), TextRequest("two")])
    assert [as_list(value) for value in rows["probabilities"]] == [a.probabilities.tolist() for a in answers]
    assert list(rows["label"]) == [1, 0]


def test_a_text_without_an_answer_is_missing_not_wrong(tmp_path: Path) -> None:
    probe = Classification()
    texts = examples(["one", "three", "broken"], ["positive", "negative", "positive"])
    rows = rows_of(probe, FakeScorer(INFO, classify=classify), probe.cases(plan(INFO, examples=texts)), tmp_path)
    assert list(rows["status"]) == ["ok", "ok", "error"]
    accuracy = by_key(probe.measure(rows))["accuracy", ""]
    assert (accuracy.value, accuracy.n, accuracy.missing) == (1.0, 2, 1)
    assert (accuracy.low, accuracy.high) == (clopper_pearson(2, 2).low, 1.0)


def test_without_a_usable_row_every_metric_is_missing_with_a_reason(tmp_path: Path) -> None:
    probe = Classification()
    cases = probe.cases(plan(INFO, examples=examples(["broken"], ["positive"])))
    for rows, missing in (
        (rows_of(probe, FakeScorer(INFO), cases, tmp_path), 1),
        (rows_of(probe, FakeScorer(INFO), [], tmp_path / "none"), 0),
    ):
        metrics = probe.measure(rows)
        assert {m.key: (m.value, m.n, m.missing) for m in metrics} == dict.fromkeys(
            Classification().named(), (None, 0, missing)
        )
        assert all(metric.note for metric in metrics)


def test_a_pair_reaches_the_model_and_the_case_id() -> None:
    probe = Classification()
    frame = pd.DataFrame({"text": ["a", "a", "a"], "pair": ["b", "c", "b"], "label": [0, 0, 0]})
    cases = probe.cases(plan(INFO, examples=frame))
    assert [case.data["pair"] for case in cases] == ["b", "c", "b"]
    assert cases[2].id == f"{cases[0].id}-1"
    rows = list(probe.run(FakeScorer(INFO), cases))
    assert rows[0]["probabilities"] == rows[2]["probabilities"] != rows[1]["probabilities"]


def test_a_label_outside_the_model_is_refused_before_anything_runs() -> None:
    with pytest.raises(DataError, match="row 2 of those used has the label '7'"):
        Classification().cases(plan(INFO, examples=examples(["a", "b"], [0, 7])))


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_tiny_checkpoint_is_scored_as_transformers_scores_it(kind: str, tmp_path: Path) -> None:
    import torch

    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path / kind, kind, "classifier"))))
    loaded = load_checkpoint(info, device="cpu", dtype="fp32")
    texts = ["a good film", "the worst book of the year", "so boring " * 100, "I loved it"]
    probe = Classification()
    cases = probe.cases(plan(info, examples=examples(texts, ["positive", "negative", "negative", "positive"])))
    rows = rows_of(probe, HFScorer(loaded), cases, tmp_path)
    for text, given in zip(texts, rows["probabilities"], strict=True):
        encoded = loaded.tokenizer(text, return_tensors="pt", truncation=True, max_length=info.max_tokens)
        with torch.no_grad():
            expected = loaded.model(**encoded).logits[0].softmax(-1)
        assert as_list(given) == pytest.approx(expected.tolist(), abs=1e-4)
    found = values(probe.measure(rows))
    assert found["truncated_rate"] == 0.25
    assert found["accuracy"] == (rows["label"] == rows["predicted"]).mean()


def many(n: int = 400, seed: int = 0) -> tuple[pd.DataFrame, dict[str, float]]:
    """Texts with probabilities twice as far from one half, in log odds, as they are right."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.5, n)
    label = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    chances = {f"text{at}": float(1 / (1 + np.exp(-2 * value))) for at, value in enumerate(odds)}
    return examples(list(chances), [str(each) for each in label]), chances


def test_the_metrics_of_many_texts_follow_from_their_rows(tmp_path: Path) -> None:
    from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score

    frame, chances = many()
    probe = Classification(ClassificationParams(positive=1))
    scorer = FakeScorer(INFO, classify=lambda request: (1 - chances[request.text], chances[request.text]))
    rows = rows_of(probe, scorer, probe.cases(plan(INFO, examples=frame)), tmp_path)
    found = by_key(probe.measure(rows))
    label, predicted = rows["label"].to_numpy(), rows["predicted"].to_numpy()
    confidence = np.array([max(as_list(cell)) for cell in rows["probabilities"]])
    assert found["mcc", ""].value == pytest.approx(matthews_corrcoef(label, predicted))
    assert found["f1", ""].value == pytest.approx(f1_score(label, predicted))
    assert found["confidence_auroc", ""].value == pytest.approx(roc_auc_score(label == predicted, confidence))
    surest = np.argsort(-confidence)[:320]
    at = found["accuracy_at_80", ""]
    assert at.n == 320
    assert at.value == pytest.approx((label == predicted)[surest].mean())
    temperature = found["temperature", ""]
    assert temperature.low is not None
    assert temperature.high is not None
    assert temperature.low < 2 < temperature.high
    assert (found["ece_scaled", ""].value or 0) < (found["ece", ""].value or 0)
    assert (found["nll_scaled", ""].value or 9) < (found["nll", ""].value or 0)
    assert temperature.n + found["nll_scaled", ""].n == 400
    assert found["aurc", ""].value is not None
    assert set(probe.named()) == {key for key, _ in found}


def test_a_positive_class_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="positive: no class 2, the model has 0 'negative', 1 'positive'"):
        Classification(ClassificationParams(positive=2)).cases(plan(INFO, examples=examples(["a"], [0])))


def test_too_few_texts_fit_no_temperature_and_say_so(tmp_path: Path) -> None:
    probe = Classification()
    cases = probe.cases(plan(INFO, examples=examples(["one", "two"], [1, 0])))
    found = by_key(probe.measure(rows_of(probe, FakeScorer(INFO, classify=classify), cases, tmp_path)))
    for key in ("temperature", "ece_scaled", "nll_scaled"):
        assert (found[key, ""].value, found[key, ""].note) == (None, "fewer than 20 texts in a half")
