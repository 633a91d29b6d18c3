from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.needs import Need
from harness.api.requests.heads import AnswerRequest, AnswerScores
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError
from suites.quality.extractive_qa import ExtractiveQA
from suites.quality.extractive_qa.probe import ExtractiveQAParams, Questions
from suites.quality.extractive_qa.reading import read_all
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of
from tests.tiny import make_checkpoint

INFO = make_info(Need.QUESTION_ANSWERING)
WINDOW = 6
"""Words that the fake reads at once."""


def answered(requests: Sequence[AnswerRequest]) -> list[AnswerScores]:
    """The words between * and * are the answer; [CLS] scores 5, which a marked word is above and others are below."""
    found = []
    for request in requests:
        words, at = [], 0
        for word in request.context.split(" "):
            words.append((word, at))
            at += len(word) + 1
        read = words[:WINDOW]
        starts = np.array([8.0 if word.startswith("*") else 0.1 for word, _ in read])
        ends = np.array([8.0 if word.endswith("*") else 0.1 for word, _ in read])
        offsets = tuple((start, start + len(word)) for word, start in read)
        why = "non-finite logits" if "broken" in request.question else None
        found.append(AnswerScores(starts, ends, offsets, 5.0, len(words) - len(read), why))
    return found


def scorer() -> FakeScorer:
    made = FakeScorer(INFO)
    made.answers[AnswerRequest] = answered
    return made


def questions(*rows: tuple[str, str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["question", "context", "answers"])


def test_squad_two_by_hand(tmp_path: Path) -> None:
    data = questions(
        ("who", "it was *Anna Smith* who", '["*Anna Smith*", "Anna"]'),
        ("where", "in *big Paris* then", "Paris"),
        ("why", "nobody knows why", "[]"),
        ("when", "*now* or never", None),
        ("broken", "nobody knows why", "nobody"),
    )
    probe = ExtractiveQA(ExtractiveQAParams(unanswerable=True))
    rows = rows_of(probe, scorer(), probe.cases(plan(INFO, contexts=data)), tmp_path)
    assert rows["predicted"].tolist()[:4] == ["*Anna Smith*", "*big Paris*", "", "*now*"]
    found = by_key(probe.measure(rows))
    assert (found["exact_match", ""].value, found["exact_match", ""].missing) == (2 / 4, 1)
    assert found["f1", ""].value == pytest.approx((1 + 2 * 1 / (2 + 1) + 1 + 0) / 4)
    assert found["f1", "answerable"].value == pytest.approx((1 + 2 / 3) / 2)
    assert found["exact_match", "unanswerable"].value == 0.5
    assert found["no_answer_rate", "unanswerable"].value == 0.5


def test_squad_one_always_answers(tmp_path: Path) -> None:
    probe = ExtractiveQA()
    rows = rows_of(probe, scorer(), probe.cases(plan(INFO, contexts=questions(("q", "a b", "b")))), tmp_path)
    assert rows["predicted"].tolist() == ["a"]  # whatever [CLS] says
    assert by_key(probe.measure(rows))["no_answer_rate", ""].value == 0.0


@pytest.mark.parametrize("before", range(0, 40, 3))
def test_a_long_context_is_read_in_pieces_and_no_answer_is_cut(before: int) -> None:
    context = " ".join([f"w{at}" for at in range(before)] + ["*here", "it*"] + [f"v{at}" for at in range(20)])
    (found,) = read_all(scorer(), [("q", context)], 30)
    assert context[found.start : found.end] == "*here it*"
    assert found.pieces == 1 + -(-(before + 22 - WINDOW) // (WINDOW // 2))
    assert found.no_answer == 5.0


def test_pieces_of_all_contexts_are_asked_together() -> None:
    made = scorer()
    rounds: list[int] = []

    def counted(requests: Sequence[AnswerRequest]) -> list[AnswerScores]:
        rounds.append(len(requests))
        return answered(requests)

    made.answers[AnswerRequest] = counted
    read_all(made, [("q", "a b"), ("q", " ".join("abcdefgh")), ("q", " ".join("abcdefghi"))], 30)
    assert rounds == [3, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("q", "a b", None), r"row 1 has no answer; say params: \{unanswerable: true\} where that means"),
        (("q", "a b", "[]"), "row 1 has no answer"),
        (("q", "a b", "c"), "row 1: its context holds none of its answers, such as 'c'; an extractive model"),
    ],
)
def test_questions_without_a_right_answer_are_refused(row: tuple[str, str, str | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ExtractiveQA().cases(plan(INFO, contexts=questions(row)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("question,context\na,b\n", "missing column 'answers'"),
        ("question,context,answers\n,b,b\n", "column 'question'"),
        ("question,context,answers\na, ,b\n", "column 'context': is empty"),
    ],
)
def test_files_that_lack_something_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(DataSource(source=str(path)), Questions)


def test_a_tiny_head_answers_a_long_context_as_a_loop_over_pieces_does(tmp_path: Path) -> None:
    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(
        CheckpointSource(source=str(make_checkpoint(tmp_path / "qa", "bert", "question_answering")))
    )
    scorer = HFScorer(load_checkpoint(info, device="cpu", dtype="fp32"))
    context = " ".join(f"the man {word} a film" for word in ("loved", "hated", "made", "saw", "liked") * 20)
    (found,) = read_all(scorer, [("who loved the film", context)], 5)
    begin, scores, nulls = 0, [], []
    while True:
        (answer,) = scorer.ask([AnswerRequest("who loved the film", context[begin:])])
        span = answer.best(5)
        assert span is not None
        scores.append((span.score, context[begin + span.start : begin + span.end]))
        nulls.append(answer.no_answer)
        if not answer.truncated:
            break
        begin += answer.offsets[len(answer.offsets) // 2][0]
    assert len(scores) == found.pieces > 3
    assert max(scores)[0] == pytest.approx(found.score, abs=1e-4)
    assert found.no_answer == pytest.approx(min(each for each in nulls if each is not None), abs=1e-4)
    assert begin + answer.offsets[-1][1] == len(context)  # nothing is left unread


def test_a_model_without_a_cls_token_always_answers(tmp_path: Path) -> None:
    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(
        CheckpointSource(source=str(make_checkpoint(tmp_path / "qa", "gpt2", "question_answering")))
    )
    probe = ExtractiveQA(ExtractiveQAParams(unanswerable=True))
    cases = probe.cases(
        plan(info, contexts=questions(("who", "the man saw a film", "the man"), ("why", "a film", None)))
    )
    rows = rows_of(probe, HFScorer(load_checkpoint(info, device="cpu", dtype="fp32")), cases, tmp_path)
    assert rows["no_answer"].isna().all()
    assert (rows["predicted"] == rows["span"]).all()
    assert by_key(probe.measure(rows))["exact_match", "unanswerable"].value == 0.0


def test_answers_in_the_form_of_the_hub(tmp_path: Path) -> None:
    """SQuAD's file: each question with the texts of its answers and where these begin, none for SQuAD 2's others."""
    answers = [{"text": ["b", "a b"], "answer_start": [2, 0]}, {"text": [], "answer_start": []}]
    path = tmp_path / "squad.parquet"
    pd.DataFrame({"question": ["q", "r"], "context": "a b", "answers": answers}).to_parquet(path)
    data = load_dataset(DataSource(source=str(path)), Questions)
    cases = ExtractiveQA(ExtractiveQAParams(unanswerable=True)).cases(plan(INFO, contexts=data.frame))
    assert [case.data["answers"] for case in cases] == [["b", "a b"], []]
