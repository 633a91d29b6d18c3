"""What was not measured decides nothing: two reasons may be excused, each by its own word, and the first line says so.

Guards against what was reported of peers: a metric that is missing or misspelt passes (deepeval#770), a comparison that
never took place passes (promptfoo#1441), a registry that is away passes (mlflow#3160).
"""

from __future__ import annotations

import json
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from harness.api.metrics import Better, Metric, missing_metric
from harness.audit.run import regate
from harness.base.globs import matches, may_begin
from harness.base.stores import default_uri
from harness.baseline.judge import compared_with, judge
from harness.errors import UsageError
from harness.gate.decide import Outcome, Policy, Verdict, decide
from harness.gate.verdict import Absence, Compared, GateResult
from harness.gate.waivers import load_policy
from harness.record.folder import AuditFolder
from harness.record.rows import RowStore
from harness.tracking.session import mlflow_session
from suites.quality.classification import Classification
from tests.harness.baseline.two_audits import ACCURACY, NAME, answers, make_audit

GOOD = Metric(key=ACCURACY, value=0.9, low=0.85, high=0.95, n=400, better=Better.HIGHER, interval="Clopper-Pearson")
LOST = missing_metric(ACCURACY, "no usable row", better=Better.HIGHER)
EVERYTHING = ["not_applicable", "no_baseline_yet"]
COMPARED = {"metric": ACCURACY, "baseline": {"max_regression": 0.02}}
ABSOLUTE = {"metric": ACCURACY, "min": 0.8}
SAFE = {"metric": "quality/other/share", "max": 0.5}


def verdict(*gates: dict[str, Any], metrics: list[Metric] | None = None, **facts: Any) -> Verdict:
    rules = Policy.model_validate({"name": "p", "gates": [{"id": f"g{at}", **gate} for at, gate in enumerate(gates)]})
    return decide(rules, [GOOD] if metrics is None else metrics, today=date(2026, 1, 1), **facts)


@pytest.mark.parametrize(
    ("gate", "facts", "absence"),
    [
        (ABSOLUTE, {"incomplete": {NAME: "the limit of 1 minutes was reached after 100 of 900 cases"}}, "incomplete"),
        (ABSOLUTE, {"metrics": [], "incomplete": {NAME: "stopped"}}, "incomplete"),
        ({**ABSOLUTE, "metric": "quality/*"}, {"metrics": [], "incomplete": {NAME: "stopped"}}, "incomplete"),
        ({**ABSOLUTE, "metric": "quality/classification/acuracy"}, {}, "not measured"),
        ({**ABSOLUTE, "metric": "qualty/*"}, {}, "not measured"),
        (ABSOLUTE, {"metrics": []}, "not measured"),
        (ABSOLUTE, {"metrics": [], "no_data": {NAME: "no data for 'texts'"}}, "not measured"),
        (
            {**ABSOLUTE, "metric": "quality/*"},
            {"metrics": [], "no_data": {NAME: "no data for 'texts'"}},
            "not measured",
        ),
        (ABSOLUTE, {"metrics": [LOST]}, "no value"),
        (ABSOLUTE, {"metrics": [GOOD, GOOD]}, "not measured"),
        ({**ABSOLUTE, "slice": "women"}, {}, "not measured"),
        (COMPARED, {}, "no baseline"),
        (COMPARED, {"compared": Compared(why_not="http://mlflow: connection refused")}, "no baseline"),
        (COMPARED, {"compared": Compared(why_not="its data differ")}, "no baseline"),
        ({"metric": "training/claim/epsilon", "max": 8}, {"claim_doubt": "no ledger"}, "not verified"),
    ],
)
def test_no_word_excuses_what_could_have_been_measured(
    gate: dict[str, Any], facts: dict[str, Any], absence: str
) -> None:
    words = EVERYTHING if "baseline" in gate else ["not_applicable"]
    found = verdict({**gate, "excuse": words}, **facts)
    assert (found.outcome, found.gates[0].outcome, found.gates[0].absence) == ("inconclusive", "inconclusive", absence)
    assert not found.gates[0].excused


