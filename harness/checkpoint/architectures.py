"""The text architectures Assay hands to transformers, and the settings each of them reads.

An allow-list: transformers knows some 400 model types, among them ones whose config names backbones, kernels and code
to fetch. Those below are encoders and decoders of text whose modules fetch nothing, run no pickle and compile nothing;
state space models (mamba, rwkv …) are left out because they load compiled kernels, from the hub where they can.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TEXT_MODELS = frozenset({
    "albert", "apertus", "arcee", "bert", "bert-generation", "big_bird", "biogpt", "bitnet", "bloom", "camembert",
    "canine", "code_llama", "codegen", "cohere", "cohere2", "convbert", "ctrl", "data2vec-text", "deberta",
    "deberta-v2", "deepseek_v2", "deepseek_v3", "diffllama", "distilbert", "doge", "dots1", "electra", "ernie",
    "ernie4_5", "exaone4", "falcon", "flaubert", "fnet", "funnel", "gemma", "gemma2", "gemma3_text", "glm", "glm4",
    "gpt-sw3", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gptj", "granite", "granitemoe",
    "helium", "hunyuan_v1_dense", "ibert", "jina_embeddings_v3", "llama", "longformer", "luke", "megatron-bert",
    "ministral", "mistral", "mixtral", "mobilebert", "modernbert", "modernbert-decoder", "mpnet", "mpt", "nemotron",
    "nomic_bert", "nystromformer", "olmo", "olmo2", "olmo3", "olmoe", "open-llama", "openai-gpt", "opt",
    "persimmon", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "rembert", "roberta",
    "roberta-prelayernorm", "roc_bert", "roformer", "seed_oss", "smollm3", "splinter", "squeezebert", "stablelm",
    "starcoder2", "vaultgemma", "xglm", "xlm", "xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod",
})  # fmt: skip
_TOKENIZER_KINDS = frozenset({"phobert", "bertweet", "herbert", "barthez", "cpm", "code_llama"})
"""Tokenizers of the models above that go by a name of their own."""
_GENERIC_TOKENIZERS = frozenset({"PreTrainedTokenizerFast", "TokenizersBackend"})

COMMON = frozenset({
    "add_cross_attention", "bos_token_id", "chunk_size_feed_forward", "cls_token_id", "decoder_start_token_id",
    "eos_token_id", "global_rope_theta", "head_dim", "hidden_size", "id2label", "initializer_range", "is_decoder",
    "is_encoder_decoder", "label2id", "layer_types", "local_rope_theta", "mask_token_id", "max_position_embeddings",
    "num_attention_heads", "num_hidden_layers", "num_labels", "pad_token_id", "partial_rotary_factor",
    "problem_type", "pruned_heads", "rope_local_base_freq", "rope_parameters", "rope_scaling", "rope_theta",
    "rotary_emb_base", "rotary_pct", "sep_token_id", "tie_word_embeddings", "tokenizer_class", "unk_token_id",
    "vocab_size",
})  # fmt: skip
"""Settings the library reads for every architecture."""
STEERING = re.compile(
    r"_internal$|trust|remote|auto_map|backbone|timm|kernel(?!_size$|_sizes$)|attn_implementation|experts_implementation"
    r"|name_or_path|(_|^)(file|files|path|url|repo|revision|token|cache_dir|subfolder)$|^transformers_weights$|quantization"
    r"|^(dtype|torch_dtype|return_dict|torchscript|output_\w+|gradient_checkpointing|use_return_dict|use_bfloat16"
    r"|transformers_version|device_map|reference_compile|use_mambapy|pretrained|generation_config|sub_configs"
    r"|text_config|vision_config|audio_config)$"
)
"""Keys that decide where things come from or how results are handed back; they never reach a config class."""
BOOKKEEPING = re.compile(
    r"^(architectures|model_type|_name_or_path|name_or_path|transformers_version|torch_dtype|dtype|_attn_implementation_"
    r"autoset|task_specific_params|finetuning_task|gradient_checkpointing|output_past|use_cache|_num_labels|torchscript"
    r"|return_dict|output_hidden_states|output_attentions|auto_map|pooler_\w+|directionality)$"
)
"""Left out without a word: they are in most published configs and change no output here."""
_READ = re.compile(
    r"""config\.([A-Za-z_]\w*)|(?:getattr|hasattr)\(\s*(?:self\.)?config,\s*["'](\w+)["']|kwargs\.(?:get|pop)\(\s*["'](\w+)"""
)


def is_text_model(model_type: str) -> bool:
    """Whether Assay hands this model type to the installed transformers."""
    from transformers import CONFIG_MAPPING

    return model_type in TEXT_MODELS and model_type in CONFIG_MAPPING


@cache
def known_settings(model_type: str) -> Mapping[str, Any]:
    """Settings that an architecture reads -> the default of its config class; `inspect.Parameter.empty` where none.

    What its config class names, what its own source reads from the config, and `COMMON`; nothing that steers.
    """
    from transformers import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[model_type]
    known: dict[str, Any] = dict.fromkeys(COMMON, inspect.Parameter.empty)
    known.update(dict.fromkeys(_read_in_source(Path(inspect.getfile(config_class)).parent), inspect.Parameter.empty))
    for alias, name in getattr(config_class, "attribute_map", {}).items():
        known.update({alias: inspect.Parameter.empty, name: inspect.Parameter.empty})
    signature = inspect.signature(config_class.__init__).parameters
    known.update({name: each.default for name, each in signature.items() if name not in {"self", "kwargs"}})
    return {
        name: default
        for name, default in known.items()
        if not STEERING.search(name)
        and not callable(getattr(config_class, name, None))
        and (name in signature or not name.startswith("_"))  # OPT's _remove_final_layer_norm is a setting of its own
    }


@cache
def known_tokenizers() -> frozenset[str]:
    """Names of the tokenizer classes of the text models, with and without Fast."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    names = set(_GENERIC_TOKENIZERS)
    for kind in TEXT_MODELS | _TOKENIZER_KINDS:
        entry = TOKENIZER_MAPPING_NAMES.get(kind)
        for name in entry if isinstance(entry, tuple | list) else (entry,):
            if isinstance(name, str):
                names |= {name, name.removesuffix("Fast"), f"{name.removesuffix('Fast')}Fast"}
    return frozenset(names)


def _read_in_source(folder: Path) -> set[str]:
    """Attributes of a config that the modules of one architecture read."""
    found: set[str] = set()
    for file in [*folder.glob("modeling_*.py"), *folder.glob("configuration_*.py")]:
        if not file.name.startswith(("modeling_tf_", "modeling_flax_")):
            for match in _READ.finditer(file.read_text(encoding="utf-8")):
                found |= {name for name in match.groups() if name}
    return found
