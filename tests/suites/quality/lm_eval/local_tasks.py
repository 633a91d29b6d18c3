"""Tasks of lm-eval as local files: every kind of request, a group and a tag, over a few made-up documents."""

from __future__ import annotations

import json
from pathlib import Path

QUESTIONS = ("the film was", "a good story is", "she said that the doctor", "the man and the woman", "it is time to")
CHOICES = (["good", "bad movie", "very boring indeed"], ["long", "a true one", "über"], ["left", "came home", "saw it"])

_TASKS = {
    "words_choice": """
training_split: train
fewshot_split: train
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_bytes}, {metric: brier_score}]
tag: words_tag
""",
    "words_mutual": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_mutual_info}]
""",
    "words_contexts": """
output_type: multiple_choice
doc_to_text: label
doc_to_choice: "{{[question ~ ' first', question ~ ' second']}}"
doc_to_target: "{{choices[0]}}"
""",
    "words_yes_no": """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["no", "yes"]
doc_to_target: "{{label % 2}}"
metric_list: [{metric: acc}, {metric: f1}, {metric: mcc}]
""",
    "words_last": """
output_type: loglikelihood
doc_to_text: "{{question}} "
doc_to_target: "{{choices[label]}}"
tag: words_tag
""",
    "words_described": """
training_split: train
fewshot_split: train
output_type: multiple_choice
description: "Go on with the words."
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
gen_prefix: "So:"
num_fewshot: 1
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "words_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
""",
    "words_written": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: " {{question.split()[0]}}"
generation_kwargs: {until: ["e", "\\n"], max_gen_toks: 12}
metric_list: [{metric: exact_match}, {metric: bleu}]
filter_list:
  - {name: words, filter: [{function: regex, regex_pattern: "([a-z]+)"}, {function: take_first}]}
  - {name: whole, filter: [{function: take_first}]}
""",
}
_GROUPS = {
    "words_alike": "task: [words_choice, words_last]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n",
    "words_by_size": "task: [words_choice, words_last]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n",
    "words_nested": "task: [words_alike, words_yes_no]\naggregate_metric_list: [{metric: acc}]\n",
}
TASKS = tuple(_TASKS)
GROUPS = tuple(_GROUPS)


def write_tasks(folder: Path) -> Path:
    """The folder with all of these tasks, their documents beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = [
        {
            "question": f"{QUESTIONS[at % 5]} number {at}",
            "choices": CHOICES[at % 3],
            "label": at * at % 3,
            "text": f"{QUESTIONS[at % 5]} and {at} of them see it . " * (1 + 7 * (at % 3)),
        }
        for at in range(13)
    ]
    for name, rows in {"test": documents, "short": documents[:5], "train": documents[2:11]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, content in _TASKS.items():
        write_task(folder, name, content, "short" if name == "words_last" else "test")
    for name, content in _GROUPS.items():
        (folder / f"{name}.yaml").write_text(f"group: {name}\n{content}")
    return folder


def write_task(folder: Path, name: str, content: str, split: str = "test") -> Path:
    """One task file over the documents of the folder."""
    data = {"test": str(folder / f"{split}.jsonl"), "train": str(folder / "train.jsonl")}
    head = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {json.dumps(data)}}}\ntest_split: test\n"
    path = folder / f"{name}.yaml"
    path.write_text(head + content.lstrip())
    return path
