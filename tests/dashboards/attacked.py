"""Rows of an attack, made without a model."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq

from harness.record.folder import AuditFolder
from harness.record.rows import row_parts
from tests.audit_folder import HOSTILE


def write_attacked(folder: AuditFolder) -> None:
    """Three attacked texts in place of the audit's own rows: one that changed, one that held, one that was skipped."""
    (part,) = row_parts(folder.path, "adversarial/deepwordbug")
    texts = [f"{HOSTILE} a fine film", "a fine film, number 1", "a fine film, number 2"]
    rows = {
        "case_id": [f"case-{index}" for index in range(3)],
        "status": ["ok"] * 3,
        "text": texts,
        "perturbed_text": [texts[0].replace("fine", "fnie"), texts[1].replace("fine", "fin"), None],
        "diff_spans": [json.dumps([[len(HOSTILE) + 3, len(HOSTILE) + 7] * 2]), "[[2, 6, 2, 5]]", None],
        "outcome": ["succeeded", "failed", "skipped"],
        "label": [0, 1, 0],
        "predicted": [0, 1, 1],
        "final_predicted": [1, 1, None],
        "score": [0.9, 0.8, 0.4],
        "perturbed_score": [0.2, 0.7, None],
        "queries": [12, 30, 1],
    }
    pq.write_table(pa.table(rows), part)
