"""lm-eval's requests as the scorer's: the same tokens in the same windows, and its answers as lm-eval wants them.

Where a tokenizer puts a start token before every text, lm-eval reads it as part of the text: a text scored by itself
has it twice, and it is scored once (github.com/EleutherAI/lm-evaluation-harness/issues/3333). That is kept here, since
a value is compared with published ones; `quality/perplexity` does it right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import Request, Scorer, TokenRequest, TokenScores

Ids = tuple[int, ...]
NEW_TOKENS = 256
"""Tokens generated where a task does not say how many; lm-eval's own default (HFLM.max_gen_toks)."""
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of that number, the first given wins (lm_eval/models/utils.py, normalize_gen_kwargs)."""
_DRAWING = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty")


class UnreadableError(Exception):
    """Why one request cannot be asked; its document is a row with an error."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the scorer is asked for one request of lm-eval, and the tokens cut off its left end."""

    kind: str
    requests: tuple[Request[Any], ...]
    truncated: int = 0
    scored: int = 0
    """Tokens of the continuation."""
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads requests of lm-eval for a scorer that sees at most `max_tokens` at once."""

    scorer: Scorer
    max_tokens: int

    def asked(self, kind: str, args: Sequence[Any], seed: int, repeats: int = 1) -> Asked:
        """What to ask. Raises UnreadableError."""
        if kind == "loglikelihood":
            return self._pair(*args)
        if kind == "loglikelihood_rolling":
            return Asked(kind, tuple(self._windows(args[0])))
        return self._generation(args[0], args[1], seed, repeats)

    def answer(self, asked: Asked, answers: Sequence[Any]) -> list[Any]:
        """Responses as lm-eval's model classes give them, one a repeat. Raises UnreadableError."""
        why = next((each.error for each in answers if each.error is not None), None)
        if why is not None:
            raise UnreadableError(why)
        if asked.kind == "generate_until":
            return [self._text(sample.tokens, asked.stops) for each in answers for sample in each.samples]
        total = float(sum(each.logprobs.sum() for each in answers))
        if asked.kind == "loglikelihood_rolling":
            return [total]
        greedy: TokenScores = answers[0]
        return [(total, bool(greedy.greedy.all()))]

    def _encode(self, text: str) -> Ids:
        start = self.scorer.decode((self.scorer.start_token,))
        return self.scorer.encode(text, special=not text.startswith(start))

    def _pair(self, context: str, continuation: str) -> Asked:
        """lm_eval/api/model.py, TemplateLM: blanks that end the context belong to the continuation."""
        if context == "":
            before: Ids = (self.scorer.start_token,)
            target = self.scorer.encode(continuation, special=False)
            if target[:1] == before:
                target = target[1:]
        else:
            text = context.rstrip()
            blanks = context[len(text) :]
            before = self._encode(text)
            target = self._encode(text + blanks + continuation)[len(before) :]
        if not target:
            raise UnreadableError(f"the tokenizer makes no token of the continuation {continuation[:60]!r}")
        read = (before + target)[-(self.max_tokens + 1) :]
        if len(read) <= len(target):
            raise UnreadableError(
                f"a continuation of {len(target)} tokens leaves no room for a context in the {self.max_tokens} tokens "
                "that are read at once"
            )
        cut = len(before) + len(target) - len(read)
        return Asked("loglikelihood", (TokenRequest(read[: -len(target)], target),), cut, len(target))

    def _windows(self, text: str) -> Iterator[TokenRequest]:
        """lm_eval/utils.py, get_rolling_token_windows with context_len 1: windows that do not overlap."""
        tokens, size = self._encode(text), self.max_tokens
        if not tokens:
            raise UnreadableError("the tokenizer makes no token of this text")
        first = min(size, len(tokens))
        yield TokenRequest((self.scorer.start_token,), tokens[:first])
        for begin in range(first, len(tokens), size):
            end = min(begin + size, len(tokens))
            # a short last window is filled with context on its left
            yield TokenRequest(tokens[max(0, end - size - 1) : begin], tokens[begin:end])

    def _generation(self, context: str, given: Mapping[str, Any], seed: int, repeats: int) -> Asked:
        size = next((int(given[name]) for name in _LENGTHS if given.get(name) is not None), NEW_TOKENS)
        room = self.max_tokens - size
        if room < 1:
            raise UnreadableError(
                f"{size} new tokens leave no room for a prompt in the {self.max_tokens} tokens that are read at once"
            )
        tokens = self._encode(context)
        until = given.get("until") or []
        stops = tuple(dict.fromkeys(stop for stop in ([until] if isinstance(until, str) else until) if stop))
        temperature = float(given.get("temperature") or 0.0)
        drawn = bool(given["do_sample"]) if given.get("do_sample") is not None else temperature > 0
        given = {name: value for name, value in given.items() if value is not None or name == "top_k"}
        how: dict[str, Any] = {"top_k": 1}  # the likeliest token, with stop strings, which greedy requests have not
        if drawn:
            how = {"temperature": temperature or 1.0, "top_k": int(given.get("top_k", 50) or 0)}
            how |= {"top_p": float(given.get("top_p", 1.0))}
        how |= {"repetition_penalty": float(given.get("repetition_penalty", 1.0))}
        request = SampleRequest(tokens[-room:], size, seed, repeats, stop=stops, **how)
        return Asked("generate_until", (request,), max(0, len(tokens) - room), stops=stops)

    def _text(self, tokens: Ids, stops: Sequence[str]) -> str:
        """Text without special tokens, cut before each stop string in turn."""
        special = self.scorer.special_positions(tokens)
        text = self.scorer.decode([token for token, is_special in zip(tokens, special, strict=True) if not is_special])
        for stop in stops:
            text = text.split(stop)[0]
        return text


def unknown_settings(given: Mapping[str, Any]) -> list[str]:
    """Settings of generation that the scorer has not: with them a task would get another text than it asks for."""
    return sorted(set(given) - {"until", *_LENGTHS, *_DRAWING})
