"""Tiny random checkpoints of every kind Assay reads: made in milliseconds, kilobytes on disk, fixed by their seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ENCODERS = (
    "bert",
    "roberta",
    "distilbert",
    "albert",
    "electra",
    "deberta-v2",
    "xlnet",
    "mpnet",
    "roberta-prelayernorm",
)
DECODERS = ("gpt2", "gpt-neo", "gpt-neox", "opt", "llama", "gemma")
KINDS = ENCODERS + DECODERS
LABELS = ("negative", "positive")
TAGS = ("O", "B", "I")
MAX_TOKENS = 128
HIDDEN = 32

_AUTO = {
    "masked_lm": "AutoModelForMaskedLM",
    "causal_lm": "AutoModelForCausalLM",
    "classifier": "AutoModelForSequenceClassification",
    "token_classifier": "AutoModelForTokenClassification",
    "base": "AutoModel",
    "regression": "AutoModelForSequenceClassification",
    "multi_label": "AutoModelForSequenceClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "next_sentence": "AutoModelForNextSentencePrediction",
    "multiple_choice": "AutoModelForMultipleChoice",
}
_PROBLEMS = {"regression": "regression", "multi_label": "multi_label_classification"}
"""What the config calls the problem of heads that share a class."""
_LABELS = {"token_classifier": TAGS, "multi_label": TAGS, "regression": ("score",)}
_TEXT = """
the a an of and to in is was it he she they we you i his her their our not no yes for on with as at by from that this
be are were been have has had do does did will would can could should may might must if but or so than then when where
who what which how why man woman men women boy girl people child black white old young rich poor good bad great awful
film movie book story plot actor acting music review love loved hate hated like liked best worst very really much more
most some all any one two three time day year home house work city world life way thing made make take get go come see
know think say said look find give tell ask feel doctor nurse teacher lawyer engineer waiter happy sad angry boring fun
"""
_WORDS = _TEXT.split()
_OFFSET = {"roberta": 2, "mpnet": 2, "roberta-prelayernorm": 2}
"""Positions these kinds lose to their padding index, which is 1."""


def heads_of(kind: str) -> tuple[str, ...]:
    """Heads `make_checkpoint` can give this kind."""
    language = "masked_lm" if kind in ENCODERS and kind != "xlnet" else "causal_lm"
    return (language, "classifier", *(() if kind == "opt" else ("token_classifier",)), "base")


def rarer_heads_of(kind: str) -> tuple[str, ...]:
    """Heads `make_checkpoint` can give this kind too, read by few tests."""
    answers = () if kind in {"xlnet", "gemma"} else ("question_answering",)
    choice = ("multiple_choice",) if kind in ENCODERS and kind != "roberta-prelayernorm" else ()
    return ("regression", "multi_label", *answers, *(("next_sentence",) if kind == "bert" else ()), *choice)


def make_checkpoint(folder: Path, kind: str, head: str, *, seed: int = 0) -> Path:
    """Write a random checkpoint with its tokenizer into `folder`, and return `folder`.

    Args:
        folder: created where needed.
        kind: one of KINDS.
        head: one of `heads_of(kind)` or `rarer_heads_of(kind)`; classifiers have LABELS, token and multi-label ones
            TAGS, regression heads one number.
        seed: of the weights; the process's own random state is left alone.
    """
    import torch
    import transformers

    if head not in (*heads_of(kind), *rarer_heads_of(kind)):
        raise ValueError(f"{kind} has no head {head!r}; it has {', '.join(heads_of(kind))}")
    tokenizer = make_tokenizer(kind)
    config = _config(kind, tokenizer, _LABELS.get(head, LABELS))
    config.problem_type = _PROBLEMS.get(head)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, _AUTO[head]).from_config(config)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(kind: str) -> Any:
    """A PreTrainedTokenizerFast like that of `kind`: lower-case WordPiece for encoders, byte-level BPE for decoders."""
    return _word_piece(kind) if kind in ENCODERS else _byte_level(kind)


def _word_piece(kind: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if kind in _OFFSET:
        specials[:2] = specials[1::-1]
    signs = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    vocab = dict.fromkeys([*specials, *signs, *(f"##{sign}" for sign in signs), *_WORDS])
    backend = Tokenizer(models.WordPiece({word: index for index, word in enumerate(vocab)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    single, pair = "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    if kind == "xlnet":
        single, pair = "$A:0 [SEP]:0 [CLS]:2", "$A:0 [SEP]:0 $B:1 [SEP]:1 [CLS]:2"
    ends = [(token, specials.index(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ends)
    names = ["input_ids", "attention_mask"]
    if kind in {"bert", "albert", "electra", "xlnet"}:
        names.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=MAX_TOKENS,
        model_input_names=names,
        padding_side="left" if kind == "xlnet" else "right",
    )


def _byte_level(kind: str) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = {
        "opt": {"pad_token": "<pad>", "bos_token": "</s>", "eos_token": "</s>"},
        "llama": {"bos_token": "<s>", "eos_token": "</s>"},
        "gemma": {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"},
    }.get(kind, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})
    vocab, merges = _merges(list(dict.fromkeys(specials.values())))
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials.values()])
    if kind in {"opt", "llama", "gemma"}:
        bos = specials["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, vocab[bos])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **specials,
    )


def _merges(specials: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """BPE vocabulary of all bytes and of `_WORDS` after a space (written Ġ), each word merged from left to right."""
    from tokenizers import pre_tokenizers

    vocab = dict.fromkeys([*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    merges: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        done = "Ġ"
        for letter in word:
            merges[done, letter] = None
            done += letter
            vocab[done] = None
    return {token: index for index, token in enumerate(vocab)}, list(merges)


def _config(kind: str, tokenizer: Any, labels: tuple[str, ...]) -> Any:
    from transformers import CONFIG_MAPPING

    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": MAX_TOKENS + _OFFSET.get(kind, 0),
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    model_type = {"gpt-neo": "gpt_neo", "gpt-neox": "gpt_neox"}.get(kind, kind)
    if kind == "xlnet":
        del common["max_position_embeddings"]
    return CONFIG_MAPPING[model_type](**{**common, **_OWN.get(kind, {})})


_SHORT = {"n_layers": 2, "n_heads": 2, "dim": HIDDEN, "hidden_dim": 64}
_OWN: dict[str, dict[str, Any]] = {
    "roberta": {"type_vocab_size": 1},
    "roberta-prelayernorm": {"type_vocab_size": 1},
    "distilbert": _SHORT,
    "albert": {"embedding_size": 16, "num_hidden_groups": 1},
    "electra": {"embedding_size": HIDDEN},
    "deberta-v2": {
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_buckets": 16,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "pooler_hidden_size": HIDDEN,
    },
    "xlnet": {"d_model": HIDDEN, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "gpt2": {"n_embd": HIDDEN, "n_layer": 2, "n_head": 2, "n_positions": MAX_TOKENS},
    "gpt-neo": {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]], "window_size": 16},
    "opt": {"init_std": 0.2, "ffn_dim": 64, "word_embed_proj_dim": HIDDEN},
    "llama": {"num_key_value_heads": 1},
    "gemma": {"num_key_value_heads": 1, "head_dim": 16},
}
"""Settings that a kind names its own way, or needs besides the common ones."""
