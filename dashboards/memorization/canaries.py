"""Planted records one by one, as an audit left them: what was guessed of each, and what its coin said; pure.

The coins are never read here: rows hold them since the audit that made the rows opened them, after its guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from harness.api.case import make_cases
from harness.base.language import _
from harness.stats.places import places

SCORED = ("case_id", "kind", "label", "score", "planted")
EXPOSED = ("case_id", "pattern", "repetitions", "planted", "rank", "exposure", "references", "found")


def guessed(good: pd.DataFrame) -> pd.DataFrame:
    """A line per canary that epsilon was audited with, the likeliest first: its place among its kind, guess and coin.

    The guess is that of all canaries: 'planted' for the upper half, so that as many are right as `guesses_right` says,
    but for equal scores at the edge, which it counts as wrong.
    """
    place = pd.Series(places(good["score"], good["kind"], good["label"].fillna("")), index=good.index)
    upper = place.rank(method="first") > len(good) / 2
    planted = good["planted"].astype(bool)
    found = pd.DataFrame(
        {
            "case_id": good["case_id"],
            "kind": good["kind"],
            "class": good["label"].fillna(""),
            "score": good["score"],
            "place": place,
            "guess": upper.map(_said),
            "coin": planted.map(_said),
            "is": (upper == planted).map({True: _("right"), False: _("wrong")}),
        }
    )
    return found.sort_values("place", ascending=False, kind="stable", ignore_index=True)


def exposed(good: pd.DataFrame) -> pd.DataFrame:
    """A line per secret that was ranked, the most exposed first."""
    planted = good["planted"].astype(bool)
    found = pd.DataFrame(
        {
            "case_id": good["case_id"],
            "pattern": good["pattern"],
            "copies": good["repetitions"].where(planted, 0),
            "coin": planted.map(_said),
            "exposure": good["exposure"],
            "rank": good["rank"],
            "among": good["references"] + 1,
        }
    )
    return found.sort_values("exposure", ascending=False, kind="stable", ignore_index=True)


def texts_by_case(listed: Iterable[Mapping[str, object]], seed: int) -> dict[str, Mapping[str, object]]:
    """Canaries by the ids of their cases: an id is the digest of the canary and its place, and says nothing itself.

    `listed`: as the training's own list has them. `seed`: of the audit, which is part of a ranked secret's case.
    """
    kept = list(listed)
    found: dict[str, Mapping[str, object]] = {}
    for more in ({}, {"seed": seed}):
        chosen = [
            (place, canary)
            for place, canary in enumerate(kept)
            if (canary.get("pattern") is not None if more else canary.get("repetitions") == 1)
        ]
        cases = make_cases({"place": place, **more, **canary} for place, canary in chosen)
        found |= {case.id: canary for case, (_place, canary) in zip(cases, chosen, strict=True)}
    return found


def _said(planted: bool) -> str:
    return _("planted") if planted else _("not planted")
