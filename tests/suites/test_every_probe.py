"""One test visits every registered probe on a tiny checkpoint: whatever is registered keeps the contract."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.case import Case
from harness.api.columns import case_columns
from harness.api.declared import Computed, Declared, MeanOf, RatioOf, ShareOf
from harness.api.metrics import Metric
from harness.api.models import Models
from harness.api.needs import Need
from harness.api.probe import Plan, Probe, ProbeRow
from harness.api.registry import ProbeClass, find_probes
from harness.audit.measure import measure
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import job_of, run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.executors.bench import installed_probe
from harness.record.prepared import KeptOnDisk
from harness.scorer.hf import HFScorer
from privacy.training import TrainSpec, train
from suites.memorization.shadows.train import train_shadows
from tests.suites.adversarial.recipes.ingredients import resources
from tests.suites.quality.lm_eval.local_tasks import write_tasks
from tests.tiny import make_checkpoint

PROBES = find_probes().probes
WORDS = ["the good film was a joy to watch with friends", "a bad story that she did not like at all", "he and i went"]
SETTINGS: dict[str, dict[str, Any]] = {
    "memorization/extraction": {"prefix_tokens": 5, "suffix_tokens": 3, "window_chars": 60, "joined": True},
    "bias/counterfactual": {"axes": ["gender"]},
    "bias/generation": {"axes": ["gender"], "samples": 2, "new_tokens": 6, "fewest": 1},
    "bias/group_fairness": {"fewest": 2},
    "adversarial/clare": {"query_budget": 60},
    "quality/generation": {"decoding": "sample", "samples": 2, "max_new_tokens": 6},
    "quality/multiple_choice": {"form": "letters", "num_fewshot": 2, "choice_orders": 3, "example_orders": 2},
    "memorization/mask_recovery": {"window_tokens": 8, "span_tokens": 2},
    "memorization/pii": {"samples": 2, "candidates": 6, "new_tokens": 8},
    "memorization/untargeted": {"samples": 8, "new_tokens": 8, "match_chars": 4, "top": 3},
    "adversarial/faster_genetic": {"query_budget": 100},
    "adversarial/prompt": {"goal": "likelihood", "query_budget": 60},
    "adversarial/safer": {
        "synonyms": str(Path(__file__).parent / "adversarial" / "synonyms.txt"),
        "samples": 60,
        "selection_samples": 20,
    },
}

HEADS = {"numbers": "regression", "tags": "token_classifier", "answers": "question_answering"}
"""Checkpoints with rarer heads, and which."""

CANARIES = (
    {"kind": "random-tokens", "count": 8, "tokens": 4},
    {"kind": "secret", "count": 4, "pattern": "##", "prefix": "the pin is "},
    {"kind": "pii", "count": 4},
)


def texts(n: int) -> list[str]:
    return [f"{WORDS[i % 3]} number {i} and so on" for i in range(n)]


def own_files(name: str, home: Path) -> dict[str, Any]:
    """Settings that name files of the home."""
    return {"task": "words_by_size", "include_path": str(home / "tasks")} if name == "quality/lm_eval" else {}


def frames() -> dict[str, pd.DataFrame]:
    """Data for every input."""
    frames = {
        "examples": pd.DataFrame(
            {"text": texts(48), "label": [i % 2 for i in range(48)], "score": [i / 10 for i in range(48)]}
        ),
        "inside": pd.DataFrame({"text": texts(6)}),
        "tagged": pd.DataFrame(
            {"tokens": texts(8), "tags": ["O B I O" + " O" * (len(t.split()) - 4) for t in texts(8)]}
        ),
        "tasks": pd.DataFrame({"prompt": texts(8), "references": texts(8)}),
        "completions": pd.DataFrame({"prompt": texts(8), "completion": [f" {text}" for text in texts(8)]}),
        "contexts": pd.DataFrame({"question": "who", "context": texts(8), "answers": "number"}),
        "outside": pd.DataFrame({"text": [text.replace(" ", " not ") for text in texts(6)]}),
        "texts": pd.DataFrame({"text": texts(12)}),
        "passages": pd.DataFrame({"text": texts(12)}),
        "queries": pd.DataFrame({"text": texts(12), "label": [i % 3 for i in range(12)]}),
        "entries": pd.DataFrame({"text": [f"{text} again" for text in texts(9)], "label": [i % 3 for i in range(9)]}),
        "paraphrases": pd.DataFrame({"text": texts(12), "set": [str(i // 3) for i in range(12)]}),
        "items": pd.DataFrame(
            {"question": texts(8), "choices": '["a film", "the bad story", "she"]', "answer": [i % 3 for i in range(8)]}
        ),
        "grouped": pd.DataFrame(
            {"text": texts(24), "label": [i % 2 for i in range(24)], "group": [f"g{i % 3 % 2}" for i in range(24)]}
        ),
        "control": pd.DataFrame({"text": [text[::-1] for text in texts(12)]}),
        "pairs": pd.DataFrame(
            {
                "sent_more": texts(8),
                "sent_less": [text.replace("a ", "one ") for text in texts(8)],
                "bias_type": "gender",
                "stereo_antistereo": "stereo",
            }
        ),
    }
    frames["triples"] = pd.DataFrame(
        {
            "context": [f"the {who} was BLANK on day {day}" for day in range(4) for who in ("doctor", "nurse")],
            **{
                name: [f"the {who} was {word} on day {day}" for day in range(4) for who in ("doctor", "nurse")]
                for name, word in (("stereotype", "good"), ("anti_stereotype", "bad"), ("unrelated", "story"))
            },
            "target": ["doctor", "nurse"] * 4,
            "bias_type": "profession",
        }
    )
    frames["questions"] = pd.DataFrame(
        {
            "context": [f"the old man met the boy on day {day}" for day in range(8)],
            "question": "who was not happy",
            **{f"ans{at}": text for at, text in enumerate(("the old man", "the boy", "not known"))},
            "label": [2, 0, 2, 1, 2, 0, 2, 1],
            "unknown": 2,
            "target": "0",
            "context_condition": ["ambig", "disambig"] * 4,
            "question_polarity": ["neg"] * 4 + ["nonneg"] * 4,
            "category": "Age",
        }
    )
    return frames


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data for every input, and a checkpoint for every need."""
    home = tmp_path_factory.mktemp("every")
    for name, frame in frames().items():
        frame.to_json(home / f"{name}.jsonl", orient="records", lines=True)
    write_tasks(home / "tasks")
    make_checkpoint(home / "base", "bert", "base")
    make_checkpoint(home / "masked", "bert", "masked_lm")
    make_checkpoint(home / "written", "gpt2", "causal_lm")
    for name, head in HEADS.items():
        make_checkpoint(home / name, "bert", head)
    rows = {"data": {"source": str(home / "examples.jsonl"), "stop": 24}}
    rows["held_out"] = {"source": str(home / "examples.jsonl"), "start": 24}
    trained(home / "classifier", home / "base", CANARIES[:1], task="classification", label_names=["0", "1"], **rows)
    train_shadows(home / "classifier", count=4, mode="same", trusted=True)
    trained(home / "causal", home / "written", CANARIES, task="causal_lm", **rows)
    return home


