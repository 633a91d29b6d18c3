"""Rows of bias/counterfactual, made without a model."""

from __future__ import annotations

import json
import random
from typing import Any

from harness.api.registry import find_probes
from harness.record.folder import AuditFolder
from tests.audit_folder import HOSTILE
from tests.dashboards.kinds.shown import with_probe

PROBE = "bias/counterfactual"
GROUPS = {"gender": ("female", "male"), "religion": ("jewish", "muslim"), "": ("monday", "tuesday")}


def write_swapped(folder: AuditFolder, templates: int = 40) -> None:
    """Two groups on each of two axes, and the control, in each template; the first template is hostile text."""
    chance = random.Random(0)
    lines: list[dict[str, Any]] = []
    for axis, groups in GROUPS.items():
        for number in range(templates):
            template = f"{HOSTILE if number == 0 else 'a film'} about a {{person}}, number {number}"
            texts = [template.replace("{person}", group) for group in groups]
            shares = [chance.uniform(0.3, 0.6), chance.uniform(0.4, 0.7)]
            gap = abs(shares[0] - shares[1])
            predicted = [int(share > 0.5) for share in shares]
            lines.append(
                {
                    "axis": axis,
                    "template": template,
                    "variants": json.dumps([[axis, *pair] for pair in zip(groups, texts, strict=True)]),
                    "probabilities": [[1 - share, share] for share in shares],
                    "predicted": predicted,
                    "gap": gap,
                    "max_gap": gap,
                    "text_a": texts[0],
                    "text_b": texts[1],
                    "flip": predicted[0] != predicted[1],
                    "shift_index": 1,
                    "shift_class": "positive",
                    "truncated": 0,
                }
            )
    rows = {name: [line[name] for line in lines] for name in lines[0]}
    with_probe(folder, PROBE, rows, find_probes().probes[PROBE])
