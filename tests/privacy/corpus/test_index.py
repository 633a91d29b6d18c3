from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.lock import Lock
from harness.errors import UsageError
from privacy.corpus.index import TEXT, Coding, build_index, open_index
from privacy.corpus.index.blocks import block_path
from privacy.corpus.index.build import BLOCK_BYTES

pytest.importorskip("pydivsufsort", reason="needs pydivsufsort, of the extra data")

Document = str | Sequence[int]


def naive(documents: Sequence[Document], wanted: Document) -> tuple[int, int]:
    """Every place looked at."""
    places = [
        sum(document[at : at + len(wanted)] == wanted for at in range(len(document) - len(wanted) + 1))
        for document in documents
    ]
    return sum(places), sum(map(bool, places))


def of(index: object, wanted: Document) -> tuple[int, int]:
    count = index.count(wanted)  # type: ignore[attr-defined]
    return count.occurrences, count.documents


FEW = st.text(alphabet="ab\n漢é\U0001f600", max_size=12)


@given(st.lists(FEW, max_size=12), st.lists(FEW.filter(bool), min_size=1, max_size=6), st.integers(1, 60))
def test_counts_of_text_are_those_of_looking_everywhere(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str], wanted: list[str], block: int
) -> None:
    index = build_index(documents, tmp_path_factory.mktemp("index"), block_bytes=block)
    assert index.documents == len(documents)
    for each in [*wanted, *filter(None, documents[:3])]:
        assert of(index, each) == naive(documents, each)


IDS = st.lists(st.sampled_from([0, 1, 255, 256, 257, 65534]), max_size=10)


@given(st.lists(IDS, max_size=8), IDS.filter(bool), st.sampled_from([2, 4]), st.integers(1, 40))
def test_counts_of_tokens_are_those_of_looking_everywhere(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], wanted: list[int], width: int, block: int
) -> None:
    """Ids whose bytes match across two of them (1, 256 in bytes 0 2 1 1) must not count."""
    if width == 2:
        documents, wanted = [[min(each, 65533) for each in one] for one in documents], [min(w, 65533) for w in wanted]
    index = build_index(documents, tmp_path_factory.mktemp("index"), coding=Coding(width), block_bytes=block)
    for each in [wanted, wanted[:1], *(one for one in documents[:2] if one)]:
        assert of(index, each) == naive(documents, each)


def test_a_string_does_not_go_on_into_the_next_document(tmp_path: Path) -> None:
    index = build_index(["ab", "cd"], tmp_path / "index", block_bytes=100)
    assert of(index, "bc") == (0, 0)
    assert of(index, "b") == (1, 1)


def test_only_changed_blocks_are_sorted_again(tmp_path: Path) -> None:
    folder, sorted_ = tmp_path / "index", list[bool]()
    documents = ["one two", "three four", "five six"]
    first = build_index(documents, folder, block_bytes=8, on_block=lambda _, written: sorted_.append(written))
    assert sorted_ == [True] * 3
    sorted_.clear()
    again = build_index(documents, folder, block_bytes=8, on_block=lambda _, written: sorted_.append(written))
    assert sorted_ == [False] * 3
    assert again.digest == first.digest
    sorted_.clear()
    other = build_index(["one two", "xxxxx"], folder, block_bytes=8, on_block=lambda _, w: sorted_.append(w))
    assert sorted_ == [False, True]
    assert other.digest != first.digest
    assert of(other, "five") == (0, 0)
    assert not block_path(folder, 2, "text").exists()


def test_a_build_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    folder, sorted_ = tmp_path / "index", list[bool]()

    def killed() -> object:
        yield "one two"
        yield "three four"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(killed(), folder, block_bytes=8)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no finished index"):
        open_index(folder)
    index = build_index(
        ["one two", "three four"], folder, block_bytes=8, on_block=lambda _, written: sorted_.append(written)
    )
    assert sorted_ == [False, True]
    assert of(index, "o") == naive(["one two", "three four"], "o")


def test_an_index_that_is_being_replaced_promises_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build_index(["one two", "three four"], folder, block_bytes=8)

    def killed() -> object:
        yield "another"
        yield "thing"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(killed(), folder, block_bytes=8)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no finished index"):
        open_index(folder)


def test_one_builder_at_a_time_and_nothing_is_left_of_one_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build_index(["a"], folder)
    lock = Lock(folder / "lock")
    with pytest.raises(UsageError, match="is being built by process"):
        build_index(["b"], folder)
    lock.release()
    (folder / ".block-000000.text.77.tmp").write_text("half")
    assert of(build_index(["b"], folder), "b") == (1, 1)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    build_index(["secret"], tmp_path / "index")
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o700
    for path in (tmp_path / "index").glob("block-*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("part", ["text", "suffixes", "starts"])
def test_damage_is_one_sentence(tmp_path: Path, part: str) -> None:
    build_index(["secret"], tmp_path / "index")
    block_path(tmp_path / "index", 0, part).write_bytes(b"x")
    with pytest.raises(UsageError, match="block 0 is damaged; build the index again"):
        open_index(tmp_path / "index")
    assert of(build_index(["secret"], tmp_path / "index"), "e") == (2, 1)


def test_a_damaged_or_newer_promise_is_one_sentence(tmp_path: Path) -> None:
    build_index(["a"], tmp_path / "index")
    note = tmp_path / "index" / "index.json"
    newer = json.loads(note.read_text()) | {"version": 2}
    note.write_text(json.dumps(newer))
    with pytest.raises(UsageError, match="of version 2"):
        open_index(tmp_path / "index")
    note.write_text("{")
    with pytest.raises(UsageError, match="damaged"):
        open_index(tmp_path / "index")


def test_what_cannot_be_indexed_or_counted_is_one_sentence(tmp_path: Path) -> None:
    index = build_index(["text"], tmp_path / "index")
    with pytest.raises(UsageError, match="nothing to count"):
        index.count("")
    with pytest.raises(UsageError, match="token ids to one of tokens"):
        index.count([1])
    with pytest.raises(UsageError, match="U\\+0000"):
        TEXT.encode("a\0b")
    with pytest.raises(UsageError, match="outside 0 to 65534"):
        Coding(2).encode([65535])
    with pytest.raises(UsageError, match="a unit of 3 bytes"):
        Coding(3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds 'thesis"):
        build_index(["a"], tmp_path / "full")
    with pytest.raises(UsageError, match="blocks of 0 bytes"):
        build_index(["a"], tmp_path / "other", block_bytes=0)
    assert BLOCK_BYTES == 64 * 2**20
