from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from transformers import AutoTokenizer

from harness.api.needs import Need
from harness.api.scorer import EmbedRequest, MaskedRequest, TextRequest, TokenRequest
from harness.checkpoint import CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.checkpoint.tokenizer import load_tokenizer
from harness.errors import AssayError, DataError, UsageError
from harness.scorer.hf import HFScorer
from privacy.clipping import BookKeepingEngine, OneSampleEngine
from privacy.training import TrainSpec, train
from privacy.training.data.load import load_training_data
from privacy.training.data.tokenizer import END_OF_TEXT, SPECIALS, train_tokenizer
from privacy.training.data.tokens import encode_records
from privacy.training.models.load import load_trainable
from privacy.training.models.objective import masked_lm
from tests.privacy.toys import opinions, write_rows

TEXTS = [row["text"] for row in opinions(200, seed=1)]
ODD = [
    "A Good film!",
    "unseenwords, don't: 3.5",
    "Ça va? été",
    "日本 filmé",
    "  two   spaces\n",
    "[MASK] <|endoftext|>",
]
SMALL = {"layers": 2, "hidden": 32, "heads": 2, "vocabulary": 400, "max_tokens": 32}


def spec_of(folder: Path, kind: str, task: str, **fields: Any) -> TrainSpec:
    data = write_rows(folder / "train.jsonl", opinions(64, seed=1))
    values = {"fresh": {"kind": kind, **SMALL}, "task": task, "data": str(data), "output": folder / "out"}
    return TrainSpec.model_validate(
        {**values, "device": "cpu", "epochs": 4, "learning_rate": 5e-3, "batch_size": 8, **fields}
    )


def made(spec: TrainSpec) -> tuple[Any, Any]:
    set_seed(spec.seed)
    return load_trainable(spec, None, load_training_data(spec), 32)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_the_same_corpus_gives_the_same_tokenizer(kind: Any) -> None:
    """The library's own numbering of letters is random, and ties between merges are broken by number."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), rng.integers(2, 9))) for _ in range(300)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(300)]
    first = train_tokenizer(kind, texts, 700, 64).get_vocab()
    assert len(first) == 700
    assert all(train_tokenizer(kind, texts, 700, 64).get_vocab() == first for _ in range(3))


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_saved_tokenizer_is_the_same_however_it_is_loaded(kind: Any, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(kind, TEXTS, 400, 48)
    tokenizer.save_pretrained(tmp_path)
    for again in (AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)):
        assert again.get_vocab() == tokenizer.get_vocab()
        assert again.model_max_length == 48
        for text in (*TEXTS[:5], *ODD):
            assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert dict(again("a good film", "bad")) == dict(tokenizer("a good film", "bad"))


def greedy_pieces(word: str, vocabulary: dict[str, int]) -> list[str]:
    """WordPiece as BERT's paper code describes it: the longest piece first."""
    pieces: list[str] = []
    while word:
        mark = "##" if pieces else ""
        length = next((n for n in range(len(word), 0, -1) if mark + word[:n] in vocabulary), 0)
        if not length:
            return ["[UNK]"]
        pieces.append(mark + word[:length])
        word = word[length:]
    return pieces


def test_word_pieces_are_those_of_bert() -> None:
    tokenizer = train_tokenizer("bert", TEXTS, 400, 48)
    vocabulary = tokenizer.get_vocab()
    assert [vocabulary[token] for token in SPECIALS] == [0, 1, 2, 3, 4]
    assert {"film", "good"} <= vocabulary.keys()
    for text in [*TEXTS[:20], "filmwork goodest zebra!"]:
        words = text.replace("!", " !").split()
        expected = ["[CLS]", *(piece for word in words for piece in greedy_pieces(word, vocabulary)), "[SEP]"]
        assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == expected
    assert tokenizer("GOOD Film")["input_ids"] == tokenizer("good film")["input_ids"]
    assert tokenizer("good", "bad")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_byte_pairs_lose_nothing() -> None:
    tokenizer = train_tokenizer("gpt", TEXTS, 350, 48)
    assert (len(tokenizer), tokenizer.eos_token, tokenizer.eos_token_id) == (350, END_OF_TEXT, 0)
    assert "Ġfilm" in tokenizer.get_vocab()
    for text in (*TEXTS[:5], *ODD):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
        assert tokenizer.eos_token_id not in ids or END_OF_TEXT in text


def test_a_word_that_occurs_once_is_no_token() -> None:
    for kind in ("bert", "gpt"):
        tokens = train_tokenizer(kind, [*TEXTS, "quxzab"], 2000, 48).get_vocab()
        assert not {"quxzab", "qux", "Ġquxzab"} & tokens.keys()


