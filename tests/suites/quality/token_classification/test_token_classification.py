from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.lists import as_list
from harness.api.needs import Need
from harness.api.requests.heads import TagRequest, Tags
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError, NotApplicableError
from suites.quality.token_classification import TokenClassification
from suites.quality.token_classification.probe import TaggedWords
from suites.quality.token_classification.words import first_tokens, starts_of, words_of
from tests.fakes import FakeScorer, by_key, dataset, make_info, plan, rows_of
from tests.tiny import make_checkpoint

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
INFO = replace(make_info(Need.TOKEN_CLASSIFIER), labels=LABELS)
MARKED = {"anna": "B-PER", "smith": "I-PER", "paris": "B-LOC", "rue": "B-LOC", "lost": "I-PER"}


def tagged(requests: Sequence[TagRequest]) -> list[Tags]:
    """Two tokens a word of more than three letters; the first has the tag of MARKED, the second a wrong one."""
    found = []
    for request in requests:
        words = request.text.split(" ")
        offsets, labels = [], []
        for start, word in zip(starts_of(words), words, strict=True):
            if word == "cut":
                break
            parts = [(0, len(word))] if len(word) < 4 else [(0, 2), (2, len(word))]
            offsets += [(start + a, start + b) for a, b in parts]
            labels += [MARKED.get(word, "O"), "I-LOC"][: len(parts)]
        logits = np.array([[9.0 * (label == each) for each in LABELS] for label in labels])
        why = "non-finite logits" if "broken" in words else None
        found.append(Tags(logits, tuple(offsets), truncated=int("cut" in words), error=why))
    return found


def scorer() -> FakeScorer:
    made = FakeScorer(INFO)
    made.answers[TagRequest] = tagged
    return made


def sentences(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["tokens", "tags"])


DATA = sentences(
    ("anna smith saw paris", "B-PER I-PER O B-LOC"),  # both found
    ("rue paris cut smith", "B-LOC I-LOC O B-PER"),  # one in two parts, one cut off
    ("he was lost", "O O O"),  # found by conlleval's reading alone
    ("we saw it", "O O O"),
)


def test_entities_of_four_sentences_by_hand(tmp_path: Path) -> None:
    probe = TokenClassification()
    rows = rows_of(probe, scorer(), probe.cases(plan(INFO, tagged=DATA)), tmp_path)
    assert as_list(rows["predicted"][1]) == ["B-LOC", "B-LOC", "O", "O"]
    found = by_key(probe.measure(rows))
    # true: 2, 2; found: 2, 2, and 1 more where I begins one; both: 2
    assert found["precision", ""].value == pytest.approx(2 / 5)
    assert found["recall", ""].value == pytest.approx(2 / 4)
    assert found["f1", ""].value == pytest.approx(2 * 2 / (4 + 5))
    assert found["strict_f1", ""].value == pytest.approx(2 * 2 / (4 + 4))
    assert found["type_f1", "PER"].value == pytest.approx(2 * 1 / (2 + 2))
    assert found["type_f1", "LOC"].value == pytest.approx(2 * 1 / (2 + 3))
    assert found["macro_f1", ""].value == pytest.approx((2 / 4 + 2 / 5) / 2)
    assert found["accuracy", ""].value == pytest.approx((4 + 2 + 2 + 3) / 14)
    assert found["unread_words", ""].value == pytest.approx(2 / 14)
    for key in ("f1", "macro_f1", "type_f1"):
        metric = next(metric for (name, _), metric in found.items() if name == key)
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low < (metric.value or 0) < metric.high


def test_the_same_numbers_as_seqeval(tmp_path: Path) -> None:
    metrics = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme")
    rng = np.random.default_rng(0)
    words = [*MARKED, "he", "saw", "it"]
    drawn = [[words[at] for at in rng.integers(0, len(words), 12)] for _ in range(40)]
    true = [[LABELS[at] for at in rng.choice(5, 12, p=[0.6, 0.1, 0.1, 0.1, 0.1])] for _ in range(40)]
    data = sentences(*((" ".join(a), " ".join(b)) for a, b in zip(drawn, true, strict=True)))
    probe = TokenClassification()
    rows = rows_of(probe, scorer(), probe.cases(plan(INFO, tagged=data)), tmp_path)
    found = by_key(probe.measure(rows))
    sides = ([as_list(cell) for cell in rows["true"]], [as_list(cell) for cell in rows["predicted"]])
    strict = {"mode": "strict", "scheme": scheme.IOB2}
    assert found["f1", ""].value == pytest.approx(metrics.f1_score(*sides))
    assert found["macro_f1", ""].value == pytest.approx(metrics.f1_score(*sides, average="macro"))
    assert found["strict_f1", ""].value == pytest.approx(metrics.f1_score(*sides, **strict))
    assert found["strict_recall", ""].value == pytest.approx(metrics.recall_score(*sides, **strict))
    assert found["accuracy", ""].value == pytest.approx(metrics.accuracy_score(*sides))


