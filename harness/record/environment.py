"""What an audit ran under."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("assay", "torch", "transformers", "tokenizers", "numpy", "scipy", "pandas", "textattack", "mlflow")


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, and of Python."""
    import platform

    found: dict[str, Any] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
