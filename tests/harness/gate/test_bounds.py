from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.api.metrics import Better, Metric
from harness.api.registry import find_probes
from harness.audit.measure import bounded
from harness.audit.plan import known_bounds, metric_names
from harness.cli import main
from harness.errors import UsageError
from harness.gate.bounds import bounds_of, refuse_unbreakable, unbreakable, unbreakable_within
from harness.gate.policy import Gate, Policy
from suites.quality.classification import Classification
from tests.tiny import make_checkpoint

RATE = {"key": "q/c/accuracy", "value": 0.8, "low": 0.7, "high": 0.9, "n": 100, "better": Better.HIGHER}
UNBOUNDED = {
    *("mean_queries", "mean_queries_success", "words_left", "logprob_drop", "synonyms_per_word", "token_growth"),
    *("mean_abs_difference", "matched_tokens", "control_matched_tokens", "nll"),
    *("token_perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"),
    *("pseudo_perplexity", "pseudo_bits_per_byte", "exposure", "control_exposure", "rank", "control_rank"),
    *("nll_scaled", "temperature", "mse", "mae", "length"),
    *("last_token_perplexity", "last_word_perplexity", "last_word_token_perplexity"),
    *("bias/bec_pro/association_gap", "bias/winobias/female_log_odds", "bias/winogender/female_log_odds"),
    *(f"quality/lm_eval/{key}" for key in ("perplexity", "chrf", "ter", "f1", "bleu")),
}
"""Metrics of Assay's own probes that have no largest value: in any probe, or by full name in one."""


def gate(**rule: Any) -> Gate:
    return Gate.model_validate({"id": "g", "metric": "q/c/accuracy", **rule})


def metric(**fields: Any) -> Metric:
    return Metric.model_validate({**RATE, "unit": "rate", **fields})


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"max": 60}, "no value of a rate can break max: 60, it lies in [0, 1]; write 0.60"),
        ({"max": 62.5}, "no value of a rate can break max: 62.5, it lies in [0, 1]; write 0.625"),
        ({"max": 1}, "no value of a rate can break max: 1, it lies in [0, 1]; tighten it, or write `measured: true`"),
        ({"max": 1000}, "no value of a rate can break max: 1000, it lies in [0, 1]; tighten it"),
        ({"min": 0}, "no value of a rate can break min: 0, it lies in [0, 1]; tighten it"),
        ({"min": -3}, "no value of a rate can break min: -3, it lies in [0, 1]; tighten it"),
        ({"within": [0, 1]}, "no value of a rate can break within: [0, 1], it lies in [0, 1]; tighten it"),
        ({"within": [0.4, 60]}, "no value of a rate can break the end 60 of within: [0.4, 60], it"),
        ({"baseline": {"max_regression": 2}}, "no value of a rate can break max_regression: 2, it lies in [0, 1]"),
        ({"baseline": {"max_regression": 1}}, "no value of a rate can break max_regression: 1, it lies in [0, 1]; t"),
    ],
)  # fmt: skip
def test_a_rule_that_no_rate_can_break_says_so(rule: dict[str, Any], says: str) -> None:
    """A percentage written for a share passes everything: `max: 60` on a rate in [0, 1]."""
    assert unbreakable(gate(**rule), metric()).startswith(says)


@pytest.mark.parametrize(
    "rule",
    [
        {"max": 0.999},
        {"max": 0},
        {"min": 0.001},
        {"min": 1},
        {"within": [0, 0.5]},
        {"within": [0.5, 1]},
        {"baseline": {"max_regression": 0.02}},
        {"measured": True},
        {"min": 60},  # every rate breaks it: nothing passes, and the verdict says why
        {"max": -1},
        {"within": [40, 60]},
    ],
)
def test_a_rule_that_some_rate_breaks_is_left_alone(rule: dict[str, Any]) -> None:
    assert unbreakable(gate(**rule), metric()) == ""


@pytest.mark.parametrize(
    ("fields", "rule", "refused"),
    [
        ({"unit": "nats"}, {"max": 60}, False),
        ({"unit": "", "key": "q/p/word_perplexity"}, {"min": 0}, False),
        ({"unit": "", "bounds": (0.0, 1.0)}, {"max": 60}, True),
        ({"unit": "rate", "bounds": (-1.0, 1.0)}, {"min": 0}, False),  # a difference of rates
        ({"unit": "rate", "bounds": (-1.0, 1.0)}, {"max": 1}, True),
        ({"unit": "rate", "bounds": (-1.0, 1.0)}, {"baseline": {"max_regression": 1}}, False),
        ({"unit": "", "bounds": (0.0, 2.0)}, {"max": 1}, False),
        ({"unit": "rate", "low": -0.1}, {"min": 0}, False),  # called a rate, and is none
        ({"unit": "rate", "high": 1.2}, {"max": 1}, False),
        ({"unit": "rate", "value": 1 + 1e-9, "high": None}, {"max": 1}, True),  # rounding
        ({"unit": "rate", "value": None, "low": None, "high": None, "note": "no rows"}, {"max": 1}, True),
    ],
)
def test_only_a_metric_with_ends_can_make_a_rule_idle(
    fields: dict[str, Any], rule: dict[str, Any], refused: bool
) -> None:
    assert bool(unbreakable(gate(**rule), metric(**fields))) == refused


ENDS = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, 2.0)])
LIMITS = st.floats(-3, 3).map(lambda value: round(value, 2))


