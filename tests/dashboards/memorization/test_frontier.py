from __future__ import annotations

import math

from dashboards.memorization.frontier import plain_points, private_points, table
from harness.provenance.trade_off import Estimated, TradeOff, TradeOffPoint

PRIVATE = TradeOffPoint(
    target=8.0,
    epsilon=7.9,
    delta=1e-5,
    mode="lora",
    quality=Estimated(value=0.8, low=0.7, high=0.9),
    by_seed={1: 0.79, 0: 0.81},
    cost=Estimated(value=0.1, low=0.0, high=0.2),
)
PLAIN = TradeOffPoint(
    target=math.inf, epsilon=math.inf, quality=Estimated(value=0.9, note="one seed"), by_seed={0: 0.9}
)
FOUND = TradeOff(quality="accuracy", better="higher", points=(PRIVATE, PLAIN), n=100, caption=("a caption",))


def test_private_and_plain_models_are_drawn_apart() -> None:
    assert private_points(FOUND).to_dict("records") == [
        {"mode": "lora", "epsilon": 7.9, "value": 0.8, "low": 0.7, "high": 0.9, "target": "8"}
    ]
    plain = plain_points(FOUND).iloc[0]
    assert (plain["low"], plain["value"], plain["high"]) == (0.9, 0.9, 0.9)  # no interval is no made-up one


def test_the_table_says_what_has_no_interval_and_no_epsilon() -> None:
    lines = table(FOUND)
    assert list(lines["accuracy"]) == ["0.8000 [0.7000, 0.9000]", "0.9000, no interval"]
    assert list(lines["epsilon claimed"]) == ["7.900", "none"]
    assert list(lines["lost to privacy"]) == ["0.1000 [0, 0.2000]", ""]
    assert list(lines["seeds"]) == ["0, 1", "0"]
