"""Clipped sums of every kind of model equal a loop of one-sample backward passes, in float64."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import pytest
import torch

from privacy.clipping import BookKeepingEngine, ClippingEngine, ClippingError, OneSampleEngine
from tests.privacy.clipping_cases import (
    EVERY,
    REFUSED,
    add_lora,
    clear,
    flat_sum,
    language_head,
    make_batch,
    make_model,
    norm_of,
    one_sample_gradients,
    relative_error,
    run,
    take,
    trained,
)
from tests.tiny import KINDS

_EXACT = 1e-6
_ENGINES = {"book-keeping": BookKeepingEngine, "one-sample": OneSampleEngine}
_TIME_FIRST = {"xlnet"}
"""Kinds that work on positions first, samples second: book-keeping refuses them with adapters too."""


def _cells(refused: Container[str] = REFUSED, *, every: bool = False) -> list[tuple[str, str, str]]:
    """(engine, kind, head): one-sample with the language head only, where book-keeping does both; unless `every`."""
    return [
        (engine, kind, head)
        for kind, head in EVERY
        for engine in _ENGINES
        if (kind not in refused if engine == "book-keeping" else every or kind in refused or head != "classifier")
    ]


def _engine_for(model: Any, kind: str, bound: float) -> ClippingEngine:
    return _ENGINES["one-sample" if kind in REFUSED else "book-keeping"](model, max_grad_norm=bound)


def _check(engine: ClippingEngine, model: Any, batch: dict[str, torch.Tensor], head: str) -> None:
    """The sums of the checked first micro-batch, and of one after it that computes no parameter gradients."""
    gradients = one_sample_gradients(model, batch, head)
    expected = flat_sum(gradients, engine.max_grad_norm)
    for _ in range(2):
        clear(model)
        stats = run(engine, model, batch, head)
        assert relative_error(engine.summed_grads(), expected) <= _EXACT
        assert stats.norms.tolist() == pytest.approx([float(norm_of(one)) for one in gradients], rel=_EXACT)
        assert all(value.grad is None and value.requires_grad for value in trained(model).values())


def _bound_between(model: Any, batch: dict[str, torch.Tensor], head: str) -> float:
    """A clipping norm that clips some samples and leaves others."""
    norms = sorted(float(norm_of(one)) for one in one_sample_gradients(model, batch, head))
    return (norms[0] + norms[-1]) / 2


@pytest.mark.parametrize(("engine", "kind", "head"), _cells(every=True))
def test_full_training_with_padding(engine: str, kind: str, head: str) -> None:
    model = make_model(kind, head)
    batch = make_batch(model, head)
    _check(_ENGINES[engine](model, max_grad_norm=_bound_between(model, batch, head)), model, batch, head)


@pytest.mark.parametrize(("engine", "kind", "head"), [cell for cell in _cells() if cell[2] != "causal_lm"])
def test_one_position(engine: str, kind: str, head: str) -> None:
    model = make_model(kind, head)
    batch = make_batch(model, head, positions=1)
    _check(_ENGINES[engine](model, max_grad_norm=0.5), model, batch, head)


@pytest.mark.parametrize(("engine", "kind", "head"), _cells(_TIME_FIRST))
def test_lora(engine: str, kind: str, head: str) -> None:
    model = add_lora(make_model(kind, head), kind)
    batch = make_batch(model, head)
    _check(_ENGINES[engine](model, max_grad_norm=_bound_between(model, batch, head)), model, batch, head)


@pytest.mark.parametrize(("engine", "kind", "head"), _cells(_TIME_FIRST))
def test_frozen_bottom(engine: str, kind: str, head: str) -> None:
    model = make_model(kind, head)
    for name, value in model.named_parameters():
        value.requires_grad_(value.ndim == 1 and "encoder.LayerNorm" not in name and "_proj.bias" not in name)
    model.get_input_embeddings().weight.requires_grad_(False)
    batch = make_batch(model, head)
    _check(_ENGINES[engine](model, max_grad_norm=0.1), model, batch, head)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in REFUSED])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_head(kind: str, tied: bool) -> None:
    head = language_head(kind)
    model = make_model(kind, head, tie_word_embeddings=tied)  # on transformers 5 too, which unties some with weights
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == tied
    batch = make_batch(model, head)
    _check(BookKeepingEngine(model, max_grad_norm=0.5), model, batch, head)


@pytest.mark.parametrize(("name", "kind", "head"), _cells())
def test_empty_batch_adds_zero(name: str, kind: str, head: str) -> None:
    model = make_model(kind, head)
    batch = make_batch(model, head)
    engine = _ENGINES[name](model, max_grad_norm=0.5)
    stats = run(engine, model, take(batch, slice(0, 0)), head)
    assert stats.norms.shape == (0,)
    assert stats.clipped is None
    assert engine.summed_grads().keys() == trained(model).keys()
    assert all(value.count_nonzero() == 0 for value in engine.summed_grads().values())
    run(engine, model, batch, head)
    once = {name: value.clone() for name, value in engine.summed_grads().items()}
    run(engine, model, take(batch, slice(0, 0)), head)
    assert relative_error(engine.summed_grads(), once) == 0


@pytest.mark.parametrize(("kind", "head"), EVERY)
def test_micro_batches_add_up(kind: str, head: str) -> None:
    model = make_model(kind, head)
    batch = make_batch(model, head)
    engine = _engine_for(model, kind, 0.5)
    run(engine, model, take(batch, slice(0, 1)), head)
    run(engine, model, take(batch, slice(1, 3)), head)
    expected = flat_sum(one_sample_gradients(model, batch, head), 0.5)
    assert relative_error(engine.summed_grads(), expected) <= _EXACT


@pytest.mark.parametrize(("kind", "head"), EVERY)
def test_a_sample_does_not_touch_the_others(kind: str, head: str) -> None:
    model = make_model(kind, head)
    batch, other = make_batch(model, head, seed=1), make_batch(model, head, seed=2)
    changed = {name: torch.cat([value[:2], other[name][2:]]) for name, value in batch.items()}
    engine = _engine_for(model, kind, 0.5)
    sums, norms = [], []
    for given in (batch, changed):
        clear(model)
        norms.append(run(engine, model, given, head).norms)
        total = {name: value.clone() for name, value in engine.summed_grads().items()}
        clear(model)
        run(engine, model, take(given, slice(2, 3)), head)
        sums.append({name: value - engine.summed_grads()[name] for name, value in total.items()})
    assert norms[0][:2].tolist() == pytest.approx(norms[1][:2].tolist(), rel=_EXACT)
    assert norms[0][2] != pytest.approx(float(norms[1][2]), rel=1e-3)
    assert relative_error(sums[0], sums[1]) <= 3 * _EXACT


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_refused_kinds_name_the_module(kind: str) -> None:
    head = language_head(kind)
    model = make_model(kind, head)
    with pytest.raises(ClippingError, match=REFUSED[kind].replace(".", r"\.") + ".*one-sample engine"):
        run(BookKeepingEngine(model, max_grad_norm=1.0), model, make_batch(model, head), head)
