"""TextAttack's AttackedText with the same answers for less work.

Stock 0.3.11 splits the text into words anew, and looks at every word, for each candidate. A candidate differs from its
parent in few words, and which words a text has depends on nothing beyond the run of word characters they stand in, so
words and offsets carry over from the parent. Where that does not hold (several inputs, Chinese) stock code runs.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

_AttackedText: Any = Any if TYPE_CHECKING else object

_EDGE = "'-_*@"
"""Characters that belong to a word only inside it (TextAttack's `words_from_text`)."""
_CHINESE = re.compile("[\u4e00-\u9fff]")


@lru_cache(maxsize=1)
def lean_text_class(textattack: Any) -> Any:
    """A subclass of textattack.shared.AttackedText whose descendants are of the same class."""
    shared = textattack.shared

    @lru_cache(maxsize=1 << 16)
    def words_of(text: str) -> tuple[str, ...]:
        return tuple(shared.utils.words_from_text(text))

    members = {"_split": shared.AttackedText.SPLIT_TOKEN, "_words_of": staticmethod(words_of), "__doc__": __doc__}
    return type("LeanText", (_Lean, shared.AttackedText), members)


class _Lean(_AttackedText):  # type: ignore[misc]
    """What LeanText does otherwise than AttackedText, which comes after it among LeanText's bases."""

    _split: str
    _words_of: Callable[[str], tuple[str, ...]]
    _lean: bool
    _offsets: list[tuple[int, int]] | None = None

    def __init__(self, text_input: Any, attack_attrs: dict[str, Any] | None = None) -> None:
        super().__init__(text_input, attack_attrs)
        text = self.text
        self._lean = (
            len(self._text_input) == 1
            and self._split not in text
            and _CHINESE.search(text) is None
            and all(self._words_of(word) == (word,) for word in self.words)
        )

    @property
    def text(self) -> str:
        """The whole text, joined once."""
        try:
            return self._text  # type: ignore[no-any-return, has-type]
        except AttributeError:
            self._text = "\n".join(self._text_input.values())
            return self._text

    def replace_words_at_indices(self, indices: Iterable[int], new_words: Iterable[str]) -> Any:
        """As stock, for the words that really change."""
        at, by = list(indices), list(new_words)
        changes = dict(zip(at, by, strict=False))
        known = range(len(self.words))
        if len(at) != len(by) or not all(i in known and isinstance(new, str) for i, new in changes.items()):
            return super().replace_words_at_indices(at, by)  # which says what is wrong
        return self._changed(changes)

    def generate_new_attacked_text(self, new_words: Sequence[str]) -> Any:
        """As stock, for the words that really change."""
        if len(new_words) != len(self.words):
            return super().generate_new_attacked_text(new_words)
        return self._changed(dict(enumerate(new_words)))

    def _changed(self, changes: dict[int, str]) -> Any:
        words = self.words
        real = {i: changes[i] for i in sorted(changes) if changes[i] != words[i]}
        if not self._lean or any(self._split in new or _CHINESE.search(new) for new in real.values()):
            full = list(words)
            for i, new in changes.items():
                full[i] = new
            made = super().generate_new_attacked_text(full)
            return type(self)(made._text_input, made.attack_attrs)
        return self._substituted(real)

    def _substituted(self, changes: dict[int, str]) -> Any:
        """The text with the words at these rising indices replaced; attributes as stock keeps them."""
        text, words, offsets, words_of = self.text, self.words, self._spans(), self._words_of
        modified: set[int] = set(self.attack_attrs["modified_indices"])
        newly: set[int] = set()
        index_map = self.attack_attrs["original_index_map"].copy()
        new_words: list[str] = []
        fresh: list[str] = []
        made, read, next_word, new_i = "", 0, 0, 0
        for i, new in changes.items():
            start, end = offsets[i]
            made += text[read:start]
            new_words += words[next_word:i]
            new_i += i - next_word
            read, next_word = end, i + 1
            parts = words_of(new)
            difference = len(parts) - 1
            if difference:
                modified = {j + difference if j > i else j for j in modified if j != i}
                index_map = _shifted(index_map, i, difference, bool(parts) and words[i] != parts[0])
            added = range(new_i, new_i + len(parts))
            modified.update(added)
            newly.update(added)
            new_i += len(parts)
            whole = words_of(_with_edges(text, start, end, new))
            fresh += whole
            new_words += whole
            if not parts and read < len(text):  # one of the blanks around a deleted word goes too
                if i == 0:
                    read += text[read] == " "
                elif made[-1] == " ":
                    made = made[:-1]
            made += new
        made += text[read:]
        new_words += words[next_word:]
        attrs = self._attributes_of_child(newly, modified, index_map)
        return self._child(made, new_words, attrs, all(words_of(word) == (word,) for word in fresh))

    def _attributes_of_child(self, newly: set[int], modified: set[int], index_map: Any) -> dict[str, Any]:
        """In stock's order."""
        attrs: dict[str, Any] = {}
        if "label_names" in self.attack_attrs:
            attrs["label_names"] = self.attack_attrs["label_names"]
        attrs["newly_modified_indices"] = newly
        attrs["previous_attacked_text"] = self
        attrs["modified_indices"] = modified
        attrs["original_index_map"] = index_map
        return attrs

    def _child(self, text: str, words: list[str], attrs: dict[str, Any], lean: bool) -> Any:
        child = object.__new__(type(self))
        child._text_input = OrderedDict([(next(iter(self._text_input)), text)])
        child._text = text
        child._words = words
        child._words_per_input = child._pos_tags = child._ner_tags = None
        child.attack_attrs = attrs
        child._lean = lean
        return child

    def _spans(self) -> list[tuple[int, int]]:
        """Start and end of each word in the text."""
        if self._offsets is None:
            text, end, found = self.text, 0, []
            for word in self.words:
                start = text.index(word, end)
                end = start + len(word)
                found.append((start, end))
            self._offsets = found
        return self._offsets

    def _text_index_of_word_index(self, i: int) -> int:
        """As stock, which searches a lower-cased copy; that may have another length outside ASCII."""
        if self._lean and self.text.isascii():
            return self._spans()[i][0]
        return int(super()._text_index_of_word_index(i))


def _with_edges(text: str, start: int, end: int, new: str) -> str:
    """`new` with the edge characters around it in the text, which may become part of it."""
    first, last = start, end
    while first > 0 and text[first - 1] in _EDGE:
        first -= 1
    while last < len(text) and text[last] in _EDGE:
        last += 1
    return text[first:start] + new + text[end:last]


def _shifted(index_map: Any, i: int, difference: int, inserted_before: bool) -> Any:
    """Where the original words stand after the word at `i` became more or fewer words."""
    shifted = index_map.copy()
    if difference == -1:
        shifted[shifted == i] = -1
    shifted[shifted > i] += difference
    if difference > 0 and inserted_before:
        shifted[shifted == i] += difference
    return shifted
