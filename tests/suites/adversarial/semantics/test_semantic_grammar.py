"""Grammar errors: what counts as an edit, how texts are cut, and what is said when something is missing."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.errors import UsageError
from suites.adversarial.resources.finding import ResourceMissing, find
from suites.adversarial.semantics import grammar
from suites.adversarial.semantics.grammar import TaggerErrors, count_edits, load_grammar, pieces

TAGS = ["$DELETE", "$KEEP", "$REPLACE_were"]


def test_words_are_counted_whose_first_token_is_surely_an_edit() -> None:
    keep, edit, unsure = [0.0, 9.0, 0.0], [0.0, 0.0, 9.0], [0.0, 0.0, 1.0]
    words = [None, 0, 0, 1, 2, 3, None]
    assert count_edits(np.array([edit, edit, keep, keep, unsure, edit, edit]), words, keep=1) == 2
    assert count_edits(np.array([edit, keep, edit, keep, keep, keep, edit]), words, keep=1) == 0


def test_the_bound_is_the_stated_probability() -> None:
    for share, expected in ((0.91, 1), (0.89, 0)):
        logits = np.log(np.array([[share, 1 - share]]))
        assert count_edits(logits, [0], keep=1) == expected


def test_texts_are_cut_into_sentences_and_long_ones_by_words() -> None:
    assert pieces("It's 3.5 long. Is it? Yes") == [["It's", "3.5", "long", "."], ["Is", "it", "?"], ["Yes"]]
    assert pieces("e.g. this") == [["e", ".", "g", "."], ["this"]]
    assert pieces("") == pieces(" \n") == []
    assert [len(words) for words in pieces("word " * 130)] == [60, 60, 10]


def test_no_word_is_lost_in_pieces() -> None:
    text = "naïve café-goers (all 1,000 of them) won't love it... don't! " * 5
    flat = [word for words in pieces(text) for word in words]
    assert "".join(flat) == "".join(text.split())


def tagger_folder(folder: Path) -> Path:
    (folder / "tagger.onnx").write_bytes(b"")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tag_vocab.json").write_text(json.dumps({"tags": TAGS}))
    return folder


class FakeTokenizer:
    """Two tokens a word, between two special ones; a token's id is its word's length."""

    def encode(self, words: list[str], is_pretokenized: bool) -> SimpleNamespace:
        assert is_pretokenized
        ids = [len(word) for word in words for _ in range(2)]
        return SimpleNamespace(ids=[0, *ids, 0], word_ids=[None, *(at // 2 for at in range(2 * len(words))), None])


class FakeSession:
    """Wants every word of three letters replaced; notes how many rows it is given at once."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def run(self, _names: None, given: dict[str, Any]) -> list[Any]:
        ids = given["input_ids"]
        self.rows.append(len(ids))
        assert given["attention_mask"].shape == ids.shape
        assert given["attention_mask"].all()
        return [np.where((ids == 3)[..., None], [0.0, 0.0, 9.0], [0.0, 9.0, 0.0])]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    made = FakeSession()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: SimpleNamespace(name=name))
    monkeypatch.setattr(grammar, "_session", lambda path: made)
    monkeypatch.setattr(grammar, "_tokenizer", lambda path: FakeTokenizer())
    return made


def test_each_text_counts_its_own_edits(session: FakeSession, tmp_path: Path) -> None:
    errors = TaggerErrors(tagger_folder(tmp_path))
    assert errors(["the cat sat. it ran", "nothing here", "", "one"]) == [4, 0, 0, 1]
    assert session.rows == [1] * 4, "one piece at a time: an int8 model's answers hang on what shares its batch"


def test_a_broken_tagger_is_refused(session: FakeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"is no grammar tagger, it lacks tagger.onnx, tokenizer.json"):
        TaggerErrors(tmp_path)
    (tagger_folder(tmp_path) / "tag_vocab.json").write_text('{"tags": ["$DELETE"]}')
    with pytest.raises(UsageError, match="no grammar tagger can be read from it"):
        TaggerErrors(tmp_path)


def test_without_onnx_runtime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    with pytest.raises(ResourceMissing, match=r"needs ONNX Runtime: pip install 'assay\[grammar\]'"):
        load_grammar(find("grammar-tagger", tagger_folder(tmp_path)))


def test_languagetool_is_taken_where_the_folder_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "languagetool-server.jar").write_bytes(b"")
    monkeypatch.setattr(grammar, "LanguageToolErrors", lambda folder: ("LanguageTool in", folder))
    assert load_grammar(find("grammar-tagger", tmp_path)) == ("LanguageTool in", tmp_path)  # type: ignore[comparison-overlap]


def test_a_folder_with_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no grammar-tagger, it lacks languagetool-server.jar or tagger.onnx"):
        find("grammar-tagger", tmp_path)
