from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from harness.api.needs import Need
from harness.api.scorer import Embedding, EmbedRequest, Pooling
from harness.errors import AssayError, UsageError, WrongDataError
from harness.stats.intervals import Method
from suites.bias.seat.association_tests import SETS, own_tests
from suites.bias.seat.effect import effect_size
from suites.bias.seat.probe import Seat, SeatParams
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of
from tests.scoring import load, scorer

INFO = make_info(Need.EMBEDDINGS)
VECTORS = {"aunt": (1, 0), "uncle": (0, 1), "home": (1, 0.1), "office": (0.1, 1), "copper": (1, 1)}


def vectors(requests: Sequence[EmbedRequest]) -> list[Embedding]:
    """By the first letters of the text; numbers after them turn it a little."""
    found = []
    for request in requests:
        if "broken" in request.text:
            found.append(Embedding(np.empty(0), error="non-finite"))
            continue
        word, _, number = request.text.partition(" ")
        turn = 0.05 * int(number or 0)
        x, y = VECTORS[word]
        found.append(Embedding(np.array([x + turn, y - turn * turn])))
    return found


def frame(kind: str = "bias", test: str = "t", first: str = "aunt", second: str = "uncle") -> pd.DataFrame:
    texts = {"targ1": first, "targ2": second, "attr1": "home", "attr2": "office"}
    rows = [(test, name, f"{texts[name]} {i}", kind) for name in SETS for i in range(4)]
    return pd.DataFrame(rows, columns=["test", "set", "text", "kind"])


def measured(data: pd.DataFrame, folder: Path) -> Any:
    probe, fake = Seat(), FakeScorer(INFO)
    fake.answers[EmbedRequest] = vectors
    rows = rows_of(probe, fake, probe.cases(plan(INFO, tests=data)), folder)
    return by_key(probe.measure(rows)), rows


def test_a_row_is_what_brute_force_makes_of_the_vectors(tmp_path: Path) -> None:
    found, rows = measured(frame(), tmp_path)
    by_set = {name: [np.asarray(each.vector) for each in vectors([EmbedRequest(f"{word} {i}") for i in range(4)])]
              for name, word in zip(SETS, ("aunt", "uncle", "home", "office"), strict=True)}  # fmt: skip

    def s(w: Any) -> float:
        cosines = [[float(w @ a / (np.linalg.norm(w) * np.linalg.norm(a))) for a in by_set[n]] for n in SETS[2:]]
        return float(np.mean(cosines[0]) - np.mean(cosines[1]))

    x, y = ([s(w) for w in by_set[name]] for name in SETS[:2])
    assert rows["effect_size"][0] == pytest.approx((np.mean(x) - np.mean(y)) / np.std(x + y, ddof=1))
    assert rows["p"][0] == 1 / math.comb(8, 4)
    assert found["mean_abs_effect", ""].value == pytest.approx(abs(rows["effect_size"][0]))
    effect = found["effect_size", "t"]
    assert effect.low is not None
    assert effect.high is not None
    assert -2 <= effect.low < rows["effect_size"][0] < effect.high <= 2
    assert effect.interval == Method.NONCENTRAL_T
    assert effect.n == 8
    assert "p 0.0143, 0.0143 after Holm's correction over 1 bias tests" in effect.note
    assert found["significant_share", ""].value == 1.0


def test_an_effect_that_its_associations_do_not_give_is_refused(tmp_path: Path) -> None:
    _, rows = measured(frame(), tmp_path)
    rounded = rows.assign(effect_size=rows["effect_size"].round(2))
    wrong = "an effect_size that its associations do not give"
    assert not Seat.Row.contradictions(rounded)[wrong].any()
    assert Seat.Row.contradictions(rows.assign(effect_size=rows["effect_size"] - 0.03))[wrong].all()
    assert Seat.Row.contradictions(rows.assign(associations_1=[[]]))[wrong].all()
    assert not len(Seat.Row.contradictions(rows.iloc[:0])[wrong])


def test_an_effect_of_too_few_words_says_that_it_has_no_interval(tmp_path: Path) -> None:
    found, _ = measured(frame().groupby("set").head(2), tmp_path)
    effect = found["effect_size", "t"]
    assert (effect.low, effect.high, effect.n) == (None, None, 4)
    assert "no interval: fewer than 3 words on a side" in effect.note


def test_the_control_is_shown_beside_and_counts_for_nothing(tmp_path: Path) -> None:
    data = pd.concat([frame(), frame("control", "c", "copper", "copper"), frame("known", "k")])
    found, rows = measured(data, tmp_path)
    by_name = rows.set_index("test")["effect_size"].abs()
    metric = found["mean_abs_effect", ""]
    assert (metric.value, metric.n) == (pytest.approx(by_name["t"]), 1)
    assert metric.control is not None
    assert metric.control.value == pytest.approx(by_name["c"])
    assert found["significant_share", ""].control.value == 0.0
    assert "dealt to the two sides at random" in metric.note


def test_holm_is_over_the_tests_of_a_kind(tmp_path: Path) -> None:
    data = pd.concat([frame(test=name) for name in "ab"] + [frame("control", "c", "copper", "copper")])
    found, _ = measured(data, tmp_path)
    assert "p 0.0143, 0.0286 after Holm's correction over 2 bias tests" in found["effect_size", "a"].note
    assert "over 1 control tests" in found["effect_size", "c"].note


