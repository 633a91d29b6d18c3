"""WordNet and the POS tagger, as nltk reads them."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import nltk.data
import pytest
from nltk.tag.perceptron import PerceptronTagger

from harness.errors import UsageError
from suites.adversarial.resources.finding import find
from suites.adversarial.resources.nltk_data import wordnet_reader
from suites.adversarial.resources.tagger import Tagger, read_tagger
from tests.suites.adversarial.nltk_tagger import put_tagger

_POS = {"adj": "a", "adv": "r", "noun": "n", "verb": "v"}
_HEADER = "  1 This is not WordNet 3.0 Copyright 2006 but a test.  \n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))


def tiny_wordnet(folder: Path, *, packed: bool = False) -> Path:
    """A WordNet of one adjective synset, {good, nice}, without lexnames, exceptions and sense index."""
    folder.mkdir()
    files = {f"{part}.{pos}": _HEADER for part in ("data", "index") for pos in _POS}
    at = len(_HEADER)
    files["data.adj"] += f"{at:08d} 00 a 02 good 0 nice 0 000 | having positive qualities  \n"
    files["index.adj"] += "".join(f"{word} a 1 0 1 0 {at:08d}  \n" for word in ("good", "nice"))
    for name, content in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
        else:
            (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_nltk_reads_a_wordnet_without_lexnames(tmp_path: Path, packed: bool) -> None:
    found = find("wordnet", tiny_wordnet(tmp_path / "wn", packed=packed))
    (synset,) = wordnet_reader(found).synsets("good")
    assert [lemma.name() for lemma in synset.lemmas()] == ["good", "nice"]
    assert (synset.name(), synset.lexname()) == ("good.a.01", "adj.all")
    assert found.substitutes_for == "WordNet with its exception lists (irregular forms have no lemma here)"
    names = next((tmp_path / "cache").rglob("lexnames")).read_text().splitlines()
    assert (len(names), names[3], names[44]) == (45, "03\tnoun.Tops\t1", "44\tadj.ppl\t3")


def test_nltks_own_archive_is_read(tmp_path: Path) -> None:
    folder = tiny_wordnet(tmp_path / "wn")
    with zipfile.ZipFile(tmp_path / "wordnet.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"wordnet/{file.name}")
    assert wordnet_reader(find("wordnet", tmp_path / "wordnet.zip")).synsets("nice")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(UsageError, match=r"text\.zip: is neither a WordNet folder nor nltk's wordnet\.zip"):
        wordnet_reader(find("wordnet", tmp_path / "text.zip"))
    assert len(list((tmp_path / "cache" / "nltk").iterdir())) == 1  # nothing half made is left


@pytest.mark.data
def test_nltk_reads_the_real_wordnet(real_data: Path) -> None:
    reader = wordnet_reader(find("wordnet", real_data / "wordnet31"))
    assert [synset.name() for synset in reader.synsets("good")[:2]] == ["good.n.01", "good.n.02"]
    assert {"movie", "motion_picture"} <= {lemma.name() for s in reader.synsets("film") for lemma in s.lemmas()}
    (antonym,) = reader.synset("good.a.01").lemmas()[0].antonyms()
    assert antonym.name() == "bad"


_SENTENCES = [
    [("The", "DT"), ("good", "JJ"), ("film", "NN"), ("ended", "VBD"), (".", ".")],
    [("A", "DT"), ("well-made", "JJ"), ("film", "NN"), ("wins", "VBZ"), ("in", "IN"), ("1999", "CD"), (".", ".")],
    [("I", "PRP"), ("film", "VBP"), ("3rd", "JJ"), ("-", ":"), ("good", "JJ"), ("films", "NNS"), (".", ".")],
]


@pytest.fixture(scope="module")
def trained() -> PerceptronTagger:
    random.seed(0)
    tagger = PerceptronTagger(load=False)
    tagger.train([sentence for sentence in _SENTENCES for _ in range(8)], nr_iter=3)
    return tagger


def parts(tagger: PerceptronTagger) -> tuple[dict[str, Any], dict[str, str], set[str]]:
    return dict(tagger.model.weights), dict(tagger.tagdict), set(tagger.classes)


def test_tags_are_those_of_nltks_tagger(trained: PerceptronTagger, tmp_path: Path) -> None:
    assert trained.tagdict  # words with one tag take it from there
    (tmp_path / "t.pickle").write_bytes(pickle.dumps(parts(trained), protocol=2))
    ours = read_tagger(tmp_path / "t.pickle")
    words = sorted({word for sentence in _SENTENCES for word, _ in sentence} | {"2001", "unseen", "re-run", "-", "7"})
    generator = random.Random(1)
    for _ in range(200):
        sentence = generator.choices(words, k=generator.randint(1, 9))
        assert list(ours.tags(sentence)) == [tag for _, tag in trained.tag(sentence)]
    assert ours.tags([]) == ()


def test_nltks_json_and_the_pickle_are_the_same_tagger(trained: PerceptronTagger, tmp_path: Path) -> None:
    (tmp_path / "t.pickle").write_bytes(pickle.dumps(parts(trained), protocol=2))
    folder = put_tagger(read_tagger(tmp_path / "t.pickle"), tmp_path / "nltk_data")
    assert read_tagger(folder) == read_tagger(tmp_path / "t.pickle")
    assert find("pos-tagger", folder).path == folder
    sentence = ["The", "good", "film", "wins"]
    expected = list(zip(sentence, read_tagger(folder).tags(sentence, universal=True), strict=True))
    assert nltk.pos_tag(sentence, tagset="universal") == expected


class Evil:
    """Unpickling it would call a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), "refused, it asks for builtins.print; only plain data is read"),
        (pickle.dumps(({}, {}, frozenset({"NN"})), 2), "refused, it asks for __builtin__.frozenset"),
        (pickle.dumps([1, 2]), "does not hold a POS tagger's weights"),
        (pickle.dumps(({"bias": {"NN": "x"}}, {}, {"NN"})), "does not hold a POS tagger's weights"),
        (pickle.dumps(({}, {}, set())), "does not hold a POS tagger's weights"),
        (b"", "no POS tagger can be read from it"),
        (b"\x80\x02c__builtin__\nset\n]}a\x85R.", "no POS tagger can be read from it"),  # a set of a dict
        (b"\x80\x02}garbage", "no POS tagger can be read from it"),
    ],
)
def test_anything_else_than_a_plain_tagger_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    (tmp_path / "t.pickle").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_tagger(tmp_path / "t.pickle")
    assert capsys.readouterr().out == ""


def test_a_broken_json_tagger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.weights.json").write_text(json.dumps({}))
    with pytest.raises(UsageError, match="no POS tagger can be read from it"):
        read_tagger(tmp_path)


def test_equal_scores_go_to_the_last_tag_in_the_alphabet_and_unknown_tags_are_x() -> None:
    tagger = Tagger({"bias": {"NN": 1.0, "VB": 1.0}}, {"odd": "ODD"}, ["JJ", "NN", "VB"])
    assert tagger.tags(["what", "odd"]) == ("VB", "ODD")
    assert tagger.tags(["what", "odd"], universal=True) == ("VERB", "X")
