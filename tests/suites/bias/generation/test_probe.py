from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.models import Models
from harness.api.needs import Need
from harness.api.requests.sampling import Ending, Sample, SampleRequest, Samples
from harness.api.scorer import TextRequest
from harness.errors import DataError, NoDataError, NotApplicableError, WrongDataError
from suites.bias.generation import scorers
from suites.bias.generation.probe import Generation, GenerationParams
from tests.fakes import START, FakeScorer, by_key, make_info, plan, rows_of

INFO = make_info(Need.CAUSAL_LM)
Write = Callable[[str, int], str]
"""Continuation number i of a prompt."""


def writer(write: Write) -> FakeScorer:
    """A causal model that goes on as `write` says; a prompt with 'broken' in it has no answer."""
    fake = FakeScorer(INFO)

    def sample(asked: Sequence[SampleRequest]) -> list[Samples]:
        found = []
        for request in asked:
            prompt = fake.decode(request.prompt)
            drawn = [Sample((), write(prompt, i), Ending.LENGTH) for i in range(request.samples)]
            found.append(Samples((), "too long") if "broken" in prompt else Samples(tuple(drawn)))
        return found

    fake.answers[SampleRequest] = sample
    return fake


def judge(classify: Callable[[TextRequest], Sequence[float]], *labels: str) -> FakeScorer:
    return FakeScorer(make_info(Need.SEQUENCE_CLASSIFIER, labels=labels, source="judge"), classify=classify)


def _same(scorer: FakeScorer) -> FakeScorer:
    return scorer


def toxic(request: TextRequest) -> Sequence[float]:
    p = 0.9 if "awful" in request.text else 0.1
    return (p, 1 - p)


def harsh_to_men(prompt: str, i: int) -> str:
    return " is awful" if "man" in prompt.split() and i == 0 else " is here"


def measured(
    write: Write, folder: Path, judges: dict[str, FakeScorer], prompts: pd.DataFrame | None = None, **params: object
) -> tuple[pd.DataFrame, dict[tuple[str, str], Metric]]:
    fake = writer(write)
    probe = Generation(GenerationParams.model_validate({"axes": ["gender"], "samples": 2, **params}))
    bound = probe.within(Models(fake, {role: partial(_same, each) for role, each in judges.items()}))
    given = {} if prompts is None else {"prompts": prompts}
    rows = rows_of(bound, fake, probe.cases(plan(INFO, **given)), folder)
    return rows, by_key(probe.measure(rows))


def own(n: int = 12) -> pd.DataFrame:
    return pd.DataFrame(
        {"prompt": [f"the {who} number {i}" for i in range(n) for who in ("man", "woman")], "group": ["m", "w"] * n}
    )


def test_a_known_gap_is_found_with_its_control_and_the_scorer_bias(tmp_path: Path) -> None:
    rows, found = measured(harsh_to_men, tmp_path, {"toxicity": judge(toxic, "toxic", "fine")}, own())
    men, women = found["toxicity", "group: m"], found["toxicity", "group: w"]
    assert [men.value, women.value] == pytest.approx([0.5, 0.1])  # one of two continuations at 0.9
    gap = found["toxicity_gap", "group"]
    assert gap.value == pytest.approx(0.4)
    assert gap.low is not None
    assert gap.low > 0
    assert gap.note == "m over w; scorer judge (0), whose own gap between these groups is not known"
    assert gap.control is not None
    assert gap.control.value == pytest.approx(0, abs=1e-12)
    assert gap.control.what == "prompts about weekdays, which concern no group"
    assert found["toxicity_scorer_gap", "gender"].value == pytest.approx(0, abs=1e-12)
    assert "by Holm over 2 groups: p = " in men.note
    prompts = rows[rows["part"] == "prompts"]
    assert all(len(samples) == 2 for samples in prompts["samples"])
    brute = prompts.groupby("group")["toxicity"].mean()
    assert gap.value == pytest.approx(brute.max() - brute.min())


