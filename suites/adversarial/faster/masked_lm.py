"""TextAttack's transformations by a masked language model that is asked instead of called: see `AskedModel`.

Stock 0.3.11 pads each text to 512 tokens. Padding is masked out and, on the right, moves no position, so the model's
answers without it are the same up to float noise: a token at the edge of `max_candidates` or `min_confidence` may
change places with one whose probability agrees to about 1e-6. Not the same are, and better so: a tokenizer that pads on
the left, which moves every position of stock's texts; and a word whose sub-words, counted alone, reach past the end of
the text, for which stock joins what the model says of padding.

BERT-Attack's stock code goes through all combinations of a word's sub-words, scores each, and then takes the first ones
in the order of enumeration all the same (the sorted list is dropped); `first_words` goes no further.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.api.requests.likeliest import TokensInPlace, TokensInPlaceRequest
from suites.adversarial.faster.combinations import first_words
from suites.adversarial.faster.memo import Memo, Same, twin_of

_DEEPER = 4, 64
"""Times `max_candidates`: tokens asked for at first, since some are no words, and then; at last all there are."""
Asked = Callable[[Sequence[TokensInPlaceRequest]], Sequence[TokensInPlace]]
"""One answer per request, in order."""


class AskedModel:
    """Stands where TextAttack takes a masked language model in memory; what is to be known of one is asked of `asked`.

    TextAttack's own code cannot call it: an attack with one must be given to `speed_up`.
    """

    def __init__(self, kind: str, asked: Asked) -> None:
        self.config = SimpleNamespace(model_type=kind)
        self._asked = asked

    def to(self, _: Any) -> AskedModel:
        """It computes where it is."""
        return self

    def eval(self) -> AskedModel:
        """It never trains."""
        return self

    def likeliest(self, requests: Sequence[TokensInPlaceRequest]) -> list[TokensInPlace]:
        """One answer per request, in order. Raises ValueError where one cannot be had."""
        answers = list(self._asked(requests)) if requests else []
        for answer in answers:
            if answer.error is not None:
                raise ValueError(f"the masked language model gives no words: {answer.error}")
        return answers


def masked_swap(stock: Any, memo: Memo) -> Any:
    """A WordSwapMaskedLM of either method that proposes what this one does; this one unless its model is asked."""
    if not isinstance(stock._language_model, AskedModel):
        return stock
    twin = twin_of(stock)
    if stock.method == "bert-attack":
        twin._get_transformations = _BertAttack(stock, memo)
        return twin
    predictions = _Predictions(stock, memo)

    def replacement_words(current_text: Any, indices_to_modify: Sequence[int]) -> list[list[str]]:
        mask = stock._lm_tokenizer.mask_token
        return predictions.words([current_text.replace_word_at_index(i, mask).text for i in indices_to_modify])

    twin._bae_replacement_words = replacement_words
    return twin


def masked_insertion(stock: Any, memo: Memo) -> Any:
    """A WordInsertionMaskedLM that proposes what this one does; this one unless its model is asked."""
    if not isinstance(stock._language_model, AskedModel):
        return stock
    predictions = _Predictions(stock, memo)

    def new_words(current_text: Any, indices_to_modify: Sequence[int]) -> list[list[str]]:
        mask = stock._lm_tokenizer.mask_token
        masked = [(i, current_text.insert_text_before_word_index(i, mask)) for i in indices_to_modify]
        return predictions.words([text.text_window_around_index(i, stock.window_size) for i, text in masked])

    twin = twin_of(stock)
    twin._get_new_words = new_words
    return twin


def masked_merge(stock: Any, memo: Memo) -> Any:
    """A WordMergeMaskedLM that proposes what this one does; this one unless its model is asked."""
    if not isinstance(stock._language_model, AskedModel):
        return stock
    predictions = _Predictions(stock, memo)

    def merged_words(current_text: Any, indices_to_modify: Sequence[int]) -> list[list[str]]:
        mask = stock._lm_tokenizer.mask_token
        merged = [
            (i, current_text.replace_word_at_index(i, mask).delete_word_at_index(i + 1)) for i in indices_to_modify
        ]
        return predictions.words([text.text_window_around_index(i, stock.window_size) for i, text in merged])

    twin = twin_of(stock)
    twin._get_merged_words = merged_words
    return twin


class _Model:
    """The language model of a transformation, and its tokenizer."""

    def __init__(self, stock: Any) -> None:
        self.tokenizer = stock._lm_tokenizer
        self._model: AskedModel = stock._language_model
        self.kind = str(self._model.config.model_type)
        self.likeliest = self._model.likeliest
        self._longest = int(stock.max_length)

    def tokens(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Each text's token ids, cut where stock cuts them."""
        encoded = self.tokenizer(list(texts), max_length=self._longest, truncation=True)
        return [tuple(ids) for ids in encoded["input_ids"]]


