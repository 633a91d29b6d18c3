"""A second scanner of pickles: picklescan, where the extra `scan` is installed. It is handed bytes, never a path."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from harness.scan.libraries import installed
from harness.scan.notebook import Notebook, shown

ABSENT = "none: pip install 'assay[scan]' adds picklescan's"
_MOST = 32 * 2**20
"""Bytes of one pickle that it is asked about: it holds them whole. Pickles inside torch's archives have some 100 KB."""


@dataclass
class SecondOpinion:
    """Asks about pickles one at a time."""

    asked: int = 0
    disagreed: int = 0
    too_large: list[str] = field(default_factory=list)

    @staticmethod
    def available() -> bool:
        """Whether the other scanner is installed."""
        return find_spec("picklescan") is not None

    def ask(self, file: str, content: bytes, notebook: Notebook) -> None:
        """Note what it calls dangerous; what it cannot read is noted as well."""
        if not self.available():
            return
        if len(content) > _MOST:
            self.too_large.append(file)
            return
        import picklescan.scanner as other

        self.asked += 1
        try:
            result: Any = other.scan_pickle_bytes(io.BytesIO(content), shown(file))
        except Exception as error:  # a third party's reader of hostile bytes
            notebook.find("pickle/broken", file, f"picklescan could not read it ({type(error).__name__})", "picklescan")
            return
        bad = [each for each in result.globals if str(getattr(each.safety, "value", "")) == "dangerous"]
        if bad:
            self.disagreed += 1
            names = ", ".join(shown(f"{each.module}.{each.name}", 60) for each in bad[:5])
            notebook.find("pickle/second-opinion", file, f"picklescan calls it dangerous: {names}")

    @property
    def sentence(self) -> str:
        """Who was asked, about how much, and what came of it."""
        if not self.available():
            return ABSENT
        large = f", {len(self.too_large)} too large for it" if self.too_large else ""
        found = f"{self.disagreed} called dangerous" if self.disagreed else "none called dangerous"
        return f"picklescan {installed('picklescan')}: {self.asked} pickles asked about, {found}{large}"
