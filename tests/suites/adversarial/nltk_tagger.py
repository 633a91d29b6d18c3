"""Gives nltk itself a POS tagger, to compare with: the suite hands its own tagger in and needs no such thing."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from suites.adversarial.resources.tagger import PENN_TO_UNIVERSAL, Tagger


def put_tagger(tagger: Tagger, home: Path) -> Path:
    """Lays a tagger, with the universal tag set, where `nltk.pos_tag` then takes its own from; the tagger's folder."""
    folder = home / "taggers" / "averaged_perceptron_tagger_eng"
    folder.mkdir(parents=True)
    for part, value in (("weights", tagger.weights), ("tagdict", tagger.tagdict), ("classes", tagger.classes)):
        (folder / f"averaged_perceptron_tagger_eng.{part}.json").write_text(json.dumps(value))
    universal = home / "taggers" / "universal_tagset"
    universal.mkdir()
    lines = [f"{tag}\t{coarse}\n" for tag, coarse in PENN_TO_UNIVERSAL.items()]
    (universal / "en-ptb.map").write_text("".join(lines))
    importlib.import_module("nltk.data").path.insert(0, str(home))
    forget = getattr(getattr(importlib.import_module("nltk.tag"), "_get_tagger", None), "cache_clear", None)
    if forget is not None:  # nltk keeps the tagger it loaded first
        forget()
    return folder
