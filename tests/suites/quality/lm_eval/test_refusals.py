"""What a task may not do, and what is wrong with a task: one sentence each, before anything is run or fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.api.case import Case
from harness.api.needs import Need
from harness.api.permissions import Permissions
from harness.api.probe import Plan
from harness.audit.run import resume_plan
from harness.cli import app
from harness.errors import NoDataError, UsageError
from harness.record.folder import AuditFolder
from suites.quality.lm_eval.probe import LmEval, LmEvalParams
from tests.fakes import make_info
from tests.suites.quality.lm_eval.local_tasks import write_task, write_tasks
from tests.tiny import make_checkpoint

pytest.importorskip("lm_eval")
CHOICE = 'output_type: multiple_choice\ndoc_to_text: "{{question}}"\ndoc_to_choice: choices\ndoc_to_target: label\n'
WRITTEN = 'output_type: generate_until\ndoc_to_text: "{{question}}"\ndoc_to_target: text\n'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def cases(folder: Path, *, allowed: bool = False, max_tokens: int = 128, **params: Any) -> list[Case]:
    info = make_info(Need.CAUSAL_LM, max_tokens=max_tokens)
    object.__setattr__(info, "permissions", Permissions(task_code=allowed))
    probe = LmEval(LmEvalParams.model_validate({"include_path": str(folder), **params}))
    return probe.cases(Plan(info, 0))


def refused(folder: Path, content: str, **params: Any) -> str:
    write_tasks(folder)
    write_task(folder, "odd", content)
    with pytest.raises((UsageError, NoDataError)) as caught:
        cases(folder, task="odd", **params)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_task_is_no_data() -> None:
    with pytest.raises(NoDataError, match=r"no task is named; give params: \{task: NAME\}"):
        LmEval().cases(Plan(make_info(Need.CAUSAL_LM), 0))


def test_a_misspelt_task_gets_a_suggestion(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    with pytest.raises(UsageError, match=r"no task 'words_choise'; did you mean 'words_choice'\?"):
        cases(tmp_path, task="words_choise")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (WRITTEN + "unsafe_code: true\n", "runs the code that the model writes"),
        (WRITTEN + "doc_to_image: image\n", "images or sound"),
        (WRITTEN + "metric_list: [{metric: bleurt, hf_evaluate: true}]\n", "'bleurt' is code that would be downloaded"),
        (WRITTEN + "metric_list: [{metric: someones_metric}]\n", "'someones_metric' is code that would be downloaded"),
        (WRITTEN + "use_prompt: promptsource:x\n", "promptsource"),
        (WRITTEN + "generation_kwargs: {num_beams: 4}\n", "generates with num_beams"),
        ("output_type: pictures\n" + WRITTEN.partition("\n")[2], "output_type 'pictures'"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(content: str, why: str, tmp_path: Path) -> None:
    message = refused(tmp_path, content)
    assert "odd is not supported" in message
    assert why in message


def test_a_judge_over_the_network_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("judge.py").write_text("import openai\n\ndef judge(doc, results):\n    return {'score': 1.0}\n")
    message = refused(tmp_path, WRITTEN + "process_results: !function judge.judge\n", allowed=True)
    assert "judged by another model over the network (openai)" in message


def test_python_of_a_task_file_runs_only_where_it_is_allowed(tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    code = f"open({str(mark)!r}, 'w').close()\n\ndef text(doc):\n    return 'so ' + doc['question']\n"
    (tmp_path / "own.py").write_text(code)
    content = CHOICE.replace('"{{question}}"', "!function own.text")
    message = refused(tmp_path, content)
    assert "odd.yaml, line 6: !function runs Python" in message
    assert "--allow-task-code" in message
    assert not mark.exists()
    made = cases(tmp_path, task="odd", allowed=True)
    assert mark.exists()
    assert made[0].data["requests"][0][1][0] == "so the film was number 0"


def test_python_in_another_file_of_the_folder_or_an_included_one_counts_too(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("doc_to_text: !function os.getcwd\n")
    assert "base.txt, line 1: !function" in refused(tmp_path, CHOICE + "include: base.txt\n")


@pytest.mark.parametrize(
    "content",
    [
        "include: harmless.txt\ninclude: base.txt\n",  # YAML takes the last of two
        "<<: {include: base.txt}\n",
        "metadata: &part {include: [base.txt]}\n<<: [*part]\n",
    ],
)
def test_an_included_file_is_found_however_it_is_included(content: str, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    (tmp_path / "own.py").write_text(f"open({str(mark)!r}, 'w').close()\n\ndef text(doc):\n    return 'x'\n")
    (tmp_path / "base.txt").write_text("doc_to_text: !function own.text\n")
    (tmp_path / "harmless.txt").write_text("repeats: 1\n")
    message = refused(tmp_path, CHOICE.replace('doc_to_text: "{{question}}"\n', "") + content)
    assert "base.txt, line 1: !function" in message
    assert not mark.exists()


def test_a_name_longer_than_names_can_be_is_no_file(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    write_task(tmp_path, "odd", CHOICE.replace("{{question}}", f"/{'long' * 100}. {{{{question}}}}"))
    assert len(cases(tmp_path, task="odd")) == 13
    message = refused(tmp_path / "other", f"{CHOICE}include: {'x' * 5000}\n")
    assert "lm-eval knows no task 'odd'" in message


@pytest.mark.parametrize("more", ["", ", hf_evaluate: true"])
def test_a_metric_named_by_its_file_is_never_run(more: str, tmp_path: Path) -> None:
    """As lm-eval writes functions, so that a check of the settings alone takes it for one."""
    mark, metric = tmp_path / "it-ran", tmp_path / "own_metric"
    metric.mkdir()
    (metric / "own_metric.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    message = refused(tmp_path, WRITTEN + f"metric_list: [{{metric: {metric}, aggregation: mean{more}}}]\n")
    assert "is code that would be loaded by its name" in message
    assert not mark.exists()


def test_a_metric_that_an_inner_group_hides_is_never_run(tmp_path: Path) -> None:
    """lm-eval lets the outer group's settings win over those of a group written inside it."""
    write_tasks(tmp_path)
    (tmp_path / "outer.yaml").write_text(
        "group: outer\nmetric_list: [{metric: someones_metric}]\n"
        "task:\n  - {group: inner, metric_list: [{metric: acc}], task: [words_choice]}\n"
    )
    with pytest.raises(NoDataError, match="'someones_metric' is code that would be loaded by its name"):
        cases(tmp_path, task="outer")


