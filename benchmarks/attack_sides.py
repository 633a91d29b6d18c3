"""One attack on the same texts four ways: TextAttack as it comes, the same without its padding, ours, the floor."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.api.case import Case
from harness.api.scorer import Scorer, TextRequest
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.scorer.forward.lanes import ONE_LANE, Lanes
from harness.scorer.hf import HFScorer
from suites.adversarial.attacks.result import OUTCOMES, attacked
from suites.adversarial.cases import case_seed
from suites.adversarial.pooled.asking import handlers
from suites.adversarial.pooled.broker import Broker
from suites.adversarial.pooled.lean_goal import DIGITS
from suites.adversarial.pooled.make import Setup, make_attacks
from suites.adversarial.pooled.run import run_pool
from suites.adversarial.recipes.parts import Parts
from suites.adversarial.resources.finding import find
from suites.adversarial.resources.textattack_env import load_textattack, nltk_stop_words, stop_words

VICTIM = Path("checkpoints") / "imdb-minilm"
"""The sentiment classifier that `make audit` trains."""
FLOOR_BUDGETS = (1024, 2048, 4096, 16384)
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


@dataclass(slots=True)
class Asked:
    """Distinct texts that models were asked, and when (perf_counter) the victim was asked first."""

    victim: list[str] = field(default_factory=list)
    encoder: list[str] = field(default_factory=list)
    first: float | None = None


def loaded_from(folder: Path) -> LoadedCheckpoint:
    """A checkpoint in float32."""
    return load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), dtype="fp32")


class Recorder(HFScorer):
    """A scorer that keeps the texts it was asked."""

    asked: Asked

    def ask(self, requests: Any) -> Any:
        """As HFScorer."""
        if self.asked.first is None:
            self.asked.first = time.perf_counter()
        self.asked.victim += [request.text for request in requests]
        return super().ask(requests)


def ours(
    setup: Setup,
    loaded: LoadedCheckpoint,
    encoder: Callable[[], Any],
    cases: Sequence[Case],
    workers: int = 0,
    masked_lm: Scorer | None = None,
) -> tuple[Run, Asked]:
    """The pooled engine, and what the models were asked. Building is not timed, worker processes' start is.

    `masked_lm` answers what the setup's is asked.
    """
    scorer = Recorder(loaded)
    scorer.asked = Asked()
    scorer.ask([TextRequest("warm up")] * 4)
    before, scorer.asked = scorer.counts, Asked()
    stock_encode = encoder()

    def encode(texts: list[str]) -> Any:
        scorer.asked.encoder += texts
        return stock_encode(texts)

    broker = Broker(handlers(scorer, lambda: encode, masked_lm))
    attacks = make_attacks(setup, min(64, len(cases))) if workers == 0 else []
    jobs = [(case, case_seed(0, case.id)) for case in cases]
    make = partial(make_attacks, setup) if workers else lambda _: attacks
    start = time.perf_counter()
    ended = list(run_pool(jobs, make, attacked, broker, concurrent=64, workers=workers, ahead=loaded.device != "cpu"))
    seconds = time.perf_counter() - start
    outcomes = {one.job.id: _CRASHED if one.result is None else _outcome(one.result) for one in ended}
    counts = scorer.counts
    stages = {"before the first query": (scorer.asked.first or start) - start}
    stages |= {"search": sum(one.clock.own for one in ended)}
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
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval().to(device)

    def encode(texts: Sequence[str]) -> Any:
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        vectors = torch.empty(len(texts), model.config.hidden_size)
        for start in range(0, len(order), 32):
            batch = order[start : start + 32]
            inputs = tokenizer([texts[at] for at in batch], padding=True, truncation=True, return_tensors="pt").to(
                device
            )
            with torch.inference_mode():
                states = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            vectors[batch] = ((states * mask).sum(1) / mask.sum(1)).cpu()
        return vectors.numpy()

    return encode


def floor(loaded: LoadedCheckpoint, texts: Sequence[str]) -> float:
    """Seconds of the bare model on the distinct texts, in batches of one exact length, tokenised beforehand.

    The fastest of some batch sizes, and on a CPU of all threads on one batch and of a batch for each.
    """
    if not texts:
        return 0.0
    encoded = loaded.tokenizer(list(dict.fromkeys(texts)), truncation=True, max_length=loaded.info.max_tokens)
    by_length: dict[int, list[list[int]]] = defaultdict(list)
    for ids in encoded["input_ids"]:
        by_length[len(ids)].append(ids)
    ways = [ONE_LANE, Lanes(torch.get_num_threads())] if loaded.device == "cpu" else [ONE_LANE]
    return min(_bare(loaded, by_length, budget, lanes) for budget in FLOOR_BUDGETS for lanes in ways)


def _bare(loaded: LoadedCheckpoint, by_length: Mapping[int, list[list[int]]], budget: int, lanes: Lanes) -> float:
    def forward(rows: list[list[int]]) -> Any:
        return loaded.model(input_ids=torch.tensor(rows, device=loaded.device))

    start = time.perf_counter()
    with torch.inference_mode():
        size = {length: max(1, budget // length) for length in by_length}
        batches = [
            rows[at : at + size[length]]
            for length, rows in by_length.items()
            for at in range(0, len(rows), size[length])
        ]
        for future in [lanes.start(partial(forward, batch)) for batch in batches]:
            future.result()
    if loaded.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


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
