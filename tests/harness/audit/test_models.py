"""More than one model in an audit: roles planned, loaded once, counted, recorded, and the same again on resume."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from pandera.typing import Series

from harness.api.case import Case
from harness.api.checkpoint import CheckpointSource
from harness.api.declared import MeanOf
from harness.api.metrics import Better
from harness.api.models import ModelRole, Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Probe, ProbeParams, ProbeRow, RowDict
from harness.api.registry import Found
from harness.api.scorer import EmbedRequest, Scorer, TextRequest
from harness.audit import models as module
from harness.audit.cost import other_tokens, seconds_on_cpu, weight_bytes
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.plan_summary import summary_of
from harness.audit.run import job_of, resume_plan, run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.baseline.compare import Baseline, compare
from harness.checkpoint import inspect_checkpoint, load_checkpoint
from harness.cli.console import show_plan
from harness.errors import AuditError, NoDataError, UsageError
from harness.executors import FromSources
from harness.executors.local import LocalExecutor
from harness.gate.decide import Policy
from harness.scorer.hf import HFScorer
from tests.fakes import FakeScorer, make_info
from tests.harness.api.toy import Toy
from tests.tiny import make_checkpoint


class BesideRow(ProbeRow):
    gap: Series[float]


class Beside(Probe[ProbeParams]):
    """The first class's logit under the checkpoint, less that of a reference."""

    name = "toy/beside"
    about = About("Gap to a reference", "none", "anything else")
    needs = Toy.needs
    inputs = Toy.inputs
    models: ClassVar[Mapping[str, ModelRole]] = {
        "reference": ModelRole((any_of(Need.SEQUENCE_CLASSIFIER),), "a classifier to compare with"),
        "encoder": ModelRole((any_of(Need.EMBEDDINGS),), "vectors of texts", required=False, dtype="fp32"),
    }
    metrics = (MeanOf("gap", Better.LOWER, "gap"),)
    Row = BesideRow
    cases = Toy.cases

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        requests = [TextRequest(case.data["text"]) for case in cases]
        if "encoder" in self.others:
            self.others["encoder"].ask([EmbedRequest(request.text) for request in requests])
        for case, ours, theirs in zip(cases, scorer.ask(requests), self.others["reference"].ask(requests), strict=True):
            gap = float(ours.logits[0] - theirs.logits[0])
            yield {"case_id": case.id, "status": "ok", "error": None, "gap": gap}


class AlsoBeside(Beside):
    name = "toy/also"


