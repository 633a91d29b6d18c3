from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from harness.errors import DataError
from privacy.clipping import BookKeepingEngine
from privacy.clipping.losses import IGNORED
from privacy.training.data.batches import Collator, MicroBatch, padding_values
from privacy.training.data.tokens import Features, check_maskable, encode_documents, encode_records
from privacy.training.models.next_sentence import next_sentence, sentence_order
from privacy.training.models.objective import Objective, causal_lm, classification, in_bf16, masked_lm, with_classes
from tests.tiny import make_checkpoint

TEXTS = ["the film was good and the story was great", "bad", "we love the music of this city and all the people in it"]


def loaded(folder: Path, kind: str, head: str, auto: str) -> tuple[Any, Any]:
    path = make_checkpoint(folder, kind, head)
    return getattr(transformers, auto).from_pretrained(path).eval(), transformers.AutoTokenizer.from_pretrained(path)


def padded(tokenizer: Any, records: list[Features]) -> MicroBatch:
    return Collator(lambda record: record, padding_values(tokenizer), parts=1, pad_left=False).micro_batch(records)


def losses(objective: Objective, model: Any, tokenizer: Any, records: list[Features]) -> list[float]:
    """All records in one padded batch."""
    with torch.no_grad():
        return objective.losses(model, padded(tokenizer, records)).tolist()


