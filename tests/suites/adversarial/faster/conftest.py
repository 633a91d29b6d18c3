from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import nltk.data
import pytest

from suites.adversarial.resources.finding import find
from suites.adversarial.resources.nltk_data import tagger_folder
from tests.suites.adversarial.faster.stand_ins import made_up_tagger


@pytest.fixture
def tagger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The made-up tagger, put where `nltk.pos_tag` takes its own from; with the universal tag set."""
    folder = tmp_path / "tagger"
    folder.mkdir()
    parts = {"weights": {"bias": {"NN": 1.0}}, "tagdict": {}, "classes": ["NN"]}
    for name, value in parts.items():
        (folder / f"averaged_perceptron_tagger_eng.{name}.json").write_text(json.dumps(value))
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))
    tagger_folder(find("pos-tagger", folder))
    made_up = made_up_tagger()
    monkeypatch.setattr(importlib.import_module("nltk.tag"), "_get_tagger", lambda lang=None: made_up)
    return made_up
