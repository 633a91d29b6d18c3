from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.models import Models
from harness.api.needs import Need
from harness.api.probe import Plan
from harness.api.scorer import Embedding, EmbedRequest
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import LabelledTexts
from harness.errors import AuditError, DataError, WrongDataError
from harness.record.prepared import KeptOnDisk
from suites.quality.retrieval import Retrieval, RetrievalParams
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of, values
from tests.scoring import load, scorer

PLACES = {
    "a": (1.0, 0.0),
    "b": (0.0, 1.0),
    "c": (-1.0, 0.0),
    "near a": (0.9, 0.1),
    "near b": (0.6, 0.8),
    "off": (0.5, -2.0),
}
ENTRIES = pd.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "z"]})


def embed(requests: Any) -> list[Embedding]:
    return [
        Embedding(np.empty(0), error="non-finite states")
        if request.text == "broken"
        else Embedding(np.array(PLACES.get(request.text, (0.0, 0.0))) * 7)
        for request in requests
    ]


def fake() -> FakeScorer:
    made = FakeScorer(make_info(Need.MASKED_LM))
    made.answers[EmbedRequest] = embed
    return made


def bound(probe: Retrieval, one: Any, data: Plan, folder: Path) -> Retrieval:
    made = probe.within(Models(one), KeptOnDisk(folder / "kept"))
    made.prepare(Models(one), data)
    return made


def rows_for(questions: pd.DataFrame, folder: Path, entries: pd.DataFrame = ENTRIES, **params: Any) -> pd.DataFrame:
    one, probe = fake(), Retrieval(RetrievalParams(**params))
    data = plan(one.info, queries=questions, entries=entries)
    return rows_of(bound(probe, one, data, folder), one, probe.cases(data), folder)


def test_ranks_and_metrics_by_hand(tmp_path: Path) -> None:
    questions = pd.DataFrame({"text": ["near a", "near b", "near b", "c"], "label": ["x", "y", "x", "x"]})
    rows = rows_for(questions, tmp_path)
    assert rows["rank"].tolist() == [1, 1, 2, 3]
    assert rows["nearest"].tolist() == ["x", "y", "y", "z"]
    assert rows["similarity"].tolist() == pytest.approx([0.9 / np.hypot(0.9, 0.1), 0.8, 0.8, 1.0])
    assert rows["copied"].tolist() == [False, False, False, True]
    found = values(Retrieval().measure(rows))
    assert found["mrr"] == pytest.approx((1 + 1 + 1 / 2 + 1 / 3) / 4)
    assert (found["recall_at_1"], found["recall_at_5"], found["copied_rate"]) == (0.5, 1.0, 0.25)
    assert "no_answer_auc" not in found
    metrics = by_key(Retrieval().measure(rows))
    assert metrics["mrr", ""].note.startswith("a random order of 3 answers has 0.611")  # (1 + 1/2 + 1/3) / 3
    assert metrics["recall_at_1", ""].note == "a random order has 0.333"


def test_an_answer_is_as_near_as_its_nearest_entry_and_ties_count_against_it(tmp_path: Path) -> None:
    entries = pd.DataFrame({"text": ["c", "a", "b", "a"], "label": ["x", "x", "y", "z"]})
    rows = rows_for(pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}), tmp_path, entries)
    assert rows["rank"].tolist() == [2, 1]  # of x and z both lie upon the question
    assert rows["answers"].tolist() == [3, 3]


def test_questions_without_an_answer_are_told_by_similarity(tmp_path: Path) -> None:
    questions = pd.DataFrame({"text": ["near a", "near b", "off"], "label": ["x", "y", "oos"]})
    rows = rows_for(questions, tmp_path, no_answer="oos")
    assert rows["answerable"].tolist() == [True, True, False]
    assert rows["rank"].isna().tolist() == [False, False, True]
    metrics = by_key(Retrieval().measure(rows))
    assert metrics["mrr", ""].n == 2
    assert (metrics["no_answer_auc", ""].value, metrics["no_answer_auc", ""].n) == (1.0, 1)
    assert metrics["no_answer_auc", ""].low is not None
    (alone,) = (one for one in Retrieval().measure(rows[2:]) if one.key == "mrr")
    assert (alone.value, alone.note) == (None, "no question has an answer among the entries")


def test_a_question_without_an_embedding_is_missing_and_an_entry_stops_the_audit(tmp_path: Path) -> None:
    rows = rows_for(pd.DataFrame({"text": ["a", "broken", "nowhere"], "label": ["x", "x", "x"]}), tmp_path)
    assert rows["error"].fillna("").tolist() == ["", "non-finite states", "the embedding is no direction"]
    assert by_key(Retrieval().measure(rows))["mrr", ""].missing == 2
    entries = pd.DataFrame({"text": ["a", "broken"], "label": ["x", "y"]})
    with pytest.raises(AuditError, match="no embedding of the entry 'broken'"):
        rows_for(pd.DataFrame({"text": ["a"], "label": ["x"]}), tmp_path / "other", entries)


@pytest.mark.parametrize(("kind", "head"), [("bert", "base"), ("gpt2", "causal_lm")])
def test_a_tiny_checkpoint_agrees_with_its_bare_forward_pass(kind: str, head: str, tmp_path: Path) -> None:
    import torch

    loaded, one = load(kind, head), scorer(kind, head)
    entries = pd.DataFrame({"text": ["a good film", "the old doctor", "her house at work"], "label": ["1", "2", "3"]})
    questions = pd.DataFrame({"text": ["good film was it", "the doctor", "house", "she"], "label": list("1231")})
    probe = Retrieval()
    data = plan(one.info, queries=questions, entries=entries)
    rows = rows_of(bound(probe, one, data, tmp_path), one, probe.cases(data), tmp_path)

    def vector(text: str) -> Any:
        inputs = loaded.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = loaded.model(**inputs, output_hidden_states=True).hidden_states[-1][0].double()
        return torch.nn.functional.normalize(states.mean(0), dim=0)

    known = torch.stack([vector(text) for text in entries["text"]])
    for (text, label), row in zip(questions.itertuples(index=False), rows.to_dict("records"), strict=True):
        cosines = known @ vector(text)
        right = cosines[int(label) - 1]
        assert row["rank"] == int((cosines >= right).sum())
        assert row["similarity"] == pytest.approx(float(cosines.max()), abs=1e-5)


def test_what_cannot_be_ranked_is_refused() -> None:
    info = make_info(Need.MASKED_LM)
    questions = pd.DataFrame({"text": ["a", "b"], "label": ["x", "other"]})
    with pytest.raises(WrongDataError, match=r"row 2 of those used has the label 'other', which no entry of"):
        Retrieval().cases(plan(info, queries=questions, entries=ENTRIES))
    with pytest.raises(WrongDataError, match="all entries have the same label"):
        Retrieval().cases(plan(info, queries=questions, entries=ENTRIES[:1]))
    with pytest.raises(WrongDataError, match="has a column pair"):
        Retrieval().cases(plan(info, queries=questions.assign(pair="p"), entries=ENTRIES))


def test_a_file_without_the_columns_is_named(tmp_path: Path) -> None:
    file = tmp_path / "faq.csv"
    file.write_text("text,topic\nhello,greeting\n")
    with pytest.raises(DataError, match=r"faq\.csv: missing column 'label'"):
        load_dataset(DataSource(source=str(file)), LabelledTexts)
