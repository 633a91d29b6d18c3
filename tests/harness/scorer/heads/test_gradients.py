from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.scorer import GradientRequest, InputGradient, InputRequest, Loss, TextRequest
from harness.checkpoint import LoadedCheckpoint
from harness.errors import UsageError
from harness.scorer.heads.gradients import InputGradients, losses_of
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, Array, limit_memory, load, scorer
from tests.tiny import KINDS, MAX_TOKENS

TEXTS = [
    TextRequest("the film was good"),
    TextRequest("i hated the very bad plot and the awful acting and most of all the boring music"),
    TextRequest("a"),
    TextRequest("is it ?", "he was a doctor and she was a nurse and they were happy"),
]
SEGMENTED = {"bert", "albert", "electra", "xlnet"}


def asked() -> list[GradientRequest]:
    """Every text with every loss and class."""
    return [GradientRequest(text, label, loss) for text in TEXTS for loss in Loss for label in (0, 1)]


def precise(loaded: LoadedCheckpoint) -> LoadedCheckpoint:
    """A copy that computes in float64."""
    return replace(loaded, model=deepcopy(loaded.model).double())


def by_autograd(loaded: LoadedCheckpoint, request: GradientRequest) -> tuple[float, Array]:
    """Loss and gradient of one unpadded text, by the plainest autograd there is: through one-hot tokens."""
    model = loaded.model
    assert isinstance(request.input, TextRequest)
    encoded = loaded.tokenizer(request.input.text, request.input.pair, return_tensors="pt")
    if model.config.model_type not in SEGMENTED:
        encoded.pop("token_type_ids", None)
    layer = model.get_input_embeddings()
    one_hot = torch.nn.functional.one_hot(encoded["input_ids"][0], layer.num_embeddings).double().requires_grad_()
    table = layer(torch.arange(layer.num_embeddings)).detach()  # with the layer's own scaling, where it has one
    layer.forward = lambda ids: (one_hot @ table).view(*ids.shape, -1)
    logits = model(**encoded).logits[0]
    del layer.forward
    p = logits.softmax(0)
    loss = {
        Loss.LOGIT: logits[request.label],
        Loss.OF_CLASS: -p[request.label].log(),
        Loss.OF_OTHERS: -(p.sum() - p[request.label]).log(),
    }[request.loss]
    (by_token,) = torch.autograd.grad(loss, one_hot)
    return loss.item(), by_token.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_autograd_one_at_a_time_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "classifier")
    reference = precise(loaded)
    expected = [by_autograd(reference, request) for request in asked()]
    for budget in (1, 10_000):
        one = HFScorer(loaded, token_budget=budget)
        table = one.input_embeddings()
        for found, request, (loss, by_token) in zip(one.ask(asked()), asked(), expected, strict=True):
            assert found.error is None
            assert found.gradient.dtype == np.float32
            assert found.gradient.shape == (len(found.input.tokens), table.shape[1])
            np.testing.assert_allclose(found.loss, loss, atol=ATOL)
            scale = np.abs(by_token).max()
            np.testing.assert_allclose(found.gradient @ table.T, by_token, atol=ATOL * max(1, scale), rtol=0)
            assert request.loss is not Loss.LOGIT or scale > 100 * ATOL


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2", "llama"])
def test_gradients_equal_finite_differences(kind: str) -> None:
    """A step along a random direction at one token changes the loss by gradient times step."""
    loaded = load(kind, "classifier")
    one, reference = HFScorer(loaded), precise(loaded)
    rng = np.random.default_rng(0)
    for number, found in enumerate(one.ask([GradientRequest(text, 1) for text in TEXTS])):
        place = int(rng.integers(len(found.input.tokens)))
        direction = rng.normal(size=found.gradient.shape[1])
        losses = [moved(reference, TEXTS[number], place, step * direction) for step in (-1e-4, 1e-4)]
        assert (losses[1] - losses[0]) / 2e-4 == pytest.approx(found.gradient[place] @ direction, rel=1e-3, abs=1e-5)


