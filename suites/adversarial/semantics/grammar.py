"""Grammar errors in a text: edits that a tagger asks for, or matches of LanguageTool."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import UsageError
from suites.adversarial.resources.finding import Found, ResourceMissing
from suites.adversarial.semantics.language_tool import SERVER, LanguageToolErrors
from suites.adversarial.semantics.unmeasured import Unmeasured

MODEL, TOKENIZER, TAGS = "tagger.onnx", "tokenizer.json", "tag_vocab.json"
SURE = 0.9
"""Least probability of an edit that counts: the one the tagger's authors set to keep correct prose free of edits."""
_WORD = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\.\.\.|[.!?]+|--+|[^\w\s]|\w")
_SENTENCE_END = re.compile(r"[.!?]+")
_LONGEST = 60
"""Words of a piece: about 90 of the 128 tokens that the tagger was trained on."""


def load_grammar(found: Found) -> TaggerErrors | LanguageToolErrors:
    """What counts errors: LanguageTool where the folder holds its server, else the tagger.

    Raises ResourceMissing where Java or ONNX Runtime lacks, UsageError where the files cannot be read.
    """
    return LanguageToolErrors(found.path) if (found.path / SERVER).is_file() else TaggerErrors(found.path)


class TaggerErrors:
    """Words that a GECToR-type tagger (Omelianchuk et al. 2020) would edit, in one pass.

    Texts run one piece at a time: the int8 model scales its activations by all it is given, so that in a batch a text's
    edits would depend on its neighbours.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise ResourceMissing("the grammar tagger needs ONNX Runtime: pip install 'assay[grammar]'")
        lacking = [name for name in (MODEL, TOKENIZER, TAGS) if not (folder / name).is_file()]
        if lacking:
            raise UsageError(f"{folder}: is no grammar tagger, it lacks {', '.join(lacking)}; get another copy")
        try:
            self._session = _session(folder / MODEL)
            self._tokenizer = _tokenizer(folder / TOKENIZER)
            tags = json.loads((folder / TAGS).read_text(encoding="utf-8"))["tags"]
            self._keep = tags.index("$KEEP")
        except Exception as error:  # readers of foreign files raise anything
            raise UsageError(f"{folder}: no grammar tagger can be read from it ({error}); get another copy") from error

    def __call__(self, texts: Sequence[str]) -> list[int | Unmeasured]:
        """Errors of each text, in order."""
        return [self._errors(text) for text in texts]

    def _errors(self, text: str) -> int | Unmeasured:
        return sum(self._edits(piece) for piece in pieces(text))

    def _edits(self, words: Sequence[str]) -> int:
        encoding = self._tokenizer.encode(list(words), is_pretokenized=True)
        ids = np.asarray([encoding.ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        logits = np.asarray(self._session.run(None, given)[0], dtype=np.float64)[0]
        return count_edits(logits, encoding.word_ids, self._keep)


def count_edits(logits: np.ndarray[Any, np.dtype[np.float64]], words: Sequence[int | None], keep: int) -> int:
    """Words whose first token (of `logits` [tokens, tags]) has a tag other than `keep` with probability >= SURE."""
    seen: set[int] = set()
    edits = 0
    for row, word in zip(logits, words, strict=True):
        if word is None or word in seen:
            continue
        seen.add(word)
        shares = np.exp(row - row.max())
        best = int(row.argmax())
        edits += int(best != keep and shares[best] / shares.sum() >= SURE)
    return edits


def pieces(text: str) -> list[list[str]]:
    """Words and marks of a text, sentence by sentence, of a long sentence by at most `_LONGEST`."""
    found: list[list[str]] = [[]]
    for match in _WORD.finditer(text):
        found[-1].append(match[0])
        ended = _SENTENCE_END.fullmatch(match[0]) and text[match.end() : match.end() + 1].strip() == ""
        if ended or len(found[-1]) == _LONGEST:
            found.append([])
    return [words for words in found if words]


def _session(path: Path) -> Any:
    import torch

    onnx = importlib.import_module("onnxruntime")
    options = onnx.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnx.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _tokenizer(path: Path) -> Any:
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    return tokenizer
