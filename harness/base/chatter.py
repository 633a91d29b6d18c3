"""What libraries log while they are imported, and no reader can act on."""

from __future__ import annotations

import logging

_CHATTY = ("torchao", "torch.utils._pytree")
"""torchao, which transformers imports where it is there: compiled parts for other machines, names soon to be old."""


def hush() -> None:
    """Let only errors of these be seen; before they are imported."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
