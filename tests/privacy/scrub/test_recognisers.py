from __future__ import annotations

import json
import random
import string
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from privacy.scrub.recognise import KINDS, Finder, Found, finder_for, placeholder
from privacy.scrub.recognise.checks import (
    IBAN_LENGTHS,
    card,
    chinese_id,
    chinese_id_digit,
    iban,
    luhn,
    luhn_digit,
)
from privacy.scrub.recognise.finder import Recogniser
from privacy.scrub.recognise.presidio import model_for, people
from privacy.scrub.replace import Pseudonyms
from tests.privacy.scrub.labelled import CHINESE, ENGLISH, unmarked


def by_cue() -> Finder:
    """Without Presidio, whether it is here or not."""
    return finder_for(("en", "zh"), "cue")


def right_and_wrong(finder: Finder, texts: tuple[str, ...]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """By kind: found, found but not there, there but not found."""
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for marked in texts:
        text, true = unmarked(marked)
        found = {(one.kind, text[one.start : one.end]) for one in finder.find(text)}
        right.update(kind for kind, _ in found & true)
        wrong.update(kind for kind, _ in found - true)
        missed.update(kind for kind, _ in true - found)
    return right, wrong, missed


def test_precision_and_recall_on_the_labelled_sample() -> None:
    """The one false address is a section number, 4.2.1.7; names without title or cue are what Presidio is for."""
    right, wrong, missed = right_and_wrong(by_cue(), ENGLISH + CHINESE)
    assert wrong == {"IP": 1}
    assert missed == {"NAME": 4}
    assert right == {
        **{"EMAIL": 5, "PHONE": 12, "CARD": 5, "IBAN": 2, "SSN": 1, "IP": 2, "ID_CARD": 2},
        "NAME": 9,
    }


@pytest.mark.slow
@pytest.mark.skipif(model_for("en") is None, reason="needs presidio-analyzer, of the extra pii, and a model of spaCy")
def test_presidio_finds_names_without_a_cue() -> None:
    _, wrong, missed = right_and_wrong(finder_for(("en",), "presidio"), ENGLISH)
    assert missed["NAME"] <= 1
    assert wrong["NAME"] <= 1


def test_check_digits_of_published_examples() -> None:
    assert luhn("79927398713")  # of the patent's article
    assert not luhn("79927398710")
    for number in ("4111111111111111", "378282246310005", "5555555555554444", "6011111111111117", "30569309025904"):
        assert card(number)
        assert not card(number[:-1] + str((int(number[-1]) + 1) % 10))
    assert not card("0000000000000000")
    assert iban("GB82WEST12345698765432")
    assert iban("DE89370400440532013000")
    assert not iban("DE89370400440532013001")
    assert not iban("XX89370400440532013000")
    assert chinese_id("11010519491231002X")
    assert chinese_id("440524188001010014") is False  # before 1900, although its check digit is right
    assert not chinese_id("110105194912310021")
    assert not chinese_id("110105199913310026")
    assert min(IBAN_LENGTHS.values()) == 15


@given(st.text(alphabet=string.digits, min_size=12, max_size=18))
def test_one_wrong_digit_or_two_swapped_are_noticed(digits: str) -> None:
    whole = digits + luhn_digit(digits)
    at = len(digits) // 2
    for other in set(string.digits) - {whole[at]}:
        assert not luhn(whole[:at] + other + whole[at + 1 :])
    resident = digits[:1] * 5 + digits[:12]
    code = resident + chinese_id_digit(resident)
    value = [10 if letter == "X" else int(letter) for letter in code]
    assert sum(each * 2 ** (17 - place) for place, each in enumerate(value)) % 11 == 1  # ISO 7064 as it defines it


def test_placeholders_are_left_alone() -> None:
    finder = by_cue()
    for kind in KINDS:
        assert finder.find(f"姓名：{placeholder(kind)}, call {placeholder(kind, '138123456789')}") == []
    assert finder.find("a@b.org <EMAIL> c@d.org") == [Found(0, 7, "EMAIL"), Found(16, 23, "EMAIL")]


def test_a_name_that_takes_in_a_placeholder_ends_before_it() -> None:
    greedy = Recogniser("NAME", frozenset(), "all", lambda text: [(0, len(text))])
    assert Finder([greedy], ["en"]).find("Ada <EMAIL> x") == [Found(0, 4, "NAME")]
    assert Finder([greedy], ["en"]).find("<EMAIL>Ada") == [Found(7, 10, "NAME")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("write to alice@\u200bexample.com now", "alice@\u200bexample.com"),
        ("write to al\u00adice@example.com now", "al\u00adice@example.com"),
        ("write to ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ now", "ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
        ("card 4111\u00a01111\u00a01111\u00a01111 ok", "4111\u00a01111\u00a01111\u00a01111"),
        ("card 4111\u200b1111\u200b1111\u200b1111 ok", "4111\u200b1111\u200b1111\u200b1111"),
        ("x 212\u2011555\u20110123", "212\u2011555\u20110123"),
        ("x (212)\u00a0555\u20130123", "(212)\u00a0555\u20130123"),
        ("ssn 078\u201105\u20111120.", "078\u201105\u20111120"),
        ("iban ＧＢ82 WEST\u202f1234 5698 7654 32", "ＧＢ82 WEST\u202f1234 5698 7654 32"),
    ],
)
def test_letters_that_look_like_others_or_like_nothing_hide_no_value(text: str, value: str) -> None:
    found = finder_for(names="off").find(text)
    assert [text[one.start : one.end] for one in found] == [value]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("to josé.núñez@example.com now", "EMAIL", "josé.núñez@example.com"),
        ("to jose\u0301@example.com now", "EMAIL", "jose\u0301@example.com"),
        ("to ann@münchen.de now", "EMAIL", "ann@münchen.de"),
        ("to иван@пример.рф now", "EMAIL", "иван@пример.рф"),
        ("邮箱是ann@example.com谢谢", "EMAIL", "ann@example.com"),
        ("Ann,4111111111111111,12/25,123", "CARD", "4111111111111111"),
        ("7,4111 1111 1111 1111,12/25", "CARD", "4111 1111 1111 1111"),
        ("to de89370400440532013000 please", "IBAN", "de89370400440532013000"),
        ("to gb82 west 1234 5698 7654 32.", "IBAN", "gb82 west 1234 5698 7654 32"),
    ],
)
def test_other_alphabets_lists_and_small_letters_hide_no_value(text: str, kind: str, value: str) -> None:
    assert [(one.kind, text[one.start : one.end]) for one in finder_for(names="off").find(text)] == [(kind, value)]


