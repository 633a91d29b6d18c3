"""The form follows the spec's schema, says what is wrong where it was typed, and gives a spec that reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dashboards.control.spec_form import CHOSEN, MORE, Draft, draft, form_fields, probe_names
from dashboards.settings import Settings
from harness.audit.spec import AuditSpec
from harness.base.language import spoken
from harness.base.strict_yaml import parse_yaml
from harness.base.validation import validated

SETTINGS = Settings(Path("/srv/audits"), "sqlite:////srv/mlflow.db")


def test_fields_are_what_the_schema_says() -> None:
    fields = {each.path: each for each in form_fields()}
    assert (fields["seed"].kind, fields["seed"].least, fields["seed"].most) == ("integer", 0, 2**32 - 1)
    assert (fields["limits.cases"].kind, fields["limits.cases"].least) == ("integer", 1)
    assert fields["limits.minutes"].kind == "number"
    assert fields["name"].longest == 60
    assert fields["dtype"].choices == ("auto", "fp32", "bf16", "fp16")
    assert "folder, hub name" in fields["checkpoint.source"].help


def test_the_form_speaks_the_language_of_who_sees_it() -> None:
    helps = {each.path: each.help for each in form_fields()}
    with spoken("zh"):
        assert {each.path: each.help for each in form_fields()}["policy"] != helps["policy"]
    assert {each.path: each.help for each in form_fields()} == helps


def test_probes_are_listed_by_name_with_their_suites() -> None:
    names = probe_names()
    assert {"quality", "quality/classification", "adversarial/textfooler"} <= set(names)
    assert len(names) == len(set(names))


def test_a_whole_form_is_a_spec() -> None:
    typed = {
        "checkpoint.source": " ./model ",
        "checkpoint.revision": None,
        "name": "mine",
        "limits.cases": 10,
        "limits.minutes": None,
        "data.examples": "reviews.jsonl",
        "policy": "release.yaml",
        CHOSEN: ["quality", "bias/bbq"],
    }
    made = draft(typed, "data: {members: train.jsonl}\nmodels: {reference: gpt2}\ncache: audit\n", SETTINGS)
    assert made.errors == {}
    assert (
        parse_yaml(made.yaml)
        == made.spec
        == {
            "checkpoint": {"source": "./model"},
            "name": "mine",
            "limits": {"cases": 10},
            "data": {"examples": "reviews.jsonl", "members": "train.jsonl"},
            "policy": "release.yaml",
            "probes": ["quality", "bias/bbq"],
            "models": {"reference": "gpt2"},
            "cache": "audit",
            "output": "/srv/audits",
            "tracking": {"uri": "sqlite:////srv/mlflow.db"},
        }
    )
    values = {key: value for key, value in made.spec.items() if key != "policy"}
    assert validated(AuditSpec, values, "").limits.cases == 10


@pytest.mark.parametrize(
    ("typed", "more", "field", "said"),
    [
        ({}, "", "checkpoint.source", "needed"),
        ({"checkpoint.source": "m", "name": "n" * 61}, "", "name", "60 characters"),
        ({"checkpoint.source": "m", "limits.minutes": 0.0}, "", "limits.minutes", "greater than 0"),
        ({"checkpoint.source": "m", "seed": 2**32}, "", "seed", "less than"),
        ({"checkpoint.source": "m"}, "dtype: fp8", MORE, "dtype: Input should be"),
        ({"checkpoint.source": "m"}, "probs: [quality]", MORE, "probs: no such key"),
        ({"checkpoint.source": "m"}, "probes: [{name: bias, limit: 0}]", MORE, "probes.0.limit"),
        ({"checkpoint.source": "m"}, "- a list", MORE, "must hold a mapping"),
        ({"checkpoint.source": "m"}, "a: [", MORE, "YAML, line 1"),
        ({"checkpoint.source": "m", "seed": 3}, "seed: 4", MORE, "seed is set above too"),
        ({"checkpoint.source": "m"}, "checkpoint: {source: other}", MORE, "checkpoint.source is set above too"),
        ({"checkpoint.source": "m"}, "seed: true", "", "seed: true is a boolean"),
        ({"checkpoint.source": "m"}, "policy: {gates: [{id: a, metrc: x}]}", MORE, "metrc: no such key"),
        # what would be written, or sent, elsewhere
        ({"checkpoint.source": "m"}, "output: /etc", MORE, "output: audits started here"),
        ({"checkpoint.source": "m"}, "output: ../..", MORE, "output: audits started here"),
        ({"checkpoint.source": "m"}, "prepared: /etc", MORE, "prepared: audits started here"),
        ({"checkpoint.source": "m"}, "cache: /etc", MORE, "cache: 'audit' or 'off'"),
        ({"checkpoint.source": "m"}, "tracking: {uri: 'http://evil.example'}", MORE, "tracking.uri: 'off'"),
        ({"checkpoint.source": "m"}, "tracking: http://evil.example", MORE, "tracking: must hold keys"),
    ],
)
def test_what_is_wrong_is_said_where_it_was_typed(typed: dict[str, Any], more: str, field: str, said: str) -> None:
    fields: dict[str, Any] = {"checkpoint.source": None, "name": "", "seed": None, "limits.minutes": None, CHOSEN: []}
    made = draft({**fields, **typed}, more, SETTINGS)
    assert said in made.errors[field]
    assert all("\n" not in each for each in made.errors.values())


def test_a_dashboard_without_a_store_leaves_it_to_the_audit() -> None:
    assert "tracking" not in draft({"checkpoint.source": "m"}, "", Settings(Path("/a"), None)).spec
    off = draft({"checkpoint.source": "m"}, "tracking: {uri: 'off'}", SETTINGS)
    assert off.spec["tracking"] == {"uri": "off"}


@hypothesis_settings(max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_text_of_a_field_becomes_a_key_or_an_option(text: str) -> None:
    hostile = f"{text}\n--allow-pickle\noutput: /etc # \x00"
    made: Draft = draft({"checkpoint.source": hostile, "name": text}, "", SETTINGS)
    assert set(made.spec) <= {"checkpoint", "name", "output", "tracking"}
    assert made.spec["output"] == "/srv/audits"
    if "\x00" not in made.yaml:  # YAML writes it as an escape
        assert parse_yaml(made.yaml) == made.spec
