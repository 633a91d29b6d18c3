"""Keys, references, templates and tokenizer programs: what is found, and which ordinary values are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.scan.finding import Outcome
from tests.harness.scan.inputs import edit, found, scan, write

CHATS = {
    "ordinary": "{% for m in messages %}{{ '<|' ~ m['role'] ~ '|>' + m.content | trim }}{% endfor %}"
    "{% if add_generation_prompt %}{{ bos_token }}{% endif %}",
    "with helpers": "{%- macro one(x) %}{{ x|tojson }}{% endmacro %}{% set ns = namespace(n=0) %}"
    "{% for m in messages[1:] %}{% set ns.n = ns.n + 1 %}{% if loop.index0 % 2 %}{{ raise_exception('no') }}{% endif %}"
    "{% generation %}{{ one(m) }}{% endgeneration %}{% continue %}{% endfor %}{{ strftime_now('%Y') }}"
    "{{ tools | map(attribute='function') | list | tojson(indent=4) }}",
}
BAD_CHATS = (
    "{{ ''.__class__.__mro__ }}",
    "{{ x['__class__'] }}",
    "{{ x|attr('__class__') }}",
    "{{ x|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [x]|map(attribute='__class__')|list }}",
    "{{ ('__cl' ~ 'ass__') }}",
    "{{ self._TemplateReference__context }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__ }}",
    "{% include '/etc/passwd' %}",
    "{% import 'x' as y %}",
    "{% for i in range(10000000000) %}{% endfor %}",
    "{{ 'x' * 10000000000 }}",
    "{{ messages|map('attr', 'x') }}",
)
NAMES = {
    "code/custom-generate": "a/custom_generate/generate.py",
    "code/shadow": "os.py",
    "code/python": "own/modeling.py",
}


@pytest.mark.parametrize("text", CHATS.values(), ids=CHATS)
def test_ordinary_templates_are_clean(text: str, tmp_path: Path) -> None:
    edit(tmp_path, "tokenizer_config.json", chat_template=text)
    write(tmp_path, "chat_template.jinja", text)
    edit(tmp_path, "more.json", chat_template=[{"name": "default", "template": text}])
    assert scan(tmp_path).outcome is Outcome.CLEAN, scan(tmp_path)


@pytest.mark.parametrize("text", BAD_CHATS)
@pytest.mark.parametrize("place", ["tokenizer_config.json", "named", "chat_template.jinja", "additional/tool.jinja"])
def test_templates_that_reach_further(text: str, place: str, tmp_path: Path) -> None:
    if place == "tokenizer_config.json":
        edit(tmp_path, place, chat_template=text)
    elif place == "named":
        edit(tmp_path, "tokenizer_config.json", chat_template=[{"name": "tool", "template": text}])
    else:
        write(tmp_path, place, text)
    assert "code/template" in found(scan(tmp_path))


@pytest.mark.parametrize("shape", [{"tool": "X"}, [["X"]], [{"name": "a", "body": "X"}]], ids=str)
def test_templates_in_any_shape(shape: Any, tmp_path: Path) -> None:
    shaped = json.loads(json.dumps(shape).replace("X", "{{ x.__class__ }}"))
    edit(tmp_path, "processor_config.json", chat_template=shaped)
    assert "code/template" in found(scan(tmp_path))


def test_yaml_that_builds_objects(tmp_path: Path) -> None:
    write(tmp_path, "model_config.yaml", "a: !!python/object/apply:os.system [true]\n")
    assert "code/class-path" in found(scan(tmp_path))


def test_a_template_that_cannot_be_parsed_is_never_clean(tmp_path: Path) -> None:
    for text in ("{{", "{% for %}", "(" * 5000 + "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "{{ 1 }}" * 100_000):
        write(tmp_path, "chat_template.jinja", text)
        assert scan(tmp_path).outcome is not Outcome.CLEAN


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("code/auto-map", {"auto_map": {"AutoConfig": "someone/code--own.Config"}}),
        ("code/trust", {"trust_remote_code": True}),
        ("code/trust", {"a": [{"b": {"trust_remote_code": 1}}]}),
        ("code/backbone", {"backbone": "resnet"}),
        ("code/backbone", {"x": {"backbone_kwargs": {"a": 1}}}),
        ("code/backbone", {"use_timm_backbone": True}),
        ("code/internal", {"_attn_implementation_internal": "someone/kernel"}),
        ("code/internal", {"_experts_implementation_internal": "x"}),
        ("code/kernel", {"_attn_implementation": "someone/kernel"}),
        ("code/kernel", {"attn_implementation": {"": "a/b@v1:f"}}),
        ("code/kernel", {"kernel_config": {"a": "b"}}),
        ("code/class-path", {"auto_mapping": {"parent_library": "own"}}),
        ("code/class-path", {"layers": [{"class_name": "Lambda"}]}),
        ("code/class-path", {"tokenizer_class": "os.system"}),
        ("code/class-path", {"tokenizer_class": "TransfoXLTokenizer"}),
        ("reference/leaves", {"transformers_weights": "other.safetensors"}),
        ("reference/leaves", {"vocab_file": "../../vocab.txt"}),
        ("reference/leaves", {"fast_tokenizer_files": ["tokenizer.json", "/x/tokenizer.4.json"]}),
        ("reference/leaves", {"merges_file": "https://example.invalid/merges.txt"}),
        ("reference/leaves", {"spm_file": "C:\\spm.model"}),
        ("reference/leaves", {"tokenizer_file": "~/tokenizer.json"}),
        ("reference/leaves", {"revision": "../../x"}),
        ("reference/missing", {"vocab_file": "vocab.txt"}),
        ("settings/overrides", {"__class__": 1}),
        ("settings/shape", {"model_type": ["bert"]}),
        ("settings/shape", {"hidden_size": -1}),
        ("resources/count", {"max_position_embeddings": 10**12}),
        ("resources/count", {"a": {"num_experts": 10**9}}),
    ],
)
def test_keys_that_do_more_than_set(rule: str, settings: dict[str, Any], tmp_path: Path) -> None:
    edit(tmp_path, "config.json", **settings)
    assert rule in found(scan(tmp_path))


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_map": None, "trust_remote_code": False, "backbone": None, "use_timm_backbone": False},
        {"_attn_implementation": "sdpa", "attn_implementation": {"text_config": "eager"}, "kernel_size": 3},
        {"_name_or_path": "/home/x/run", "_attn_implementation_autoset": True, "num_labels": 3, "vocab_size": 30522},
        {"id2label": {"0": "and/or", "1": "~maybe"}, "label2id": {"and/or": 0, "~maybe": 1}},
        {"megatron_core": "megatron.core", "megatron_config": None, "peft_type": "LORA", "target_modules": ["q", "v"]},
    ],
)
def test_ordinary_values_of_the_same_keys(settings: dict[str, Any], tmp_path: Path) -> None:
    edit(tmp_path, "config.json", **settings)
    assert found(scan(tmp_path)) == set(), scan(tmp_path).findings


def test_both_values_of_a_name_that_stands_twice_are_read(tmp_path: Path) -> None:
    write(tmp_path, "config.json", '{"auto_map": {"AutoModel": "own.M"}, "auto_map": null}')
    assert {"settings/duplicate", "code/auto-map"} <= found(scan(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "other.json"])
@pytest.mark.parametrize(
    "content",
    [b'{"a": ', b'{"a":' * 100_000, b"[" * 10**6, b"\xff\xfe\xfd", b'{"a": 1' + b"0" * 10**6 + b"}", b'{"a": NaN}',
     b'{"a": "\\ud800"}', '{"a": 1}'.encode("utf-16")],
    ids=["cut", "deep", "deeper", "no text", "digits", "nan", "half a character", "utf-16"],
)  # fmt: skip
def test_json_that_cannot_be_read_is_never_clean(name: str, content: bytes, tmp_path: Path) -> None:
    write(tmp_path, name, content)
    report = scan(tmp_path)
    assert report.outcome is not Outcome.CLEAN


def test_json_of_millions_of_parts_is_left_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LIMITS", "0.01")
    write(tmp_path, "tokenizer.json", b"[" + b"{}," * 100_000 + b"{}]")
    assert any("parts" in missed.why for missed in scan(tmp_path).unscanned)


@pytest.mark.parametrize(
    "program",
    [
        {"normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 40}},
        {"normalizer": {"type": "Prepend", "prepend": "x" * 5000}},
        {"decoder": {"type": "Replace", "pattern": {"String": "#"}, "content": "x" * 50_000}},
        {"padding": {"strategy": {"Fixed": 10**9}}},
        {"padding": {"strategy": "BatchLongest", "pad_to_multiple_of": 10**9}},
        {"post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}] * 1000, "pair": []}},
        {"model": {"type": "WordPiece", "vocab": {"a": 0}, "max_input_chars_per_word": 10**9}},
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 2**60}, "merges": []}},
    ],
)  # fmt: skip
def test_tokenizers_that_make_short_texts_long(program: dict[str, Any], tmp_path: Path) -> None:
    whole = {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [], **program}
    write(tmp_path, "tokenizer.json", json.dumps(whole))
    assert "resources/tokenizer" in found(scan(tmp_path))


def test_words_of_a_vocabulary_are_no_settings(tmp_path: Path) -> None:
    words = {
        word: number for number, word in enumerate(["auto_map", "/etc/passwd", "../x", "trust_remote_code", "file:x"])
    }
    model = {"type": "BPE", "vocab": words, "merges": [["/", "e"], ["http://", "x"]]}
    write(tmp_path, "tokenizer.json", json.dumps({"model": model, "added_tokens": [{"id": 9, "content": "/root"}]}))
    write(tmp_path, "vocab.json", json.dumps(words))
    assert scan(tmp_path).outcome is Outcome.CLEAN, scan(tmp_path)


@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "layers_pattern"])
def test_patterns_of_an_adapter(key: str, tmp_path: Path) -> None:
    edit(tmp_path, "adapter_config.json", **{key: "(.*.*)*(.*.*)*x$"})
    assert "resources/pattern" in found(scan(tmp_path))
    edit(tmp_path, "adapter_config.json", **{key: None, "rank_pattern": {"(a+)+$": 3}})
    assert "resources/pattern" in found(scan(tmp_path))


def test_an_adapter_whose_base_lies_elsewhere_is_never_clean(tmp_path: Path) -> None:
    edit(tmp_path, "adapter_config.json", base_model_name_or_path="bert-base-uncased", peft_type="LORA")
    report = scan(tmp_path)
    assert report.outcome is Outcome.INCOMPLETE
    edit(tmp_path, "adapter_config.json", base_model_name_or_path="base")
    write(tmp_path, "base/config.json", '{"model_type": "bert"}')
    assert scan(tmp_path).outcome is Outcome.CLEAN


@pytest.mark.parametrize("rule", NAMES)
def test_python_by_its_place(rule: str, tmp_path: Path) -> None:
    write(tmp_path, NAMES[rule], "x = 1\n")
    assert found(scan(tmp_path)) == {rule}


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        ("[core]\n\tfsmonitor = touch x", True),
        ("[core]\n\thooksPath = hooks", True),
        ("[core] sshCommand = x", True),
        ('[filter "x"]\n\tclean = touch x', True),
        ("[alias]\n\tst = !touch x", True),
        ("[include]\n\tpath = ../x", True),
        ('[diff "x"]\n\ttextconv = x', True),
        ('[filter "lfs"]\n\tclean = git-lfs clean -- %f\n\trequired = true', False),
        ('[core]\n\tbare = false\n[remote "origin"]\n\turl = https://example.invalid/m\n[alias]\n\tst = status', False),
    ],
)
def test_settings_of_git_that_run_programs(setting: str, bad: bool, tmp_path: Path) -> None:
    write(tmp_path, ".git/HEAD", "ref: refs/heads/main\n")
    write(tmp_path, ".git/config", f"{setting}\n")
    write(tmp_path, ".git/hooks/pre-commit.sample", "#!/bin/sh\nexit 0\n")
    assert ("code/git" in found(scan(tmp_path))) == bad
    write(tmp_path, ".git/hooks/post-checkout", "#!/bin/sh\nexit 0\n")
    assert "code/git" in found(scan(tmp_path))


@pytest.mark.parametrize(("file", "clean"), [("records.safetensors", True), ("../../etc/passwd", False)])
def test_artefacts_that_lie_beside_a_checkpoint_are_no_loss(file: str, clean: bool, tmp_path: Path) -> None:
    edit(tmp_path, "training_manifest.json", artefacts=[{"name": "records", "readers": "owner", "file": file}])
    assert (scan(tmp_path).outcome is Outcome.CLEAN) == clean, scan(tmp_path)
