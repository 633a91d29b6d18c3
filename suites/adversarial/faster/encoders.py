"""TextAttack's SentenceEncoder, encoding each text once.

Stock 0.3.11 encodes a window of the original anew for every candidate, and texts whose score it then overwrites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from suites.adversarial.faster.memo import Memo, Same, twin_of

_FILTERING = (
    *("_check_constraint_many", "_check_constraint", "_score_list", "_sim_score"),
    *("call_many", "check_compatibility", "__call__"),
)


def is_plain_encoder(constraint: Any, stock: type) -> bool:
    """Whether the constraint is a SentenceEncoder (`stock`) that differs from it only in how it encodes."""
    own = type(constraint)
    return issubclass(own, stock) and all(getattr(own, name) is getattr(stock, name) for name in _FILTERING)


def encode_once(stock: Any, memo: Memo) -> Any:
    """A sentence encoder that filters many candidates as this one does.

    Vectors are shared by encoders of equal `encoding_key`, an attribute an encoder may have; without it, by twins of
    the same object. A text's vector must not depend on the texts it is encoded with.
    """
    twin = twin_of(stock)
    twin._check_constraint_many = _EncodedOnce(stock, memo)
    return twin


class _EncodedOnce:
    """`SentenceEncoder._check_constraint_many`."""

    def __init__(self, constraint: Any, memo: Memo) -> None:
        self._constraint = constraint
        key = getattr(constraint, "encoding_key", None)
        self._vectors = memo.vector_table("encoded", Same(constraint) if key is None else key)

    def __call__(self, transformed_texts: Sequence[Any], reference_text: Any) -> list[Any]:
        """The texts similar enough to the reference, in order; sets `similarity_score` on all."""
        import torch

        constraint = self._constraint
        if not transformed_texts:
            return []
        skips = [self._is_short(text) for text in transformed_texts]
        pairs = self._windows(transformed_texts, reference_text, skips)
        scores = torch.ones(len(transformed_texts))
        if pairs:
            vectors = self._vectors_of([first for first, _ in pairs] + [second for _, second in pairs])
            first, second = (torch.stack([vectors[pair[side]] for pair in pairs]) for side in (0, 1))
            similarities = constraint.sim_metric(first, second)
            scores = scores.to(similarities)
            scores[torch.tensor(skips).logical_not().to(scores.device)] = similarities
        for text, score in zip(transformed_texts, scores.tolist(), strict=True):
            text.attack_attrs["similarity_score"] = score
        kept = (scores >= constraint.threshold).tolist()
        return [text for text, keep in zip(transformed_texts, kept, strict=True) if keep]

    def _is_short(self, text: Any) -> bool:
        constraint = self._constraint
        return bool(constraint.skip_text_shorter_than_window and len(text.words) < constraint.window_size)

    def _windows(self, texts: Sequence[Any], reference: Any, skips: Sequence[bool]) -> list[tuple[str, str]]:
        """The reference's and the candidate's window of each text that is not skipped."""
        size = self._constraint.window_size
        known: dict[int, str] = {}
        pairs = []
        for text, skip in zip(texts, skips, strict=True):
            if "newly_modified_indices" not in text.attack_attrs:
                raise KeyError("Cannot apply sentence encoder constraint without `newly_modified_indices`")
            index = next(iter(text.attack_attrs["newly_modified_indices"]), None)
            if index is None:  # stock raises StopIteration, which ends the loop of who iterates over attacks
                raise ValueError(f"cannot apply a sentence encoder: no word was modified in {text.text[:60]!r}")
            if skip:
                continue
            if index not in known:
                known[index] = reference.text_window_around_index(index, size)
            pairs.append((known[index], text.text_window_around_index(index, size)))
        return pairs

    def _vectors_of(self, texts: Sequence[str]) -> dict[str, Any]:
        """Each text's vector; those not known yet are encoded in one call, in order."""
        import torch

        vectors = {text: self._vectors.get(text) for text in texts}
        lacking = [text for text, vector in vectors.items() if vector is None]
        if lacking:
            encoded = self._constraint.encode(lacking)
            rows = encoded if isinstance(encoded, torch.Tensor) else torch.tensor(encoded)
            for text, row in zip(lacking, rows, strict=True):
                vectors[text] = row
                self._vectors.keep(text, row)
        return vectors