def trained(output: Path, base: Path, canaries: Sequence[dict[str, Any]], **fields: Any) -> None:
    """One epoch, with a manifest and canaries."""
    spec = {"base": str(base), "epochs": 1, "output": str(output), "canaries": {"canaries": canaries}, **fields}
    train(TrainSpec.model_validate(spec))


def checkpoint_for(probe: ProbeClass, home: Path) -> Path:
    """The first checkpoint that offers what the probe needs."""
    for name in ("classifier", "causal", "masked", *HEADS):
        if probe.why_not(inspect_checkpoint(CheckpointSource(source=str(home / name))).offers) is None:
            return home / name
    raise AssertionError(f"no tiny checkpoint offers what {probe.name} needs; add one here")


def plan_for(probe: ProbeClass, home: Path, output: Path) -> AuditPlan:
    spec = {
        "checkpoint": str(checkpoint_for(probe, home)),
        "probes": [
            {
                "name": probe.name,
                "params": {**SETTINGS.get(probe.name, {}), **own_files(probe.name, home)},
                # inputs without a file here (members, non-members) come from the checkpoint's manifest
                "data": {
                    name: str(home / f"{name}.jsonl") for name in probe.inputs if (home / f"{name}.jsonl").exists()
                },
            }
        ],
        "output": str(output),
        "limits": {"cases": 8},
    }
    return make_plan(AuditSpec.model_validate(spec), permissions=Permissions(manifest_sources=True))


@pytest.fixture(scope="module", autouse=True)
def _small_resources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What attacks need, made up and small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ASSAY_RESOURCES", str(resources()["wordnet"].parent))
        yield


@pytest.fixture(params=list(PROBES))
def probe(request: pytest.FixtureRequest) -> ProbeClass:
    return PROBES[request.param]


def test_it_says_what_it_is(probe: ProbeClass) -> None:
    assert probe.__module__.startswith(f"suites.{probe.name.partition('/')[0]}.")
    for text in (probe.about.summary, probe.about.paper, probe.about.cannot_tell, probe.__doc__):
        assert text
        assert len(text) > 10
    assert probe.needs
    assert all(group <= set(Need) for group in probe.needs)
    assert issubclass(probe.Row, ProbeRow)
    assert all(field.description for field in probe.Params.model_fields.values())
    for name, made in probe.Row.to_schema().columns.items():
        assert made.description, f"{name} of {probe.name} does not say what it means"
        assert "\n" not in made.description
        assert "unit" in (made.metadata or {}), f"{name} of {probe.name} has no unit, not even ''"
    assert probe.Params.model_validate(probe.Params().model_dump(mode="json")) == probe.Params()


def test_without_rows_every_metric_is_missing_and_says_why(probe: ProbeClass) -> None:
    metrics = probe().measure(pd.DataFrame(columns=list(probe.Row.to_schema().columns)))
    assert metrics
    assert [metric.value for metric in metrics] == [None] * len(metrics)
    assert all(metric.note for metric in metrics)