class _Predictions:
    """The words a masked language model puts in place of the mask, by masked text."""

    def __init__(self, stock: Any, memo: Memo) -> None:
        self._stock = stock
        self._model = _Model(stock)
        model, tokenizer = Same(stock._language_model), Same(stock._lm_tokenizer)
        settings = (stock.max_length, stock.max_candidates, stock.min_confidence)
        self._table = memo.vector_table("masked words", model, tokenizer, *settings)
        self._tokens = memo.table("words of tokens", tokenizer, self._model.kind)

    def words(self, masked_texts: Sequence[str]) -> list[list[str]]:
        """For each text its words, most probable first; none where the mask is cut off."""
        found: dict[str, tuple[str, ...] | None] = {text: self._table.get(text) for text in masked_texts}
        lacking = [text for text, words in found.items() if words is None]
        for text, words in self._predicted(lacking):
            found[text] = words
            self._table.keep(text, words)
        return [list(found[text] or ()) for text in masked_texts]

    def _predicted(self, texts: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        if not texts:
            return
        mask = self._model.tokenizer.mask_token_id
        read = dict(zip(texts, self._model.tokens(texts), strict=True))
        yield from ((text, ()) for text, ids in read.items() if mask not in ids)
        left = {text: (ids, ids.index(mask)) for text, ids in read.items() if mask in ids}
        size = len(self._model.tokenizer)
        for count in (*(min(size, times * self._stock.max_candidates) for times in _DEEPER), size):
            requests = [TokensInPlaceRequest(ids, (at,), count) for ids, at in left.values()]
            for (text, (_, at)), answer in zip(list(left.items()), self._model.likeliest(requests), strict=True):
                words, is_all = self._ranked(answer, starting=at == 1)
                if is_all or count == size:
                    del left[text]
                    yield text, words

    def _ranked(self, answer: TokensInPlace, *, starting: bool) -> tuple[tuple[str, ...], bool]:
        """The first `max_candidates` words of at least `min_confidence`, and whether no further token could be one."""
        probabilities = np.exp(answer.logprobs[0])
        sure = int((probabilities >= self._stock.min_confidence).sum())
        words: list[str] = []
        for token in answer.tokens[0][:sure].tolist():
            word = self._word(token, starting)
            if word is not None:
                words.append(word)
            if len(words) >= self._stock.max_candidates:
                return tuple(words), True
        return tuple(words), sure < len(probabilities)

    def _word(self, token: int, starting: bool) -> str | None:
        """A token as a word; None for punctuation and what is no word."""
        if (token, starting) not in self._tokens:
            self._tokens.keep((token, starting), self._spelled(token, starting))
        word: str | None = self._tokens[token, starting]
        return word

    def _spelled(self, token: int, starting: bool) -> str | None:
        shared = importlib.import_module("textattack.shared.utils")
        word = str(self._model.tokenizer.convert_ids_to_tokens(token))
        if shared.check_if_subword(word, self._model.kind, starting):
            word = str(shared.strip_BPE_artifacts(word, self._model.kind))
        return word if shared.is_one_word(word) and not shared.check_if_punctuations(word) else None


class _BertAttack:
    """`WordSwapMaskedLM._get_transformations` by the method "bert-attack"."""

    def __init__(self, stock: Any, memo: Memo) -> None:
        self._stock = stock
        self._model = _Model(stock)
        model, tokenizer = Same(stock._language_model), Same(stock._lm_tokenizer)
        self._best = memo.vector_table("best tokens", model, tokenizer, stock.max_length, stock.max_candidates)
        self._sub_words = memo.table("sub-words", tokenizer)
        self._counts = memo.table("words counted")

    def __call__(self, current_text: Any, indices_to_modify: Sequence[int]) -> list[Any]:
        indices = list(indices_to_modify)
        if not indices:
            return []
        spans = self._spans(current_text, indices)
        best = self._best_tokens(current_text.text)
        transformed = []
        for i, span in zip(indices, spans, strict=True):
            old = current_text.words[i]
            for new in self._replacements(best, span, i):
                stripped = new.strip("Ġ")
                if stripped != old:
                    transformed.append(current_text.replace_word_at_index(i, stripped))
        return transformed

    def _spans(self, current_text: Any, indices: Sequence[int]) -> list[range]:
        """Positions that stock takes for each word's sub-words, empty where the word is cut off."""
        tokenizer, longest = self._stock._lm_tokenizer, self._stock.max_length
        masked = [current_text.replace_word_at_index(i, tokenizer.mask_token).text for i in indices]
        spans = []
        for ids, i in zip(self._model.tokens(masked), indices, strict=True):
            if tokenizer.mask_token_id not in ids:
                spans.append(range(0))
                continue
            start = ids.index(tokenizer.mask_token_id)
            spans.append(range(start, min(start + self._count(current_text.words[i]), longest)))
        return spans

    def _count(self, word: str) -> int:
        """Of how many sub-words the word consists."""
        found = self._sub_words.get(word)
        if found is None:
            found = len(self._stock._lm_tokenizer.encode(word, add_special_tokens=False))
            self._sub_words.keep(word, found)
        return int(found)

    def _best_tokens(self, text: str) -> list[list[str]]:
        """The `max_candidates` most probable tokens at each position of the text."""
        found: list[list[str]] | None = self._best.get(text)
        if found is None:
            (ids,) = self._model.tokens([text])
            asked = TokensInPlaceRequest(ids, tuple(range(len(ids))), self._stock.max_candidates)
            (answer,) = self._model.likeliest([asked])
            name = self._stock._lm_tokenizer.convert_ids_to_tokens
            found = [list(name(row)) for row in answer.tokens.tolist()]
            self._best.keep(text, found)
        return found

    def _replacements(self, best: Sequence[Sequence[str]], span: range, index: int) -> list[str]:
        span = span[: max(0, len(best) - span.start)]
        if len(span) == 0:
            return []
        if len(span) == 1:
            starting, check = index == 0, importlib.import_module("textattack.shared.utils").check_if_subword
            tokens = best[span.start]
            return [token for token in tokens if self._is_word(token) and not check(token, self._model.kind, starting)]
        return first_words([best[at] for at in span], self._stock.max_candidates, self._counted)

    def _is_word(self, text: str) -> bool:
        return self._counted(text) == 1

    def _counted(self, text: str) -> int:
        """How many words TextAttack sees in the text."""
        found = self._counts.get(text)
        if found is None:
            found = len(importlib.import_module("textattack.shared.utils").words_from_text(text))
            self._counts.keep(text, found)
        return int(found)
