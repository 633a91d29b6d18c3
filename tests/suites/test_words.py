from __future__ import annotations

import pytest

from harness.api.needs import Need
from suites.quality.perplexity import MASKED_WORDS, Perplexity
from suites.words import LONGEST, first_words
from tests.fakes import make_info, plan


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("a b  c", None, ("a b  c", 0)),
        (" a\nb  c ", 2, (" a\nb", 1)),
        ("我喜欢这部电影。很好", 3, ("我喜欢", 6)),
        ("とても、よかった", 4, ("とても、よ", 3)),
        ("ดีมาก ครับ", 4, ("ดีมาก", 3)),
        ("한국어 문장 입니다", 2, ("한국어 문장", 1)),
        ("x" * 1000, 2, ("x" * 2 * LONGEST, 14)),
        ("我" + "!" * 1000, 1, ("我!!!", 16)),
    ],
)
def test_every_script_is_cut(text: str, most: int | None, expected: tuple[str, int]) -> None:
    assert first_words(text, most) == expected


@pytest.mark.parametrize("text", ["电影很好" * 50_000, "x" * 200_000, "ก" * 200_000])
def test_a_masked_lm_reads_a_bounded_part_of_texts_without_blanks(text: str) -> None:
    import pandas as pd

    (case,) = Perplexity().cases(plan(make_info(Need.MASKED_LM), texts=pd.DataFrame({"text": [text]})))
    assert len(case.data["text"]) <= MASKED_WORDS * LONGEST
