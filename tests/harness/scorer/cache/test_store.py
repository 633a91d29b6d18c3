"""Answers kept on disk: the same answers without the model, only of this model, whole or not there."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.api.requests.sampling import Ending, Sample, SampleRequest, Samples
from harness.api.scorer import (
    ClassScores,
    EmbedRequest,
    GenerateRequest,
    GradientRequest,
    Request,
    TextRequest,
    TokenRequest,
    TokenScores,
)
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.scorer.abilities import handler_of
from harness.scorer.cache.answer_text import from_text, to_text
from harness.scorer.cache.store import FILE, AnswerStore
from harness.scorer.hf import HFScorer
from tests.fakegpu.test_fake_scorer import EVERY
from tests.scoring import load
from tests.tiny import make_checkpoint

TEXTS: list[Request[Any]] = [TextRequest(f"number {i} of the texts") for i in range(6)]


def scorer(folder: Path, loaded: LoadedCheckpoint, **more: Any) -> HFScorer:
    return HFScorer(loaded, store=AnswerStore(folder, loaded, **more))


def same(left: Any, right: Any) -> bool:
    """Whether two answers are equal to the last bit."""
    return to_text(left) == to_text(right) is not None


@pytest.mark.parametrize("name", [name for name, asked in EVERY.items() if not asked.requests[0].heavy])
def test_a_second_run_calls_the_model_zero_times(name: str, tmp_path: Path) -> None:
    asked = EVERY[name]
    kind, head = asked.heads[0]
    first = scorer(tmp_path, load(kind, head)).ask(asked.requests)
    loaded = load(kind, head)

    def never(*_: Any) -> None:
        raise AssertionError("the model was called")

    again = scorer(tmp_path, loaded)
    again._handler(handler_of(type(asked.requests[0])))  # some look once at what the model is
    loaded.model.register_forward_pre_hook(never)
    loaded.model.base_model.register_forward_pre_hook(never)
    found = again.ask(asked.requests)
    assert all(same(mine, theirs) for mine, theirs in zip(found, first, strict=True))
    assert (again.counts.rows, again.counts.cached) == (0, len(asked.requests))


def checkpoint(folder: Path, **more: Any) -> LoadedCheckpoint:
    return load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu", **more)


def test_another_models_answer_under_the_same_name_is_never_given(tmp_path: Path) -> None:
    own, cache = tmp_path / "model", tmp_path / "cache"
    make_checkpoint(own, "bert", "classifier", seed=1)
    first = scorer(cache, checkpoint(own)).ask(TEXTS)
    make_checkpoint(own, "bert", "classifier", seed=2)
    swapped = scorer(cache, checkpoint(own))
    found, expected = swapped.ask(TEXTS), HFScorer(checkpoint(own)).ask(TEXTS)
    assert swapped.counts.cached == 0
    for mine, theirs, old in zip(found, expected, first, strict=True):
        np.testing.assert_allclose(mine.logits, theirs.logits, atol=1e-5)
        assert np.abs(mine.logits - old.logits).max() > 1e-3
    half = scorer(cache, checkpoint(own, dtype="bf16"))
    half.ask(TEXTS)
    assert half.counts.cached == 0
    make_checkpoint(own, "bert", "classifier", seed=1)
    back = scorer(cache, checkpoint(own))
    assert all(same(mine, theirs) for mine, theirs in zip(back.ask(TEXTS), first, strict=True))
    assert back.counts.cached == len(TEXTS)


@pytest.mark.parametrize("part", ["weights", "config", "tokenizer"])
def test_each_digest_of_the_checkpoint_is_part_of_the_key(part: str, tmp_path: Path) -> None:
    loaded = load("bert", "classifier")
    scorer(tmp_path, loaded).ask(TEXTS)
    other = replace(loaded.info, fingerprint=replace(loaded.info.fingerprint, **{part: "0" * 64}))
    one = scorer(tmp_path, replace(loaded, info=other))
    one.ask(TEXTS)
    assert one.counts.cached == 0


def test_known_and_new_requests_are_answered_in_the_order_asked(tmp_path: Path) -> None:
    loaded = load("bert", "classifier")
    scorer(tmp_path, loaded).ask(TEXTS[1:3])
    mixed = [TEXTS[4], TEXTS[1], EmbedRequest("number 1"), TEXTS[2], TEXTS[4]]
    one = scorer(tmp_path, loaded)
    for mine, theirs in zip(one.ask(mixed), HFScorer(loaded).ask(mixed), strict=True):
        assert type(mine) is type(theirs)
        name = "vector" if hasattr(mine, "vector") else "logits"
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=1e-5)
    assert one.counts.cached == 2


def test_a_file_whose_schema_is_damaged_is_made_anew(tmp_path: Path) -> None:
    """Bytes of the schema that are no UTF-8 stand in SQLite's complaint, which Python then fails to decode."""
    loaded = load("bert", "classifier")
    first = scorer(tmp_path, loaded).ask(TEXTS)
    content = (tmp_path / FILE).read_bytes()
    at = content.index(b"CREATE TABLE")
    assert at > 0
    for damage in range(12, 60, 4):
        (tmp_path / FILE).write_bytes(content[: at + damage] + b"\xfe" + content[at + damage + 1 :])
        for mine, theirs in zip(scorer(tmp_path, loaded).ask(TEXTS), first, strict=True):
            np.testing.assert_allclose(mine.logits, theirs.logits, atol=1e-5)


