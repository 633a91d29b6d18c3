"""What a mechanism may be, and the delta of a data set."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from privacy.accounting import AccountingError, Mechanism, delta_of, epsilon


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"noise_multiplier": -1.0}, "noise_multiplier is -1.0"),
        ({"noise_multiplier": math.nan}, "noise_multiplier is nan"),
        ({"noise_multiplier": math.inf}, "noise_multiplier is inf"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"rate": 1.5}, "rate is 1.5"),
        ({"rate": math.nan}, "rate is nan"),
        ({"compositions": -1}, "compositions is -1"),
        ({"compositions": 92.99999999999999}, "a whole number"),
        ({"compositions": True}, "compositions is True"),
        ({"group": 0}, "group is 0"),
    ],
)
def test_what_is_no_mechanism_is_refused(changed: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"noise_multiplier": 1.0, "rate": 0.1, "compositions": 10} | changed
    with pytest.raises(AccountingError, match=said):
        Mechanism(**given)


def test_steps_are_counted_and_never_derived_from_the_rate() -> None:
    derived = [(n, int(1 / (1 / n))) for n in range(1, 5000)]
    wrong = [(n, steps) for n, steps in derived if steps != n]
    assert len(wrong) == 312
    assert wrong[0] == (93, 92)  # Opacus' formula loses a step, and with it epsilon
    counted = Mechanism(1.0, 1 / 93, 93)
    assert counted.compositions == 93
    short = Mechanism(1.0, 1 / 93, 92)
    assert epsilon(counted, 1e-5, "rdp").upper > epsilon(short, 1e-5, "rdp").upper
    assert epsilon(counted, 1e-5, "pld").upper > epsilon(short, 1e-5, "pld").upper


def test_counts_of_numpy_are_counts() -> None:
    assert Mechanism(1.0, 0.1, np.int64(7)).compositions == 7  # type: ignore[arg-type]


def test_without_sampling_a_mechanism_is_one_gaussian() -> None:
    assert Mechanism(6.0, 1.0, 4, 3).reduced() == Mechanism(1.0, 1.0, 1)
    sampled = Mechanism(6.0, 0.5, 4, 3)
    assert sampled.reduced() == sampled
    assert not Mechanism(6.0, 1.0, 4).amplified


def test_auto_delta_is_a_tenth_of_one_record() -> None:
    assert delta_of("auto", 67349) == pytest.approx(1 / 673490)
    assert delta_of(1e-6, 1000) == 1e-6


@pytest.mark.parametrize("delta", [1e-3, 0.5, 0.0, -1e-6, math.nan])
def test_a_delta_that_lets_a_record_out_is_refused(delta: float) -> None:
    with pytest.raises(AccountingError, match=r"1/1000 = 0\.001"):
        delta_of(delta, 1000)


def test_no_records_no_delta() -> None:
    with pytest.raises(AccountingError, match="0 records"):
        delta_of("auto", 0)


def test_accounting_is_imported_without_the_libraries_it_asks() -> None:
    code = (
        "import sys, privacy.accounting;"
        "sys.exit(str({'scipy', 'opacus', 'dp_accounting', 'torch'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
