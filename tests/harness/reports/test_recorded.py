"""What a verdict recorded is known again, whatever the gate said; with the values it was recorded with."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from harness.api.metrics import Better, Metric, missing_metric
from harness.base.language import spoken
from harness.gate.decide import Policy, decide
from harness.gate.verdict import Absence, BaselineRecord, Compared, Comparison, Verdict
from harness.reports.content.note_patterns import NOTES
from harness.reports.content.recorded import LONGEST, retold


def said(text: str) -> str:
    with spoken("zh"):
        return retold(text)


def share(hits: int, n: int = 1000, key: str = "quality/toy/accuracy", **more: Any) -> Metric:
    from harness.stats.intervals import clopper_pearson

    found = clopper_pearson(hits, n)
    given = {"better": Better.HIGHER, "unit": "rate", "interval": found.method} | more
    return Metric(key=key, value=hits / n, low=found.low, high=found.high, n=n, **given)


RECORD = BaselineRecord(ref="old", audit_id="old", name="old", created="", checkpoint="c", fingerprint="f")


def verdicts() -> list[Verdict]:
    """One of every kind of sentence, as the gate makes it."""
    toy = {"metric": "quality/toy/accuracy"}
    waiver = {"until": "2026-01-31", "by": "Ada", "reason": "accepted"}
    gates: list[dict[str, Any]] = [
        {"id": "a", **toy, "min": 0.5},
        {"id": "b", **toy, "max": 0.5},
        {"id": "c", **toy, "min": 0.8},
        {"id": "d", **toy, "min": 0.8, "evidence": {"decides": "worst"}},
        {"id": "e", **toy, "min": 0.8, "evidence": {"decides": "best"}},
        {"id": "f", **toy, "min": 0.8, "evidence": {"decides": "point"}},
        {"id": "g", **toy, "within": [0.7, 0.79]},
        {"id": "h", **toy, "min": 0.5, "min_examples": 5000},
        {"id": "i", "metric": "quality/toy/absent", "max": 1},
        {"id": "j", "metric": "quality/toy/gone", "max": 0.5},
        {"id": "k", "metric": "bias/*/rate", "max": 0.5},
        {"id": "l", "metric": "bias/late/rate", "max": 0.5},
        {"id": "m", **toy, "max": 0.5, "waiver": waiver},
        {"id": "n", **toy, "max": 0.5, "severity": "warn"},
        {"id": "o", **toy, "max": 0.5, "severity": "info"},
        {"id": "p", **toy, "min": 0.5, "waiver": waiver},
        {"id": "q", "metric": "quality/toy/flat", "min": 0.5},
        {"id": "r", "metric": "quality/toy/bare", "min": 0.5},
        {"id": "s", **toy, "baseline": {"max_regression": 0.02}},
        {"id": "t", "metric": "privacy/x", "max": 1, "when": "privacy_claim"},
        {"id": "u", "metric": "bias/none/rate", "max": 0.5, "excuse": ["not_applicable"]},
    ]
    flat = share(700, key="quality/toy/flat").model_copy(update={"low": 0.7, "high": 0.7, "interval": "made up"})
    bare = share(700, key="quality/toy/bare").model_copy(update={"low": None, "high": None, "interval": ""})
    metrics = [share(800), flat, bare, missing_metric("quality/toy/gone", "no row", better=Better.LOWER, missing=3)]
    facts: dict[str, Any] = {
        "incomplete": {"bias/late": "the limit was reached"},
        "not_applicable": {"bias/none": "it needs a causal LM"},
    }
    pairs = Comparison(metric=toy["metric"], regression=0.05, low=0.03, high=0.07, n=990, candidate=0.8, baseline=0.85)
    beside = Compared(RECORD, {("s", toy["metric"], ""): pairs})
    every = [
        decide(Policy.model_validate({"name": "p", "gates": [gate]}), metrics, **facts, compared=given, today=today)
        for gate in gates
        for given in (Compared(why_not="none was given", absence=Absence.NO_BASELINE), beside)
        for today in (date(2026, 1, 1), date(2026, 3, 1))
    ]
    narrow = [{"id": f"w{at}", **toy, "max": 0.9 if at else 0.7735} for at in range(8)]
    every += [
        decide(Policy.model_validate({"name": "p", "gates": narrow, "correction": correction}), metrics)
        for correction in ("holm", "bh")
    ]
    return [*every, decide(None, metrics)]


def sentences() -> set[str]:
    found = set()
    for verdict in verdicts():
        found |= {verdict.reason, *verdict.warnings}
        found |= {text for item in verdict.gates for text in (item.reason, item.fix, item.gate.rule) if text}
    return found


def test_every_sentence_of_the_gate_is_known_again() -> None:
    unknown = {text for text in sentences() if said(text) == text and not re.fullmatch(r"[<>]= [\d.]+", text)}
    assert unknown == set()


def test_every_value_of_a_sentence_stands_in_its_translation() -> None:
    for text in sentences():
        for value in re.findall(r"[\w./]*\d[\w./,]*\d|\w+/\w+/\w+", text):
            if re.fullmatch(r"\d{4}-\d\d-\d\d", value) is None:
                assert value.rstrip(",.") in said(text), (text, said(text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "the 95 % interval [0.8347, 0.9940] (n=41) of quality/toy/accuracy [a b] violates <= 0.6",
            "quality/toy/accuracy [a b] 的 95 % 置信区间 [0.8347, 0.9940]（n=41）违反“<= 0.6”",
        ),
        (
            "2 of 5 gates blocked; 1 waived; first a: b: quality/x/y is missing: no rows",
            "5 项门禁中 2 项阻断；1 项已豁免；首先是 a: b：quality/x/y 缺失：no rows",
        ),
        (
            "the limit of 5 minutes was reached after 60 of 90 cases",
            "已达到 5 分钟的时限，90 个用例完成 60 个",
        ),
        ("its rows could not be measured (it broke)", "其数据行无法度量（it broke）"),
        ("not applicable: no case applies: too short", "不适用：没有适用的用例：too short"),
        (
            "needs a causal LM or masked LM; the checkpoint offers sequence classifier",
            "需要 causal LM or masked LM；检查点提供 sequence classifier",
        ),
        (
            "a false-positive rate of 0.1 % needs 10,000 non-members to fix the threshold on and 10,000 others to "
            "measure it with, here are 150 and 148; give more, or ask for a rate of at least 6.7 %",
            "假阳性率 0.1 % 需要 10,000 个非成员来确定阈值、另外 10,000 个来度量，这里有 150 与 148 个；请提供更多，"
            "或要求至少 6.7 % 的假阳性率",
        ),
        (
            "no upper end: 41 independent observations are too few, 183 could have shown a rare outlier",
            "没有上端：41 个独立观测太少，183 个才可能出现罕见的离群值",
        ),
        ("accuracy: all observations are the same", "accuracy：所有观测值都相同"),
        (
            "5 pairs, fewer than 30: a small group; p of one half 0.5 after Holm over 9 groups",
            "5 对，少于 30：群体过小；对二分之一的 p 值为 0.5（对 9 个群体作 Holm 校正后）",
        ),
        (
            "0.5: nothing is told; 1: every member; of the scores of share; somebody's own words",
            "0.5：毫无透露；1：认出每个成员；基于 share 的分数；somebody's own words",
        ),
        (
            "no scorer of regard was given; name one in models: {regard: ...}",
            "未给出 regard 打分器；请在 models: {regard: ...} 中指定",
        ),
        ("something else; 1 waived", "something else; 1 waived"),
        ("{n} of {0} gates blocked", "{n} of {0} gates blocked"),
        ("x" * (LONGEST + 1), "x" * (LONGEST + 1)),
        ("", ""),
    ],
)
def test_a_sentence_in_chinese(text: str, wanted: str) -> None:
    assert said(text) == wanted


@pytest.mark.parametrize("pattern", NOTES)
def test_a_note_of_a_probe_is_known_again_with_its_values(pattern: str) -> None:
    values = {"n": "1,234", "all": "56", "some": "7", "family": "8", "absent": "9", "p": "0.05", "alpha": "1e-05"}
    values |= {"value": "-0.25", "name": "some thing 2", "other": "others", "group": "a", "label": "'b'"}
    text = pattern.format_map(values)
    assert said(text) != text
    for name in re.findall(r"{(\w+)}", pattern):
        assert values[name] in said(text)


def test_in_english_everything_stays_as_it_was_recorded() -> None:
    assert all(retold(text) == text for text in sentences())
