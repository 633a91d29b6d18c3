from __future__ import annotations

import math

from suites.memorization.hygiene.columns import as_columns, fixing_half, member_columns

IDS = [f"case-{number}" for number in range(401)]


def test_half_is_fixed_by_seed_and_id_alone() -> None:
    half = fixing_half(IDS, 3)
    assert len(half) == 200
    assert half == fixing_half(IDS[::-1], 3)
    assert half != fixing_half(IDS, 4)
    kept = fixing_half([key for key in IDS if key != IDS[0]], 3)
    assert len(half ^ kept) <= 2  # a record less moves the border, and draws no other lot


def test_no_member_fixes_a_threshold_and_json_holds_what_is_known() -> None:
    members = [True] * 100 + [False] * 301
    known = member_columns(IDS, ["the same text"] * 401, members, 0)
    assert sum(known[key]["fixing"] for key in IDS[:100]) == 0
    assert sum(known[key]["fixing"] for key in IDS[100:]) == 150
    row = as_columns(known[IDS[0]])
    assert math.isnan(row["blind"])  # copies are not compared
    assert row["blind_fold"] is None
