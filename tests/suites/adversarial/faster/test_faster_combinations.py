from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from suites.adversarial.faster.combinations import first_words
from suites.adversarial.resources.textattack_env import load_textattack

TOKENS = ("a", "##b", "!", "##!", "-", "##-", "'", "##'", "#", "###", "[SEP]", "x!y", "a-", "é", "1", "##_", ".", "")
CHINESE = ("中", "##国", "##人", "中国")


def counted(text: str) -> int:
    return len(load_textattack().shared.utils.words_from_text(text))


def brute_force(places: list[list[str]], most: int) -> list[str]:
    """As stock: all combinations, then the first ones."""
    joined = ["".join(tokens).replace("##", "") for tokens in itertools.product(*places)]
    return [word for word in joined if counted(word) == 1][:most]


@pytest.mark.parametrize("tokens", [TOKENS, TOKENS + CHINESE], ids=["latin", "chinese"])
@pytest.mark.parametrize("seed", range(3))
def test_the_first_words_of_all_combinations(tokens: tuple[str, ...], seed: int) -> None:
    chance = random.Random(seed)
    found = 0
    for _ in range(20):
        places = [chance.sample(tokens, chance.randint(1, 4)) for _ in range(chance.randint(1, 5))]
        most = chance.choice((1, 3, 1000))
        expected = brute_force(places, most)
        assert first_words(places, most, counted) == expected
        found += bool(expected)
    assert found > 5


@pytest.mark.parametrize(
    "places",
    [
        [["!", ".", "?"]] * 40,
        [["[SEP]", "."], *[["##a", "##b", "!", "."]] * 40, ["!a", ".b"]],
        [["a", "b"], *[["!", ".", ","]] * 40, ["##a", "##b"]],
    ],
)
def test_dead_ends_are_left_early(places: list[list[str]]) -> None:
    calls: list[Any] = []

    def spy(text: str) -> int:
        calls.append(text)
        return counted(text)

    assert first_words(places, 48, spy) == [] or len(calls) < 20_000
    assert len(calls) < 20_000


def test_no_place() -> None:
    assert first_words([], 3, counted) == []
    assert first_words([[], ["a"]], 3, counted) == []
