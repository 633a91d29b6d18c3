from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file

from harness.api.needs import Need
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import CheckpointError, DataError
from privacy.clipping import BookKeepingEngine
from privacy.clipping.losses import IGNORED
from privacy.training import TrainSpec, train
from privacy.training.data.batches import Collator, MicroBatch, padding_values
from privacy.training.data.load import load_training_data
from privacy.training.data.tokens import Features, encode_records
from privacy.training.models.load import load_trainable
from privacy.training.models.next_sentence import next_sentence, sentence_order, sentence_pairs
from privacy.training.models.objective import Objective, masked_lm
from privacy.training.run import _encode, _objective
from tests.privacy.toys import make_base, make_spec, opinions, write_rows
from tests.tiny import make_tokenizer

PAIRS = [("the film was good", "we love it"), ("a bad book", "the plot was awful and boring"), ("a story", "of men")]
FRESH = {"kind": "bert", "layers": 2, "hidden": 32, "heads": 2, "vocabulary": 400, "max_tokens": 48}


def encoded(pairs: Sequence[tuple[str, str | None]], limit: int = 64) -> tuple[Any, list[Features]]:
    tokenizer = make_tokenizer("bert")
    texts, seconds = [text for text, _ in pairs], [pair for _, pair in pairs]
    return tokenizer, encode_records(tokenizer, texts, seconds, limit, segments=True).records


def no_masks() -> Objective:
    return Objective("nothing", lambda record: {**record, "targets": [IGNORED] * len(record["input_ids"])}, _no_losses)


def _no_losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    raise AssertionError("not asked for")


def shown(tokenizer: Any, record: Features) -> str:
    return str(tokenizer.decode(record["input_ids"]))


@pytest.mark.parametrize(
    ("text", "halves"),
    [
        ("One here. Two there. Three are long, long, long.", ("One here. Two there.", "Three are long, long, long.")),
        ("Is it? Yes!", ("Is it?", "Yes!")),
        ('He said "go." Then he went on and on.', ('He said "go."', "Then he went on and on.")),
        ("No end of 3.5 here", ("No end of 3.5 here", None)),
        ("A single one.", ("A single one.", None)),
        ("first line\nsecond line", ("first line", "second line")),
        ("これは本。あれは犬。", ("これは本。", "あれは犬。")),
        ("  Ends. Blank.  \n", ("Ends.", "Blank.")),
    ],
)
def test_a_text_is_cut_at_the_sentence_end_nearest_its_middle(text: str, halves: tuple[str, str | None]) -> None:
    first, second = sentence_pairs([text, "A. B."], None)
    assert (first[0], second[0]) == halves


def test_given_pairs_are_taken_as_they_are() -> None:
    assert sentence_pairs(["a. b.", "c"], ["d. e.", " "]) == (["a. b.", "c"], ["d. e.", None])


def test_records_without_any_pair_are_refused() -> None:
    for texts, pairs in ((["one", "two"], None), (["One. Two."], [""])):
        with pytest.raises(DataError, match="no training record has a pair or holds two sentences"):
            sentence_pairs(texts, pairs)


def test_half_of_the_second_texts_come_from_other_records() -> None:
    tokenizer, records = encoded(PAIRS)
    objective = next_sentence(no_masks(), records, 64, seed=0)
    assert objective.name == "masked_lm+next_sentence"
    counts = {0: 0, 1: 0}
    for _ in range(400):
        for place, (text, pair) in enumerate(PAIRS):
            drawn = objective.add_labels(records[place])
            (label,) = drawn["label"]
            counts[label] += 1
            others = {other for _, other in PAIRS} - {pair}
            possible = {f"[CLS] {text} [SEP] {second} [SEP]" for second in (others if label else {pair})}
            assert shown(tokenizer, drawn) in possible
            expected = tokenizer(text, shown(tokenizer, drawn).split(" [SEP] ")[1].removesuffix(" [SEP]"))
            assert {name: drawn[name] for name in expected} == dict(expected)
            assert len(drawn["targets"]) == len(drawn["input_ids"])
    assert counts[1] / 1200 == pytest.approx(0.5, abs=0.06)  # 4 standard deviations


def test_a_longer_second_text_is_cut_at_the_limit() -> None:
    _, records = encoded([("the film was good and bad", "it"), ("a", "we love the music of the city and all")], 12)
    objective = next_sentence(no_masks(), records, 12, seed=0)
    lengths = {len(objective.add_labels(records[0])["input_ids"]) for _ in range(20)}
    assert lengths == {10, 12}


