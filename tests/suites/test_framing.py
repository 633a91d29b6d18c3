"""A text that begins with the start token gets no second one, and the first is not scored.

It was: lm-evaluation-harness#3333 (a doubled BOS), and a perplexity of 3.08 instead of 1.70.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.needs import Need
from harness.api.scorer import MaskedRequest, TokenRequest, TokenScores
from harness.scorer.hf import HFScorer
from suites.bias import crows_scores
from suites.continuation import answer_request, lead_tokens
from suites.framing import causal_frame, masked_frame, opening, openings
from suites.memorization.extraction.probe import Extraction, ExtractionParams
from suites.quality.perplexity import Perplexity
from suites.quality.windows import Windows, score_causal, score_masked
from tests.fakes import CLS, SEP, START, FakeScorer, make_info, plan, rows_of, values
from tests.scoring import ATOL, all_logprobs, scorer

STARTS = {"gpt2": "<|endoftext|>", "llama": "<s>", "gemma": "<bos>", "opt": "</s>"}
BODY = " the film was good and the plot was boring"
WINDOWS = Windows(64, 32)


class Spy(FakeScorer):
    """Remembers what it was asked."""

    asked: Sequence[TokenRequest] = ()

    def token_logprobs(self, requests: Sequence[TokenRequest]) -> list[TokenScores]:
        self.asked = requests
        return super().token_logprobs(requests)


def nats(one: HFScorer, text: str) -> float:
    (windows,) = score_causal(one, [text], WINDOWS)
    return -float(sum(scores.logprobs.sum() for scores in windows))


@pytest.mark.parametrize("kind", sorted(STARTS))
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_leading_start_token_is_context(kind: str, times: int) -> None:
    """However many there are, the model reads one; the reference is transformers on the tokens of the text."""
    one = scorer(kind, "causal_lm")
    tokenizer, model = one._engine.tokenizer, one._engine.model
    text = times * STARTS[kind] + BODY
    ids = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])[times - 1 :]
    assert ids[0] == one.start_token
    assert ids[1] != one.start_token
    table = all_logprobs(model, ids)
    expected = -sum(table[at - 1, ids[at]] for at in range(1, len(ids)))
    assert nats(one, text) == pytest.approx(expected, abs=ATOL * len(ids))
    assert nats(one, text) == pytest.approx(nats(one, BODY), abs=ATOL * len(ids))


def test_a_start_token_inside_a_text_is_text() -> None:
    one = scorer("llama", "causal_lm")
    framed = causal_frame(one, f"<s>{BODY}<s>{BODY}")
    assert framed.tokens.count(one.start_token) == 1
    assert framed.whole.count(one.start_token) == 2
    assert causal_frame(one, BODY).brought is False


@pytest.mark.parametrize("kind", sorted(STARTS))
def test_every_number_of_perplexity_is_that_of_the_plain_text(kind: str, tmp_path: Path) -> None:
    info = make_info(Need.CAUSAL_LM, max_tokens=128)
    one, probe = scorer(kind, "causal_lm"), Perplexity()
    found = []
    for number, start in enumerate(("", STARTS[kind], 2 * STARTS[kind])):
        frame = pd.DataFrame({"text": [start + BODY, f"{start} a man"]})
        found.append(
            values(probe.measure(rows_of(probe, one, probe.cases(plan(info, texts=frame)), tmp_path / str(number))))
        )
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_only_a_start_token_is_a_text_without_tokens(tmp_path: Path) -> None:
    info = make_info(Need.CAUSAL_LM, max_tokens=128)
    probe = Perplexity()
    frame = pd.DataFrame({"text": ["<s><s>"]})
    rows = rows_of(probe, scorer("llama", "causal_lm"), probe.cases(plan(info, texts=frame)), tmp_path)
    assert list(rows["error"]) == ["the tokenizer makes no token of this text"]


@pytest.mark.parametrize(
    "text", ["[CLS] the film was good", "the film was good [SEP]", "[CLS] the film was good [SEP]"]
)
def test_a_masked_model_reads_its_own_ends_once(text: str, tmp_path: Path) -> None:
    one, plain = scorer("bert", "masked_lm"), "the film was good"
    framed = masked_frame(one, text)
    assert framed.whole == one.encode(plain)
    assert framed.text == plain
    both = score_masked(one, [text, plain], WINDOWS)
    assert np.array_equal(both[0][0].logprobs, both[1][0].logprobs)
    (expected,) = one.ask([MaskedRequest(one.encode(plain), (1, 2, 3, 4))])
    np.testing.assert_allclose(both[0][0].logprobs, expected.logprobs, atol=ATOL)
    info = make_info(Need.MASKED_LM, max_tokens=128)
    probe = Perplexity()
    rows = [
        rows_of(probe, one, probe.cases(plan(info, texts=pd.DataFrame({"text": [each]}))), tmp_path / str(number))
        for number, each in enumerate((text, plain))
    ]
    assert rows[0].drop(columns="case_id").equals(rows[1].drop(columns="case_id"))


def test_a_masked_token_of_the_text_is_no_frame() -> None:
    one = scorer("bert", "masked_lm")
    mask = one._engine.tokenizer.mask_token_id
    assert masked_frame(one, "[MASK] the film [MASK]").tokens.count(mask) == 2


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_crows_pairs_of_a_causal_model(kind: str) -> None:
    one = scorer(kind, "causal_lm")
    plain = (" the man was a doctor", " the woman was a doctor", "stereo")
    brought = (STARTS[kind] + plain[0], STARTS[kind] + plain[1], "stereo")
    mixed = (STARTS[kind] + plain[0], plain[1], "stereo")
    first, *others = crows_scores.score_causal(one, [plain, brought, mixed])
    assert isinstance(first, crows_scores.PairScores)
    for other in others:
        assert isinstance(other, crows_scores.PairScores)
        assert (*other.first, *(other.second or ())) == pytest.approx((*first.first, *(first.second or ())), abs=ATOL)


def test_crows_pairs_of_a_masked_model() -> None:
    one = scorer("bert", "masked_lm")
    pairs = [
        ("the man was a doctor", "the woman was a doctor", "stereo"),
        ("[CLS] the man was a doctor [SEP]", "[CLS] the woman was a doctor [SEP]", "stereo"),
        ("[CLS] the man was a doctor", "the woman was a doctor", "antistereo"),
    ]
    first, *others = crows_scores.score_masked(one, pairs)
    for other in others:
        assert other == first


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_extraction_prompts_with_one_start_token(kind: str) -> None:
    one = scorer(kind, "causal_lm")
    text = BODY + BODY
    lead = (one.start_token,)
    plain = opening(one, text)
    assert plain == (lead if kind == "llama" else (), one.encode(text, special=False))
    for times in (1, 2):
        assert opening(one, times * STARTS[kind] + text) == (lead, plain[1])
    probe = Extraction(ExtractionParams(prefix_tokens=3, suffix_tokens=4))
    info = make_info(Need.CAUSAL_LM, max_tokens=128)
    frame = pd.DataFrame({"text": [STARTS[kind] + text]})
    case = next(case for case in probe.cases(plan(info, texts=frame, control=frame)) if case.data["offset"] == 0)
    (row,) = probe.run(one, [case])
    assert row["prefix"] == one.decode(plain[1][:3])
    assert row["suffix"] == one.decode(plain[1][3:7])
    (scores,) = one.ask([TokenRequest((*lead, *plain[1][:3]), plain[1][3:7])])
    assert row["logprob"] == pytest.approx(float(scores.logprobs.sum()), abs=ATOL)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_prompt_that_begins_with_the_start_token(kind: str) -> None:
    one = scorer(kind, "causal_lm")
    lead = lead_tokens(one)
    plain = answer_request(one, lead, " the film was", "good", " ")
    for times in (1, 2):
        made = answer_request(one, lead, times * STARTS[kind] + " the film was", "good", " ")
        assert made.target == plain.target
        assert made.context == (one.start_token, *plain.context[len(lead) :])
    only = answer_request(one, lead, STARTS[kind], "good", " ")
    assert only.context == (one.start_token,)
    assert one.start_token not in only.target


@pytest.mark.parametrize("kind", STARTS)
def test_many_texts_open_as_each_alone(kind: str) -> None:
    one = scorer(kind, "causal_lm")
    texts = [f"the film was {word}" for word in ("good", "bad", "", "a 1234 é")]
    lead, tokens = openings(one, texts)
    assert [(lead, own) for own in tokens] == [opening(one, text) for text in texts]
    assert one.encode_all(texts) == [one.encode(text) for text in texts]
    assert openings(one, []) == ((), [])
    assert one.encode_all([]) == []


def test_windows_after_the_first_have_no_start_token() -> None:
    fake = Spy(make_info(Need.CAUSAL_LM, max_tokens=8))
    score_causal(fake, ["[start] " + " ".join(f"w{n}" for n in range(20))], Windows(8, 4))
    assert [request.context.count(START) for request in fake.asked] == [1, 0, 0, 0]
    assert sum(len(request.target) for request in fake.asked) == 20
    assert not any(START in request.target for request in fake.asked)


def test_the_fake_frames_alike() -> None:
    fake = FakeScorer(make_info(Need.MASKED_LM))
    framed = masked_frame(fake, "[cls] one two [sep]")
    assert (framed.before, framed.after, len(framed.tokens), framed.text) == ((CLS,), (SEP,), 2, "one two")