def test_a_damaged_entry_is_dropped_and_computed_again(tmp_path: Path) -> None:
    loaded = load("bert", "classifier")
    first = scorer(tmp_path, loaded).ask(TEXTS)
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("UPDATE answers SET answer = replace(answer, 'array', 'arraz') WHERE rowid <= 2")
        file.execute("UPDATE answers SET digest = x'00' WHERE rowid = 3")
    one = scorer(tmp_path, loaded)
    found = one.ask(TEXTS)
    assert (one.counts.cached, one.counts.rows) == (3, 3)
    for mine, theirs in zip(found, first, strict=True):
        np.testing.assert_allclose(mine.logits, theirs.logits, atol=1e-5)
    healed = scorer(tmp_path, loaded)
    healed.ask(TEXTS)
    assert (healed.counts.cached, healed.counts.rows) == (6, 0)


def test_a_file_that_is_no_database_is_made_again(tmp_path: Path) -> None:
    loaded = load("bert", "classifier")
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    (tmp_path / f"{FILE}-journal").write_bytes(b"nonsense" * 100)
    one = scorer(tmp_path, loaded)
    one.ask(TEXTS)
    assert one.counts.rows == 6
    again = scorer(tmp_path, loaded)
    again.ask(TEXTS)
    assert again.counts.rows == 0


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    scorer(folder, load("bert", "classifier")).ask(TEXTS)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert b"number 3 of the texts" not in (folder / FILE).read_bytes()


def test_errors_and_heavy_answers_are_not_kept(tmp_path: Path) -> None:
    bad = load("bert", "classifier")
    with torch.no_grad():
        bad.model.classifier.weight.fill_(float("nan"))
    assert scorer(tmp_path, bad).ask(TEXTS)[0].error
    store = AnswerStore(tmp_path, bad)
    assert store.find(TEXTS) == {}
    heavy = GradientRequest(TextRequest("a text"), 0)
    store.keep([heavy, TEXTS[0]], [ClassScores(np.zeros(2)), ClassScores(np.zeros(2))])
    assert list(store.find([heavy, TEXTS[0]])) == [TEXTS[0]]


def test_it_stays_within_its_bytes_and_forgets_the_oldest(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path, load("bert", "classifier"), most_bytes=400_000)
    asked = [TokenRequest((1,), (index,)) for index in range(400)]
    for start in range(0, 400, 20):
        part = asked[start : start + 20]
        store.keep(part, [TokenScores(np.zeros(200), np.zeros(200, dtype=np.bool_))] * 20)
    known = set(store.find(asked))
    assert asked[-1] in known
    assert asked[0] not in known
    assert 50 < len(known) < 300
    assert (tmp_path / FILE).stat().st_size < 600_000


WRITER = """
import sys
from pathlib import Path
import numpy as np
from harness.api.scorer import ClassScores, TextRequest
from harness.scorer.cache.store import AnswerStore
from tests.scoring import load
store = AnswerStore(Path(sys.argv[1]), load("bert", "classifier"))
for index in range(int(sys.argv[2]), 200, 2):
    store.keep([TextRequest(str(index))], [ClassScores(np.full(2, float(index)))])
    store.find([TextRequest(str(number)) for number in range(index)])
"""


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(first)], env={**os.environ})
        for first in (0, 1)
    ]
    assert [process.wait(300) for process in processes] == [0, 0]
    asked = [TextRequest(str(index)) for index in range(200)]
    found = AnswerStore(tmp_path, load("bert", "classifier")).find(asked)
    assert [float(found[request].logits[0]) for request in asked] == list(map(float, range(200)))


def test_an_unusable_folder_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    one = scorer(tmp_path, load("bert", "classifier"))
    assert len(one.ask(TEXTS)) == len(TEXTS)
    assert one.counts.cached == 0


ARRAYS = st.lists(st.floats(allow_nan=False), max_size=5).map(lambda values: np.array(values, dtype=np.float64))


@given(ARRAYS, st.text(max_size=20), st.lists(st.integers(0, 2**40), max_size=4).map(tuple))
def test_answers_come_back_to_the_last_bit(array: Any, text: str, tokens: tuple[int, ...]) -> None:
    scores = from_text(str(to_text(ClassScores(array, len(tokens), text))))
    assert isinstance(scores, ClassScores)
    assert scores.logits.tobytes() == array.tobytes()
    assert (scores.truncated, scores.error) == (len(tokens), text)
    samples = Samples((Sample(tokens, text, Ending.STOP), Sample((), "", Ending.LENGTH)))
    assert from_text(str(to_text(samples))) == samples


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '{"object": ["os.system", ["true"]]}',
        '{"object": ["harness.api.scorer.ClassScores", [1]]}',
        '{"array": ["|O", [1], "AAAAAAAAAAA="]}',
        '{"array": ["<f8", [3], "AAAA"]}',
        '{"call": ["x", []]}',
        '{"a": 1, "b": 2}',
        "{}",
        "nonsense",
    ],
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        from_text(text)


def test_requests_of_other_packages_are_not_kept() -> None:
    assert to_text(object()) is None
    assert to_text((1, "a", None, 2.5)) is not None
    assert to_text(SampleRequest((1,), 2, 3)) != to_text(SampleRequest((1,), 2, 4))
    assert to_text(GenerateRequest((1,), 2)) != to_text(TokenRequest((1,), (2,)))
