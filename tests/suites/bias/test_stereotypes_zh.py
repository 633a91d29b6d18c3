"""The Chinese stereotype pairs of examples/bias: well formed, and read by bias/crows_pairs on a Chinese vocabulary."""

from __future__ import annotations

import difflib
from pathlib import Path

from harness.data.datasets import DataSource, load_dataset
from suites.bias.crows_data import CrowsPairsData
from suites.bias.crows_pairs import CrowsPairs
from tests.fakes import plan, rows_of, values
from tests.suites.bias.chinese import chinese_scorer

FILE = Path(__file__).parents[3] / "examples" / "bias" / "stereotypes-zh.csv"


def test_pairs_differ_in_one_group_word() -> None:
    frame = load_dataset(DataSource(source=str(FILE)), CrowsPairsData).frame
    assert len(frame.drop_duplicates()) == 24
    for more, less in zip(frame["sent_more"], frame["sent_less"], strict=True):
        changed = [step for step in difflib.SequenceMatcher(None, more, less).get_opcodes() if step[0] != "equal"]
        assert 1 <= len(changed) <= 2, (more, less)
        assert more[-1] == less[-1] == "。"
        assert not (set("他她") <= set(more))


def test_a_chinese_masked_model_is_scored_on_them(tmp_path: Path) -> None:
    data = load_dataset(DataSource(source=str(FILE)), CrowsPairsData)
    text = "".join(data.frame["sent_more"] + data.frame["sent_less"])
    scorer = chinese_scorer(tmp_path / "model", "masked_lm", text)
    probe = CrowsPairs()
    rows = rows_of(probe, scorer, probe.cases(plan(scorer.info, pairs=data)), tmp_path / "rows")
    assert set(rows["status"]) == {"ok"}
    found = [value for value in values(probe.measure(rows)).values() if value is not None]
    assert found
