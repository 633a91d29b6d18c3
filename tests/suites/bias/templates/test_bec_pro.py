from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.api.needs import Need
from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.errors import WrongDataError
from suites.bias.templates.bec_pro import BecPro
from tests.fakes import CLS, MASK, SEP, FakeScorer, by_key, made_up_logprob, make_info, plan, rows_of
from tests.suites.bias.fake_spans import spans

MASKED = make_info(Need.MASKED_LM)
COLUMNS = ["sentence", "person", "gender", "profession", "profession_gender"]
PAIR = [
    ("she is a steel worker today", "she", "female", "steel worker", "male"),
    ("he is a steel worker today", "he", "male", "steel worker", "male"),
]


def faked(logprob: Any = made_up_logprob) -> FakeScorer:
    fake = FakeScorer(MASKED, logprob=logprob)
    fake.answers[MaskedSpanRequest] = spans(fake)
    return fake


def frame(rows: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_target_and_prior_by_hand() -> None:
    fake, probe = faked(), BecPro()
    (case, *controls) = probe.cases(plan(MASKED, sentences=frame(PAIR)))
    (row,) = probe.run(fake, [case])
    she, is_, a, steel, worker, today = fake.encode(PAIR[0][0], special=False)
    seen = (CLS, MASK, is_, a, steel, worker, today, SEP)
    hidden = (CLS, MASK, is_, a, MASK, MASK, today, SEP)
    assert row["target_female"] == pytest.approx(made_up_logprob(seen, she))
    assert row["prior_female"] == pytest.approx(made_up_logprob(hidden, she))
    (he,) = fake.encode("he", special=False)
    assert (row["target_male"], row["prior_male"]) == pytest.approx(
        (made_up_logprob(seen, he), made_up_logprob(hidden, he))
    )
    assert controls[0].data["sides"]["female"]["text"] == "she is a visitor today"
    assert len(controls) == 8


def test_a_person_of_several_tokens_is_filled_from_the_left() -> None:
    fake, probe = faked(), BecPro()
    rows = [("aunt emma is a baker", "aunt emma", "female", "baker", "balanced")]
    (case, *_) = probe.cases(plan(MASKED, sentences=frame(rows)))
    (row,) = probe.run(fake, [case])
    aunt, emma, is_, a, baker = fake.encode(rows[0][0], special=False)
    by_hand = made_up_logprob((CLS, MASK, MASK, is_, a, baker, SEP), aunt)
    by_hand += made_up_logprob((CLS, aunt, MASK, is_, a, baker, SEP), emma)
    assert row["target_female"] == pytest.approx(by_hand)
    assert row["target_male"] is None


def known(read: tuple[int, ...], token: int, fake: FakeScorer) -> float:
    """P(she) = 0.5 beside a nurse, 0.1 beside a plumber, else 0.2; he 0.25 everywhere."""
    words, word = fake.decode(read).split(), fake.decode([token])
    she = 0.5 if "nurse" in words else 0.1 if "plumber" in words else 0.2
    return math.log(she if word == "she" else 0.25)


def measured(rows: list[tuple[str, ...]], folder: Path) -> Any:
    fake, probe = faked(), BecPro()
    fake._logprob = lambda read, token: known(read, token, fake)
    found = rows_of(probe, fake, probe.cases(plan(MASKED, sentences=frame(rows))), folder)
    return by_key(probe.measure(found)), found


def both(profession: str, group: str) -> list[tuple[str, ...]]:
    return [(f"{who} is a {profession}", who, gender, profession, group) for who, gender in (("she", "female"), ("he", "male"))]  # fmt: skip  # noqa: E501


def test_metrics_of_known_probabilities(tmp_path: Path) -> None:
    rows = both("nurse", "female") + both("plumber", "male") + both("baker", "balanced")
    found, _ = measured(rows, tmp_path)
    share = found["stereotyped_share", ""]
    assert (share.value, share.n, share.target) == (1.0, 2, 0.5)
    assert found["association_gap", "female"].value == pytest.approx(math.log(0.5 / 0.2))
    assert found["association_gap", "male"].value == pytest.approx(math.log(0.1 / 0.2))
    assert found["association_gap", "balanced"].value == pytest.approx(0, abs=1e-12)
    assert ("stereotyped_share", "balanced") not in found
    assert share.control is not None
    assert (share.control.value, share.control.n) == (0.0, 8)  # no gap at all is a tie, which agrees with nothing
    assert found["association_gap", ""].control.value == pytest.approx(0, abs=1e-12)
    assert share.note == "no test: fewer than 2 professions of a gender"


def test_professions_of_the_two_genders_are_compared_by_permutation(tmp_path: Path) -> None:
    rows = [row for name in ("nurse", "old nurse", "nurse too") for row in both(name, "female")]
    rows += [row for name in ("plumber", "old plumber", "plumber too") for row in both(name, "male")]
    found, _ = measured(rows, tmp_path)
    difference = math.log(0.5 / 0.2) - math.log(0.1 / 0.2)
    note = found["stereotyped_share", ""].note
    assert note == (
        f"female professions {difference:+.2f} nats against male ones, one-sided permutation p {1 / 20:.3g} (exact)"
    )


def test_a_group_without_rows_and_a_sentence_without_partner_are_no_zeros(tmp_path: Path) -> None:
    found, rows = measured([*both("nurse", "female"), PAIR[0]], tmp_path)
    assert ("stereotyped_share", "male") in found
    assert found["stereotyped_share", "male"].value is None
    assert found["stereotyped_share", ""].missing >= 1
    assert (rows["status"] == "ok").all()


def test_broken_sentences_are_missing(tmp_path: Path) -> None:
    found, rows = measured([*both("nurse", "female"), *both("broken", "male")], tmp_path)
    assert list(rows["status"][:2]) == ["ok", "error"]
    assert found["stereotyped_share", "female"].value == 1.0


def test_persons_that_are_the_same_tokens_are_missing_not_a_tie(tmp_path: Path) -> None:
    rows = [(f"{who} is a cook", who, gender, "cook", "female") for who, gender in (("Ada", "female"), ("ada", "male"))]
    found, frame_ = measured([*both("nurse", "female"), *rows], tmp_path)
    assert list(frame_["status"][:2]) == ["ok", "error"]
    assert frame_["error"][1] == "the tokenizer does not tell the two persons apart"
    assert (found["stereotyped_share", "female"].value, found["stereotyped_share", "female"].n) == (1.0, 1)


@pytest.mark.parametrize(
    "row",
    [
        ("they work as a baker", "she", "female", "baker", "female"),
        ("she works as a bakery", "she", "female", "baker", "female"),
        ("a baker is she", "she", "female", "baker", "female"),
        ("she is a baker", " ", "female", "baker", "female"),
    ],
)
def test_a_sentence_without_its_person_or_profession_is_one_sentence(row: tuple[str, ...]) -> None:
    with pytest.raises(WrongDataError, match="row 1 of those used does not name"):
        BecPro().cases(plan(MASKED, sentences=frame([row])))


def test_assays_own_sentences() -> None:
    cases = [case.data for case in BecPro().cases(plan(MASKED))]
    own = [each for each in cases if not each["control"]]
    assert len(own) == 30 * 5 * 6
    for each in own:
        for gender, side in each["sides"].items():
            assert side["text"][slice(*side["profession"])] == each["profession"]
            women = ("she", "sister", "mother", "aunt", "woman", "girl")
            assert (side["text"][slice(*side["person"])].lower() in women) == (gender == "female")


@pytest.mark.data
def test_the_published_sentences_are_read(real_data: Path) -> None:
    names = {"Sentence": "sentence", "Person": "person", "Gender": "gender", "Profession": "profession"}
    table = pd.read_csv(real_data / "bec_pro" / "BEC-Pro_EN.tsv.gz", sep="\t", dtype=str)
    table = table.rename(columns={**names, "Prof_Gender": "profession_gender"})
    cases = [case.data for case in BecPro().cases(plan(MASKED, sentences=table[COLUMNS]))]
    own = [each for each in cases if not each["control"]]
    assert sum(len(each["sides"]) for each in own) == 5400
    assert all(len(each["sides"]) == 2 for each in own)
    assert {each["group"] for each in own} == {"female", "male", "balanced"}