def test_without_tests_about_people_nothing_is_claimed(tmp_path: Path) -> None:
    found, _ = measured(frame("control"), tmp_path)
    assert found["mean_abs_effect", ""].value is None
    assert found["significant_share", ""].value is None


def test_what_has_no_effect_size_is_missing(tmp_path: Path) -> None:
    same = frame(test="same")
    same["text"] = same["text"].str.replace(r"\d", "1", regex=True).str.replace("uncle", "aunt")
    broken = frame(test="broken").assign(text=lambda f: f["text"].str.replace("aunt 0", "broken"))
    found, rows = measured(pd.concat([frame(), same, broken]), tmp_path)
    assert list(rows["status"]) == ["ok", "error", "error"]
    assert "associated alike" in rows["error"][1]
    assert found["mean_abs_effect", ""].missing == 2


def test_assays_own_tests_are_of_equal_sides_without_a_word_on_two() -> None:
    tests = own_tests()
    assert {test.kind for test in tests} == {"bias", "known", "control"}
    for test in tests:
        words = [set(test.words[name]) for name in SETS]
        assert [len(each) for each in words] == [8] * 4
        assert len(set.union(*words)) == 32


PUBLISHED = {name: {"category": name, "examples": [f"{name} {i}" for i in range(3)]} for name in SETS}


def test_files_are_read_as_they_are_published(tmp_path: Path) -> None:
    path = tmp_path / "sent-weat6.jsonl"
    path.write_text(json.dumps(PUBLISHED, indent=2))
    (case,) = Seat(SeatParams(files=(str(path),))).cases(plan(INFO))
    assert case.data["test"] == "sent-weat6"
    assert case.data["texts"] == {name: PUBLISHED[name]["examples"] for name in SETS}


@pytest.mark.parametrize(
    ("content", "why", "kind"),
    [
        (None, "cannot be read", UsageError),
        ("{", "no JSON in UTF-8", WrongDataError),
        ("[" * 100_000, "no JSON in UTF-8", WrongDataError),
        ("[]", "no list of texts under targ1.examples", WrongDataError),
        (
            json.dumps({**PUBLISHED, "attr2": {"examples": [1]}}),
            "no list of texts under attr2.examples",
            WrongDataError,
        ),
        (json.dumps({**PUBLISHED, "attr2": {"examples": ["a"]}}), "attr2: 1 texts", WrongDataError),
        (
            json.dumps({**PUBLISHED, "targ2": {"examples": ["a", "b"]}}),
            "3 texts in targ1 and 2 in targ2",
            WrongDataError,
        ),
    ],
)
def test_a_file_that_is_no_test_is_one_sentence(
    content: str | None, why: str, kind: type[AssayError], tmp_path: Path
) -> None:
    path = tmp_path / "weat.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(kind, match=why):
        Seat(SeatParams(files=(str(path),))).cases(plan(INFO))


def test_a_test_of_two_kinds_is_refused() -> None:
    with pytest.raises(WrongDataError, match="both bias and control"):
        Seat().cases(plan(INFO, tests=pd.concat([frame(), frame("control")])))


def test_the_first_token_of_a_causal_model_has_seen_nothing_to_associate() -> None:
    probe = Seat(SeatParams(pooling=Pooling.CLS))
    (case, *_) = probe.cases(plan(INFO))
    (row,) = probe.run(scorer("gpt2", "causal_lm"), [case])
    assert row["status"] == "error"


@pytest.mark.parametrize(
    ("kind", "head", "pooling"),
    [
        ("bert", "masked_lm", Pooling.MEAN),
        ("bert", "masked_lm", Pooling.CLS),
        ("gpt2", "causal_lm", Pooling.MEAN),
        ("gpt2", "causal_lm", Pooling.LAST),
    ],
)
def test_vectors_are_those_of_the_model_alone(kind: str, head: str, pooling: Pooling) -> None:
    loaded, probe = load(kind, head), Seat(SeatParams(pooling=pooling))
    (case, *_) = probe.cases(plan(INFO))
    (row,) = probe.run(scorer(kind, head), [case])
    states = {}
    for text in {text for texts in case.data["texts"].values() for text in texts}:
        with torch.no_grad():
            inputs = loaded.tokenizer(text, return_tensors="pt")
            hidden = loaded.model(**inputs, output_hidden_states=True).hidden_states[-1][0].double().numpy()
        states[text] = {Pooling.MEAN: hidden.mean(0), Pooling.CLS: hidden[0], Pooling.LAST: hidden[-1]}[pooling]
    x, y, a, b = (np.stack([states[text] for text in case.data["texts"][name]]) for name in SETS)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, y, a, b)]
    s = [(each @ unit[2].T).mean(1) - (each @ unit[3].T).mean(1) for each in unit[:2]]
    assert row["effect_size"] == pytest.approx(effect_size(*s), abs=1e-2)
    assert row["associations_1"] == pytest.approx(s[0], abs=1e-4)
    assert row["pooling"] == pooling


@pytest.mark.data
def test_all_published_tests_can_be_read(real_data: Path) -> None:
    paths = sorted((real_data / "seat_weat").glob("*.jsonl"))
    cases = Seat(SeatParams(files=tuple(map(str, paths)))).cases(plan(INFO))
    assert len(cases) == 46
    (weat6,) = [case for case in cases if case.data["test"] == "weat6"]
    assert [len(weat6.data["texts"][name]) for name in SETS] == [8] * 4
