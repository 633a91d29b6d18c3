"""The code of docs/bias.md runs, and gives rows that `assay measure` and the probes read."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.api.columns import rows_schema
from harness.api.registry import find_probes
from harness.cli import main
from harness.data.datasets import DataSource, load_dataset
from suites.bias.bbq.data import BBQData, read_questions
from suites.bias.stereoset.data import StereoSetData, read_triples
from tests.suites.bias.bbq.test_data import PUBLISHED

GUIDE = Path(__file__).parents[3] / "docs" / "bias.md"
CODE = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = re.findall(r"^assay (measure .*)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a published file and predictions of each, where the code runs."""
    monkeypatch.chdir(tmp_path)
    labels = ("stereotype", "anti-stereotype", "unrelated")
    sentences = [{"id": f"s{at}", "gold_label": label, "sentence": f"it is {label}"} for at, label in enumerate(labels)]
    context = {"target": "nurse", "bias_type": "profession", "context": "it is BLANK", "sentences": sentences}
    Path("dev.json").write_text(json.dumps({"data": {"intrasentence": [context], "intersentence": []}}))
    scores = [{"id": f"s{at}", "score": score} for at, score in enumerate((0.4, 0.3, 0.1))]
    Path("predictions.json").write_text(json.dumps({"intrasentence": scores}))
    other = {**PUBLISHED, "example_id": 8, "context_condition": "disambig", "label": 0}
    Path("Age.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (PUBLISHED, other)))
    said = [{"example_id": 7, "answer": "Not known."}, {"example_id": 8, "answer": "the man"}]
    Path("answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in said))
    return tmp_path


def measured(command: str, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], Any]:
    words = [word for word in command.split() if word != "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["assay", *words, "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)["metrics"]
    return {(each["key"].rpartition("/")[2], each["slice"]): each["value"] for each in found}


def test_the_code_makes_rows_that_are_measured(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(CODE) == 4
    for code in CODE:
        exec(compile(code, str(GUIDE), "exec"), {})
    (triple,) = read_triples(load_dataset(DataSource(source="stereoset.jsonl"), StereoSetData))
    assert triple["unrelated"] == "it is unrelated"
    questions = read_questions(load_dataset(DataSource(source="bbq.jsonl"), BBQData))
    assert [question["target"] for question in questions] == [2, 2]
    stereoset, bbq = (measured(command, capsys) for command in COMMANDS)
    assert [stereoset[key, ""] for key in ("stereotype_score", "language_model_score", "icat")] == [1, 1, 0]
    assert [bbq[f"accuracy_{name}", ""] for name in ("ambiguous", "disambiguated")] == [1, 0]
    assert bbq["bias_disambiguated", ""] == 1
    assert bbq["bias_ambiguous", ""] is None


def test_the_required_columns_are_those_of_the_schemas() -> None:
    said = GUIDE.read_text(encoding="utf-8").partition("required columns")[2].partition("\n\n")[0]
    table = re.findall(r"^\| `(bias/\w+)` \| (.*) \|$", said, re.MULTILINE)
    assert len(table) == 3
    for name, said in table:
        columns = {each["name"]: each for each in rows_schema(find_probes().probes[name].Row)["columns"]}
        required = {name for name, each in columns.items() if each["required"]}
        assert required == set(re.findall(r"`(\w+)`", said.partition(";")[0])) & set(columns) - {"second_"}
