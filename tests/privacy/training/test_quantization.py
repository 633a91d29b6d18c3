"""LoRA on a quantised base: the same guarantee, the function that is saved, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import UsageError
from harness.provenance.manifest import read_manifest
from privacy.clipping import BookKeepingEngine, OneSampleEngine, per_sample_loss
from privacy.clipping.alone import differs_alone
from privacy.clipping.refuse import refuse_mixing
from privacy.planning.plan import TrainPlan, plan_training
from privacy.training import TrainSpec, train
from privacy.training.data.load import load_training_data
from privacy.training.models import quantization as module
from privacy.training.models.load import finished, load_trainable
from privacy.training.models.quantization import (
    QuantizedLinear,
    base_layers,
    dequantized,
    described,
    quantize,
    restored,
)
from privacy.training.settings.spec import Quantization
from tests.privacy.clipping_cases import (
    TASKS,
    add_lora,
    language_head,
    make_batch,
    make_model,
    norm_of,
    one_sample_gradients,
    relative_error,
    run,
    take,
)
from tests.privacy.toys import make_base, make_spec, opinions, write_rows
from tests.tiny import KINDS

WAYS: tuple[Quantization, ...] = ("int8", "nf4")
CODES = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""The 16 values of NF4 (Dettmers et al. 2023, appendix E)."""


@pytest.fixture
def torchao() -> Any:
    """Skips where the package is missing."""
    return pytest.importorskip("torchao", reason="needs torchao, of the extra quantized")


def prepared(kind: str, head: str, how: Quantization) -> Any:
    """A tiny model in float32 under adapters on a quantised base."""
    model = make_model(kind, head).float()
    layers = base_layers(model, ())
    torch.manual_seed(0)
    model = add_lora(model, kind).float()
    quantize(model, layers, how)
    return model


def as_ordinary(kind: str, head: str, how: Quantization) -> Any:
    """The same function in ordinary layers: its backward pass is autograd's alone."""
    return restored(prepared(kind, head, how))


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"xlnet"}))
def test_clipped_sums_are_those_of_a_loop_over_the_dequantised_model(kind: str, how: Quantization) -> None:
    """Norms too, on both micro-batches: the engine checks itself on the first, the second it takes by hooks alone."""
    head = language_head(kind)
    ordinary, model = as_ordinary(kind, head, how), prepared(kind, head, how)
    assert sum(isinstance(each, QuantizedLinear) for each in model.modules()) > 3
    engine, expected = BookKeepingEngine(model, max_grad_norm=0.05), OneSampleEngine(ordinary, max_grad_norm=0.05)
    for seed in range(2):
        batch = make_batch(model, head, seed=seed)
        stats = run(engine, model, batch, head)
        norms = torch.stack([norm_of(each) for each in one_sample_gradients(ordinary, batch, head)])
        torch.testing.assert_close(stats.norms, norms, rtol=1e-5, atol=0)
        assert bool((norms > 0.05).any())
        run(expected, ordinary, batch, head)
    assert relative_error(engine.summed_grads(), expected.summed_grads()) < 1e-5


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("how", WAYS)
def test_the_other_engines_and_checkpointed_layers_agree(how: Quantization) -> None:
    found = {}
    for name in ("plain", "checkpointed", "one-sample"):
        model = prepared("llama", "causal_lm", how)
        if name == "checkpointed":
            model.gradient_checkpointing_enable({"use_reentrant": False})
            for each in model.modules():
                each.training = hasattr(each, "gradient_checkpointing")
        engine = (OneSampleEngine if name == "one-sample" else BookKeepingEngine)(model, max_grad_norm=0.05)
        for seed in range(2):
            run(engine, model, make_batch(model, "causal_lm", seed=seed), "causal_lm")
        found[name] = engine.summed_grads()
    assert relative_error(found["checkpointed"], found["plain"]) < 1e-5
    assert relative_error(found["one-sample"], found["plain"]) < 1e-5


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("how", WAYS)
def test_records_are_told_alone(how: Quantization) -> None:
    """Nothing is found where records are their own, and a record that others move is found."""
    model = prepared("bert", "classifier", how)
    refuse_mixing(model)
    batch = make_batch(model, "classifier")
    singles = [take(batch, slice(place, place + 1)) for place in range(3)]

    def losses(model: nn.Module, batch: Any) -> torch.Tensor:
        return per_sample_loss(model, batch, TASKS["classifier"])

    def mixed(model: nn.Module, batch: Any) -> torch.Tensor:
        own = losses(model, batch)
        return own + 0.1 * own.mean()

    assert differs_alone(model, losses, singles, batch) is None
    assert differs_alone(model, mixed, singles, batch) is not None


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("kind", "head"), [("bert", "classifier"), ("gpt2", "causal_lm")])
def test_autograd_keeps_no_weight_in_full_precision(kind: str, head: str, how: Quantization) -> None:
    """Else the memory that quantisation saves would be taken back by the first forward pass."""
    model = prepared(kind, head, how)
    shapes = {each.weight.shape for each in model.modules() if isinstance(each, QuantizedLinear)}
    shapes |= {torch.Size(reversed(shape)) for shape in shapes}
    assert not shapes & kept_shapes(model, head)
    assert shapes & kept_shapes(restored(model), head)


