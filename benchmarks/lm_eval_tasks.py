"""lm-eval's own tasks over the records of the folder of real data, arranged as their data sets on the hub are."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import data_file

Record = dict[str, Any]
NAMES: Mapping[str, str] = {
    "hellaswag": "hellaswag/hellaswag.yaml",
    "piqa": "piqa/piqa.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "winogrande": "winogrande/default.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "wikitext": "wikitext/wikitext.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
}
"""Task files of lm-eval by task; each is included, and only its data are others."""
TRAIN = 20
"""Last records of each file, for tasks that draw solved examples."""


def write_tasks(folder: Path, limits: Mapping[str, int]) -> Path:
    """The folder with a task file for each of `limits`, over so many records."""
    import lm_eval.tasks

    library = Path(lm_eval.tasks.__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for task, limit in limits.items():
        records = list(_records(task))
        parts = {"train": records[-TRAIN:], "validation": records[:limit], "test": records[:limit]}
        files = {name: str(_jsonl(folder / f"{task}-{name}.jsonl", part)) for name, part in parts.items()}
        (folder / f"{task}.yaml").write_text(
            f"include: {library / NAMES[task]}\ntask: local_{task}\ndataset_path: json\ndataset_name: null\n"
            f"dataset_kwargs: {{data_files: {json.dumps(files)}}}\n"
        )
    return folder


def _jsonl(path: Path, records: Sequence[Record]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def _records(task: str) -> Iterator[Record]:
    made: Mapping[str, Callable[[], Iterator[Record]]] = {
        "hellaswag": lambda: _lines("hellaswag/hellaswag.jsonl.gz"),
        "piqa": _piqa,
        "arc_easy": _arc_easy,
        "arc_challenge": _arc_challenge,
        "winogrande": _winogrande,
        "boolq": lambda: ({**each, "label": int(each["answer"])} for each in _lines("boolq/boolq.jsonl.gz")),
        "truthfulqa_mc1": _truthfulqa,
        "truthfulqa_mc2": _truthfulqa,
        "lambada_openai": lambda: _lines("lambada/lambada_test.jsonl.gz"),
        "wikitext": _wikitext,
        "gsm8k": lambda: _lines("gsm8k/test.jsonl.gz"),
    }
    yield from made[task]()


def _text(name: str) -> str:
    path = data_file(name)
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")


def _lines(name: str) -> Iterator[Record]:
    return (json.loads(line) for line in _text(name).split("\n") if line.strip())


def _piqa() -> Iterator[Record]:
    labels = _text("piqa/valid-labels.lst").split()
    return ({**each, "label": int(label)} for each, label in zip(_lines("piqa/valid.jsonl.gz"), labels, strict=True))


def _arc(question: str, choices: Sequence[str], gold: int) -> Record:
    letters = [chr(ord("A") + at) for at in range(len(choices))]
    return {"question": question, "choices": {"text": list(choices), "label": letters}, "answerKey": letters[gold]}


def _arc_easy() -> Iterator[Record]:
    for each in _lines("arc/arc_easy.jsonl.gz"):
        yield _arc(each["query"].removeprefix("Question: "), each["choices"], each["gold"])


def _arc_challenge() -> Iterator[Record]:
    """The file has a line for each answer, those of a question together."""
    questions: dict[str, list[Record]] = {}
    for each in _lines("arc/arc_challenge.jsonl"):
        questions.setdefault(each["question"], []).append(each)
    for question, answers in questions.items():
        labels = [int(each["label"]) for each in answers]
        if sum(labels) == 1 and len(answers) > 1:
            yield _arc(question, [each["answer"] for each in answers], labels.index(1))


def _winogrande() -> Iterator[Record]:
    """The sentence with a blank again, from the two beginnings."""
    for each in _lines("winogrande/winogrande.jsonl"):
        first, second = each["context_options"]
        prefix = _shared_words(first, second)
        yield {
            "sentence": f"{prefix}_ {each['continuation']}",
            "option1": first[len(prefix) :],
            "option2": second[len(prefix) :],
            "answer": str(each["gold"] + 1),
        }


def _shared_words(first: str, second: str) -> str:
    """What two texts begin with alike, up to a blank."""
    same = next(at for at, (one, other) in enumerate(zip(f"{first}\0", f"{second}\1", strict=False)) if one != other)
    return first[: first.rfind(" ", 0, same) + 1]


def _truthfulqa() -> Iterator[Record]:
    """mc1: the best answer and the false ones; mc2: all true and all false ones, as the paper makes them."""
    for each in csv.DictReader(_text("truthfulqa/TruthfulQA.csv.gz").lstrip().splitlines()):
        right, wrong = (
            [part.strip() for part in each[name].split(";") if part.strip()]
            for name in ("Correct Answers", "Incorrect Answers")
        )
        one, many = [each["Best Answer"].strip(), *wrong], [*right, *wrong]
        yield {
            "question": each["Question"],
            "mc1_targets": {"choices": one, "labels": [1] + [0] * len(wrong)},
            "mc2_targets": {"choices": many, "labels": [1] * len(right) + [0] * len(wrong)},
        }


def _wikitext() -> Iterator[Record]:
    """A page from each heading of the first level to the next."""
    page: list[str] = []
    for line in _text("wikitext2/test.txt.gz").split("\n"):
        is_title = line.startswith(" = ") and not line.startswith(" = =")
        if is_title and "".join(page).strip():
            yield {"page": "\n".join(page)}
            page = []
        page.append(line)
    yield {"page": "\n".join(page)}