@pytest.mark.parametrize(
    "text", ["0,4111111111111111", "0.4111111111111111", "4111111111111111.5", "is12 a word or two"]
)
def test_decimals_are_no_cards_and_words_no_accounts(text: str) -> None:
    assert finder_for(names="off").find(text) == []


def test_a_value_has_one_pseudonym_however_it_is_written() -> None:
    name = Pseudonyms(b"key", remember=False)
    for kind, values in {
        "EMAIL": ("alice@example.com", "alice@\u200bexample.com", "ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
        "IBAN": ("GB82 WEST 1234 5698 7654 32", "ＧＢ82 WEST\u202f1234 5698 7654 32"),
        "PHONE": ("212-555-0123", "212\u2011555\u20110123"),
    }.items():
        assert len({name(kind, value) for value in values}) == 1


def test_a_dash_after_a_value_ends_it() -> None:
    text = "call 212-555-0123\u2013212-555-0199"
    assert [text[one.start : one.end] for one in finder_for(names="off").find(text)] == ["212-555-0123", "212-555-0199"]


def test_the_surer_of_two_that_overlap() -> None:
    number = "6228480012345678" + luhn_digit("6228480012345678")
    assert [one.kind for one in by_cue().find(f"call {number}")] == ["CARD"]


def test_numbers_at_random_are_seldom_taken_for_personal_data() -> None:
    """Of ten numbers one passes Luhn, and half begin as cards do."""
    draw = random.Random(0)
    for size, most in ((16, 0.06), (18, 0.07), (12, 0.0), (20, 0.0)):
        numbers = ["".join(draw.choices(string.digits, k=size)) for _ in range(2000)]
        assert sum(bool(by_cue().find(f"x {number} y")) for number in numbers[:500]) <= most * 500


@pytest.mark.parametrize(
    "text",
    [
        "a@" * 20000,
        "1 " * 20000,
        "1-" * 20000,
        "A" * 50000,
        "+1" * 20000,
        "GB82" * 10000,
        ":" * 30000,
        "王" * 30000,
        "a." * 20000 + "@" + "a." * 20000,
        "1.1." * 10000,
        "call " * 10000,
    ],
)
def test_no_text_takes_quadratic_time(text: str) -> None:
    """Would run for minutes; that it ends at all is the assertion, with what it finds."""
    assert len(by_cue().find(text)) <= 1


def test_a_language_without_recognisers_is_one_sentence() -> None:
    with pytest.raises(
        UsageError, match=r"no recogniser for 'fr', so its texts cannot be scrubbed; there are .* en, zh"
    ):
        finder_for(["en", "fr"])
    with pytest.raises(UsageError, match="none given"):
        finder_for([])
    with pytest.raises(UsageError, match="choose one of auto, presidio, cue, off"):
        finder_for(["en"], "spacy")


def test_a_missing_presidio_or_model_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"presidio_analyzer"}
    monkeypatch.setattr(
        "privacy.scrub.recognise.presidio.find_spec", lambda name: find_spec("json") if name in there else None
    )
    with pytest.raises(UsageError, match=r"need a model of spaCy .*python -m spacy download zh_core_web_lg"):
        people("zh")
    there.clear()
    with pytest.raises(UsageError, match=r"pip install 'assay\[pii\]'"):
        finder_for(["en"], "presidio")
    assert finder_for(["en"], "auto").recognisers


@pytest.mark.data
def test_real_mail_addresses(real_data: Path) -> None:
    """Enron's prompts put blanks round every address, so all are known without a recogniser."""
    lines = (real_data / "enron_pii_prompts" / "enron.jsonl").read_text(encoding="utf-8").splitlines()
    wanted, right, wrong = 0, 0, 0
    for text in (json.loads(line)["query"] for line in lines):
        true = {word.strip(".,;:<>[]()\"'") for word in text.split() if "@" in word}
        here = {text[one.start : one.end] for one in by_cue().find(text) if one.kind == "EMAIL"}
        wanted += len(true)
        right += len(true & here)
        wrong += len(here - true)
    assert (wanted, right, wrong) == (788, 788, 0)
