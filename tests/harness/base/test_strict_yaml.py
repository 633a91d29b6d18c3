from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from harness.audit.spec import AuditSpec, load_spec
from harness.base.strict_yaml import dump_yaml, parse_yaml
from harness.base.validation import load_yaml, read_yaml, yaml_mapping
from harness.errors import UsageError
from harness.gate.policy import Policy, matches
from privacy.training.settings.options import load_train_spec
from suites.adversarial.harden.spec import load_harden_spec

GATE = "- {id: a, metric: s/p/m, max: 0.5}"


def bomb(last: str) -> str:
    """Twelve levels, each ten times the one before: 10^12 values in 600 characters."""
    levels = [f"a{level}: &a{level} {last.format(','.join([f'*a{level - 1}'] * 10))}" for level in range(1, 12)]
    return "\n".join(["a0: &a0 {k: [x, x, x]}", *levels]) + "\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (bomb("[{}]"), "more than 50,000 keys.*ASSAY_LIMITS=2"),
        (bomb("{{<<: [{}]}}"), "more than 50,000 keys.*ASSAY_LIMITS=2"),
        ("a:\n" + "- x\n" * 60_000, "more than 50,000 keys.*ASSAY_LIMITS=2"),
        ("a: " + "[" * 10_000, "nested more than 50 levels"),
        ("{a: " * 10_000, "nested more than 50 levels"),
        ("- " * 5_000, "nested more than 50 levels"),
        ("".join(" " * depth + "a:\n" for depth in range(400)), "nested more than 50 levels"),
        ("a: &a [*a]\n", "an alias stands inside what it repeats"),
        ("a: &a {b: *a}\n", "an alias stands inside what it repeats"),
        ("a: *b\n", "undefined alias 'b'"),
        ("a: 1\nb: 2\na: 3\n", r"line 3, column 1: the key 'a' is there twice, first in line 1"),
        ("a: 1\n'a': 3\n", "line 2, column 1: the key 'a' is there twice"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x\n", "line 4, column 3: the key '<<' is there twice"),
        ("a: !!python/object/apply:os.system [id]\n", "line 1, column 4: the tag 'python/object/apply:os.system'"),
        ("a: !!set {b}\n", "the tag 'set' is not used here"),
        ("a: !!int x\n", "the tag 'int' is not used here"),
        ("? [a]\n: b\n", "a key must be a word"),
        ("? \n: b\n", "a key is missing"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: not valid YAML"),
        ("b: 1\na: \0\n", r"line 2: the character U\+0000"),
        (f"a: {'9' * 5000}\n", "a number of 5,000 characters"),
    ],
)
def test_what_yaml_may_not_say_is_one_sentence_with_its_place(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"^f\.yaml.*{why}") as caught:
        yaml_mapping(text, "f.yaml")
    assert "\n" not in str(caught.value)


def test_merge_keys_and_aliases_of_honest_files_are_read() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo:\n  <<: [{x: 5}, *b]\nthree: *b\n"
    assert yaml_mapping(text, "f") == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 1, "y": 3},
        "two": {"x": 5, "y": 2},
        "three": {"x": 1, "y": 2},
    }


def test_words_and_numbers_stay_what_they_look_like() -> None:
    text = "[on, Off, yes, NO, y, 1:30, 010, 2026-01-01, 0x1f, 0o7, 1_0, 12, -3, 1e-4, .5, 1., true, False, ~, '', '1']"
    assert parse_yaml(text) == [
        *("on", "Off", "yes", "NO", "y", "1:30", "010", "2026-01-01", "0x1f", "0o7"),
        *(10, 12, -3, 1e-4, 0.5, 1.0, True, False, None, "", "1"),
    ]


def test_keys_are_text_as_written() -> None:
    assert parse_yaml("{1: a, 1.0: b, true: c, 010: d, no: e}") == {
        "1": "a",
        "1.0": "b",
        "true": "c",
        "010": "d",
        "no": "e",
    }