@given(ENDS, st.sampled_from(["min", "max", "within"]), LIMITS, LIMITS)
def test_beside_every_value_tried_one_by_one(ends: tuple[float, float], name: str, one: float, two: float) -> None:
    """What is let through some value breaks; what is refused passes everything, or has an end that does nothing."""
    low, high = sorted((one, two))
    rule = gate(**{name: [low, high] if name == "within" else one})
    grid = np.linspace(*ends, 20_001)
    lowest, highest = rule.allowed
    broken = (grid < lowest) | (grid > highest)
    why = unbreakable_within(rule, "x", ends)
    if not why:
        assert broken.any()
    else:
        assert not broken.all()
        idle = [end for end in (lowest, highest) if math.isfinite(end) and not ends[0] <= end <= ends[1]]
        assert idle or not broken.any()


@given(ENDS, st.floats(0, 3))
def test_beside_every_regression(ends: tuple[float, float], allowed: float) -> None:
    grid = np.linspace(*ends, 101)
    worst = max(float(theirs - ours) for ours in grid for theirs in grid)
    assume(abs(worst - allowed) > 1e-9)
    assert bool(unbreakable_within(gate(baseline={"max_regression": allowed}), "x", ends)) == (allowed > worst)


def test_every_metric_of_every_probe_says_its_ends_or_has_none() -> None:
    """AUC, F1, ECE and shares are as bounded as rates, whatever their unit says."""
    probes = find_probes().probes
    known = known_bounds(probes.values())
    for name, probe in probes.items():
        if not probe.__module__.startswith("suites."):
            continue
        for last in metric_names(probe()):
            assert (f"{name}/{last}" in known) != bool({last, f"{name}/{last}"} & UNBOUNDED), f"{name}/{last}"
    assert known["memorization/membership/auc"] == known["quality/classification/accuracy"] == (0.0, 1.0)
    assert known["memorization/extraction/extracted_minus_control"] == (-1.0, 1.0)
    assert known["quality/classification/brier"] == (0.0, 2.0)


def test_what_is_measured_carries_the_ends_its_probe_declares() -> None:
    rows = pd.DataFrame(
        {
            "case_id": [str(at) for at in range(40)],
            "status": "ok",
            "label": [at % 2 for at in range(40)],
            "predicted": [at % 2 if at % 5 else 1 - at % 2 for at in range(40)],
            "probabilities": [f"[{0.4 + at / 200}, {0.6 - at / 200}]" for at in range(40)],
            "nll": 0.7,
            "truncated": 0,
        }
    )
    probe = Classification()
    found = {each.key: bounded(each, probe) for each in probe.measure(rows)}
    assert {key for key, each in found.items() if each.bounds is None} == {"nll", "nll_scaled", "temperature"}
    for each in found.values():
        assert bounds_of(each) == each.bounds
        assert Metric.model_validate_json(each.model_dump_json()) == each
    assert "can break max: 60" in unbreakable(gate(max=60), found["ece"])
    own = metric(bounds=(-1.0, 1.0)).model_copy(update={"key": "accuracy"})
    assert bounded(own, probe).bounds == (-1.0, 1.0)


def test_a_pattern_is_refused_for_any_metric_it_covers() -> None:
    known = {"a/b/success": (0.0, 1.0), "a/c/success": (0.0, 1.0)}
    with pytest.raises(UsageError, match=r"policy 'p': gate 'g': no value of a/b/success can break max: 60, .*0\.60"):
        refuse_unbreakable(Policy(name="p", gates=(gate(metric="a/*/success", max=60, slice="*"),)), known)
    refuse_unbreakable(Policy(name="p", gates=(gate(metric="a/*/queries", max=60),)), known)


def test_neither_plan_nor_run_begins_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`assay plan` and `assay run` refuse `max: 60` on a rate before any case is run."""
    make_checkpoint(tmp_path / "bert", "bert", "classifier")
    rows = [{"text": f"a text about number {at}", "label": at % 2} for at in range(40)]
    (tmp_path / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    gates = "gates:\n- {id: sure, metric: quality/classification/ece, max: 60}\n"
    (tmp_path / "policy.yaml").write_text(f"name: p\n{gates}")
    monkeypatch.chdir(tmp_path)
    options = ["--checkpoint", "bert", "--suite", "quality/classification", "--data", "data.jsonl"]
    for command in ("plan", "run"):
        code, err = call(monkeypatch, capsys, command, *options, "--policy", "policy.yaml")
        assert (code, "no value of quality/classification/ece can break max: 60" in err) == (2, True), err
    assert not (tmp_path / "audits").exists()


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["assay", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.err.replace("\n", " ")


def test_validate_refuses_it_in_a_policy_and_in_a_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`max: 60` where 0.60 was meant must not wait for the release to be found."""
    policy = tmp_path / "policy.yaml"
    text = "name: p\ngates:\n- {id: robust, metric: adversarial/*/attack_success_rate, max: MOST}\n"
    policy.write_text(text.replace("MOST", "60"))
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"checkpoint: nowhere\npolicy: {policy}\n")
    for file in (policy, spec):
        code, err = call(monkeypatch, capsys, "validate", file)
        assert code == 2
        assert "gate 'robust': no value of adversarial/a2t/attack_success_rate can break max: 60" in err
        assert "write 0.60" in err
    policy.write_text(text.replace("MOST", "0.60"))
    for file in (policy, spec):
        assert call(monkeypatch, capsys, "validate", file)[0] == 0
