from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from suites.bias.multiple import holm, sign_test


def test_holm_by_its_step_down_rule() -> None:
    """Rejected at alpha: from the smallest on, as long as p <= alpha / (tests left)."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = {str(i): float(rng.uniform() ** 3) for i in range(6)}
        adjusted = holm(p)
        for alpha in (0.01, 0.05, 0.3):
            rejected = set()
            for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
                if p[name] > alpha / (6 - rank):
                    break
                rejected.add(name)
            assert {name for name in p if adjusted[name] <= alpha} == rejected


def test_the_sign_test_by_enumeration() -> None:
    rises, n = 7, 8
    as_far = [sum(signs) for signs in product((0, 1), repeat=n) if sum(signs) >= rises or sum(signs) <= n - rises]
    assert sign_test([0.1] * 7 + [-0.3, 0.0]) == pytest.approx(len(as_far) / 2**n)
    assert sign_test([0.0, 1e-15]) == 1.0
