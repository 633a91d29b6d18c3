"""Gradient checkpointing under book-keeping: what a layer read is taken when its region runs a second time.

The first run of a region (Chen et al. 2016, arXiv 1604.06174; torch.utils.checkpoint, not reentrant) builds the graph
that the backward pass goes through, so its outputs are tapped as ever; but inputs kept from it would be the very memory
that checkpointing saves. They are taken from the second run, whose calls come in the order of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from privacy.clipping.errors import ClippingError

_FUNCTION = "_gradient_checkpointing_func"
"""Where transformers keeps what runs a region."""

Use = Callable[[Tensor, Tensor], None]
"""Called with what a layer read and its output gradient."""
Again = Callable[[set[nn.Module]], AbstractContextManager[None]]
"""Context that puts these modules in the state of the first run, for the second."""


class LateInput:
    """One call of a layer in a region: its input and its output gradient, whichever comes first."""

    def __init__(self, module: nn.Module, use: Use) -> None:
        self.module = module
        self._use = use
        self._given: Tensor | None = None
        self._grad: Tensor | None = None

    @property
    def waiting(self) -> bool:
        """Whether a gradient came, and no input."""
        return self._grad is not None

    def give(self, given: Tensor) -> None:
        """The input, from the second run."""
        self._given = given
        self._meet()

    def receive(self, grad: Tensor) -> None:
        """The output gradient."""
        self._grad = grad
        self._meet()

    def _meet(self) -> None:
        if self._given is not None and self._grad is not None:
            given, grad, self._given, self._grad = self._given, self._grad, None, None
            self._use(given, grad)


class Regions:
    """The checkpointed regions of one forward pass."""

    def __init__(self, again: Again, listening: Callable[[], bool]) -> None:
        self._again = again
        self._listening = listening
        self._first: list[LateInput | None] | None = None
        self._second: Iterator[LateInput | None] | None = None
        self._modules: set[nn.Module] = set()
        """Of the region that runs for the first time."""
        self._all: list[LateInput] = []

    @property
    def running(self) -> bool:
        """Whether a region runs for the first time."""
        return self._first is not None

    @property
    def running_again(self) -> bool:
        """Whether a region runs for the second time."""
        return self._second is not None

    def add(self, module: nn.Module, late: LateInput | None) -> None:
        """The call of a layer in the first run; None where its input is not needed."""
        assert self._first is not None
        self._first.append(late)
        self._modules.add(module)
        if late is not None:
            self._all.append(late)

    def give(self, module: nn.Module, given: Tensor) -> None:
        """The input of the same call in the second run. Raises ClippingError where the runs differ."""
        assert self._second is not None
        late = next(self._second, None)
        if late is not None and late.module is not module:
            raise ClippingError("a checkpointed layer took another way when it ran again; switch checkpointing off")
        if late is not None and self._listening():
            late.give(given)

    def check(self) -> None:
        """Raise ClippingError where a gradient came and no input: the sum would lack it."""
        missed = [late.module for late in self._all if late.waiting]
        if missed:
            raise ClippingError(
                f"a checkpointed {type(missed[0]).__name__} did not run again in the backward pass, so its gradient is "
                "lost; switch gradient checkpointing off"
            )

    def contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For the first and the second run of one region (torch's `context_fn`)."""
        calls: list[LateInput | None] = []
        modules: set[nn.Module] = set()
        return self._run_first(calls, modules), _Repeated(lambda: self._run_again(calls, modules))

    @contextmanager
    def _run_first(self, calls: list[LateInput | None], modules: set[nn.Module]) -> Iterator[None]:
        before = self._first, self._modules
        self._first, self._modules = calls, modules
        try:
            yield
        finally:
            self._first, self._modules = before

    @contextmanager
    def _run_again(self, calls: list[LateInput | None], modules: set[nn.Module]) -> Iterator[None]:
        self._second = iter(calls)
        try:
            with self._again(modules):
                yield
        finally:
            self._second = None


class _Repeated(AbstractContextManager[None]):
    """A context made anew each time it is entered: a region runs again in every backward pass, the check's included."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._open: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        context = self._make()
        context.__enter__()
        self._open.append(context)

    def __exit__(self, *error: Any) -> None:
        self._open.pop().__exit__(*error)


def is_checkpointed(model: nn.Module) -> bool:
    """Whether regions of `model` are to run a second time."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def regions_of(model: nn.Module) -> list[nn.Module]:
    """Modules that say by which function their regions run."""
    return [module for module in model.modules() if getattr(module, _FUNCTION, None) is not None]


@contextmanager
def checkpointing(model: nn.Module, regions: Regions) -> Iterator[None]:
    """Have the regions of a transformers model run as `regions` needs it, whatever way was chosen for it."""
    # whole regions run again: a layer whose weight asks for no gradient keeps no input, and torch would stop before it
    run = partial(checkpoint, use_reentrant=False, early_stop=False, context_fn=regions.contexts)
    before = {module: getattr(module, _FUNCTION) for module in regions_of(model)}
    try:
        for module in before:
            setattr(module, _FUNCTION, run)
        yield
    finally:
        for module, function in before.items():
            setattr(module, _FUNCTION, function)
