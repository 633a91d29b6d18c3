from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError
from suites.quality.regression import Regression
from suites.quality.regression.correlation import pearson, spearman
from suites.quality.regression.probe import ScoredTexts
from tests.fakes import by_key, plan, rows_of
from tests.tiny import make_checkpoint


@pytest.mark.parametrize("seed", range(3))
def test_both_correlations_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=300).round(1)  # with equals
    y = np.exp(x) + rng.normal(size=300)
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        found = ours(x, y)
        assert found is not None
        value, interval = found
        assert value == pytest.approx(theirs(x, y).statistic)
        assert interval is not None
        assert interval.low < value < interval.high


def test_what_does_not_vary_has_no_correlation_and_few_texts_no_interval() -> None:
    x = np.arange(10.0)
    assert pearson(np.ones(10), x) is None
    assert spearman(x, np.ones(10)) is None
    found = pearson(x, x**2)
    assert found is not None
    assert found[1] is None


@pytest.mark.parametrize("constant", [0.1, 0.3, 2.7, 1e-9, 123456.789])
@pytest.mark.parametrize("n", [3, 10, 50, 77, 1000])
def test_a_constant_whose_deviation_is_rounding_has_no_correlation(constant: float, n: int) -> None:
    """torchmetrics gave 1 for such (github.com/Lightning-AI/torchmetrics/issues/2920)."""
    assert pearson(np.full(n, constant), np.arange(float(n))) is None
    assert spearman(np.full(n, constant), np.arange(float(n))) is None


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_correlation_has_no_scale(scale: float) -> None:
    x = np.arange(20.0)
    found, plain = pearson(x * scale, x**2), pearson(x, x**2)
    assert found is not None
    assert plain is not None
    assert found[0] == pytest.approx(plain[0])


@pytest.mark.parametrize("truth", [0.3, 0.85])
def test_pearsons_interval_holds_the_true_value_about_as_often_as_it_says(truth: float) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(150):
        x, noise = rng.normal(size=(2, 200))
        found = pearson(x, truth * x + np.sqrt(1 - truth**2) * noise)
        assert found is not None
        assert found[1] is not None
        hits += found[1].low <= truth <= found[1].high
    assert hits >= 135


def test_a_tiny_regression_head_is_measured_as_transformers_runs_it(tmp_path: Path) -> None:
    import torch

    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path / "c", "bert", "regression"))))
    loaded = load_checkpoint(info, device="cpu", dtype="fp32")
    frame = pd.DataFrame({"text": ["a good film", "the worst"], "pair": ["a film", "he went"], "score": [4.5, 1.0]})
    probe = Regression()
    rows = rows_of(probe, HFScorer(loaded), probe.cases(plan(info, examples=frame)), tmp_path)
    expected = []
    for text, pair in zip(frame["text"], frame["pair"], strict=True):
        with torch.no_grad():
            expected.append(float(loaded.model(**loaded.tokenizer(text, pair, return_tensors="pt")).logits))
    assert rows["predicted"].to_numpy() == pytest.approx(expected, abs=1e-5)
    found = by_key(probe.measure(rows))
    assert found["mse", ""].value == pytest.approx(((np.array(expected) - [4.5, 1.0]) ** 2).mean(), abs=1e-4)
    assert abs(found["pearson", ""].value or 0) == pytest.approx(1)
    assert "no interval" in found["pearson", ""].note


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na,1\n", "missing column 'score'"),
        ("text,score\na,good\n", "column 'score'"),
        ("text,score\na,inf\n", "is not a finite number; correct it or leave the row out"),
        ("text,score\na,\n", "column 'score'"),
    ],
)
def test_data_without_true_numbers_are_refused_in_a_sentence(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(DataSource(source=str(path)), ScoredTexts)