@pytest.mark.parametrize("metric", [ACCURACY, "quality/*", "quality/classification/*"])
def test_what_does_not_apply_is_excused_by_its_word_alone(metric: str) -> None:
    idle = {NAME: "needs a sequence classifier; the checkpoint offers causal LM"}
    other = Metric(key="other/p/share", value=0.1, low=0.05, high=0.2, n=400, better=Better.LOWER)
    rules = [{**ABSOLUTE, "metric": metric}, {"metric": "other/p/share", "max": 0.5}]
    assert verdict(*rules, metrics=[other], not_applicable=idle).outcome is Outcome.INCONCLUSIVE
    rules[0]["excuse"] = ["not_applicable"]
    found = verdict(*rules, metrics=[other], not_applicable=idle)
    assert found.outcome is Outcome.PASS
    assert (found.gates[0].outcome, found.gates[0].effective) == ("inconclusive", "pass")
    assert "1 of 2 gates passed" in found.reason
    assert "1 not measured (excused: not applicable)" in found.reason
    assert any("g0" in warning and "not applicable" in warning for warning in found.warnings)


def test_a_pattern_that_could_have_been_measured_in_part_is_not_excused() -> None:
    found = verdict(
        {"metric": "adversarial/*/rate", "max": 0.5, "excuse": ["not_applicable"]},
        metrics=[],
        not_applicable={"adversarial/a": "needs a classifier"},
        no_data={"adversarial/b": "no data for 'texts'"},
    )
    assert found.gates[0].absence is Absence.NOT_MEASURED
    assert "no data for 'texts'" in found.reason


def test_no_baseline_yet_is_excused_by_its_word_alone() -> None:
    nothing = Compared(why_not="no model has the alias @production yet", absence=Absence.NO_BASELINE_YET)
    assert verdict(ABSOLUTE, COMPARED, compared=nothing).outcome is Outcome.INCONCLUSIVE
    found = verdict(ABSOLUTE, {**COMPARED, "excuse": ["no_baseline_yet"]}, compared=nothing)
    assert found.outcome is Outcome.PASS
    assert found.reason == (
        "1 of 2 gates passed with their whole confidence interval; 1 not measured (excused: no baseline yet)"
    )
    assert verdict(ABSOLUTE, {**COMPARED, "on_missing": "block"}, compared=nothing).outcome is Outcome.BLOCK


def test_the_old_word_is_refused_and_says_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("name: p\ngates:\n  - {id: a, metric: s/p/m, max: 1, on_missing: warn}\n")
    with pytest.raises(UsageError, match=r"'a'.*excuse: \[not_applicable\].*excuse: \[no_baseline_yet\]"):
        load_policy(path)


def test_an_excuse_for_a_baseline_needs_one(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("name: p\ngates:\n  - {id: a, metric: s/p/m, max: 1, excuse: [no_baseline_yet]}\n")
    with pytest.raises(UsageError, match="is for gates with a baseline"):
        load_policy(path)


def test_records_of_before_are_read_and_excuse_nothing(tmp_path: Path) -> None:
    old = verdict(ABSOLUTE).gates[0].model_dump(mode="json")
    old["gate"] |= {"on_missing": "warn"}
    assert GateResult.model_validate(old).gate.on_missing == "inconclusive"
    folder = make_audit(tmp_path / "a", answers(40, 0.9, 0))
    manifest = json.loads(folder.manifest_path.read_text())
    manifest["spec"]["policy"] = {"name": "p", "gates": [{"id": "g", **COMPARED, "on_missing": "warn"}]}
    folder.manifest_path.write_text(json.dumps(manifest))
    rules = folder.policy()
    assert rules is not None
    assert judge(rules, folder.manifest(), folder.metrics(), None).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("gates", "outcome", "said"),
    [
        ([{**ABSOLUTE, "severity": "info"}], "inconclusive", "nothing was decided: no gate that counts was measured"),
        ([{**ABSOLUTE, "min": 0.99, "severity": "info"}], "inconclusive", "1 not met, for information only"),
        (
            [{"metric": "s/p/m", "max": 1, "severity": "warn"}],
            "inconclusive",
            "1 not met, only warned about (1 not measured)",
        ),
        ([{**ABSOLUTE, "when": "privacy_claim"}], "inconclusive", "1 not asked for"),
        ([{**ABSOLUTE, "min": 0.99, "severity": "warn"}], "pass", "0 of 1 gates passed; 1 not met, only warned about"),
        ([ABSOLUTE, {**ABSOLUTE, "when": "privacy_claim"}], "pass", "1 of 2 gates passed with their whole"),
        ([ABSOLUTE, {**ABSOLUTE, "min": 0.99, "severity": "warn"}], "pass", "1 not met, only warned about"),
        ([{**ABSOLUTE, "min": 0.99}, {"metric": "s/p/m", "max": 1, "severity": "warn"}], "block", "(1 not measured)"),
        ([ABSOLUTE, {"metric": "s/p/m", "max": 1}, SAFE], "inconclusive", "2 of 3 gates not decided (2 of them not"),
    ],
)
def test_the_first_line_says_what_was_not_measured_or_does_not_count(
    gates: list[dict[str, Any]], outcome: str, said: str
) -> None:
    found = verdict(*gates)
    assert found.outcome == outcome
    assert said in found.reason


