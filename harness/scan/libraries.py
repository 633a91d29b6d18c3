"""Installed libraries with known holes that a checkpoint could use, and what closes each here all the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from harness.scan.finding import LibraryNote

AS_OF = "2026-11-28"
"""When the table was last compared with the advisories it names."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Versions from `since` (included) to `fixed` (excluded)."""

    library: str
    since: str
    fixed: str
    name: str
    what: str
    closed_by: str
    source: str


HOLES = (
    Hole(
        "transformers", "4.56.0", "5.3.0", "CVE-2026-4372",
        "_attn_implementation_internal in config.json fetches and runs a kernel from the hub",
        "the key never reaches a config class, and loading is offline; rule code/internal",
        "https://github.com/advisories/GHSA-29pf-2h5f-8g72",
    ),
    Hole(
        "transformers", "0", "5.5.0", "CVE-2026-5241",
        "LightGlue takes trust_remote_code from config.json (said of 5.2 to 5.4; the advisory names all before 5.5)",
        "only text architectures are loaded, and nested trust never reaches them; rules code/trust, code/backbone",
        "https://github.com/advisories/GHSA-fgcw-684q-jj6r",
    ),
    Hole(
        "transformers", "0", "5.0.0", "CVE-2026-1839",
        "Trainer reads rng_state files with an unrestricted torch.load",
        "Assay does not use Trainer, and stages no such file",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-1839",
    ),
    Hole(
        "transformers", "4.52.0", "5.0.0", "custom_generate",
        "generate() runs custom_generate/generate.py of a local folder whatever trust_remote_code says",
        "the folder is never staged; rule code/custom-generate",
        "transformers 4.57, generation/utils.py",
    ),
    Hole(
        "torch", "0", "2.6.0", "CVE-2025-32434",
        "torch.load runs code of legacy archives even with weights_only=True",
        "pickled weights are refused without --allow-pickle; Assay asks for torch 2.6 or later",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-32434",
    ),
    Hole(
        "torch", "0", "2.10.0", "CVE-2026-24747",
        "a crafted pickle corrupts memory in torch.load with weights_only=True",
        "pickled weights are refused without --allow-pickle",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-24747",
    ),
    Hole(
        "peft", "0", "0.20.0", "megatron_core, parent_library",
        "megatron_core and auto_mapping.parent_library in adapter_config.json import any module",
        "the keys are left out when an adapter is staged; rule code/class-path",
        "https://github.com/huggingface/peft/pull/3090",
    ),
    Hole(
        "jinja2", "0", "3.1.6", "CVE-2025-27516",
        "templates leave the sandbox through the filter attr",
        "Assay renders no chat template of a checkpoint; rule code/template",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-27516",
    ),
    Hole(
        "picklescan", "0", "0.0.31", "CVE-2025-10155, -10156, -10157",
        "pickles with other file endings, damaged archives or submodules pass as safe",
        "it is only a second opinion, and is handed the pickles themselves",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-10155",
    ),
)  # fmt: skip


def installed(name: str) -> str | None:
    """Version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def known_holes(version_of: Callable[[str], str | None] = installed) -> tuple[LibraryNote, ...]:
    """Holes of the versions that are installed; a version that cannot be read counts as affected."""
    found = []
    for hole in HOLES:
        have = version_of(hole.library)
        if have is None:
            continue
        numbers = release(have)
        if numbers is None or release(hole.since) <= numbers < release(hole.fixed):  # type: ignore[operator]
            found.append(
                LibraryNote(
                    library=hole.library,
                    installed=have[:40],
                    hole=hole.name,
                    affected=f"before {hole.fixed}" if hole.since == "0" else f"{hole.since} to before {hole.fixed}",
                    what=hole.what,
                    closed_by=hole.closed_by,
                    source=hole.source,
                )
            )
    return tuple(found)


def release(text: str) -> tuple[int, int, int, int] | None:
    """Major, minor, patch, and -1 for a version before its release; None where it is none."""
    match = re.match(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:\.\d+)*((?:a|b|rc|\.?dev)\d*)?", text)
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups()[:3])
    return major, minor, patch, -1 if match[4] else 0
