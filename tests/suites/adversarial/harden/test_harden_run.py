"""A hardening from end to end on a tiny classifier."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.api.progress import Watch
from harness.campaign.changes import Change
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.data.datasets import load_dataset
from harness.data.schemas import LabelledTexts
from harness.errors import UsageError
from harness.record.folder import AuditFolder
from harness.record.rows import read_rows
from privacy.training import train
from suites.adversarial.harden import HardeningResult, HardenSpec, run_hardening
from suites.adversarial.harden.table import markdown
from suites.adversarial.harden.texts import chosen
from tests.privacy.toys import opinions
from tests.suites.adversarial.harden.toy import HELD_OUT, N, classes, digest, make_spec, manifest_of, train_spec

PROBE = "adversarial/deepwordbug"


@pytest.fixture(scope="module")
def augmented(tmp_path_factory: pytest.TempPathFactory) -> tuple[HardenSpec, HardeningResult]:
    spec = make_spec(tmp_path_factory.mktemp("augment"), weight=2)
    return spec, run_hardening(spec)


# --- what is made ---------------------------------------------------------------------------------------------------


def test_before_is_the_training_itself(augmented: tuple[HardenSpec, HardeningResult], tmp_path: Path) -> None:
    spec, result = augmented
    train(train_spec(spec, output=tmp_path / "plain"))
    assert digest(tmp_path / "plain") == digest(result.folder / "before")


def test_after_is_trained_on_the_clean_and_the_adversarial_texts(
    augmented: tuple[HardenSpec, HardeningResult], tmp_path: Path
) -> None:
    spec, result = augmented
    rows = read_rows(result.folder / "rounds" / "1", PROBE)
    won = rows[rows["outcome"] == "succeeded"]
    flipped = list(zip(won["text"], won["perturbed_text"], strict=True))
    texts = pd.read_parquet(result.folder / "rounds" / "1" / "texts.parquet").to_dict("records")
    clean = opinions(N, seed=1)
    assert texts[:N] == clean
    true = {record["text"]: record["label"] for record in clean}
    added = [{"text": changed, "label": true[text]} for text, changed in flipped]
    assert sorted(map(str, texts[N:])) == sorted(map(str, added * 2))  # weight 2
    assert {record["text"] for record in added}.isdisjoint(true)
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in texts))
    by_hand = {"base": str(result.folder / "before"), "data": str(tmp_path / "texts.jsonl"), "held_out": None}
    train(train_spec(spec, **by_hand, epochs=2, seed=1, output=tmp_path / "by_hand"))
    assert digest(tmp_path / "by_hand") == digest(result.folder / "after")


def test_the_rows_are_of_the_share_drawn_and_of_the_checkpoint_before(
    augmented: tuple[HardenSpec, HardeningResult],
) -> None:
    spec, result = augmented
    rows = read_rows(result.folder / "rounds" / "1", PROBE)
    texts = [record["text"] for record in opinions(N, seed=1)]
    assert sorted(rows["text"]) == sorted(texts[at] for at in chosen(N, 0.5, spec.seed, 1))
    for column, seen in (("text", "predicted"), ("perturbed_text", "final_predicted")):
        known = rows[rows[column].notna()]
        assert classes(result.folder / "before", list(known[column])) == known[seen].astype(int).tolist()


def test_the_manifest_says_how_it_was_hardened(augmented: tuple[HardenSpec, HardeningResult]) -> None:
    spec, result = augmented
    before, after = manifest_of(result.folder / "before"), manifest_of(result.folder / "after")
    record = after.hardening
    assert record is not None
    assert before.hardening is None
    assert (record.method, record.recipe, record.recipe_version, record.resources) == (
        "augment",
        "deepwordbug",
        "1",
        "",
    )
    assert (record.share, record.weight, record.settings) == (0.5, 2, json.loads(json.dumps(spec.canonical())))
    (one,) = record.rounds
    rows = read_rows(result.folder / "rounds" / "1", PROBE)
    counts = {str(name): int(n) for name, n in rows["outcome"].value_counts().items()}
    assert (one.attacked, one.errors) == (N // 2, 0)
    assert {name: getattr(one, name) for name in counts} == counts
    assert 0 < one.added == one.succeeded
    assert one.queries == rows["queries"].sum()
    assert one.seconds == pytest.approx(rows["seconds"].sum())
    texts = load_dataset(
        after.members.model_copy(update={"source": str(result.folder / "rounds/1/texts.parquet")}), LabelledTexts
    )
    assert (one.texts_digest, len(texts)) == (texts.digest, N + 2 * one.added)


def test_the_manifest_is_that_of_the_whole_training(augmented: tuple[HardenSpec, HardeningResult]) -> None:
    _, result = augmented
    before = manifest_of(result.folder / "before")
    for name in ("after", "control"):
        made = manifest_of(result.folder / name)
        info = inspect_checkpoint(CheckpointSource(source=str(result.folder / name)))
        assert info.fingerprint.weights == made.weights
        assert (made.base, made.members, made.non_members) == (before.base, before.members, before.non_members)
        assert load_dataset(made.members, LabelledTexts).digest == made.members_digest
        assert made.steps > before.steps
        assert made.losses[: len(before.losses)] == before.losses
        assert len(made.losses) == 8 + 2


def test_the_control_goes_on_with_clean_texts_alone(
    augmented: tuple[HardenSpec, HardeningResult], tmp_path: Path
) -> None:
    spec, result = augmented
    by_hand = {"base": str(result.folder / "before"), "held_out": None, "epochs": 2, "seed": 1}
    train(train_spec(spec, **by_hand, output=tmp_path / "by_hand"))
    assert digest(tmp_path / "by_hand") == digest(result.folder / "control")


# --- what is said of it ---------------------------------------------------------------------------------------------


def rows_of(result: HardeningResult, name: str, probe: str) -> dict[str, Any]:
    (checkpoint,) = [one for one in result.report.checkpoints if one.name == name]
    rows = AuditFolder(result.folder / checkpoint.audit).rows(probe)
    return {str(row.case_id): row for row in rows.itertuples()}


def right(row: Any, end: str) -> bool:
    if end == "after_attack_accuracy" and not pd.isna(row.final_predicted):
        return bool(row.final_predicted == row.label)
    return bool(row.predicted == row.label)


@pytest.mark.parametrize("against", ["before", "control"])
@pytest.mark.parametrize(
    ("probe", "end"),
    [("quality/classification", "accuracy"), (PROBE, "clean_accuracy"), (PROBE, "after_attack_accuracy")],
)
def test_differences_are_those_counted_by_hand(
    augmented: tuple[HardenSpec, HardeningResult], against: str, probe: str, end: str
) -> None:
    _, result = augmented
    made = found(result, against, f"{probe}/{end}")
    ours, theirs = rows_of(result, "after", probe), rows_of(result, against, probe)
    assert ours.keys() == theirs.keys()
    now = {case: right(row, end) for case, row in ours.items()}
    then = {case: right(row, end) for case, row in theirs.items()}
    became_right = sorted(case for case in now if now[case] and not then[case])
    became_wrong = sorted(case for case in now if then[case] and not now[case])
    assert made.n == len(now) == HELD_OUT
    assert made.before == pytest.approx(sum(then.values()) / HELD_OUT)
    assert made.after == pytest.approx(sum(now.values()) / HELD_OUT)
    assert made.difference == pytest.approx((sum(now.values()) - sum(then.values())) / HELD_OUT)
    assert (list(made.right_ids), list(made.wrong_ids)) == (became_right, became_wrong)
    assert (made.became_right, made.became_wrong) == (len(became_right), len(became_wrong))
    assert made.p == pytest.approx(by_enumeration(len(became_right), len(became_wrong)))
    assert made.low is not None
    assert made.high is not None
    assert made.difference is not None
    assert made.low <= made.difference <= made.high


def by_enumeration(one: int, other: int) -> float:
    n = one + other
    tail = sum(math.comb(n, k) for k in range(min(one, other) + 1))
    return min(1.0, 2.0 * tail / float(2**n))


def found(result: HardeningResult, against: str, key: str) -> Change:
    (comparison,) = [one for one in result.report.comparisons if one.against == against]
    (change,) = [one for one in comparison.changes if one.metric == key]
    return change


def test_the_reports_hold_the_same_numbers(augmented: tuple[HardenSpec, HardeningResult]) -> None:
    _, result = augmented
    written = json.loads((result.folder / "hardening.json").read_text())
    assert written == result.report.model_dump(mode="json")
    page = (result.folder / "hardening.md").read_text()
    assert "macro" in page  # is said to be left out
    assert "McNemar" in page
    assert page == markdown(result.report)
    assert result.files[0] == result.folder / "after"


# --- what is refused, and what is said aloud ------------------------------------------------------------------------


def test_again_nothing_is_done_again(augmented: tuple[HardenSpec, HardeningResult]) -> None:
    spec, result = augmented
    said: list[str] = []
    written = (result.folder / "hardening.json").read_bytes()
    again = run_hardening(spec, Watch(said.append))
    assert again.report == result.report
    assert (result.folder / "hardening.json").read_bytes() == written
    assert said == [
        "before: the training as it is; done before",
        "after: hardened before",
        "control; done before",
        *(f"audit of {name}" for name in ("before", "control", "after")),
    ]


def test_another_hardening_is_not_mixed_in(augmented: tuple[HardenSpec, HardeningResult]) -> None:
    spec, result = augmented
    with pytest.raises(UsageError, match=r"holds another hardening \(share: 0\.5 there, 0\.4 asked\).*--replace"):
        run_hardening(spec.model_copy(update={"share": 0.4}))
    with pytest.raises(UsageError, match=r"train\.epochs: 8 there, 9 asked"):
        run_hardening(spec.model_copy(update={"train": spec.train.model_copy(update={"epochs": 9})}))
    with pytest.raises(UsageError, match="holds no hardening; choose another output"):
        run_hardening(spec.model_copy(update={"output": result.folder / "before"}), replace=True)


def test_weights_that_were_changed_are_found_out(augmented: tuple[HardenSpec, HardeningResult], tmp_path: Path) -> None:
    spec, result = augmented
    copied = tmp_path / "out"
    shutil.copytree(result.folder, copied)
    shutil.copy(copied / "control" / "model.safetensors", copied / "after" / "model.safetensors")
    settings = json.loads((copied / "hardening_settings.json").read_text())
    assert settings["recipe"] == "deepwordbug"
    with pytest.raises(UsageError, match="its weights are not those of its manifest"):
        run_hardening(spec.model_copy(update={"output": copied}))
