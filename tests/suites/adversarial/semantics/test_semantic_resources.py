"""The measures on real resources, as far as this machine has them already; nothing is downloaded here."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from suites.adversarial.resources.finding import Found, ResourceMissing, find
from suites.adversarial.semantics.measures import RESOURCE, Instrument, SemanticMeasures, load_instrument
from suites.adversarial.semantics.params import Measure, SemanticsParams

pytestmark = pytest.mark.data
FILM = "A gripping film with a great cast."


def on_this_machine(measure: Measure) -> Found:
    if measure == "grammar" and importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("ONNX Runtime is not installed: pip install 'assay[grammar]'")
    try:
        return find(RESOURCE[measure], fetch=False)
    except ResourceMissing as error:
        pytest.skip(str(error))


def rows(pairs: list[tuple[str, str]], measure: Measure, **params: Any) -> list[dict[str, Any]]:
    found = SemanticMeasures(SemanticsParams(measures=(measure,), **params), device="cpu").measure(pairs)
    assert all(row["semantics_missing"] is None for row in found)
    return found


def test_similarity_tells_a_changed_word_from_another_text() -> None:
    on_this_machine("similarity")
    texts = (FILM, "A gripping movie with a great cast.", "Purple elephants compute integrals.")
    same, near, far = (row["similarity"] for row in rows([(FILM, text) for text in texts], "similarity"))
    assert same == pytest.approx(1.0, abs=1e-6)
    assert 0.95 < near < 1.0
    assert far < 0.3


def test_the_tagger_finds_errors_and_spares_correct_texts() -> None:
    on_this_machine("grammar")
    right = "The films were good and the actors knew their lines."
    wrong = "The films was good and the actors knew there lines."
    one, other = rows([(right, wrong), (FILM, FILM)], "grammar")
    assert (one["grammar_errors_before"], one["grammar_errors_after"]) == (0, 2)
    assert (other["grammar_errors_before"], other["grammar_errors_after"]) == (0, 0)
    instrument = load_instrument("grammar", None, "cpu")
    assert isinstance(instrument, Instrument)
    both = instrument.read([f"{wrong} {right} {wrong}"])
    assert list(both) == [4], "sentence by sentence"


def test_perplexity_under_a_real_language_model(real_data: Path) -> None:
    """Against the model's own mean loss; a small one, loaded as the user's path."""
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    folder = real_data / "model_stories260k"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    text, spoilt = "Once upon a time there was a little girl.", "Once upon a tmie there was a lttile girl."
    [row] = rows([(text, spoilt)], "perplexity", causal_lm=str(folder))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ids = [model.config.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        loss = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
    assert row["perplexity_before"] == pytest.approx(math.exp(loss), rel=1e-3)
    assert row["perplexity_after"] > 2 * row["perplexity_before"]
