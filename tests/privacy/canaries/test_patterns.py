from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from privacy.canaries.patterns import check_pattern, draw, every, fits, space


def luhn_valid(number: str) -> bool:
    """From the right, every second digit doubled, digits of products added up: a multiple of ten."""
    digits = [int(letter) for letter in reversed(number) if letter.isdigit()]
    return (
        sum(digit if place % 2 == 0 else sum(map(int, str(2 * digit))) for place, digit in enumerate(digits)) % 10 == 0
    )


def test_cards_have_the_check_digit_of_luhn() -> None:
    assert luhn_valid("4111 1111 1111 1111")  # the test number that card companies publish
    assert not fits("card", "4111 1111 1111 1111")  # of an issuer
    drawn = [draw("card", Random(seed)) for seed in range(200)]
    assert all(luhn_valid(card) and fits("card", card) for card in drawn)
    assert len(set(drawn)) == 200
    assert all(
        card.startswith("9999 ") and not fits("card", f"{card[:-1]}{(int(card[-1]) + 1) % 10}") for card in drawn
    )


@pytest.mark.parametrize("pattern", ["##", "a-@#", "*-*", "pin ###"])
def test_all_secrets_are_listed_once_and_fit(pattern: str) -> None:
    listed = list(every(pattern))
    assert len(listed) == len(set(listed)) == space(pattern)
    assert all(fits(pattern, secret) for secret in listed)
    assert {draw(pattern, Random(seed)) for seed in range(50)} <= set(listed)


def test_every_secret_is_as_likely_as_any_other() -> None:
    random = Random(0)
    counts = Counter(draw("#", random) for _ in range(10_000))
    chi_square = sum((counts[str(digit)] - 1000) ** 2 / 1000 for digit in range(10))
    assert chi_square < 27.9  # 0.999 quantile at 9 degrees of freedom


def test_sizes_of_spaces() -> None:
    assert (space("card"), space("phone"), space("key"), space("@#")) == (10**11, 10**6, 16**32, 260)


@pytest.mark.parametrize("pattern", ["", "no place", "*" * 300])
def test_a_pattern_with_nothing_or_too_much_to_draw_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern: "):
        check_pattern(pattern)
