"""Objects from before some work are not collected among while it runs, and are afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from harness.base.garbage import old_objects_left_alone


class Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def dropped() -> weakref.ref[Cycle]:
    return weakref.ref(Cycle())


def test_what_was_there_is_left_alone_until_the_end() -> None:
    gc.disable()  # or the cycle may be gone before
    old = dropped()
    with old_objects_left_alone():
        new = dropped()
        gc.collect()
        assert old() is not None
        assert new() is None
    gc.enable()
    gc.collect()
    assert old() is None
    assert gc.get_freeze_count() == 0


def test_within_another_it_does_nothing_and_an_error_ends_it() -> None:
    def fail() -> None:
        with old_objects_left_alone(), old_objects_left_alone():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    with old_objects_left_alone():
        pass
    assert gc.get_freeze_count() >= before > 0
