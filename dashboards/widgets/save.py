"""Files to take away: made when asked for, then saved by a press, and one sentence where they cannot be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboards.view_models.views import plain
from harness.base.language import _
from harness.errors import AssayError


@dataclass(frozen=True, slots=True)
class File:
    """What a button makes.

    Attributes:
        label: of the button.
        name: of the file.
        make: its content; raises AssayError where it cannot be made.
        help: over the button.
        disabled: whether it may not be asked for now.
    """

    label: str
    name: str
    make: Callable[[], bytes]
    help: str = ""
    disabled: bool = False


def offer(places: list[Any], files: list[File]) -> None:
    """A button per file, at its place; below them the file that was asked for, or why there is none.

    Streamlit's own button makes a file outside of any page, so what goes wrong there could only be said in its words.
    """
    asked = [
        file
        for place, file in zip(places, files, strict=True)
        if place.button(file.label, key=f"make-{file.label}", help=file.help, disabled=file.disabled)
    ]
    for file in asked:
        try:
            with st.spinner(_("Making the file…")):
                content = file.make()
        except AssayError as error:
            st.error(plain(_("No file was made: {why}", why=str(error))), icon=":material/broken_image:")
        else:
            st.download_button(
                plain(_("Save {name}", name=file.name)),
                content,
                file.name,
                on_click="ignore",
                icon=":material/download:",
                type="primary",
            )
