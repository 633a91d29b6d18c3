"""What this suite brings to the command line: shadow models, and the ROC of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.api.commands import Command
from harness.cli.console import say


def shadows(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint with its training manifest.")],
    count: Annotated[int, typer.Option(help="Shadow models; 16 give a first answer, 64 a good one.")] = 16,
    mode: Annotated[
        Literal["auto", "same", "lora", "head"],
        typer.Option(help="What of a shadow is trained; auto: head of a classifier, lora of a language model."),
    ] = "auto",
    records: Annotated[
        int | None, typer.Option(help="At most so many records of either side.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the coins that say which shadow reads which record.")] = 0,
    trust_manifest: Annotated[
        bool, typer.Option("--trust-manifest", help="Read the files that the manifest names, wherever they lie.")
    ] = False,
) -> None:
    """Train shadow models for the membership attacks LiRA and RMIA; a stopped run goes on with those missing."""
    from suites.memorization.shadows.train import train_shadows

    result = train_shadows(
        checkpoint,
        count=count,
        mode=None if mode == "auto" else mode,
        limit=records,
        seed=seed,
        trusted=trust_manifest,
        on_shadow=lambda done, of: say(f"shadow {done} of {of}"),
    )
    say(result.sentence)


shadows_command = Command(shadows, "assay shadows checkpoints/sentiment --count 16 --trust-manifest")


def roc(
    audit: Annotated[Path, typer.Argument(help="Folder of an audit with memorization/membership or shadow_attack.")],
    attack: Annotated[
        Literal["membership", "shadow_attack"], typer.Option(help="Whose curves: memorization/membership, or LiRA's.")
    ] = "membership",
    output: Annotated[
        Path | None, typer.Option(help="Where the SVG goes (default: in the audit's folder).", show_default=False)
    ] = None,
) -> None:
    """Draw how well each signal of membership tells members, on logarithmic axes, beside what the claim allows."""
    from suites.memorization.draw_roc import write_roc

    say(f"{write_roc(audit, attack, output)}: written")


roc_command = Command(roc, "assay roc audits/RUN")
