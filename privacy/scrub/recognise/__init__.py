"""Finds personal data in texts, by form and check digit, and names by cue or by Presidio."""

from privacy.scrub.recognise.finder import Finder, Found
from privacy.scrub.recognise.kinds import KINDS, PLACEHOLDER, placeholder
from privacy.scrub.recognise.languages import finder_for

__all__ = ["KINDS", "PLACEHOLDER", "Finder", "Found", "finder_for", "placeholder"]
