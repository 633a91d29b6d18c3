from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError, NoDataError, WrongDataError
from suites.quality.consistency.probe import Consistency, ConsistencyParams, Paraphrases
from suites.sources import IMDB_HELD_OUT
from tests.fakes import FakeScorer, by_key, dataset, make_info, plan, rows_of, values
from tests.scoring import all_logprobs, load, scorer

LABELS = ("negative", "positive")
CLASSIFIER = make_info(Need.SEQUENCE_CLASSIFIER, labels=LABELS)
CAUSAL = make_info(Need.CAUSAL_LM, max_tokens=64)
EXAMPLES = pd.DataFrame({"text": ["Good film.", "bad film", "GOOD"], "label": ["positive", "negative", "positive"]})


def shouts(request: TextRequest) -> list[float]:
    """Positive with 0.9, but for texts in capitals, which it finds positive with 0.2."""
    return [0.8, 0.2] if request.text.isupper() else [0.1, 0.9]


def rows_for(folder: Path, examples: pd.DataFrame = EXAMPLES, classify: Any = shouts, **data: pd.DataFrame) -> Any:
    probe, fake = Consistency(), FakeScorer(CLASSIFIER, classify=classify)
    return rows_of(probe, fake, probe.cases(plan(CLASSIFIER, examples=examples, **data)), folder)


def test_a_classifier_that_minds_capitals_by_hand(tmp_path: Path) -> None:
    rows = rows_for(tmp_path)
    good = rows[rows["status"] == "ok"]
    upper = good[good["kind"] == "upper case"]
    assert [list(each) for each in upper["predicted"]] == [[1, 0], [1, 0]]  # the third is in capitals as given
    assert np.stack(upper["chances"]) == pytest.approx(np.array([[0.9, 0.2], [0.9, 0.2]]))
    assert upper["spread"].tolist() == pytest.approx([0.7, 0.7])
    lower = good[good["kind"] == "lower case"]
    assert [list(each) for each in lower["predicted"]] == [[1, 1], [0, 1]]
    excluded = rows[rows["status"] == "excluded"]
    # "bad film" is in lower case, "GOOD" in capitals and of one word, which no blank can be doubled in
    assert len(excluded) == 3
    assert set(excluded["error"]) == {"the change leaves the text as it is"}
    metrics = by_key(Consistency().measure(rows))
    assert metrics["agreement", "upper case"].value == 0.0
    assert metrics["agreement", "final mark"].value == 1.0
    assert metrics["agreement", "lower case"].value == 0.5
    assert metrics["agreement", ""].value == pytest.approx(good["agreement"].mean())
    assert metrics["agreement", ""].n == 3  # examples, not rows: those of one example are related
    assert metrics["agreement", ""].excluded == 3
    assert metrics["agreement", ""].note.startswith("one answer is given to 67 % of the texts")
    assert metrics["spread", "upper case"].value == pytest.approx(0.7)


def test_accuracy_moves_by_hand(tmp_path: Path) -> None:
    """Upper case: one right becomes wrong, one wrong becomes right. Lower case: the wrong one of three is mended."""
    metrics = by_key(Consistency().measure(rows_for(tmp_path)))
    assert metrics["accuracy_change", "upper case"].value == 0.0
    assert metrics["accuracy_change", "lower case"].value == 0.5
    assert metrics["accuracy_change", "final mark"].value == 0.0
    assert metrics["largest_accuracy_change", ""].value == 0.5
    assert "lower case, on 2 texts" in metrics["largest_accuracy_change", ""].note
    unlabelled = rows_for(tmp_path / "other", EXAMPLES[["text"]])
    assert "largest_accuracy_change" not in values(Consistency().measure(unlabelled))
    assert "accuracy_change" not in values(Consistency().measure(unlabelled))


def test_a_set_of_paraphrases_agrees_by_its_pairs(tmp_path: Path) -> None:
    sets = pd.DataFrame({"text": ["a b", "A B", "A  B", "c d", "d c"], "set": ["1", "1", "1", "2", "2"]})
    rows = rows_for(tmp_path, paraphrases=sets)
    mine = rows[rows["kind"] == "paraphrase"]
    assert mine["agreement"].tolist() == pytest.approx([1 / 3, 1.0])  # of three pairs the two shouted ones agree
    assert mine["same"].tolist() == [False, True]
    metrics = by_key(Consistency().measure(rows))
    assert metrics["agreement", "paraphrase"].value == pytest.approx(2 / 3)
    assert metrics["all_same_rate", "paraphrase"].value == 0.5
    assert "Clopper-Pearson" in metrics["all_same_rate", "paraphrase"].interval
    assert ("accuracy_change", "paraphrase") not in metrics or metrics["accuracy_change", "paraphrase"].value is None


