"""absl, which dp_accounting logs by, closes the stderr that it saw when imported as soon as logging is configured anew.

TextAttack's flair configures logging when it is imported; where stderr was replaced meanwhile, as pytest and notebooks
do, their stream is then closed under them.
"""

from __future__ import annotations

import sys


def keep_streams_open() -> None:
    """Have absl write to the process' own stderr, which it leaves open. Call it before dp_accounting is imported."""
    from absl import logging

    if sys.__stderr__ is not None:
        logging.get_absl_handler().python_handler.setStream(sys.__stderr__)
