"""Helper models of attacks in an audit: planned by role, the same rows as outside one, one load for all probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.registry import Found, find_probes
from harness.audit import models as audit_models
from harness.audit.cost import weight_bytes
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import load_checkpoint
from harness.cli.audit import scan_models
from harness.errors import CheckpointError, NoDataError
from harness.scorer.hf import HFScorer
from suites.adversarial.attacks.models import ENCODER, MASKED_LM, ROLES
from suites.adversarial.resources.textattack_env import missing
from suites.adversarial.semantics import measures
from tests.suites.adversarial.recipes.ingredients import resources
from tests.tiny import make_checkpoint

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
PROBES = find_probes().probes
NAMES = ("adversarial/textfooler", "adversarial/deepwordbug")
BY_MASKED_LM = ("adversarial/bae", "adversarial/bert_attack", "adversarial/clare")
FEW = {"params": {"semantics": None, "query_budget": 60}, "limit": 4}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("roles")
    make_checkpoint(home / "bert", "bert", "classifier", seed=4)
    make_checkpoint(home / "encoder", "bert", "base", seed=8)
    draw, words = np.random.default_rng(3), ("good", "great", "nice", "bad", "film", "movie", "story", "the", "was")
    texts = [" ".join(draw.choice(words, 6)) for _ in range(10)]
    pd.DataFrame({"text": texts, "label": [0, 1] * 5}).to_json(home / "a.jsonl", orient="records", lines=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(home / "cache"))
        patch.setenv("ASSAY_RESOURCES", str(resources()["wordnet"].parent))
        yield home


def plan(home: Path, output: Path, names: Sequence[str] = NAMES, **keys: Any) -> AuditPlan:
    given = {"checkpoint": str(home / "bert"), "probes": list(names), "output": str(output), "device": "cpu"}
    data = {"data": {"examples": str(home / "a.jsonl")}, "tracking": {"uri": "off"}}
    found = Found({name: PROBES[name] for name in (*names, "adversarial/prompt")}, {})
    return make_plan(AuditSpec.model_validate({**given, **data, **keys}), found)


def nowhere(*lacking: str) -> Any:
    """A `find` that lacks these resources."""
    from suites.adversarial.resources.finding import ResourceMissing, find

    def found(name: str, *given: Any, **options: Any) -> Any:
        if name in lacking:
            raise ResourceMissing(f"{name} is missing; get it")
        return find(name, *given, **options)

    return found


def test_the_encoder_is_loaded_once_for_all_probes_and_rows_are_as_outside_an_audit(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(info: Any, **options: Any) -> Any:
        loaded.append(f"{info.path.name} {options['dtype']} {options['device']}")
        return load_checkpoint(info, **options)

    monkeypatch.setattr(audit_models, "load_checkpoint", load)
    monkeypatch.setattr(measures, "_scorer", lambda *_: pytest.fail("loaded beside the audit"))
    planned = plan(home, tmp_path)
    assert [set(each.models) for each in planned.probes] == [{ENCODER, "similarity"}, {"similarity"}]
    result = run_audit(planned, start_audit(planned))
    assert loaded == ["sentence-encoder fp32 cpu"]
    assert {(work.probe, work.model) for work in result.manifest.work if work.rows} >= {
        *((name, "") for name in NAMES),
        (NAMES[0], ENCODER),
    }
    monkeypatch.undo()
    monkeypatch.setenv("ASSAY_RESOURCES", str(resources()["wordnet"].parent))
    scorer = HFScorer(load_checkpoint(planned.info, device="cpu"))
    for each in planned.probes:
        rows = result.folder.rows(each.probe.name).set_index("case_id")
        alone = pd.DataFrame(list(each.probe.run(scorer, each.cases))).set_index("case_id").loc[rows.index]
        for column in ("outcome", "perturbed_text", "queries", "resources", "semantics_source"):
            assert rows[column].fillna("").tolist() == alone[column].fillna("").tolist(), column
        similar = [frame["similarity"].astype("Float64").to_numpy(float, na_value=np.nan) for frame in (rows, alone)]
        assert similar[0] == pytest.approx(similar[1], abs=1e-6, nan_ok=True)
    assert (result.folder.rows(NAMES[0])["outcome"] == "succeeded").any()


def test_the_spec_can_name_another_encoder_and_rows_say_so(home: Path, tmp_path: Path) -> None:
    own = str(home / "encoder")
    planned = plan(home, tmp_path, models={ENCODER: own, "similarity": own})
    result = run_audit(planned, start_audit(planned))
    rows = result.folder.rows(NAMES[0])
    print_ = planned.probes[0].models[ENCODER].info.fingerprint.digest
    assert rows["resources"].str.contains(f"sentence-encoder from the spec, {own}, fingerprint {print_[:8]}").all()
    sources = rows["semantics_source"].dropna()
    assert len(sources)
    assert sources.str.contains(print_[:8]).all()


def test_roles_follow_the_settings(home: Path, tmp_path: Path) -> None:
    assert set(PROBES["adversarial/prompt"].models) == set(ROLES)
    off = [{"name": name, "params": {"semantics": None}} for name in NAMES]
    assert [set(each.models) for each in plan(home, tmp_path, probes=off).probes] == [{ENCODER}, set()]
    (each,) = plan(home, tmp_path, probes=[NAMES[0]]).probes
    costs = each.probe.model_costs(each.cases)
    texts = sum(len(case.data["text"]) for case in each.cases) // 4
    assert costs == {ENCODER: each.probe.cost(each.cases), "similarity": 2 * texts}


def test_a_missing_measure_is_unmeasured_and_a_missing_encoder_is_said_in_the_plan(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from suites.adversarial.attacks import models

    for module in (models, measures):
        monkeypatch.setattr(module, "find", nowhere("sentence-encoder"))
    measures.load_instrument.cache_clear()
    planned = plan(home, tmp_path, probes=["adversarial"])
    measures.load_instrument.cache_clear()
    assert [each.probe.name for each in planned.probes] == [NAMES[1]]
    assert "no model for 'sentence_encoder' (sentence vectors that constrain" in planned.no_data[NAMES[0]]
    rows = run_audit(planned, start_audit(planned)).folder.rows(NAMES[1])
    measures.load_instrument.cache_clear()
    assert rows["semantics_missing"].dropna().str.contains("sentence-encoder is missing; get it").any()


def test_the_masked_lm_is_checked_counted_and_loaded_once_for_all_probes_and_rows_are_as_outside_an_audit(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(info: Any, **options: Any) -> Any:
        loaded.append(f"{info.path.name} {options['dtype']} {options['device']}")
        return load_checkpoint(info, **options)

    monkeypatch.setattr(audit_models, "load_checkpoint", load)
    names = BY_MASKED_LM[:2]
    planned = plan(home, tmp_path, names, probes=[{"name": name, **FEW} for name in names])
    assert [set(each.models) for each in planned.probes] == [{ENCODER, MASKED_LM}] * 2
    infos = [planned.info, *(planned.probes[0].models[role].info for role in (ENCODER, MASKED_LM))]
    assert weight_bytes(planned) == 4 * sum(info.parameters for info in infos)
    assert planned.probes[0].probe.model_costs(planned.probes[0].cases)[MASKED_LM] > 0
    result = run_audit(planned, start_audit(planned, model_scans=scan_models(planned)))
    assert sorted(loaded) == ["masked-lm fp32 cpu", "sentence-encoder fp32 cpu"]
    for record in result.manifest.probes:
        kept = record.models[MASKED_LM]
        assert kept.fingerprint == infos[2].fingerprint.digest
        assert kept.isolation == infos[2].isolation.sentence
        assert kept.scan is not None
    asked = {(work.probe, work.model) for work in result.manifest.work if work.rows}
    assert asked >= {(name, MASKED_LM) for name in names}
    scorer = HFScorer(load_checkpoint(planned.info, device="cpu"))
    outcomes = set()
    for each in planned.probes:
        rows = result.folder.rows(each.probe.name).set_index("case_id")
        alone = pd.DataFrame(list(each.probe.run(scorer, each.cases))).set_index("case_id").loc[rows.index]
        for column in ("outcome", "perturbed_text", "queries", "resources"):
            assert rows[column].fillna("").tolist() == alone[column].fillna("").tolist(), column
        outcomes |= set(rows["outcome"])
    assert "succeeded" in outcomes


def test_the_spec_can_name_a_masked_lm_where_the_resource_is_missing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from suites.adversarial.attacks import models
    from suites.adversarial.recipes import recipe

    for module in (models, recipe):
        monkeypatch.setattr(module, "find", nowhere("masked-lm", "masked-lm-clare"))
    with pytest.raises(NoDataError, match=r"no model for 'masked_lm' \(words that fit their place, for the search\)"):
        plan(home, tmp_path, BY_MASKED_LM)
    whole = plan(home, tmp_path, (*BY_MASKED_LM, NAMES[1]), probes=["adversarial"])
    assert [each.probe.name for each in whole.probes] == [NAMES[1]]
    assert set(BY_MASKED_LM) <= set(whole.no_data)
    own = make_checkpoint(tmp_path / "own", "roberta", "masked_lm", seed=6)
    name = BY_MASKED_LM[2]
    planned = plan(home, tmp_path, (name,), probes=[{"name": name, **FEW}], models={MASKED_LM: str(own)})
    print_ = planned.probes[0].models[MASKED_LM].info.fingerprint.digest
    rows = run_audit(planned, start_audit(planned)).folder.rows(name)
    assert (rows["status"] == "ok").all(), rows["error"].tolist()
    assert rows["resources"].str.contains(f"masked-lm-clare from the spec, {own}, fingerprint {print_[:8]}").all()


def test_what_is_no_masked_lm_or_would_run_code_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NoDataError, match=r"the model for 'masked_lm' .* needs a masked LM"):
        plan(home, tmp_path, BY_MASKED_LM[:1], models={MASKED_LM: str(home / "encoder")})
    pickled = make_checkpoint(tmp_path / "pickled", "bert", "masked_lm")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"bae: the model for 'masked_lm': .* for the audited checkpoint alone"):
        plan(home, tmp_path, BY_MASKED_LM[:1], models={MASKED_LM: str(pickled)})
