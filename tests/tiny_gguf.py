"""A tiny llama as a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny import MAX_TOKENS

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
    "model.layers": "blk",
}


def interleaved(weight: Any, heads: int) -> Any:
    """GGUF keeps the two halves of each rotary pair next to each other."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, model: Any, tokenizer: Any, extra: Mapping[str, int] | None = None, **counts: int) -> Path:
    """A llama model as an F32 GGUF file, written by the gguf package, with `extra` integers in its metadata."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(counts.get("context_length", MAX_TOKENS))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(counts.get("block_count", config.num_hidden_layers))
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    vocab = tokenizer.get_vocab()
    writer.add_token_list(sorted(vocab, key=vocab.__getitem__))
    writer.add_token_types(
        [3 if token in tokenizer.all_special_tokens else 1 for token in sorted(vocab, key=vocab.get)]
    )
    writer.add_token_merges(["Ġ t", "Ġt h", "Ġth e"])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(bool(counts.get("add_bos_token", True)))
    for key, value in (extra or {}).items():
        writer.add_uint64(key, value)
    for name, tensor in model.state_dict().items():
        weight = tensor.numpy().astype(np.float32)
        if "q_proj" in name or "k_proj" in name:
            weight = interleaved(weight, config.num_attention_heads if "q_" in name else config.num_key_value_heads)
        for old, new in NAMES.items():
            name = name.replace(old, new)
        writer.add_tensor(name, np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
