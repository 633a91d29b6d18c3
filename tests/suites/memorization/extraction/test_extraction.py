from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.case import Case
from harness.api.metrics import Metric
from harness.api.probe import Plan
from harness.api.registry import Found
from harness.api.scorer import TokenRequest
from harness.audit.plan import make_plan
from harness.audit.run import run_audit, start_audit
from harness.audit.spec import AuditSpec, ProbeSpec
from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import Texts
from harness.errors import DataError, UsageError
from harness.scorer.hf import HFScorer
from harness.stats.differences import newcombe
from harness.stats.intervals import clopper_pearson
from privacy.corpus.index import build_index
from privacy.training import train
from suites.memorization.extraction.probe import Extraction, ExtractionParams
from suites.memorization.sides import LICENCE, UNSEEN
from suites.memorization.windows import cut_windows
from tests.privacy.toys import BAD, GOOD, WORDS, make_base, make_spec, write_rows

TRUSTED = Permissions(manifest_sources=True)
"""The records lie beside the checkpoint, as after a training of one's own."""

N = 12
PARAMS = ExtractionParams(prefix_tokens=8, suffix_tokens=10)


def documents(n: int, seed: int) -> list[dict[str, str]]:
    """Random words, so that nothing but memory can continue them."""
    rng = random.Random(seed)
    return [{"text": " ".join(rng.choices([*WORDS, *GOOD, *BAD], k=24))} for _ in range(n)]


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 that learnt its members by heart."""
    folder = tmp_path_factory.mktemp("overfitted")
    base = make_base(folder / "base", "gpt2", "causal_lm", dropout=False)
    sides = {
        name: str(write_rows(folder / f"{name}.jsonl", documents(N, seed))) for name, seed in (("in", 1), ("out", 2))
    }
    fields = {"data": sides["in"], "held_out": sides["out"], "epochs": 100, "learning_rate": 1e-2}
    train(make_spec(folder, base, task="causal_lm", weight_decay=0.0, **fields))
    return folder / "trained"


def info_of(folder: Path) -> CheckpointInfo:
    return inspect_checkpoint(CheckpointSource(source=str(folder)), TRUSTED)


def scorer_of(info: CheckpointInfo) -> HFScorer:
    return HFScorer(load_checkpoint(info, device="cpu"))


def by_key(metrics: list[Metric]) -> dict[str, Metric]:
    return {metric.key: metric for metric in metrics}


def test_members_are_extracted_and_the_control_is_not(overfitted: Path) -> None:
    info = info_of(overfitted)
    probe = Extraction(PARAMS)
    rows = pd.DataFrame(list(probe.run(scorer_of(info), probe.cases(Plan(info, 0)))))
    metrics = by_key(probe.measure(pd.DataFrame(probe.Row.validate(rows))))
    assert metrics["extracted_share"].value is not None
    assert metrics["extracted_share"].value > 0.9
    assert metrics["control_share"].value == 0
    assert metrics["matched_tokens"].value is not None
    assert metrics["matched_tokens"].value > 9
    assert metrics["control_matched_tokens"].value is not None
    assert metrics["control_matched_tokens"].value < 2
    assert metrics["extracted_minus_control"].low is not None
    assert metrics["extracted_minus_control"].low > 0.5
    assert rows.loc[rows["side"] == "texts", "logprob"].mean() > rows.loc[rows["side"] == "control", "logprob"].mean()


def test_what_is_matched_is_the_run_of_tokens_the_model_ranks_first(overfitted: Path) -> None:
    """Free-running greedy decoding and one forward pass over the true text agree on where the model first errs."""
    info = info_of(overfitted)
    probe, scorer = Extraction(PARAMS), scorer_of(info)
    cases = probe.cases(Plan(info, 0))
    rows = {row["case_id"]: row for row in probe.run(scorer, cases)}
    for case in cases:
        tokens = scorer.encode(case.data["text"], special=False)[:18]
        (scores,) = scorer.ask([TokenRequest(tokens[:8], tokens[8:])])
        run = int(np.argmin([*scores.greedy, False]))
        assert (rows[case.id]["matched"], rows[case.id]["exact"]) == (run, run == 10)
        assert rows[case.id]["logprob"] == pytest.approx(float(scores.logprobs.sum()), abs=1e-3)
        assert rows[case.id]["suffix"] == scorer.decode(tokens[8:])


def test_a_text_without_enough_tokens_is_an_error_row(overfitted: Path) -> None:
    info = info_of(overfitted)
    case = Case("a", {"side": "texts", "document": 0, "offset": 0, "text": "film film film"})
    (row,) = Extraction(PARAMS).run(scorer_of(info), [case])
    assert (row["status"], row["error"]) == ("error", f"too short: {row['error'].split()[2]} tokens, 18 needed")


def test_a_model_that_reads_too_few_tokens_is_an_error_row(overfitted: Path) -> None:
    info = info_of(overfitted)
    case = Case("a", {"side": "texts", "document": 0, "offset": 0, "text": " ".join(["film"] * 150)})
    (row,) = Extraction(ExtractionParams(prefix_tokens=100, suffix_tokens=40)).run(scorer_of(info), [case])
    assert row["error"] == "the model reads 128 tokens, 140 needed"


def test_tokenizers_that_start_with_bos_prompt_with_it(tmp_path: Path) -> None:
    start = make_base(tmp_path / "base", "llama", "causal_lm", dropout=False)
    data = write_rows(tmp_path / "in.jsonl", documents(6, seed=1))
    spec = make_spec(tmp_path, start, task="causal_lm", data=str(data), epochs=80, learning_rate=1e-2, weight_decay=0.0)
    train(spec)
    info = info_of(tmp_path / "trained")
    probe = Extraction(PARAMS)
    cases = [case for case in probe.cases(Plan(info, 0)) if case.data["side"] == "texts"]
    rows = list(probe.run(scorer_of(info), cases))
    assert sum(row["exact"] for row in rows) >= 5
    assert not any("<s>" in row["prefix"] for row in rows)


def test_default_data_are_the_manifests_sides_else_the_licence_and_the_packaged_control(overfitted: Path) -> None:
    info = info_of(overfitted)
    assert info.manifest is not None
    trained = Extraction.default_data(info)
    assert (trained["texts"], trained["control"]) == (info.manifest.members, info.manifest.non_members)
    assert Extraction.default_data(replace(info, manifest=None)) == {"texts": LICENCE, "control": UNSEEN}
    no_held_out = info.manifest.model_copy(update={"non_members": None})
    assert Extraction.default_data(replace(info, manifest=no_held_out))["control"] == UNSEEN


def test_an_audit_plans_and_records_the_manifests_sides(overfitted: Path) -> None:
    spec = AuditSpec(checkpoint=CheckpointSource(source=str(overfitted)), probes=(ProbeSpec(name=Extraction.name),))
    (planned,) = make_plan(spec, Found({Extraction.name: Extraction}, {}), permissions=TRUSTED).probes
    manifest = info_of(overfitted).manifest
    assert manifest is not None
    assert planned.data["texts"].digest == manifest.members_digest
    assert planned.data["control"].digest == manifest.non_members_digest
    assert len(planned.cases) == 2 * N


def test_changed_members_are_refused(overfitted: Path, tmp_path: Path) -> None:
    info = info_of(overfitted)
    assert info.manifest is not None
    other = DataSource(source=str(write_rows(tmp_path / "other.jsonl", documents(N, 3))))
    with pytest.raises(DataError, match="not the members of the training manifest"):
        Extraction(PARAMS).cases(Plan(replace(info, manifest=info.manifest.model_copy(update={"members": other})), 0))


def test_paragraphs_of_a_text_file_are_windows_of_one_text(overfitted: Path, tmp_path: Path) -> None:
    (tmp_path / "LICENCE").write_text("\n\n".join(["a good film"] * 60))
    source = DataSource(source=str(tmp_path / "LICENCE"), format="txt")
    control = load_dataset(UNSEEN, Texts)
    plan = Plan(
        replace(info_of(overfitted), manifest=None), 0, {"texts": load_dataset(source, Texts), "control": control}
    )
    joined = [case.data for case in Extraction(PARAMS).cases(plan) if case.data["side"] == "texts"]
    assert len(joined) == 60 * 13 // 111  # windows of 108 characters end with their word, and a gap follows
    assert {data["document"] for data in joined} == {0}
    apart = [
        case.data
        for case in Extraction(PARAMS.model_copy(update={"joined": False})).cases(plan)
        if case.data["side"] == "texts"
    ]
    assert [data["document"] for data in apart] == list(range(60))


def test_windows_start_at_words_and_do_not_overlap() -> None:
    text = "  one two three four five six seven eight nine ten eleven"
    found = list(cut_windows(text, 10, None))
    assert found == [(2, "one two three"), (16, "four five six"), (30, "seven eight"), (42, "nine ten eleven")]
    assert list(cut_windows(text, 10, 2)) == found[:2]
    assert list(cut_windows("short", 10, 5)) == [(0, "short")]
    assert list(cut_windows("   ", 10, 5)) == []


def table(
    exact: dict[str, list[int]], matched: dict[str, list[int]], document: list[int] | None = None
) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {
                "case_id": [f"{side}{index}" for index in range(len(flags))],
                "status": "ok",
                "error": None,
                "side": side,
                "document": document or list(range(len(flags))),
                "exact": [bool(flag) for flag in flags],
                "matched": matched[side],
                "edit": [0.0 if flag else 1.0 for flag in flags],
                "bleu": [1.0 if flag else 0.0 for flag in flags],
                "chance": [1.0 if flag else 0.0 for flag in flags],
                "sampled": pd.array([None] * len(flags), dtype="Int64"),
                "bucket": "",
            }
        )
        for side, flags in exact.items()
    ]
    return pd.concat(frames, ignore_index=True)


def test_metrics_equal_their_formulas() -> None:
    exact = {"texts": [1, 1, 0, 0, 0], "control": [0, 0, 0, 1]}
    matched = {"texts": [50, 50, 3, 0, 7], "control": [1, 0, 2, 50]}
    metrics = by_key(Extraction().measure(table(exact, matched)))
    assert metrics["extracted_share"].value == 0.4
    expected = clopper_pearson(2, 5)
    assert (metrics["extracted_share"].low, metrics["extracted_share"].high) == (expected.low, expected.high)
    assert metrics["control_share"].value == 0.25
    assert metrics["extracted_minus_control"].value == pytest.approx(0.15)
    assert metrics["extracted_minus_control"].high == newcombe(2, 5, 1, 4).high
    assert (metrics["matched_tokens"].value, metrics["control_matched_tokens"].value) == (22.0, 13.25)
    assert metrics["matched_tokens"].interval == "Gaffke bound, 10000 draws"
    assert metrics["matched_tokens"].low is not None
    assert metrics["matched_tokens"].low < 22 < (metrics["matched_tokens"].high or 0)


def test_related_windows_are_said_to_be_related() -> None:
    rows = table({"texts": [1, 1, 0, 0]}, {"texts": [5, 5, 0, 0]}, document=[0, 0, 1, 1])
    metrics = by_key(Extraction().measure(rows))
    assert metrics["extracted_share"].note == "4 windows of 2 texts; windows of one text are related"
    for key in ("extracted_share", "matched_tokens"):
        assert metrics[key].interval == "Gaffke bound, clusters, 10000 draws"
        assert metrics[key].n == 2
    share, alone = metrics["extracted_share"], clopper_pearson(2, 4)
    assert (share.high or 0) - (share.low or 0) > alone.high - alone.low  # two texts, not four windows


def test_missing_sides_and_error_rows_are_missing() -> None:
    failed = pd.DataFrame({"case_id": ["x"], "status": ["error"], "error": ["too short"]})
    metrics = Extraction().measure(failed)
    assert [metric.value for metric in metrics] == [None] * len(metrics)
    assert {metric.missing for metric in metrics} == {1}
    one_side = by_key(Extraction().measure(table({"texts": [0, 1]}, {"texts": [0, 50]})))
    assert one_side["extracted_share"].value == 0.5
    assert one_side["control_share"].value is None
    assert one_side["extracted_minus_control"].value is None


def test_the_packaged_control_is_what_it_should_be() -> None:
    texts = [json.loads(line)["text"] for line in Path(UNSEEN.source).read_text(encoding="utf-8").splitlines()]
    sizes = [len(text.split()) for text in texts]
    assert len(texts) == len(set(texts)) == 60
    assert min(sizes) >= 110
    assert max(sizes) <= 160
    assert len({" ".join(text.split()[:3]) for text in texts}) == 60


def test_cost_is_prefix_and_suffix_twice_and_for_each_sample() -> None:
    assert Extraction().cost([Case("a", {}), Case("b", {})]) == 400
    assert Extraction(ExtractionParams(samples=3)).cost([Case("a", {})]) == 500


def test_what_windows_add_is_clustered_by_their_texts() -> None:
    related = table({"texts": [1, 1, 0, 0]}, {"texts": [5, 5, 0, 0]}, document=[0, 0, 1, 1])
    error = pd.DataFrame({"case_id": ["x"], "status": ["error"], "error": ["too short"]})
    found = Extraction().row_values(pd.concat([related, error], ignore_index=True), "matched_tokens", "")
    assert found is not None
    assert np.asarray(found.above).tolist()[:4] == [5, 5, 0, 0]
    assert np.isnan(np.asarray(found.above)[4])
    assert np.asarray(found.clusters).tolist()[:4] == [0, 0, 1, 1]
    for document in ([0, 0, 0, 0], [0, 1, 2, 3]):  # one text, whose windows are drawn; a window of each
        rows = related.assign(document=document)
        alone = Extraction().row_values(rows, "extracted_share", "")
        assert alone is not None
        assert alone.clusters is None
    assert Extraction().row_values(related, "extracted_minus_control", "") is None


def rows_of(probe: Extraction, folder: Path) -> pd.DataFrame:
    info = info_of(folder)
    rows = pd.DataFrame(list(probe.run(scorer_of(info), probe.cases(Plan(info, 0)))))
    return pd.DataFrame(probe.Row.validate(rows))


def test_members_are_extractable_by_sampling_and_samples_show_it(overfitted: Path) -> None:
    probe = Extraction(PARAMS.model_copy(update={"samples": 20, "n": 20}))
    rows = rows_of(probe, overfitted)
    metrics = by_key(probe.measure(rows))
    assert metrics["np_extractable_share"].value is not None
    assert metrics["np_extractable_share"].value > 0.9
    assert metrics["np_extractable_control_share"].value == 0
    assert metrics["sampled_share"].value is not None
    assert metrics["sampled_share"].value > 0.9
    assert metrics["sampled_control_share"].value == 0
    assert metrics["near_verbatim_share"].value is not None
    assert metrics["near_verbatim_share"].value >= (metrics["extracted_share"].value or 0)
    hits, chances = rows["sampled"].to_numpy(int), rows["chance"].to_numpy(float)
    spread = np.sqrt(20 * (chances * (1 - chances)).sum())
    assert abs(hits.sum() - 20 * chances.sum()) < 4.5 * spread + 1e-6  # what is drawn is what was foretold
    assert (rows["edit"][rows["exact"]] == 0).all()


def test_n_and_p_are_those_of_the_formula() -> None:
    rows = table({"texts": [0] * 5}, {"texts": [0] * 5})
    rows["chance"] = [0.0, 1e-3, 6.9e-3, 6.91e-3, 1.0]  # 1 - 0.5 ** (1 / 100) = 0.0069075
    share = by_key(Extraction().measure(rows))["np_extractable_share"]
    assert share.value == 0.4
    surely = Extraction(ExtractionParams(n=1, p=1.0))
    assert by_key(surely.measure(rows))["np_extractable_share"].value == 0.2
    often = Extraction(ExtractionParams(n=1000, p=0.5))  # 1 - 0.999 ** 1000 = 0.632
    assert by_key(often.measure(rows))["np_extractable_share"].value == 0.8


def test_samples_do_not_hang_on_their_company(overfitted: Path) -> None:
    probe, info = Extraction(PARAMS.model_copy(update={"samples": 3, "temperature": 2.0})), info_of(overfitted)
    cases, scorer = probe.cases(Plan(info, 0))[:6], scorer_of(info)
    together = {row["case_id"]: row["sampled"] for row in probe.run(scorer, cases)}
    assert together == {case.id: row["sampled"] for case in cases for row in probe.run(scorer, [case])}


def test_copies_by_an_index_slice_the_shares(overfitted: Path, tmp_path: Path) -> None:
    texts = [row["text"] for row in documents(N, 1)]
    build_index([*texts, *texts[:6], *texts[:6]], tmp_path / "index")  # the first half is there three times
    probe = Extraction(PARAMS.model_copy(update={"index": str(tmp_path / "index")}))
    rows = rows_of(probe, overfitted)
    mine = rows[rows["side"] == "texts"]
    assert sorted(mine["copies"]) == [1] * 6 + [3] * 6
    assert set(rows[rows["side"] == "control"]["bucket"]) == {""}
    slices = {metric.slice: metric for metric in probe.measure(rows) if metric.key == "extracted_share_by_copies"}
    assert set(slices) == {"", "1 copy", "2-3 copies"}
    assert slices["1 copy"].n == slices["2-3 copies"].n == 6
    assert slices["1 copy"].value == mine[mine["copies"] == 1]["exact"].mean()
    with pytest.raises(UsageError, match="no finished index"):
        Extraction(ExtractionParams(index=str(tmp_path / "none"))).cases(Plan(info_of(overfitted), 0))


def test_an_audit_counts_in_a_small_training_file(overfitted: Path, tmp_path: Path) -> None:
    spec = {
        "checkpoint": str(overfitted),
        "output": str(tmp_path),
        "probes": [{"name": Extraction.name, "params": PARAMS.model_dump()}],
    }
    plan = make_plan(AuditSpec.model_validate(spec), Found({Extraction.name: Extraction}, {}), permissions=TRUSTED)
    result = run_audit(plan, start_audit(plan))
    rows = result.folder.rows(Extraction.name)
    assert rows[rows["side"] == "texts"]["bucket"].tolist() == ["1 copy"] * N
    assert rows[rows["side"] == "control"]["copies"].tolist() == [0] * N
