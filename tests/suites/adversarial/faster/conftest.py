from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import nltk.data
import pytest

from suites.adversarial.resources.tagger import Tagger
from tests.suites.adversarial.faster.stand_ins import made_up_tagger
from tests.suites.adversarial.nltk_tagger import put_tagger


@pytest.fixture
def tagger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The made-up tagger, put where `nltk.pos_tag` takes its own from; with the universal tag set."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))
    put_tagger(Tagger({"bias": {"NN": 1.0}}, {}, ["NN"]), tmp_path / "nltk_data")
    made_up = made_up_tagger()
    monkeypatch.setattr(importlib.import_module("nltk.tag"), "_get_tagger", lambda lang=None: made_up)
    return made_up
