"""Keeps what each trained layer read, and its output gradient, during one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from privacy.clipping.errors import ONE_SAMPLE, ClippingError
from privacy.clipping.factors import GramCache
from privacy.clipping.head_bias import HeadBias, head_biases, record_head_bias
from privacy.clipping.layers import Layer, layer_of
from privacy.clipping.layers.embedding import EmbeddingLayer
from privacy.clipping.lookup import LookupMode
from privacy.clipping.parameter import ParameterGradient
from privacy.clipping.position_bias import is_position_bias, record_bias, table_of
from privacy.clipping.recompute import LateInput, Regions, checkpointing, is_checkpointed
from privacy.clipping.tap import Receive, tap


class Recorder:
    """Per-sample gradients of a model's trained parameters, layer by layer."""

    def __init__(self, model: nn.Module) -> None:
        self.trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._identities = {id(value) for value in self.trained.values()}
        self._model = model
        self._names = {module: name for name, module in model.named_modules()}
        self._biases = [module for module in model.modules() if is_position_bias(module)]
        apart = {table_of(module) for module in self._biases}
        self._head_biases = head_biases(model)
        self._layers: dict[nn.Module, Layer] = {}
        for module in model.modules():
            layer = layer_of(module)
            if layer is not None and module not in apart and any(map(self._wanted, module.parameters(recurse=False))):
                self._layers[module] = layer
        self.gradients: dict[int, ParameterGradient] = {}
        self.edges: list[GradientEdge] = []
        """Where the backward pass must come by: outputs of the layers, after a forward pass that keeps parameters."""
        self.listening = False
        self.low_precision = False
        """Whether any output gradient of the last backward pass came in less than float32."""
        self._grams = GramCache()
        self._keeps_edges = False
        self._samples = 0
        self._lengths: set[int] = set()
        self._regions: Regions | None = None

    @contextmanager
    def recording(self, samples: int, *, keep_parameters: bool = False) -> Iterator[None]:
        """Record the forward pass of a micro-batch of `samples`.

        Parameters need no gradient in the meantime, so that the backward pass computes none; unless `keep_parameters`.
        """
        self.gradients = {id(value): ParameterGradient(value) for value in self.trained.values()}
        self._samples, self._lengths, self.listening, self.low_precision = samples, set(), True, False
        self.edges, self._keeps_edges = [], keep_parameters
        with ExitStack() as stack:
            self._regions = None
            if is_checkpointed(self._model):
                again = partial(self._state, keep_parameters=keep_parameters)
                self._regions = Regions(again, lambda: self.listening)
                stack.enter_context(checkpointing(self._model, self._regions))
            stack.enter_context(self._state(self._layers, keep_parameters=keep_parameters))
            for module in self._biases:
                stack.callback(record_bias(module, self._record_lookup))
            for found in self._head_biases:
                stack.callback(record_head_bias(found, samples, partial(self._add_bias, found), self._tap))
            yield

    @contextmanager
    def _state(self, modules: Collection[nn.Module], *, keep_parameters: bool) -> Iterator[None]:
        """Hooks on these layers, and parameters that need no gradient: in both runs of a checkpointed region alike."""
        with ExitStack() as stack:
            for module in filter(self._layers.__contains__, modules):
                for undo in self._hook(module, self._layers[module]):
                    stack.callback(undo)
            if not keep_parameters:
                for value in self.trained.values():
                    stack.callback(value.requires_grad_, True)
                    value.requires_grad_(False)
            yield

    def finish(self) -> None:
        """The backward pass is over. Raises ClippingError where a part of it was missed."""
        self.listening = False
        self._grams.clear()
        if self._regions is not None:
            self._regions.check()

    def clear(self) -> None:
        """Let all gradients go."""
        self.listening = False
        self._grams.clear()
        self.gradients, self.edges, self._regions = {}, [], None

    def _wanted(self, parameter: Tensor | None) -> bool:
        return parameter is not None and id(parameter) in self._identities

    def _hook(self, module: nn.Module, layer: Layer) -> Iterator[Callable[[], None]]:
        if not isinstance(module, nn.Embedding):
            yield module.register_forward_hook(self._after(layer), with_kwargs=True).remove
        elif type(module).forward is nn.Embedding.forward:
            after = lambda table, inputs, output: self._record_lookup(table, inputs[0], output)  # noqa: E731
            yield module.register_forward_hook(after).remove
        else:
            mode = LookupMode(module, lambda ids, output: self._record_lookup(module, ids, output))
            yield module.register_forward_pre_hook(mode.start).remove
            yield module.register_forward_hook(mode.stop, always_call=True).remove

    def _after(self, layer: Layer) -> Callable[..., Tensor | None]:
        def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor | None:
            if not torch.is_grad_enabled():
                return None
            given: Tensor = args[0] if args else next(iter(kwargs.values()))
            return self._record(module, layer, given.detach(), output)

        return after

    def _record_lookup(self, table: nn.Embedding, ids: Tensor, output: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return output
        if len(ids) == 1 < self._samples:  # positions, token types: looked up once, then broadcast
            ids = ids.expand(self._samples, *ids.shape[1:])
            output = output.expand(self._samples, *output.shape[1:])
        return self._record(table, EmbeddingLayer(), ids, output)

    def _record(self, module: nn.Module, layer: Layer, given: Tensor, output: Tensor) -> Tensor:
        regions = self._regions
        if regions is not None and regions.running_again:
            regions.give(module, given)
            return tap(output, _ignore)  # the graph of the second run must save what that of the first did
        positions = self._positions(module, output)
        for value in module.parameters(recurse=False):
            if self._wanted(value):
                self.gradients[id(value)].positions += positions
        needed = layer.needs_input(module, self._wanted)
        if regions is not None and regions.running:
            return self._tap(output, self._late(regions, module, layer, needed=needed))
        kept = [given] if needed else []
        version = given._version

        def receive(grad: Tensor) -> None:
            if self.listening:
                if kept and kept[0]._version != version:
                    raise ClippingError(
                        f"the input of {self._names[module]!r} is changed in place after it was read, so its gradient "
                        f"is lost; {ONE_SAMPLE}"
                    )
                self._receive(module, layer, kept.pop() if kept else None, grad)  # the graph must not hold it on

        return self._tap(output, receive)

    def _late(self, regions: Regions, module: nn.Module, layer: Layer, *, needed: bool) -> Receive:
        """What receives the output gradient of a call in a region that will run again."""
        late = LateInput(module, partial(self._receive, module, layer)) if needed else None
        regions.add(module, late)

        def receive(grad: Tensor) -> None:
            if self.listening and late is not None:
                late.receive(grad)
            elif self.listening:
                self._receive(module, layer, None, grad)

        return receive

    def _tap(self, output: Tensor, receive: Receive) -> Tensor:
        tapped = tap(output, receive)
        if self._keeps_edges:
            self.edges.append(get_gradient_edge(tapped))
        return tapped

    def _positions(self, module: nn.Module, output: Tensor) -> int:
        """Positions per sample; raises ClippingError where the samples cannot be told apart."""
        samples, shape = self._samples, output.shape
        if shape[0] == samples:
            if len(shape) > 2:
                self._lengths.add(shape[1])
            return shape[:-1].numel() // samples
        if len(shape) == 2 and shape[0] % samples == 0 and shape[0] // samples in self._lengths:
            return shape[0] // samples  # tokens of the batch one after the other, as in OPT
        raise ClippingError(
            f"the output of {self._names[module]!r} ({type(module).__name__}) has shape {tuple(shape)} in a batch of "
            f"{samples}: not one part per sample, so the gradients of samples cannot be told apart; {ONE_SAMPLE}"
        )

    def _add_bias(self, found: HeadBias, gradient: Tensor) -> None:
        if self.listening:
            self.gradients[id(found.value)].add(gradient, self._grams)

    def _receive(self, module: nn.Module, layer: Layer, given: Tensor | None, grad: Tensor) -> None:
        self.low_precision |= grad.dtype.itemsize < torch.float32.itemsize
        grad = grad.detach().reshape(self._samples, -1, grad.shape[-1])
        if given is not None:
            features = () if isinstance(layer, EmbeddingLayer) else given.shape[-1:]
            given = given.reshape(self._samples, -1, *features)
        for parameter, gradient in layer.gradients(module, given, grad, self._wanted):
            self.gradients[id(parameter)].add(gradient, self._grams)


def _ignore(_: Tensor) -> None:
    pass
