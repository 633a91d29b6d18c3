from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from pydantic import ValidationError

from harness.api.needs import Need
from harness.api.scorer import TokenRequest
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from suites.quality.perplexity import Perplexity, PerplexityParams
from suites.quality.windows import Windows, score_causal, score_masked
from suites.words import first_words
from tests.fakes import CLS, MASK, SEP, START, FakeScorer, by_key, made_up_logprob, make_info, plan, rows_of, values
from tests.scoring import load, scorer

ROOT = Path(__file__).parents[3]
CAUSAL = make_info(Need.CAUSAL_LM, max_tokens=8)
MASKED = make_info(Need.MASKED_LM, max_tokens=8)
TEXTS = pd.DataFrame({"text": ["a bb  ccc", "dé\na", "one two three four five six seven eight nine ten eleven twelve"]})


class Spy(FakeScorer):
    """Remembers what a causal LM was asked."""

    asked: tuple[TokenRequest, ...] = ()

    def token_logprobs(self, requests: Any) -> Any:
        self.asked = tuple(requests)
        return super().token_logprobs(requests)


class Mute(FakeScorer):
    """Makes no token of anything."""

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        return ()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 12, 13, 40])
@pytest.mark.parametrize(("context", "stride"), [(8, 8), (8, 4), (8, 1), (2, 1), (7, 3)])
def test_causal_windows_are_those_of_lm_eval(n: int, context: int, stride: int) -> None:
    spy = Spy(CAUSAL)
    text = " ".join(f"w{i}" for i in range(n))
    score_causal(spy, [text], Windows(context, stride))
    tokens = list(spy.encode(text))
    theirs = [
        make_disjoint_window(window)
        for window in get_rolling_token_windows(tokens, START, context, context - stride + 1)
    ]
    assert [(list(mine.context), list(mine.target)) for mine in spy.asked] == [(list(a), list(b)) for a, b in theirs]
    assert [token for mine in spy.asked for token in mine.target] == tokens


def test_causal_metrics_by_brute_force(tmp_path: Path) -> None:
    probe = Perplexity(PerplexityParams(context=8, stride=3))
    fake = FakeScorer(CAUSAL)
    rows = rows_of(probe, fake, probe.cases(plan(CAUSAL, texts=TEXTS)), tmp_path)
    nll = 0.0
    for text in TEXTS["text"]:
        read = (START, *fake.encode(text))
        for i in range(1, len(read)):
            end = i if i <= 8 else min(8 + 3 * math.ceil((i - 8) / 3), len(read) - 1)  # of the window that scores it
            nll -= made_up_logprob(read[max(0, end - 8) : i], read[i])
    found = values(probe.measure(rows))
    words, size = 3 + 2 + 12, sum(len(text.encode()) for text in TEXTS["text"])
    assert found["token_perplexity"] == pytest.approx(math.exp(nll / 17))
    assert found["word_perplexity"] == pytest.approx(math.exp(nll / words))
    assert found["byte_perplexity"] == pytest.approx(math.exp(nll / size))
    assert found["bits_per_byte"] == pytest.approx(math.log2(math.exp(nll / size)))
    assert list(rows["windows"]) == [1, 1, 3]
    assert list(rows["bytes"]) == [9, 5, 62]


