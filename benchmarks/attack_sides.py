"""One attack on the same texts four ways: TextAttack as it comes, the same without its padding, ours, the floor."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from harness.case import Case
from harness.checkpoint import LoadedCheckpoint
from harness.scorer.api import TextRequest
from harness.scorer.hf import HFScorer
from suites.adversarial.attack_result import OUTCOMES, attacked
from suites.adversarial.attacks import case_seed
from suites.adversarial.pooled.asking import handlers
from suites.adversarial.pooled.broker import Broker
from suites.adversarial.pooled.lean_goal import DIGITS
from suites.adversarial.pooled.make import Setup, make_attacks
from suites.adversarial.pooled.run import run_pool
from suites.adversarial.recipes.parts import Parts
from suites.adversarial.resources.finding import find
from suites.adversarial.textattack_env import load_textattack, nltk_stop_words, stop_words

FLOOR_BUDGETS = (1024, 2048, 4096)
"""Tokens per batch tried for the floor; the fastest is it."""

Outcome = tuple[str, int, str | None]
"""Outcome, queries and final text of one example."""


@dataclass(slots=True)
class Run:
    """One way's seconds and outcomes by case id, and what explains them."""

    seconds: float
    outcomes: dict[str, Outcome]
    stages: dict[str, float] = field(default_factory=dict)
    rows_per_call: float = 0.0
    padding: float = 1.0

    @property
    def queries(self) -> int:
        """Queries of all examples, as TextAttack counts them."""
        return sum(queries for _, queries, _ in self.outcomes.values())


class Recorder(HFScorer):
    """A scorer that keeps the texts it was asked."""

    asked: list[str]

    def classify(self, requests: Any) -> Any:
        """As HFScorer."""
        self.asked += [request.text for request in requests]
        return super().classify(requests)


def ours(
    setup: Setup, loaded: LoadedCheckpoint, encoder: Callable[[], Any], cases: Sequence[Case], workers: int = 0
) -> tuple[Run, list[str]]:
    """The pooled engine, and the distinct texts the victim was asked. Building is not timed."""
    scorer = Recorder(loaded)
    scorer.asked = []
    scorer.classify([TextRequest("warm up")])
    before, scorer.asked = scorer.counts, []
    encode = encoder()
    broker = Broker(handlers(scorer, lambda: encode))
    attacks = make_attacks(setup, min(64, len(cases))) if workers == 0 else []
    jobs = [(case, case_seed(0, case.id)) for case in cases]
    make = partial(make_attacks, setup) if workers else lambda _: attacks
    start = time.perf_counter()
    ended = list(run_pool(jobs, make, attacked, broker, concurrent=64, workers=workers))
    seconds = time.perf_counter() - start
    outcomes = {one.job.id: _CRASHED if one.result is None else _outcome(one.result) for one in ended}
    counts = scorer.counts
    stages = {"search": sum(one.clock.own for one in ended)}
    stages |= {name: found.seconds for name, found in broker.counts.items() if found.calls}
    rows = (counts.rows - before.rows) / max(1, counts.batches - before.batches)
    padding = (counts.padded_tokens - before.padded_tokens) / max(1, counts.tokens - before.tokens)
    return Run(seconds, outcomes, stages, rows, padding), scorer.asked


def textattacks(
    setup: Setup, loaded: LoadedCheckpoint, encoder: Callable[[], Any], cases: Sequence[Case], *, padded: bool
) -> Run:
    """TextAttack's own Attacker on stock components and its own model wrapper; `padded`: to 512 tokens, as it comes.

    Its scores are rounded as ours, the rule for ties.
    """
    textattack = load_textattack()
    wrapper = _wrapper(textattack, loaded, padded)
    parts = Parts(textattack=textattack, victim=wrapper, stop_words=stop_words(), encode=_timed(encoder(), wrapper))
    with nltk_stop_words(stop_words()):
        attack = setup.build(parts, setup.goal)
    if setup.query_budget is not None:
        attack.goal_function.query_budget = setup.query_budget
    exact = attack.goal_function._get_score
    attack.goal_function._get_score = lambda output, text: round(float(exact(output, text)), DIGITS)
    start = time.perf_counter()
    outcomes = {case.id: _attacker(textattack, attack, case) for case in cases}
    seconds = time.perf_counter() - start
    stages = {"search": seconds - sum(wrapper.stages.values()), **wrapper.stages}
    return Run(
        seconds,
        outcomes,
        stages,
        wrapper.rows / max(1, wrapper.calls),
        wrapper.tokenizer.padded / max(1, wrapper.tokenizer.real),
    )


