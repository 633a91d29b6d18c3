from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nltk.corpus
import pytest

from harness.errors import UsageError
from suites.adversarial.resources import textattack_env
from suites.adversarial.resources.textattack_env import StopWords, nltk_stop_words, stop_words

ROOT = Path(__file__).parents[4]
_PROBE = """
import json, logging, os, socket, sys

def refuse(*_): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
for name in {blocked!r}:
    sys.modules[name] = None  # importing it raises ModuleNotFoundError, as where it is not installed
ours = logging.getLogger("harness.record.rows")
before = dict(os.environ)
from suites.adversarial.resources.textattack_env import load_textattack, stop_words
load_textattack()
after = dict(os.environ)
import huggingface_hub, nltk.corpus
from suites.adversarial.attacks.params import AttackParams
from suites.adversarial.attacks.catalogue import DeepWordBug
from tests.fakes import FakeScorer, make_info
from harness.api.case import Case
from harness.api.needs import Need
good = lambda request: (0.1, 0.9) if "good" in request.text.split() else (0.8, 0.2)
scorer = FakeScorer(make_info(Need.SEQUENCE_CLASSIFIER), classify=good)
(row,) = DeepWordBug().run(scorer, [Case("a", {{"text": "the good film", "label": 1, "words_cut": 0}})])
names = ("TA_CACHE_DIR", "HF_HOME", "XDG_CACHE_HOME", "TFHUB_CACHE_DIR", "PYTORCH_TRANSFORMERS_CACHE",
         "TOKENIZERS_PARALLELISM", "WANDB_SILENT")
print(json.dumps({{
    "changed": [name for name in names if before.get(name) != after.get(name)],
    "hub_cache": huggingface_hub.constants.HF_HUB_CACHE,
    "silenced": ours.disabled,
    "flair": "flair" in sys.modules and sys.modules["flair"] is not None,
    "stop_words": stop_words().name,
    "corpus": type(nltk.corpus.stopwords).__module__,
    "row": {{key: row[key] for key in ("status", "error", "outcome", "stop_words")}},
    "queries": scorer.calls,
}}))
"""


def imported(home: Path, nltk_data: Path, blocked: tuple[str, ...] = ()) -> tuple[dict[str, Any], str]:
    """What a fresh process says after it imported TextAttack and attacked one text, and its stderr."""
    keep = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS", "VIRTUAL_ENV") if name in os.environ}
    caches = {"HF_HOME": str(home / "hf"), "XDG_CACHE_HOME": str(home / "xdg"), "NLTK_DATA": str(nltk_data)}
    environment = {**keep, **caches, "HOME": str(home), "ASSAY_CACHE": str(home / "assay")}
    command = [sys.executable, "-W", "ignore", "-c", _PROBE.format(blocked=blocked)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
def test_a_machine_without_network_and_nltk_data(tmp_path: Path) -> None:
    said, stderr = imported(tmp_path, tmp_path / "nothing")
    assert said["changed"] == []
    assert said["hub_cache"] == str(tmp_path / "hf" / "hub")
    assert said["silenced"] is False
    assert said["stop_words"].startswith("packaged NLTK list, 179 words, sha256 ")
    assert said["corpus"].startswith("nltk.")
    assert said["row"] == {"status": "ok", "error": None, "outcome": "succeeded", "stop_words": said["stop_words"]}
    assert "textattack" not in stderr
    assert not (tmp_path / "nltk_data").exists()
    assert (tmp_path / "assay" / "textattack").is_dir()


@pytest.mark.slow
def test_a_machine_without_flair_and_with_stop_words_of_its_own(tmp_path: Path) -> None:
    words = tmp_path / "nltk" / "corpora" / "stopwords" / "english"
    words.parent.mkdir(parents=True)
    words.write_text("the\nfilm\n")
    said, _ = imported(tmp_path, tmp_path / "nltk", blocked=("flair",))
    assert said["flair"] is False
    assert said["stop_words"].startswith("nltk_data, 2 words, sha256 ")
    assert said["row"]["stop_words"] == said["stop_words"]
    assert said["queries"][:2] == [1, 1], "the ranking should ask for 'good' alone"


@pytest.mark.data
def test_the_packaged_list_is_that_of_nltk(real_data: Path) -> None:
    packaged = textattack_env._STOP_WORDS.read_text(encoding="utf-8").split()
    assert packaged[0] == "word"
    assert packaged[1:] == (real_data / "wordlists" / "stopwords_english.txt").read_text().split()


def test_no_opinion_is_a_stop_word() -> None:
    packaged = set(textattack_env._STOP_WORDS.read_text(encoding="utf-8").split()[1:])
    assert len(packaged) == 179
    assert not packaged & {"good", "great", "best", "better", "bad", "worst", "poorly", "like", "interesting"}


def test_the_name_of_a_list_says_what_is_in_it() -> None:
    one, other = StopWords("a", ["x", "y"]), StopWords("a", ["y", "x", "x"])
    assert one.name == other.name
    assert one.name.startswith("a, 2 words, sha256 ")
    assert one.name != StopWords("a", ["x", "z"]).name


def test_nltk_gets_its_own_words_back() -> None:
    before = nltk.corpus.stopwords
    with nltk_stop_words(StopWords("a", ["x"])):
        assert nltk.corpus.stopwords.words("english") == ["x"]
        with pytest.raises(LookupError, match="English only, not german"):
            nltk.corpus.stopwords.words("german")
    assert nltk.corpus.stopwords is before


def test_data_without_an_english_list_are_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    class German:
        def words(self, _: str) -> list[str]:
            raise OSError("no such file: english")

    monkeypatch.setattr(nltk.corpus, "stopwords", German())
    assert stop_words().source == "packaged NLTK list"


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file"))
    monkeypatch.delitem(sys.modules, "textattack", raising=False)
    with pytest.raises(UsageError, match=r"file/textattack: cannot be written .* set ASSAY_CACHE"):
        textattack_env.load_textattack()


def test_a_broken_installation_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.delitem(sys.modules, "textattack", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"installed but cannot be imported .*pip install 'assay\[adversarial\]'"):
        textattack_env.load_textattack()
