"""Chat messages through the tokenizer's own template."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

from harness.api.requests.chat import ChatPrompt, ChatRequest
from harness.base.limits import CHAT_CHARACTERS, CHAT_MEMORY, CHAT_SECONDS, CHAT_TEMPLATE, capped, to_raise
from harness.checkpoint.isolated.client import environment
from harness.scorer.handler import Handler

_LAST_WORD = "CONTINUE_FINAL_MESSAGE_TAG "
"""Put behind a message that goes on, to find its end in the text; its blank tells whether a template trims messages.
The same as transformers', as a template may print a message twice."""
_START_SECONDS = 60
"""Starting Python and importing jinja2 takes 1 s, and ten times that on a busy machine."""


class ChatTemplate(Handler[ChatRequest, ChatPrompt]):
    """All that is asked at once is rendered by one process."""

    asked = (ChatRequest,)
    kind = "chat"
    needs = None
    stored = False  # a template may tell the date

    @property
    def why_not(self) -> str | None:
        """Why its template cannot be used; None where it can."""
        template = self._template
        if template is None:
            return "its tokenizer has no chat template; ask for plain text instead"
        if len(template) > capped(CHAT_TEMPLATE):
            return f"its chat template has {len(template):,} characters, too many to be one; {to_raise()}"
        return None

    def run(self, requests: Sequence[ChatRequest]) -> list[ChatPrompt]:
        """One answer per request, in order."""
        errors = [_refuse(request) for request in requests]
        todo = [index for index, why in enumerate(errors) if why is None]
        texts = dict(zip(todo, self._rendered([requests[index] for index in todo]), strict=True)) if todo else {}
        return [
            self._prompt(request, *texts[index]) if index in texts else ChatPrompt("", (), errors[index])
            for index, request in enumerate(requests)
        ]

    def _prompt(self, request: ChatRequest, text: str | None, why: str) -> ChatPrompt:
        if text is not None and request.continue_final_message:
            text, why = _up_to_its_end(text, request.messages[-1].content), "leaves out the message to go on with"
        if text is None:
            return ChatPrompt("", (), f"the chat template {why}")
        tokens = self.engine.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ChatPrompt(text, tuple(tokens))

    @property
    def _template(self) -> str | None:
        """The one for plain chats, where there are several."""
        found: Any = getattr(self.engine.tokenizer, "chat_template", None)
        named = found.get("default") if isinstance(found, dict) else found
        return named if isinstance(named, str) else None

    def _rendered(self, requests: Sequence[ChatRequest]) -> list[tuple[str | None, str]]:
        """The text of each conversation, or None and why there is none."""
        seconds = capped(CHAT_SECONDS)
        # the whole may take what one may and a millisecond for each: honest templates take a tenth of that
        budget = 2 * seconds + len(requests) // 1_000
        asked = {
            "template": self._template,
            "chats": [self._chat(request) for request in requests],
            "seconds": seconds,
            "characters": capped(CHAT_CHARACTERS),
            "memory": capped(CHAT_MEMORY),
            "cpu_seconds": budget,
        }
        command = [sys.executable, "-P", "-m", "harness.scorer.chat.child"]
        try:
            ended = subprocess.run(
                command,
                input=json.dumps(asked).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
                cwd="/",
                timeout=5 * budget + _START_SECONDS,
                start_new_session=True,
                check=False,
            )
            found = json.loads(ended.stdout)["rendered"]
        except (subprocess.TimeoutExpired, ValueError):
            return [(None, f"took more than {budget} s, or ended the process that rendered it")] * len(requests)
        return [(text, why) for text, why in found]

    def _chat(self, request: ChatRequest) -> dict[str, Any]:
        """What the template is told, as transformers tells it."""
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        if request.continue_final_message:
            messages[-1]["content"] += _LAST_WORD
        special = {name: str(token) for name, token in self.engine.tokenizer.special_tokens_map.items()}
        told = {"messages": messages, "add_generation_prompt": request.add_generation_prompt}
        return {"today": request.today, "variables": {**special, "tools": None, "documents": None, **told}}


def _refuse(request: ChatRequest) -> str | None:
    if not request.messages:
        return "there is no message"
    if request.add_generation_prompt and request.continue_final_message:
        return "the model cannot both go on with the last message and begin one; ask for one of them"
    try:
        date.fromisoformat(request.today)
    except ValueError:
        return f"today is {request.today!r}; give a date like 2024-07-26"
    return None


def _up_to_its_end(text: str, message: str) -> str | None:
    """A prompt up to the end of its last message, as transformers cuts it; None where the message is not in it."""
    end = text.rfind(_LAST_WORD.strip())
    if end < 0 or message.strip() not in text:
        return None
    return text[:end] if text[end:].startswith(_LAST_WORD) else text[:end].rstrip()
