"""The command `assay resources` and what is below it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.console import say

resources = typer.Typer(help="Lexica, word vectors and helper models of the suites: where each is, or how to get it.")


@resources.callback()
def list_resources(context: typer.Context) -> None:
    """List each resource: where it was found or how to get it, licence, digest. Downloads nothing."""
    from harness.api.resources import find_resources
    from harness.cli.console import show_resources

    if context.invoked_subcommand is None:
        show_resources(*find_resources())


@resources.command(epilog="Example: `assay resources counterfit --synonyms syn.txt --antonyms ant.txt --output cf.txt`")
def counterfit(
    output: Annotated[Path, typer.Option(help="File to write, in GloVe's text format.")],
    synonyms: Annotated[list[Path], typer.Option(help="File with two words a line; may be given again.")],
    antonyms: Annotated[list[Path], typer.Option(help="File with two words a line; may be given again.")],
    vectors: Annotated[
        Path | None, typer.Option(help="Word vectors to start from (default: GloVe 6B).", show_default=False)
    ] = None,
    words: Annotated[int, typer.Option(min=1, help="Only so many words from the top.")] = 65_000,
) -> None:
    """Make word vectors whose neighbours are synonyms, not antonyms (Mrkšić et al. 2016)."""
    from harness.api.resources import find_counterfit

    say(find_counterfit().counterfit(vectors, synonyms, antonyms, output, words))
