"""Puts a finished checkpoint in place: whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.base.files import explain, make_folder, system_error, write_text
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.checkpoint.quiet import quiet
from harness.errors import UsageError
from harness.provenance.keys import same_digest
from harness.provenance.manifest import MANIFEST_NAME, PrivacyClaim, TrainingManifest, read_manifest
from privacy.canaries.store import finish
from privacy.training.settings.spec import TrainSpec, config_digest


def finished_checkpoint(spec: TrainSpec, members_digest: str) -> TrainingManifest | None:
    """The manifest in `spec.output` when the same training on the same records is done; None when nothing is there.

    Raises UsageError when something else is there, or when its weights are not those of its manifest.
    """
    if not spec.output.exists():
        return None
    manifest = read_manifest(spec.output) if spec.output.is_dir() else None
    if manifest is None:
        raise UsageError(f"{spec.output}: exists and is no trained checkpoint; choose another output or use --replace")
    if config_digest(_settings(manifest)) != spec.digest():
        raise UsageError(
            f"{spec.output}: was trained with other settings ({_difference(manifest, spec)}); "
            "choose another output or use --replace"
        )
    if not same_digest(manifest.members_digest, manifest.digest_key, members_digest, spec.output):
        raise UsageError(
            f"{spec.output}: was trained on other records than {spec.data.source} now holds; use --replace"
        )
    if inspect_checkpoint(CheckpointSource(source=str(spec.output))).fingerprint.weights != manifest.weights:
        raise UsageError(f"{spec.output}: its weights are not those of its manifest; use --replace to train again")
    if manifest.privacy is not None:
        _check_ledger(spec.output, manifest.privacy)
    return manifest


def _check_ledger(output: Path, claim: PrivacyClaim) -> None:
    from privacy.ledger import read_chain  # it imports torch
    from privacy.lineage import LEDGER_NAME

    chain = read_chain(output / LEDGER_NAME)
    if (chain.spent, chain.head) != (claim.steps, claim.ledger):
        raise UsageError(
            f"{output}: the privacy ledger beside the weights holds {chain.spent} noisy steps, the manifest claims "
            f"{claim.steps} and another last line; restore both from the run that made them, or use --replace"
        )


def check_output(spec: TrainSpec, replace: bool) -> None:
    """Raises UsageError when the output would overwrite something, before any work is done."""
    if spec.output.exists() and not replace:
        raise UsageError(f"{spec.output}: exists; choose another output, or use --replace to overwrite it")


@contextmanager
def partial_folder(output: Path, *, replace: bool) -> Iterator[Path]:
    """A folder beside `output` to fill; renamed to `output` at the end, removed when anything (Ctrl-C too) stops it.

    Raises UsageError where something lies at `output` by then, unless `replace`.
    """
    partial = output.with_name(f"{output.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(mode=0o700)
        yield partial
        _put_in_place(partial, output, replace)
    except Exception as error:
        raise explain(system_error(error), output) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_weights(folder: Path, model: Any, tokenizer: Any) -> str:
    """Weights, config and tokenizer; the digest of the weights as they lie there."""
    with quiet():  # transformers warns of what does not concern a checkpoint that is only written
        model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
    return inspect_checkpoint(CheckpointSource(source=str(folder))).fingerprint.weights


def write_manifest(folder: Path, manifest: TrainingManifest) -> None:
    """Beside the weights it belongs to."""
    write_text(folder / MANIFEST_NAME, manifest.model_dump_json(indent=2) + "\n")


def _put_in_place(partial: Path, output: Path, replace: bool) -> None:
    _flush(partial)
    if not replace or not os.path.lexists(output):
        _rename_new(partial, output)
        return
    old = output.with_name(f"{output.name}.old-{os.getpid()}")
    output.rename(old)
    try:
        partial.rename(output)
    except BaseException:  # Ctrl-C too: rather the old checkpoint than none
        old.rename(output)
        raise
    if old.is_dir():
        _keep_ledgers(old, output)
        shutil.rmtree(old)
    else:
        old.unlink()


def _keep_ledgers(old: Path, output: Path) -> None:
    """A finished private run that is replaced has spent its budget all the same: its ledgers stay, with its claim."""
    from privacy.lineage import RECORDS_NAME, records_path  # it imports torch

    ledgers = sorted(old.glob("privacy_ledger*.jsonl"))
    if ledgers:
        aside = make_folder(replaced_folder(output))
        for path in (*ledgers, old / MANIFEST_NAME):
            if path.exists():
                path.rename(aside / path.name)
        digests = records_path(output)  # of what is replaced until its own are written
        if digests.is_file():
            shutil.copy2(digests, aside / RECORDS_NAME)


def keep_canaries(spec: TrainSpec) -> None:
    """Name the canaries of a finished training as those of its output; what was there before is kept aside."""
    if spec.canaries is not None:
        finish(spec.output, spec.digest(), lambda: replaced_folder(spec.output))


def replaced_folder(output: Path) -> Path:
    """A new name beside `output` for what is kept of a checkpoint that it replaces."""
    return output.with_name(f"{output.name}.replaced.{stamp()}")


def stamp() -> str:
    """Part of a name that no other has: the time, UTC, and a random end."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}.{secrets.token_hex(3)}"


def _rename_new(partial: Path, output: Path) -> None:
    """Never over what another process has put there meanwhile."""
    try:
        if os.path.lexists(output):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        partial.rename(output)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise UsageError(
            f"{output}: exists by now, made while this was going on; nothing is overwritten, choose another output or "
            "use --replace"
        ) from error


def _flush(folder: Path) -> None:
    """Force content to disk before the rename, so that a power cut cannot leave a named but empty checkpoint."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _settings(manifest: TrainingManifest) -> dict[str, Any]:
    """Settings of the manifest; those that came after it was written have their defaults."""
    try:
        return TrainSpec.model_validate({**manifest.config, "output": "."}).canonical()
    except ValidationError:
        return manifest.config


def _difference(manifest: TrainingManifest, spec: TrainSpec) -> str:
    ours, theirs = spec.canonical(), _settings(manifest)
    keys = [key for key in {**ours, **theirs} if theirs.get(key) != ours.get(key)]
    return "; ".join(f"{key}: {theirs.get(key)!s:.60} there, {ours.get(key)!s:.60} asked" for key in keys[:3])