def peer_encoder() -> Any:
    """The same encoder as sentence-transformers runs it for TextAttack: batches of 32, longest first."""
    from transformers import AutoModel, AutoTokenizer

    folder = str(find("sentence-encoder").path)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def encode(texts: Sequence[str]) -> Any:
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        vectors = torch.empty(len(texts), model.config.hidden_size)
        for start in range(0, len(order), 32):
            batch = order[start : start + 32]
            inputs = tokenizer([texts[at] for at in batch], padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                states = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            vectors[batch] = (states * mask).sum(1) / mask.sum(1)
        return vectors.numpy()

    return encode


def floor(loaded: LoadedCheckpoint, texts: Sequence[str]) -> float:
    """Seconds of the bare model on the distinct texts, in batches of one exact length, tokenised beforehand."""
    encoded = loaded.tokenizer(list(dict.fromkeys(texts)), truncation=True, max_length=loaded.info.max_tokens)
    by_length: dict[int, list[list[int]]] = defaultdict(list)
    for ids in encoded["input_ids"]:
        by_length[len(ids)].append(ids)

    def run(budget: int) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            for length, rows in by_length.items():
                size = max(1, budget // length)
                for at in range(0, len(rows), size):
                    loaded.model(input_ids=torch.tensor(rows[at : at + size]))
        return time.perf_counter() - start

    return min(run(budget) for budget in FLOOR_BUDGETS)


_CRASHED: Outcome = ("error", 0, None)


def _outcome(row: dict[str, Any]) -> Outcome:
    return row["outcome"], row["queries"], row.get("perturbed_text", row["text"])


def _attacker(textattack: Any, attack: Any, case: Case) -> Outcome:
    one = textattack.datasets.Dataset([(case.data["text"], case.data["label"])])
    seed = case_seed(0, case.id)
    settings = textattack.AttackArgs(num_examples=1, random_seed=seed, disable_stdout=True, silent=True)
    try:
        (result,) = textattack.Attacker(attack, one, settings).attack_dataset()
    except Exception:  # what breaks an attack of ours must break TextAttack's too
        return _CRASHED
    text = result.perturbed_result.attacked_text.text
    return OUTCOMES[type(result).__name__], int(result.num_queries), text


def _timed(encode: Any, wrapper: Any) -> Any:
    def timed(texts: list[str]) -> Any:
        start = time.perf_counter()
        vectors = encode(texts)
        wrapper.stages["encoder"] = wrapper.stages.get("encoder", 0.0) + time.perf_counter() - start
        return vectors

    return timed


def _wrapper(textattack: Any, loaded: LoadedCheckpoint, padded: bool) -> Any:
    """TextAttack's own HuggingFaceModelWrapper, timed, with a tokenizer that may leave out the padding to 512."""

    class Wrapper(textattack.models.wrappers.HuggingFaceModelWrapper):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(loaded.model, loaded.tokenizer)
            self.tokenizer = _Tokenizer(loaded.tokenizer, padded)
            self.stages = {"classify": 0.0}
            self.calls = self.rows = 0

        def __call__(self, texts: Any) -> Any:
            start = time.perf_counter()
            logits = super().__call__(texts)
            self.stages["classify"] += time.perf_counter() - start
            self.calls += 1
            self.rows += len(texts)
            return logits

    return Wrapper()


class _Tokenizer:
    """A tokenizer that counts its padding, and pads to the longest text only unless told otherwise."""

    def __init__(self, tokenizer: Any, padded: bool) -> None:
        self._tokenizer = tokenizer
        self._options = {} if padded else {"padding": True}
        self.real = self.padded = 0

    def __call__(self, texts: Any, **options: Any) -> Any:
        encoded = self._tokenizer(texts, **{**options, **self._options})
        self.real += int(encoded["attention_mask"].sum())
        self.padded += encoded["attention_mask"].numel()
        return encoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def same(left: Run, right: Run) -> int:
    """Examples of both runs that ended with another outcome, number of queries or text."""
    shared = left.outcomes.keys() & right.outcomes.keys()
    return sum(left.outcomes[key] != right.outcomes[key] for key in shared)


def subset(run: Run, seconds: float, cases: Sequence[Case]) -> Run:
    """The part of a run that concerns some cases."""
    return Run(seconds, {case.id: run.outcomes[case.id] for case in cases})
