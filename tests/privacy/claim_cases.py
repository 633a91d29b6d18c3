"""Finished private runs without their training: a ledger, a manifest and a claim as `assay train` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.provenance.claim_check import ClaimCheck
from harness.provenance.manifest import PrivacyClaim, TrainingManifest, Unprivatised, read_manifest
from privacy.ledger.chain import header_line, step_line
from privacy.ledger.header import LedgerHeader
from privacy.training.data.units import EACH_RECORD, Unit
from privacy.training.private.guarantee import Guarantee, Spent, bands_of, claim_of, sampling_of
from privacy.training.private.session import LEDGER_NAME, ledger_header
from privacy.training.settings.privacy_spec import PrivacySpec
from privacy.training.settings.spec import TrainSpec
from privacy.verification.recompute import recompute_here
from privacy.verification.verify import verify_claim

WEIGHTS = "e" * 64
RECORDS, BATCH, EPOCHS = 64, 16, 2


@dataclass(frozen=True, slots=True)
class Run:
    """A folder as a checkpoint's, with what was written into it."""

    folder: Path
    header: LedgerHeader
    manifest: TrainingManifest

    @property
    def claim(self) -> PrivacyClaim:
        assert self.manifest.privacy is not None
        return self.manifest.privacy

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER_NAME

    def checked(self, manifest: TrainingManifest | None = None, weights: str = WEIGHTS) -> ClaimCheck:
        """The answer of the verifier, in this process."""
        return verify_claim(self.folder, manifest or self.manifest, weights, recompute_here)

    def claiming(self, **changes: Any) -> TrainingManifest:
        """The manifest with other numbers in its claim."""
        return self.manifest.model_copy(update={"privacy": self.claim.model_copy(update=changes)})


def ledger_bytes(header: LedgerHeader, steps: int) -> tuple[bytes, str]:
    """A whole ledger and the hash of its last line."""
    line, head = header_line(header)
    lines = [line]
    for step in range(steps):
        line, head = step_line(step, head)
        lines.append(line)
    return b"".join(lines), head


def make_run(folder: Path, *, unit: Unit | None = None, **privacy: Any) -> Run:
    """A run of 64 records, finished; by its own header, claim and accountant."""
    unit = unit or Unit(EACH_RECORD, RECORDS, 1)
    column = {} if unit.name == EACH_RECORD else {"unit": unit.name.split()[-1]}
    spec = TrainSpec.model_validate(
        {
            "base": "base",
            "task": "classification",
            "data": "records.jsonl",
            "output": "out",
            "batch_size": BATCH,
            "epochs": EPOCHS,
            "privacy": {"noise_multiplier": 1.5, **column, **privacy},
        }
    )
    assert spec.privacy is not None
    guarantee = _guarantee(spec, spec.privacy, unit)
    header = ledger_header(spec, guarantee, "d" * 64, "b" * 64, 1)
    content, head = ledger_bytes(header, header.steps)
    facts = Unprivatised(losses=(0.5, 0.4), clipped=0.5, norm_quantiles={}, non_finite=0, drawn=128)
    claim = claim_of(guarantee, spec, Spent(header.steps, 1, head, 1, facts), ("the vocabulary",))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LEDGER_NAME).write_bytes(content)
    return Run(folder, header, _manifest(spec, header, claim))


def genuine(output: Path) -> PrivacyClaim:
    """The claim of a checkpoint that was really trained, once it is verified."""
    manifest = read_manifest(output)
    assert manifest is not None
    assert manifest.privacy is not None
    checked = verify_claim(output, manifest, manifest.weights, recompute_here)
    assert checked == ClaimCheck.holds(manifest.privacy.epsilon), checked.reason
    return manifest.privacy


def facts(claim: PrivacyClaim) -> Unprivatised:
    """What is unprivatised in a claim that was not published."""
    assert claim.unprivatised is not None
    return claim.unprivatised


def _guarantee(spec: TrainSpec, privacy: PrivacySpec, unit: Unit) -> Guarantee:
    noise = 1.5 if privacy.noise_multiplier is None else privacy.noise_multiplier
    delta = 1 / (10 * unit.count)
    bands = bands_of(spec, privacy, RECORDS, delta)
    sampling = sampling_of(spec, privacy, RECORDS, bands)
    return Guarantee(privacy, unit, sampling, RECORDS, delta, noise, bands)


def _manifest(spec: TrainSpec, header: LedgerHeader, claim: PrivacyClaim) -> TrainingManifest:
    return TrainingManifest.model_validate(
        {
            "task": "classification",
            "base": "base",
            "base_fingerprint": header.base_fingerprint,
            "weights": WEIGHTS,
            "members": {"source": "records.jsonl"},
            "members_digest": header.data_digest,
            "members_n": RECORDS,
            "seed": 0,
            "config": spec.canonical(),
            "steps": claim.steps,
            "versions": {},
            "privacy": claim,
        }
    )
