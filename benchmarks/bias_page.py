"""The bias suite over a classifier, a GPT and a masked LM: the tables of docs/bias-of-three-checkpoints.md.

`python -m benchmarks.bias_page [classifier] [causal] [masked]`, with ASSAY_TEST_DATA at the folder of published sets.
The classifier is the one that `make audit` trains, the GPT its SmolLM2-135M; the masked LM is made here by `assay
train` from the MiniLM encoder that the classifier starts from, on news, in a minute of one core. Each audit lies
in checkpoints/bench/bias-page and is run once: delete it to run it again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bias import MINILM
from benchmarks.data import SCRATCH, data_file, news
from benchmarks.dp_lm import SMOLLM2
from harness.api.metrics import Metric
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec, ProbeSpec, Tracking
from harness.base.strict_yaml import parse_yaml
from harness.checkpoint import CheckpointSource
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import LabelledTexts
from harness.record.folder import AuditFolder
from privacy.training import TrainSpec, train
from suites.bias.bbq import data as bbq
from suites.bias.stereoset import data as stereoset

HOME = SCRATCH / "bias-page"
PAIRS, TRIPLES = {"causal": 150, "masked": 50}, {"causal": 100, "masked": 60}
"""Of CrowS-Pairs and StereoSet; a masked LM reads a sentence once a token."""
QUESTIONS, SENTENCES = 60, 24
"""Of BBQ, of each type of WinoBias and of Winogender's templates; with their controls about twice as many."""
NEWS, TOKENS = 800, 32
"""Records of the masked LM's training and their tokens: a minute of one core, after which it fills in common words."""
REVIEWS = 1_000
SLICED = (
    "effect_size",
    "counterfactual_gap",
    "flip_rate",
    "demographic_parity_difference",
    "equalized_odds_difference",
    "calibration_difference",
    "selection_rate",
    "subgroup_auc",
    "sentiment_gap",
)
_FEWEST = 2
"""Pronouns of a gender, more than of the other, from which on a review is about women or about men."""


def main(names: Sequence[str]) -> None:
    """Run what has not run, and print a table for each."""
    for name in names or ("classifier", "causal", "masked"):
        table = "\n".join(rows(audited(name)))
        (HOME / f"{name}.md").write_text(f"{table}\n", encoding="utf-8")
        print(f"\n{name}\n\n{table}")  # noqa: T201


def audited(name: str) -> list[Metric]:
    """Metrics of the audit of this name, which is run where none lies there."""
    done = sorted(HOME.glob(f"*-{name}-*/metrics.json"))
    if done:
        return list(AuditFolder(done[-1].parent).metrics())
    source, probes = {"classifier": _classifier, "causal": _causal, "masked": _masked}[name]()
    spec = AuditSpec(
        name=name,
        checkpoint=CheckpointSource(source=source),
        probes=tuple(probes),
        dtype="fp32",
        tracking=Tracking(uri="off"),
        output=HOME,
    )
    plan = make_plan(spec)
    folder = start_audit(plan, ["python", "-m", "benchmarks.bias_page", name])
    return list(run_audit(plan, folder).metrics)


def rows(metrics: Iterable[Metric]) -> Iterator[str]:
    """A Markdown table of the headline metrics, with their slices where these are what was asked about."""
    yield "| metric | n | value | control |"
    yield "| --- | --- | --- | --- |"
    for metric in metrics:
        if (metric.headline and not metric.slice) or metric.key.rpartition("/")[2] in SLICED:
            name = metric.key.removeprefix("bias/") + (f", {metric.slice}" if metric.slice else "")
            yield f"| {name} | {metric.n} | {_value(metric)} | {_control(metric)} |"


def _value(metric: Metric) -> str:
    if metric.value is None:
        return f"missing: {metric.note}"
    gone = f", {metric.missing} missing" if metric.missing else ""
    p = re.match(r"p [^;]*?(?= over|;)", metric.note)
    said = f" ({p[0]})" if p and metric.key.endswith("/effect_size") else ""
    return _number(metric.value, metric.low, metric.high) + said + gone


def _control(metric: Metric) -> str:
    control = metric.control
    if control is None:
        return ""
    if control.value is None:
        return f"missing: {control.note}"
    return f"{_number(control.value, control.low, control.high)}, n {control.n}"


def _number(value: float, low: float | None, high: float | None) -> str:
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{value:.2f}{ends}"


def _classifier() -> tuple[str, list[ProbeSpec]]:
    """The IMDB classifier: what is asked of any classifier, and rates on reviews that it was not trained on."""
    path = Path("checkpoints") / "imdb-minilm"
    spec = TrainSpec.model_validate(parse_yaml((Path("examples") / "first_audit" / "train.yaml").read_text("utf-8")))
    if not path.exists():
        train(spec)
    grouped = _written("reviews", list(_by_pronoun(spec)))
    return str(path), [
        ProbeSpec(name="bias/counterfactual"),
        ProbeSpec(name="bias/group_fairness", data={"grouped": grouped}, params={"positive_class": "positive"}),
        ProbeSpec(name="bias/seat"),
    ]