def test_it_runs_and_its_numbers_follow_from_its_rows(probe: ProbeClass, home: Path, tmp_path: Path) -> None:
    plan = plan_for(probe, home, tmp_path)
    (planned,) = plan.probes
    job = pickle.loads(pickle.dumps(job_of(plan, planned, planned.cases)))
    assert (installed_probe(find_probes(), job).params, list(job.cases)) == (planned.probe.params, planned.cases)
    result = run_audit(plan, start_audit(plan))
    rows = result.folder.rows(probe.name)
    assert set(rows["case_id"]) == {case.id for case in planned.cases}
    assert (rows["status"] == "ok").any(), rows["error"].tolist()
    assert measure(planned, result.folder) == result.metrics
    assert any(metric.value is not None for metric in result.metrics)
    check_declared(planned.probe, rows, result.metrics)
    check_of_case(planned.probe, planned.cases, rows)
    for metric in result.metrics:
        assert metric.key.startswith(f"{probe.name}/")
        if metric.low is not None and metric.high is not None and metric.value is not None:
            assert metric.low - 1e-9 <= metric.value <= metric.high + 1e-9, metric.key
            assert metric.interval, metric.key
        elif metric.value is not None and metric.key.startswith("bias/"):
            assert metric.note, f"{metric.key} has no interval and does not say why"


def check_declared(probe: Probe[Any], rows: pd.DataFrame, metrics: list[Metric]) -> None:
    """What is measured is what was declared, said alike; what rows add up to is what is measured."""
    named = probe.named()
    measured = {metric.key.rpartition("/")[2] for metric in metrics}
    assert measured <= set(named)
    left = {key for each in probe.declared() for key in keys_left_out(each, rows)}
    assert set(named) - measured <= left, "declared and not measured"
    for metric in metrics:
        key = metric.key.rpartition("/")[2]
        said = named[key]
        assert (metric.better, metric.unit, metric.target) == (said.better, said.unit, said.target), metric.key
        assert metric.bounds == probe.bounds_of(key), metric.key
        values = probe.row_values(rows[[*probe.value_columns([key])]], key, metric.slice)
        sums = any(key == each.key for each in probe.declared() if isinstance(each, MeanOf | RatioOf | ShareOf))
        assert values is not None or not sums, metric.key
        if values is not None and metric.value is not None:
            above = np.asarray(values.above, dtype=np.float64)
            below = np.ones(len(above)) if values.below is None else np.asarray(values.below, dtype=np.float64)
            good = np.isfinite(above) & np.isfinite(below)
            quotient = np.array([above[good].sum() / below[good].sum()])
            value = quotient if values.finish is None else values.finish(quotient)
            assert value[0] == pytest.approx(metric.value, rel=1e-9), metric.key


def check_of_case(probe: Probe[Any], cases: Sequence[Case], rows: pd.DataFrame) -> None:
    """What a failed row would say of its case is what the good one says."""
    told = {case.id: probe.of_case(case) for case in cases}
    for row in rows[rows["status"] == "ok"].to_dict("records"):
        assert set(told[row["case_id"]]) == set(case_columns(probe.Row))
        for name, value in told[row["case_id"]].items():
            assert row[name] == value or (pd.isna(row[name]) and value is None), name


def keys_left_out(declared: Declared, rows: pd.DataFrame) -> set[str]:
    """Metrics about another kind of model, and those of slices that need not occur."""
    if isinstance(declared, Computed) and declared.about is None:
        return {named.key for named in declared.named if named.sliced_only}
    return set() if declared.about is None else {named.key for named in declared.named}


def test_sharded_cases_give_the_same_rows(probe: ProbeClass, home: Path, tmp_path: Path) -> None:
    plan = plan_for(probe, home, tmp_path)
    (planned,) = plan.probes
    scorer = HFScorer(load_checkpoint(plan.info, device="cpu"))
    bound = planned.probe.within(Models(scorer), KeptOnDisk(tmp_path / "kept"))
    if not any(
        role.required for role in planned.probe.roles().values()
    ):  # else it prepares with them, which are not here
        bound.prepare(Models(scorer), Plan(plan.info, plan.spec.seed, planned.data, planned.cases))
    together = rows_by_case(bound.run(scorer, planned.cases))
    apart = rows_by_case(row for case in reversed(planned.cases) for row in bound.run(scorer, [case]))
    assert set(together.columns) == set(apart.columns)
    for column in [column for column in together.columns if not column.startswith("seconds")]:
        if pd.api.types.is_float_dtype(together[column]):
            assert together[column].to_numpy() == pytest.approx(apart[column].to_numpy(), abs=1e-4, nan_ok=True)
        elif (
            not together[column].astype(str).str.contains(r"\d\.\d").any()
        ):  # JSON of floats may differ in the last digit
            assert together[column].astype(str).tolist() == apart[column].astype(str).tolist(), column


def rows_by_case(rows: Any) -> pd.DataFrame:
    return pd.DataFrame(list(rows)).sort_values("case_id", ignore_index=True)
