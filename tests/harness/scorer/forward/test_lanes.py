import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.api.scorer import EmbedRequest, MaskedRequest, TextRequest, TokenRequest
from harness.scorer.forward import engine
from harness.scorer.forward.batching import TokenBudget, run_batches
from harness.scorer.forward.lanes import Lanes, keeps_no_state, lanes_for
from harness.scorer.forward.memory import is_out_of_memory
from harness.scorer.forward.positions import NeededPositions
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, load, random_ids

LENGTHS = [3, 9, 4, 9, 1, 2, 7, 5, 5, 6]


def never(_error: RuntimeError) -> bool:
    return False


def test_a_lane_computes_with_one_thread_and_leaves_the_callers_alone() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        lanes = Lanes(2)
        met = threading.Barrier(2)

        def threads() -> tuple[int, int]:
            met.wait(timeout=60)  # both lanes have to be there
            torch.ones(300, 300) @ torch.ones(300, 300)
            return torch.get_num_threads(), threading.get_ident()

        found = [future.result() for future in [lanes.start(threads) for _ in range(2)]]
        assert [count for count, _ in found] == [1, 1]
        assert len({ident for _, ident in found} | {threading.get_ident()}) == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)


def test_a_lane_keeps_gradients_as_the_caller_does() -> None:
    def modes() -> tuple[bool, bool]:
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    for lanes in (Lanes(1), Lanes(2)):
        assert lanes.start(modes).result() == (False, True)
        with torch.no_grad():
            assert lanes.start(modes).result() == (False, False)
        with torch.inference_mode():
            assert lanes.start(modes).result() == (True, False)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("tokens", [1, 9, 18, 1000])
def test_every_row_runs_once_longest_first_whatever_the_lanes(count: int, tokens: int) -> None:
    done = list(run_batches(LENGTHS, TokenBudget(tokens), sum, never, lanes=Lanes(count)))
    flat = [row for batch, _ in done for row in batch]
    assert sorted(flat) == list(range(len(LENGTHS)))
    assert [LENGTHS[row] for row in flat] == sorted(LENGTHS, reverse=True)
    assert all(result == sum(batch) for batch, result in done)
    assert all(len(batch) == 1 or len(batch) * LENGTHS[batch[0]] <= tokens for batch, _ in done)


def test_work_is_cut_so_that_all_lanes_have_as_much_to_do() -> None:
    batches = [batch for batch, _ in run_batches([4] * 12, TokenBudget(40), len, never, lanes=Lanes(4))]
    assert [len(batch) for batch in batches] == [3, 3, 3, 3]
    assert [len(batch) for batch, _ in run_batches([4] * 12, TokenBudget(40), len, never)] == [10, 2]


def test_batches_that_do_not_fit_side_by_side_are_halved_and_nothing_is_lost() -> None:
    budget = TokenBudget(64)

    def work(batch: list[int]) -> int:
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return len(batch)

    done = list(run_batches([8] * 16, budget, work, is_out_of_memory, lanes=Lanes(2)))
    assert sorted(row for batch, _ in done for row in batch) == list(range(16))
    assert {result for _, result in done} == {2}
    assert budget.tokens == 16


def test_an_error_ends_the_work_after_what_runs_beside_it() -> None:
    beside = threading.Event()
    ended = []

    def work(batch: list[int]) -> int:
        if batch == [0]:
            beside.wait(timeout=60)
            raise RuntimeError("shape mismatch")
        beside.set()
        ended.append(batch)
        return 0

    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(run_batches([2, 1], TokenBudget(1), work, never, lanes=Lanes(2)))
    assert ended == [[1]]


def model(**config: Any) -> Any:
    return SimpleNamespace(config=SimpleNamespace(**config))


@pytest.mark.parametrize(
    ("config", "alone"),
    [
        ({}, False),
        ({"rope_scaling": None}, False),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, False),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, False),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, True),
        ({"rope_scaling": {"rope_type": "longrope"}}, True),
        ({"rope_parameters": {"full": {"rope_type": "dynamic"}}}, True),
        ({"output_hidden_states": True}, True),
        ({"output_attentions": True}, True),
    ],
)
def test_a_model_whose_forward_pass_changes_it_runs_alone(config: dict[str, Any], alone: bool) -> None:
    assert keeps_no_state(model(**config)) is not alone
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert lanes_for(model(**config), "cpu") == (1 if alone else 2)
        assert lanes_for(model(**config), "cuda:0") == 1
    finally:
        torch.set_num_threads(usual)


WORDS = ["the", "man", "said", "she", "was", "a", "good", "young", "doctor", "and", "i", "loved", "it"]
TEXTS = [" ".join(WORDS[start:end]) for start in range(9) for end in range(start + 1, 13)]


def everything(scorer: HFScorer) -> list[Any]:
    """All that a checkpoint can be asked on several lanes, as one list of arrays."""
    offers = {str(need) for need in scorer.info.offers}
    found: list[Any] = [answer.vector for answer in scorer.ask([EmbedRequest(text) for text in TEXTS])]
    if "masked LM" in offers:
        asked = [MaskedRequest(ids, tuple(range(1, len(ids) - 1))) for ids in map(scorer.encode, TEXTS)]
        found += [scores.logprobs for scores in scorer.ask(asked)]
    if "causal LM" in offers:
        pairs = [TokenRequest(ids[:1], ids[1:]) for ids in map(scorer.encode, TEXTS) if len(ids) > 1]
        found += [scores.logprobs for scores in scorer.ask(pairs)]
    if "sequence classifier" in offers:
        found += [scores.logits for scores in scorer.ask([TextRequest(text) for text in TEXTS])]
    return found


@pytest.mark.parametrize(
    ("kind", "head"), [("bert", "masked_lm"), ("opt", "causal_lm"), ("llama", "causal_lm"), ("bert", "classifier")]
)
def test_answers_are_the_same_on_several_lanes(kind: str, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = everything(HFScorer(load(kind, head), token_budget=64))
    monkeypatch.setattr(engine, "worth_a_lane", lambda _: 1)
    monkeypatch.setattr(engine, "lanes_for", lambda *_: 3)
    together = everything(HFScorer(load(kind, head), token_budget=64))
    assert len(together) == len(alone) > len(TEXTS)
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=ATOL)


def test_the_head_of_one_thread_leaves_the_trunk_of_another_alone() -> None:
    model = load("gpt2", "causal_lm").model
    trunk = NeededPositions(model, model.config.vocab_size)._trunk
    assert trunk is not None
    ids = torch.tensor([random_ids(9, 0, model.config.vocab_size)])
    expected = trunk.run({"input_ids": ids}).last_hidden_state
    during = []

    def between(*_: Any) -> None:  # called inside the head
        during.append(trunk.run({"input_ids": ids}).last_hidden_state)

    model.lm_head.register_forward_pre_hook(between)
    trunk.head(torch.zeros(3, model.config.hidden_size))
    assert torch.equal(during[0], expected)
