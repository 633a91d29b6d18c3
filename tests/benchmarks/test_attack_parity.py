import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import attack_parity
from benchmarks.attack_parity import chosen_lengths, merged, read_cells, remembering
from benchmarks.report import Cell, write


def cell(name: str, agree: int) -> Cell:
    return Cell(f"{name}: examples with the same outcome", agree, 200, 1.0, extra={"unit": "examples", "queries": 7})


def test_recipes_that_were_not_run_stay_with_where_they_were_measured(tmp_path: Path) -> None:
    path = write("attack_parity", [cell("clare", 1), cell("textfooler", 198)], peers=["numpy"], folder=tmp_path)
    first = json.loads(path.read_text())
    path.write_text(json.dumps({**first, "device": "an older machine", "date": "2001-01-01"}))
    cells = merged([cell("bae", 200), cell("clare", 199)], read_cells(path))
    assert [(one.case.split(":")[0], one.ours) for one in cells] == [("textfooler", 198), ("bae", 200), ("clare", 199)]
    assert cells[0].extra["measured"]["device"] == "an older machine"
    assert cells[0].extra["measured"]["versions"] == first["versions"]
    assert cells[0].extra["queries"] == 7
    assert all("measured" not in one.extra for one in cells[1:])

    write("attack_parity", cells, folder=tmp_path)
    again = merged([], read_cells(path))
    assert again[0].extra["measured"]["date"] == "2001-01-01"
    assert again[1].extra["measured"]["date"] == first["date"]
    assert [one.as_json() for one in merged(again, [])] == [one.as_json() for one in again]


def test_without_results_there_is_nothing_to_keep(tmp_path: Path) -> None:
    assert read_cells(tmp_path / "none.json") == []


def test_one_short_text_in_twenty_is_longer_than_the_window() -> None:
    lines = [" ".join(["1", *["word"] * (words % 30)]) for words in range(300)]
    chosen = chosen_lengths(lines, 40)
    lengths = [len(line.split()) - 1 for line in chosen]
    assert len(chosen) == 40
    assert lengths[:10] == [*range(6, 14), 18, 19], "in the order of the file"
    assert sum(length > 15 for length in lengths) == 2


def test_the_peers_memory_gives_the_encoders_vectors_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def encode(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)

    monkeypatch.setattr(attack_parity, "sentence_encoder", lambda: encode)
    encoded = remembering()
    assert encoded(["b", "aa", "b"]).tolist() == [[1, 98], [2, 97], [1, 98]]
    assert encoded(["aa", "c"]).tolist() == [[2, 97], [1, 99]]
    assert asked == [["b", "aa"], ["c"]]
    monkeypatch.setattr(attack_parity, "REMEMBERED", 1)
    assert encoded(["b"]).tolist() == [[1, 98]]
    assert asked[2:] == [["b"]]
