"""TextAttack 0.3.11, imported on first use, offline, and leaving the process as it was.

On import TextAttack downloads six packages unless a marker lies in its cache, points the caches of other libraries at
its own, disables every existing logger, reads NLTK's stop words, and needs flair, which transformers 5 cannot run.
Downloads are prevented, the rest is supplied or undone.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.base.surroundings import empty_working_folder
from harness.data.pypi import cache_home
from harness.errors import UsageError
from suites.adversarial.resources.finding import find

INSTALL = "pip install 'assay[adversarial]'"
_LOGGER = "textattack.shared.utils.install"
_MARKER = "post_install_check_3"
"""TextAttack downloads unless this file lies in its cache."""
_SET_ON_IMPORT = (
    "HF_HOME",
    "PYTORCH_TRANSFORMERS_CACHE",
    "TA_CACHE_DIR",
    "TFHUB_CACHE_DIR",
    "TOKENIZERS_PARALLELISM",
    "WANDB_SILENT",
    "XDG_CACHE_HOME",
)
_STOP_WORDS = Path(__file__).parents[1] / "data" / "english_stop_words.csv"
"""NLTK's English list of 179 words (nltk_data 5db857e6f7df: the Snowball project's, and parts of contractions)."""


@dataclass(frozen=True, slots=True)
class StopWords:
    """Words that attacks leave alone, and where the list came from: another list makes another attack."""

    source: str
    words: Sequence[str]

    @property
    def name(self) -> str:
        """Source, number of words and first 8 hex digits of the sha256 of the sorted words, one a line."""
        digest = hashlib.sha256("\n".join(sorted(set(self.words))).encode()).hexdigest()
        return f"{self.source}, {len(set(self.words))} words, sha256 {digest[:8]}"


def missing() -> str | None:
    """Why TextAttack cannot be used, as far as can be told without importing it; None when it is installed."""
    for package, name in (("textattack", "TextAttack"), ("greenlet", "greenlet")):
        if importlib.util.find_spec(package) is None:
            return f"needs {name}, which is not installed; {INSTALL}"
    return None


def load_textattack() -> Any:
    """The `textattack` module. Takes seconds the first time. Raises UsageError where it is not installed or broken."""
    why = missing()
    if why is not None:
        raise UsageError(why)
    if "textattack" not in sys.modules:
        _import_textattack()
    logging.getLogger(_LOGGER).setLevel(logging.ERROR)  # it reports every recipe that is built
    return sys.modules["textattack"]


def stop_words() -> StopWords:
    """English stop words: the user's list, else nltk_data's, as TextAttack would read, else the packaged copy of it."""
    found = find("stop-words", fetch=False)
    if found.source == "user":
        return StopWords("user's list", found.path.read_text(encoding="utf-8").split())
    corpus = importlib.import_module("nltk.corpus")
    try:
        return StopWords("nltk_data", corpus.stopwords.words("english"))
    except (LookupError, OSError):  # no data, or data without the English list
        return StopWords("packaged NLTK list", _STOP_WORDS.read_text(encoding="utf-8").split()[1:])


@contextmanager
def nltk_stop_words(chosen: StopWords) -> Iterator[None]:
    """Recipes built inside get the chosen words where they ask NLTK's corpus for the English ones."""
    corpus = importlib.import_module("nltk.corpus")
    before = corpus.stopwords
    corpus.stopwords = _Corpus(chosen)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        corpus.stopwords = before  # type: ignore[attr-defined]


class _Corpus:
    """What TextAttack uses of `nltk.corpus.stopwords`."""

    def __init__(self, chosen: StopWords) -> None:
        self._chosen = chosen

    def words(self, language: str) -> list[str]:
        if language != "english":
            raise LookupError(f"stop words are at hand for English only, not {language}")
        return list(self._chosen.words)


def _import_textattack() -> None:
    cache = _prepared_cache()
    try:
        for name in ("huggingface_hub", "datasets", "transformers"):
            importlib.import_module(name)  # they fix their cache folders on import, so before these are redirected
        chosen = stop_words()  # the user's list may be named relative to the working folder
        with ExitStack() as stack:
            stack.enter_context(empty_working_folder())  # matplotlib, which flair imports, reads a matplotlibrc there
            stack.enter_context(_environment_kept())
            stack.enter_context(_loggers_kept())
            stack.enter_context(_flair_or_stand_in())
            stack.enter_context(nltk_stop_words(chosen))
            os.environ["TA_CACHE_DIR"] = str(cache)
            importlib.import_module("textattack")
    except ImportError as error:
        raise UsageError(f"TextAttack is installed but cannot be imported ({error}); {INSTALL}") from error


def _prepared_cache() -> Path:
    """A folder for TextAttack's own cache, marked as if its downloads had been made."""
    folder = cache_home().absolute() / "textattack"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MARKER).touch()
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be written ({error.strerror}); TextAttack needs it, set ASSAY_CACHE to another folder"
        ) from error
    return folder


@contextmanager
def _environment_kept() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _SET_ON_IMPORT}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _loggers_kept() -> Iterator[None]:
    known = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    enabled = [logger for logger in known if not logger.disabled]
    try:
        yield
    finally:
        for logger in enabled:
            logger.disabled = False


@contextmanager
def _flair_or_stand_in() -> Iterator[None]:
    stand_ins: dict[str, ModuleType] = {}
    try:
        importlib.import_module("flair")
    except ImportError:
        stand_ins = _stand_ins()
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:  # whoever asks for flair later must hear that it is not there
            del sys.modules[name]


def _stand_ins() -> dict[str, ModuleType]:
    """What TextAttack touches of flair when it is imported; only attacks that tag parts of speech use more."""
    flair, data, models = (ModuleType(name) for name in ("flair", "flair.data", "flair.models"))
    for module, names in ((data, ("Sentence", "Tokenizer")), (models, ("SequenceTagger",))):
        for name in names:
            setattr(module, name, type(name, (_NoFlair,), {}))
        setattr(flair, module.__name__.removeprefix("flair."), module)
    return {module.__name__: module for module in (flair, data, models)}


class _NoFlair:
    """A class of flair's that is not there."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise UsageError("this part of TextAttack needs flair, which is not installed or does not run here")