def test_pseudo_perplexity_by_brute_force(tmp_path: Path) -> None:
    probe = Perplexity(PerplexityParams(context=8, stride=2))  # six tokens between [CLS] and [SEP]
    fake = FakeScorer(MASKED)
    rows = rows_of(probe, fake, probe.cases(plan(MASKED, texts=TEXTS)), tmp_path)
    nll = 0.0
    for text in TEXTS["text"]:
        tokens = fake.encode(text, special=False)
        for i in range(len(tokens)):
            end = min(6, len(tokens)) if i < 6 else 6 + 2 * ((i - 6) // 2 + 1)
            window = [CLS, *tokens[max(0, end - 6) : end], SEP]
            window[i - max(0, end - 6) + 1] = MASK
            nll -= made_up_logprob(tuple(window), tokens[i])
    found = values(probe.measure(rows))
    assert set(found) == {"pseudo_perplexity", "pseudo_bits_per_byte"}
    assert found["pseudo_perplexity"] == pytest.approx(math.exp(nll / 17))
    assert found["pseudo_bits_per_byte"] == pytest.approx(nll / math.log(2) / rows["bytes"].sum())
    assert list(rows["windows"]) == [1, 1, 4]


def test_windows_are_said_in_rows_and_notes(tmp_path: Path) -> None:
    probe = Perplexity(PerplexityParams(context=8, stride=3))
    rows = rows_of(probe, FakeScorer(CAUSAL), probe.cases(plan(CAUSAL, texts=TEXTS)), tmp_path)
    assert set(zip(rows["context"], rows["stride"], strict=True)) == {(8, 3)}
    for metric in probe.measure(rows):
        assert metric.note.startswith("windows of 8 tokens, stride 3")
    older = rows.drop(columns=["context", "stride"])
    assert values(probe.measure(older)) == values(probe.measure(rows))
    assert "windows" not in by_key(probe.measure(older))["bits_per_byte", ""].note
    masked = FakeScorer(MASKED)
    pseudo = rows_of(probe, masked, probe.cases(plan(MASKED, texts=TEXTS)), tmp_path / "masked")
    note = by_key(probe.measure(pseudo))["pseudo_perplexity", ""].note
    assert note.startswith("pseudo: every token is predicted from both sides")
    assert "windows of 8 tokens, stride 3" in note


def test_bits_per_byte_count_the_bytes_of_utf_8(tmp_path: Path) -> None:
    """A bit a token, four tokens: 4 bits over 2 + 4 + 9 + 4 bytes and 3 blanks, whatever the characters."""
    probe, texts = Perplexity(), pd.DataFrame({"text": ["\u00e9 \u00df\u00fc \u6f22\u5b57\u4eee \U0001f600"]})
    fake = FakeScorer(CAUSAL, logprob=lambda read, token: -math.log(2))
    rows = rows_of(probe, fake, probe.cases(plan(CAUSAL, texts=texts)), tmp_path)
    assert rows["bytes"].tolist() == [2 + 4 + 9 + 4 + 3]
    assert values(probe.measure(rows))["bits_per_byte"] == pytest.approx(4 / 22)
    assert values(probe.measure(rows))["byte_perplexity"] == pytest.approx(2 ** (4 / 22))


@pytest.mark.parametrize(("kind", "head"), [("gpt2", "causal_lm"), ("bert", "masked_lm")])
def test_bits_per_byte_of_real_tokenizers_are_over_the_bytes_of_the_text(kind: str, head: str, tmp_path: Path) -> None:
    """A byte-level tokenizer splits a character into several tokens; the bytes are the text's all the same."""
    text = "na\u00efve caf\u00e9 \u2014 \u6771\u4eac \U0001f600 film"
    probe, one = Perplexity(), scorer(kind, head)
    rows = rows_of(probe, one, probe.cases(plan(one.info, texts=pd.DataFrame({"text": [text]}))), tmp_path)
    key = "bits_per_byte" if head == "causal_lm" else "pseudo_bits_per_byte"
    bits = rows["nll"][0] / math.log(2)
    assert values(probe.measure(rows))[key] == pytest.approx(bits / len(text.encode("utf-8")))
    assert len(text.encode("utf-8")) == len(text) + 1 + 1 + 2 + 2 * 2 + 3


def test_a_window_without_room_for_a_token_is_refused() -> None:
    probe = Perplexity(PerplexityParams(context=2))
    cases = probe.cases(plan(MASKED, texts=TEXTS))
    with pytest.raises(UsageError, match=r"context 2 leaves no room beside the 2 special tokens.*give 3 or more"):
        list(probe.run(FakeScorer(MASKED), cases))


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(tmp_path: Path) -> None:
    probe = Perplexity()
    uniform = FakeScorer(CAUSAL, logprob=lambda read, token: -math.log(50))
    metric = by_key(probe.measure(rows_of(probe, uniform, probe.cases(plan(CAUSAL, texts=TEXTS)), tmp_path)))
    token = metric["token_perplexity", ""]
    assert token.value == pytest.approx(50)
    assert token.low is not None
    assert token.low < 50
    assert (token.n, token.interval) == (3, "Dirichlet bootstrap, tail extrapolated, 10000 draws")
    assert token.high is None  # three texts say nothing of rare ones


def test_the_interval_is_over_documents() -> None:
    probe = Perplexity()
    frame = pd.DataFrame(
        {
            "case_id": ["a", "b"],
            "status": "ok",
            "error": None,
            "kind": "causal",
            "tokens": [10, 1000],
            "words": [5, 500],
            "bytes": [50, 5000],
            "nll": [10 * math.log(100), 1000 * math.log(2)],
            "windows": 1,
        }
    )
    metric = by_key(probe.measure(frame))["token_perplexity", ""]
    assert metric.value == pytest.approx(2 * 50 ** (10 / 1010))
    assert metric.low is not None
    assert metric.low < 2
    assert metric.n == 2


def test_enough_documents_have_both_ends() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(50, 200, 400)
    frame = pd.DataFrame(
        {"kind": "causal", "status": "ok", "tokens": tokens, "words": tokens, "bytes": 5 * tokens}
    ).assign(nll=tokens * rng.normal(3, 0.4, 400))
    metric = by_key(Perplexity().measure(frame))["token_perplexity", ""]
    half = 1.96 * 0.4 / 20
    assert metric.low == pytest.approx(math.exp(3 - half), rel=0.04)
    assert metric.high == pytest.approx(math.exp(3 + half), rel=0.04)


def test_missing_texts_are_counted_and_reasons_given(tmp_path: Path) -> None:
    probe = Perplexity()
    texts = pd.DataFrame({"text": ["fine here", "broken here"]})
    rows = rows_of(probe, FakeScorer(CAUSAL), probe.cases(plan(CAUSAL, texts=texts)), tmp_path)
    assert list(rows["error"].fillna("")) == ["", "non-finite logits"]
    metric = by_key(probe.measure(rows))["bits_per_byte", ""]
    assert (metric.n, metric.missing, metric.high) == (1, 1, None)
    for nothing, missing in ((rows[rows["status"] == "error"], 1), (rows[:0], 0)):
        found = by_key(probe.measure(nothing))
        assert {key for key, _ in found} == set(Perplexity().named())
        assert {(m.value, m.n, m.missing) for m in found.values()} == {(None, 0, missing)}


def test_a_perplexity_beyond_floats_is_missing_while_its_bits_are_not(tmp_path: Path) -> None:
    probe = Perplexity()
    awful = FakeScorer(CAUSAL, logprob=lambda read, token: -1000.0)
    found = by_key(probe.measure(rows_of(probe, awful, probe.cases(plan(CAUSAL, texts=TEXTS)), tmp_path)))
    assert found["token_perplexity", ""].value is None
    assert "not a finite number" in found["token_perplexity", ""].note
    assert found["bits_per_byte", ""].value == pytest.approx(1000 * 17 / math.log(2) / 76)


def test_a_text_of_no_token_is_an_error_row() -> None:
    probe = Perplexity()
    (row,) = probe.run(Mute(CAUSAL), probe.cases(plan(CAUSAL, texts=TEXTS[:1])))
    assert (row["status"], row["error"]) == ("error", "the tokenizer makes no token of this text")


@pytest.mark.parametrize(
    ("words", "kept"), [(None, " a  b\nc "), (1, " a"), (2, " a  b"), (3, " a  b\nc"), (9, " a  b\nc ")]
)
def test_texts_are_cut_between_words_with_their_spacing(words: int | None, kept: str) -> None:
    assert first_words(" a  b\nc ", words)[0] == kept


def test_a_masked_lm_reads_the_first_words_only_unless_told() -> None:
    long = pd.DataFrame({"text": [" ".join(["word"] * 300)]})
    default = Perplexity().cases(plan(MASKED, texts=long))
    assert len(default[0].data["text"].split()) == 128
    assert len(Perplexity().cases(plan(CAUSAL, texts=long))[0].data["text"].split()) == 300
    told = Perplexity(PerplexityParams(max_words=200)).cases(plan(MASKED, texts=long))
    assert len(told[0].data["text"].split()) == 200


def test_windows_that_do_not_fit_are_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="context 9 is more than the 8 tokens"):
        Perplexity(PerplexityParams(context=9)).cases(plan(CAUSAL, texts=TEXTS))
    with pytest.raises(UsageError, match="stride 9 is larger than the context of 8"):
        Perplexity(PerplexityParams(stride=9)).cases(plan(CAUSAL, texts=TEXTS))
    with pytest.raises(ValidationError, match="stride 5 is larger than context 4"):
        PerplexityParams(context=4, stride=5)
    assert PerplexityParams().windows(4096) == Windows(1024, 512)
    assert PerplexityParams().windows(512) == Windows(512, 256)


