"""Candidates at one place, read as a tree: each token position that several share is computed once.

Nodes of the tree are beginnings of candidates. A node's keys and values are those of its parent and one token more, so
a forward pass reads one token for each of many nodes. The tree is walked in depth, many nodes at a time, and no more
caches are kept than the walk is deep.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.requests.candidates import CandidateScores, CandidatesRequest
from harness.api.scorer import Floats, TokenRequest
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.positions import Ints
from harness.scorer.forward.trunk import agree
from harness.scorer.generation.decoding import refuse
from harness.scorer.handler import Handler, Parts
from harness.scorer.likelihood.causal import CausalScores


class Candidates(Handler[CandidatesRequest, CandidateScores]):
    """Walks the tree; a model whose cache cannot be shared is asked about one candidate after another."""

    asked = (CandidatesRequest,)
    kind = "candidates"
    needs = Need.CAUSAL_LM

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._one_by_one = CausalScores(parts)
        self._shares: bool | None = None
        """Whether a cache of this model can be shared; None: not tried yet."""

    def run(self, requests: Sequence[CandidatesRequest]) -> list[CandidateScores]:
        """One answer per request, in order; those after one context are one tree."""
        answers: dict[int, CandidateScores] = {}
        after: dict[tuple[int, ...], list[int]] = {}
        for at, request in enumerate(requests):
            why = self._refuse(request)
            if why is None:
                after.setdefault(request.context, []).append(at)
            else:
                answers[at] = CandidateScores(np.empty(0), why)
        for context, places in after.items():
            mine = [requests[at].candidates for at in places]
            together = CandidatesRequest(context, tuple(each for candidates in mine for each in candidates))
            ends = np.cumsum([len(candidates) for candidates in mine])[:-1]
            totals = self._totals(together)
            parts = [totals] * len(mine) if isinstance(totals, str) else np.split(totals, ends)
            answers.update(zip(places, map(_scores, parts), strict=True))
        return [answers[at] for at in range(len(requests))]

    def _totals(self, request: CandidatesRequest) -> Floats | str:
        shares = self._check(request) if self._shares is None else self._shares
        return self._by_tree(request) if shares else self._alone(request.context, request.candidates)

    def _refuse(self, request: CandidatesRequest) -> str | None:
        if not request.candidates or not all(request.candidates):
            return "there is no candidate, or one without a token"
        longest = max(map(len, request.candidates))
        tokens = {token for candidate in request.candidates for token in candidate}
        return refuse(self.engine, request.context, longest) or self.engine.refuse([min(tokens), max(tokens)])

    def _check(self, request: CandidatesRequest) -> bool:
        """Whether the tree gives what single forward passes give, on a few of these candidates.

        Kept for later requests only where they tell: candidates of one token each read no cache.
        """
        longest = max(request.candidates, key=len)
        few = (request.candidates[0], longest, request.candidates[-1])
        alone = self._alone(request.context, few)  # raises where the model is not causal
        try:
            together = self._by_tree(CandidatesRequest(request.context, few))
        except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError):
            self._shares = False  # a cache of another kind
            return False
        if isinstance(alone, str):
            return True  # not finite, which the tree will say too
        same = not isinstance(together, str) and agree(
            torch.from_numpy(together), torch.from_numpy(alone), self.engine.model.dtype
        )
        if len(longest) > 1:
            self._shares = same
        return same

    def _alone(self, context: tuple[int, ...], candidates: Sequence[tuple[int, ...]]) -> Floats | str:
        answers = self._one_by_one.run([TokenRequest(context, candidate) for candidate in candidates])
        why = next((answer.error for answer in answers if answer.error), None)
        return why if why is not None else np.array([answer.logprobs.sum() for answer in answers])

    def _by_tree(self, request: CandidatesRequest) -> Floats | str:
        tree = Tree.of(request.candidates)
        edges = [np.zeros(len(level.tokens)) for level in tree.levels]
        context = torch.tensor([request.context], device=self.engine.device)
        counts = self.engine.count(self.kind)
        counts.rows += 1
        counts.tokens += len(request.context) - 1
        counts.padded_tokens += len(request.context) - 1
        why = self._walk(tree, edges, 0, np.zeros(1, dtype=np.int64), context, 0, None)
        return why if why is not None else tree.totals(edges)

    def _walk(
        self, tree: Tree, edges: list[Floats], depth: int, nodes: Ints, ids: torch.Tensor, cached: int, cache: Any
    ) -> str | None:
        """Fill in the log-probabilities of all edges below `nodes` of one depth; why it could not be done.

        `ids` [nodes, tokens] are what leads to each node, whose first `cached` tokens the cache holds.
        """
        level = tree.levels[depth]
        counts = self.engine.count(self.kind)

        def work(batch: list[int]) -> tuple[list[int], Any]:
            rows = sorted(batch)
            chosen = torch.tensor(rows, device=ids.device)
            mine = None if cache is None else selected(cache, chosen)
            logits, grown = self.parts.head.next_token(ids[chosen], cached, mine)
            first, last = level.children(nodes[rows])
            edge = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
            row = torch.from_numpy(np.repeat(np.arange(len(rows)), last - first)).to(logits.device)
            token = torch.from_numpy(level.tokens[edge]).to(logits.device)
            values = logits[row, token] - logits.logsumexp(-1)[row]
            edges[depth][edge] = values.double().cpu().numpy()
            return rows, grown

        width = int(ids.shape[1])
        for batch, done in self.engine.batches(self.kind, [width] * len(nodes), work):
            if done is None:
                return self.engine.too_big(width)
            rows, grown = done
            counts.tokens += len(batch)
            counts.padded_tokens += len(batch)
            first, last = level.children(nodes[rows])
            edge = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
            deeper = level.below[edge] >= 0
            if not deeper.any():
                continue
            parent = torch.from_numpy(np.repeat(np.arange(len(rows)), last - first)[deeper]).to(ids.device)
            tokens = torch.from_numpy(level.tokens[edge][deeper]).to(ids.device)
            longer = torch.cat([ids[torch.tensor(rows, device=ids.device)][parent], tokens[:, None]], dim=1)
            shared = _Shared(grown, parent)
            why = self._walk(tree, edges, depth + 1, level.below[edge][deeper], longer, width, shared)
            if why is not None:
                return why
        return None


def _scores(totals: Floats | str) -> CandidateScores:
    if isinstance(totals, str):
        return CandidateScores(np.empty(0), totals)
    return CandidateScores(totals) if np.isfinite(totals).all() else CandidateScores(np.empty(0), NON_FINITE)


@dataclass(frozen=True, slots=True)
class _Shared:
    """A cache, and the row of it that each node starts from: copied only for the nodes that are read next."""

    cache: Any
    rows: torch.Tensor


def selected(shared: _Shared, chosen: torch.Tensor) -> Any:
    """A cache of its own for the nodes `chosen`. Raises AttributeError for a kind of cache that has no such layers."""
    rows = shared.rows[chosen]
    grown = copy(shared.cache)
    grown.layers = [copy(layer) for layer in shared.cache.layers]
    for layer in grown.layers:
        layer.keys, layer.values = layer.keys[rows], layer.values[rows]
    return grown


@dataclass(frozen=True, slots=True)
class Level:
    """Edges from the nodes of one depth to the next, sorted by node. Leaves end in an edge, not in a node."""

    starts: Ints
    """First edge of each node, and after the last node the number of edges; [nodes + 1]."""
    tokens: Ints
    """Token of each edge, [edges]."""
    below: Ints
    """Node at the end of each edge, -1 where no candidate goes on; [edges]."""
    ends: Ints
    """Edge of each candidate, -1 of those that ended before; [candidates]."""

    def children(self, nodes: Ints) -> tuple[Ints, Ints]:
        """First edge of each node, and the one after its last."""
        return self.starts[nodes], self.starts[nodes + 1]


@dataclass(frozen=True, slots=True)
class Tree:
    """The beginnings that candidates have in common."""

    levels: tuple[Level, ...]

    @classmethod
    def of(cls, candidates: Sequence[tuple[int, ...]]) -> Tree:
        """The tree of candidates that each have a token."""
        lengths = np.array([len(candidate) for candidate in candidates])
        table = np.full((len(candidates), int(lengths.max())), -1, dtype=np.int64)
        for row, candidate in enumerate(candidates):
            table[row, : len(candidate)] = candidate
        vocabulary = int(table.max()) + 1
        levels = []
        node = np.zeros(len(candidates), dtype=np.int64)
        count = 1
        for depth in range(table.shape[1]):
            active = lengths > depth
            keys, inverse = np.unique(node[active] * vocabulary + table[active, depth], return_inverse=True)
            ends = np.full(len(candidates), -1, dtype=np.int64)
            ends[active] = inverse
            goes_on = np.zeros(len(keys), dtype=np.bool_)
            goes_on[inverse[lengths[active] > depth + 1]] = True
            below = np.where(goes_on, np.cumsum(goes_on) - 1, -1)
            starts = np.searchsorted(keys, np.arange(count + 1) * vocabulary)
            levels.append(Level(starts, keys % vocabulary, below, ends))
            node = np.where(ends >= 0, below[ends], -1)
            count = int(goes_on.sum())
        return cls(tuple(levels))

    @property
    def positions(self) -> int:
        """Token positions that a model must read after the context: one for each node but the first."""
        return sum(len(level.starts) - 1 for level in self.levels[1:])

    def totals(self, edges: Sequence[Floats]) -> Floats:
        """Sum over each candidate's path of the numbers at its edges, [candidates]."""
        sums = np.zeros(len(self.levels[0].ends))
        for level, values in zip(self.levels, edges, strict=True):
            sums += np.where(level.ends >= 0, values[level.ends], 0.0)
        return sums