def kept_shapes(model: nn.Module, head: str) -> set[torch.Size]:
    """Of what autograd keeps for the backward pass."""
    kept = set()

    def keep(value: torch.Tensor) -> torch.Tensor:
        kept.add(value.shape)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        per_sample_loss(model, make_batch(model, head, positions=7), TASKS[head])
    return kept


@pytest.mark.usefixtures("torchao")
def test_int8_is_the_nearest_of_255_values_of_each_row() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 5).requires_grad_(False)
    before = layer.weight.clone()
    after = dequantized(QuantizedLinear(layer, "int8").weight)
    step = before.abs().amax(dim=1, keepdim=True) / 127.5
    codes = (after / step).round()
    torch.testing.assert_close(after, codes * step)
    torch.testing.assert_close(codes, (before / step).round().clamp(-128, 127))


@pytest.mark.usefixtures("torchao")
def test_nf4_is_the_nearest_of_the_published_values_of_each_block() -> None:
    """Scales are quantised as well, to 8 bits, which moves each block by less than a hundredth here."""
    torch.manual_seed(0)
    layer = nn.Linear(128, 64).requires_grad_(False)
    blocks = layer.weight.clone().view(-1, 64)
    after = dequantized(QuantizedLinear(layer, "nf4").weight).reshape(-1, 64)
    scales = blocks.abs().amax(dim=1, keepdim=True)
    codes = torch.tensor(CODES)
    nearest = codes[(blocks / scales).unsqueeze(2).sub(codes).abs().argmin(dim=2)]
    torch.testing.assert_close(after / scales, nearest, rtol=0.01, atol=1e-6)


def quantized_spec(folder: Path, kind: str, head: str, task: str, how: str, **fields: Any) -> TrainSpec:
    base = make_base(folder / "base", kind, head, dropout=False)
    return make_spec(folder, base, task=task, lora={"rank": 2, "quantization": how}, **fields)


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    ("kind", "head", "task"), [("bert", "base", "classification"), ("gpt2", "causal_lm", "causal_lm")]
)
def test_what_is_saved_is_the_function_that_was_trained(
    kind: str, head: str, task: str, how: str, tmp_path: Path
) -> None:
    """Outputs before the adapters are merged, and after saving's form; layers without adapters hold the values used."""
    spec = quantized_spec(tmp_path, kind, head, task, how)
    assert spec.base is not None
    torch.manual_seed(0)
    model, _ = load_trainable(spec, inspect_checkpoint(spec.base), load_training_data(spec), 32)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(value, std=0.2)
    model.eval()
    ids = torch.randint(6, 100, (3, 7))
    used = {name: dequantized(each.weight) for name, each in model.named_modules() if isinstance(each, QuantizedLinear)}
    before = model(input_ids=ids).logits
    after = finished(model)
    assert described(after) is None
    torch.testing.assert_close(after(input_ids=ids).logits, before, rtol=1e-4, atol=1e-5)
    weights = [each.weight for each in after.modules() if hasattr(each, "weight")]
    held = [
        any(torch.equal(weight, value) for weight in weights if weight.shape == value.shape) for value in used.values()
    ]
    assert 0 < sum(held) < len(held)


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("privacy", [None, {"epsilon": 8}])
def test_a_run_trains_saves_an_ordinary_checkpoint_and_says_what_was_quantised(
    privacy: dict[str, Any] | None, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"privacy": privacy, "epochs": 2} if privacy else {"epochs": 2}
    spec = quantized_spec(tmp_path, "bert", "classifier", "classification", "int8", **fields)
    train(spec)
    manifest = read_manifest(spec.output)
    assert manifest is not None
    assert manifest.quantized is not None
    assert manifest.quantized.startswith("13 linear layers of the base were kept in int8 (torchao ")
    assert manifest.config["lora"]["quantization"] == "int8"
    assert (manifest.privacy is None) == (privacy is None)
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(spec.output))), device="cpu", dtype="fp32")
    assert all(type(value) is nn.Parameter for value in loaded.model.parameters())
    again = train(spec, if_missing=True)
    assert not again.trained


