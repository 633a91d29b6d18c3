"""`assay scrub`: training data without the personal data in them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.api.commands import Command


def scrub(
    file: Annotated[Path, typer.Argument(help="csv, tsv, jsonl, txt or parquet; of any size.")],
    output: Annotated[Path, typer.Argument(help="File to write, of the same kind.")],
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column to scrub (default: text, pair, prompt, completion).", show_default=False),
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Of the texts (default: en and zh).", show_default=False)
    ] = None,
    names: Annotated[str, typer.Option(help="How names are found: auto, presidio, cue or off.")] = "auto",
    pseudonyms: Annotated[
        bool,
        typer.Option("--pseudonyms", help="A tag after the kind, the same wherever a value is; else the kind alone."),
    ] = False,
    keys: Annotated[
        Path | None,
        typer.Option(help="Folder whose key makes pseudonyms, so that those of two files agree.", show_default=False),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(help="File for the values behind pseudonyms; outside the output's folder.", show_default=False),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the output.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write a file without its personal data, before it is trained on; columns, labels and order stay."""
    from harness.cli.console import say
    from privacy.scrub.run import Settings
    from privacy.scrub.run import scrub as scrub_file
    from privacy.scrub.terminal import terminal

    settings = Settings(
        columns=tuple(column or ()),
        languages=tuple(language or ("en", "zh")),
        names=names,
        pseudonyms=pseudonyms,
        keys=keys,
        mapping=mapping,
        replace=replace,
    )
    report = scrub_file(file, output, settings)
    if json:
        sys.stdout.write(report.model_dump_json(indent=2, ensure_ascii=True) + "\n")
    else:
        say(terminal(report))


scrub_command = Command(scrub, "assay scrub train.jsonl clean/train.jsonl")
