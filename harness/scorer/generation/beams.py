"""Beam search, by transformers' own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from harness.api.needs import Need
from harness.api.requests.beams import BeamRequest
from harness.api.scorer import Generation
from harness.scorer.answers import NON_FINITE, no_generation
from harness.scorer.generation.decoding import refuse, stop_tokens
from harness.scorer.handler import Handler, Parts


class BeamSearch(Handler[BeamRequest, Generation]):
    """Continues prompts one by one: the hypotheses of a prompt are its batch, so its company changes nothing."""

    asked = (BeamRequest,)
    kind = "beams"
    needs = Need.CAUSAL_LM

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._stops = sorted(stop_tokens(self.engine.model, self.engine.tokenizer))

    def run(self, requests: Sequence[BeamRequest]) -> list[Generation]:
        """One answer per request, in order."""
        answers: dict[int, Generation] = {}
        for index, request in enumerate(requests):
            why = refuse(self.engine, request.prompt, request.max_new_tokens)
            if request.beams < 1:
                why = f"{request.beams} beams; one or more are needed"
            if why is not None or request.max_new_tokens < 1:
                answers[index] = no_generation(why)
        todo = [index for index in range(len(requests)) if index not in answers]
        lengths = [(len(requests[at].prompt) + requests[at].max_new_tokens) * requests[at].beams for at in todo]

        def work(batch: list[int]) -> list[Generation]:
            return [self._search(requests[todo[at]]) for at in batch]

        counts = self.engine.count(self.kind)
        for batch, found in self.engine.batches(self.kind, lengths, work):
            if found is None:
                answers[todo[batch[0]]] = no_generation(self.engine.too_big(lengths[batch[0]]))
                continue
            for at, answer in zip(batch, found, strict=True):
                request = requests[todo[at]]
                read = len(request.prompt) + max(0, len(answer.tokens) - 1)  # the last one is never read
                counts.tokens += read
                counts.padded_tokens += read * request.beams
                answers[todo[at]] = answer
        return [answers[index] for index in range(len(requests))]

    def _search(self, request: BeamRequest) -> Generation:
        from transformers import GenerationConfig

        engine = self.engine
        ids = torch.tensor([request.prompt], device=engine.device)
        settings = GenerationConfig(
            max_new_tokens=request.max_new_tokens,
            num_beams=request.beams,
            length_penalty=request.length_penalty,
            early_stopping="never",
            do_sample=False,
            eos_token_id=self._stops or None,
            pad_token_id=engine.pad,
            return_dict_in_generate=True,
            output_scores=True,
        )
        found = engine.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings, use_model_defaults=False
        )
        new = found.sequences[0, len(request.prompt) :].tolist()
        ends = [at for at, token in enumerate(new) if token in self._stops]
        tokens = tuple(new[: ends[0]] if ends else new)
        score = getattr(found, "sequences_scores", None)  # none for a single beam
        numbers = found.scores[0] if score is None else score
        finite = not torch.isnan(numbers).any() and (score is None or math.isfinite(float(score[0])))
        return Generation(tokens, engine.decode(tokens)) if finite else no_generation(NON_FINITE)
