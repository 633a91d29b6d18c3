from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sacrebleu.metrics import BLEU

from harness.api.lists import as_list
from harness.api.needs import Need
from harness.api.requests.chat import ChatPrompt, ChatRequest
from harness.api.requests.sampling import Ending, Sample, SampleRequest, Samples
from harness.api.scorer import GenerateRequest, Generation
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError, UsageError
from suites.quality.generation import GenerationQuality
from suites.quality.generation import overlap as overlap_module
from suites.quality.generation.probe import Prompts
from suites.quality.generation.settings import Decoding, GenerationParams
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of
from tests.tiny import make_checkpoint

INFO = make_info(Need.CAUSAL_LM)
WRITTEN = {
    "capital": "The Paris.\nQ: next",
    "poem": "a b c d a b c d e f",
    "cat": "the cat sat on a mat",
    "broken": "",
}


def scorer() -> FakeScorer:
    made = FakeScorer(INFO)

    def write(requests: Sequence[GenerateRequest]) -> list[Generation]:
        texts = [WRITTEN[made.decode(request.prompt).split()[-1]] for request in requests]
        return [Generation((1,) * len(text.split()), text, None if text else "non-finite logits") for text in texts]

    def sample(requests: Sequence[SampleRequest]) -> list[Samples]:
        return [
            Samples(
                tuple(Sample((1, 2, 3), f"the cat sat on mat {at}", Ending.LENGTH) for at in range(request.samples))
            )
            for request in requests
        ]

    made.answers[GenerateRequest] = write
    made.answers[SampleRequest] = sample
    made.answers[ChatRequest] = lambda asked: [
        ChatPrompt("", made.encode(" ".join(message.content for message in request.messages))) for request in asked
    ]
    return made


