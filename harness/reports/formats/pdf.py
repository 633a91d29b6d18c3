"""The HTML report as PDF, by WeasyPrint; nothing is fetched while it is made."""

from __future__ import annotations

from typing import NoReturn

from harness.errors import UsageError
from harness.reports.content.api import ReportInput
from harness.reports.formats import html

suffix = ".pdf"
default = False

_EXTRA = "pip install 'assay[pdf]'"


def render(report: ReportInput) -> bytes:
    """The PDF. Raises UsageError naming what to install where WeasyPrint or Pango is absent."""
    page = html.render(report)
    try:
        import weasyprint
    except ImportError as error:
        raise UsageError(f"the PDF report needs WeasyPrint; install it with: {_EXTRA}") from error
    except OSError as error:  # the package is there, the libraries it draws text with are not
        raise UsageError(
            f"the PDF report needs Pango ({error}); install it with: apt-get install libpango-1.0-0 libpangoft2-1.0-0"
        ) from error
    content: bytes = weasyprint.HTML(string=page, url_fetcher=_refuse).write_pdf()
    return content


def _refuse(url: str) -> NoReturn:
    raise ValueError(f"a report fetches nothing, and this one asked for {url}")