def test_without_an_error_no_interval_is_a_point(tmp_path: Path) -> None:
    data = sentences(*((f"anna saw {at}", "B-PER O O") for at in range(30)))
    probe = TokenClassification()
    rows = rows_of(probe, scorer(), probe.cases(plan(INFO, tagged=data)), tmp_path)
    found = by_key(probe.measure(rows))
    for key in ("f1", "strict_f1", "macro_f1"):
        assert found[key, ""].value == 1.0
        assert 0.7 < (found[key, ""].low or 1) < 1


def test_a_sentence_without_an_answer_is_missing(tmp_path: Path) -> None:
    probe = TokenClassification()
    data = sentences(("broken anna", "O B-PER"), ("anna", "B-PER"))
    rows = rows_of(probe, scorer(), probe.cases(plan(INFO, tagged=data)), tmp_path)
    metric = by_key(probe.measure(rows))["f1", ""]
    assert (metric.value, metric.n, metric.missing) == (1.0, 1, 1)


def test_words_in_either_form() -> None:
    assert words_of("the  [ 1 ] end") == ["the", "[", "1", "]", "end"]
    assert words_of('["New York", "x"]') == ["New York", "x"]
    assert words_of("[ 1 ]") == ["[", "1", "]"]
    assert words_of("[not json") == ["[not", "json"]


def test_a_token_that_spans_words_is_that_of_its_first_character() -> None:
    answer = Tags(np.zeros((3, 5)), ((0, 1), (1, 4), (4, 4)))
    assert first_tokens(["ab", "c", "d"], answer) == [0, None, None]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a b", "O"), "row 1 has 2 words and 1 tags; give one a word"),
        (("a", "NOUN"), "row 1 has the tag 'NOUN', which is none like O, B-PER or I-PER; correct or map it"),
        (("a", "B-LOCS"), r"has the entity type 'LOCS', the model's are LOC, PER; did you mean 'LOC'\?; map it with"),
    ],
)
def test_tags_that_do_not_fit_are_refused_in_a_sentence(row: tuple[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TokenClassification().cases(plan(INFO, tagged=sentences(row)))


def test_types_can_be_mapped() -> None:
    source = DataSource(source="test.csv", label_map={"person": "PER", "B-city": "B-LOC"})
    data = dataset(sentences(("a b c", "B-person I-person B-city")), source)
    (case,) = TokenClassification().cases(plan(INFO, tagged=data))
    assert case.data["tags"] == ["B-PER", "I-PER", "B-LOC"]


def test_a_model_whose_labels_are_no_tags_is_refused() -> None:
    info = replace(INFO, labels=("LABEL_0", "LABEL_1"))
    with pytest.raises(NotApplicableError, match="a label of the model is 'LABEL_0'"):
        TokenClassification().cases(plan(info, tagged=DATA))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\ta\n", "missing column 'tokens'"),
        ("tokens\ttags\na\t\n", "column 'tags'"),
        ("tokens\ttags\n \tO\n", "is empty"),
    ],
)
def test_files_without_words_or_tags_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(DataSource(source=str(path)), TaggedWords)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_tiny_tagger_is_read_as_transformers_reads_its_words(kind: str, tmp_path: Path) -> None:
    """The tag of a word is that of the first token with a letter of it."""
    import torch

    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path / kind, kind, "token_classifier"))))
    loaded = load_checkpoint(info, device="cpu", dtype="fp32")
    words = ["the", "lawyerly", "man", "loved", "xyzzy", "films", "."]
    probe = TokenClassification()
    data = sentences((" ".join(words), "B I O O B I O"))
    rows = rows_of(probe, HFScorer(loaded), probe.cases(plan(info, tagged=data)), tmp_path)
    encoded = loaded.tokenizer(" ".join(words), return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        labels = loaded.model(**encoded).logits[0].argmax(-1).tolist()
    text = " ".join(words)

    def first(start: int) -> int:
        """The first token that holds more than the blank before the word at `start`."""
        return next(at for at, (a, b) in enumerate(offsets) if b > start and text[a:b].strip() and a >= start - 1)

    expected = [info.labels[labels[first(start)]] for start in starts_of(words)]
    assert as_list(rows["predicted"][0]) == expected


def test_lists_of_words_and_tags_are_read_as_the_hub_has_them(tmp_path: Path) -> None:
    words, tags = [["anna", "New York"], ["he"]], [["B-PER", "B-LOC"], ["O"]]
    path = tmp_path / "tagged.parquet"
    pd.DataFrame({"tokens": words, "ner": tags}).to_parquet(path)
    data = load_dataset(DataSource(source=str(path), columns={"tags": "ner"}), TaggedWords)
    cases = TokenClassification().cases(plan(INFO, tagged=data.frame))
    assert [(case.data["words"], case.data["tags"]) for case in cases] == list(zip(words, tags, strict=True))
