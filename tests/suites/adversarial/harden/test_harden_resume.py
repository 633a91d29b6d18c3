"""A hardening that is stopped anywhere goes on where it was, and comes out the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.api.progress import OnProgress, Watch
from harness.executors import pace
from harness.record import events
from harness.record.rows import read_rows, row_parts
from suites.adversarial.harden import HardenSpec, run_hardening
from tests.suites.adversarial.harden.toy import N, digest, make_spec, make_train

PROBE = "adversarial/deepwordbug"
SETTINGS: dict[str, Any] = {"control": False, "query_budget": 12}


def spec_in(folder: Path, out: str = "stopped") -> HardenSpec:
    return make_spec(folder, **SETTINGS, train=make_train(folder, epochs=4), output=folder / out)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> str:
    run_hardening(spec_in(home, "undisturbed"))
    return digest(home / "undisturbed" / "after")


def interrupted_at(what: str, done: int) -> Watch:
    """Stops where `done` cases of work that begins so are finished."""

    @contextmanager
    def cases() -> Iterator[OnProgress]:
        def on_cases(name: str, finished: int, _: int) -> None:
            if name.startswith(what) and finished >= done:
                raise KeyboardInterrupt

        yield on_cases

    return Watch(cases=cases)


def interrupted_in_training(number: int) -> Watch:
    """Stops in the middle of the training that is the `number`-th."""
    begun = 0

    @contextmanager
    def training() -> Iterator[Callable[[int, int, float], None]]:
        nonlocal begun
        begun += 1

        def on_step(step: int, steps: int, _: float) -> None:
            if begun == number and step == steps // 2:
                raise KeyboardInterrupt

        yield on_step

    return Watch(training=training)


def test_what_was_stopped_again_and_again_goes_on_and_comes_out_the_same(
    home: Path, undisturbed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SECONDS", 0.0)  # the attack takes a second, and would be one part
    monkeypatch.setattr(events, "SECONDS", 0.0)
    monkeypatch.setattr(events, "_MOST_SECONDS", 0.0)
    spec = spec_in(home)
    watches = [
        interrupted_in_training(1),
        interrupted_at("attack on training texts", 16),
        interrupted_in_training(2),
        interrupted_at(PROBE, 16),
    ]
    parts: dict[Path, bytes] = {}
    for watch in watches:
        with pytest.raises(KeyboardInterrupt):
            run_hardening(spec, watch)
        assert all(path.read_bytes() == content for path, content in parts.items())  # nothing is attacked again
        parts |= {path: path.read_bytes() for path in row_parts(spec.output / "rounds" / "1", PROBE)}
    run_hardening(spec)
    assert digest(spec.output / "after") == undisturbed
    assert len(parts) > 1
    assert len(read_rows(spec.output / "rounds" / "1", PROBE)) == N // 2
    assert not (spec.output / "rounds" / "1" / "checkpoint").exists()
