import gzip
import json
from pathlib import Path

import pytest
import torch

from benchmarks import masked_lm
from benchmarks.masked_lm import distinct, letters, pieces, predicts, records
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from tests.tiny import make_checkpoint


def test_spellings_of_one_sentence_have_the_same_letters() -> None:
    assert letters("it ca n't be , `` said '' he") == letters("It can't be, said he!")
    assert letters("a film") != letters("a firm")


def test_repeats_go_and_the_first_stays() -> None:
    assert sorted(distinct(["a b", "c", "A, b", "d"])) == ["a b", "c", "d"]


def test_documents_are_cut_between_sentences() -> None:
    short, long = "one two three four five six seven.", " ".join(["word"] * 50) + "."
    document = f"{short} {short}\n{long} {short} two more!<br />"
    assert list(pieces(document, 15)) == [f"{short} {short}", f"{short} two more!"]
    assert list(pieces("too short.", 15)) == []


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a few made-up records in the form of the real ones."""
    monkeypatch.setenv("ASSAY_TEST_DATA", str(tmp_path))

    def put(name: str, text: str, encoding: str = "utf-8") -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        content = text.encode(encoding)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)

    good = [f"a café film number {index} is good and long \x85" for index in range(30)]
    bad = [f"a film number {index} is bad , and it ca n't end" for index in range(30)]
    put("movie_reviews_mr/rt-polarity.pos.gz", "\n".join(good) + "\n", "latin-1")
    put("movie_reviews_mr/rt-polarity.neg.gz", "\n".join(bad) + "\n", "latin-1")
    put(
        "textfooler_samples/mr.txt",
        "\n".join(f"0 a film number {index} is bad, and it can't end" for index in range(9)),
    )
    for name in ("imdb_subset/imdb_train_6k", "lm_corpora/brown", "lm_corpora/abc"):
        texts = [f"{name} text {index} has seven words and more." for index in range(10)]
        put(f"{name}.jsonl.gz", "\n".join(json.dumps({"text": text}) for text in texts))
    put(
        "wikitext2/valid.txt.gz",
        " A sentence with <unk> in it is left out here .\n" + " Seven words and more are in it .\n",
    )
    return tmp_path


@pytest.mark.usefixtures("data")
def test_no_attacked_sentence_is_trained_on_and_none_twice() -> None:
    train_on, held_out = records(60, 11)
    assert len(train_on) == 60
    assert sum("number" in text for text in train_on) == 40, "of 42 asked for, 40 are left"
    assert len(held_out) == 11
    attacked = {letters(f"a film number {index} is bad, and it can't end") for index in range(9)}
    everything = [letters(text) for text in (*train_on, *held_out)]
    assert attacked.isdisjoint(everything)
    assert len(set(everything)) == len(everything)
    assert not any("<unk>" in text for text in train_on)
    assert records(60, 11) == (train_on, held_out)


@pytest.mark.usefixtures("data")
def test_the_spec_trains_a_masked_lm_and_keeps_records_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_lm, "SCRATCH", tmp_path / "scratch")
    made = masked_lm.spec(tmp_path / "out")
    assert made.task == "masked_lm"
    assert made.held_out is not None
    assert made.data.source != made.held_out.source
    assert (tmp_path / "scratch" / "masked-lm-train.jsonl").read_text().count("\n") == 31, "all reviews are kept back"


def test_predictions_are_judged_against_the_right_token(tmp_path: Path) -> None:
    """A model that gives every token the same logits but one: ranks and loss are known."""
    folder = make_checkpoint(tmp_path, "bert", "masked_lm")
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu")
    film = loaded.tokenizer("film")["input_ids"][1]
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.zero_()
        loaded.model.get_output_embeddings().bias[film] = 50.0
    found = predicts(loaded.model, loaded.tokenizer, ["film film film film"] * 3)
    assert found == pytest.approx({"nats": 0.0, "top-1": 1.0, "top-10": 1.0}, abs=1e-6)
    found = predicts(loaded.model, loaded.tokenizer, ["book book book book"])
    assert found["nats"] == pytest.approx(50.0, abs=1e-3)
    assert found["top-1"] == 0.0


def test_what_is_there_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A masked LM of the user's own serves both names."""
    monkeypatch.setattr(masked_lm, "FOLDER", tmp_path)
    monkeypatch.setattr(masked_lm, "_make", lambda folder: pytest.fail("trained"))
    (tmp_path / "masked-lm-clare").mkdir()
    (tmp_path / "masked-lm-clare" / "config.json").write_text("{}")
    masked_lm.ensure()
    assert (tmp_path / "masked-lm" / "config.json").read_text() == "{}"
    masked_lm.ensure()


@pytest.mark.usefixtures("data")
def test_what_is_missing_is_trained_and_reads_no_longer_texts_than_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked_lm, "FOLDER", tmp_path / "resources")
    monkeypatch.setattr(masked_lm, "SCRATCH", tmp_path / "scratch")
    base = make_checkpoint(tmp_path / "base", "bert", "base")
    true_spec = masked_lm.spec
    monkeypatch.setattr(
        masked_lm,
        "spec",
        lambda output: true_spec(output).model_copy(update={"base": CheckpointSource(source=str(base))}),
    )
    masked_lm.ensure()
    for name in masked_lm.NAMES:
        info = inspect_checkpoint(CheckpointSource(source=str(tmp_path / "resources" / name)))
        assert (info.architecture, info.max_tokens) == ("BertForMaskedLM", masked_lm.TOKENS)
