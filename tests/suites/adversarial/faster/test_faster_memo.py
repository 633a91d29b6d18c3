from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from suites.adversarial.faster.memo import Memo, Same, class_name, twin_of

ROOT = Path(__file__).parents[4]


class Thing:
    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return True

    def __getstate__(self) -> object:
        raise AssertionError("must not be copied by way of its state")


def test_a_table_is_emptied_when_full() -> None:
    table = Memo(entries=3).table("kind")
    for key in range(3):
        table.keep(key, str(key))
    assert table == {0: "0", 1: "1", 2: "2"}
    table.keep(3, "3")
    assert table == {3: "3"}


def test_tables_are_told_apart_by_kind_and_settings() -> None:
    memo = Memo(entries=2, vectors=1)
    assert memo.table("kind", 1) is memo.table("kind", 1)
    assert memo.table("kind", 1) is not memo.table("kind", 2)
    large = memo.vector_table("other")
    large.keep("a", 1)
    large.keep("b", 2)
    assert large == {"b": 2}


def test_same_is_identity_whatever_the_object_says() -> None:
    one, other = Thing(1), Thing(1)
    assert one == other
    assert Same(one) == Same(one)
    assert Same(one) != Same(other)
    assert len({Same(one), Same(one), Same(other)}) == 2


def test_a_twin_shares_values_but_not_later_attributes() -> None:
    thing = Thing(5)
    twin = twin_of(thing)
    twin.more = 1
    assert type(twin) is Thing
    assert twin.value == 5
    assert not hasattr(thing, "more")
    assert class_name(twin) == f"{__name__}.Thing"


def test_importing_does_not_import_textattack() -> None:
    code = "import sys, suites.adversarial.faster; print('textattack' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"], done.stderr
