"""Helper models of attacks in an audit: planned by role, the same rows as outside one, one load for all probes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.registry import Found, find_probes
from harness.audit import models as audit_models
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import load_checkpoint
from harness.scorer.hf import HFScorer
from suites.adversarial.attacks.models import ENCODER, ROLES
from suites.adversarial.resources.textattack_env import missing
from suites.adversarial.semantics import measures
from tests.suites.adversarial.recipes.ingredients import resources
from tests.tiny import make_checkpoint

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
PROBES = find_probes().probes
NAMES = ("adversarial/textfooler", "adversarial/deepwordbug")


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


def plan(home: Path, output: Path, **keys: Any) -> AuditPlan:
    given = {"checkpoint": str(home / "bert"), "probes": list(NAMES), "output": str(output), "device": "cpu"}
    data = {"data": {"examples": str(home / "a.jsonl")}, "tracking": {"uri": "off"}}
    found = Found({name: PROBES[name] for name in (*NAMES, "adversarial/prompt")}, {})
    return make_plan(AuditSpec.model_validate({**given, **data, **keys}), found)


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
    from suites.adversarial.resources.finding import ResourceMissing, find

    def nowhere(name: str, *given: Any, **options: Any) -> Any:
        if name == "sentence-encoder":
            raise ResourceMissing("sentence-encoder is missing; get it")
        return find(name, *given, **options)

    monkeypatch.setattr(models, "find", nowhere)
    monkeypatch.setattr(measures, "find", nowhere)
    measures.load_instrument.cache_clear()
    planned = plan(home, tmp_path, probes=["adversarial"])
    measures.load_instrument.cache_clear()
    assert [each.probe.name for each in planned.probes] == [NAMES[1]]
    assert "no model for 'sentence_encoder' (sentence vectors that constrain" in planned.no_data[NAMES[0]]
    rows = run_audit(planned, start_audit(planned)).folder.rows(NAMES[1])
    measures.load_instrument.cache_clear()
    assert rows["semantics_missing"].dropna().str.contains("sentence-encoder is missing; get it").any()
