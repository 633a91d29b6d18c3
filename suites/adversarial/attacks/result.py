"""Runs one attack on one case; its result as the columns of a row."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from typing import Any

from harness.api.case import Case
from harness.api.probe import RowDict
from suites.adversarial.pooled.lean_text import lean_text_class
from suites.adversarial.resources.textattack_env import load_textattack

OUTCOMES = {
    "SuccessfulAttackResult": "succeeded",
    "FailedAttackResult": "failed",
    "SkippedAttackResult": "skipped",
    "MaximizedAttackResult": "maximised",
}


class NothingToAttackError(ValueError):
    """A text without a word; the message stands in its row as it is."""


def attacked(attack: Any, case: Case) -> RowDict:
    """The columns that the attack decides. Raises whatever breaks in it, NothingToAttackError without a word."""
    label, text = case.data["label"], attacked_text(case)
    if text.num_words == 0:
        raise NothingToAttackError("the text has no word to attack")
    attack.clear_cache()  # after a crash or a skip TextAttack leaves what belongs to another text
    result = attack.attack(text, label)
    first, queries = result.original_result, int(result.num_queries)
    outcome = OUTCOMES[type(result).__name__]
    return {
        "text": case.data["text"],
        "pair": case.data.get("pair"),
        "label": label,
        "predicted": int(first.output),
        "outcome": outcome,
        "queries": queries,
        "budget_exhausted": outcome == "failed" and queries >= attack.goal_function.query_budget,
        "score": float(first.raw_output[label]),
        "words": first.attacked_text.num_words,
        **({} if outcome == "skipped" else _perturbed(result, label)),
        "words_cut": case.data["words_cut"],
        "stop_words": attack.stop_words,
    }


def attacked_text(case: Case) -> Any:
    """The case as TextAttack's text; recipes that spare the premise know a pair by these names."""
    text, pair = case.data["text"], case.data.get("pair")
    lean = lean_text_class(load_textattack())
    return lean(text if pair is None else OrderedDict([("premise", text), ("hypothesis", pair)]))


def _perturbed(result: Any, label: int) -> RowDict:
    """The columns a skipped text leaves empty."""
    first, last = result.original_result.attacked_text, result.perturbed_result.attacked_text
    inputs = last.tokenizer_input
    text, pair = (inputs, None) if isinstance(inputs, str) else inputs
    changed = changed_words(first, last)
    return {
        "perturbed_text": text,
        "perturbed_pair": pair,
        "final_predicted": int(result.perturbed_result.output),
        "perturbed_score": float(result.perturbed_result.raw_output[label]),
        "changed_words": changed,
        "changed_share": changed / first.num_words,
        "edit_distance": importlib.import_module("editdistance").eval(first.text, last.text),
    }


def changed_words(first: Any, last: Any) -> int:
    """Words that differ place by place, as TextAttack counts; edits of words where the numbers of words differ."""
    if first.num_words == last.num_words:
        return len(first.all_words_diff(last))
    return int(importlib.import_module("editdistance").eval(first.words, last.words))
