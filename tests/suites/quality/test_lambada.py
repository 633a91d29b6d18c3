from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd
import pytest

from harness.api.needs import Need
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import WrongDataError
from harness.scorer.hf import HFScorer
from suites.continuation import answer_request, lead_tokens
from suites.quality.lambada import Lambada
from tests.fakes import FakeScorer, by_key, made_up_logprob, make_info, plan, rows_of, values
from tests.scoring import all_logprobs, load, scorer

CAUSAL = make_info(Need.CAUSAL_LM, max_tokens=64)
PASSAGES = pd.DataFrame(
    {"text": ["she took the book and read the story", "the doctor said yes \n", "a bad, bad film."]}
)


def test_word_and_token_by_brute_force(tmp_path: Path) -> None:
    """A forward pass per passage, without the scorer: the word is all its tokens, the paper's is the last one."""
    loaded = load("gpt2", "causal_lm")
    probe, one = Lambada(), scorer("gpt2", "causal_lm")
    texts = pd.DataFrame({"text": ["she took the book and read the zebra", "the doctor said yes", "it was a film."]})
    rows = rows_of(probe, one, probe.cases(plan(one.info, passages=texts)), tmp_path)
    for text, row in zip(texts["text"], rows.to_dict("records"), strict=True):
        ids = tuple(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
        before = len(loaded.tokenizer(text[: text.rindex(" ")], add_special_tokens=False)["input_ids"])
        logprobs = all_logprobs(loaded.model, ids)
        own = [logprobs[at - 1, ids[at]] for at in range(before, len(ids))]
        likeliest = [int(logprobs[at - 1].argmax()) == ids[at] for at in range(before, len(ids))]
        assert row["tokens"] == len(own)
        assert row["nll"] == pytest.approx(-sum(own), abs=1e-4)
        assert row["last_nll"] == pytest.approx(-own[-1], abs=1e-4)
        assert (row["greedy"], row["last_greedy"]) == (all(likeliest), likeliest[-1])
    assert rows["word"].tolist() == ["zebra", "yes", "film."]
    assert rows["tokens"].tolist()[0] > 1  # a word of several tokens, where the two ways of counting differ
    found = values(probe.measure(rows))
    assert found["last_word_perplexity"] == pytest.approx(math.exp(rows["nll"].mean()))
    assert found["last_word_token_perplexity"] == pytest.approx(math.exp(rows["nll"].sum() / rows["tokens"].sum()))
    assert found["last_token_perplexity"] == pytest.approx(math.exp(rows["last_nll"].mean()))
    assert found["last_word_accuracy"] == rows["greedy"].mean()


def test_a_toy_whose_probabilities_are_known(tmp_path: Path) -> None:
    probe, fake = Lambada(), FakeScorer(CAUSAL)
    rows = rows_of(probe, fake, probe.cases(plan(CAUSAL, passages=PASSAGES)), tmp_path)
    for text, nll in zip(PASSAGES["text"], rows["nll"], strict=True):
        tokens = fake.encode(text)
        read = tuple(tokens[:-1])
        assert nll == -made_up_logprob(read, tokens[-1])  # the fake's tokenizer puts no start token before a text
    metrics = by_key(probe.measure(rows))
    assert "all tokens of the word" in metrics["last_word_accuracy", ""].note
    assert "the GPT-2 paper" in metrics["last_token_accuracy", ""].note
    assert metrics["last_word_accuracy", ""].n == 3


def test_a_passage_longer_than_the_model_reads_loses_its_beginning(tmp_path: Path) -> None:
    probe, fake = Lambada(), FakeScorer(make_info(Need.CAUSAL_LM, max_tokens=8))
    text = pd.DataFrame({"text": [" ".join(f"w{i}" for i in range(20)), "two words"]})
    rows = rows_of(probe, fake, probe.cases(plan(fake.info, passages=text)), tmp_path)
    assert (rows["status"] == "ok").all()
    assert rows["truncated"].tolist() == [11, 0]  # of 20 tokens 8 are read, and the last is only predicted
    assert rows["nll"].tolist()[0] == -made_up_logprob(fake.encode(text["text"][0])[11:19], fake.encode("w19")[0])
    assert values(probe.measure(rows))["truncated_rate"] == 0.5


def test_a_single_word_has_nothing_before_it() -> None:
    passages = pd.DataFrame({"text": ["fine here", "  lonely "]})
    with pytest.raises(WrongDataError, match=r"test\.csv: row 2 of those used is a single word.*leave the row out"):
        Lambada().cases(plan(CAUSAL, passages=passages))


@pytest.mark.data
def test_real_passages_are_asked_as_lm_eval_asks_them() -> None:
    """Its task's split at the last blank, and its `_encode_pair`, on the published file with a real tokenizer."""
    import gzip
    import json
    from types import SimpleNamespace
    from typing import Any, cast

    from lm_eval.api.model import TemplateLM

    data = Path(os.environ.get("ASSAY_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    file = data / "lambada" / "lambada_test.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no {file}; set ASSAY_TEST_DATA")
    with gzip.open(file, "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    info = inspect_checkpoint(CheckpointSource(source=str(data / "model_stories260k")))
    real = HFScorer(load_checkpoint(info, device="cpu", dtype="fp32"))
    probe = Lambada()
    cases = probe.cases(plan(info, passages=pd.DataFrame({"text": texts})))
    assert len(cases) == 5153
    pairs = [(case.data["passage"], case.data["word"]) for case in cases]
    theirs_split = [(text[: text.rindex(" ")].rstrip(), text[text.rindex(" ") :]) for text in texts]
    other = [(ours, theirs) for ours, theirs in zip(pairs, theirs_split, strict=True) if ours != theirs]
    assert len(other) == 6  # a line break stands before the last word, which a split at blanks takes for part of it
    assert all(ours[1].strip() == theirs[1].split()[-1] for ours, theirs in other)
    theirs = cast(Any, SimpleNamespace(backend="causal", tok_encode=lambda text: list(real.encode(text, special=True))))
    lead = lead_tokens(real)
    for passage, word in pairs[:200]:
        ours = answer_request(real, lead, passage, word, " ")
        assert (list(ours.context), list(ours.target)) == TemplateLM._encode_pair(theirs, passage, word)
    rows = pd.DataFrame(list(probe.run(real, cases[:100])))
    assert (rows["status"] == "ok").all()
    assert rows["last_greedy"].mean() >= rows["greedy"].mean()
