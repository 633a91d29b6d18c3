"""TextAttack's PartOfSpeech by a perceptron tagger, nltk's or one that is handed in (`ResourcePartOfSpeech`).

Contexts are tagged once for all texts, a step's candidates together.

Stock 0.3.11 tags eight words for each candidate and forgets them after each text.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from suites.adversarial.faster.memo import Memo, Same, twin_of
from suites.adversarial.faster.perceptron import ContextTagger
from suites.adversarial.resources.tagger import PENN_TO_UNIVERSAL, Tagger

_BEFORE, _AFTER = 4, 4
"""Stock's context: words before, and one less than this after."""


def tag_together(stock: Any, memo: Memo) -> Any:
    """A PartOfSpeech that decides as this one does; itself where another tagger than nltk's is used."""
    if stock.tagger_type != "nltk":
        return stock
    twin = twin_of(stock)
    tags = _Tags(stock, memo)
    twin._get_pos = tags.tag
    twin._check_constraint_many = _PartOfSpeechMany(twin, tags)
    return twin


class _PartOfSpeechMany:
    """`PartOfSpeech._check_constraint_many`: the tags are made ready, then stock code decides."""

    def __init__(self, twin: Any, tags: _Tags) -> None:
        self._twin = twin
        self._tags = tags

    def __call__(self, transformed_texts: Sequence[Any], reference_text: Any) -> list[Any]:
        reference = reference_text.words
        wanted: dict[int, dict[str, None]] = {}
        for text in transformed_texts:
            for i in text.attack_attrs.get("newly_modified_indices", ()):
                if 0 <= i < len(reference) and i < len(text.words):
                    wanted.setdefault(i, {reference[i]: None})[text.words[i]] = None
        for i, words in wanted.items():
            self._tags.prepare(reference[max(i - _BEFORE, 0) : i], list(words), reference[i + 1 : i + _AFTER])
        check = self._twin._check_constraint
        return [text for text in transformed_texts if check(text, reference_text)]


class _Tags:
    """Tags by context and word."""

    def __init__(self, stock: Any, memo: Memo) -> None:
        self._stock = stock
        self._memo = memo
        self._given: Tagger | None = getattr(stock, "tagger", None)
        whose = stock.language_nltk if self._given is None else Same(self._given)
        self._table = memo.table("part of speech", stock.tagset, whose)

    def tag(self, before: Sequence[str], word: str, after: Sequence[str]) -> str:
        """`PartOfSpeech._get_pos`."""
        key = (tuple(before), word, tuple(after))
        found = self._table.get(key)
        if found is None:
            found = self._stock._get_pos(list(before), word, list(after))
            self._table.keep(key, found)
        return str(found)

    def prepare(self, before: Sequence[str], words: Sequence[str], after: Sequence[str]) -> None:
        """Tags these words in one context, as far as that can be done together."""
        left, right = tuple(before), tuple(after)
        lacking = [word for word in words if (left, word, right) not in self._table]
        tagger = self._tagger() if lacking else None
        if tagger is None:
            return
        for word, tag in zip(lacking, tagger.tags(before, lacking, after), strict=True):
            self._table.keep((left, word, right), self._mapped(tag))

    def _tagger(self) -> ContextTagger | None:
        """The tagger that was handed in, else nltk's English one; None where that works in another way."""
        if self._given is not None:
            return self._following(self._stock.perceptron, self._given)
        if self._stock.language_nltk != "eng":
            return None
        nltk_tag = importlib.import_module("nltk.tag")
        get = getattr(nltk_tag, "_get_tagger", None)
        tagger = get("eng") if get is not None else None
        if type(tagger) is not nltk_tag.PerceptronTagger:
            return None
        return self._following(tagger, tagger)

    def _following(self, tagger: Any, key: Any) -> ContextTagger | None:
        known = self._memo.table("taggers")
        if Same(key) not in known:
            ours = ContextTagger(tagger)
            known.keep(Same(key), ours if ours.follows() else None)
        found: ContextTagger | None = known[Same(key)]
        return found

    def _mapped(self, tag: str) -> str:
        tagset = self._stock.tagset
        if not tagset:
            return tag
        if self._given is not None:
            return PENN_TO_UNIVERSAL.get(tag, "X")
        table = self._memo.table("tag set", tagset)
        if tag not in table:
            table.keep(tag, importlib.import_module("nltk.tag").map_tag("en-ptb", tagset, tag))
        return str(table[tag])