def test_pairs_change_together(tmp_path: Path) -> None:
    pairs = pd.DataFrame({"text": ["Is it"], "pair": ["Yes It"]})
    cases = Consistency(ConsistencyParams(changes=("lower case",))).cases(plan(CLASSIFIER, examples=pairs))
    assert [case.data["texts"] for case in cases] == [[["Is it", "Yes It"], ["is it", "yes it"]]]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_choices_of_a_causal_model_agree_with_bare_forward_passes(kind: str, tmp_path: Path) -> None:
    loaded, one = load(kind, "causal_lm"), scorer(kind, "causal_lm")
    params = ConsistencyParams(choices=("good", "bad story"), instruction="was it {choices}?", changes=("parts",))
    probe = Consistency(params)
    examples = pd.DataFrame({"text": ["the film", "a book"], "label": ["good", "bad story"]})
    rows = rows_of(probe, one, probe.cases(plan(one.info, examples=examples)), tmp_path)
    for text, row in zip(examples["text"], rows.to_dict("records"), strict=True):
        logits = []
        for read in (f"{text}\nwas it good, bad story?\nAnswer:", f"was it good, bad story?\n{text}\nAnswer:"):
            before = tuple(loaded.tokenizer(read)["input_ids"])
            each = []
            for choice in params.choices:
                ids = tuple(loaded.tokenizer(f"{read} {choice}")["input_ids"])
                assert ids[: len(before)] == before
                logprobs = all_logprobs(loaded.model, ids)
                each.append(sum(logprobs[at - 1, ids[at]] for at in range(len(before), len(ids))))
            logits.append(np.exp(each) / np.exp(each).sum())
        first = int(np.argmax(logits[0]))
        assert list(row["predicted"]) == [first, int(np.argmax(logits[1]))]
        assert list(row["chances"]) == pytest.approx([logits[0][first], logits[1][first]], abs=1e-4)
    assert rows["label"].tolist() == [0, 1]


def test_a_choice_too_long_for_the_model_is_an_error_row(tmp_path: Path) -> None:
    probe = Consistency(ConsistencyParams(choices=("yes", " ".join(["no"] * 80)), changes=("parts",), instruction="?"))
    rows = rows_of(probe, FakeScorer(CAUSAL), probe.cases(plan(CAUSAL, examples=EXAMPLES[["text"]])), tmp_path)
    assert rows["status"].tolist() == ["error"] * 3
    assert by_key(probe.measure(rows))["agreement", ""].missing == 3


def test_choices_that_the_tokenizer_cannot_tell_apart_are_no_agreement(tmp_path: Path) -> None:
    """The fake's tokenizer knows no case: the first of both would be the answer to everything."""
    probe = Consistency(ConsistencyParams(choices=("Yes", "yes"), changes=("parts",), instruction="?"))
    rows = rows_of(probe, FakeScorer(CAUSAL), probe.cases(plan(CAUSAL, examples=EXAMPLES[["text"]])), tmp_path)
    assert set(rows["error"]) == {"the tokenizer makes the same tokens of two choices"}


def test_labels_of_the_default_data_are_for_sentiment_alone() -> None:
    topics = make_info(Need.SEQUENCE_CLASSIFIER, labels=("sport", "trade"))
    cases = Consistency().cases(plan(topics, examples=dataset(EXAMPLES, IMDB_HELD_OUT)))
    assert {case.data["label"] for case in cases} == {None}
    with pytest.raises(WrongDataError, match="has the label 'positive', the model's classes are"):
        Consistency().cases(plan(topics, examples=EXAMPLES))


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match="a causal LM needs answers to choose among; give params"):
        Consistency().cases(plan(CAUSAL, examples=EXAMPLES))
    sets = pd.DataFrame({"text": ["x", "y", "z"], "set": ["a", "a", "b"]})
    with pytest.raises(WrongDataError, match=r"test\.csv: the set 'b' has one text"):
        Consistency().cases(plan(CLASSIFIER, examples=EXAMPLES, paraphrases=sets))
    with pytest.raises(ValidationError, match="give two or more different choices"):
        ConsistencyParams(choices=("yes",))
    file = tmp_path / "sets.csv"
    file.write_text("text,topic\nhello,1\n")
    with pytest.raises(DataError, match=r"sets\.csv: missing column 'set'"):
        load_dataset(DataSource(source=str(file)), Paraphrases)
