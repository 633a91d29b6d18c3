"""HTML templates: what is put in is escaped, and a name that is missing is an error."""

from __future__ import annotations

from pathlib import Path

import jinja2

from harness.base.loglines import plain


def html_environment(folder: Path) -> jinja2.Environment:
    """Environment of the templates in `folder`, with the filter `plain`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    return environment
