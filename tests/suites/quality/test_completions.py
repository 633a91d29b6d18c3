"""Log-probabilities of completions, against the model asked directly."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from harness.checkpoint import LoadedCheckpoint
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError
from harness.scorer.hf import HFScorer
from suites.quality.completions import CompletionQuality, Completions, CompletionsParams
from tests.fakes import by_key, plan, rows_of
from tests.scoring import load
from tests.tiny import make_tokenizer

CHATML = (
    "{% for message in messages %}<{{ message.role }}>\n{{ message.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
DATA = pd.DataFrame(
    {
        "prompt": ["the film was", "Q: who was it?\n", "a story"],
        "completion": [" good", "the man and the woman", " that she did not like at all"],
    }
)


def expected(loaded: LoadedCheckpoint, start: str, whole: str) -> tuple[float, int]:
    """Nats and tokens of what `whole` has beyond `start`, by one forward pass of the model."""
    tokenizer, model = loaded.tokenizer, loaded.model
    given = len(tokenizer(start, add_special_tokens=False)["input_ids"])
    ids = torch.tensor([tokenizer(whole, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        logprobs = model(ids).logits[0].double().log_softmax(-1)
    own = [float(logprobs[at - 1, ids[0, at]]) for at in range(given, ids.shape[1])]
    return -sum(own), len(own)


def test_the_completion_alone_is_scored_after_its_prompt(tmp_path: Path) -> None:
    loaded = load("gpt2", "causal_lm")
    scorer, probe = HFScorer(loaded), CompletionQuality()
    rows = rows_of(probe, scorer, probe.cases(plan(scorer.info, completions=DATA)), tmp_path)
    for row, prompt, completion in zip(rows.to_dict("records"), DATA["prompt"], DATA["completion"], strict=True):
        nats, tokens = expected(loaded, prompt, prompt + completion)
        assert row["nll"] == pytest.approx(nats, abs=1e-4)
        assert (row["tokens"], row["bytes"]) == (tokens, len(completion.encode()))
    found = by_key(probe.measure(rows))
    assert found["token_perplexity", ""].value == pytest.approx(math.exp(rows["nll"].sum() / rows["tokens"].sum()))
    assert found["byte_perplexity", ""].value == pytest.approx(math.exp(rows["nll"].sum() / rows["bytes"].sum()))


def test_a_chat_goes_through_the_template_and_its_turn_ends(tmp_path: Path) -> None:
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = CHATML
    loaded = replace(load("gpt2", "causal_lm"), tokenizer=tokenizer)
    scorer, probe = HFScorer(loaded), CompletionQuality(CompletionsParams(chat=True))
    rows = rows_of(probe, scorer, probe.cases(plan(scorer.info, completions=DATA)), tmp_path)
    for row, prompt, completion in zip(rows.to_dict("records"), DATA["prompt"], DATA["completion"], strict=True):
        start = f"<user>\n{prompt}</s>\n<assistant>\n"
        nats, tokens = expected(loaded, start, f"{start}{completion}</s>\n")
        assert (row["nll"], row["tokens"]) == (pytest.approx(nats, abs=1e-4), tokens)
    assert "by the chat template" in probe.measure(rows)[0].note


def test_a_template_that_answers_otherwise_than_it_asks_is_an_error(tmp_path: Path) -> None:
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = "{% if add_generation_prompt %}ask{% else %}told{% endif %}"
    scorer = HFScorer(replace(load("gpt2", "causal_lm"), tokenizer=tokenizer))
    probe = CompletionQuality(CompletionsParams(chat=True))
    rows = rows_of(probe, scorer, probe.cases(plan(scorer.info, completions=DATA)), tmp_path)
    assert set(rows["status"]) == {"error"}
    assert "otherwise than one that is to be answered" in rows["error"][0]
    assert probe.measure(rows)[0].value is None


def test_a_long_prompt_loses_its_beginning_and_a_long_completion_is_an_error(tmp_path: Path) -> None:
    scorer = HFScorer(load("gpt2", "causal_lm"))
    most = scorer.max_tokens
    data = pd.DataFrame({"prompt": ["the " * 2 * most, "the"], "completion": ["film", " film" * 2 * most]})
    probe = CompletionQuality()
    rows = rows_of(probe, scorer, probe.cases(plan(scorer.info, completions=data)), tmp_path)
    assert rows["status"].tolist() == ["ok", "error"]
    assert rows["truncated"][0] > most / 2


@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_an_empty_side_is_refused_with_its_row(column: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    DATA.assign(**{column: ["x", " ", "y"]}).to_json(path, orient="records", lines=True)
    with pytest.raises(DataError, match=f"row 2, column '{column}': is empty"):
        load_dataset(DataSource(source=str(path)), Completions)