@pytest.mark.parametrize(
    ("kind", "texts", "vocabulary", "sentence"),
    [
        ("bert", ["\u200b", "\x00"], 300, "holds no word"),
        ("bert", [chr(0x0E01 + index) * 2 for index in range(400)], 300, "fresh.vocabulary is 300, but the letters"),
        ("bert", ["abc def"], 300, "learns nothing beyond .* from 1 texts"),
        ("gpt", ["x y"], 300, "learns nothing beyond .* from 1 texts"),
        ("gpt", TEXTS, 200, "fresh.vocabulary is 200, but the letters of the corpus take 257"),
    ],
)
def test_a_corpus_that_gives_no_vocabulary(kind: Any, texts: list[str], vocabulary: int, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as raised:
        train_tokenizer(kind, texts, vocabulary, 48)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("kind", "task"), [("bert", "masked_lm"), ("gpt", "causal_lm"), ("bert", "classification")])
def test_models_are_pre_layer_norm_and_follow_the_seed(kind: str, task: str, tmp_path: Path) -> None:
    """With its two outputs at zero, a pre-layer-norm layer hands on what it gets; a post-layer-norm one norms it."""
    spec = spec_of(tmp_path, kind, task)
    model, tokenizer = made(spec)
    same, other = made(spec)[0].state_dict(), made(spec.model_copy(update={"seed": 1}))[0].state_dict()
    assert all(torch.equal(value, same[name]) for name, value in model.state_dict().items())
    assert not all(torch.equal(value, other[name]) for name, value in model.state_dict().items())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for name, parameter in model.base_model.named_parameters():
        if name.endswith(("output.dense.weight", "output.dense.bias", "c_proj.weight", "c_proj.bias")):
            parameter.data.zero_()
    ids = torch.tensor([tokenizer("a good film")["input_ids"]])
    states = model.eval().base_model(ids, output_hidden_states=True).hidden_states
    assert len(states) == 3
    assert torch.equal(states[0], states[1])
    assert states[0].std() > 0


def test_sizes_are_those_asked_for(tmp_path: Path) -> None:
    for kind, task in (("bert", "masked_lm"), ("gpt", "causal_lm")):
        config = made(spec_of(tmp_path, kind, task))[0].config
        assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 2, 2)
        assert config.max_position_embeddings == 32


def check_scores(task: str, scorer: HFScorer) -> None:
    tokens = scorer.encode("a good film")
    if task == "masked_lm":
        (scores,) = scorer.ask([MaskedRequest(tokens, (1, 2))])
        assert scores.error is None
        assert (scores.logprobs < 0).all()
    elif task == "causal_lm":
        (scores,) = scorer.ask([TokenRequest((scorer.start_token,), tokens)])
        assert scores.error is None
        assert (scores.logprobs < 0).all()
    else:
        (classes,) = scorer.ask([TextRequest("a good film")])
        assert classes.label == 1


@pytest.mark.parametrize(
    ("kind", "task", "need"),
    [
        ("bert", "masked_lm", Need.MASKED_LM),
        ("gpt", "causal_lm", Need.CAUSAL_LM),
        ("bert", "classification", Need.SEQUENCE_CLASSIFIER),
    ],
)
def test_a_fresh_checkpoint_learns_and_can_be_audited(kind: str, task: str, need: Need, tmp_path: Path) -> None:
    result = train(spec_of(tmp_path, kind, task, epochs=20 if task == "classification" else 6))
    assert result.manifest.losses[-1] < 0.8 * result.manifest.losses[0]
    assert (result.manifest.base, result.manifest.base_fingerprint) == (None, None)
    info = inspect_checkpoint(CheckpointSource(source=str(tmp_path / "out")), Permissions(manifest_sources=True))
    assert info.offers == {need, Need.EMBEDDINGS, Need.TRAINING_MANIFEST}
    assert (info.max_tokens, info.notes) == (32, ())
    scorer = HFScorer(load_checkpoint(info, device="cpu"))
    check_scores(task, scorer)
    (embedding,) = scorer.ask([EmbedRequest("a good film")])
    assert embedding.vector.shape == (32,)


def test_a_fresh_checkpoint_is_a_base_like_any_other(tmp_path: Path) -> None:
    train(spec_of(tmp_path, "bert", "masked_lm", epochs=1))
    base = str(tmp_path / "out")
    for name, fields in (("on", {"task": "masked_lm"}), ("classes", {"task": "classification", "lora": {}})):
        spec = spec_of(tmp_path, "bert", "masked_lm", fresh=None, base=base, epochs=1, output=tmp_path / name)
        assert train(TrainSpec.model_validate({**spec.model_dump(exclude_unset=True), **fields})).manifest.base == base


