"""Runs a TextAttack recipe on one text at a time: what goes in, what comes out, and from which random numbers."""

from __future__ import annotations

import hashlib
import importlib
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.case import Case
from harness.errors import AssayError
from harness.probe import ProbeParams, ProbeRow, RowDict, error_row
from harness.scorer.api import Scorer, TextRequest
from suites.adversarial.textattack_env import load_textattack, nltk_stop_words, stop_words

Recipe = Callable[[Any, "Victim"], Any]
"""The `textattack` module and the victim to the attack (textattack.Attack)."""

_OUTCOMES = {
    "SuccessfulAttackResult": "succeeded",
    "FailedAttackResult": "failed",
    "SkippedAttackResult": "skipped",
}
_EVERY_QUERY = 1 << 20
"""The scorer forms the batches, so TextAttack hands over all it has."""


class AttackParams(ProbeParams):
    """Settings every attack shares."""

    seed: int = Field(default=0, description="with the case's id, seeds the random choices of its attack")
    query_budget: int | None = Field(default=None, ge=1, description="most queries per text; None as the recipe says")
    max_words: int | None = Field(default=None, ge=1, description="attack only the first words of each text; None all")


class AttackRow(ProbeRow):
    """One row per text.

    Scores are the true class's probabilities; words and their changes are TextAttack's, edit_distance counts characters
    (Levenshtein), queries are as TextAttack charges them, with the first look at the text. A skipped text (already
    misclassified) has no perturbed one; of a failed attack it is the best found. words_cut were left out before the
    attack (max_words), truncated counts tokens of the text that the model cannot read. stop_words were not attacked.
    """

    text: Series[str]
    perturbed_text: Series[str] = pa.Field(nullable=True)
    label: Series[int] = pa.Field(ge=0)
    predicted: Series[int] = pa.Field(ge=0)
    final_predicted: Series[pd.Int64Dtype] = pa.Field(ge=0, nullable=True)
    outcome: Series[str] = pa.Field(isin=list(_OUTCOMES.values()))
    queries: Series[int] = pa.Field(ge=1)
    budget_exhausted: Series[bool]
    score: Series[float] = pa.Field(ge=0, le=1)
    perturbed_score: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    words: Series[int] = pa.Field(ge=1)
    changed_words: Series[pd.Int64Dtype] = pa.Field(ge=0, nullable=True)
    changed_share: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    edit_distance: Series[pd.Int64Dtype] = pa.Field(ge=0, nullable=True)
    words_cut: Series[int] = pa.Field(ge=0)
    truncated: Series[int] = pa.Field(ge=0)
    seconds: Series[float] = pa.Field(ge=0)
    stop_words: Series[str]


class VictimError(Exception):
    """The victim gave no usable answer to a query."""


class Victim:
    """A scorer as TextAttack calls a model: texts in, float32 logits [texts, labels] out (a ModelWrapper)."""

    def __init__(self, scorer: Scorer) -> None:
        self.model = scorer
        """TextAttack looks up the class of this to warn of models it does not know."""

    def __call__(self, texts: Sequence[str]) -> Any:
        """A torch tensor. Raises VictimError."""
        import torch

        answers = self.model.classify([TextRequest(text) for text in texts])
        for text, answer in zip(texts, answers, strict=True):
            if answer.error is not None:
                raise VictimError(f"{answer.error}, asked for {text[:60]!r}")
        return torch.from_numpy(np.stack([answer.logits for answer in answers]).astype(np.float32))


def run_attacks(recipe: Recipe, params: AttackParams, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
    """One row per case, the same whatever the other cases. Raises UsageError without TextAttack."""
    textattack, chosen = load_textattack(), stop_words()
    with nltk_stop_words(chosen):
        attack = recipe(textattack, Victim(scorer))
    attack.goal_function.batch_size = _EVERY_QUERY
    if params.query_budget is not None:
        attack.goal_function.query_budget = params.query_budget
    for case in cases:
        try:
            row = _attacked(attack, params, scorer, case)
        except (AssayError, OSError):  # not the fault of a case: the audit has to stop
            raise
        except Exception as error:  # whatever breaks inside an attack leaves robustness unknown, not proven
            yield error_row(case, f"{type(error).__name__}: {error}")
        else:
            yield {"case_id": case.id, "status": "ok", "error": None, **row, "stop_words": chosen.name}


def case_seed(seed: int, case_id: str) -> int:
    """The 32-bit seed of one case's random choices."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{case_id}".encode()).digest()[:4], "big")


def first_words(text: str, most: int | None) -> tuple[str, int]:
    """The text up to the end of its `most`-th word (words stand between blanks), and how many words that cuts off."""
    words = list(re.finditer(r"\S+", text))
    if most is None or len(words) <= most:
        return text, 0
    return text[: words[most - 1].end()], len(words) - most


def _attacked(attack: Any, params: AttackParams, scorer: Scorer, case: Case) -> RowDict:
    """The measured columns of one attack."""
    text, label = case.data["text"], case.data["label"]
    attack.clear_cache()  # after a crash or a skip TextAttack leaves what belongs to another text
    start = time.perf_counter()
    with _seeded(case_seed(params.seed, case.id)):
        result = attack.attack(text, label)
    seconds = time.perf_counter() - start
    original, queries = result.original_result, int(result.num_queries)
    words = original.attacked_text.num_words
    if words == 0:
        raise ValueError("the text has no word to attack")
    outcome = _OUTCOMES[type(result).__name__]
    return {
        "text": text,
        "label": label,
        "predicted": int(original.output),
        "outcome": outcome,
        "queries": queries,
        "budget_exhausted": outcome == "failed" and queries >= attack.goal_function.query_budget,
        "score": float(original.raw_output[label]),
        "words": words,
        **({} if outcome == "skipped" else _perturbed(result, label)),
        "words_cut": case.data["words_cut"],
        "truncated": max(0, len(scorer.encode(text)) - scorer.max_tokens),
        "seconds": seconds,
    }


def _perturbed(result: Any, label: int) -> RowDict:
    """The columns a skipped text leaves empty."""
    first, last = result.original_result.attacked_text, result.perturbed_result.attacked_text
    changed = len(first.all_words_diff(last))
    return {
        "perturbed_text": last.text,
        "final_predicted": int(result.perturbed_result.output),
        "perturbed_score": float(result.perturbed_result.raw_output[label]),
        "changed_words": changed,
        "changed_share": changed / first.num_words,
        "edit_distance": importlib.import_module("editdistance").eval(first.text, last.text),
    }


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Python's and numpy's global generators, the ones TextAttack draws from, seeded; put back afterwards."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