def prompts(*rows: tuple[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["prompt", "references"])


def measured(params: dict[str, Any], frame: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, dict[Any, Any]]:
    probe = GenerationQuality(GenerationParams(**params))
    rows = rows_of(probe, scorer(), probe.cases(plan(INFO, tasks=frame)), folder)
    return rows, by_key(probe.measure(rows))


DATA = prompts(
    ("the capital", '["Paris", "paris france"]'), ("a poem", "a b c d"), ("cat", WRITTEN["cat"]), ("broken", "x")
)


def test_greedy_texts_by_hand(tmp_path: Path) -> None:
    rows, found = measured({"stop": ["\nQ:"], "max_new_tokens": 10}, DATA, tmp_path)
    assert [as_list(cell) for cell in rows["texts"][:3]] == [["The Paris."], ["a b c d a b c d e f"], [WRITTEN["cat"]]]
    assert (found["exact_match", ""].value, found["exact_match", ""].missing) == (pytest.approx(1 / 3), 1)
    assert found["exact_match_normalized", ""].value == pytest.approx(2 / 3)
    # articles go: of b c d b c d e f three of eight are wanted
    assert found["token_f1", ""].value == pytest.approx((1 + 2 * 3 / (8 + 3) + 1) / 3)
    assert found["repetition", ""].value == pytest.approx(1 / (7 + 3))
    assert found["distinct_1", ""].value == pytest.approx((2 + 6 + 6) / (2 + 10 + 6))
    assert found["length", ""].value == pytest.approx((4 + 10 + 6) / 3)
    assert found["ended", ""].value == pytest.approx(2 / 3)  # the poem has all ten tokens
    assert ("self_bleu", "") not in found
    texts = ["The Paris.", "a b c d a b c d e f", WRITTEN["cat"]]
    golds = [["Paris", "a b c d", WRITTEN["cat"]], ["paris france", None, None]]
    bleu = found["bleu", ""]
    assert bleu.value == pytest.approx(BLEU().corpus_score(texts, golds).score / 100)
    assert bleu.low < bleu.value < bleu.high
    assert set(rows["decoding"][:3]) == {"greedy"}
    assert rows["beams"][0] == 1


def test_metrics_need_no_package_of_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, found = measured({"max_new_tokens": 10}, DATA, tmp_path)
    monkeypatch.setattr(overlap_module, "_tools", lambda: pytest.fail("a metric asked for a package"))
    again = by_key(GenerationQuality().measure(rows))
    assert {key: metric.value for key, metric in again.items()} == {key: metric.value for key, metric in found.items()}


def test_samples_are_measured_together(tmp_path: Path) -> None:
    settings = {"decoding": "sample", "samples": 3, "temperature": 0.7, "top_k": 5, "top_p": 0.9, "seed": 4}
    rows, found = measured(settings, prompts(("cat", "the cat sat on mat 1")), tmp_path)
    assert len(as_list(rows["texts"][0])) == 3
    assert found["exact_match", ""].value == pytest.approx(1 / 3)
    assert found["distinct_1", ""].value == pytest.approx(8 / 18)
    assert 0.5 < found["self_bleu", ""].value < 1
    row = rows.iloc[0]
    assert (row["temperature"], row["top_k"], row["top_p"], row["seed"]) == (0.7, 5, 0.9, 4)


def test_without_references_texts_are_measured_by_themselves(tmp_path: Path) -> None:
    rows, found = measured({}, pd.DataFrame({"prompt": ["cat", "a poem"]}), tmp_path)
    assert as_list(rows["references"][0]) == []
    keys = {key for key, _ in found}
    assert {"repetition", "distinct_2", "length"} <= keys
    assert not keys & {"exact_match", "rouge1", "bleu", "chrf", "self_bleu"}


def test_a_chat_goes_through_its_template_with_its_system_message(tmp_path: Path) -> None:
    rows, _ = measured({"chat": True, "system": "a poem"}, prompts(("cat", "x")), tmp_path)
    assert as_list(rows["texts"][0]) == [WRITTEN["cat"]]
    assert bool(rows["chat"][0])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"temperature": 0.5}, "temperature is of decoding: sample, not of greedy; take it out"),
        ({"decoding": "sample", "beams": 2}, "beams is of decoding: beam, not of sample"),
        ({"decoding": "beam", "samples": 2}, "samples is of decoding: sample, not of beam"),
        ({"system": "be kind"}, "system is of a chat; say chat: true"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        GenerationParams(**settings)


def test_a_prompt_without_a_reference_among_others_is_refused() -> None:
    with pytest.raises(DataError, match="row 2 has no reference; add one, leave the row out, or take the whole column"):
        GenerationQuality().cases(plan(INFO, tasks=prompts(("a", "b"), ("c", None))))


def test_without_the_extra_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise ImportError("rouge_score")

    monkeypatch.setattr(overlap_module, "_tools", gone)
    with pytest.raises(UsageError, match="pip install 'assay"):
        GenerationQuality().cases(plan(INFO, tasks=prompts(("a", "b"))))
    off = GenerationQuality(GenerationParams(overlap=False))
    assert len(off.cases(plan(INFO, tasks=prompts(("a", "b"))))) == 1


@pytest.mark.parametrize(
    ("content", "message"), [("text\na\n", "missing column 'prompt'"), ("prompt,x\n ,b\n", "column 'prompt': is empty")]
)
def test_files_without_prompts_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_dataset(DataSource(source=str(path)), Prompts)


@pytest.mark.parametrize("decoding", list(Decoding))
def test_a_tiny_model_writes_by_every_decoding_whatever_the_company(decoding: Decoding, tmp_path: Path) -> None:
    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path / "c", "gpt2", "causal_lm"))))
    one = HFScorer(load_checkpoint(info, device="cpu", dtype="fp32"))
    probe = GenerationQuality(GenerationParams(decoding=decoding, max_new_tokens=6))
    frame = prompts(("the film was", "good"), ("he is a doctor and", "she"), ("fun", "no"))
    cases = probe.cases(plan(info, tasks=frame))
    together = {row["case_id"]: row["texts"] for row in probe.run(one, cases)}
    apart = {row["case_id"]: row["texts"] for case in cases for row in probe.run(one, [case])}
    assert together == apart
    rows = rows_of(probe, one, cases, tmp_path / "rows")
    assert (rows["status"] == "ok").all()
    assert set(rows["decoding"]) == {decoding}
    if decoding is Decoding.GREEDY:
        (expected,) = one.ask([GenerateRequest(one.encode("fun"), 6)])
        assert together[cases[2].id] == [expected.text]


def test_a_model_without_a_chat_template_says_so(tmp_path: Path) -> None:
    from harness.scorer.hf import HFScorer

    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path / "c", "gpt2", "causal_lm"))))
    one = HFScorer(load_checkpoint(info, device="cpu", dtype="fp32"))
    probe = GenerationQuality(GenerationParams(chat=True))
    with pytest.raises(UsageError, match="has no chat template; ask for plain text instead"):
        list(probe.run(one, probe.cases(plan(info, tasks=prompts(("fun", "no"))))))
