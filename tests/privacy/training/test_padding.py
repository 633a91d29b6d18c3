"""Private training of models in which a record's loss depends on how far it is padded, or on the records beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from privacy.clipping import ClippingError
from privacy.training import TrainSpec, train
from privacy.training.data.batches import Collator
from privacy.training.models.made_up import made_up_records
from privacy.training.models.objective import Objective, classification
from privacy.training.private.loop import PrivateTraining
from privacy.training.private.session import session_folder
from tests.privacy.toys import make_base, make_spec, opinions, write_rows
from tests.tiny import MAX_TOKENS, make_tokenizer

_LIMIT = 24
_CONV = {
    **{"hidden_size": 32, "embedding_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "head_ratio": 2},
    **{"intermediate_size": 64, "conv_kernel_size": 5, "max_position_embeddings": MAX_TOKENS, "initializer_range": 0.2},
}


@pytest.fixture
def convbert(tmp_path: Path) -> Path:
    """A tiny ConvBERT: its convolutions see padding."""
    tokenizer = make_tokenizer("electra")
    config = transformers.ConvBertConfig(**_CONV, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(0)
    model = transformers.ConvBertForSequenceClassification(config)
    for name, value in model.named_parameters():  # book-keeping knows the classifier and the norms
        value.requires_grad_("classifier" in name)
    model.save_pretrained(tmp_path / "conv")
    tokenizer.save_pretrained(tmp_path / "conv")
    return tmp_path / "conv"


def _spec(folder: Path, base: Path, **privacy: Any) -> TrainSpec:
    values: dict[str, Any] = {"noise_multiplier": 1.0, **privacy}
    return make_spec(
        folder,
        base,
        privacy=values,
        epochs=1,
        max_tokens=_LIMIT,
        label_names=("negative", "positive"),
        lora={"rank": 2, "targets": ["query", "value"]},
    )


def _widths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(records, tokens) of each micro-batch of training, as it goes."""
    seen: list[tuple[int, int]] = []
    batch = PrivateTraining._batch

    def noted(self: PrivateTraining, part: Any) -> Any:
        made = batch(self, part)
        seen.append(tuple(made["input_ids"].shape))  # type: ignore[arg-type]
        return made

    monkeypatch.setattr(PrivateTraining, "_batch", noted)
    return seen


def test_what_sees_padding_is_padded_to_the_length_limit(
    convbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to the longest record, which would be known to all others by it."""
    seen = _widths(monkeypatch)
    result = train(_spec(tmp_path, convbert))
    assert len(seen) > 1
    assert {width for _, width in seen} == {_LIMIT}
    assert (
        result.sentence.count(
            f"a convbert model sees how far a record is padded, so all are padded to max_tokens, {_LIMIT}"
        )
        == 1
    )
    assert "times as much: lower max_tokens" in result.sentence


def test_one_sample_needs_no_padding(convbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _widths(monkeypatch)
    train(_spec(tmp_path, convbert, engine="one-sample"))
    assert {records for records, _ in seen} == {1}
    assert len({width for _, width in seen}) > 1
    assert max(width for _, width in seen) < _LIMIT


def test_ordinary_models_are_padded_to_the_longest_of_a_micro_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _widths(monkeypatch)
    result = train(_spec(tmp_path, make_base(tmp_path / "base", "bert", "classifier")))
    assert max(width for _, width in seen) < _LIMIT
    assert "padded" not in result.sentence


def _mixing(objective: Objective) -> Any:
    def losses(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        found = objective.losses(model, batch)
        return found + 0.01 * found.mean()

    return losses


@pytest.mark.parametrize("engine", ["book-keeping", "opacus-hooks"])
def test_what_mixes_records_is_refused_before_anything_is_spent(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = classification()
    mixed = Objective("mixed", made.add_labels, _mixing(made))
    monkeypatch.setattr("privacy.training.run.classification", lambda: mixed)
    spec = _spec(tmp_path, make_base(tmp_path / "base", "bert", "classifier"), engine=engine)
    with pytest.raises(ClippingError, match=r"depends on which records are beside it.*one-sample") as raised:
        train(spec)
    assert "\n" not in str(raised.value)
    assert not session_folder(spec.output).exists(), "nothing is spent, so nothing is kept"


def test_a_resumed_run_is_checked_again(convbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _spec(tmp_path, convbert)

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 2:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train(spec, progress=stop)
    seen = _widths(monkeypatch)
    train(spec)
    assert {width for _, width in seen} == {_LIMIT}


def test_training_records_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where made-up records do not show it, those of the data may; nothing about padding is decided on them."""
    from privacy.training.private import padding

    found = iter([None, None, "the loss"])
    monkeypatch.setattr(padding, "differs_alone", lambda *_: next(found))
    with pytest.raises(ClippingError, match="the loss of a record depends on which records"):
        train(_spec(tmp_path, make_base(tmp_path / "base", "bert", "classifier")))


def test_the_cached_head_reads_records_padded_to_one_length(
    convbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    pad = Collator.pad

    def noted(self: Collator, records: Any, length: int | None = None) -> Any:
        made = pad(self, records, length)
        if len(records) > 6:  # as features are read, not as the check does
            seen.add(made["input_ids"].shape[1])
        return made

    monkeypatch.setattr(Collator, "pad", noted)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    values = json.loads(_spec(tmp_path, convbert).model_dump_json(exclude={"lora", "mode", "output"}))
    train(TrainSpec.model_validate({**values, "mode": "head", "output": tmp_path / "head"}))
    assert _LIMIT in seen


@pytest.mark.parametrize("task", ["classification", "masked_lm", "causal_lm"])
def test_made_up_records_are_of_no_one(task: Any) -> None:
    """The same whatever is trained, of unequal lengths, put together as the tokenizer does."""
    tokenizer = make_tokenizer("gpt2" if task == "causal_lm" else "bert")
    model = transformers.BertForMaskedLM(
        transformers.BertConfig(vocab_size=len(tokenizer), hidden_size=8, num_attention_heads=1, num_hidden_layers=1)
    )
    apart, short = made_up_records(tokenizer, model, task, 50)
    assert made_up_records(tokenizer, model, task, 50) == (apart, short)
    lengths = [len(record["input_ids"]) for record in apart]
    assert lengths[0] == 50 > lengths[2] > lengths[1] > 1
    assert {len(record["input_ids"]) % 2 for record in short} == {0, 1}
    for record in (*apart, *short):
        ids = record["input_ids"]
        assert len(record["attention_mask"]) == len(ids)
        assert ("targets" in record) == (task == "causal_lm"), "a record with a completion brings its targets"
        assert all(0 <= token < len(tokenizer) for token in ids)
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id) or task == "causal_lm"
        assert tokenizer.unk_token_id not in ids or task == "causal_lm"


def test_the_shortest_text_of_the_data_may_be_a_single_word(tmp_path: Path) -> None:
    rows = [*opinions(30, seed=1), {"text": "good", "label": "positive"}]
    base = make_base(tmp_path / "base", "gpt2", "classifier")
    spec = make_spec(
        tmp_path,
        base,
        data=str(write_rows(tmp_path / "short.jsonl", rows)),
        privacy={"noise_multiplier": 1.0},
        label_names=("negative", "positive"),
        epochs=1,
    )
    assert train(spec).manifest.steps > 0