def test_under_privacy_the_two_texts_are_swapped_and_nothing_else_is_read() -> None:
    tokenizer, records = encoded(PAIRS)
    objective = sentence_order(no_masks(), records, seed=0)
    assert objective.name == "masked_lm+sentence_order"
    counts = {0: 0, 1: 0}
    text, pair = PAIRS[1]
    for _ in range(800):
        drawn = objective.add_labels(records[1])
        counts[drawn["label"][0]] += 1
        first, second = (pair, text) if drawn["label"] == [1] else (text, pair)
        expected = tokenizer(first, second)
        assert {name: drawn[name] for name in expected} == dict(expected)
    assert counts[1] / 800 == pytest.approx(0.5, abs=0.07)  # 4 standard deviations
    _, others = encoded([PAIRS[2], PAIRS[1], ("other", "people")])
    again, changed = sentence_order(no_masks(), records, seed=5), sentence_order(no_masks(), others, seed=5)
    assert [again.add_labels(records[1]) for _ in range(20)] == [changed.add_labels(others[1]) for _ in range(20)]


def test_a_record_without_a_second_text_is_trained_on_its_masks_alone() -> None:
    _, records = encoded([*PAIRS, ("alone", None)])
    for objective in (next_sentence(no_masks(), records, 64, seed=0), sentence_order(no_masks(), records, seed=0)):
        for _ in range(10):
            drawn = objective.add_labels(records[3])
            assert (drawn["label"], drawn["input_ids"]) == ([IGNORED], records[3]["input_ids"])


def test_too_few_second_texts_are_refused() -> None:
    _, records = encoded([("a film", "good"), ("a book", "good")])
    with pytest.raises(DataError, match="hold 1 different second texts"):
        next_sentence(no_masks(), records, 64, seed=0)
    _, records = encoded([("a film", None)])
    with pytest.raises(DataError, match="no training record holds two texts"):
        sentence_order(no_masks(), records, seed=0)


def spec_of(folder: Path, data: Path, **fields: Any) -> TrainSpec:
    values = {"task": "masked_lm", "next_sentence": True, "data": str(data), "output": folder / "trained"}
    return TrainSpec.model_validate({**values, "device": "cpu", "learning_rate": 2e-3, "epochs": 4, **fields})


def prepared(folder: Path, **fields: Any) -> tuple[TrainSpec, Any, Objective, MicroBatch]:
    """A spec, its model, and its first four records as a micro-batch."""
    rows = [{"text": text, "pair": pair} for text, pair in [*PAIRS, ("alone", "")]] * 4
    data = write_rows(folder / "pairs.jsonl", rows)
    spec = spec_of(folder, data, **fields)
    set_seed(0)
    known = load_training_data(spec)
    model, tokenizer = load_trainable(spec, inspect_checkpoint(spec.base) if spec.base else None, known, 48)
    records = _encode(spec, tokenizer, known, 48, segments=True)
    objective = _objective(spec, tokenizer, records, 48)
    collator = Collator(objective.add_labels, padding_values(tokenizer), parts=1, pad_left=False)
    return spec, model.eval(), objective, collator.micro_batch(records.records[:4])


BASES: list[Any] = [None, "bert", "albert"]


def start(folder: Path, kind: str | None) -> dict[str, Any]:
    if kind is None:
        return {"base": None, "fresh": FRESH}
    return {"base": str(make_base(folder / "base", kind, "masked_lm", dropout=False))}


