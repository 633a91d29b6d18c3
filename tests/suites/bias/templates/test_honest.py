from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.models import Models
from harness.api.needs import Need
from harness.api.requests.likeliest import LikelyTokens, MaskedTokensRequest, NextTokensRequest
from harness.api.scorer import GenerateRequest, Generation
from harness.errors import AuditError, WrongDataError
from harness.record.prepared import KeptOnDisk
from suites.bias.templates.honest import Honest, HonestParams, own_lexicon
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of
from tests.scoring import all_logprobs, load, scorer

MASKED = make_info(Need.MASKED_LM)
CAUSAL = make_info(Need.CAUSAL_LM)
TEMPLATES = pd.DataFrame(
    [("the woman is a [M]", "the woman", "female"), ("the man is a [M]", "the man", "male")],
    columns=["template_masked", "identity", "category"],
)
SAYS = {"woman": "witch Liar nurse", "man": "baker driver cook", "broken": ""}
"""What follows each person, the likeliest first; anybody else is a cook, a baker or a witch."""


def likeliest(fake: FakeScorer, tokens: tuple[int, ...], count: int) -> LikelyTokens:
    words = fake.decode(tokens).split()
    if "broken" in words:
        return LikelyTokens((), np.empty(0), "non-finite logits")
    said = next((SAYS[word] for word in words if word in SAYS), "cook baker witch").split()
    return LikelyTokens(tuple(fake.encode(word, special=False)[0] for word in said[:count]), np.zeros(count))


def faked(info: Any) -> FakeScorer:
    fake = FakeScorer(info)

    def masked(asked: Sequence[MaskedTokensRequest]) -> list[LikelyTokens]:
        assert all(fake.decode((each.tokens[each.position],)) == "x" for each in asked)
        return [likeliest(fake, each.tokens, each.count) for each in asked]

    fake.answers[MaskedTokensRequest] = masked
    fake.answers[NextTokensRequest] = lambda asked: [likeliest(fake, each.context, each.count) for each in asked]
    fake.answers[GenerateRequest] = lambda asked: [
        Generation(fake.encode("and more", special=False), "") for _ in asked
    ]
    return fake


def measured(info: Any, folder: Path, **data: pd.DataFrame) -> Any:
    probe, fake = Honest(HonestParams(k=3)), faked(info)
    given = plan(info, **data)
    bound = probe.within(Models(fake), KeptOnDisk(folder / "kept"))
    bound.prepare(Models(fake), given)
    rows = rows_of(bound, fake, bound.cases(given), folder)
    return by_key(probe.measure(rows)), rows


LEXICON = pd.DataFrame({"word": ["WITCH ", "liar", ""]})


@pytest.mark.parametrize("info", [MASKED, CAUSAL])
def test_shares_of_known_completions(info: Any, tmp_path: Path) -> None:
    found, rows = measured(info, tmp_path, templates=TEMPLATES, lexicon=LEXICON)
    assert list(rows["completions"][0]) == ["witch", "liar", "nurse"]
    assert list(rows["hurtful"][0]) == ["witch", "liar"]
    assert found["honest", "female"].value == pytest.approx(2 / 3)
    assert found["honest", "male"].value == 0.0
    honest = found["honest", ""]
    assert (honest.value, honest.n) == (pytest.approx(1 / 3), 2)
    assert honest.control is not None
    assert (honest.control.value, honest.control.n) == (pytest.approx(1 / 3), 9)
    assert found["group_difference", ""].value == pytest.approx(2 / 3)
    difference = found["group_difference", ""]
    assert difference.note.startswith("female less male")
    assert difference.low is not None
    assert difference.high is not None
    assert 0 == difference.low < 2 / 3 < difference.high <= 1  # one person a group says next to nothing
    assert ("honest", "") in found
    assert not any(part not in ("", "female", "male") for _, part in found)


def test_a_completion_that_is_no_word_stays_in_the_denominator(tmp_path: Path) -> None:
    SAYS["dog"] = ", witch 12"
    frame = pd.DataFrame([("the dog is a [M]", "the dog", "d")], columns=list(TEMPLATES))
    found, rows = measured(MASKED, tmp_path, templates=frame, lexicon=LEXICON)
    assert list(rows["completions"][0]) == ["", "witch", ""]
    assert found["honest", ""].value == pytest.approx(1 / 3)
    assert found["no_word_share", ""].value == pytest.approx(2 / 3)
    assert found["group_difference", ""].value is None


@pytest.mark.parametrize("info", [MASKED, CAUSAL])
def test_broken_templates_are_missing(info: Any, tmp_path: Path) -> None:
    frame = pd.concat([TEMPLATES, pd.DataFrame([("broken is a [M]", "broken", "b")], columns=list(TEMPLATES))])
    found, rows = measured(info, tmp_path, templates=frame, lexicon=LEXICON)
    assert list(rows["status"][:3]) == ["ok", "ok", "error"]
    assert found["honest", ""].missing == 1
    assert found["honest", ""].value == pytest.approx(1 / 3)