def test_prompts_that_failed_are_missing_of_their_axis(tmp_path: Path) -> None:
    rows, found = measured(
        lambda prompt, i: " left", tmp_path, {"toxicity": judge(lambda _: (0.5, 0.5), "toxic", "no")}
    )
    assert found["toxicity_gap", "gender"].missing == 0
    failed = rows.copy()
    which = failed.index[(failed["part"] == "prompts") & (failed["axis"] == "gender")][:3].append(
        failed.index[failed["part"] == "control"][:2]
    )
    failed.loc[which, ["status", "error"]] = ["error", "out of memory"]
    assert by_key(Generation().measure(failed))["toxicity_gap", "gender"].missing == 3


def test_the_scorers_own_bias_is_measured_and_stands_beside_the_gap(tmp_path: Path) -> None:
    def biased(request: TextRequest) -> Sequence[float]:
        p = 0.7 if {"woman", "wife", "girl", "mother", "sister", "aunt"} & set(request.text.split()) else 0.2
        return (p, 1 - p)

    _, found = measured(lambda prompt, i: " left", tmp_path, {"toxicity": judge(biased, "toxic", "fine")})
    assert found["toxicity_scorer_gap", "gender"].value == pytest.approx(0.5)
    gap = found["toxicity_gap", "gender"]
    assert gap.value == pytest.approx(0, abs=1e-12)  # continuations alone are scored, which mention nobody
    assert "whose own gap on neutral sentences about these groups is 0.500" in gap.note


def test_prompts_begin_with_the_start_token_where_the_tokenizer_puts_one(tmp_path: Path) -> None:
    class Starting(FakeScorer):
        def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
            return (*((START,) if special else ()), *super().encode(text, special=False))

    asked: list[SampleRequest] = []

    def answer(given: Sequence[SampleRequest]) -> list[Samples]:
        asked.extend(given)
        return [Samples((), "no")] * len(given)

    for made in (Starting(INFO), FakeScorer(INFO)):
        made.answers[SampleRequest] = answer
        probe = Generation().within(Models(made, {}))
        case = next(case for case in probe.cases(plan(INFO, prompts=own())) if case.data["part"] == "prompts")
        assert [row["status"] for row in probe.run(made, [case])] == ["error"]
    assert [request.prompt[0] == START for request in asked] == [True, False]
    assert asked[0].prompt[1:] == asked[1].prompt


def test_regard_is_of_the_prompt_with_its_continuation(tmp_path: Path) -> None:
    def regard(request: TextRequest) -> Sequence[float]:
        return (0.8, 0.2) if "man" in request.text.split() else (0.2, 0.8)

    _, found = measured(
        lambda prompt, i: " left", tmp_path, {"regard": judge(regard, "negative", "positive")}, own(), control=False
    )
    assert found["regard_gap", "group"].value == pytest.approx(1.2)
    assert found["regard_gap", "group"].control is None


def test_vader_scores_sentiment_without_a_model(tmp_path: Path) -> None:
    def write(prompt: str, i: int) -> str:
        return " good" if "woman" in prompt else " bad"

    rows, found = measured(write, tmp_path, {}, own())
    good, bad = scorers.vader_scores([" good", " bad"])
    assert good is not None
    assert bad is not None
    assert found["sentiment_gap", "group"].value == pytest.approx(good - bad)
    assert set(rows["sentiment_scorer"]) == {"VADER 3.3.2"}
    assert found["toxicity_gap", ""].note == "no scorer of toxicity was given; name one in models: {toxicity: ...}"


def test_a_scorer_that_cannot_read_the_language_is_missing(tmp_path: Path) -> None:
    _, found = measured(lambda prompt, i: "很好", tmp_path, {}, own(), control=False)
    gap = found["sentiment_gap", ""]
    assert gap.value is None
    assert gap.note == (
        "VADER 3.3.2 cannot read the 24 texts: none has a word that it knows; give a scorer of their language in "
        "models: {sentiment: ...}"
    )


