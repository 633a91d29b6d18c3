"""Chat templates: what transformers renders, and what a hostile template gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.api.requests.chat import ChatRequest, Message
from harness.api.scorer import GenerateRequest
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from tests.scoring import load, scorer
from tests.tiny import make_checkpoint, make_tokenizer

PLAIN = """{{ bos_token }}
{%- for message in messages %}
    {% if message.role == 'stop' %}{% break %}{% endif %}
    {% generation %}[{{ message.role | upper }}] {{ message['content'] | trim }} {{ message | tojson }}
    {%- endgeneration %}
{% endfor %}
{% if tools %}tools{% endif %}
{% if add_generation_prompt %}[ASSISTANT]{% endif %}"""
CHATML = """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
DATED = "{{ strftime_now('%d %b %Y') }}"
CHAT = (
    Message("system", " Be <brief> & kind. "),
    Message("user", "the man's film, \u4f60?"),
    Message("stop", "x"),
    Message("user", "y"),
)


def with_template(template: str | dict[str, str] | None) -> HFScorer:
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = template
    return HFScorer(replace(load("gpt2", "causal_lm"), tokenizer=tokenizer))


@pytest.mark.parametrize("template", [PLAIN, CHATML, {"default": CHATML, "tool_use": PLAIN}])
def test_equals_transformers(template: Any) -> None:
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = template
    asked = [ChatRequest(CHAT[:turns], begin) for turns in (1, 2, 4) for begin in (False, True)]
    answers = with_template(template).ask(asked)
    assert len({answer.text for answer in answers}) >= 4  # PLAIN stops at the third turn
    for request, answer in zip(asked, answers, strict=True):
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        options: dict[str, Any] = {"add_generation_prompt": request.add_generation_prompt}
        assert answer.text == tokenizer.apply_chat_template(messages, tokenize=False, **options)
        assert list(answer.tokens) == list(tokenizer.apply_chat_template(messages, return_dict=False, **options))
        assert answer.error is None


@pytest.mark.parametrize("template", [PLAIN, CHATML])
@pytest.mark.parametrize("last", ["The answer is", "So: ", " x"])
def test_a_message_that_goes_on_ends_where_transformers_ends_it(template: str, last: str) -> None:
    """PLAIN trims messages, CHATML keeps them as they are."""
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = template
    messages = (Message("user", "why?"), Message("assistant", last))
    request = ChatRequest(messages, add_generation_prompt=False, continue_final_message=True)
    (answer,) = with_template(template).ask([request])
    given = [{"role": message.role, "content": message.content} for message in messages]
    expected = tokenizer.apply_chat_template(given, tokenize=False, continue_final_message=True)
    assert answer.text == expected
    assert answer.text.rstrip().endswith(last.strip())


def test_a_message_that_cannot_go_on_is_an_error() -> None:
    going_on = ChatRequest(CHAT[:2], add_generation_prompt=False, continue_final_message=True)
    both, fine = with_template(CHATML).ask([replace(going_on, add_generation_prompt=True), going_on])
    assert "cannot both go on with the last message and begin one" in str(both.error)
    assert fine.error is None
    (gone,) = with_template("{{ messages[0].content }}").ask([going_on])
    assert gone.error == "the chat template leaves out the message to go on with"


def test_the_date_is_the_one_given() -> None:
    usual, other, none = with_template(DATED).ask(
        [
            ChatRequest(CHAT),
            ChatRequest(CHAT, today="2025-01-02"),
            ChatRequest(CHAT, today="soon"),
        ]
    )
    assert (usual.text, other.text) == ("26 Jul 2024", "02 Jan 2025")
    assert none.error == "today is 'soon'; give a date like 2024-07-26"


def test_a_template_of_a_checkpoint_on_disk_is_read(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "chat", "gpt2", "causal_lm")
    tokenizer = make_tokenizer("gpt2")
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu")
    one = HFScorer(loaded)
    (prompt,) = one.ask([ChatRequest(CHAT[:1])])
    assert prompt.text.endswith("<|im_start|>assistant\n")
    assert one.ask([GenerateRequest(prompt.tokens, 1)])[0].error is None


HOSTILE = {
    "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}": "took more than 5 s",
    "{% for a in range(99999) %}{{ 'abcdefghijklmnopqrstuvwxyz' }}{% endfor %}": "makes more than 1,048,576 characters",
    "{{ 'a' * 10000000000 }}": "needs too much memory",
    "{{ ''.__class__.__mro__ }}": "fails: access to attribute '__class__' of 'str' object is unsafe.",
    "{{ messages.append(1) }}": "fails: access to attribute 'append' of 'list' object is unsafe.",
    "{{ range(999999999) }}": "fails: Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).",
    "{{ raise_exception('roles must alternate') }}": "fails: roles must alternate",
    "{% include '/etc/passwd' %}": "fails: no loader for this environment specified",
    "{% if %}": "fails: Expected an expression, got 'end of statement block'",
}


@pytest.mark.parametrize("template", HOSTILE)
def test_what_a_template_may_not_do_is_an_error_of_its_chat(template: str) -> None:
    only = "{% if messages[0].role == 'user' %}" + template + "{% else %}fine{% endif %}"
    whole = template if "% if %" in template else only
    hostile, good = with_template(whole).ask([ChatRequest(CHAT[1:2]), ChatRequest(CHAT[:1])])
    assert hostile.error == f"the chat template {HOSTILE[template]}"
    assert (hostile.text, hostile.tokens) == ("", ())
    if whole is only:
        assert good.text == "fine"


def test_without_a_usable_template_the_request_is_refused() -> None:
    with pytest.raises(UsageError, match=r"tiny-gpt2: its tokenizer has no chat template; ask for plain text"):
        scorer("gpt2", "causal_lm").ask([ChatRequest(CHAT)])
    with pytest.raises(UsageError, match=r"its chat template has 300,000 characters, too many"):
        with_template("a" * 300_000).ask([ChatRequest(CHAT)])
    empty, fine = with_template(CHATML).ask([ChatRequest(()), ChatRequest(CHAT)])
    assert empty.error == "there is no message"
    assert fine.error is None