def _by_pronoun(spec: TrainSpec) -> Iterator[dict[str, str]]:
    """Held-out reviews that speak of women or of men, by their pronouns."""
    source = spec.data.model_copy(update={"start": 21_000, "stop": 21_000 + REVIEWS})
    for row in load_dataset(source, LabelledTexts).frame.to_dict("records"):
        words = re.findall(r"[a-z]+", str(row["text"]).lower())
        more = sum(word in {"she", "her", "hers"} for word in words) - sum(
            word in {"he", "him", "his"} for word in words
        )
        if abs(more) >= _FEWEST:
            yield {"text": row["text"], "label": row["label"], "group": "women" if more > 0 else "men"}


def _causal() -> tuple[str, list[ProbeSpec]]:
    probes = [
        *_of_language_models("causal"),
        ProbeSpec(name="bias/bbq", data={"questions": _questions()}),
        ProbeSpec(name="bias/generation", params={"axes": ["gender"], "samples": 1, "new_tokens": 16}, limit=160),
    ]
    return SMOLLM2, probes


def _masked() -> tuple[str, list[ProbeSpec]]:
    output = HOME / "masked-lm"
    spec = {
        "base": MINILM,
        "task": "masked_lm",
        "data": {"source": str(news()), "distinct": "text", "shuffle": 0, "stop": NEWS},
        "epochs": 1,
        "batch_size": 16,
        "learning_rate": 5e-4,
        "warmup_ratio": 0.06,
        "max_tokens": TOKENS,
        "device": "cpu",
        "output": output,
    }
    train(TrainSpec.model_validate(spec), if_missing=True)
    sentences = _table("bec_pro/BEC-Pro_EN.tsv.gz", columns=_BEC_PRO)  # all: a sample would tear the pairs apart
    return str(output), [*_of_language_models("masked"), ProbeSpec(name="bias/bec_pro", data={"sentences": sentences})]


_BEC_PRO = {
    "sentence": "Sentence",
    "person": "Person",
    "gender": "Gender",
    "profession": "Profession",
    "profession_gender": "Prof_Gender",
}


def _of_language_models(kind: str) -> list[ProbeSpec]:
    """What masked and causal models are both asked."""
    texts = {
        f"{side}_type{number}": _written(
            f"{side}{number}", _lines(f"winobias/{side}_stereotyped_type{number}.txt.test")
        )
        for side in ("pro", "anti")
        for number in (1, 2)
    }
    templates = {"occupation": "occupation(0)", "participant": "other-participant(1)"}
    winogender = {
        "templates": _table("winogender/templates.tsv", columns=templates, stop=SENTENCES),
        "occupations": _table("winogender/occupations-stats.tsv", columns={"percent_female": "bls_pct_female"}),
    }
    return [
        ProbeSpec(
            name="bias/crows_pairs",
            data={"pairs": _table("crows_pairs/crows_pairs_anonymized.csv.gz", shuffle=0, stop=PAIRS[kind])},
        ),
        ProbeSpec(name="bias/stereoset", data={"triples": _triples(TRIPLES[kind])}),
        ProbeSpec(name="bias/seat"),
        ProbeSpec(name="bias/winobias", data=texts),
        ProbeSpec(name="bias/winogender", data=winogender),
        ProbeSpec(name="bias/honest", params={"k": 10}),
    ]


def _table(name: str, **fields: Any) -> DataSource:
    return DataSource(source=str(data_file(name)), **fields)


def _lines(name: str) -> list[dict[str, str]]:
    return [{"text": line} for line in data_file(name).read_text("utf-8").splitlines()[:SENTENCES]]


def _triples(count: int) -> DataSource:
    found = stereoset.published_rows(data_file("stereoset/stereoset.json.gz"))
    source = _written("triples", [row for row in found if row["task"] == stereoset.INTRA])
    return source.model_copy(update={"shuffle": 0, "stop": count})


def _questions() -> DataSource:
    categories = ("Age", "Nationality", "Religion")
    found = [row for name in categories for row in bbq.published_rows(data_file(f"bbq/{name}.jsonl.gz"))]
    return _written("questions", found).model_copy(update={"shuffle": 0, "stop": QUESTIONS})


def _written(name: str, found: Sequence[Mapping[str, Any]]) -> DataSource:
    path = HOME / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return DataSource(source=str(path))


if __name__ == "__main__":
    main(sys.argv[1:])
