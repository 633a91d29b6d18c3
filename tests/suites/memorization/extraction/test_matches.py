"""Tokens that were generated as they should be."""

from __future__ import annotations

from suites.memorization.extraction.matches import common_prefix, overlap


def test_runs_and_overlaps() -> None:
    assert common_prefix((1, 2, 3), (1, 2, 4)) == 2
    assert common_prefix((1, 2), (1, 2, 4)) == 2
    assert overlap((2, 2, 9), (2, 3, 2, 2)) == 0.5