def test_cost_grows_with_overlap_and_with_masking() -> None:
    text = pd.DataFrame({"text": ["x" * 400]})
    once = Perplexity(PerplexityParams(context=8, stride=8)).cost(Perplexity().cases(plan(CAUSAL, texts=text)))
    twice = Perplexity(PerplexityParams(context=8, stride=4)).cost(Perplexity().cases(plan(CAUSAL, texts=text)))
    masked = Perplexity(PerplexityParams(context=8)).cost(Perplexity().cases(plan(MASKED, texts=text)))
    assert (once, twice, masked) == (101, 8 + 93 * 2, 101 * 8)


LONG = "the man and the woman went to see a film and they loved the story of the young doctor " * 20


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_tiny_causal_checkpoint_agrees_with_a_window_by_window_forward_pass(kind: str) -> None:
    import torch

    loaded = load(kind, "causal_lm")
    (windows,) = score_causal(scorer(kind, "causal_lm"), [LONG], Windows(64, 32))
    tokens = loaded.tokenizer(LONG, add_special_tokens=False)["input_ids"]
    total = 0.0
    for read, target in get_rolling_token_windows(tokens, loaded.tokenizer.bos_token_id, 64, 33):
        with torch.no_grad():
            logprobs = loaded.model(torch.tensor([read])).logits[0].log_softmax(-1)
        total += sum(float(logprobs[i - len(target), token]) for i, token in enumerate(target))
    assert sum(len(window.logprobs) for window in windows) == len(tokens)
    assert sum(window.logprobs.sum() for window in windows) == pytest.approx(total, abs=1e-2)
    assert total / len(tokens) < -1


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_tiny_masked_checkpoint_agrees_with_a_token_by_token_forward_pass(kind: str) -> None:
    import torch

    loaded = load(kind, "masked_lm")
    text = LONG[:300]
    (windows,) = score_masked(scorer(kind, "masked_lm"), [text], Windows(128, 64))
    ids = loaded.tokenizer(text, return_tensors="pt")["input_ids"]
    expected = []
    for position in range(1, ids.shape[1] - 1):
        masked = ids.clone()
        masked[0, position] = loaded.tokenizer.mask_token_id
        with torch.no_grad():
            expected.append(float(loaded.model(masked).logits[0, position].log_softmax(-1)[ids[0, position]]))
    assert np.concatenate([window.logprobs for window in windows]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.data
def test_a_real_model_finds_a_story_likelier_than_its_words_in_another_order(tmp_path: Path) -> None:
    folder = Path(os.environ.get("ASSAY_TEST_DATA", ROOT.parent / "shared" / "data")) / "model_stories260k"
    if not folder.is_dir():
        pytest.skip(f"no {folder}; set ASSAY_TEST_DATA")
    info = inspect_checkpoint(CheckpointSource(source=str(folder)))
    real = HFScorer(load_checkpoint(info, device="cpu", dtype="fp32"))
    story = (
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
        "One day, she saw a big red ball. She wanted to play with the ball, but it was too high."
    )
    shuffled = " ".join(np.random.default_rng(0).permutation(story.split()))
    probe = Perplexity()
    cases = probe.cases(plan(info, texts=pd.DataFrame({"text": [story, shuffled]})))
    rows = rows_of(probe, real, cases, tmp_path)
    per_word = rows["nll"] / rows["words"]
    assert per_word[0] < 3 < 5 < per_word[1]
