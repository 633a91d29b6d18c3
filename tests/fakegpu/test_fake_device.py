"""The fake device itself: what CUDA refuses it refuses, what CUDA allows it allows, and what stalls is counted."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from tests.fakegpu import Counts, fake_cuda


@pytest.fixture
def counts() -> Iterator[Counts]:
    with fake_cuda() as counted:
        yield counted


def there(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, device="cuda")


PLACES = torch.zeros(4, 1, dtype=torch.long)
TWO_DEVICES = {
    "sum": lambda: there(4, 2) + torch.ones(4, 2),
    "cat": lambda: torch.cat([there(4, 2), torch.ones(4, 2)]),
    "gather": lambda: there(4, 2).gather(1, PLACES),
    "scatter": lambda: there(4, 2).scatter(1, PLACES.to("cuda"), torch.ones(4, 1)),
    "index_select": lambda: there(4, 2).index_select(0, torch.tensor([0])),
    "embedding": lambda: functional.embedding(PLACES, there(5, 3)),
    "linear": lambda: functional.linear(torch.ones(2, 3), there(4, 3)),
    "labels": lambda: functional.cross_entropy(there(4, 2), PLACES[:, 0]),
    "mask": lambda: there(4, 2).masked_fill(torch.ones(4, 2).bool(), 0.0),
    "where": lambda: torch.where(torch.ones(4, 2).bool(), there(4, 2), there(4, 2)),
    "cpu indexed from cuda": lambda: torch.ones(4, 2)[torch.tensor([0, 1], device="cuda")],
    "in place": lambda: torch.ones(4, 2).add_(there(4, 2)),
}


@pytest.mark.parametrize("name", TWO_DEVICES)
def test_two_devices_are_refused(counts: Counts, name: str) -> None:
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cpu"):
        TWO_DEVICES[name]()


@pytest.mark.parametrize("convert", [lambda x: x.numpy(), np.asarray, lambda x: np.array(x)])
def test_numpy_is_refused(counts: Counts, convert: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        convert(there(3))


def test_a_generator_of_the_cpu_is_refused_until_there_is_one_for_cuda(counts: Counts) -> None:
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.rand(3, device="cuda", generator=torch.Generator())
    assert torch.rand(3, device="cuda", generator=torch.Generator("cuda")).is_cuda


def test_what_cuda_allows_is_allowed(counts: Counts) -> None:
    x = there(4, 2)
    assert (x + torch.tensor(1.0)).device == torch.device("cuda:0")
    assert x[torch.tensor([0, 1])].is_cuda
    x[0] = torch.zeros(2)
    assert x.cpu().tolist()[:2] == [[0.0, 0.0], [1.0, 1.0]]
    assert torch.zeros_like(x).is_cuda
    assert x.new_tensor([1.0]).is_cuda


WAITS: dict[str, tuple[Callable[[torch.Tensor], Any], tuple[int, int]]] = {
    "item": (lambda x: x.sum().item(), (1, 0)),
    "float": (lambda x: float(x.sum()), (1, 0)),
    "bool": (lambda x: bool((x > 0).any()), (1, 0)),
    "nonzero": (lambda x: x.nonzero(), (1, 0)),
    "mask as index": (lambda x: x[x > 0], (1, 0)),
    "equal": (lambda x: torch.equal(x, x), (1, 0)),
    "cpu": (lambda x: x.cpu(), (0, 1)),
    "to": (lambda x: x.to("cpu"), (0, 1)),
    "copy_": (lambda x: torch.zeros(4, 2).copy_(x), (0, 1)),
    "tolist": (lambda x: x.tolist(), (0, 1)),
    "nothing": (lambda x: (x @ x.T).softmax(-1).sum(), (0, 0)),
    "where": (lambda x: torch.where(x > 0, x, 0), (0, 0)),
    "masked_fill": (lambda x: x.masked_fill(x > 0, 0), (0, 0)),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_the_host_waits_for_is_counted(counts: Counts, name: str) -> None:
    work, expected = WAITS[name]
    x = there(4, 2)
    before = counts.copy()
    work(x)
    found = counts.since(before)
    assert (found.reads, found.to_host) == expected
    assert found.waits == sum(expected)
    assert found.ops > 0


def test_copies_to_the_device_are_counted(counts: Counts) -> None:
    torch.ones(3).to("cuda")
    there(3).copy_(torch.zeros(3))
    assert counts.to_device == 2


def test_a_thread_sees_the_device_too(counts: Counts) -> None:
    found: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.ones(2, device="cuda") * 2))
    thread.start()
    thread.join()
    assert found[0].is_cuda
    assert found[0].tolist() == [2.0, 2.0]


def test_training_gives_the_numbers_of_the_cpu() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))
    x, y = torch.randn(6, 4), torch.randint(0, 3, (6,))

    def train(model: nn.Module, device: str) -> list[torch.Tensor]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        for _ in range(3):
            functional.cross_entropy(model(x.to(device)), y.to(device)).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
        return [value.detach().cpu() for value in model.parameters()]

    want = train(copy.deepcopy(model), "cpu")
    with fake_cuda():
        got = train(copy.deepcopy(model).to("cuda"), "cuda")
    torch.testing.assert_close(got, want, rtol=0, atol=1e-7)


def test_tied_weights_stay_tied_and_generation_is_equal() -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_positions=32, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
    model = GPT2LMHeadModel(config).eval()
    prompt = torch.tensor([[5, 6, 7], [8, 9, 10]])
    more = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 2}
    want = model.generate(prompt, attention_mask=torch.ones_like(prompt), **more)
    with fake_cuda():
        there_ = copy.deepcopy(model).to("cuda")
        assert there_.lm_head.weight is there_.transformer.wte.weight
        ids = prompt.to("cuda")
        got = there_.generate(ids, attention_mask=torch.ones_like(ids), **more)
        assert got.tolist() == want.tolist()
        with pytest.raises(RuntimeError, match="two devices"):
            there_(prompt)


def test_nothing_is_left_of_it() -> None:
    before = torch.cuda.is_available(), torch.Generator, torch.inference_mode, threading.Thread.run, torch.Tensor.to
    with pytest.raises(RuntimeError, match="two devices"), fake_cuda():
        torch.cat([torch.ones(1, device="cuda"), torch.ones(1)])
    after = torch.cuda.is_available(), torch.Generator, torch.inference_mode, threading.Thread.run, torch.Tensor.to
    assert after == before
    with torch.inference_mode():
        assert torch.ones(1).is_inference()