def test_a_fresh_bert_is_read_without_a_word_of_its_library(tmp_path: Path) -> None:
    """Transformers warns at each look at its class that it does not generate, which nobody asked of it."""
    base = train(spec_of(tmp_path, "bert", "masked_lm", epochs=1)).folder
    said: list[str] = []
    told = logging.Handler()
    told.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    library = logging.getLogger("transformers")
    library.addHandler(told)
    try:
        train(spec_of(tmp_path, "bert", "classification", epochs=1, fresh=None, base=str(base), output=tmp_path / "b"))
    finally:
        library.removeHandler(told)
    assert said == []


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_corpus_of_its_own_is_what_the_tokenizer_reads(kind: str, tmp_path: Path) -> None:
    corpus = write_rows(tmp_path / "corpus.jsonl", [{"text": "zebras gallop"}] * 3)
    task = "masked_lm" if kind == "bert" else "causal_lm"
    _, tokenizer = made(spec_of(tmp_path, kind, task, fresh={"kind": kind, **SMALL, "corpus": str(corpus)}))
    tokens = tokenizer.get_vocab().keys()
    assert {"gallop", "Ġgallop"} & tokens
    assert not {"film", "Ġfilm"} & tokens


def test_a_private_vocabulary_needs_a_public_corpus(tmp_path: Path) -> None:
    for kind, task in (("bert", "masked_lm"), ("gpt", "causal_lm"), ("bert", "classification")):
        private: dict[str, Any] = {"privacy": {"epsilon": 8}}
        if task == "classification":
            private["label_names"] = ("negative", "positive")
        with pytest.raises(UsageError, match=r"outside the guarantee; name a public corpus in fresh\.corpus"):
            made(spec_of(tmp_path, kind, task, **private))
        same = {"kind": kind, **SMALL, "corpus": str(tmp_path / "train.jsonl")}
        with pytest.raises(UsageError, match=r"64 of the 64 texts of .* are training records"):
            made(spec_of(tmp_path, kind, task, fresh=same, **private))
        public = write_rows(tmp_path / "public.jsonl", [{"text": text} for text in TEXTS[64:]])
        made(spec_of(tmp_path, kind, task, fresh={"kind": kind, **SMALL, "corpus": str(public)}, **private))


def test_clipped_sums_of_a_fresh_bert_are_those_of_single_samples(tmp_path: Path) -> None:
    """GPT-2 is covered by the parity tests of clipping; Megatron-BERT is not."""
    model, tokenizer = made(spec_of(tmp_path, "bert", "masked_lm"))
    model.eval()
    objective = masked_lm(tokenizer, 0.3, seed=0)
    records = encode_records(tokenizer, TEXTS[:4], None, 32, segments=True).records
    drawn = [objective.add_labels(record) for record in records]
    sums = []
    for engine_of, size in ((BookKeepingEngine, 4), (OneSampleEngine, 1)):
        engine = engine_of(model, max_grad_norm=0.5)
        for start in range(0, 4, size):
            part = padded(drawn[start : start + size])
            with engine.recording(size):
                found = objective.losses(model, part)
            engine.backward(found)
        sums.append({name: value.clone() for name, value in engine.summed_grads().items()})
        for parameter in model.parameters():
            vars(parameter).pop("summed_grad", None)
    assert sums[0].keys() == sums[1].keys() == dict(model.named_parameters()).keys()
    for name, value in sums[0].items():
        assert value.norm() > 0, name
        torch.testing.assert_close(value, sums[1][name], rtol=1e-3, atol=1e-6)


def padded(records: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    longest = max(len(record["input_ids"]) for record in records)
    fill = {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0, "targets": -100}
    return {
        name: torch.tensor([record[name] + [value] * (longest - len(record[name])) for record in records])
        for name, value in fill.items()
    }


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"fresh": {"kind": "bert", "heads": 3}}, "must be a multiple of heads"),
        ({"fresh": {"kind": "gpt"}}, "a fresh gpt cannot be trained as masked_lm"),
        ({"lora": {}}, "a fresh model has none"),
        ({"base": "there"}, "give either base"),
    ],
)
def test_specs_that_make_no_sense(fields: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        spec_of(tmp_path, "bert", "masked_lm", **fields)


def test_a_text_without_a_single_known_token_stops_before_training(tmp_path: Path) -> None:
    rows = [*opinions(20, seed=1), {"text": "日本"}]
    corpus = write_rows(tmp_path / "corpus.jsonl", opinions(20, seed=1))
    data = write_rows(tmp_path / "odd.jsonl", rows)
    spec = spec_of(
        tmp_path, "bert", "masked_lm", data=str(data), fresh={"kind": "bert", **SMALL, "corpus": str(corpus)}
    )
    with pytest.raises(AssayError, match="training record 21 holds no token to mask"):
        train(spec, progress=lambda *_: pytest.fail("it trained"))
