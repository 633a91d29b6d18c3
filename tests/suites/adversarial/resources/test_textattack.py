"""Our resources inside TextAttack's own components, in a process without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.suites.adversarial.resources.test_nltk import tiny_wordnet

ROOT = Path(__file__).parents[4]
_PROBE = """
import json, socket, sys
from pathlib import Path

def refuse(*_): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
import numpy as np
from suites.adversarial.resources.finding import find
from suites.adversarial.resources.nltk_data import wordnet_reader
from suites.adversarial.resources.tagger import read_tagger
from suites.adversarial.recipes.parts import textattack_embedding
from suites.adversarial.resources.vectors import WordVectors
from tests.suites.adversarial.nltk_tagger import put_tagger
home = Path(sys.argv[1])
vectors = WordVectors(["bad", "good", "fine", "nice"], np.array([[-1, 0.1], [1, 0], [1, 0.1], [1, 0.3]]))
embedding = textattack_embedding(vectors)
from textattack.constraints.grammaticality import PartOfSpeech
from textattack.shared import AttackedText
from textattack.transformations import WordSwapEmbedding, WordSwapWordNet
wordnet_reader(find("wordnet", home / "wn"))
put_tagger(read_tagger(find("pos-tagger", home / "tagger").path), home / "nltk_data")
text = AttackedText("a good film")
import nltk
nltk.download = lambda *_, **__: False  # other languages' words, which stock asks for and does without
swaps = [WordSwapEmbedding(max_candidates=2, embedding=embedding), WordSwapWordNet()]
found = [swap(text, indices_to_modify=[1]) for swap in swaps]
print(json.dumps({"swaps": [[new.text for new in new] for new in found],
                  "kept": [PartOfSpeech()(new, text) for new in found[0]]}))
"""


def test_textattack_runs_on_our_resources_without_a_network(tmp_path: Path) -> None:
    tiny_wordnet(tmp_path / "wn")
    (tmp_path / "tagger").mkdir()
    parts = {"weights": {"bias": {"NN": 1.0}}, "tagdict": {"good": "JJ", "fine": "JJ"}, "classes": ["JJ", "NN"]}
    for name, value in parts.items():
        (tmp_path / "tagger" / f"averaged_perceptron_tagger_eng.{name}.json").write_text(json.dumps(value))
    environment = {**os.environ, "ASSAY_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", _PROBE, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {"swaps": [["a fine film", "a nice film"], ["a nice film"]], "kept": [True, False]}
