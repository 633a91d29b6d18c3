from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from privacy.scrub.output import PIECE, OutputFilter
from privacy.scrub.recognise import finder_for
from tests.privacy.scrub.labelled import CHINESE, ENGLISH, unmarked
from tests.privacy.scrub.test_scrub import TEXT

FILTER = OutputFilter(finder_for(names="off"))


@given(TEXT, st.lists(st.integers(0, 200), max_size=8))
def test_a_stream_gives_what_the_whole_text_gives_however_it_is_cut(text: str, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    found: Counter[str] = Counter()
    pieces = [text[start:end] for start, end in pairwise(places)]
    whole = FILTER(text)
    assert "".join(FILTER.stream(pieces, found)) == whole.text
    assert found == whole.found
    assert "".join(FILTER.stream(text)) == whole.text


def test_every_value_of_the_sample_is_taken_out() -> None:
    marked = "\n".join((*ENGLISH, *CHINESE))
    text, values = unmarked(marked)
    shown = FILTER(text)
    wanted = {(kind, value) for kind, value in values if kind != "NAME"}
    assert all(value not in shown.text for _, value in wanted)
    assert sum(shown.found.values()) == len(wanted) + 1  # 4.2.1.7 is no address
    assert FILTER(shown.text).text == shown.text


def test_a_line_is_let_go_when_it_is_whole() -> None:
    coming = iter(["call 212-555", "-0142 now\nand", " then"])
    out = FILTER.stream(coming)
    assert next(out) == "call <PHONE> now\n"
    assert next(coming, None) == " then"


def test_a_long_line_is_held_back_a_page_and_cut_between_words() -> None:
    line = "word " * 390 + "call me at 212-555-0142 or 4111 1111 1111 1111 and " + "word " * 500
    for before in range(0, 120, 7):
        text = "x" * before + " " + line
        assert FILTER(text).found == {"PHONE": 1, "CARD": 1}
        assert len(next(FILTER.stream(text))) <= PIECE
    assert "".join(FILTER.stream("a" * 5000)) == "a" * 5000


def test_it_knows_nothing_of_what_generates() -> None:
    import ast
    from pathlib import Path

    import privacy.scrub.output as module

    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name and ("scorer" in name or "torch" in name) for name in imported)
