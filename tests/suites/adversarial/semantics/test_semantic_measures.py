"""Measures of pairs by fakes: batching, columns, and what is said of what is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import run as start
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.errors import UsageError
from harness.record.rows import RowStore
from suites.adversarial.resources.finding import Found, ResourceMissing
from suites.adversarial.semantics import measures
from suites.adversarial.semantics.columns import SEMANTIC_COLUMNS, SemanticColumns
from suites.adversarial.semantics.measures import Instrument, SemanticMeasures, load_instrument
from suites.adversarial.semantics.params import Measure, SemanticsParams
from suites.adversarial.semantics.unmeasured import Unmeasured

ORIGINAL, SPOILT = "the film was good", "teh film was good"


class Bench:
    """Fake instruments: letters as vectors, 'teh' as an error, words as perplexity; notes what they are asked."""

    def __init__(self, **gone: str) -> None:
        self.gone = gone
        self.loaded: list[str] = []
        self.asked: list[list[str]] = []

    def __call__(self, measure: Measure) -> Instrument | Unmeasured:
        self.loaded.append(measure)
        if measure in self.gone:
            return Unmeasured(self.gone[measure])
        readers = {"similarity": self.vector, "grammar": self.errors, "perplexity": self.perplexity}

        def read(texts: Sequence[str]) -> list[Any]:
            self.asked.append(list(texts))
            return [Unmeasured("it is cursed") if "cursed" in text else readers[measure](text) for text in texts]

        return Instrument(read, f"the fake {measure}")

    @staticmethod
    def vector(text: str) -> Any:
        return np.array([1.0 + text.count(letter) for letter in "abcdefgh"])

    @staticmethod
    def errors(text: str) -> int:
        return text.split().count("teh")

    @staticmethod
    def perplexity(text: str) -> float:
        return 1.0 + len(text.split())


def measured(
    pairs: Sequence[tuple[str, str | None]], bench: Bench | None = None, **params: Any
) -> list[dict[str, Any]]:
    return SemanticMeasures(SemanticsParams(**params), load=bench or Bench()).measure(pairs)


def test_the_columns_are_those_of_the_schema() -> None:
    own = [name for name in SemanticColumns.to_schema().columns if name not in ("case_id", "status", "error")]
    assert own == list(SEMANTIC_COLUMNS)
    assert all(list(row) == own for row in measured([(ORIGINAL, SPOILT), (ORIGINAL, None)]))


def test_every_pair_gets_its_own_numbers() -> None:
    first, second = measured([(ORIGINAL, "a film was good enough"), (ORIGINAL, SPOILT)])
    one, other = Bench.vector(ORIGINAL), Bench.vector("a film was good enough")
    assert first["similarity"] == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert first["angular_similarity"] == pytest.approx(1 - np.arccos(first["similarity"]) / np.pi)
    assert (first["perplexity_before"], first["perplexity_after"]) == (5.0, 6.0)
    assert (second["grammar_errors_before"], second["grammar_errors_after"]) == (0, 1)
    assert second["similarity"] == pytest.approx(1.0)
    assert json.loads(second["semantics_source"]) == {
        name: f"the fake {name}" for name in ("similarity", "grammar", "perplexity")
    }
    assert second["semantics_missing"] is None


def test_each_distinct_text_is_read_once_in_one_call() -> None:
    bench = Bench()
    measured([(ORIGINAL, SPOILT), (ORIGINAL, "b"), ("b", "b"), ("never read", None)], bench)
    assert bench.asked == [[ORIGINAL, SPOILT, "b"]] * 3


def test_nothing_is_loaded_before_there_is_a_perturbed_text() -> None:
    bench = Bench()
    rows = measured([(ORIGINAL, None)], bench) + measured([], bench)
    assert bench.loaded == []
    assert rows == [dict.fromkeys(SEMANTIC_COLUMNS)]


def test_only_what_is_asked_for_is_measured() -> None:
    bench = Bench()
    [row] = measured([(ORIGINAL, SPOILT)], bench, measures=("grammar",))
    assert bench.loaded == ["grammar"]
    assert row["similarity"] is row["perplexity_after"] is row["semantics_missing"] is None
    assert json.loads(row["semantics_source"]) == {"grammar": "the fake grammar"}
    [nothing] = measured([(ORIGINAL, SPOILT)], measures=())
    assert nothing == dict.fromkeys(SEMANTIC_COLUMNS)


def test_a_missing_resource_is_named_and_its_columns_are_empty() -> None:
    why = "grammar-tagger, for grammar errors, is missing"
    [row] = measured([(ORIGINAL, SPOILT)], Bench(grammar=why))
    assert row["grammar_errors_before"] is row["grammar_errors_after"] is None
    assert json.loads(row["semantics_missing"]) == {"grammar": why}
    assert set(json.loads(row["semantics_source"])) == {"similarity", "perplexity"}


def test_a_text_that_cannot_be_measured_leaves_the_other_ones_number() -> None:
    [row, other] = measured([(ORIGINAL, "cursed"), (ORIGINAL, SPOILT)])
    assert row["similarity"] is row["angular_similarity"] is row["perplexity_after"] is None
    assert (row["grammar_errors_before"], row["perplexity_before"]) == (0, 5.0)
    assert json.loads(row["semantics_missing"]) == dict.fromkeys(
        ("similarity", "grammar", "perplexity"), "it is cursed"
    )
    assert other["semantics_missing"] is None


def test_the_rows_survive_the_row_store(tmp_path: Path) -> None:
    found = measured([(ORIGINAL, SPOILT), (ORIGINAL, None)], Bench(grammar="gone"))
    rows = [{"case_id": str(at), "status": "ok", "error": None, **row} for at, row in enumerate(found)]
    store = RowStore(tmp_path, "adversarial/fake", SemanticColumns)
    store.append(rows)
    store.append([{"case_id": "2", "status": "error", "error": "why"}])
    back = store.read()
    assert back["similarity"].tolist()[0] == found[0]["similarity"]
    assert back.loc[1:, list(SEMANTIC_COLUMNS)].isna().all(axis=None)
    assert str(back["grammar_errors_after"].dtype) == "Int64"
    assert pd.isna(back["grammar_errors_after"][0])


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What `find` and the readers do, as the test says; no instrument is kept from or for another test."""
    does: dict[str, Any] = {"source": "pypi x==1", "asked": []}

    def find(name: str, path: str | None = None) -> Found:
        does["asked"].append((name, path))
        if "find" in does:
            raise does["find"]
        return Found(name, tmp_path, "user" if path else does["source"], "0" * 64, "the paper's")

    def reader(measure: str, found: Found, device: str) -> Any:
        if "read" in does:
            raise does["read"]
        return lambda texts: [device for _ in texts]

    monkeypatch.setattr(measures, "find", find)
    monkeypatch.setattr(measures, "_load", reader)
    load_instrument.cache_clear()
    yield does
    load_instrument.cache_clear()