def moved(loaded: LoadedCheckpoint, request: TextRequest, place: int, by: Any) -> float:
    """-log p(class 1) when the embedding at `place` is moved."""
    encoded = loaded.tokenizer(request.text, request.pair, return_tensors="pt")
    if loaded.model.config.model_type not in SEGMENTED:
        encoded.pop("token_type_ids", None)

    def shift(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        output[0, place] += torch.tensor(by)
        return output

    handle = loaded.model.get_input_embeddings().register_forward_hook(shift)
    with torch.no_grad():
        loss = -float(loaded.model(**encoded).logits[0].log_softmax(0)[1])
    handle.remove()
    return loss


@pytest.mark.parametrize("kind", ["bert", "gpt2", "xlnet"])
def test_a_row_does_not_feel_its_batch_and_positions_pick_its_tokens(kind: str) -> None:
    one = scorer(kind, "classifier")
    requests = [GradientRequest(text, 0) for text in TEXTS]
    together = one.ask(requests)
    for request, found in zip(requests, together, strict=True):
        (alone,) = one.ask([request])
        np.testing.assert_allclose(found.gradient, alone.gradient, atol=1e-5)
    picked = one.ask([GradientRequest(text, 0, positions=(2, 0)) for text in TEXTS[:2]])
    for some, every in zip(picked, together, strict=False):
        np.testing.assert_allclose(some.gradient, every.gradient[[2, 0]], atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    loaded = load("bert", "classifier")
    loaded.model.classifier.bias.requires_grad_(False)
    before = {name: (weight.clone(), weight.requires_grad) for name, weight in loaded.model.named_parameters()}
    one = HFScorer(loaded)
    logits = one.ask(TEXTS)
    one.ask(asked())
    assert not loaded.model.training
    assert not loaded.model.get_input_embeddings()._forward_hooks
    for name, weight in loaded.model.named_parameters():
        assert weight.grad is None
        assert torch.equal(weight, before[name][0])
        assert weight.requires_grad is before[name][1]
    for now, then in zip(one.ask(TEXTS), logits, strict=True):
        np.testing.assert_array_equal(now.logits, then.logits)


def test_gradients_work_inside_code_that_keeps_none() -> None:
    one = scorer("bert", "classifier")
    (expected,) = one.ask([GradientRequest(TEXTS[0], 0)])
    with torch.inference_mode():
        (found,) = one.ask([GradientRequest(TEXTS[0], 0)])
    np.testing.assert_array_equal(found.gradient, expected.gradient)


def test_work_is_counted() -> None:
    one = scorer("bert", "classifier", token_budget=10_000)
    one.ask([GradientRequest(TextRequest("the man"), 0), GradientRequest(TextRequest("she"), 0)])
    counts = one.counts_of(InputGradients.kind)
    assert (counts.rows, counts.tokens, counts.padded_tokens, counts.batches) == (2, 7, 8, 1)


# --- tokens in place of texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_give_what_their_text_gives(kind: str) -> None:
    one = scorer(kind, "classifier", max_tokens=12)
    inputs = one.inputs_of(TEXTS)
    assert [found.truncated > 0 for found in inputs] == [False, True, False, True]
    assert max(len(found.tokens) for found in inputs) == 12
    for by_tokens, by_text in zip(one.ask(inputs), one.ask(TEXTS), strict=True):
        np.testing.assert_allclose(by_tokens.logits, by_text.logits, atol=ATOL)
        assert by_tokens.truncated == by_text.truncated
    by_tokens_, by_text_ = (one.ask([GradientRequest(given, 0) for given in asked]) for asked in (inputs, TEXTS))
    for left, right in zip(by_tokens_, by_text_, strict=True):
        assert left.input == right.input
        np.testing.assert_allclose(left.gradient, right.gradient, atol=ATOL)


def test_tokens_the_model_cannot_read_are_an_error_of_that_answer_alone() -> None:
    one = scorer("bert", "classifier")
    wrong = [
        InputRequest(()),
        InputRequest((2, 999_999, 3)),
        InputRequest((2,) * (MAX_TOKENS + 1)),
        InputRequest((2, 10, 3), (0, 0)),
        InputRequest((2, 10, 3), (0, 0, 7)),
    ]
    good = InputRequest((2, 10, 3))
    expected = [
        "there is no token to read",
        "token 999999 is outside the model's vocabulary of 287",
        "129 tokens are more than the 128 the model reads at once",
        "2 segment ids for 3 tokens",
        "a segment id is outside the model's 2",
        None,
    ]
    assert [answer.error for answer in one.ask([*wrong, good])] == expected
    found = one.ask([GradientRequest(given, 0) for given in [*wrong, good]])
    assert [answer.error for answer in found] == expected
    assert found[-1].input == InputRequest((2, 10, 3), (0, 0, 0))


# --- what cannot be answered -----------------------------------------------------------------------------------------


def test_embeddings_are_what_the_model_reads_scaling_included() -> None:
    loaded = load("bert", "classifier")
    plain = HFScorer(loaded).input_embeddings()
    layer = loaded.model.get_input_embeddings()
    np.testing.assert_array_equal(plain, layer.weight.detach().numpy())

    class Scaled(torch.nn.Embedding):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return super().forward(ids) * 3

    layer.__class__ = Scaled
    np.testing.assert_allclose(HFScorer(loaded).input_embeddings(), 3 * plain)


def test_a_checkpoint_that_is_no_classifier_is_refused() -> None:
    one = scorer("bert", "masked_lm")
    assert one.why_no_gradients is not None
    for call in (one.input_embeddings, lambda: one.ask([GradientRequest(TEXTS[0], 0)])):
        with pytest.raises(UsageError, match=r"^input_gradients needs a sequence classifier; .*tiny-bert offers"):
            call()


def test_quantised_weights_are_refused() -> None:
    marked, packed = load("bert", "classifier"), load("distilbert", "classifier")
    marked.model.is_quantized = True
    linear = torch.nn.Linear(2, 2)
    linear.weight = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)
    packed.model.add_module("packed", linear)
    for loaded in (marked, packed):
        with pytest.raises(UsageError, match=r"tiny-\w*bert: its weights are quantised, so no gradient passes; audit"):
            HFScorer(loaded).ask([GradientRequest(TEXTS[0], 0)])


def test_embeddings_of_another_kind_are_refused() -> None:
    loaded = load("bert", "classifier")

    class Table(torch.nn.Module):
        def __init__(self, inner: torch.nn.Embedding) -> None:
            super().__init__()
            self.inner, self.num_embeddings, self.weight = inner, inner.num_embeddings, inner.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.inner(ids))

    loaded.model.set_input_embeddings(Table(loaded.model.get_input_embeddings()))
    one = HFScorer(loaded)
    assert one.ask([TEXTS[0]])[0].error is None
    with pytest.raises(UsageError, match=r"its input embeddings are a Table, not a torch\.nn\.Embedding"):
        one.input_embeddings()


