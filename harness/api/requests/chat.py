"""Chat messages as the model was taught to read them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.api.scorer import Request


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; roles are the template's, as a rule system, user and assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest(Request["ChatPrompt"]):
    """The prompt that the tokenizer's own template makes of messages; no model is run.

    The template comes with the checkpoint, so it is rendered in a process apart. `today` is the date it is told
    (ISO): a prompt that changes with the day could not be audited twice. The default is what Llama 3's template says
    where it is told none. `continue_final_message`: the prompt ends with the last message, which the model continues.
    """

    messages: tuple[Message, ...]
    add_generation_prompt: bool = True
    today: str = "2024-07-26"
    continue_final_message: bool = False


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """The text, special tokens and all, and its tokens, never cut; empty where `error` says why."""

    text: str
    tokens: tuple[int, ...]
    error: str | None = None