@pytest.mark.parametrize("template", ["the woman is a nurse", "[M] and [M]"])
def test_a_template_without_one_slot_is_one_sentence(template: str) -> None:
    with pytest.raises(WrongDataError, match=r"row 1 of those used: .* times \[M\], needs it once"):
        Honest().cases(plan(MASKED, templates=TEMPLATES[:1].assign(template_masked=template)))


def test_another_lexicon_is_another_case_and_has_to_be_prepared() -> None:
    probe = Honest(HonestParams(k=3))
    own = probe.cases(plan(MASKED, templates=TEMPLATES))
    given = probe.cases(plan(MASKED, templates=TEMPLATES, lexicon=LEXICON))
    assert {case.id for case in own}.isdisjoint(case.id for case in given)
    assert [row["status"] for row in probe.run(faked(MASKED), own[:1])] == ["ok"]
    with pytest.raises(AuditError):
        list(probe.run(faked(MASKED), given[:1]))


def test_accents_count_alike_however_they_are_written(tmp_path: Path) -> None:
    SAYS["cat"] = unicodedata.normalize("NFD", "méchant Lâche") + " good"
    frame = pd.DataFrame([("the cat is a [M]", "the cat", "c")], columns=list(TEMPLATES))
    lexicon = pd.DataFrame({"word": ["méchant", unicodedata.normalize("NFD", "lâche")]})
    for info in (MASKED, CAUSAL):
        found, rows = measured(info, tmp_path / str(info.offers), templates=frame, lexicon=lexicon)
        assert list(rows["hurtful"][0]) == ["méchant", "lâche"]
        assert found["honest", ""].value == pytest.approx(2 / 3)


def test_phrases_of_a_lexicon_are_counted_and_a_lexicon_of_them_alone_is_refused(tmp_path: Path) -> None:
    given = pd.DataFrame({"word": ["witch", "old witch", "so and so"]})
    found, _ = measured(MASKED, tmp_path, templates=TEMPLATES, lexicon=given)
    assert found["honest", ""].note == "2 entries of the lexicon have several words, which no completion can be"
    assert found["honest", "female"].note == ""
    with pytest.raises(WrongDataError, match="no single word"):
        Honest().cases(plan(MASKED, templates=TEMPLATES, lexicon=given[1:]))


def test_more_completions_than_the_model_has_tokens_are_missing(tmp_path: Path) -> None:
    probe, fake = Honest(HonestParams(k=4)), faked(MASKED)
    rows = rows_of(probe, fake, probe.cases(plan(MASKED, templates=TEMPLATES)), tmp_path)
    assert set(rows["error"]) == {"k is 4, but the model's vocabulary has 3 tokens; lower k"}


def test_a_lexicon_without_words_is_refused_not_a_share_of_0() -> None:
    with pytest.raises(WrongDataError, match=r"test\.csv: holds no single word"):
        Honest().cases(plan(MASKED, templates=TEMPLATES, lexicon=pd.DataFrame({"word": [" ", ""]})))


def test_assays_own_lexicon_and_templates() -> None:
    words = own_lexicon()
    assert len(set(words)) == len(words) > 40
    cases = [case.data for case in Honest().cases(plan(MASKED))]
    assert sum(not each["control"] for each in cases) == 72
    assert sum(each["control"] for each in cases) == 6 * 9


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_masked_completions_are_those_of_the_model_alone(kind: str) -> None:
    asked, loaded = scorer(kind, "masked_lm"), load(kind, "masked_lm")
    (case, *_) = Honest(HonestParams(k=5)).cases(plan(asked.info, templates=TEMPLATES[:1]))
    (row,) = Honest(HonestParams(k=5)).run(asked, [case])
    tokens = list(asked.encode("the woman is a x"))
    place = len(tokens) - 2
    tokens[place] = loaded.tokenizer.mask_token_id
    best = all_logprobs(loaded.model, tuple(tokens))[place].argsort()[::-1][:5]
    words = [asked.decode((int(token),)).strip() for token in best]
    assert [word for word in row["completions"] if word] == [
        word for word in words if word in row["completions"] and word
    ]
    assert len(row["completions"]) == 5


@pytest.mark.data
def test_the_published_templates_are_read(real_data: Path) -> None:
    table = pd.read_csv(real_data / "honest" / "binary_en_template.tsv", sep="\t", dtype=str)
    cases = [case.data for case in Honest().cases(plan(MASKED, templates=table[list(TEMPLATES)]))]
    assert sum(not each["control"] for each in cases) == len(table)
