from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.errors import DataError
from privacy.training.batches import IGNORED, Collator, padding_values
from privacy.training.objective import Objective, causal_lm, classification, masked_lm, with_classes
from privacy.training.tokens import Features, encode_documents, encode_records
from tests.tiny import make_checkpoint

TEXTS = ["the film was good and the story was great", "bad", "we love the music of this city and all the people in it"]


def loaded(folder: Path, kind: str, head: str, auto: str) -> tuple[Any, Any]:
    path = make_checkpoint(folder, kind, head)
    return getattr(transformers, auto).from_pretrained(path).eval(), transformers.AutoTokenizer.from_pretrained(path)


def losses(objective: Objective, model: Any, tokenizer: Any, records: list[Features]) -> list[float]:
    """All records in one padded batch."""
    (batch,) = Collator(lambda record: record, padding_values(tokenizer), parts=1, pad_left=False)(records)
    with torch.no_grad():
        return objective.losses(model, batch).tolist()


def surprise(logits: torch.Tensor, token: int) -> float:
    return -float(torch.log_softmax(logits.double(), dim=-1)[token])


def test_causal_loss_is_the_mean_over_each_records_own_tokens(tmp_path: Path) -> None:
    model, tokenizer = loaded(tmp_path, "gpt2", "causal_lm", "AutoModelForCausalLM")
    objective = causal_lm()
    records = [objective.add_labels(record) for record in encode_documents(tokenizer, TEXTS, 128).records]
    expected = []
    for record in records:
        ids = record["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        expected.append(sum(surprise(logits[at - 1], ids[at]) for at in range(1, len(ids))) / (len(ids) - 1))
    assert losses(objective, model, tokenizer, records) == pytest.approx(expected, abs=1e-5)


def test_masked_loss_is_the_mean_over_each_records_masked_tokens(tmp_path: Path) -> None:
    model, tokenizer = loaded(tmp_path, "bert", "masked_lm", "AutoModelForMaskedLM")
    objective = masked_lm(tokenizer, 0.3, seed=0)
    encoded = encode_records(tokenizer, TEXTS, None, 128, segments=True)
    records = [objective.add_labels(record) for record in encoded.records]
    expected = []
    for record in records:
        with torch.no_grad():
            logits = model(torch.tensor([record["input_ids"]])).logits[0]
        wanted = [(at, token) for at, token in enumerate(record["targets"]) if token != IGNORED]
        expected.append(sum(surprise(logits[at], token) for at, token in wanted) / len(wanted))
    assert losses(objective, model, tokenizer, records) == pytest.approx(expected, abs=1e-5)


def test_class_loss_is_the_surprise_of_the_class(tmp_path: Path) -> None:
    model, tokenizer = loaded(tmp_path, "bert", "classifier", "AutoModelForSequenceClassification")
    records = with_classes(encode_records(tokenizer, TEXTS, None, 128, segments=True).records, [0, 1, 1])
    expected = []
    for record in records:
        with torch.no_grad():
            logits = model(torch.tensor([record["input_ids"]])).logits[0]
        expected.append(surprise(logits, record["label"][0]))
    assert losses(classification(), model, tokenizer, records) == pytest.approx(expected, abs=1e-5)


def test_masks_follow_devlin_2019(tmp_path: Path) -> None:
    _, tokenizer = loaded(tmp_path, "bert", "masked_lm", "AutoModelForMaskedLM")
    objective = masked_lm(tokenizer, 0.15, seed=0)
    record = encode_records(tokenizer, [" ".join(["film"] * 40)], None, 128, segments=False).records[0]
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    kinds = {"mask": 0, "kept": 0, "other": 0}
    for _ in range(500):
        drawn = objective.add_labels(record)
        chosen = [at for at, token in enumerate(drawn["targets"]) if token != IGNORED]
        assert len(chosen) == 6  # 0.15 of 40
        for at, token in enumerate(record["input_ids"]):
            if at not in chosen:
                assert drawn["input_ids"][at] == token
                continue
            assert drawn["targets"][at] == token not in special
            now = drawn["input_ids"][at]
            kinds["mask" if now == tokenizer.mask_token_id else "kept" if now == token else "other"] += 1
    shares = {kind: count / 3000 for kind, count in kinds.items()}
    assert shares == pytest.approx({"mask": 0.8, "kept": 0.1, "other": 0.1}, abs=0.03)  # 4 standard deviations


def test_the_shortest_text_still_has_one_masked_token(tmp_path: Path) -> None:
    _, tokenizer = loaded(tmp_path, "bert", "masked_lm", "AutoModelForMaskedLM")
    record = encode_records(tokenizer, ["film"], None, 128, segments=False).records[0]
    targets = masked_lm(tokenizer, 0.15, seed=0).add_labels(record)["targets"]
    assert [target != IGNORED for target in targets] == [False, True, False]


def test_documents_end_with_eos_and_are_cut_and_counted(tmp_path: Path) -> None:
    _, tokenizer = loaded(tmp_path, "gpt2", "causal_lm", "AutoModelForCausalLM")
    short = encode_documents(tokenizer, TEXTS, 128)
    cut = encode_documents(tokenizer, TEXTS, 9)
    assert all(record["input_ids"][-1] == tokenizer.eos_token_id for record in short.records)
    assert (short.truncated, cut.truncated) == (0, sum(length > 9 for length in short.lengths))
    assert max(cut.lengths) == 9


def test_a_record_of_one_token_is_refused_by_number(tmp_path: Path) -> None:
    _, tokenizer = loaded(tmp_path, "gpt2", "causal_lm", "AutoModelForCausalLM")
    with pytest.raises(DataError, match="training record 2 is a single token"):
        encode_documents(tokenizer, ["a film", ""], 16)