@pytest.mark.parametrize("broken", ["cut", "twice"])
def test_a_model_through_which_no_gradient_passes_is_refused(broken: str) -> None:
    loaded = load("bert", "classifier")
    layer = loaded.model.get_input_embeddings()
    if broken == "cut":
        loaded.model.classifier.register_forward_pre_hook(lambda _module, args: (args[0].detach(),))
        loaded.model.classifier.requires_grad_(False)
    else:
        loaded.model.classifier.register_forward_pre_hook(lambda *_: (layer(torch.tensor([0])), None)[1])
    why = HFScorer(loaded).why_no_gradients
    assert why is not None
    assert "no gradient reaches its input embeddings (" in why
    assert ("is read 2 times, not once" in why) is (broken == "twice")


def test_what_is_not_there_cannot_be_asked_for() -> None:
    one = scorer("bert", "classifier")
    with pytest.raises(UsageError, match="for class 2 was asked for; the model has 2 classes"):
        one.ask([GradientRequest(TEXTS[0], 2)])
    with pytest.raises(UsageError, match="at position 6 was asked for; the input has 6"):
        one.ask([GradientRequest(TEXTS[0], 0, positions=(6,))])


def test_non_finite_numbers_are_an_error_of_that_answer_alone() -> None:
    loaded = load("bert", "classifier")
    poison = loaded.tokenizer.convert_tokens_to_ids("doctor")
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[poison] = float("nan")
    bad, good = HFScorer(loaded).ask(
        [GradientRequest(TextRequest("a doctor"), 0), GradientRequest(TextRequest("a nurse"), 0)]
    )
    assert bad.error == "non-finite logits"
    assert good.error is None


def test_out_of_memory_halves_and_a_row_too_big_is_an_error() -> None:
    small = limit_memory(load("bert", "classifier"), 40, torch.OutOfMemoryError("CUDA out of memory"))
    one = HFScorer(small, token_budget=8000)
    requests = [GradientRequest(TextRequest("the man was happy"), 0)] * 20
    *fine, big = one.ask([*requests, GradientRequest(TextRequest("good " * 50), 0)])
    (expected,) = scorer("bert", "classifier").ask(requests[:1])
    assert big.error == "out of memory on cpu for a single row of 52 tokens"
    assert one.counts_of(InputGradients.kind).halvings > 0
    for answer in fine:
        np.testing.assert_allclose(answer.gradient, expected.gradient, atol=1e-5)
    assert all(weight.requires_grad for weight in small.model.parameters())


def test_half_precision_gives_roughly_the_same() -> None:
    full, half = (
        HFScorer(load("bert", "classifier", dtype=dtype)).ask([GradientRequest(TEXTS[1], 0)])[0]
        for dtype in ("fp32", "bf16")
    )
    assert half.gradient.dtype == np.float32
    assert np.abs(half.gradient - full.gradient).max() < 0.1 * np.abs(full.gradient).max()


@pytest.mark.parametrize("classes", [2, 4])
def test_losses_are_those_of_the_softmax(classes: int) -> None:
    logits = torch.randn(6, classes, generator=torch.Generator().manual_seed(0), dtype=torch.double) * 3
    labels = torch.arange(6) % classes
    kinds = list(Loss) * 2
    p = logits.softmax(1)
    for row, (found, kind) in enumerate(zip(losses_of(logits, labels, kinds), kinds, strict=True)):
        own = p[row, labels[row]]
        expected = {Loss.LOGIT: logits[row, labels[row]], Loss.OF_CLASS: -own.log(), Loss.OF_OTHERS: -(1 - own).log()}
        assert found.item() == pytest.approx(expected[kind].item())


def test_the_loss_of_others_is_finite_where_one_less_p_is_not() -> None:
    logits = torch.tensor([[60.0, 0.0]], dtype=torch.float32)
    assert losses_of(logits, torch.tensor([0]), [Loss.OF_OTHERS]).item() == pytest.approx(60.0)


def test_answers_are_typed_as_the_interface_says() -> None:
    (found,) = scorer("llama", "classifier").ask([GradientRequest(TEXTS[0], 1)])
    assert isinstance(found, InputGradient)
    assert found.logits.shape == (2,)