def test_a_template_reaches_no_python_object(tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    escape = "{{ cycler.__init__.__globals__.os.system('touch MARK') }}".replace("MARK", str(mark))
    message = refused(tmp_path, CHOICE.replace('"{{question}}"', f'"{escape}"'))
    assert "SecurityError" in message
    assert not mark.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.getcwd []", "!other x"])
def test_other_tags_are_refused(tag: str, tmp_path: Path) -> None:
    assert "tag" in refused(tmp_path, f"{CHOICE}metadata: {tag}\n")


def test_a_reader_that_unpickles_is_refused(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    (tmp_path / "odd.yaml").write_text(f"task: odd\ndataset_path: pandas\ntest_split: test\n{CHOICE}")
    with pytest.raises(UsageError, match=r"odd\.yaml, line 1: dataset_path 'pandas' can run code"):
        cases(tmp_path, task="odd")
    twice = f"task: odd\ndataset_path: json\ndataset_path: iceberg\ntest_split: test\n{CHOICE}"
    (tmp_path / "odd.yaml").write_text(twice)
    with pytest.raises(UsageError, match=r"odd\.yaml, line 1: dataset_path 'iceberg' can run code"):
        cases(tmp_path, task="odd")
    (tmp_path / "odd.yaml").write_text("group: odd\ntask:\n  - {task: inner, dataset_path: pandas, test_split: test}\n")
    with pytest.raises(UsageError, match=r"odd\.yaml, line 3: dataset_path 'pandas' can run code"):
        cases(tmp_path, task="odd")


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    (tmp_path / "broken.yaml").write_text("task: [")
    with pytest.raises(UsageError, match=r"broken\.yaml: not YAML"):
        cases(tmp_path, task="words_choice")


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_task_files_is_named(made: bool, tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    if made:
        folder.mkdir()
    with pytest.raises(UsageError, match=r"include_path: .*tasks (is no folder|holds no \.yaml file)"):
        cases(folder, task="x")


def test_a_field_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    message = refused(tmp_path, CHOICE.replace("question", "problem"))
    assert "UndefinedError: 'problem' is undefined" in message


def test_data_of_the_hub_that_cannot_be_had_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "far.yaml").write_text(f"task: far\ndataset_path: someone/far-away\ntest_split: test\n{CHOICE}")
    with pytest.raises(NoDataError, match=r"data of far are not here \(.*\); they come from the hub under its own"):
        cases(tmp_path, task="far")


def test_more_tokens_than_the_model_reads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="max_length 300 is more than the 128 tokens of the model"):
        cases(write_tasks(tmp_path), task="words_choice", max_length=300)


def test_a_task_of_the_library_is_found_and_its_settings_checked(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    with pytest.raises(NoDataError, match=r"humaneval is not supported: it runs the code that the model writes"):
        cases(tmp_path, task="humaneval")


def test_the_command_line_allows_code_for_one_command_alone(tmp_path: Path) -> None:
    """A resume without the option refuses what the first command was allowed."""
    write_tasks(tmp_path / "tasks")
    (tmp_path / "tasks" / "own.py").write_text("def text(doc):\n    return doc['question']\n")
    write_task(tmp_path / "tasks", "odd", CHOICE.replace('"{{question}}"', "!function own.text"))
    spec = {
        "checkpoint": str(make_checkpoint(tmp_path / "model", "gpt2", "causal_lm")),
        "probes": [{"name": "quality/lm_eval", "params": {"task": "odd", "include_path": str(tmp_path / "tasks")}}],
        "output": str(tmp_path / "audits"),
        "tracking": {"uri": "off"},
    }
    (tmp_path / "audit.yaml").write_text(json.dumps(spec))
    refused = CliRunner().invoke(app, ["plan", str(tmp_path / "audit.yaml")])
    assert isinstance(refused.exception, UsageError)
    assert "--allow-task-code" in str(refused.exception)
    ran = CliRunner().invoke(app, ["run", str(tmp_path / "audit.yaml"), "--allow-task-code"])
    assert ran.exit_code == 3, ran.output  # no policy: nothing is decided
    assert "Permission --allow-task-code was given" in ran.output
    folder = next((tmp_path / "audits").glob("2*"))
    with pytest.raises(UsageError, match="--allow-task-code"):
        resume_plan(AuditFolder(folder))
