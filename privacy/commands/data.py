"""`assay data`: what a file of training texts holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.api.commands import Command


def data(
    file: Annotated[Path, typer.Argument(help="csv, tsv, jsonl, txt or parquet; of any size.")],
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column of text (default: text, pair, prompt, completion).", show_default=False),
    ] = None,
    label: Annotated[str, typer.Option(help="Column of labels.")] = "label",
    against: Annotated[
        list[Path] | None, typer.Option(help="Evaluation set to look for in the texts.", show_default=False)
    ] = None,
    words: Annotated[int, typer.Option(help="Words of a run that counts as overlap.", min=1)] = 13,
    threshold: Annotated[float, typer.Option(help="Jaccard index of near duplicates.", min=0.5, max=1)] = 0.8,
    language: Annotated[
        list[str] | None, typer.Option(help="Of the texts, for personal data (default: en and zh).", show_default=False)
    ] = None,
    names: Annotated[str, typer.Option(help="How names are found: auto, presidio, cue or off.")] = "auto",
    index: Annotated[
        Path | None, typer.Option(help="Build an exact index of the texts in this folder.", show_default=False)
    ] = None,
    count: Annotated[list[str] | None, typer.Option(help="Count this string in the index.", show_default=False)] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="Folder whose key hashes values, so that reports compare.", show_default=False),
    ] = None,
    show: Annotated[int, typer.Option(help="Print so many examples of each finding, with their text.", min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Report copies, personal data, overlap with evaluation sets, lengths, labels; prints no text unless asked."""
    from harness.cli.console import say
    from privacy.corpus.examine import Wanted, examine
    from privacy.corpus.terminal import terminal

    wanted = Wanted(
        columns=tuple(column or ()),
        label=label,
        languages=tuple(language or ("en", "zh")),
        names=names,
        against=tuple(against or ()),
        words=words,
        threshold=threshold,
        keys=keys,
        index=index,
        count=tuple(count or ()),
        show=show,
    )
    report = examine(file, wanted)
    if json:
        sys.stdout.write(report.model_dump_json(indent=2, ensure_ascii=True) + "\n")
    else:
        say(terminal(report))


data_command = Command(data, "assay data train.jsonl --against test.jsonl")
