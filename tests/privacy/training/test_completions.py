"""Prompts with completions: only the completion is learnt, plainly and privately."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from harness.data.datasets import DataSource
from harness.errors import DataError, UsageError
from privacy.clipping import BookKeepingEngine, OneSampleEngine
from privacy.clipping.losses import IGNORED
from privacy.training import TrainSpec, train
from privacy.training.data.batches import Collator, padding_values
from privacy.training.data.completions import encode_completions
from privacy.training.data.load import load_training_data
from privacy.training.data.tokens import Features
from privacy.training.models.objective import completion_lm
from tests.privacy.toys import make_base, make_spec, write_rows

PROMPTS = ["the film was", "who is the man in the house", "what"]
COMPLETIONS = [" good", " a doctor and a teacher", " the story of the city"]
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "gpt2", "causal_lm", dropout=False)


@pytest.fixture
def tokenizer(base: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(base)


def learnt(record: Features) -> list[int]:
    return [target for target in record["targets"] if target != IGNORED]


def padded(tokenizer: Any, records: list[Features]) -> dict[str, torch.Tensor]:
    return Collator(lambda record: record, padding_values(tokenizer), parts=1, pad_left=False).micro_batch(records)


def test_the_completion_is_learnt_and_the_prompt_is_read(tokenizer: Any) -> None:
    encoded = encode_completions(tokenizer, PROMPTS, COMPLETIONS, 128, chat=False)
    for record, prompt, completion in zip(encoded.records, PROMPTS, COMPLETIONS, strict=True):
        assert tokenizer.decode(record["input_ids"], skip_special_tokens=True) == prompt + completion
        assert tokenizer.decode(learnt(record)) == completion + tokenizer.eos_token
        assert record["targets"][-1] == record["input_ids"][-1] == tokenizer.eos_token_id
    assert encoded.truncated == 0


def test_loss_is_the_mean_over_each_records_own_completion(base: Path, tokenizer: Any) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(base).double().eval()
    records = encode_completions(tokenizer, PROMPTS, COMPLETIONS, 128, chat=False).records
    expected = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        given = tokenizer(prompt)["input_ids"]
        ids = [*tokenizer(prompt + completion)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logs = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
        places = range(len(given), len(ids))
        expected.append(-sum(float(logs[at - 1, ids[at]]) for at in places) / len(places))
    with torch.no_grad():
        found = completion_lm().losses(model, padded(tokenizer, records))
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_book_keeping_clips_them_as_single_records_are(base: Path, tokenizer: Any) -> None:
    records = encode_completions(tokenizer, PROMPTS, COMPLETIONS, 128, chat=False).records
    sums = []
    for kind, parts in ((BookKeepingEngine, [records]), (OneSampleEngine, [[record] for record in records])):
        model = transformers.AutoModelForCausalLM.from_pretrained(base).double().eval()
        engine = kind(model, max_grad_norm=0.1)
        for part in parts:
            with engine.recording(len(part)):
                losses = completion_lm().losses(model, padded(tokenizer, part))
            engine.backward(losses)
        sums.append(engine.summed_grads())
    for name, value in sums[1].items():
        torch.testing.assert_close(sums[0][name], value, rtol=1e-6, atol=1e-9)


def test_a_token_that_reaches_into_the_completion_is_learnt(tokenizer: Any) -> None:
    """`boy` is one token, `bo` begins otherwise."""
    (record,) = encode_completions(tokenizer, ["the bo"], ["y and the girl"], 128, chat=False).records
    whole = tokenizer("the boy and the girl")["input_ids"]
    apart = tokenizer("the bo")["input_ids"]
    shared = sum(left == right for left, right in zip(whole, apart, strict=False))
    assert shared < len(apart)
    assert learnt(record) == [*whole[shared:], tokenizer.eos_token_id]


def test_what_is_too_long_keeps_a_token_of_its_completion_or_is_refused(tokenizer: Any) -> None:
    size = len(tokenizer(PROMPTS[1])["input_ids"])
    cut = encode_completions(tokenizer, PROMPTS[1:2], COMPLETIONS[1:2], size + 1, chat=False)
    assert (cut.truncated, len(learnt(cut.records[0]))) == (1, 1)
    says = rf"training record 1: its prompt takes {size} of at most {size} tokens.*raise max_tokens"
    with pytest.raises(DataError, match=says):
        encode_completions(tokenizer, PROMPTS[1:2], COMPLETIONS[1:2], size, chat=False)


def test_a_chat_template_writes_both_turns_and_only_the_answer_is_learnt(tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATE
    (record,) = encode_completions(tokenizer, ["who"], ["the doctor"], 128, chat=True).records
    assert tokenizer.decode(record["input_ids"]) == "[user] who\n[assistant] the doctor\n"
    assert tokenizer.decode(learnt(record)).strip() == "the doctor"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "has no chat template; choose completions: plain"),
        ("{% if add_generation_prompt %}ask {% else %}answer {% endif %}{{ messages[0].content }}", "otherwise than"),
        ("{{ raise_exception('no users here') }}", r"fails \(no users here\)"),
    ],
)
def test_templates_that_cannot_be_used(tokenizer: Any, template: str | None, says: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(UsageError, match=says):
        encode_completions(tokenizer, ["who"], ["the doctor"], 128, chat=True)


def instructions(folder: Path, **columns: str) -> Path:
    names = {"prompt": "prompt", "completion": "completion", **columns}
    rows = [
        {names["prompt"]: f"{prompt} {number}", names["completion"]: completion}
        for number in range(8)
        for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)
    ]
    return write_rows(folder / "instructions.jsonl", rows)


def spec_of(folder: Path, base: Path, **fields: Any) -> TrainSpec:
    data = fields.pop("data", None) or str(instructions(folder))
    values = {"task": "causal_lm", "completions": "plain", "data": data, "learning_rate": 5e-3}
    return make_spec(folder, base, **{**values, **fields})


@pytest.mark.parametrize("privacy", [None, {"noise_multiplier": 0.1, "max_grad_norm": 1.0}])
def test_training_learns_completions(base: Path, tmp_path: Path, privacy: dict[str, float] | None) -> None:
    spec = spec_of(tmp_path, base, epochs=8, privacy=privacy)
    manifest = train(spec).manifest
    assert manifest.objective == "causal_lm on completions"
    trained = transformers.AutoModelForCausalLM.from_pretrained(spec.output).eval()
    before = transformers.AutoModelForCausalLM.from_pretrained(base).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    records = encode_completions(tokenizer, PROMPTS, COMPLETIONS, 128, chat=False).records
    with torch.no_grad():
        old, new = (completion_lm().losses(model, padded(tokenizer, records)).mean() for model in (before, trained))
    assert new < 0.8 * old


def test_columns_may_be_mapped_and_empty_completions_are_refused(base: Path, tmp_path: Path) -> None:
    path = instructions(tmp_path, prompt="question")
    data = load_training_data(spec_of(tmp_path, base, data=DataSource(source=str(path), columns={"text": "question"})))
    assert data.texts[0] == "the film was 0"
    assert data.pairs is not None
    assert data.pairs[0] == " good"
    write_rows(tmp_path / "bad.jsonl", [{"prompt": "who", "completion": " "}])
    with pytest.raises(DataError, match="row 1, column 'pair': is empty"):
        load_training_data(spec_of(tmp_path, base, data=str(tmp_path / "bad.jsonl")))


def test_digests_of_older_trainings_stay(base: Path, tmp_path: Path) -> None:
    assert "completions" not in spec_of(tmp_path, base, completions="none").canonical()
    assert spec_of(tmp_path, base).canonical()["completions"] == "plain"


def test_other_tasks_have_no_completions(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="completions belongs to causal_lm"):
        make_spec(tmp_path, base, completions="plain")