def test_a_resource_is_loaded_once_per_process(finds: dict[str, Any]) -> None:
    params = SemanticsParams(measures=("perplexity",))
    first, second = SemanticMeasures(params), SemanticMeasures(params)
    assert finds["asked"] == []
    for each in (first, second, first):
        [row] = each.measure([(ORIGINAL, SPOILT)])
        assert json.loads(row["semantics_source"]) == {
            "perplexity": "causal-lm from pypi x==1, sha256 00000000, instead of the paper's"
        }
    assert finds["asked"] == [("causal-lm", None)]


def test_the_users_path_goes_to_the_resource(finds: dict[str, Any]) -> None:
    params = SemanticsParams(sentence_encoder="a", grammar_tagger="b", causal_lm="c")
    for measure in params.measures:
        load_instrument(measure, params.path(measure))
    assert finds["asked"] == [("sentence-encoder", "a"), ("grammar-tagger", "b"), ("causal-lm", "c")]


@pytest.mark.parametrize(
    "does",
    [{"find": ResourceMissing("nowhere")}, {"read": ResourceMissing("nowhere")}, {"read": UsageError("nowhere")}],
)
def test_what_is_missing_or_cannot_be_loaded_is_unmeasured(finds: dict[str, Any], does: dict[str, Any]) -> None:
    finds.update(does)
    assert load_instrument("grammar", None) == Unmeasured("nowhere")


@pytest.mark.parametrize("does", [{"find": UsageError("wrong")}, {"read": UsageError("wrong")}])
def test_what_the_user_gave_and_is_wrong_stops_the_audit(finds: dict[str, Any], does: dict[str, Any]) -> None:
    finds.update(does)
    with pytest.raises(UsageError, match="wrong"):
        load_instrument("grammar", "/given")


def test_a_threshold_on_what_is_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="max_perplexity_ratio needs 'perplexity' among measures"):
        SemanticsParams(measures=("grammar",), max_perplexity_ratio=2.0)
    assert SemanticsParams(measures=("grammar",)).limit("similarity") is None
    assert SemanticsParams().limit("similarity") == 0.98
    assert SemanticsParams().limit("grammar") == 0
    assert SemanticsParams().limit("perplexity") is None


def test_importing_the_measures_loads_no_model_library() -> None:
    code = (
        "import sys; import suites.adversarial.semantics.measures, suites.adversarial.semantics.filtered\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'textattack', 'huggingface_hub'}\n"
        "sys.exit(str(heavy & set(sys.modules) or ''))"
    )
    done = start([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