FOUND = Found({"toy/beside": Beside, "toy/also": AlsoBeside, "toy/share": Toy}, {})
TEXTS = [f"text number {i}" for i in range(10)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    for number, name in enumerate(("subject", "reference", "other")):
        make_checkpoint(home / name, "bert", "classifier", seed=number)
    make_checkpoint(home / "encoder", "bert", "base", seed=9)
    pd.DataFrame({"text": TEXTS}).to_json(home / "texts.jsonl", orient="records", lines=True)
    return home


def plan(home: Path, output: Path, probes: Sequence[Any] = ("toy/beside",), **keys: Any) -> AuditPlan:
    spec = {"checkpoint": str(home / "subject"), "probes": list(probes), "output": str(output)}
    data = {"texts": str(home / "texts.jsonl")}
    return make_plan(AuditSpec.model_validate({**spec, "data": data, "tracking": {"uri": "off"}, **keys}), FOUND)


def logits(folder: Path) -> np.ndarray[Any, Any]:
    scorer = HFScorer(load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu"))
    return np.array([answer.logits[0] for answer in scorer.ask([TextRequest(text) for text in TEXTS])])


def test_a_reference_is_asked_beside_the_checkpoint(home: Path, tmp_path: Path) -> None:
    planned = plan(home, tmp_path, models={"reference": str(home / "reference")})
    result = run_audit(planned, start_audit(planned))
    order = {case.id: case.data["text"] for case in planned.probes[0].cases}
    rows = result.folder.rows("toy/beside")
    gaps = {order[case]: gap for case, gap in zip(rows["case_id"], rows["gap"], strict=True)}
    expected = logits(home / "subject") - logits(home / "reference")
    assert [gaps[text] for text in TEXTS] == pytest.approx(expected, abs=1e-4)
    record = result.manifest.probes[0].models
    assert set(record) == {"reference"}
    own = inspect_checkpoint(CheckpointSource(source=str(home / "reference")))
    assert (record["reference"].fingerprint, record["reference"].source) == (own.fingerprint.digest, own.source.source)
    work = {each.model: each for each in result.manifest.work}
    assert set(work) == {"", "reference"}
    assert (work[""].rows, work["reference"].rows) == (10, 10)
    assert work["reference"].tokens > 0
    assert AuditSpec.model_validate(result.manifest.spec).digest() == result.manifest.spec_digest


def test_a_job_takes_its_models_along(home: Path, tmp_path: Path) -> None:
    planned = plan(home, tmp_path, models={"reference": str(home / "reference"), "encoder": str(home / "encoder")})
    (probe,) = planned.probes
    job = pickle.loads(pickle.dumps(job_of(planned, probe, probe.cases)))
    (done,) = LocalExecutor(FromSources(FOUND)).run(job)
    expected = logits(home / "subject") - logits(home / "reference")
    assert [row["gap"] for row in done.rows] == pytest.approx(expected, abs=1e-4)
    assert {role: counts.by_kind for role, counts in done.counts.items()} == {
        "subject": {"classify": 10},
        "reference": {"classify": 10},
        "encoder": {"embed": 10},
    }
    reference = replace(job.models["reference"], source=CheckpointSource(source=str(home / "other")))
    with pytest.raises(UsageError, match="give this machine the same checkpoint"):
        list(LocalExecutor(FromSources(FOUND)).run(replace(job, models={**job.models, "reference": reference})))


def test_each_model_is_loaded_once_whatever_its_roles(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(info: Any, **options: Any) -> Any:
        loaded.append(f"{info.path.name} {options['dtype']}")
        return load_checkpoint(info, **options)

    monkeypatch.setattr(module, "load_checkpoint", load)
    probes = [
        {"name": "toy/beside", "models": {"encoder": {"source": str(home / "reference"), "dtype": "auto"}}},
        {"name": "toy/also", "models": {"encoder": str(home / "encoder")}},
    ]
    planned = plan(home, tmp_path, probes, models={"reference": str(home / "reference")})
    result = run_audit(planned, start_audit(planned))
    assert sorted(loaded) == ["encoder fp32", "reference auto"]
    work = {(each.probe, each.model): each.rows + each.reused for each in result.manifest.work}
    assert work == {
        ("toy/beside", ""): 10,
        ("toy/beside", "reference"): 20,  # which is its encoder, too
        ("toy/also", ""): 10,
        ("toy/also", "reference"): 10,
        ("toy/also", "encoder"): 10,
    }
    subject, reference, encoder = (planned.info, *(planned.probes[1].models[role].info for role in Beside.models))
    parts = (subject.parameters, reference.parameters, encoder.parameters)
    assert weight_bytes(planned) == 4 * sum(parts)
    tokens = planned.probes[1].probe.cost(planned.probes[1].cases)
    assert other_tokens(planned.probes[1]) == {"reference": tokens, "encoder": tokens}
    assert seconds_on_cpu(planned.probes[1], subject.parameters, 1e9) == pytest.approx(4 * tokens * sum(parts) / 1e9)


def test_a_probe_without_other_models_has_none_of_the_specs(home: Path, tmp_path: Path) -> None:
    planned = plan(home, tmp_path, ["toy/share", "toy/beside"], models={"reference": str(home / "reference")})
    assert [set(each.models) for each in planned.probes] == [set(), {"reference"}]
    with_none = AuditSpec.model_validate({"checkpoint": "a", "probes": ["toy/share"]})
    assert "models" not in with_none.canonical()
    assert "models" not in with_none.canonical()["probes"][0]


def test_what_no_planned_probe_asks_for_is_told(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = {"source": str(home / "texts.csv")}
    models = {"reference": str(home / "reference"), "encoder": str(home / "encoder")}
    alone = plan(home, tmp_path, ["toy/share"], models=models)
    assert alone.unused == ["models.reference", "models.encoder"]
    show_plan(alone, cost=False)
    assert "not used: models.encoder: no probe of this audit asks for it" in capsys.readouterr().out
    assert summary_of(alone).unused == ("models.reference", "models.encoder")
    assert plan(home, tmp_path, models=models).unused == []
    data = alone.spec.data["texts"]
    twice = replace(alone, spec=alone.spec.model_copy(update={"data": {"texts": data, "examples": data}, "models": {}}))
    assert twice.unused == []  # --data FILE is for both
    other = data.model_copy(update=extra)
    assert replace(twice, spec=twice.spec.model_copy(update={"data": {"examples": other}})).unused == ["data.examples"]


def test_a_missing_or_unfit_model_is_one_sentence_while_planning(home: Path, tmp_path: Path) -> None:
    missing = r"^toy/beside: no model for 'reference' \(a classifier to compare with\); give models: {reference: <so"
    with pytest.raises(NoDataError, match=missing):
        plan(home, tmp_path)
    by_suite = plan(home, tmp_path, ["toy"])
    assert set(by_suite.no_data) == {"toy/beside", "toy/also"}
    unfit = r"the model for 'reference' \(a classifier to compare with\) is .*encoder; needs a sequence classifier; it "
    with pytest.raises(NoDataError, match=unfit):
        plan(home, tmp_path, models={"reference": str(home / "encoder")})
    with pytest.raises(UsageError, match=r"models: no probe asks a 'referense'; .* did you mean 'reference'"):
        plan(home, tmp_path, models={"referense": str(home / "reference")})
    with pytest.raises(UsageError, match=r"toy/beside: no model of it is called 'judge'; it asks \['encoder', 'refe"):
        plan(home, tmp_path, [{"name": "toy/beside", "models": {"judge": "a"}}])
    with pytest.raises(UsageError, match=r"toy/beside: the model for 'reference': .*nowhere"):
        plan(home, tmp_path, models={"reference": str(home / "nowhere")})
    with pytest.raises(UsageError, match="'toy' is a suite; params, data and models belong to one probe"):
        plan(home, tmp_path, [{"name": "toy", "models": {"reference": "a"}}])


def test_a_reference_in_pickle_is_refused_whatever_the_command_line_allows(home: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from harness.checkpoint import Permissions

    folder = make_checkpoint(tmp_path / "pickled", "bert", "classifier")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    spec = plan(home, tmp_path, models={"reference": str(home / "reference")}).spec
    named = {**spec.canonical(), "models": {"reference": str(folder)}}
    with pytest.raises(UsageError, match=r"'reference': .*pickle.* is for the audited checkpoint alone"):
        make_plan(AuditSpec.model_validate(named), FOUND, permissions=Permissions(pickle=True))


def test_its_own_model_that_cannot_be_had_is_something_missing(home: Path, tmp_path: Path) -> None:
    class Own(Beside):
        models: ClassVar[Mapping[str, ModelRole]] = {
            "reference": ModelRole(Beside.needs, "one of its own", CheckpointSource(source=str(home / "nowhere")))
        }

    spec = AuditSpec.model_validate(
        {**plan(home, tmp_path, ["toy/share"]).spec.canonical(), "probes": ["toy"], "output": str(tmp_path)}
    )
    planned = make_plan(spec, Found({"toy/beside": Own, "toy/share": Toy}, {}))
    assert "its own model for 'reference' cannot be used: " in planned.no_data["toy/beside"]


def test_resume_refuses_another_reference_and_takes_the_same(home: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "reference"
    shutil.copytree(home / "reference", copy)
    planned = plan(home, tmp_path / "audits", models={"reference": str(copy)})
    folder = start_audit(planned)
    assert run_audit(resume_plan(folder, FOUND), folder).metrics[0].n == 10
    for file in (home / "other").iterdir():
        shutil.copy(file, copy)
    with pytest.raises(UsageError, match="the model for 'reference' of toy/beside has changed since; start a new"):
        resume_plan(folder, FOUND)


def test_a_baseline_under_another_reference_is_no_pair(home: Path, tmp_path: Path) -> None:
    gate = {"id": "g", "metric": "toy/beside/gap", "baseline": {"max_regression": 1.0}}
    policy = Policy.model_validate({"name": "p", "gates": [gate]})
    folders = []
    for name in ("reference", "other"):
        planned = plan(home, tmp_path / name, models={"reference": str(home / name)})
        folders.append(run_audit(planned, start_audit(planned)).folder)
    baseline = Baseline(folders[1], "b", "b")
    with pytest.raises(UsageError, match=r"its data for toy/beside:reference \(a model beside the checkpoint\) differ"):
        compare(policy, folders[0], baseline, found=FOUND)
    assert compare(policy, folders[0], baseline, allow_other_data=True, found=FOUND)


def test_models_say_which_roles_there_are_and_load_none_to_tell() -> None:
    def never() -> Scorer:
        raise AssertionError("loaded")

    fake = FakeScorer(make_info(Need.SEQUENCE_CLASSIFIER))
    models = Models(fake, {"judge": lambda: fake, "encoder": never})
    assert (models.subject, models["judge"], list(models), len(models)) == (fake, fake, ["judge", "encoder"], 2)
    assert "encoder" in models
    assert "reference" not in models
    with pytest.raises(AuditError, match=r"no model has the role 'reference' \(there are: judge, encoder\)"):
        models["reference"]
    probe = Beside()
    assert probe.within(models).others is models
    assert probe.others == {}
