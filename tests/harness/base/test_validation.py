from __future__ import annotations

from pathlib import Path

import pytest

from harness.audit.spec import AuditSpec, load_spec
from harness.base.validation import read_yaml, validated
from harness.campaign.spec import CampaignSpec
from harness.errors import UsageError


def spec(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    return path


def test_the_short_form_fills_in_every_default(tmp_path: Path) -> None:
    loaded = load_spec(spec(tmp_path, "checkpoint: some/model\nprobes: [bias, quality/perplexity]\n"))
    assert loaded.checkpoint.source == "some/model"
    assert [probe.name for probe in loaded.probes] == ["bias", "quality/perplexity"]
    assert loaded.title == "model"
    assert AuditSpec.model_validate(loaded.canonical()) == loaded
    assert len(loaded.digest()) == 64


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("checkpiont: x\n", "unknown key 'checkpiont'; did you mean 'checkpoint'"),
        ("checkpoint: x\nlimits: {case: 3}\n", "unknown key 'limits.case'; did you mean 'cases'"),
        ("checkpoint: x\nreports: {formats: [json]}\n", "unknown key 'reports.formats'; there is undecided"),
        ("checkpoint: x\nprobes: [{name: a, parms: {}}]\n", "unknown key 'probes.0.parms'; did you mean 'params'"),
        ("probes: [a]\n", "missing key 'checkpoint'"),
        ("checkpoint: x\nseed: -1\n", "seed: .*greater than or equal to 0.*got '-1'"),
        ("checkpoint: x\ndevice: tpu\n", "device: .*'cpu'"),
        ("checkpoint: [1\n", "line 2, column 1: not valid YAML"),
        ("- a\n", "must hold a mapping"),
        ("checkpoint: x\npolicy: nowhere.yaml\n", "nowhere.yaml: no such file"),
    ],
)
def test_a_bad_spec_is_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    path = spec(tmp_path, text)
    with pytest.raises(UsageError, match=why) as caught:
        load_spec(path)
    assert "\n" not in str(caught.value)


def test_what_holds_too_little_is_said_without_its_type() -> None:
    values = {"checkpoints": {}, "audit": {"probes": ["bias"]}, "output": "out", "name": "n"}
    with pytest.raises(UsageError, match=r"file: checkpoints: must hold at least 1 item, got '\{\}'$"):
        validated(CampaignSpec, values, "file")


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_yaml(path)


def test_the_json_schema_knows_every_key() -> None:
    schema = AuditSpec.model_json_schema()
    assert set(schema["properties"]) == set(AuditSpec.model_fields)
    assert schema["additionalProperties"] is False
