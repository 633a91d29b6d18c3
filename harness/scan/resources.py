"""What loading would take by the headers, and settings that ask for more than the headers hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.scan.finding import Estimate
from harness.scan.json_text import walk
from harness.scan.notebook import Notebook
from harness.scan.weights.headers import Span

_COUNTS = re.compile(r"layer|block|group|expert|head|label|depth|stage|attention_types", re.IGNORECASE)
_SIZES = frozenset({
    "vocab_size", "hidden_size", "intermediate_size", "n_embd", "d_model", "dim", "ffn_dim", "hidden_dim", "n_inner",
    "embedding_size", "type_vocab_size", "num_labels", "d_inner", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim",
})  # fmt: skip
_FLOOR = 10_000
"""Below it no count takes memory worth a word; the loader has the same floor."""
_LONG = frozenset({"max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length"})
_RANKS = frozenset({"r", "init_r", "target_r", "rank_dropout", "oft_block_size", "boft_block_size"})
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d{1,9})\.")
_VOCABULARY_FACTOR = 2
_POSITIONS = 100_000_000
"""Positions of a text; the longest in use are 10 million."""
_MOST_EMPTY = 100
_HEAD = re.compile(r"\b(classifier|score|logits_proj|qa_outputs|out_proj|dense)\b.*weight$")
_MOST_LABELS = 1_000_000


def estimate(spans: Sequence[Span]) -> Estimate | None:
    """What the weights hold and take; None without any."""
    if not spans:
        return None
    numbers = sum(span.numbers for span in spans)
    return Estimate(
        parameters=numbers,
        tensors=len(spans),
        weight_bytes=sum(span.end - span.start for span in spans),
        memory_bytes=4 * numbers,
    )


def report_counts(file: str, config: Any, spans: Sequence[Span], notebook: Notebook) -> None:
    """Settings beyond what tensors can hold. Without readable headers only the absurd is found."""
    largest = max((size for span in spans if span.numbers for size in span.shape), default=0)
    bound = max(largest, len(spans), _FLOOR)
    for place, key, value in walk(config):
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value <= bound:
            if isinstance(value, dict | list) and key in ("id2label", "label2id", "layer_types") and len(value) > bound:
                notebook.find("resources/count", file, f"{key} has {len(value):,} entries, beyond the weights", place)
            continue
        if key in _LONG and value > _POSITIONS:
            notebook.find("resources/count", file, f"{key} is {_number(value)}", place)
        if _COUNTS.search(key) or (key in _SIZES and spans) or (file == "adapter_config.json" and key in _RANKS):
            held = f"the largest dimension of any tensor is {largest:,}" if spans else "no header of weights was read"
            notebook.find("resources/count", file, f"{key} is {_number(value)}; {held}", place)


def report_labels(config: Any, spans: Sequence[Span], notebook: Notebook) -> None:
    """More labels than any classifier head among the tensors has outputs."""
    rows = max((span.shape[0] for span in spans if span.shape and _HEAD.search(span.name)), default=0)
    labels = config.get("num_labels") if isinstance(config, dict) else None
    if type(labels) is int and labels > max(_FLOOR, rows if rows <= _MOST_LABELS else 0):
        notebook.find(
            "resources/count", "config.json", f"num_labels is {labels:,}; no head has as many outputs", "num_labels"
        )


def report_gguf(file: str, counts: Mapping[str, int], spans: Sequence[Span], notebook: Notebook) -> None:
    """Counts in the metadata of a GGUF file that its tensors cannot hold."""
    largest = max((size for span in spans for size in span.shape), default=0)
    for key, value in counts.items():
        last = key.rpartition(".")[2]
        absurd = value > _POSITIONS if "length" in last else value > max(largest, len(spans), _FLOOR)
        if not key.startswith(("tokenizer.", "general.")) and (_COUNTS.search(last) or "length" in last) and absurd:
            notebook.find("resources/count", file, f"{key} is {value:,}, more than its tensors hold", key)


def report_empty(spans: Sequence[Span], notebook: Notebook) -> None:
    """Tensors without a number: each costs an object, and none is a weight."""
    empty = [span for span in spans if not span.numbers]
    if len(empty) > _MOST_EMPTY:
        notebook.find("weights/unsound", empty[0].file, f"holds {len(empty):,} empty tensors", empty[0].name)


def report_layers(config: Any, spans: Sequence[Span], notebook: Notebook) -> str:
    """Tensors of layers that the config does not have; what cannot be told, or ''."""
    counts = {name: config[name] for name in _LAYERS if isinstance(config, dict) and type(config.get(name)) is int}
    numbered = [(int(match[1]), span) for span in spans if (match := _LAYER.search(span.name))]
    if not spans:
        return ""
    if not counts or not numbered:
        return "whether every tensor is used: the config names no number of layers, or no tensor's name has one"
    most = max(counts.values())
    unused = [span for number, span in numbered if number >= most]
    if unused:
        notebook.find(
            "weights/unused",
            unused[0].file,
            f"{len(unused):,} tensors belong to layers beyond the {most:,} of the config, e.g. {unused[0].name}",
            unused[0].name,
        )
    present = {number for number, _ in numbered}
    shared = isinstance(config, dict) and config.get("model_type") == "albert"
    if len(present) < most and not shared and most <= _FLOOR and min(counts.values()) == most:
        notebook.find(
            "resources/count",
            "config.json",
            f"{next(iter(counts))} is {most:,}, but the weights hold {len(present):,} layers",
            next(iter(counts)),
        )
    return "whether a tensor without a layer's number is used: `assay plan` compares all names with the architecture"


def report_vocabulary(sizes: Mapping[str, int], config: Any, notebook: Notebook) -> None:
    """Vocabularies far beyond what the model has rows for."""
    rows = config.get("vocab_size") if isinstance(config, dict) else None
    if type(rows) is not int or rows <= 0:
        return
    for file, size in sizes.items():
        if size > max(_FLOOR, _VOCABULARY_FACTOR * rows):
            notebook.find("resources/vocabulary", file, f"holds {size:,} words; the model has rows for {rows:,}")


def _number(value: float) -> str:
    return f"{value:,}" if abs(value) < 1e15 else f"{value:.3g}"
