"""Adversarial training texts: a share of the training texts is attacked, and what flips is added under its true class.

The rows of the attack are durable as those of an audit are: an interrupted attack goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.api.probe import Plan
from harness.api.progress import OnProgress
from harness.api.registry import find_probes, pick
from harness.base.files import write_atomic
from harness.checkpoint import CheckpointInfo, CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.data.datasets import Dataset, DataSource, frame_digest
from harness.errors import AuditError
from harness.executors import in_parts
from harness.provenance.manifest import HardeningRound
from harness.record.rows import RowStore
from privacy.training.data.load import TrainingData
from suites.adversarial.attacks.probe import AttackProbe
from suites.adversarial.harden.spec import HardenSpec

TEXTS = "texts.parquet"
_COLUMNS = ["text", "pair", "label"]


def attack_round(
    spec: HardenSpec, number: int, data: TrainingData, victim: Path, folder: Path, on_cases: OnProgress
) -> HardeningRound:
    """Attack the round's share of the training texts of the checkpoint `victim`; write the texts to train on.

    The rows lie in `folder` as those of an audit do, the texts in `folder`/texts.parquet: the clean ones in order,
    then each adversarial one `weight` times. Raises AuditError where every attack broke.
    """
    clean = clean_texts(data)
    rows = _attack(spec, number, clean, victim, folder, on_cases)
    added = adversarial_texts(rows, data.label_names)
    texts = pd.concat([clean, *[added] * spec.weight], ignore_index=True)
    write_atomic(folder / TEXTS, lambda scratch: texts.to_parquet(scratch, index=False))
    outcomes = rows["outcome"].value_counts()
    return HardeningRound(
        number=number,
        attacked=len(rows),
        **{name: int(outcomes.get(name, 0)) for name in ("succeeded", "failed", "skipped")},
        errors=int((rows["status"] == "error").sum()),
        added=len(added),
        queries=int(rows["queries"].sum()),
        seconds=float(rows["seconds"].sum()),
        texts_digest=frame_digest(texts),
    )


def clean_texts(data: TrainingData) -> pd.DataFrame:
    """The training texts, with the names of their classes as labels."""
    columns: dict[str, Sequence[str]] = {"text": data.texts}
    if data.pairs is not None:
        columns["pair"] = data.pairs
    return pd.DataFrame({**columns, "label": [data.label_names[index] for index in data.labels]})


def chosen(n: int, share: float, seed: int, number: int) -> list[int]:
    """Which of n training texts are attacked in a round: ceil(share * n) of them, drawn anew in each, in order."""
    order = np.random.default_rng([seed, number]).permutation(n)
    return sorted(order[: math.ceil(share * n)].tolist())


def adversarial_texts(rows: pd.DataFrame, label_names: Sequence[str]) -> pd.DataFrame:
    """What attacks that succeeded made of their texts, under the true classes; blank texts are no texts to train on."""
    won = rows[(rows["status"] == "ok") & (rows["outcome"] == "succeeded")]
    made = pd.DataFrame(
        {
            "text": won["perturbed_text"].astype(object),
            "pair": won["perturbed_pair"].astype(object),
            "label": [label_names[int(index)] for index in won["label"]],
        }
    )
    if made["pair"].isna().all():
        made = made.drop(columns="pair")
    blank = [not all(str(value).strip() for value in record) for record in made.itertuples(index=False)]
    return made[~np.array(blank, dtype=bool)].reset_index(drop=True)


def _attack(
    spec: HardenSpec, number: int, clean: pd.DataFrame, victim: Path, folder: Path, on_cases: OnProgress
) -> pd.DataFrame:
    """Rows of the attack in the order of the training texts; runs what has no row yet."""
    info = inspect_checkpoint(CheckpointSource(source=str(victim)))
    probe = _probe(spec, number)
    picked = clean.iloc[chosen(len(clean), spec.share, spec.seed, number)].reset_index(drop=True)
    source = DataSource(source=spec.train.data.source)
    examples = Dataset(picked, source, frame_digest(picked))
    cases = probe.cases(Plan(info, spec.seed, {"examples": examples}))
    store = RowStore(folder, probe.name, probe.Row)
    done = store.done()
    pending = [case for case in cases if case.id not in done]
    if pending:
        what = f"attack on training texts, round {number}"
        finished = len(cases) - len(pending)
        on_cases(what, finished, len(cases))
        for part in in_parts(probe, _scorer(info, spec), pending):
            store.append(part)
            finished += len(part)
            on_cases(what, finished, len(cases))
    rows = store.read().set_index("case_id").loc[[case.id for case in cases]].reset_index()
    broken = rows[rows["status"] == "error"]
    if len(broken) and not rows["outcome"].isin(["succeeded", "failed"]).any():  # skipped texts were not attacked
        raise AuditError(
            f"{folder}: every attack on a training text broke, the first with {broken['error'].iloc[0]!r}; "
            "see the rows there"
        )
    return rows


def _probe(spec: HardenSpec, number: int) -> AttackProbe:
    """The probe of the recipe."""
    (kind,) = pick(find_probes(), f"adversarial/{spec.recipe}")
    assert issubclass(kind, AttackProbe)
    return kind(spec.attack_params(number))


def _scorer(info: CheckpointInfo, spec: HardenSpec) -> Any:
    from harness.scorer.hf import HFScorer

    return HFScorer(load_checkpoint(info, device=spec.train.device, dtype="fp32"))
