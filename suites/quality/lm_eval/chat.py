"""Prompts as conversations: what lm-eval hands to a chat template is kept until the scorer renders it.

Prompts are built where no model is. So lm-eval is given a template that writes the conversation itself down.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.api.requests.chat import ChatPrompt, ChatRequest, Message
from harness.api.scorer import Scorer

WHOLE, WITHOUT_SYSTEM = "template", "template, system turn left out"
"""How a prompt went through the template; many templates refuse a system turn, and lm-eval then leaves it out."""
_MARK = "\0conversation\0"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as the model reads it; `error` where its template makes none."""

    text: str
    how: str = ""
    error: str | None = None


def as_prompt(messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True) -> str:
    """The conversation as a string; lm-eval calls it as its model class's apply_chat_template."""
    turns = [[str(each["role"]), str(each["content"])] for each in messages]
    return _MARK + json.dumps([turns, bool(add_generation_prompt)], ensure_ascii=False)


def render_all(scorer: Scorer, prompts: Iterable[str]) -> dict[str, Rendered]:
    """The text of each different prompt that holds a conversation; others are not in it."""
    read = {prompt: found for prompt in prompts if (found := _read(prompt)) is not None}
    asked = {prompt: request for prompt, (_, request, _) in read.items() if request is not None}
    answers = dict(zip(asked, scorer.ask(list(asked.values())), strict=True))
    plain = {
        prompt: shorter
        for prompt, answer in answers.items()
        if answer.error is not None and (shorter := _without_system(asked[prompt])) is not None
    }
    second = dict(zip(plain, scorer.ask(list(plain.values())), strict=True))
    return {prompt: _rendered(read[prompt], answers.get(prompt), second.get(prompt)) for prompt in read}


def _rendered(
    read: tuple[str, ChatRequest | None, str], answer: ChatPrompt | None, second: ChatPrompt | None
) -> Rendered:
    before, _, after = read
    if answer is None:
        return Rendered("", error="its conversation cannot be read")
    if second is not None and second.error is None:
        return Rendered(before + second.text + after, WITHOUT_SYSTEM)
    return Rendered("", error=answer.error) if answer.error else Rendered(before + answer.text + after, WHOLE)


def _read(prompt: str) -> tuple[str, ChatRequest | None, str] | None:
    """What a task put before its conversation, this, and what it put behind; None where there is no conversation."""
    before, mark, rest = prompt.partition(_MARK)
    if not mark:
        return None
    try:
        (turns, begin), end = json.JSONDecoder().raw_decode(rest)
        messages = tuple(Message(str(role), str(content)) for role, content in turns)
    except (ValueError, TypeError, RecursionError):  # a document that holds the mark itself
        return before, None, ""
    request = ChatRequest(messages, add_generation_prompt=bool(begin), continue_final_message=not begin)
    return before, request, rest[end:]


def _without_system(request: ChatRequest) -> ChatRequest | None:
    """The same without system turns; None where there is none."""
    kept = tuple(message for message in request.messages if message.role != "system")
    if len(kept) == len(request.messages):
        return None
    return ChatRequest(kept, request.add_generation_prompt, request.today, request.continue_final_message)