@pytest.mark.parametrize("severity", ["block", "warn", "info"])
def test_an_expired_waiver_blocks_whatever_the_severity(severity: str) -> None:
    waiver = {"until": "2025-12-31", "by": "ann", "reason": "fixed soon"}
    found = verdict(ABSOLUTE, {**ABSOLUTE, "min": 0.99, "severity": severity, "waiver": waiver})
    assert (found.outcome, found.gates[1].expired) == ("block", True)


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> AuditFolder:
    """An audit that is much worse than its baseline, `base` in the same folder."""
    home = tmp_path_factory.mktemp("audits")
    make_audit(home / "base", answers(400, 0.95, 1))
    return make_audit(home / "new", answers(400, 0.6, 2))


RULES = Policy.model_validate({"name": "p", "gates": [{"id": "g", **COMPARED, "excuse": ["no_baseline_yet"]}]})


def test_a_baseline_of_which_rows_are_gone_serves_for_nothing(candidate: AuditFolder, tmp_path: Path) -> None:
    whole = compared_with("base", RULES, candidate, None)
    assert judge(RULES, candidate.manifest(), candidate.metrics(), whole).outcome is Outcome.BLOCK
    part = make_audit(tmp_path / "part", answers(400, 0.95, 1))
    some = part.rows(NAME).head(36)
    for file in (part.path / "rows").rglob("*.parquet"):
        file.unlink()
    store = RowStore(part.path, NAME, Classification.Row)
    store.append([{str(key): value for key, value in row.items()} for row in some.to_dict("records")])
    found = judge(
        RULES, candidate.manifest(), candidate.metrics(), compared_with(str(part.path), RULES, candidate, None)
    )
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "the baseline has 36 rows of quality/classification where its manifest records 400" in found.reason


def test_a_first_release_has_no_baseline_yet(candidate: AuditFolder) -> None:
    uri = default_uri(candidate.path.parent)
    with pytest.raises(UsageError, match="there is no store at"):
        compared_with("@production", RULES, candidate, uri)
    with mlflow_session(uri) as client:
        client.search_experiments()
    compared = compared_with("@production", RULES, candidate, uri)
    assert compared.absence is Absence.NO_BASELINE_YET
    found = judge(RULES, candidate.manifest(), candidate.metrics(), compared)
    assert found.outcome is Outcome.INCONCLUSIVE, "nothing that counts was measured"
    assert "1 not measured (excused: no baseline yet)" in found.reason
    absolute = RULES.gates[0].model_copy(update={"id": "a", "baseline": None, "min": 0.2, "excuse": ()})
    both = RULES.model_copy(update={"gates": (absolute, *RULES.gates)})
    found = judge(both, candidate.manifest(), candidate.metrics(), compared)
    assert found.outcome is Outcome.PASS