def test_a_scorer_that_fails_is_missing_never_harmless(tmp_path: Path) -> None:
    def write(prompt: str, i: int) -> str:
        return " broken" if "0" in prompt else " left"

    rows, found = measured(write, tmp_path, {"toxicity": judge(toxic, "toxic", "fine")}, own(), control=False)
    failed = rows[rows["text"].str.contains("0")]
    assert len(failed) == 4  # numbers 0 and 10
    assert failed["toxicity"].isna().all()
    gap = found["toxicity_gap", "group"]
    assert gap.value == pytest.approx(0, abs=1e-12)
    assert (gap.n, gap.missing) == (20, 4)


def test_blank_continuations_and_failed_prompts_are_counted(tmp_path: Path) -> None:
    prompts = pd.concat([own(6), pd.DataFrame({"prompt": ["broken man", "blank man"], "group": ["m", "m"]})])
    prompts = prompts.reset_index(drop=True)

    def write(prompt: str, i: int) -> str:
        return " " if "blank" in prompt or i == 0 else " left"

    rows, found = measured(write, tmp_path, {"toxicity": judge(toxic, "toxic", "fine")}, prompts, control=False)
    assert rows["error"].dropna().sort_values().tolist() == ["every continuation is blank", "too long"]
    blank = found["blank_rate", ""]
    assert blank.value == pytest.approx(0.5)
    assert blank.missing == 2


def test_small_groups_are_masked(tmp_path: Path) -> None:
    prompts = pd.concat([own(6), pd.DataFrame({"prompt": ["the other"], "group": ["o"]})]).reset_index(drop=True)
    _, found = measured(harsh_to_men, tmp_path, {"toxicity": judge(toxic, "toxic", "fine")}, prompts)
    assert found["toxicity", "group: o"].note == "1 prompts, masked under 5"
    assert "masked, under 5 prompts: o" in found["toxicity_gap", "group"].note


def test_draws_hang_on_the_case_alone() -> None:
    fake = FakeScorer(INFO)
    seeds: list[int] = []

    def note(asked: Sequence[SampleRequest]) -> list[Samples]:
        seeds.extend(request.seed for request in asked)
        return [Samples((), "no")] * len(asked)

    fake.answers[SampleRequest] = note
    probe = Generation(GenerationParams(axes=("gender",), control=False))
    cases = probe.cases(plan(INFO))
    list(probe.run(fake, cases))
    list(probe.run(fake, cases[::-1]))
    assert seeds[: len(cases)] == seeds[: len(cases) - 1 : -1]
    assert len(set(seeds)) > len(cases) * 0.9


def test_what_is_missing_or_unfit_is_said_before_anything_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, probe = FakeScorer(INFO), Generation()
    odd = judge(toxic, "a", "b")
    with pytest.raises(NotApplicableError, match="judge: a scorer of toxicity needs classes"):
        probe.prepare(Models(fake, {"toxicity": lambda: odd}), plan(INFO))
    monkeypatch.setattr(scorers, "has_vader", lambda: False)
    with pytest.raises(NoDataError, match=r"nothing scores what is written; pip install 'assay\[sentiment\]', or give"):
        probe.prepare(Models(fake), plan(INFO))


def test_prompts_of_one_group_and_axes_without_prompts_are_refused() -> None:
    lone = pd.DataFrame({"prompt": ["a", "b"], "group": ["x", "x"]})
    with pytest.raises(WrongDataError, match=r"test\.csv: axis 'group' has one group, 'x', in the rows used"):
        Generation().cases(plan(INFO, prompts=lone))
    with pytest.raises(DataError, match="no prompts for axis names in language zh; use gender"):
        Generation(GenerationParams(language="zh", axes=("names",))).cases(plan(INFO))


def test_chinese_prompts_are_filled() -> None:
    cases = Generation(GenerationParams(language="zh")).cases(plan(INFO))
    texts = [case.data["text"] for case in cases if case.data["part"] == "prompts"]
    assert len(texts) >= 100
    assert all("{" not in text and not np.any([sign.isascii() for sign in text]) for text in texts)
