"""publish(): weights, tokenizer, config and claim of a private checkpoint in a folder of their own."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.base.files import make_folder, write_text
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.errors import UsageError
from harness.provenance.artefacts import find_artefact, may_read
from harness.provenance.claim import rounded_up
from harness.provenance.claim_check import ClaimCheck
from harness.provenance.manifest import MANIFEST_NAME, PrivacyClaim, TrainingManifest
from privacy.ledger import LedgerError, read_chain
from privacy.lineage import LEDGER_NAME, earlier_ledger
from privacy.training.records.save import partial_folder
from privacy.verification.verify import verify_claim

_PUBLIC = (
    *("config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"),
)
"""Files that may go out as they are: training wrote them from the weights, the base's files and the spec."""
_SHARDS = "model-*-of-*.safetensors"
_KEYLESS = (
    "published: the key of its records' digests stays with its owner, so which records it was trained on is the "
    "owner's word"
)
_UNPROVEN = (
    "published without its privacy ledger, which holds a digest of the records that has no key: the bound cannot be "
    "recomputed"
)


@dataclass(frozen=True, slots=True)
class Published:
    """A folder that may be handed on."""

    folder: Path
    written: tuple[str, ...]
    left_out: tuple[str, ...]
    """Files of the checkpoint that are not there, and what was taken out of its manifest."""
    check: ClaimCheck
    """Of the claim, from what lies in the folder alone."""

    @property
    def sentence(self) -> str:
        """What was written, what was left out, and what others can verify."""
        said = (
            f"epsilon <= {rounded_up(self.check.epsilon)} is recomputed from what is there"
            if self.check.verified and self.check.epsilon is not None
            else f"from what is there the claim is not verifiable: {self.check.reason}"
        )
        return "\n".join(
            [
                f"{self.folder}: {', '.join(self.written)}",
                f"left out: {'; '.join(self.left_out) or 'nothing'}",
                f"{said}; nobody but you can check on which records it was trained",
            ]
        )


def publish(checkpoint: Path, output: Path) -> Published:
    """Write what of `checkpoint` may be handed on to the new folder `output`.

    Raises UsageError: no claim of privacy belongs to these weights, its class names may come from the records, or the
    output exists, or an artefact for all is not what training left; CheckpointError where the checkpoint is
    not readable.
    """
    if output.exists():
        raise UsageError(f"{output}: exists; choose a new folder")
    info = inspect_checkpoint(CheckpointSource(source=str(checkpoint)))
    manifest, folder = info.manifest, info.path
    if manifest is None or manifest.privacy is None or not folder.is_dir():
        raise UsageError(
            f"{checkpoint}: no claim of privacy belongs to its weights, so everything in it may tell of its records; "
            "only a checkpoint that was trained with privacy is published"
        )
    if math.isinf(manifest.privacy.epsilon):
        raise UsageError(f"{checkpoint}: was trained without noise, so nothing bounds what it tells of its records")
    if output.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{output}: lies inside the checkpoint; choose a folder elsewhere")
    _check_names(checkpoint, manifest)
    ledgers = _ledgers(folder, manifest.privacy)
    proven = len(ledgers) == 1 + len(manifest.privacy.earlier)
    public = _public(folder, manifest)
    names = [*sorted(public), *(ledgers if proven else ())]
    cleared = _cleared(manifest, manifest.privacy, proven)
    make_folder(output.parent)
    with partial_folder(output, replace=False) as partial:
        for name in names:
            _copy(folder / name, partial / name)
        write_text(partial / MANIFEST_NAME, cleared.model_dump_json(indent=2) + "\n")
    left = sorted(path.name for path in folder.iterdir() if path.name not in {*names, MANIFEST_NAME})
    check = verify_claim(output, cleared, info.fingerprint.weights)
    return Published(output, (*names, MANIFEST_NAME), (*left, *_taken(manifest, cleared)), check)


def _public(folder: Path, manifest: TrainingManifest) -> set[str]:
    """What may go out as it is: what training writes of weights and tokenizer, and artefacts that are for all."""
    kinds = {path.name for pattern in (*_PUBLIC, _SHARDS) for path in folder.glob(pattern) if path.is_file()}
    mine = {each.file for each in manifest.artefacts}
    given = [each.name for each in manifest.artefacts if may_read("published", each)]
    return (kinds - mine) | {find_artefact(folder, manifest.artefacts, name, "published").name for name in given}


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _check_names(checkpoint: Path, manifest: TrainingManifest) -> None:
    """An older version read class names from the records, and config.json has them."""
    if manifest.task == "classification" and manifest.digest_key is None and not manifest.config.get("label_names"):
        raise UsageError(
            f"{checkpoint}: its class names were read from its records, so a single record may stand in config.json; "
            "train it again with label_names"
        )


def _ledgers(folder: Path, claim: PrivacyClaim) -> list[str]:
    """Names of the claim's ledgers that are there and whose digest of the records has a key."""
    found = []
    for name in (LEDGER_NAME, *(earlier_ledger(number) for number in range(1, len(claim.earlier) + 1))):
        try:
            keyed = read_chain(folder / name).header.digest_key is not None
        except LedgerError:
            continue
        if keyed:
            found.append(name)
    return found


def _cleared(manifest: TrainingManifest, claim: PrivacyClaim, proven: bool) -> TrainingManifest:
    """The manifest without facts that noise does not protect."""
    note = "; ".join(filter(None, (claim.note, _KEYLESS if proven else _UNPROVEN)))
    kept = {} if manifest.digest_key else {"members_digest": "", "non_members_digest": None}
    others = tuple(each for each in manifest.artefacts if may_read("audit", each))  # an auditor may be given them
    gone = {"losses": (), "seconds": None, "peak_memory": None, "hardening": None, "artefacts": others}
    return manifest.model_copy(
        update={**kept, **gone, "privacy": claim.model_copy(update={"unprivatised": None, "note": note})}
    )


def _taken(before: TrainingManifest, after: TrainingManifest) -> list[str]:
    """What the manifest lost, by name."""
    values, left = before.model_dump(mode="json"), after.model_dump(mode="json")
    names = [name for name, value in values.items() if name != "privacy" and value != left[name]]
    if before.privacy is not None and before.privacy.unprivatised is not None:
        names.append("privacy.unprivatised")
    return [f"{', '.join(names)} of {MANIFEST_NAME}"] if names else []
