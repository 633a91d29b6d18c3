"""Tasks asked through a chat template: the values, log-likelihoods and texts of lm_eval --apply_chat_template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.probe import Plan
from harness.api.requests.chat import ChatPrompt, ChatRequest
from harness.scorer.hf import HFScorer
from suites.quality.lm_eval.chat import WHOLE, WITHOUT_SYSTEM, as_prompt, render_all
from suites.quality.lm_eval.probe import LmEval, LmEvalParams
from tests.scoring import load
from tests.suites.quality.lm_eval.local_tasks import TASKS, write_tasks
from tests.suites.quality.lm_eval.test_parity import ATOL, ours, peer_values, theirs, values_of
from tests.tiny import make_checkpoint, make_tokenizer

pytest.importorskip("lm_eval")
TEMPLATES = {
    "gpt2": "{% for message in messages %}<{{ message.role }}>\n{{ message.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}",
    "llama": "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}"
    "{{ raise_exception('no system turn') }}{% endif %}[{{ message.role }}] {{ message.content | trim }} {% endfor %}"
    "{% if add_generation_prompt %}[model]{% endif %}",
}
"""One that keeps messages as they are, and one that begins with the start token, trims and refuses a system turn."""
BOTH = {"apply_chat_template": True, "fewshot_as_multiturn": True}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("chat")
    write_tasks(home / "tasks")
    for kind, template in TEMPLATES.items():
        folder = make_checkpoint(home / kind, kind, "causal_lm")
        tokenizer = make_tokenizer(kind)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:
        import datasets

        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
        yield home


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("task", TASKS)
def test_values_requests_and_texts_are_those_of_lm_eval(task: str, kind: str, home: Path, tmp_path: Path) -> None:
    shots = 2 if task == "words_choice" else None
    rows, metrics = ours(home, kind, tmp_path, task=task, num_fewshot=shots, chat=True)
    peer = theirs(home, kind, task, num_fewshot=shots, **BOTH)
    expected = peer_values(peer["results"][task])
    assert values_of(metrics, "") == pytest.approx(expected, rel=1e-5)
    by_document = rows.set_index("document")
    for sample in peer["samples"][task]:
        row, answers = by_document.loc[sample["doc_id"]], [each for mine in sample["resps"] for each in mine]
        if task == "words_written":
            assert list(row["texts"]) == answers
        else:
            likelihoods = [each[0] if isinstance(each, tuple) else each for each in answers]
            assert list(row["loglikelihoods"]) == pytest.approx(likelihoods, abs=ATOL)
    system_refused = kind == "llama" and task == "words_described"
    rolling = task == "words_rolling"
    assert set(rows["chat"]) == {"" if rolling else WITHOUT_SYSTEM if system_refused else WHOLE}
    note = next(metric.note for metric in metrics)
    assert ("chat template" in note) is not rolling
    assert ("system turn left out in 13" in note) is system_refused


def test_the_template_changes_what_is_read(home: Path, tmp_path: Path) -> None:
    plain, _ = ours(home, "gpt2", tmp_path / "plain", task="words_choice")
    chat, _ = ours(home, "gpt2", tmp_path / "chat", task="words_choice", chat=True)
    assert (plain["loglikelihoods"].str[0] != chat["loglikelihoods"].str[0]).all()
    assert set(plain["chat"]) == {""}


def test_a_template_that_fails_is_an_error_of_each_document(home: Path) -> None:
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = "{{ raise_exception('no chats today') }}"
    scorer = HFScorer(replace(load("gpt2", "causal_lm"), tokenizer=tokenizer))
    params = {"task": "words_choice", "include_path": str(home / "tasks"), "chat": True}
    probe = LmEval(LmEvalParams.model_validate(params))
    rows = list(probe.run(scorer, probe.cases(Plan(scorer.info, 0))))
    assert len(rows) == 13
    assert {row["error"] for row in rows} == {"the chat template fails: no chats today"}


class Echo:
    """Renders a conversation as its roles; refuses a system turn."""

    def ask(self, requests: list[ChatRequest]) -> list[ChatPrompt]:
        return [
            ChatPrompt("", (), "no system")
            if request.messages[0].role == "system"
            else ChatPrompt("+".join(message.content for message in request.messages), ())
            for request in requests
        ]


def test_what_a_task_puts_around_its_conversation_stays_and_a_mark_in_a_document_is_an_error() -> None:
    prompt = as_prompt([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])
    mark = prompt.partition("[")[0]
    found = render_all(Echo(), [f"a{prompt}b", "plain", f"{mark}[[1], 2]", mark])  # type: ignore[arg-type]
    assert (found[f"a{prompt}b"].text, found[f"a{prompt}b"].how) == ("aub", WITHOUT_SYSTEM)
    assert "plain" not in found
    assert {found[each].error for each in (f"{mark}[[1], 2]", mark)} == {"its conversation cannot be read"}
