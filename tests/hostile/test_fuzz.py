"""A part of the fuzzing that `make fuzz` does for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.fuzz import TARGETS, sound, try_one

CHANGES = 60


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("peft")
    pytest.importorskip("gguf")
    return sound(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_changed_at_random_it_is_taken_or_refused_by_a_sentence(
    target: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    taken = [try_one(target, seed, folders, tmp_path) for seed in range(CHANGES)]
    assert not all(taken), "no change was ever refused: the fuzzer changes nothing that matters"
