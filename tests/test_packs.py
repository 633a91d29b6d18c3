"""The packs are valid, read the columns that the hub's data sets have, and their gates are about what they measure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest

from harness.api.registry import find_probes
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec, load_spec
from harness.base.validation import read_yaml
from harness.cli import main
from harness.errors import Exit
from harness.gate.decide import Outcome, load_policy
from tests.tiny import make_checkpoint

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "packs").rglob("*.yaml"))
SPECS = [path for path in FILES if "gates" not in read_yaml(path)]
N = 36
INTENTS = ["balance", "transfer", "oos"]
SENTIMENT = ["negative", "neutral", "positive"]


def texts(what: str) -> list[str]:
    return [f"the old {what} was good on day {i} for the young doctor" for i in range(N)]


def hub(name: str, config: str | None, *, split: str, revision: str | None) -> datasets.Dataset:
    """A few made-up rows under the names, splits, columns and types that the hub's data set has."""
    label = [i % 3 for i in range(N)]
    made: dict[tuple[str, str | None, str], Callable[[], Mapping[str, Sequence[Any]]]] = {
        ("clinc/clinc_oos", "plus", "test"): lambda: {"text": texts("query"), "intent": label},
        ("mteb/banking77", None, "test"): lambda: banking("test", label),
        ("mteb/banking77", None, "train"): lambda: banking("train", label),
        ("lmassaron/FinancialPhraseBank", None, "test"): lambda: {
            "sentiment": [SENTIMENT[i] for i in label],
            "sentence": texts("share"),
            "label": label,
        },
        ("qiaojin/PubMedQA", "pqa_labeled", "train"): lambda: {
            "pubid": label,
            "question": texts("question"),
            "context": [{"contexts": ["a", "b"]}] * N,
            "long_answer": texts("answer"),
            "final_decision": [["yes", "no", "maybe"][i] for i in label],
        },
    }
    found = datasets.Dataset.from_dict(dict(made[name, config, split]()))
    classes = {"clinc/clinc_oos": ("intent", INTENTS), "lmassaron/FinancialPhraseBank": ("label", SENTIMENT)}
    if name in classes:
        column, names = classes[name]
        found = found.cast_column(column, datasets.ClassLabel(names=names))
    return found


def banking(split: str, label: list[int]) -> dict[str, list[Any]]:
    return {"text": texts(f"{split} card"), "label": label, "label_text": [f"intent_{i}" for i in label]}


CLASSES = {
    "intents": INTENTS,
    "banking": ["intent_0", "intent_1", "intent_2"],
    "sentiment": SENTIMENT,
    "questions": ["yes", "no", "maybe"],
}
"""Of the checkpoint of each spec; the others take any that embeds."""
TAGGER = "entities"
TAGGED = [
    {"tokens": "the old doctor was good", "tags": "O O B O O"},
    {"tokens": "a film , a book", "tags": "O B O O B"},
]


def checkpoint(folder: Path, spec: str) -> Path:
    """A tiny model: a tagger, a classifier of the spec's classes, or one that embeds."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if spec == TAGGER:
        return make_checkpoint(folder / "model", "bert", "token_classifier")
    names = CLASSES.get(spec)
    base = make_checkpoint(folder / "base", "bert", "base")
    if names is None:
        return base
    labels = dict(enumerate(names))
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(names), id2label=labels)
    model.save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "model")
    return folder / "model"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["assay", "validate", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == Exit.PASS


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_pack_runs_and_its_gates_are_about_what_it_measures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(datasets, "load_dataset", hub)
    written = load_spec(path).model_dump(exclude={"checkpoint", "output", "limits"})
    if any(probe["name"] not in find_probes().probes for probe in written["probes"]):
        pytest.skip("needs a probe that is not here")
    if path.stem == TAGGER:
        (tmp_path / "tagged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TAGGED))
        written["data"] = {"tagged": str(tmp_path / "tagged.jsonl")}
    source = str(checkpoint(tmp_path, path.stem))
    few = {"checkpoint": source, "output": tmp_path / "audits", "limits": {"cases": 12}, "tracking": {"uri": "off"}}
    plan = make_plan(AuditSpec.model_validate({**written, **few}))
    assert [planned.probe.name for planned in plan.probes] == [probe.name for probe in plan.spec.probes]
    result = run_audit(plan, start_audit(plan))
    assert plan.spec.policy is not None
    values = {metric.key: metric.value for metric in result.metrics if not metric.slice}
    for gate in plan.spec.policy.gates:
        assert values[gate.metric] is not None, gate.metric
    verdict = result.folder.verdict()
    assert verdict is not None
    assert verdict.outcome is not Outcome.PASS  # a random model, and twelve cases


def test_every_spec_is_in_the_readme_with_its_data() -> None:
    lines = [line for line in (ROOT / "packs" / "README.md").read_text().splitlines() if ".yaml`" in line]
    named = {match[1]: line for line in lines if (match := re.search(r"`(\w+/\w+\.yaml)`", line))}
    assert set(named) == {path.relative_to(ROOT / "packs").as_posix() for path in SPECS}
    for path in SPECS:
        spec = load_spec(path) if Path.cwd() == ROOT else AuditSpec.model_validate({**read_yaml(path), "policy": None})
        sources = {data.source for data in spec.data.values()}
        sources |= {data.source for probe in spec.probes for data in probe.data.values()}
        assert all(f"`{source}`" in named[path.relative_to(ROOT / "packs").as_posix()] for source in sources)


def test_policies_are_used() -> None:
    used = {read_yaml(path)["policy"] for path in SPECS}
    assert used == {path.relative_to(ROOT).as_posix() for path in FILES if path not in SPECS}
    assert all(load_policy(ROOT / name).gates for name in used)
