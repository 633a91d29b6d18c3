"""Tokenizers trained on a corpus: lower-case WordPiece as BERT's, byte-level BPE as GPT-2's.

The same corpus gives the same tokenizer, token by token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from harness.errors import DataError

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
END_OF_TEXT = "<|endoftext|>"

_REPEATED = 2
"""Times a pair of tokens must occur to become a token: what occurs once is a record's own."""


def train_tokenizer(kind: Literal["bert", "gpt"], texts: Sequence[str], vocabulary: int, max_tokens: int) -> Any:
    """transformers.PreTrainedTokenizerBase of at most `vocabulary` tokens, that limits texts to `max_tokens`.

    Raises DataError: no words, a vocabulary smaller than the alphabet, or a corpus in which nothing repeats.
    """
    from transformers import BertTokenizerFast, GPT2TokenizerFast

    if kind == "bert":
        return BertTokenizerFast(tokenizer_object=_word_piece(texts, vocabulary), model_max_length=max_tokens)
    return GPT2TokenizerFast(tokenizer_object=_byte_pairs(texts, vocabulary), model_max_length=max_tokens)


def _word_piece(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(_pieces(texts, vocabulary), unk_token="[UNK]"))
    _split_as_bert(tokenizer)
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, SPECIALS.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _split_as_bert(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()


def _pieces(texts: Sequence[str], vocabulary: int) -> dict[str, int]:
    """Token -> id: special tokens, alphabet, merged pieces.

    The library numbers inner letters in the order of a randomly seeded hash table and breaks ties by number, so that
    two runs would differ. Here the alphabet comes first, in order.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    _split_as_bert(tokenizer)
    first = [*SPECIALS, *_alphabet(tokenizer, texts)]
    _check_room(len(first), vocabulary)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, min_frequency=_REPEATED, special_tokens=first, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    pieces: dict[str, int] = tokenizer.get_vocab()
    _check_learnt(len(pieces), len(first), len(texts))
    return pieces


def _alphabet(tokenizer: Tokenizer, texts: Iterable[str]) -> list[str]:
    """All letters, and those inside words as WordPiece writes them."""
    words: set[str] = set()
    for text in texts:
        split = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        words.update(word for word, _ in split)
    if not words:
        raise DataError("the corpus of the tokenizer holds no word; give texts in fresh.corpus")
    letters = {letter for word in words for letter in word}
    inner = {letter for word in words for letter in word[1:]}
    return [*sorted(letters), *(f"##{letter}" for letter in sorted(inner))]


def _byte_pairs(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _check_room(1 + len(alphabet), vocabulary)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=_REPEATED,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    _check_learnt(tokenizer.get_vocab_size(), 1 + len(alphabet), len(texts))
    return tokenizer


def _check_room(needed: int, vocabulary: int) -> None:
    if needed > vocabulary:
        raise DataError(
            f"fresh.vocabulary is {vocabulary}, but the letters of the corpus take {needed} tokens already; raise it "
            "above that, or take rare letters out of the corpus"
        )


def _check_learnt(tokens: int, letters: int, texts: int) -> None:
    if tokens == letters:
        raise DataError(
            f"the tokenizer learns nothing beyond {letters} letters and signs from {texts} texts; "
            "raise fresh.vocabulary or give a larger corpus in fresh.corpus"
        )
