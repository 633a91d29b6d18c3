"""Runs a hardening: train, attack, train on, audit, compare. What is finished is kept, what was stopped goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.provenance.manifest import HardeningRecord

if TYPE_CHECKING:
    from rich.console import Group

import os
from collections.abc import Iterator, Mapping

from harness.api.progress import Watch
from harness.audit.plan import make_plan
from harness.base.files import write_text
from harness.campaign.audited import Audited
from harness.errors import DataError, UsageError
from harness.provenance.manifest import TrainingManifest
from harness.record.environment import package_versions
from privacy.training.data.load import TrainingData, load_training_data
from suites.adversarial.harden.audits import audit_spec, run_audits
from suites.adversarial.harden.compare import changes, not_by_row
from suites.adversarial.harden.folder import HardeningFolder, open_folder
from suites.adversarial.harden.result import (
    MARKDOWN,
    RESULT,
    Checkpoint,
    Comparison,
    HardeningReport,
)
from suites.adversarial.harden.spec import HardenSpec
from suites.adversarial.harden.table import markdown
from suites.adversarial.harden.training import remove_stages, train_after, train_before, train_control
from suites.adversarial.resources.finding import find
from suites.adversarial.resources.textattack_env import stop_words


def run_hardening(spec: HardenSpec, watch: Watch | None = None, *, replace: bool = False) -> HardeningResult:
    """Harden as `spec` says, and measure before and after. Every part is on disk under `spec.output`.

    Raises UsageError or DataError before the first training; AuditError where every attack on training texts broke.
    """
    watch = watch or Watch()
    data = load_training_data(spec.train)
    resources = _check(spec, data)
    settings = {
        **spec.canonical(),
        "recipe_version": spec.attack.version,
        "resources": resources,
        "stop_words": stop_words().name,
        "records": data.members.digest,
    }
    folder = open_folder(spec.output, settings, replace=replace)
    trained = {"before": train_before(spec, data, folder, watch)}
    make_plan(audit_spec(spec, folder.before, folder.audits))  # an audit that cannot run is found out before the attack
    after = train_after(spec, data, folder, resources, watch)
    if spec.control:
        trained["control"] = train_control(spec, data, folder, watch)
    trained["after"] = after
    remove_stages(spec, folder)
    audited = {name: _audit(spec, folder, name, manifest, watch) for name, manifest in trained.items()}
    assert after.hardening is not None  # train_after has written it
    report = HardeningReport(
        hardening=after.hardening,
        checkpoints=tuple(_checkpoint(folder, name, trained[name], audited[name]) for name in trained),
        comparisons=tuple(
            Comparison(against=name, changes=changes(audited["after"], audited[name]))
            for name in trained
            if name != "after"
        ),
        notes=tuple(_notes(after.hardening, audited, data)),
        versions=package_versions(),
    )
    write_text(folder.path / RESULT, report.model_dump_json(indent=2) + "\n")
    write_text(folder.path / MARKDOWN, markdown(report))
    return HardeningResult(folder.path, report)


def _check(spec: HardenSpec, data: TrainingData) -> str:
    """What the attack is built from. Raises UsageError or DataError for what would fail after hours."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("hardening trains and attacks in one process; start it without a launcher")
    recipe = spec.attack
    why = recipe.why_not()
    if why is not None:
        raise UsageError(f"recipe {spec.recipe}: {why}")
    if data.pairs is not None and not recipe.pairs:
        raise DataError(
            f"{spec.train.data.source}: text pairs; {spec.recipe} attacks single texts, choose another recipe"
        )
    return "; ".join(find(name).described for name in recipe.resources)


def _audit(spec: HardenSpec, folder: HardeningFolder, name: str, manifest: TrainingManifest, watch: Watch) -> Audited:
    watch.say(f"audit of {name}")
    with watch.cases() as on_cases:
        return run_audits(audit_spec(spec, getattr(folder, name), folder.audits), manifest.weights, on_cases)


def _checkpoint(folder: HardeningFolder, name: str, manifest: TrainingManifest, audited: Audited) -> Checkpoint:
    return Checkpoint(
        name=name,
        path=getattr(folder, name).relative_to(folder.path),
        weights=manifest.weights,
        steps=manifest.steps,
        seconds=manifest.seconds,
        audit=audited.folder.path.relative_to(folder.path),
    )


def _notes(record: HardeningRecord, audited: Mapping[str, Audited], data: TrainingData) -> Iterator[str]:
    known = audited["after"].trained_on(data.texts)
    if known:
        yield f"{known} of the audited texts were trained on, so the numbers are too good; audit texts that were not"
    left_out = not_by_row(audited["after"])
    if left_out:
        yield f"no text has a value of its own for {', '.join(left_out)}: see the audits"
    for one in record.rounds:
        if not one.added:
            yield f"round {one.number}: no attack succeeded, so no adversarial text was added"
        if one.errors:
            yield f"round {one.number}: {one.errors} of {one.attacked} attacks broke; nothing is known of their texts"


class HardeningResult:
    """A finished hardening: its folder and its report."""

    def __init__(self, folder: Path, report: HardeningReport) -> None:
        self.folder = folder
        self.report = report

    @property
    def files(self) -> Sequence[Path]:
        """The hardened checkpoint and the reports."""
        return (self.folder / "after", self.folder / RESULT, self.folder / MARKDOWN)

    @property
    def terminal(self) -> Group:
        """The tables of the comparisons, for rich."""
        from suites.adversarial.harden.table import terminal

        return terminal(self.report)