def test_padding_on_the_left_is_not_asked_for_the_first_token() -> None:
    """Else a padded record had one target more than the same record alone."""
    tables = torch.randn(9, 9, generator=torch.Generator().manual_seed(0))

    def model(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return SimpleNamespace(logits=tables[input_ids])

    short, long = ({"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in ([3, 4], [5, 6, 7, 8]))
    objective = causal_lm()
    values = {"input_ids": 0, "attention_mask": 0, "targets": IGNORED}
    collator = Collator(objective.add_labels, values, parts=1, pad_left=True)
    together = objective.losses(model, collator.micro_batch([short, long]))  # type: ignore[arg-type]
    alone = objective.losses(model, collator.micro_batch([short]))  # type: ignore[arg-type]
    assert together[0] == alone[0]
    assert float(alone[0]) == pytest.approx(-float(tables[3].log_softmax(0)[4]), rel=1e-5)


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


TASKS = {
    "classification": ("bert", "classifier", "AutoModelForSequenceClassification"),
    "causal_lm": ("gpt2", "causal_lm", "AutoModelForCausalLM"),
    "masked_lm": ("bert", "masked_lm", "AutoModelForMaskedLM"),
    "masked_lm+next_sentence": ("bert", "masked_lm", "AutoModelForPreTraining"),
    "masked_lm+sentence_order": ("bert", "masked_lm", "AutoModelForPreTraining"),
}


def labelled(task: str, tokenizer: Any, texts: list[str]) -> tuple[Objective, list[Features]]:
    """The objective of a task, and the texts as its records."""
    if task == "causal_lm":
        objective, records = causal_lm(), encode_documents(tokenizer, texts, 128).records
    elif task == "classification":
        records = encode_records(tokenizer, texts, None, 128, segments=True).records
        objective, records = classification(), with_classes(records, [0, 1, 1])
    else:
        pairs = [f"and {text}" for text in texts] if "+" in task else None
        records = encode_records(tokenizer, texts, pairs, 128, segments=True).records
        objective = masked_lm(tokenizer, 0.3, seed=0)
        if task.endswith("next_sentence"):
            objective = next_sentence(objective, records, 128, seed=0)
        elif task.endswith("sentence_order"):
            objective = sentence_order(objective, records, seed=0)
    assert objective.name == task
    return objective, [objective.add_labels(record) for record in records]


def gradients(objective: Objective, model: Any, batch: MicroBatch) -> list[dict[str, torch.Tensor]]:
    """Gradients of each record's own loss."""
    found, values = objective.losses(model, batch), dict(model.named_parameters())
    rows = [torch.autograd.grad(loss, list(values.values()), retain_graph=True, allow_unused=True) for loss in found]
    return [{name: grad for name, grad in zip(values, row, strict=True) if grad is not None} for row in rows]


@pytest.mark.parametrize("task", TASKS)
def test_no_record_enters_the_gradient_of_another(task: str, tmp_path: Path) -> None:
    """The first record gives way to a much longer one, so that the padding of the others changes as well."""
    model, tokenizer = loaded(tmp_path, *TASKS[task])
    objective, records = labelled(task, tokenizer, TEXTS)
    _, (other, *_) = labelled(task, tokenizer, [" ".join(["people love the city"] * 9), *TEXTS[1:]])
    before = gradients(objective, model, padded(tokenizer, records))
    after = gradients(objective, model, padded(tokenizer, [other, *records[1:]]))
    assert not all(torch.allclose(value, after[0][name], atol=1e-4) for name, value in before[0].items())
    for place in (1, 2):
        assert before[place].keys() == after[place].keys()
        for name, value in before[place].items():
            torch.testing.assert_close(after[place][name], value, rtol=1e-4, atol=2e-6)


def test_a_record_with_nothing_to_mask_is_refused_by_number_before_training(tmp_path: Path) -> None:
    _, tokenizer = loaded(tmp_path, "bert", "masked_lm", "AutoModelForMaskedLM")
    records = encode_records(tokenizer, [*TEXTS, "\u65e5\u672c"], None, 16, segments=True).records
    check_maskable(tokenizer, records[:3])
    with pytest.raises(DataError, match="training record 4 holds no token to mask"):
        check_maskable(tokenizer, records)


def test_a_record_with_nothing_to_mask_has_no_loss_and_no_gradient(tmp_path: Path) -> None:
    """A cut next-sentence pair can come to that in the midst of training, which must go on."""
    model, tokenizer = loaded(tmp_path, "bert", "masked_lm", "AutoModelForMaskedLM")
    objective = masked_lm(tokenizer, 0.3, seed=0)
    records = encode_records(tokenizer, ["\u65e5\u672c", *TEXTS], None, 16, segments=True).records
    batch = padded(tokenizer, [objective.add_labels(record) for record in records])
    assert (batch["targets"][0] == IGNORED).all()
    first, second, *_ = gradients(objective, model, batch)
    assert float(objective.losses(model, batch)[0].detach()) == 0
    assert all((value == 0).all() for value in first.values())
    assert all(value.isfinite().all() for value in second.values())
    alone = objective.losses(model, padded(tokenizer, [objective.add_labels(records[0])]))
    assert alone.tolist() == [0]


@pytest.mark.parametrize("task", TASKS)
def test_bf16_is_the_forward_pass_alone(task: str, tmp_path: Path) -> None:
    model, tokenizer = loaded(tmp_path, *TASKS[task])
    objective, records = labelled(task, tokenizer, TEXTS)
    batch, narrow = padded(tokenizer, records), in_bf16(objective)
    seen = set()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda module, given, output: seen.add(output.dtype))
    found = narrow.losses(model, batch)
    assert (narrow.name, seen) == (task, {torch.bfloat16})
    expected = objective.losses(model, batch)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.03)
    torch.autograd.backward(found.sum())
    trained = [value for value in model.parameters() if value.grad is not None]
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert {value.grad.dtype for value in trained} == {torch.float32}


@pytest.mark.parametrize("task", TASKS)
def test_clipped_sums_in_bf16_are_near_those_in_fp32(task: str, tmp_path: Path) -> None:
    model, tokenizer = loaded(tmp_path, *TASKS[task])
    objective, records = labelled(task, tokenizer, TEXTS)
    batch = padded(tokenizer, records)
    sums = []
    for one in (objective, in_bf16(objective)):
        engine = BookKeepingEngine(model, max_grad_norm=1.0)
        with engine.recording(3):
            found = one.losses(model, batch)
        engine.backward(found)
        sums.append(torch.cat([value.flatten() for value in engine.summed_grads().values()]))
        for parameter in model.parameters():
            vars(parameter).pop("summed_grad", None)
    assert sums[1].dtype == torch.float32
    assert float((sums[0] - sums[1]).norm()) < 0.1 * float(sums[0].norm())