@pytest.mark.parametrize(
    "ref",
    ["@", "m@", "@production ", "@production\r", " m@production", "@@production", "m@@production",
     "m@1", "m@v3", "m@latest", "@LATEST", "m:a@production"],
)  # fmt: skip
def test_a_name_that_no_registry_can_have_is_no_baseline_yet_neither(candidate: AuditFolder, ref: str) -> None:
    with pytest.raises(UsageError, match="names no alias of a registered model"):
        compared_with(ref, RULES, candidate, default_uri(candidate.path.parent))


def test_a_folder_of_an_aliass_name_is_not_meant(
    candidate: AuditFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_audit(tmp_path / "@production", answers(400, 0.1, 1))
    uri = default_uri(candidate.path.parent)
    with mlflow_session(uri) as client:
        client.search_experiments()
    assert compared_with("@production", RULES, candidate, uri).absence is Absence.NO_BASELINE_YET
    assert compared_with("./@production", RULES, candidate, uri).record is not None


def test_rows_that_are_gone_leave_every_gate_undecided(tmp_path: Path) -> None:
    folder = make_audit(tmp_path / "part", answers(400, 0.9, 1))
    rules = Policy.model_validate({"name": "p", "gates": [{"id": "g", **ABSOLUTE}]})
    assert regate(folder, rules).verdict.outcome is Outcome.PASS
    for file in (folder.path / "rows").rglob("*.parquet"):
        file.unlink()
    found = regate(folder, rules).verdict
    assert (found.outcome, found.gates[0].absence) == ("inconclusive", "incomplete")
    assert "0 rows are there where its manifest records 400" in found.reason


@pytest.mark.parametrize(
    ("pattern", "facts"),
    [
        ("quality/*/acuracy", {"not_applicable": {"quality/perplexity": "needs a causal LM"}}),
        ("quality/*", {"metrics": [], "not_applicable": {"quality/perplexity": "x"}, "left_out": [NAME]}),
        ("*curacy", {"metrics": [], "incomplete": {NAME: "its plug-in did not load"}}),
        ("quality*accuracy", {"metrics": [], "incomplete": {NAME: "stopped"}}),
    ],
)
def test_a_pattern_is_excused_only_where_nothing_it_may_be_about_applies(pattern: str, facts: dict[str, Any]) -> None:
    found = verdict({"metric": pattern, "min": 0.5, "excuse": ["not_applicable"]}, **facts)
    assert (found.outcome, found.gates[0].excused) == ("inconclusive", False)


@pytest.mark.parametrize(
    ("pattern", "begin", "fits"),
    [
        ("a/*", "a/b/", True), ("a/*/c", "a/b/", True), ("*c", "a/b/", True), ("a*c", "a/b/", True),
        ("a/b/c", "a/b/", True), ("a/b/", "a/b/", False), ("a/x*", "a/b/", False), ("b*", "a/b/", False),
        ("*", "a/b/", True), ("a/b", "a/b/", False), ("", "a/b/", False),
    ],
)  # fmt: skip
def test_what_a_pattern_may_begin_with(pattern: str, begin: str, fits: bool) -> None:
    """By brute force: some continuation of up to three characters fits."""
    letters = "abcx/"
    tails = ["".join(each) for n in (1, 2, 3) for each in product(letters, repeat=n)]
    assert may_begin(pattern, begin) is fits
    assert any(matches(pattern, begin + tail) for tail in tails) is fits


def test_a_pattern_does_not_pass_without_a_plug_in_that_failed_to_load(candidate: AuditFolder) -> None:
    rules = Policy.model_validate({"name": "p", "gates": [{"id": "g", "metric": "quality/*/accuracy", "min": 0.2}]})
    manifest = candidate.manifest()
    assert judge(rules, manifest, candidate.metrics(), None).outcome is Outcome.PASS
    broken = {"quality.other = somewhere:Other": "ModuleNotFoundError", "assay.reports = x:y": "boom"}
    found = judge(rules, manifest.model_copy(update={"plugin_errors": broken}), candidate.metrics(), None)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "quality/other did not finish: its plug-in did not load (ModuleNotFoundError)" in found.reason
