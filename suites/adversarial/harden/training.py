"""The checkpoints of a hardening, each trained by the ordinary training: one stage after the other, from files.

A stage is a training of its own, from the last stage's checkpoint: the optimizer and its schedule start anew. The
control goes through the same stages without adversarial texts, so that restarts and more training are in both.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.api.progress import Watch
from harness.base.files import make_folder, write_text
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.errors import UsageError
from harness.provenance.manifest import MANIFEST_NAME, HardeningRecord, HardeningRound, TrainingManifest, read_manifest
from privacy.training import TrainResult, TrainSpec, train
from privacy.training.data.load import TrainingData
from privacy.training.records.save import finished_checkpoint, partial_folder
from suites.adversarial.harden.folder import HardeningFolder
from suites.adversarial.harden.spec import HardenSpec
from suites.adversarial.harden.texts import TEXTS, attack_round


def train_before(spec: HardenSpec, data: TrainingData, folder: HardeningFolder, watch: Watch) -> TrainingManifest:
    """The checkpoint without hardening; copied where `train.output` holds it already."""
    own = spec.train.model_copy(update={"output": folder.before})
    if not folder.before.exists() and _is_trained(spec.train, data):
        with partial_folder(folder.before, replace=False) as partial:
            shutil.copytree(spec.train.output, partial, dirs_exist_ok=True)
        watch.say(f"before: copied from {spec.train.output}, trained already with these settings on these records")
    return _train(own, "before: the training as it is", watch).manifest


def train_after(
    spec: HardenSpec, data: TrainingData, folder: HardeningFolder, resources: str, watch: Watch
) -> TrainingManifest:
    """The hardened checkpoint, from what `train_before` made. What is finished is not done again."""
    if folder.after.exists():
        watch.say("after: hardened before")
        return _hardened(spec, folder)
    manifests, rounds = [_start(spec, folder, watch)], list[HardeningRound]()
    for number in range(1, spec.attack_rounds + 1):
        with watch.cases() as on_cases:
            found = attack_round(
                spec, number, data, _checkpoint(spec, folder, number - 1), make_folder(folder.round(number)), on_cases
            )
        rounds.append(found)
        watch.say(_sentence(found, spec))
        stage = _stage(spec, data, folder, number, folder.checkpoint(number), texts=folder.round(number) / TEXTS)
        manifests.append(_train(stage, f"round {number}: clean and adversarial texts", watch).manifest)
    record = HardeningRecord(
        method=spec.method,
        recipe=spec.recipe,
        recipe_version=spec.attack.version,
        resources=resources,
        share=spec.share,
        weight=spec.weight,
        rounds=tuple(rounds),
        settings=spec.canonical(),
    )
    return _put_in_place(folder, folder.checkpoint(spec.attack_rounds), folder.after, manifests, record)


def train_control(spec: HardenSpec, data: TrainingData, folder: HardeningFolder, watch: Watch) -> TrainingManifest:
    """The stages of the hardened checkpoint on clean texts alone."""
    outputs = [folder.round(number) / "control" for number in range(1, spec.attack_rounds + 1)]
    starts = [_checkpoint(spec, folder, 0), *outputs[:-1]]
    stages = [
        _stage(spec, data, folder, number, output, start=start)
        for number, (start, output) in enumerate(zip(starts, outputs, strict=True), start=1)
    ]
    if folder.control.exists():
        return _train(stages[-1].model_copy(update={"output": folder.control}), "control", watch).manifest
    manifests = [read_manifest(_checkpoint(spec, folder, 0)) or _start(spec, folder, watch)]
    for number, stage in enumerate(stages, start=1):
        make_folder(stage.output.parent)
        manifests.append(_train(stage, f"control, round {number}: clean texts alone", watch).manifest)
    return _put_in_place(folder, outputs[-1], folder.control, manifests, None)


def remove_stages(spec: HardenSpec, folder: HardeningFolder) -> None:
    """The checkpoints between the first and the last are of no more use; rows and texts stay."""
    for number in range(spec.attack_rounds + 1):
        for name in ("checkpoint", "control"):
            shutil.rmtree(folder.round(number) / name, ignore_errors=True)


def _start(spec: HardenSpec, folder: HardeningFolder, watch: Watch) -> TrainingManifest:
    """What is attacked first: the finished training, or its clean epochs."""
    if spec.warm_epochs is None:
        manifest = read_manifest(folder.before)
        assert manifest is not None  # train_before has been called
        return manifest
    settings = {**spec.train.model_dump(), "epochs": spec.warm_epochs, "held_out": None}
    make_folder(folder.round(0))
    stage = TrainSpec.model_validate({**settings, "output": folder.checkpoint(0)})
    return _train(stage, f"{spec.warm_epochs} clean epochs before the first attack", watch).manifest


def _checkpoint(spec: HardenSpec, folder: HardeningFolder, number: int) -> Path:
    """The checkpoint that a round ends with; of round 0 what is attacked first."""
    return folder.before if number == 0 and spec.warm_epochs is None else folder.checkpoint(number)


def _stage(
    spec: HardenSpec,
    data: TrainingData,
    folder: HardeningFolder,
    number: int,
    output: Path,
    *,
    texts: Path | None = None,
    start: Path | None = None,
) -> TrainSpec:
    """The training of a round, from the end of the last one; on the clean texts unless others are given."""
    settings = {
        **spec.train.model_dump(),
        "base": {"source": str(start or _checkpoint(spec, folder, number - 1))},
        "fresh": None,
        "held_out": None,
        "label_names": data.label_names,
        "epochs": spec.epochs,
        "learning_rate": spec.learning_rate or spec.train.learning_rate,
        "seed": (spec.train.seed + number) % 2**32,  # the same order again would teach less
        "output": output,
    }
    if texts is not None:
        settings["data"] = {"source": str(texts)}
    return TrainSpec.model_validate(settings)


def _train(spec: TrainSpec, what: str, watch: Watch) -> TrainResult:
    with watch.training() as on_step:
        result = train(spec, progress=on_step, if_missing=True)
    watch.say(what if result.trained else f"{what}; done before")
    return result


def _is_trained(spec: TrainSpec, data: TrainingData) -> bool:
    try:
        return finished_checkpoint(spec, data.members.digest) is not None
    except UsageError:  # something else lies there, which is no matter here
        return False


def _put_in_place(
    folder: HardeningFolder,
    last: Path,
    target: Path,
    manifests: Sequence[TrainingManifest],
    record: HardeningRecord | None,
) -> TrainingManifest:
    """The last stage as one training from the first stage's base on its records, and how it was hardened."""
    before = read_manifest(folder.before)
    assert before is not None  # train_before has been called
    seconds = [manifest.seconds for manifest in manifests]  # None: trained by a version that did not write it
    members = ("base", "base_fingerprint", "members", "members_digest", "members_n")
    held_out = ("non_members", "non_members_digest", "non_members_n")
    whole = manifests[-1].model_copy(
        update={
            **{name: getattr(before, name) for name in (*members, *held_out)},
            "steps": sum(manifest.steps for manifest in manifests),
            "losses": tuple(loss for manifest in manifests for loss in manifest.losses),
            "seconds": None if None in seconds else sum(filter(None, seconds)),
            "hardening": record,
            "artefacts": (),  # they lie beside the stages
        }
    )
    with partial_folder(target, replace=False) as partial:
        shutil.copytree(last, partial, dirs_exist_ok=True)
        write_text(partial / MANIFEST_NAME, whole.model_dump_json(indent=2) + "\n")
    return whole


def _hardened(spec: HardenSpec, folder: HardeningFolder) -> TrainingManifest:
    """The manifest of the hardened checkpoint that is there. Raises UsageError where it is not what was hardened."""
    manifest = read_manifest(folder.after)
    if manifest is None or manifest.hardening is None or manifest.hardening.settings != spec.canonical():
        raise UsageError(f"{folder.after}: is not the checkpoint of this hardening; use --replace to harden again")
    if inspect_checkpoint(CheckpointSource(source=str(folder.after))).fingerprint.weights != manifest.weights:
        raise UsageError(f"{folder.after}: its weights are not those of its manifest; use --replace to harden again")
    return manifest


def _sentence(found: HardeningRound, spec: HardenSpec) -> str:
    broken = f", {found.errors} broke" if found.errors else ""
    rest = f"{found.failed} withstood, {found.skipped} were misclassified already{broken}"
    changed = f"{spec.recipe} changed the class of {found.succeeded} of {found.attacked} training texts ({rest})"
    return f"round {found.number}: {changed}; {found.added} are added"
