"""A small BERT or GPT from scratch: random weights, pre-layer-norm, a tokenizer of its own."""

from __future__ import annotations

from typing import Any

from harness.errors import UsageError
from privacy.training.data.load import TrainingData
from privacy.training.data.tokenizer import train_tokenizer
from privacy.training.settings.fresh_spec import FreshModel
from privacy.training.settings.spec import TrainSpec

_WIDENING = 4
"""Width of the feed-forward layers over that of the model, as in BERT and GPT-2."""


def make_fresh(spec: TrainSpec, fresh: FreshModel, data: TrainingData) -> tuple[Any, Any]:
    """(config, tokenizer); the tokenizer is trained on `fresh.corpus`, else on the training records.

    bert is a Megatron-BERT (Shoeybi et al. 2019), the pre-layer-norm BERT that keeps segments and the next-sentence
    head; gpt is a GPT-2 (Radford et al. 2019).

    Raises UsageError with privacy and no public corpus; DataError where the corpus gives no vocabulary.
    """
    if spec.privacy is not None:
        _refuse_private(fresh, data)
    tokenizer = train_tokenizer(fresh.kind, data.corpus, fresh.vocabulary, fresh.max_tokens)
    return (_bert if fresh.kind == "bert" else _gpt)(fresh, tokenizer), tokenizer


def records_in_corpus(data: TrainingData) -> int:
    """How many different texts of the corpus are training records."""
    return len(set(data.corpus) & _records(data))


def _refuse_private(fresh: FreshModel, data: TrainingData) -> None:
    """A few short texts may be in both by chance; half of either is the same data."""
    if fresh.corpus is None:
        raise UsageError(
            "fresh: a vocabulary learnt from the private records is outside the guarantee; "
            "name a public corpus in fresh.corpus"
        )
    shared, texts = records_in_corpus(data), len(set(data.corpus))
    if 2 * shared >= min(texts, len(_records(data))):
        raise UsageError(
            f"fresh.corpus: {shared} of the {texts} texts of {fresh.corpus.source} are training records, and a "
            "vocabulary learnt from private records is outside the guarantee; name a public corpus"
        )


def _records(data: TrainingData) -> set[str]:
    return {*data.texts, *(data.pairs or [])}


def _bert(fresh: FreshModel, tokenizer: Any) -> Any:
    from transformers import MegatronBertConfig

    return MegatronBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=fresh.hidden,
        num_hidden_layers=fresh.layers,
        num_attention_heads=fresh.heads,
        intermediate_size=_WIDENING * fresh.hidden,
        max_position_embeddings=fresh.max_tokens,
        pad_token_id=tokenizer.pad_token_id,
    )


def _gpt(fresh: FreshModel, tokenizer: Any) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=fresh.hidden,
        n_layer=fresh.layers,
        n_head=fresh.heads,
        n_positions=fresh.max_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