@pytest.mark.parametrize(
    "word",
    [
        "on",
        "1e5",
        "010",
        "1:30",
        "2026-01-01",
        "~",
        "true",
        "1_0",
        ".inf",
        "<<",
        "",
        "5e-1",
        "0\x850",
        "a\u2028b",
        "a\r\nb",
    ],
)
def test_what_is_written_is_read_as_the_same_text(word: str) -> None:
    written = dump_yaml({"k": [word], word or "empty": 1})
    assert parse_yaml(written) == yaml.safe_load(written) == {"k": [word], word or "empty": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"name: p\ngates:\n  {GATE}\ngates: []\n", "line 4, column 1: the key 'gates' is there twice"),
        ("name: p\ngates: [{id: a, metric: m, max: on}]\n", "gates.0.max: .*valid number.*got 'on'"),
        ("name: p\ngates: [{id: a, metric: m, max: true}]\n", "gates.0.max: true is a boolean; write a number"),
        (
            "name: p\ngates: [{id: a, metric: m, max: 1, min_examples: yes}]\n",
            "min_examples: .*valid integer.*got 'yes'",
        ),
        ("name: p\ngates: [{id: a, metric: m, max: 1, min_examples: true}]\n", "min_examples: true is a boolean"),
        ("name: p\ngates: [{id: a, metric: m, within: [false, true]}]\n", "within.0: false is a boolean"),
        ("name: p\ngates: [{id: a, metric: m, max: .inf}]\n", "gates.0.max: .*finite"),
        ("name: p\ngates: [{id: a, metric: m, max: 1:30}]\n", "gates.0.max: .*got '1:30'"),
        ("name: true\ngates: []\n", "name: .*valid string, got 'True'; quote it"),
    ],
)
def test_a_policy_that_says_something_else_than_it_seems(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UsageError, match=why):
        load_yaml(tmp_path / "p.yaml", Policy)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("limits: {minutes: true}", "limits.minutes: true is a boolean"),
        ("limits: {minutes: .inf}", "limits.minutes: must be a finite number"),
        ("limits: {cases: 0}", "limits.cases: .*greater than or equal to 1"),
        ("limits: {minutes: 0}", "limits.minutes: .*greater than 0"),
        ("tracking: {uri: 5}", "tracking.uri: .*valid string, got '5'; quote it"),
        ("probes: [a]\nprobes: [b]", "the key 'probes' is there twice"),
        (f"seed: {10**300}", "seed: .*less than"),
    ],
)
def test_a_spec_that_says_something_else_than_it_seems(tmp_path: Path, keys: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(f"checkpoint: x\n{keys}\n")
    with pytest.raises(UsageError, match=why):
        load_spec(tmp_path / "a.yaml")


def test_words_that_yaml_1_1_takes_for_booleans_work_as_text(tmp_path: Path) -> None:
    data = "{examples: {source: a.csv, label_map: {1: yes, 1.0: no, on: off}}}"
    (tmp_path / "a.yaml").write_text(f"checkpoint: x\ntracking: {{uri: off}}\ndata: {data}\n")
    spec = load_spec(tmp_path / "a.yaml")
    assert spec.tracking.uri == "off"
    assert spec.data["examples"].label_map == {"1": "yes", "1.0": "no", "on": "off"}
    assert AuditSpec.model_validate(parse_yaml(dump_yaml(spec.canonical()))) == spec


def test_booleans_stay_booleans_where_they_are_meant(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("name: p\ngates: [{id: a, metric: m, measured: true, ratchet: off}]\n")
    gate = load_yaml(tmp_path / "p.yaml", Policy).gates[0]
    assert gate.measured is True
    assert gate.ratchet is False


READERS = (read_yaml, load_spec, load_train_spec, load_harden_spec, lambda path: load_yaml(path, Policy))


@pytest.mark.parametrize("read", READERS, ids=["yaml", "audit", "train", "harden", "policy"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dangling", "absent", "huge", "long", "zero", "loop"])
def test_every_reader_of_yaml_takes_regular_files_of_a_sane_size(tmp_path: Path, kind: str, read: object) -> None:
    path = tmp_path / "f.yaml"
    whys = {
        "pipe": "a named pipe, not a file",
        "device": "a device, not a file",
        "folder": "a folder, not a file",
        "dangling": "a link to nothing",
        "absent": "no such file",
        "huge": "over the cap of 1 MiB; .*ASSAY_LIMITS=2",
        "long": "cannot be read",
        "zero": "cannot be read",
        "loop": "cannot be read",
    }
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "folder":
            path.mkdir()
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")
        case "huge":
            with path.open("wb") as file:
                file.truncate(300 * 2**30)
        case "long":
            path = tmp_path / ("x" * 300)
        case "zero":
            path = tmp_path / "a\0b"
        case "loop":
            path.symlink_to(path)
    assert callable(read)
    with pytest.raises(UsageError, match=whys[kind]) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_policy_inside_a_spec_is_read_as_safely(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.yaml")
    (tmp_path / "a.yaml").write_text(f"checkpoint: x\npolicy: {tmp_path / 'policy.yaml'}\n")
    with pytest.raises(UsageError, match="a named pipe"):
        load_spec(tmp_path / "a.yaml")


def test_a_cap_is_raised_by_the_variable_that_its_sentence_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.yaml").write_text("a: " + "x " * 600_000)
    with pytest.raises(UsageError, match="ASSAY_LIMITS=2"):
        read_yaml(tmp_path / "f.yaml")
    monkeypatch.setenv("ASSAY_LIMITS", "2")
    assert len(read_yaml(tmp_path / "f.yaml")["a"]) > 2**20
    for wrong in ("0", "-1", "many", "nan", "inf"):
        monkeypatch.setenv("ASSAY_LIMITS", wrong)
        with pytest.raises(UsageError, match=r"ASSAY_LIMITS=.*must be a positive number"):
            read_yaml(tmp_path / "f.yaml")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a/*/c", "a/b/c", True),
        ("*", "", True),
        ("a*a", "a", False),
        ("*b*", "abc", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("**a**", "a", True),
        ("a.b", "axb", False),
        ("a\n*", "a\nb\nc", True),
        ("*ab*ab", "ab", False),
    ],
)
def test_a_star_stands_for_any_characters(pattern: str, text: str, *, expected: bool) -> None:
    assert matches(pattern, text) is expected


def test_four_hundred_stars_take_linear_time() -> None:
    """As a regular expression each would go on for ever."""
    for pattern in ("*" * 400 + "b", "*a" * 400 + "b", "a*" * 400):
        assert not matches(pattern, "a" * 399)
    assert matches("*a" * 400, "a" * 400)
