"""The hostile corpus: one entry per input, by kind, with what must come of it.

A builder changes a small sound checkpoint in place; it is given the folder and the path of a marker that its payload
would write. `REFUSED`: one sentence. `HARMLESS`: it loads, and the payload has not run. `SAID`: it loads, and its
fingerprint differs from that of the sound twin, because something that computes has changed.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Outcome(StrEnum):
    """What must come of an input."""

    REFUSED = "refused"
    HARMLESS = "harmless"
    SAID = "said"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One input."""

    name: str
    kind: str
    base: str
    """bert, gpt2, adapter or gguf: the sound checkpoint that is changed."""
    build: Callable[[Path, Path], None]
    outcome: Outcome


REFUSED, HARMLESS, SAID = Outcome.REFUSED, Outcome.HARMLESS, Outcome.SAID


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; a value of `...` removes the key."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    kept = {key: value for key, value in {**content, **changes}.items() if value is not ...}
    path.write_text(json.dumps(kept))


def _config(**changes: Any) -> Callable[[Path, Path], None]:
    return lambda folder, _marker: edit(folder / "config.json", **changes)


def _tokenizer_config(**changes: Any) -> Callable[[Path, Path], None]:
    return lambda folder, _marker: edit(folder / "tokenizer_config.json", **changes)


def _tokenizer(**changes: Any) -> Callable[[Path, Path], None]:
    return lambda folder, _marker: edit(folder / "tokenizer.json", **changes)


def _adapter(**changes: Any) -> Callable[[Path, Path], None]:
    return lambda folder, _marker: edit(folder / "adapter_config.json", **changes)


def _content(name: str, content: bytes) -> Callable[[Path, Path], None]:
    return lambda folder, _marker: _write(folder / name, content)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _code(marker: Path) -> str:
    said = "print('Verdict: PASS')\nraise SystemExit(0)\n"
    return f"from pathlib import Path\nPath({str(marker)!r}).write_text('ran')\n{said}"