@pytest.mark.usefixtures("torchao")
def test_bfloat16_passes_through(tmp_path: Path) -> None:
    """Autocast makes the output gradient bfloat16, which the weight must follow."""
    spec = quantized_spec(tmp_path, "llama", "causal_lm", "causal_lm", "nf4", precision="bf16", epochs=1)
    assert train(spec).manifest.losses[0] < 10


@pytest.mark.usefixtures("torchao")
def test_nf4_refuses_a_layer_that_is_no_whole_number_of_blocks() -> None:
    model = nn.Sequential(nn.Linear(10, 10))
    with pytest.raises(
        UsageError, match="nf4 takes 64 weights at a time, and a layer of the model has 100; choose int8"
    ):
        quantize(model, [model[0]], "nf4")
    assert isinstance(model[0], nn.Linear)
    assert model[0].weight.shape == (10, 10)


@pytest.mark.usefixtures("torchao")
def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(UsageError, match="no linear layer that could be quantised"):
        quantize(nn.Sequential(nn.Embedding(3, 4)), [], "int8")


def test_a_weight_that_others_use_is_left_alone() -> None:
    model = make_model("llama", "causal_lm")
    layers = base_layers(model, ())
    first, second = model.model.layers[0].mlp, model.model.layers[1].mlp
    second.up_proj.weight = first.up_proj.weight
    assert len(layers) == 14
    assert set(layers) - set(base_layers(model, ())) == {first.up_proj, second.up_proj}
    assert model.lm_head not in layers
    assert first.gate_proj not in base_layers(model, {"model.layers.0.mlp.gate_proj.weight"})


def test_without_torchao_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    spec = quantized_spec(tmp_path, "bert", "classifier", "classification", "int8")
    with pytest.raises(
        UsageError, match=r"lora\.quantization: needs the torchao package; pip install 'assay\[quantized\]'"
    ):
        train(spec)
    assert not spec.output.exists()


@pytest.mark.usefixtures("torchao")
def test_a_torchao_without_these_formats_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("torchao.quantization.to_nf4")
    with pytest.raises(UsageError, match=r"torchao \S+ is too old; pip install 'assay\[quantized\]'"):
        module.check_torchao()


def test_only_adapters_take_a_quantised_base(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="with mode head leave the lora section out"):
        quantized_spec(tmp_path, "bert", "classifier", "classification", "int8", mode="head")


def test_quantization_outside_of_the_lora_section_is_sent_there(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"of the base under adapters: lora: \{quantization: int8\}"):
        quantized_spec(tmp_path, "bert", "classifier", "classification", "int8", quantization="int8")


@pytest.mark.usefixtures("torchao")
def test_a_plan_measures_the_quantised_model_and_keeps_its_other_modes(tmp_path: Path) -> None:
    spec = quantized_spec(tmp_path, "bert", "classifier", "classification", "nf4", privacy={"epsilon": 8})
    plan = plan_training(spec)
    assert isinstance(plan, TrainPlan)
    counts = {each.mode: each.trained for each in plan.modes}
    assert counts["lora"] == plan.trained
    assert counts["full"] == plan.total
    assert not spec.output.exists()


def test_the_digest_of_an_ordinary_lora_training_stays(tmp_path: Path) -> None:
    """What is left open, and `none`, are the settings of a training from before there was this one."""
    write_rows(tmp_path / "train.jsonl", opinions(4, seed=0))
    digests = {
        how: TrainSpec.model_validate(
            {"base": "b", "task": "classification", "data": "d.csv", "output": "o", "lora": {"rank": 2, **how_given}}
        )
        for how, how_given in (("left", {}), ("none", {"quantization": "none"}), ("nf4", {"quantization": "nf4"}))
    }
    assert "quantization" not in digests["left"].canonical()["lora"]
    assert digests["left"].digest() == digests["none"].digest() != digests["nf4"].digest()
