"""Loading without the chatter of libraries; what matters is in notes and errors."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, warnings or log lines of transformers and its loaders; their settings come back afterwards."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # the GGUF reader draws a bar regardless
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


@contextmanager
def offline() -> Iterator[None]:
    """Inside, transformers and the hub's client reach no hub, whatever a file asks for, and find no token."""
    from huggingface_hub import constants
    from transformers.utils import hub

    tokens = {name: os.environ.pop(name) for name in _TOKENS if name in os.environ}
    flags = ((constants, "HF_HUB_OFFLINE"), (hub, "_is_offline_mode"))  # the latter on version 4 alone
    places = [(module, name) for module, name in flags if hasattr(module, name)]
    before = [getattr(module, name) for module, name in places]
    for module, name in places:
        setattr(module, name, True)
    try:
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)
        os.environ.update(tokens)
