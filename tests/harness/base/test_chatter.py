from __future__ import annotations

import logging

import pytest

from harness.base.chatter import hush


@pytest.mark.parametrize("name", ["torchao", "torchao.quantization", "torch.utils._pytree"])
def test_warnings_of_chatty_libraries_are_not_seen_and_errors_are(name: str) -> None:
    hush()
    logger = logging.getLogger(name)
    assert not logger.isEnabledFor(logging.WARNING)
    assert logger.isEnabledFor(logging.ERROR)


def test_other_libraries_keep_their_warnings() -> None:
    hush()
    assert logging.getLogger("torch").isEnabledFor(logging.WARNING)
