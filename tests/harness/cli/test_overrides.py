"""What `assay run FILE` says of a file that names no checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.overrides import spec_with
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("checkpoints: {a: x}\naudit: {probes: [bias]}\n", "looks like a campaign spec, not an audit spec"),
        ("task: causal_lm\nbase: x\n", "looks like a training spec, not an audit spec"),
        ("probes: [bias]\n", "missing key 'checkpoint'; write it there or give --checkpoint"),
        ("colour: red\n", "neither an audit spec"),
        ("", "empty; it must hold a mapping"),
    ],
)
def test_a_file_without_a_checkpoint_is_told_what_it_is(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"file.yaml: .*{why}"):
        spec_with(path, {})


def test_nothing_given_is_said_as_such() -> None:
    with pytest.raises(UsageError, match="nothing to audit: give a spec file or --checkpoint"):
        spec_with(None, {})


def test_a_checkpoint_beside_the_file_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("probes: [bias]\n")
    assert spec_with(path, {"checkpoint": "some/model"}).checkpoint.source == "some/model"
