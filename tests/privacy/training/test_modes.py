"""What each mode trains, mean pooling, cached features, averaged weights and private defaults."""

from __future__ import annotations

import json
import secrets
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import AuditError, UsageError
from privacy.frontier.grid import make_grid
from privacy.training import TrainSpec, train
from privacy.training import run as run_module
from privacy.training.data.load import load_training_data
from privacy.training.models import cached_features
from privacy.training.models.averaging import WeightAverage
from privacy.training.models.load import load_trainable
from privacy.training.models.modes import last_linear
from privacy.training.plain.loop import Schedule
from privacy.training.settings.defaults import with_defaults
from tests.privacy.toys import make_base, make_spec

EXACT = {"noise_multiplier": 0.0, "max_grad_norm": 1e6, "sampling": "shuffle"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def loaded(folder: Path) -> Any:
    return load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu", dtype="fp32")


def spec_in(folder: Path, base: Path, **fields: Any) -> TrainSpec:
    folder.mkdir(exist_ok=True)
    return make_spec(folder, base, **fields)


def changed(base: Path, spec: TrainSpec) -> set[str]:
    """Parameters that training changed, of those that both have."""
    train(spec)
    before, after = load_file(base / "model.safetensors"), load_file(spec.output / "model.safetensors")
    return {name for name in before.keys() & after.keys() if not torch.equal(before[name], after[name])}


def test_head_changes_the_last_layer_alone(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    assert changed(base, make_spec(tmp_path, base, mode="head")) == {"classifier.weight", "classifier.bias"}


def test_bitfit_changes_biases_and_the_head(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    found = changed(base, make_spec(tmp_path, base, mode="bitfit"))
    assert all(name.endswith("bias") or name.startswith("classifier") for name in found)
    assert {"classifier.weight", "bert.encoder.layer.0.output.dense.bias", "bert.pooler.dense.bias"} <= found


@pytest.mark.parametrize(("kind", "last"), [("bert", "bert.encoder.layer."), ("gpt2", "transformer.h.")])
def test_last_layers_leave_the_first_and_the_embeddings(kind: str, last: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", kind, "classifier")
    names = [name for name in load_file(base / "model.safetensors") if name.startswith(last)]
    layers = sorted({int(name.removeprefix(last).split(".")[0]) for name in names})
    found = changed(base, make_spec(tmp_path, base, mode="last-layers"))
    assert {int(name.removeprefix(last).split(".")[0]) for name in found if name.startswith(last)} == {layers[-1]}
    assert not any("embed" in name or "wte" in name or "wpe" in name for name in found)
    assert any(name.startswith(("classifier", "score")) for name in found)


def test_the_last_layer_under_mean_pooling_is_the_one_below_what_averages(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "base")
    layers = {name.split(".")[2] for name in load_file(base / "model.safetensors") if name.startswith("encoder.layer.")}
    spec = make_spec(tmp_path, base, mode="last-layers", pooling="mean", label_names=("negative", "positive"))
    train(spec)
    before, after = load_file(base / "model.safetensors"), load_file(spec.output / "model.safetensors")
    found = {name for name in before if not torch.equal(before[name], after[f"bert.{name}"])}
    last = f"encoder.layer.{len(layers) - 1}."
    assert f"{last}output.dense.weight" in found
    assert all(name.startswith((last, "pooler.")) for name in found)


def test_more_last_layers_than_there_are(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    with pytest.raises(UsageError, match=r"last_layers: 99 are more than the \d+ that the model has"):
        train(make_spec(tmp_path, base, mode="last-layers", last_layers=99))


def test_bitfit_needs_biases(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "llama", "classifier")
    with pytest.raises(UsageError, match="mode bitfit: a llama model has no biases to train; choose head"):
        train(make_spec(tmp_path, base, mode="bitfit"))


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"mode": "lora"}, "mode lora needs a lora section"),
        ({"mode": "head", "lora": {"rank": 2}}, "with mode head leave the lora section out"),
        ({"mode": "head", "task": "causal_lm"}, "mode head trains the head of a classifier|and the task is causal_lm"),
        ({"pooling": "mean", "task": "causal_lm"}, "pooling belongs to classification"),
        ({"pooling_layer": 1}, "pooling_layer says which layer pooling: mean reads"),
        ({"learning_rate": 1e38}, "less than or equal to 1000000"),  # a step of Adam would end in a traceback
        ({"averaging": "last"}, "averaging is for private training"),
    ],
)
def test_settings_that_do_not_go_together(fields: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=what):
        make_spec(tmp_path, tmp_path, **fields)


@pytest.mark.parametrize(("kind", "layer"), [("bert", None), ("roberta", None), ("bert", 1), ("roberta", 1)])
def test_mean_pooling_is_the_mean_over_tokens_in_an_ordinary_checkpoint(
    kind: str, layer: int | None, tmp_path: Path
) -> None:
    """Against the mean, its norm and its tanh worked out from the trunk's states, for texts of several lengths."""
    base = make_base(tmp_path / "base", kind, "base")
    labels = ("negative", "positive")
    spec = make_spec(tmp_path, base, mode="head", pooling="mean", pooling_layer=layer, label_names=labels)
    train(spec)
    found = loaded(spec.output)
    texts = ["good film", "the worst story of a doctor and a nurse", "day"]
    batch = found.tokenizer(texts, padding=True, return_tensors="pt")
    trunk = loaded(base).model
    with torch.no_grad():
        states = trunk(**batch, output_hidden_states=True).hidden_states[layer or -1].double()
        mask = batch["attention_mask"][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        normed = torch.nn.functional.layer_norm(mean, mean.shape[-1:])
        read = torch.tanh(normed * 3.0 * mean.shape[-1] ** -0.5)
        head = found.model.classifier if kind == "bert" else found.model.classifier.out_proj
        expected = read @ head.weight.double().T + head.bias.double()
        assert torch.allclose(found.model(**batch).logits.double(), expected, atol=2e-2 * expected.abs().max().item())
    assert found.model.config.num_hidden_layers == (layer or trunk.config.num_hidden_layers) + 1


def test_pooling_layers_have_their_own_features_and_must_be_there(cache: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "base")
    fields = {"mode": "head", "pooling": "mean", "label_names": ("negative", "positive")}
    for layer in (None, 1):
        train(spec_in(tmp_path / str(layer), base, pooling_layer=layer, **fields))
    assert len(list((cache / "features").iterdir())) == 2
    with pytest.raises(UsageError, match=r"pooling_layer: 99 is more than the \d+ layers that the base has"):
        train(spec_in(tmp_path / "b", base, pooling_layer=99, **fields))


def test_the_averaging_layer_stays_what_it_is_in_full_training(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "base")
    spec = make_spec(tmp_path, base, pooling="mean", label_names=("negative", "positive"))
    train(spec)
    after = load_file(spec.output / "model.safetensors")
    last = max(int(name.split(".")[3]) for name in after if ".layer." in name)
    assert not after[f"bert.encoder.layer.{last}.attention.self.query.weight"].any()
    width = len(after[f"bert.encoder.layer.{last}.attention.self.value.weight"])
    assert torch.equal(after[f"bert.encoder.layer.{last}.attention.self.value.weight"], torch.eye(width))


@pytest.mark.parametrize(("kind", "head"), [("distilbert", "base"), ("gpt2", "causal_lm"), ("bert", "classifier")])
def test_who_cannot_pool_by_the_mean_is_told(kind: str, head: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", kind, head)
    with pytest.raises(UsageError, match=r"pooling: .*leave (pooling|it) out"):
        train(make_spec(tmp_path, base, pooling="mean", mode="head"))


def load_for(spec: TrainSpec) -> Any:
    """Model and tokenizer that the spec trains."""
    assert spec.base is not None
    return load_trainable(spec, inspect_checkpoint(spec.base), load_training_data(spec), 32)


def with_and_without_cached_features(base: Path, folder: Path, patch: pytest.MonkeyPatch, **settings: Any) -> Any:
    """Weights that a head comes to over kept features, and through the model."""
    fields = {"mode": "head", "batch_size": 16, "accumulation": 2, "optimizer": "sgd", **settings}
    spec = spec_in(folder / "a", base, **fields, learning_rate=0.5, averaging="none", warmup_ratio=0.0)
    train(spec)
    patch.setattr(run_module, "can_cache", lambda _: False)
    whole = spec.model_copy(update={"output": folder / "a" / "whole"})
    train(whole)
    return (load_file(each.output / "model.safetensors") for each in (spec, whole))


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
@pytest.mark.parametrize("private", [False, True])
def test_cached_features_give_the_weights_of_training_without(
    kind: str, private: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_base(tmp_path / "base", kind, "classifier", dropout=False)
    privacy = EXACT if private else None
    ours, theirs = with_and_without_cached_features(base, tmp_path, monkeypatch, privacy=privacy)
    before = load_file(base / "model.safetensors")
    if private:  # shuffled alike, by the seed; the plain loop sorts by length, which features have none of
        for name in ours:
            assert torch.allclose(ours[name], theirs[name], atol=2e-5), name
    assert {name for name in before if not torch.equal(before[name], ours[name])} == {
        name for name in before if not torch.equal(before[name], theirs[name])
    }


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_new_private_head_begins_at_zero_and_reads_its_own_token(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_base(tmp_path / "base", kind, "base", dropout=False)
    classes = ("negative", "positive")
    spec = spec_in(tmp_path / "a", base, mode="head", privacy=EXACT, label_names=classes)
    model, _ = load_for(spec)
    _, head = last_linear(model)
    assert all(not value.any() for value in head.parameters())
    ours, theirs = with_and_without_cached_features(base, tmp_path, monkeypatch, privacy=EXACT, label_names=classes)
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], atol=2e-5), name
    plain, _ = load_for(spec.model_copy(update={"privacy": None}))
    assert last_linear(plain)[1].weight.any()


def test_a_private_head_that_the_base_has_goes_on(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    spec = spec_in(tmp_path / "a", base, mode="head", privacy=EXACT)
    model, _ = load_for(spec)
    assert torch.equal(last_linear(model)[1].weight, load_file(base / "model.safetensors")["classifier.weight"])


def test_features_are_kept_for_the_owner_and_used_again(cache: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    seen: list[float] = []

    def watch(step: int, steps: int, loss: float) -> None:
        seen.append(loss)

    train(spec_in(tmp_path / "a", base, mode="head"), progress=watch)
    first = sum(loss != loss for loss in seen)
    assert first > 0
    (file,) = (cache / "features").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    seen.clear()
    train(spec_in(tmp_path / "b", base, mode="head", seed=1), progress=watch)
    assert sum(loss != loss for loss in seen) == 0


@pytest.mark.parametrize("damage", ["other numbers", "cut", "other shape"])
def test_kept_features_that_are_not_those_of_the_records_are_read_anew(
    damage: str, cache: Path, tmp_path: Path
) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    spec = spec_in(tmp_path / "a", base, mode="head")
    train(spec)
    (file,) = (cache / "features").iterdir()
    right = load_file(file)["features"].clone()  # the file is mapped, and is cut below
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        save_file({"features": right + 1 if damage == "other numbers" else right[:-1]}, file)
    train(spec_in(tmp_path / "b", base, mode="head"))
    assert torch.allclose(load_file(file)["features"], right, atol=1e-6)


@pytest.mark.parametrize("change", ["encoder", "records", "cut"])
def test_another_encoder_other_records_or_another_cut_are_other_features(
    change: str, cache: Path, tmp_path: Path
) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    train(spec_in(tmp_path / "a", base, mode="head"))
    fields: dict[str, Any] = {"mode": "head"}
    if change == "encoder":
        values = load_file(base / "model.safetensors")
        values["bert.pooler.dense.bias"] += 0.5
        save_file(values, base / "model.safetensors", {"format": "pt"})
    elif change == "cut":
        fields["max_tokens"] = 5
    spec = spec_in(tmp_path / "b", base, **fields)
    if change == "records":
        rows = [json.loads(line) for line in Path(spec.data.source).read_text().splitlines()]
        rows[3]["text"] = "another text"
        Path(spec.data.source).write_text("".join(json.dumps(row) + "\n" for row in rows))
    train(spec)
    assert len(list((cache / "features").iterdir())) == 2


def test_a_head_that_is_not_the_last_layer_alone_is_trained_through_the_model(cache: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "roberta", "base")  # its new head has a dense layer nobody has trained
    train(make_spec(tmp_path, base, mode="head"))
    assert not (cache / "features").exists()


def test_a_record_that_the_model_cannot_read_contributes_zero(cache: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    spec = make_spec(tmp_path, base, mode="head", privacy={"epsilon": 8.0, "sampling": "shuffle"}, epochs=2)
    texts = [json.loads(line)["text"] for line in Path(spec.data.source).read_text().splitlines()]
    values = load_file(base / "model.safetensors")
    word = loaded(base).tokenizer("nurse", add_special_tokens=False)["input_ids"]
    values["bert.embeddings.word_embeddings.weight"][word] = torch.nan
    save_file(values, base / "model.safetensors", {"format": "pt"})
    holding = sum("nurse" in text.split() for text in texts)
    assert 0 < holding < len(texts)
    for _ in range(2):  # read, and as it was kept
        claim = train(spec, replace=True).manifest.privacy
        assert claim is not None
        assert claim.unprivatised is not None
        assert (claim.unprivatised.non_finite, claim.unprivatised.drawn) == (2 * holding, 2 * len(texts))
    assert len(list((cache / "features").iterdir())) == 1


def test_weights_that_are_no_numbers_cost_nothing(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    values = load_file(base / "model.safetensors")
    values["classifier.bias"][0] = torch.nan
    save_file(values, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(AuditError, match=r"weights of classifier\.bias are no numbers before a step is taken"):
        train(make_spec(tmp_path, base, privacy={"epsilon": 8.0}))
    assert not (tmp_path / "trained.training").exists()


def test_dropout_of_a_private_run_follows_from_no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed of 32 bits can be tried out, and with known masks one record's influence has no bound."""
    monkeypatch.setattr(secrets, "randbits", lambda bits: 5)
    drawn = []
    for _ in range(2):
        run_module._hide_dropout()
        drawn.append(torch.nn.functional.dropout(torch.ones(64), 0.5))
    assert not torch.equal(*drawn)


@pytest.mark.parametrize("mode", ["head", "last-layers"])
def test_what_is_read_once_claims_and_goes_on_after_a_stop(mode: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier")
    spec = make_spec(tmp_path, base, mode=mode, privacy={"epsilon": 8.0}, batch_size=16, epochs=4)

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 9 and loss == loss:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=stop)
    claim = train(spec).manifest.privacy
    assert claim is not None
    assert (claim.steps, claim.steps_lost) == (16, 0)
    assert 7.9 < claim.epsilon <= 8


def test_the_last_quarter_is_averaged() -> None:
    trained = {"w": torch.zeros(3)}
    average = WeightAverage("last", 8)
    values = torch.randn(8, 3)
    for step in range(8):
        trained["w"] = values[step].clone()
        average.add(step, trained)
    average.put(trained)
    assert torch.allclose(trained["w"], values[6:].mean(0), atol=1e-6)


def test_the_moving_average_is_the_sum_of_its_weights() -> None:
    values = torch.randn(50, 2)
    average, trained = WeightAverage("ema", 50), {"w": torch.zeros(2)}
    expected = torch.zeros(2)
    for step in range(50):
        trained["w"] = values[step].clone()
        average.add(step, trained)
        share = max(1 / (step + 1), 1 / 5)
        expected = (1 - share) * expected + share * values[step]
    average.put(trained)
    assert torch.allclose(trained["w"], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["last", "ema"])
def test_an_average_that_was_saved_goes_on(kind: Any) -> None:
    values = torch.randn(20, 2)
    whole, part = WeightAverage(kind, 20), WeightAverage(kind, 20)
    for step in range(17):
        whole.add(step, {"w": values[step]})
        part.add(step, {"w": values[step]})
    kept, again = {"w": values[16], **part.tensors()}, WeightAverage(kind, 20)
    again.restore(again.taken(kept), part.seen, {"w": values[16]})
    assert set(kept) == {"w"}
    for step in range(17, 20):
        whole.add(step, {"w": values[step]})
        again.add(step, {"w": values[step]})
    one, other = {"w": torch.zeros(2)}, {"w": torch.zeros(2)}
    whole.put(one)
    again.put(other)
    assert torch.equal(one["w"], other["w"])


def test_without_averaging_weights_stay() -> None:
    average, trained = WeightAverage("none", 4), {"w": torch.ones(2)}
    average.add(3, {"w": torch.zeros(2)})
    average.put(trained)
    assert trained["w"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("after", "factors"),
    [("linear", [1.0, 0.75, 0.5, 0.25]), ("constant", [1.0] * 4), ("cosine", [1.0, 0.8536, 0.5, 0.1464])],
)
def test_schedules(after: str, factors: list[float]) -> None:
    assert [Schedule(4, 0, after).factor(step) for step in range(4)] == pytest.approx(factors, abs=1e-4)


def bare(tmp_path: Path, **fields: Any) -> TrainSpec:
    values = {"base": str(tmp_path), "task": "classification", "data": "x.csv", "output": str(tmp_path / "out")}
    return TrainSpec.model_validate({**values, **fields})


def test_private_defaults_fill_in_what_is_left_open(tmp_path: Path) -> None:
    spec = with_defaults(bare(tmp_path, privacy={"epsilon": 3.0}), 5000)
    assert (spec.batch_size, spec.accumulation, spec.weight_decay, spec.learning_rate) == (500, 16, 0.0, 5e-4)
    head = with_defaults(bare(tmp_path, privacy={"epsilon": 3.0}, mode="head"), 5000)
    assert (head.batch_size, head.optimizer, head.averaging, head.accumulation) == (1500, "sgd", "last", 1)
    assert head.privacy is not None
    assert head.privacy.max_grad_norm == 1.0


def test_private_defaults_leave_what_is_given_and_plain_training_alone(tmp_path: Path) -> None:
    given = {"batch_size": 7, "weight_decay": 0.3, "learning_rate": 1e-5, "accumulation": 2}
    spec = with_defaults(bare(tmp_path, privacy={"epsilon": 3.0, "max_grad_norm": 0.2}, **given), 5000)
    assert {key: getattr(spec, key) for key in given} == given
    assert spec.privacy is not None
    assert spec.privacy.max_grad_norm == 0.2
    plain = bare(tmp_path)
    assert with_defaults(plain, 5000) is plain
    head = with_defaults(bare(tmp_path, mode="head", epochs=2), 5000)
    assert (head.optimizer, head.epochs, head.batch_size, head.averaging) == ("sgd", 2, 1500, "none")


def test_private_defaults_of_few_records(tmp_path: Path) -> None:
    assert with_defaults(bare(tmp_path, privacy={"epsilon": 3.0}), 3).batch_size == 1


def test_a_frontier_leaves_open_what_its_spec_leaves_open(tmp_path: Path) -> None:
    spec = bare(tmp_path, held_out="y.csv", mode="head", privacy={"epsilon": 1.0})
    cells = make_grid(spec, [8.0, float("inf")], [0]).cells
    assert all("batch_size" not in cell.spec.model_fields_set for cell in cells)
    private = next(cell.spec for cell in cells if cell.spec.privacy is not None)
    assert private.privacy is not None
    assert "max_grad_norm" not in private.privacy.model_fields_set


def test_settings_of_before_have_the_digest_of_before(tmp_path: Path) -> None:
    plain = bare(tmp_path).canonical()
    assert (
        not {"mode", "last_layers", "pooling", "pooling_layer", "optimizer", "momentum", "schedule", "averaging"}
        & plain.keys()
    )
    assert "mode" not in bare(tmp_path, lora={"rank": 4}).canonical()
    assert bare(tmp_path, mode="head").canonical()["mode"] == "head"


def test_cached_features_say_where_they_cannot_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "gpt2", "classifier")
    monkeypatch.setattr(cached_features, "_last", cached_features._first)  # scores come from the last token
    with pytest.raises(UsageError, match="mode head: a gpt2 classifier does not score one vector of each text"):
        train(make_spec(tmp_path, base, mode="head"))