@pytest.mark.parametrize("kind", BASES)
def test_the_loss_is_that_of_bert_for_each_record_alone(kind: str | None, tmp_path: Path) -> None:
    """transformers' own loss of one record: mean over its masked tokens, plus the pair's."""
    _, model, objective, batch = prepared(tmp_path, **start(tmp_path, kind))
    with torch.no_grad():
        found = objective.losses(model, batch)
        for place in range(3):
            length = int(batch["attention_mask"][place].sum())
            inputs = {
                name: batch[name][place : place + 1, :length]
                for name in ("input_ids", "token_type_ids", "attention_mask")
            }
            labels = batch["targets"][place : place + 1, :length]
            told = {"sentence_order_label" if kind == "albert" else "next_sentence_label": batch["label"][place]}
            expected = model(**inputs, labels=labels, **told).loss
            assert float(found[place]) == pytest.approx(float(expected), abs=1e-5)
        assert batch["label"][3] == IGNORED
        logits = model(**{name: batch[name] for name in inputs}).prediction_logits[3]
        wanted = batch["targets"][3] != IGNORED
        alone = -torch.log_softmax(logits[wanted], -1).gather(1, batch["targets"][3][wanted][:, None]).mean()
        assert float(found[3]) == pytest.approx(float(alone), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "lora"), [(None, False), ("bert", False), ("albert", False), ("bert", True), ("albert", True)]
)
def test_every_trained_parameter_moves_under_book_keeping(kind: str | None, lora: bool, tmp_path: Path) -> None:
    fields = {"lora": {"rank": 2, "targets": ("query", "value")}} if lora else {}
    _, model, objective, batch = prepared(tmp_path, **start(tmp_path, kind), **fields)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    for _ in range(2):
        with engine.recording(4):
            losses = objective.losses(model, batch)
        engine.backward(losses)
        for name, summed in engine.summed_grads().items():
            engine.trained[name].data -= 0.1 * summed
            vars(engine.trained[name]).pop("summed_grad")
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == engine.trained.keys()
    assert any(name.endswith(("seq_relationship.weight", "sop_classifier.classifier.weight")) for name in moved)
    if lora:
        assert all("lora_" in name or "pooler" in name or "relation" in name or "sop_" in name for name in moved)


@pytest.mark.parametrize("private", [False, True])
def test_the_spec_decides_how_pairs_are_broken(private: bool, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"privacy": {"epsilon": 8}} if private else {}
    _, _, objective, _ = prepared(tmp_path, **start(tmp_path, "bert"), **fields)
    assert objective.name == ("masked_lm+sentence_order" if private else "masked_lm+next_sentence")


@pytest.mark.parametrize("kind", BASES)
def test_the_saved_checkpoint_offers_a_masked_lm_and_keeps_its_head(kind: str | None, tmp_path: Path) -> None:
    rows = [
        {"text": f"{row['text']}. {other['text']}."}
        for row, other in zip(opinions(40, 1), opinions(40, 2), strict=True)
    ]
    data = write_rows(tmp_path / "docs.jsonl", rows)
    result = train(spec_of(tmp_path, data, **start(tmp_path, kind)))
    assert result.manifest.losses[-1] < result.manifest.losses[0]
    output = tmp_path / "trained"
    info = inspect_checkpoint(CheckpointSource(source=str(output)))
    assert info.architecture.endswith("ForPreTraining")
    assert {Need.MASKED_LM, Need.TRAINING_MANIFEST} < info.offers
    load_checkpoint(info, device="cpu")
    spec = spec_of(tmp_path, data, base=str(output))
    model, _ = load_trainable(spec, info, load_training_data(spec), 48)
    stored = load_file(output / "model.safetensors")
    assert [name for name in stored if "seq_relationship" in name or "sop_" in name]
    for name, value in model.state_dict().items():
        if name in stored:
            assert torch.equal(value, stored[name]), name
    assert not {name for name, _ in model.named_parameters()} - stored.keys()


def test_a_classifier_on_a_pre_trained_model_keeps_its_pooler(tmp_path: Path) -> None:
    """AutoModelForMaskedLM drops it; the file holds it."""
    _, model, _, _ = prepared(tmp_path, **start(tmp_path, "bert"))
    output = tmp_path / "pre"
    model.save_pretrained(output)
    make_tokenizer("bert").save_pretrained(output)
    spec = make_spec(tmp_path, output)
    assert spec.base is not None
    classifier, _ = load_trainable(spec, inspect_checkpoint(spec.base), load_training_data(spec), 48)
    assert torch.equal(classifier.bert.pooler.dense.weight, model.bert.pooler.dense.weight)


def test_an_architecture_without_such_a_head_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="roberta models have no head that tells whether a sentence follows"):
        prepared(tmp_path, **start(tmp_path, "roberta"))


def test_masks_are_drawn_after_the_pair(tmp_path: Path) -> None:
    tokenizer, records = encoded(PAIRS)
    objective = next_sentence(masked_lm(tokenizer, 0.5, seed=0), records, 64, seed=0)
    for _ in range(50):
        drawn = objective.add_labels(records[0])
        both = drawn["input_ids"], drawn["targets"]
        whole = [token if target == IGNORED else target for token, target in zip(*both, strict=True)]
        assert [whole[0], whole[-1]] == [tokenizer.cls_token_id, tokenizer.sep_token_id]
        second = tokenizer.decode(whole).split(" [SEP] ")[1].removesuffix(" [SEP]")
        assert (second == PAIRS[0][1]) == (drawn["label"] == [0])
