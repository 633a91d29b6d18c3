"""The same values as lm_eval itself on the same checkpoint, and the same log-likelihoods and texts of each request."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.api.metrics import Metric
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec
from tests.suites.quality.lm_eval.local_tasks import GROUPS, TASKS, write_tasks
from tests.tiny import make_checkpoint

lm_eval = pytest.importorskip("lm_eval")
ATOL = 1e-4
KINDS = ("gpt2", "llama")
"""One whose tokenizer puts no start token before a text, and one whose does."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("lm_eval")
    write_tasks(home / "tasks")
    for kind in KINDS:
        make_checkpoint(home / kind, kind, "causal_lm")
    with pytest.MonkeyPatch.context() as patch:
        import datasets

        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
        yield home


def ours(home: Path, kind: str, output: Path, **params: Any) -> tuple[pd.DataFrame, list[Metric]]:
    spec = {
        "checkpoint": str(home / kind),
        "probes": [{"name": "quality/lm_eval", "params": {"include_path": str(home / "tasks"), **params}}],
        "output": str(output),
        "tracking": {"uri": "off"},
    }
    plan = make_plan(AuditSpec.model_validate(spec))
    result = run_audit(plan, start_audit(plan))
    return result.folder.rows("quality/lm_eval"), result.metrics


def theirs(home: Path, kind: str, task: str, **settings: Any) -> Any:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        model = HFLM(
            pretrained=str(home / kind), batch_size=1, device="cpu", max_length=settings.pop("max_length", None)
        )
        manager = TaskManager(include_path=str(home / "tasks"), include_defaults=False)
        return lm_eval.simple_evaluate(model=model, tasks=[task], task_manager=manager, bootstrap_iters=0, **settings)
    finally:
        logging.disable(before)


def values_of(metrics: list[Metric], part: str) -> dict[str, float | None]:
    return {metric.key.rpartition("/")[2]: metric.value for metric in metrics if metric.slice == part}


def peer_values(results: dict[str, Any]) -> dict[str, float]:
    """Values by our names."""
    found = {}
    for key, value in results.items():
        metric, comma, name = key.partition(",")
        if comma and not metric.endswith("_stderr"):
            found[metric if name == "none" else f"{metric}.{name}"] = float(value)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_values_requests_and_texts_are_those_of_lm_eval(task: str, kind: str, home: Path, tmp_path: Path) -> None:
    shots = 3 if task == "words_choice" else None
    rows, metrics = ours(home, kind, tmp_path, task=task, num_fewshot=shots)
    peer = theirs(home, kind, task, num_fewshot=shots)
    expected = peer_values(peer["results"][task])
    assert len(expected) > 1
    assert values_of(metrics, "") == pytest.approx(expected, rel=1e-5)
    first_filter = peer["samples"][task][0]["filter"]
    samples = [sample for sample in peer["samples"][task] if sample["filter"] == first_filter]
    assert len(samples) == len(rows)
    by_document = rows.set_index("document")
    for sample in samples:
        row = by_document.loc[sample["doc_id"]]
        answers = [each for mine in sample["resps"] for each in mine]
        if task == "words_written":
            assert list(row["texts"]) == answers
        else:
            likelihoods = [each[0] if isinstance(each, tuple) else each for each in answers]
            assert list(row["loglikelihoods"]) == pytest.approx(likelihoods, abs=ATOL)


@pytest.mark.parametrize("task", GROUPS)
def test_groups_have_lm_evals_means(task: str, home: Path, tmp_path: Path) -> None:
    _, metrics = ours(home, "gpt2", tmp_path, task=task)
    peer = theirs(home, "gpt2", task)["results"]
    assert values_of(metrics, "")["acc"] == pytest.approx(peer[task]["acc,none"])
    parts = {metric.slice for metric in metrics} - {""}
    assert parts == set(peer) - {task}
    for part in parts:
        expected = peer_values(peer[part])
        assert {key: values_of(metrics, part)[key] for key in expected} == pytest.approx(expected, rel=1e-5)
    for metric in metrics:
        if metric.key.endswith("/acc"):
            assert metric.low is not None
            assert metric.high is not None
            assert metric.value is not None
            assert metric.low <= metric.value <= metric.high


def test_a_group_that_counts_tasks_alike_is_no_mean_over_documents(home: Path, tmp_path: Path) -> None:
    alike = values_of(ours(home, "gpt2", tmp_path, task="words_alike")[1], "")["acc"]
    by_size = values_of(ours(home, "gpt2", tmp_path, task="words_by_size")[1], "")["acc"]
    assert alike != by_size


def test_a_tag_and_a_list_of_tasks_are_measured_task_by_task(home: Path, tmp_path: Path) -> None:
    _, tagged = ours(home, "gpt2", tmp_path, task="words_tag")
    _, listed = ours(home, "gpt2", tmp_path, task=["words_choice", "words_last"])
    assert tagged == listed
    assert {metric.slice for metric in listed if metric.value is not None} == {"words_choice", "words_last"}


@pytest.mark.parametrize("kind", KINDS)
def test_long_prompts_are_cut_where_lm_eval_cuts_them(kind: str, home: Path, tmp_path: Path) -> None:
    rows, metrics = ours(home, kind, tmp_path, task="words_choice", num_fewshot=4, max_length=24)
    peer = theirs(home, kind, "words_choice", num_fewshot=4, max_length=24)
    assert (rows["truncated"] > 0).all()
    assert values_of(metrics, "") == pytest.approx(peer_values(peer["results"]["words_choice"]), rel=1e-5)
    assert "cut on the left" in next(metric.note for metric in metrics)
    rolled = values_of(ours(home, kind, tmp_path, task="words_rolling", max_length=24)[1], "")
    expected = theirs(home, kind, "words_rolling", max_length=24)["results"]["words_rolling"]
    assert rolled == pytest.approx(peer_values(expected), rel=1e-5)


def test_the_first_documents_are_those_of_lm_evals_limit(home: Path, tmp_path: Path) -> None:
    rows, metrics = ours(home, "gpt2", tmp_path, task="words_choice", num_fewshot=2, limit=4)
    assert sorted(rows["document"]) == [0, 1, 2, 3]
    peer = theirs(home, "gpt2", "words_choice", num_fewshot=2, limit=4)["results"]["words_choice"]
    assert values_of(metrics, "") == pytest.approx(peer_values(peer), rel=1e-5)
