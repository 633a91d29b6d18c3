"""TextAttack's transformations by a masked language model, with less padding and fewer calls.

Stock 0.3.11 pads each text to 512 tokens. Padding is masked out and, on the right, moves no position, so the model's
answers without it are the same up to float noise: a token at the edge of `max_candidates` or `min_confidence` may
change places with one whose probability agrees to about 1e-6. Where positions hang on the padding, it stays.

BERT-Attack's stock code goes through all combinations of a word's sub-words, scores each, and then takes the first ones
in the order of enumeration all the same (the sorted list is dropped); `first_words` goes no further.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from suites.adversarial.faster.combinations import first_words
from suites.adversarial.faster.memo import Memo, Same, twin_of

_RIGHT_PADDED = ("bert", "electra", "roberta")
"""Model types with absolute positions and a mask over the padding."""


def masked_swap(stock: Any, memo: Memo) -> Any:
    """A WordSwapMaskedLM of either method that proposes what this one does."""
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
    """A WordInsertionMaskedLM that proposes what this one does."""
    predictions = _Predictions(stock, memo)

    def new_words(current_text: Any, indices_to_modify: Sequence[int]) -> list[list[str]]:
        mask = stock._lm_tokenizer.mask_token
        masked = [(i, current_text.insert_text_before_word_index(i, mask)) for i in indices_to_modify]
        return predictions.words([text.text_window_around_index(i, stock.window_size) for i, text in masked])

    twin = twin_of(stock)
    twin._get_new_words = new_words
    return twin


def masked_merge(stock: Any, memo: Memo) -> Any:
    """A WordMergeMaskedLM that proposes what this one does."""
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
        self._model = stock._language_model
        self.kind = str(self._model.config.model_type)
        self._longest = int(stock.max_length)
        self._trims = self.kind in _RIGHT_PADDED and self.tokenizer.padding_side == "right"

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's token ids without padding, cut where stock cuts them."""
        encoded = self.tokenizer(list(texts), max_length=self._longest, truncation=True)
        return [list(ids) for ids in encoded["input_ids"]]

    def logits(self, texts: Sequence[str], length: int) -> Any:
        """Logits (texts, tokens, vocabulary), padded to `length` tokens or, where that is needed, as far as stock."""
        import torch

        shared = importlib.import_module("textattack.shared.utils")
        length = min(length, self._longest) if self._trims else self._longest
        encoded = self.tokenizer(
            list(texts), max_length=length, truncation=True, padding="max_length", return_tensors="pt"
        )
        with torch.no_grad():
            return self._model(**{key: value.to(shared.device) for key, value in encoded.items()})[0]


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
        by_length = sorted(zip(self._model.tokens(texts), texts, strict=True), key=lambda pair: len(pair[0]))
        mask = self._model.tokenizer.mask_token_id
        for start in range(0, len(by_length), self._stock.batch_size):
            batch = by_length[start : start + self._stock.batch_size]
            logits = self._model.logits([text for _, text in batch], len(batch[-1][0]))
            for row, (ids, text) in enumerate(batch):
                at = self._place(ids, logits.shape[1]).index(mask) if mask in ids else None
                yield text, () if at is None else self._ranked(logits[row, at], starting=at == 1)

    def _place(self, ids: list[int], length: int) -> list[int]:
        """The ids as they lie in a batch of so many tokens."""
        left = self._model.tokenizer.padding_side == "left"
        return [self._model.tokenizer.pad_token_id] * (length - len(ids)) + ids if left else ids

    def _ranked(self, logits: Any, *, starting: bool) -> tuple[str, ...]:
        """The first `max_candidates` words of at least `min_confidence`."""
        import torch

        probabilities = torch.softmax(logits, dim=0)
        ranked = torch.argsort(probabilities, descending=True)
        sure = int((probabilities >= self._stock.min_confidence).sum())
        words: list[str] = []
        for token in ranked[:sure].tolist():
            word = self._word(token, starting)
            if word is not None:
                words.append(word)
            if len(words) >= self._stock.max_candidates:
                break
        return tuple(words)

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
        best = self._best_tokens(current_text.text, max(span.stop for span in spans))
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
            if tokenizer.padding_side == "left":
                start += longest - len(ids)
            spans.append(range(start, min(start + self._count(current_text.words[i]), longest)))
        return spans

    def _count(self, word: str) -> int:
        """Of how many sub-words the word consists."""
        found = self._sub_words.get(word)
        if found is None:
            found = len(self._stock._lm_tokenizer.encode(word, add_special_tokens=False))
            self._sub_words.keep(word, found)
        return int(found)

    def _best_tokens(self, text: str, least: int) -> list[list[str]]:
        """The `max_candidates` most probable tokens at each position, for at least so many positions."""
        import torch

        found: list[list[str]] | None = self._best.get(text)
        if found is None or len(found) < least:
            (ids,) = self._model.tokens([text])
            logits = self._model.logits([text], max(len(ids), least))[0]
            _, places = torch.topk(logits, self._stock.max_candidates)
            name = self._stock._lm_tokenizer.convert_ids_to_tokens
            found = [list(name(row)) for row in places.tolist()]
            self._best.keep(text, found)
        return found

    def _replacements(self, best: Sequence[Sequence[str]], span: range, index: int) -> list[str]:
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
