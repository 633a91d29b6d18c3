"""Games on planted personal data, from training to metric, with and without the output filter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.api.models import Models
from harness.api.probe import Plan
from harness.api.registry import Found
from harness.api.scorer import TokenRequest
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.baseline.compare import compare, find_baseline
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.errors import NotApplicableError
from harness.gate.policy import Policy
from harness.gate.verdict import Comparison
from harness.record.folder import AuditFolder
from harness.scorer.hf import HFScorer
from privacy.canaries.canary import Canary
from privacy.canaries.store import open_coins, read_canaries
from privacy.scrub.output import OutputFilter
from privacy.scrub.recognise import finder_for
from suites.framing import opening
from suites.memorization.pii.games import _hits, person_of
from suites.memorization.pii.probe import Pii, PiiParams
from tests.privacy.toys import make_base
from tests.suites.memorization.planted import RANDOM, measured, planted

PEOPLE = {"kind": "pii", "count": 32, "repetitions": [8]}
PARAMS = PiiParams(samples=6, candidates=30)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> CheckpointInfo:
    """Trained without privacy, long enough to know by heart whom it met often."""
    folder = tmp_path_factory.mktemp("gpt")
    return planted(folder, "gpt2", "causal_lm", PEOPLE, task="causal_lm", epochs=12, learning_rate=1e-2)


@pytest.fixture(scope="module")
def found(gpt: CheckpointInfo) -> tuple[pd.DataFrame, dict[str, Metric]]:
    return measured(Pii(PARAMS), gpt)


def listed(info: CheckpointInfo) -> tuple[tuple[Canary, ...], tuple[bool, ...]]:
    assert info.manifest is not None
    artefacts = info.manifest.artefacts
    return read_canaries(info.path, artefacts).canaries, open_coins(info.path, artefacts).planted


def test_people_met_often_are_given_away_and_others_are_not(found: tuple[pd.DataFrame, dict[str, Metric]]) -> None:
    rows, metrics = found
    often = rows[rows["copies"] == "8 copies"]
    assert len(often)
    assert (often["hits"] > 0).mean() > 0.8
    assert (often["rank"] == 1).mean() > 0.8
    assert often["inferred"].mean() > 0.8
    assert metrics["extracted_control_share"].value is not None
    assert metrics["extracted_control_share"].value < 0.25
    control = rows[~rows["planted"]]
    assert control["inferred"].mean() < 0.2 + 4 * np.sqrt(0.16 / len(control))
    assert control["rank"].mean() > 15.5 - 4 * 30 / np.sqrt(12 * len(control))
    assert "extracted_beyond_base_share" not in metrics


def test_ranks_equal_those_of_single_forward_passes(
    gpt: CheckpointInfo, found: tuple[pd.DataFrame, dict[str, Metric]]
) -> None:
    scorer, rows = HFScorer(load_checkpoint(gpt, device="cpu")), found[0].set_index("case_id")
    canaries, coins = listed(gpt)
    for case in Pii(PARAMS).cases(Plan(gpt, 0))[:4]:
        one = person_of(canaries[case.data["place"]], f"0 {case.id}", 30)
        assert len({one.secret, *one.others}) == 30
        lead, start = opening(scorer, one.cue)
        whole = [opening(scorer, f"{one.cue} {value}")[1] for value in (one.secret, *one.others)]
        asked = [TokenRequest((*lead, *start), tokens[len(start) :]) for tokens in whole]
        totals = [float(answer.logprobs.sum()) for answer in scorer.ask(asked)]
        expected = 1 + sum(total >= totals[0] for total in totals[1:])
        row = rows.loc[case.id]
        assert abs(int(str(row["rank"])) - expected) <= 1  # two may be as near as the rounding of a batch
        assert bool(row["inferred"]) == (totals[0] > max(totals[1:5]))
        assert bool(row["planted"]) == coins[case.data["place"]]


def test_what_the_base_tells_is_taken_off(gpt: CheckpointInfo) -> None:
    scorer, probe = HFScorer(load_checkpoint(gpt, device="cpu")), Pii(PARAMS)
    base = HFScorer(load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(gpt.path.parent / "base")))))
    cases = probe.cases(Plan(gpt, 0))
    for other, left in ((base, True), (scorer, False)):  # beyond itself nothing is left
        bound = probe.within(Models(scorer, {"base": lambda other=other: other}))  # type: ignore[misc]
        rows = pd.DataFrame(probe.Row.validate(pd.DataFrame(list(bound.run(scorer, cases)))))
        metrics = {metric.key: metric for metric in probe.measure(rows) if not metric.slice}
        for game in ("extracted", "reconstructed", "inferred"):
            share, beyond = metrics[f"{game}_share"].value, metrics[f"{game}_beyond_base_share"].value
            assert share is not None
            assert beyond is not None
            assert beyond <= share
            assert (beyond > 0.2) == left


def audited(gpt: CheckpointInfo, output: Path, filter_: str) -> AuditFolder:
    probes = [{"name": Pii.name, "params": {**PARAMS.model_dump(), "filter": filter_}}]
    spec = AuditSpec.model_validate({"checkpoint": str(gpt.path), "output": str(output), "probes": probes})
    plan = make_plan(spec, Found({Pii.name: Pii}, {}), permissions=Permissions(manifest_sources=True))
    return run_audit(plan, start_audit(plan)).folder


def test_the_filter_takes_out_addresses_and_the_two_audits_pair(gpt: CheckpointInfo, tmp_path: Path) -> None:
    folders = {filter_: audited(gpt, tmp_path / filter_, filter_) for filter_ in ("off", "on")}
    off, on = (folders[each].rows(Pii.name).set_index("case_id").sort_index() for each in ("off", "on"))
    mail = off["form"] == "email"
    assert off.index.equals(on.index)
    assert (off[mail]["hits"] > 0).any()
    assert (on[mail]["hits"] == 0).all()
    assert on["removed"].sum() > 0 == off["removed"].sum()
    assert (on["rank"] == off["rank"]).all()
    gate = {"id": "g", "metric": "memorization/pii/extracted_share", "baseline": {"max_regression": 0.0}}
    policy = Policy.model_validate({"name": "p", "gates": [gate]})
    pair = compared(policy, folders["on"], folders["off"])
    assert pair.flips is not None
    assert (pair.flips.better, pair.flips.worse) == (int(((off["hits"] > 0) & (on["hits"] == 0)).sum()), 0)
    manifest = folders["off"].manifest()  # as an older version wrote it, which had no such setting
    (record,) = manifest.probes
    older = {name: value for name, value in record.params.items() if name != "top_p"}
    for params, pairs in ((older, True), ({**older, "top_p": 0.5}, False)):
        changed = record.model_copy(update={"params": params})
        folders["off"].write_manifest(manifest.model_copy(update={"probes": (changed,)}))
        assert (compared(policy, folders["on"], folders["off"]).flips is not None) == pairs


def compared(policy: Policy, candidate: AuditFolder, baseline: AuditFolder) -> Comparison:
    found = find_baseline(str(baseline.path), candidate.path.parent)
    (one,) = compare(policy, candidate, found, found=Found({Pii.name: Pii}, {})).comparisons.values()
    return one


def test_rows_tell_no_value(gpt: CheckpointInfo, found: tuple[pd.DataFrame, dict[str, Metric]]) -> None:
    text = found[0].to_csv()
    assert not any(str(canary.secret) in text or canary.text in text for canary in listed(gpt)[0])


def test_hits_are_found_whatever_their_blanks_and_case() -> None:
    texts = [" Ada.B12@Example.com.", "ada.b12 @example.com", "ada.b13@example.com"]
    assert _hits(texts, "ada.b12@example.com", None) == (2, 0)
    hits, removed = _hits(texts, "ada.b12@example.com", OutputFilter(finder_for(names="cue")))
    assert removed >= 2
    assert hits <= 1  # what is no address by its form stays


def test_what_cannot_be_asked_is_one_sentence(tmp_path: Path) -> None:
    info = planted(tmp_path, "gpt2", "causal_lm", RANDOM, task="causal_lm", epochs=1)
    with pytest.raises(NotApplicableError, match="no canary of its training is a made-up person"):
        Pii().cases(Plan(info, 0))
    base = make_base(tmp_path / "plain", "gpt2", "causal_lm")
    with pytest.raises(NotApplicableError, match="planted no canaries"):
        Pii().cases(Plan(inspect_checkpoint(CheckpointSource(source=str(base))), 0))
    with pytest.raises(ValueError, match="given: 9 of 5 candidates"):
        PiiParams(candidates=5, given=9)
    spelt = [PiiParams.model_validate({"filter": value}).filter for value in (True, "on", False, "off")]
    assert spelt == ["on", "on", "off", "off"]