class _Payload:
    """Pickles to a call that writes the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.marker}",))


# ---------------------------------------------------------------- code that would run


def _custom_generate(folder: Path, marker: Path) -> None:
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(_code(marker))
    (folder / "custom_generate" / "requirements.txt").write_text("")


def _modules_beside(folder: Path, marker: Path) -> None:
    for name in ("modeling_bert", "configuration_bert", "tokenization_bert", "torch", "numpy", "pip", "sitecustomize"):
        (folder / f"{name}.py").write_text(_code(marker))


def _auto_map(file: str, **classes: Any) -> Callable[[Path, Path], None]:
    def build(folder: Path, marker: Path) -> None:
        (folder / "own.py").write_text(_code(marker))
        edit(folder / file, auto_map=classes)

    return build


def _unknown_type(folder: Path, marker: Path) -> None:
    _auto_map("config.json", AutoConfig="own.Config", AutoModel="own.Model")(folder, marker)
    edit(folder / "config.json", model_type="own")


def _tokenizer_code(folder: Path, marker: Path) -> None:
    (folder / "own.py").write_text(_code(marker))
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", None]}, tokenizer_class="Own")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n")


def _pickled(name: str) -> Callable[[Path, Path], None]:
    def build(folder: Path, marker: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(pickle.dumps(_Payload(marker)))

    return build


def _pickle_named_safetensors(folder: Path, marker: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Payload(marker)))


def _gguf_tokenizer_code(folder: Path, marker: Path) -> None:
    (folder / "own.py").write_text(_code(marker))
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", "own.Own"]})
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Config"}, model_type="own")


_TRUST = {"trust_remote_code": True}


def _code_entries() -> Iterator[Hostile]:
    def entry(name: str, build: Callable[[Path, Path], None], outcome: Outcome, base: str = "bert") -> Hostile:
        return Hostile(name, "code", base, build, outcome)

    yield entry("custom_generate", _custom_generate, HARMLESS, "gpt2")
    yield entry("modules beside the weights", _modules_beside, HARMLESS)
    yield entry("auto_map of a known type", _auto_map("config.json", AutoConfig="own.C", AutoModel="own.M"), SAID)
    yield entry("auto_map of an unknown type", _unknown_type, REFUSED)
    for file in (
        "tokenizer_config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "generation_config.json",
    ):
        yield entry(f"auto_map in {file}", _auto_map(file, AutoTokenizer=["own.T", None]), HARMLESS)
    yield entry("tokenizer known to shipped code alone", _tokenizer_code, REFUSED)
    for name in ("pytorch_model.bin", "adapter_model.bin", "model.ckpt", "model.pt", "tf_model.h5"):
        yield entry(f"pickle {name}", _pickled(name), REFUSED)
    yield entry("pickle called model.safetensors", _pickle_named_safetensors, REFUSED)
    yield entry("GGUF beside code", _gguf_tokenizer_code, HARMLESS, "gguf")
    steering: dict[str, Any] = {
        "backbone": "someone/code",
        "backbone_kwargs": _TRUST,
        "backbone_config": {"model_type": "timm_backbone", **_TRUST},
        "use_timm_backbone": True,
        "trust_remote_code": True,
        "keypoint_detector_config": _TRUST,
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "_attn_implementation_internal": "someone/kernel",
        "attn_implementation_internal": "someone/kernel",
        "experts_implementation": "someone/kernel",
        "_experts_implementation": "someone/kernel",
        "kernel_config": {"kernel_mapping": "someone/kernel"},
        "use_kernels": True,
        "transformers_weights": "other.bin",
        "generation_config": {"custom_generate": "someone/code"},
        "custom_generate": "someone/code",
        "text_config": _TRUST,
        "sub_configs": {"a": _TRUST},
        "_name_or_path": "someone/code",
        "_commit_hash": "main",
        "get_text_config": "x",
        "to_dict": "x",
        "__class__": "x",
    }
    for key, value in steering.items():
        yield entry(f"config key {key}", _config(**{key: value}), HARMLESS)
    for kind in ("mamba", "rwkv", "mra", "gpt_oss", "lightglue", "vision-encoder-decoder", "timm_wrapper", "upernet"):
        yield entry(f"model type {kind}", _config(model_type=kind, backbone_kwargs=_TRUST), REFUSED)
    for key, value in {"quantization_config": {"quant_method": "fp_quant"}, "torch_dtype": "os.system"}.items():
        outcome = REFUSED if key.startswith("quant") else HARMLESS
        yield entry(f"config key {key}", _config(**{key: value}), outcome)
    for name in ("TransfoXLTokenizer", "RagTokenizer", "BertJapaneseTokenizer", "os.system", "../own"):
        yield entry(f"tokenizer_class {name}", _tokenizer_config(tokenizer_class=name), HARMLESS)
    yield entry("tokenizer_class that is a list", _tokenizer_config(tokenizer_class=["a", "b"]), REFUSED)


# ---------------------------------------------------------------- what the fingerprint must cover, or not hand on


def _tokenizer_elsewhere(folder: Path, _marker: Path) -> None:
    other = folder.parent / "other.json"
    content = json.loads((folder / "tokenizer.json").read_text())
    other.write_text(json.dumps({**content, "normalizer": {"type": "Lowercase"}, "pre_tokenizer": None}))
    edit(folder / "tokenizer_config.json", tokenizer_file=str(other), vocab_file=str(other))


def _fast_files(folder: Path, _marker: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.4.0.0.json").write_text(json.dumps({**content, "pre_tokenizer": None}))
    edit(folder / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json", "tokenizer.json"])


def _vocabulary(**words: str) -> Callable[[Path, Path], None]:
    """Words of the vocabulary given the ids of others."""

    def build(folder: Path, _marker: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        vocab = content["model"]["vocab"]
        for new, old in words.items():
            vocab[new] = vocab.pop(old)
        (folder / "tokenizer.json").write_text(json.dumps(content))

    return build


def _fingerprint_entries() -> Iterator[Hostile]:
    def entry(name: str, build: Callable[[Path, Path], None], outcome: Outcome, base: str = "bert") -> Hostile:
        return Hostile(name, "fingerprint", base, build, outcome)

    yield entry("tokenizer_file outside", _tokenizer_elsewhere, HARMLESS)
    yield entry("fast_tokenizer_files", _fast_files, HARMLESS)
    direction = {"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    yield entry("truncation in tokenizer.json", _tokenizer(truncation=direction), HARMLESS)
    yield entry("truncation_side", _tokenizer_config(truncation_side="left"), SAID)
    yield entry("a word called backend", _vocabulary(backend="good"), SAID)
    yield entry("a word called dtype", _vocabulary(dtype="bad"), SAID)
    yield entry("a word called name_or_path", _vocabulary(name_or_path="film"), SAID)
    ends = _content("generation_config.json", b'{"eos_token_id": 7}')
    yield entry("eos_token_id in generation_config", ends, SAID, "gpt2")
    yield entry(
        "sampling in generation_config", _content("generation_config.json", b'{"do_sample": true}'), SAID, "gpt2"
    )
    yield entry("added token", _content("added_tokens.json", b'{"film": 3}'), SAID)
    stripped = {"unk_token": {"content": "[UNK]", "lstrip": True, "rstrip": True, "normalized": True}}
    yield entry("flags of a special token", _content("special_tokens_map.json", json.dumps(stripped).encode()), SAID)
    yield entry("sp_model_kwargs", _tokenizer_config(sp_model_kwargs={"enable_sampling": True, "alpha": 0.1}), HARMLESS)
    yield entry("layer_norm_eps", _config(layer_norm_eps=0.1), SAID)
    yield entry("return_dict", _config(return_dict=False), SAID)
    yield entry("torchscript", _config(torchscript=True), SAID)


# ---------------------------------------------------------------- paths that data choose


def _link(name: str, target: str) -> Callable[[Path, Path], None]:
    def build(folder: Path, _marker: Path) -> None:
        path = folder / name
        if path.is_file():
            path.unlink()
        path.symlink_to(target)

    return build


def _link_chain(folder: Path, _marker: Path) -> None:
    outside = folder.parent / "outside.json"
    (folder / "config.json").rename(outside)
    (folder / "step").symlink_to(outside)
    (folder / "config.json").symlink_to("step")


def _shards(weight_map: dict[str, Any]) -> Callable[[Path, Path], None]:
    def build(folder: Path, _marker: Path) -> None:
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        edit(folder / "model.safetensors.index.json", weight_map=weight_map)

    return build


def _vocab_of_elsewhere(folder: Path, _marker: Path) -> None:
    secret = folder.parent / "secret.txt"
    secret.write_text("the-secret-line\n" * 10)
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", tokenizer_class="BertTokenizer", vocab_file=str(secret))


_BASES: tuple[Any, ...] = (
    "/etc",
    "someone/model",
    "pypi:a==1!b#sha256=" + "0" * 64,
    "../bert",
    "x" * 5000,
    "a\x1b[2Jb",
    ["a"],
    {},
)


def _path_entries() -> Iterator[Hostile]:
    def entry(name: str, build: Callable[[Path, Path], None], outcome: Outcome, base: str = "bert") -> Hostile:
        return Hostile(name, "path", base, build, outcome)

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        yield entry(f"{name} a link to elsewhere", _link(name, "/etc/hostname"), REFUSED)
        yield entry(f"{name} a link to itself", _link(name, name), REFUSED)
        yield entry(f"{name} a dangling link", _link(name, "nowhere"), REFUSED)
    for name in ("vocab.txt", "a.model", "a.jinja", "added_tokens.json", "special_tokens_map.json"):
        yield entry(f"{name} a link to elsewhere", _link(name, "/etc/passwd"), REFUSED)
    yield entry("a chain of links that leaves", _link_chain, REFUSED)
    yield entry("a link into proc", _link("vocab.txt", "/proc/self/environ"), REFUSED)
    yield entry("vocab_file elsewhere", _vocab_of_elsewhere, REFUSED)
    for name in (
        "../part.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "",
        "..",
        "x" * 300,
        "a\x00b",
        "\ud800",
        "a\nb",
    ):
        yield entry(f"shard called {name[:20]!r}", _shards({"a": name}), REFUSED)
    yield entry("shard that is a number", _shards({"a": 3}), REFUSED)
    yield entry("index without shards", _shards({}), REFUSED)
    for named in _BASES:
        yield entry(f"adapter base {str(named)[:20]!r}", _adapter(base_model_name_or_path=named), REFUSED, "adapter")


# ---------------------------------------------------------------- special files, sparse files, absurd sizes


def _instead(name: str, make: Callable[[Path], None]) -> Callable[[Path, Path], None]:
    def build(folder: Path, _marker: Path) -> None:
        path = folder / name
        if path.is_file():
            path.unlink()
        make(path)

    return build


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name may have 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def _sparse_tensor(folder: Path, _marker: Path) -> None:
    """A sound header over 300 GB of holes."""
    size = 300 * 2**30
    header = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)


_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_MORE = (
    "generation_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "a.model",
    "a.jinja",
    "training_manifest.json",
)


def _file_entries() -> Iterator[Hostile]:
    kinds: dict[str, Callable[[Path], None]] = {"pipe": os.mkfifo, "folder": Path.mkdir, "socket": _socket}
    for kind, make in kinds.items():
        for name in (*_FILES, *(_MORE if kind != "socket" else ())):
            yield Hostile(f"{name} a {kind}", "special file", "bert", _instead(name, make), REFUSED)
    for name in (*_FILES, "vocab.txt", "a.model", "added_tokens.json"):
        yield Hostile(f"{name} of 300 GB", "sparse", "bert", _instead(name, _sparse(300 * 2**30)), REFUSED)
    yield Hostile("a tensor of 300 GB", "sparse", "bert", _sparse_tensor, REFUSED)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        yield Hostile(f"{name} a pipe", "special file", "adapter", _instead(name, os.mkfifo), REFUSED)
    yield Hostile("model.gguf of 300 GB", "sparse", "gguf", _instead("model.gguf", _sparse(300 * 2**30)), REFUSED)
    yield Hostile("model.gguf a pipe", "special file", "gguf", _instead("model.gguf", os.mkfifo), REFUSED)


# ---------------------------------------------------------------- counts and programs that never end


def _junk_labels(folder: Path, _marker: Path) -> None:
    """40 million labels behind one tensor that has as many rows."""
    rows = 4 * 10**7
    header = {"classifier.weight": {"dtype": "U8", "shape": [rows, 1], "data_offsets": [0, rows]}}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(rows))
    edit(folder / "config.json", num_labels=rows, id2label=..., label2id=...)


def _growing(steps: int) -> dict[str, Any]:
    double = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    return {"type": "Sequence", "normalizers": [double] * steps}


def _nested(depth: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"type": "Lowercase"}
    for _ in range(depth):
        rule = {"type": "Sequence", "normalizers": [rule]}
    return rule


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _template(count: int) -> dict[str, Any]:
    sep = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    tokens = {"[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}
    single = [{"Sequence": {"id": "A", "type_id": 0}}, *[sep] * count]
    return {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": tokens}


_BACKTRACK = r"(.*.*)*(.*.*)*(.*.*)*(.*.*)*x$"


_NORMALIZERS: dict[str, Any] = {
    "normalizer that doubles 40 times": _growing(40),
    "normalizer that adds 50 MB": {"type": "Replace", "pattern": {"String": "a"}, "content": "x" * 50_000_000},
    "normalizer that prepends 5 MB": {"type": "Prepend", "prepend": "x" * 5_000_000},
    "normalizer nested 100 deep": _nested(100),
    "normalizer with a costly pattern": {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": "b"},
    "normalizer of an unknown kind": {"type": "Unheard"},
    "normalizer that is a list": [1],
}
_DECODERS: dict[str, Any] = {
    "decoder that adds 50 MB": {"type": "Replace", "pattern": {"String": "#"}, "content": "x" * 50_000_000},
    "decoder that doubles 40 times": {
        "type": "Sequence",
        "decoders": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 90}] * 40,
    },
}
_RARE: dict[str, Any] = {
    "decoder that grows one letter": {
        "decoder": {
            "type": "Sequence",
            "decoders": [{"type": "Replace", "pattern": {"String": "z"}, "content": "z" * 90}] * 5,
        }
    },
    "character map to a long text": {
        "normalizer": {
            "type": "Precompiled",
            "precompiled_charsmap": base64.b64encode(struct.pack("<II", 4, 0) + b"x" * 1_000_000 + b"\0").decode(),
        }
    },
}
"""Parts that only certain letters set off, so that no trial text finds them."""
_BAD_ADAPTERS: dict[str, Any] = {
    "r of 10^12": {"r": 10**12},
    "r of 2": {"r": 2},
    "r that is a list": {"r": [4]},
    "peft_type that is a list": {"peft_type": ["LORA"]},
    "peft_type that is an object": {"peft_type": {}},
    "peft_type unheard of": {"peft_type": "UNHEARD"},
    "layer_replication": {"layer_replication": [[0, 10**9]]},
    "task_type that is a number": {"task_type": 3},
    "bias that is a path": {"bias": "../../x"},
}
_IGNORED_ADAPTERS: dict[str, Any] = {
    "megatron": {"megatron_core": "own", "megatron_config": {"a": 1}},
    "auto_mapping": {"auto_mapping": {"base_model_class": "X", "parent_library": "own"}},
    "revision": {"revision": "../../x"},
}


def _count_entries() -> Iterator[Hostile]:
    def entry(name: str, build: Callable[[Path, Path], None], outcome: Outcome = REFUSED) -> Hostile:
        return Hostile(name, "count", "bert", build, outcome)

    yield entry("4e7 labels behind a junk tensor", _junk_labels)
    for key in (
        "num_hidden_layers",
        "num_attention_heads",
        "num_labels",
        "vocab_size",
        "hidden_size",
        "type_vocab_size",
    ):
        for digits in ("1" + "0" * 9, "-1", "0", "9" * 18, "1" + "0" * 5000):
            if key != "num_labels" or len(digits) > 2:
                outcome = SAID if (key, digits) == ("num_hidden_layers", "0") else REFUSED
                yield entry(f"{key} {digits[:12]} of {len(digits)} digits", _raw_config(key, digits), outcome)
    for key in ("max_position_embeddings", "intermediate_size"):
        yield entry(f"{key} 1e12", _config(**{key: 10**12}))


def _program_entries() -> Iterator[Hostile]:
    def entry(name: str, build: Callable[[Path, Path], None]) -> Hostile:
        return Hostile(name, "program", "bert", build, REFUSED)

    for name, rule in _NORMALIZERS.items():
        yield entry(name, _tokenizer(normalizer=rule))
    for pattern in (
        "(a+)+$",
        "(a|a)*$",
        "(.*)*x",
        r"(\w+\s?)*$",
        "([^x]|.)*y",
        "(a*)*b",
        r"(?:a+){2,}b",
        "x" * 6000,
        "[b-z]*" * 16 + "x",
    ):
        yield entry(f"split at {pattern[:12]}", _tokenizer(pre_tokenizer=_split(pattern)))
    for name, rule in _DECODERS.items():
        yield entry(name, _tokenizer(decoder=rule))
    for name, parts in _RARE.items():
        yield entry(name, _tokenizer(**parts))
    for part in ("continuing_subword_prefix", "unk_token"):
        yield entry(f"{part} of 20 MB", _model(**{part: "x" * 20_000_000}))
    yield entry("word of 10 MB", _vocabulary(**{"x" * 10_000_000: "film"}))
    yield entry("template of 100,000 tokens", _tokenizer(post_processor=_template(100_000)))
    yield entry("vocabulary ids of 2^60", _vocabulary_ids(2**60))
    yield entry("words of 10^9 characters", _model(max_input_chars_per_word=10**9))
    yield entry("model of an unknown kind", _model(type="Unheard"))
    yield entry("no model", _tokenizer(model=...))


def _adapter_entries() -> Iterator[Hostile]:
    def entry(name: str, changes: dict[str, Any], outcome: Outcome) -> Hostile:
        return Hostile(f"adapter {name}", "adapter", "adapter", _adapter(**changes), outcome)

    for key in ("target_modules", "exclude_modules", "layers_pattern", "modules_to_save", "feedforward_modules"):
        outcome = REFUSED if key == "modules_to_save" else HARMLESS
        yield entry(f"{key} that backtracks", {key: _BACKTRACK}, outcome)
    for key in ("rank_pattern", "alpha_pattern"):
        yield entry(f"{key} that backtracks", {key: {_BACKTRACK: 4}}, REFUSED)
    for name, changes in _BAD_ADAPTERS.items():
        yield entry(name, changes, REFUSED)
    for name, changes in _IGNORED_ADAPTERS.items():
        yield entry(name, changes, HARMLESS)


def _raw_config(key: str, digits: str) -> Callable[[Path, Path], None]:
    """Python writes no integer of 5,000 digits either."""

    def build(folder: Path, _marker: Path) -> None:
        edit(folder / "config.json", **{key: "@"})
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"@"', digits))

    return build


def _vocabulary_ids(beyond: int) -> Callable[[Path, Path], None]:
    def build(folder: Path, _marker: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        content["model"]["vocab"]["zzz"] = beyond
        (folder / "tokenizer.json").write_text(json.dumps(content))

    return build


def _model(**changes: Any) -> Callable[[Path, Path], None]:
    def build(folder: Path, _marker: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        content["model"].update(changes)
        (folder / "tokenizer.json").write_text(json.dumps(content))

    return build


# ---------------------------------------------------------------- content that is not what it should be


_ODD: dict[str, bytes] = {
    "empty": b"",
    "a list": b"[1]",
    "a text": b'"x"',
    "cut short": b'{"a": ',
    "nested 100,000 deep": b'{"a":' * 100_000,
    "not UTF-8": b"\xff\xfe{\x00}\x00",
    "a name twice": b'{"model_type": "bert", "model_type": "gpt2"}',
    "a lone surrogate": b'{"model_type": "\\ud800"}',
    "not a number": b'{"a": NaN}',
    "an integer of 5,000 digits": b'{"a": 1' + b"0" * 5000 + b"}",
}


def _content_entries() -> Iterator[Hostile]:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        for what, content in _ODD.items():
            yield Hostile(f"{name} {what}", "content", "bert", _content(name, content), REFUSED)
    for name in ("generation_config.json", "added_tokens.json", "training_manifest.json"):
        for what in ("empty", "a list", "nested 100,000 deep", "a lone surrogate"):
            yield Hostile(f"{name} {what}", "content", "bert", _content(name, _ODD[what]), REFUSED)
    for what in ("empty", "a list", "nested 100,000 deep", "an integer of 5,000 digits"):
        yield Hostile(
            f"adapter_config.json {what}", "content", "adapter", _content("adapter_config.json", _ODD[what]), REFUSED
        )
    values: dict[str, Any] = {
        "model_type": [["bert"], {"a": 1}, 3, None, "x" * 10**6, "../bert", "bert\x1b[2J"],
        "architectures": ["BertModel", [3], {"a": 1}, ["\x1b[31mModel"], ["x" * 10**6], ["../x"]],
        "id2label": [3, {"0": "a", "7": "b"}, {"a": "b"}, {"0": "x" * 20_000_000, "1": "b"}, {"0": ["a"], "1": "b"}],
        "hidden_act": ["unheard", 3, "os.system('x')", "../gelu"],
        "hidden_size": ["32", [32], {"a": 1}, True, 1.5],
        "layer_norm_eps": ["x", [1]],
        "problem_type": ["unheard"],
    }
    for key, bad in values.items():
        for at, value in enumerate(bad):
            yield Hostile(f"{key} odd {at}", "content", "bert", _config(**{key: value}), REFUSED)
    yield Hostile("dtype a list", "content", "bert", _config(dtype=["float32"], torch_dtype={"a": 1}), HARMLESS)


# ---------------------------------------------------------------- headers that lie


def _header(**tensors: Any) -> Callable[[Path, Path], None]:
    def build(folder: Path, _marker: Path) -> None:
        text = json.dumps(tensors).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)

    return build


def _header_entries() -> Iterator[Hostile]:
    def tensor(shape: Any, start: Any = 0, end: Any = 0, dtype: Any = "F32") -> dict[str, Any]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}

    for name, described in {
        "shape whose product overflows": tensor([2**32, 2**32, 2**32]),
        "shape that is negative": tensor([-1, -4], 0, 16),
        "shape of floats": tensor([1.5]),
        "shape that is a text": tensor("123"),
        "offsets outside": tensor([4], 0, 2**40),
        "offsets reversed": tensor([0], 4, 0),
        "offsets that are texts": tensor([1], "0", "4"),
        "dtype a list": tensor([0], dtype=["F32"]),
        "dtype unheard of": tensor([0], dtype="Q4"),
        "1,000 dimensions": tensor([1] * 1000, 0, 4),
    }.items():
        yield Hostile(f"safetensors {name}", "header", "bert", _header(a=described), REFUSED)
    many = {f"t{at}": tensor([0]) for at in range(150_000)}
    yield Hostile("safetensors 150,000 empty tensors", "header", "bert", _header(**many), REFUSED)
    long = struct.pack("<Q", 2**63) + b"{}"
    yield Hostile("safetensors header of 2^63", "header", "bert", _content("model.safetensors", long), REFUSED)
    yield Hostile("safetensors of seven bytes", "header", "bert", _content("model.safetensors", b"1234567"), REFUSED)
    for name, content in {
        "GGUF of another version": struct.pack("<4sIQQ", b"GGUF", 99, 0, 0),
        "GGUF of 2^60 tensors": struct.pack("<4sIQQ", b"GGUF", 3, 2**60, 0),
        "GGUF of 2^60 values": struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**60),
        "GGUF with a text of 2^60": struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**60),
        "GGUF of four bytes": b"GGUF",
        "GGUF that is none": b"PK\x03\x04" + bytes(100),
    }.items():
        yield Hostile(name, "header", "gguf", _content("model.gguf", content), REFUSED)
    for key in ("qwen2.block_count", "llama.block_count", "falcon.expert_count", "llama.attention.head_count"):
        yield Hostile(f"GGUF {key} 10^9", "header", "gguf", _gguf_value(key, 10**9), REFUSED)


def _gguf_value(key: str, value: int) -> Callable[[Path, Path], None]:
    """The same file with one more integer in its metadata."""

    def build(folder: Path, _marker: Path) -> None:
        make_gguf(folder, {key: value})

    return build


def make_gguf(folder: Path, extra: dict[str, int] | None = None) -> None:
    """`folder`/model.gguf, with more integers in its metadata."""
    import transformers

    from tests.tiny import make_checkpoint
    from tests.tiny_gguf import write_gguf

    made = make_checkpoint(folder.parent / "llama", "llama", "causal_lm")
    model = transformers.AutoModelForCausalLM.from_pretrained(made).eval()
    write_gguf(folder / "model.gguf", model, transformers.AutoTokenizer.from_pretrained(made), extra)


CORPUS: tuple[Hostile, ...] = (
    *_code_entries(),
    *_fingerprint_entries(),
    *_path_entries(),
    *_file_entries(),
    *_count_entries(),
    *_program_entries(),
    *_adapter_entries(),
    *_content_entries(),
    *_header_entries(),
)
