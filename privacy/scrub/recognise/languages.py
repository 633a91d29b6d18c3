"""Which recognisers a language has."""

from __future__ import annotations

from collections.abc import Sequence

from harness.base.hints import did_you_mean
from harness.errors import UsageError
from privacy.scrub.recognise.chinese import CHINESE
from privacy.scrub.recognise.common import COMMON
from privacy.scrub.recognise.english import ENGLISH
from privacy.scrub.recognise.finder import Finder, Recogniser
from privacy.scrub.recognise.presidio import model_for, people

LANGUAGES = {"en": ENGLISH, "zh": CHINESE}
NAMES = ("auto", "presidio", "cue", "off")
"""How names are found: by cue and by Presidio where it is there; with Presidio or an error; by cue; not at all."""


def finder_for(languages: Sequence[str] = ("en", "zh"), names: str = "auto") -> Finder:
    """All recognisers of some languages.

    Args:
        languages: codes of LANGUAGES; those of every language are always there.
        names: of NAMES.

    Raises:
        UsageError: a language without a recogniser, none at all, or Presidio was asked for and is missing.
    """
    if names not in NAMES:
        raise UsageError(f"names: {names!r}; choose one of {', '.join(NAMES)}{did_you_mean(names, NAMES)}")
    if not languages:
        raise UsageError(f"languages: none given; choose of {', '.join(LANGUAGES)}")
    chosen: list[Recogniser] = list(COMMON)
    for language in dict.fromkeys(languages):
        if language not in LANGUAGES:
            raise UsageError(
                f"languages: no recogniser for {language[:20]!r}, so its texts cannot be scrubbed; there are those of "
                f"{', '.join(LANGUAGES)}"
            )
        chosen += [each for each in LANGUAGES[language] if each.kind != "NAME" or names != "off"]
        if names == "presidio" or (names == "auto" and model_for(language)):
            chosen.append(people(language))
    return Finder(chosen, tuple(dict.fromkeys(languages)))
