"""Who is let in: a page asked for by a name of this machine, from a page of the dashboard itself.

Anybody's web page can have a name of its own lead to 127.0.0.1 and then talk to what listens there. The browser still
sends that name as Host, and as Origin where the page stands.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

HOSTS = "ASSAY_DASHBOARD_HOSTS"
"""Environment variable with further names under which the dashboard may be asked for, separated by commas."""
LOCAL = ("localhost", "127.0.0.1", "::1")


def allowed_hosts() -> tuple[str, ...]:
    """Names the dashboard answers to."""
    more = [name.strip().lower() for name in os.environ.get(HOSTS, "").split(",")]
    return (*LOCAL, *(name for name in more if name and "*" not in name))


def admits(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers may see anything. Without any there was no request, but a test."""
    if not headers:
        return True
    host, origin = headers.get("Host"), headers.get("Origin")
    if host is None or _name(f"//{host}") not in allowed_hosts():
        return False
    try:
        return origin is None or urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ""
    return "" if "@" in parts.netloc else (parts.hostname or "").rstrip(".")
