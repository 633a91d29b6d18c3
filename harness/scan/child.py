"""`python -P -m harness.scan.child FD`: one scan, asked for on standard input, answered as JSON on FD."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from harness.errors import AssayError
from harness.scan.scan import Options, scan_tree
from harness.scan.tree.api import Tree, UnreadableError


def main() -> None:
    """Confine, scan, answer."""
    request = json.loads(sys.stdin.buffer.read())
    with os.fdopen(int(sys.argv[1]), "wb") as answers:
        answers.write(json.dumps(answer(request)).encode())


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """A report, or {'error': sentence}."""
    isolation = _confine(request)
    try:
        tree = tree_of(request)
        report = scan_tree(tree, Options(request["weights"], request["seconds"]))
    except UnreadableError as error:
        return {"error": f"{request['source'][:300]}: {error}"}
    except AssayError as error:
        return {"error": str(error)}
    return {**report.model_dump(mode="json"), "isolation": isolation}


def tree_of(request: dict[str, Any]) -> Tree:
    """The tree that a request names. Raises UnreadableError."""
    path, source = Path(request["path"]), request["source"]
    if request["kind"] == "hub":
        from harness.scan.tree.hub import HubTree, HuggingFace

        return HubTree(request["path"], request.get("revision"), HuggingFace())
    if request["kind"] == "wheel":
        from harness.scan.tree.wheel import WheelTree

        return WheelTree(path, source, request.get("below", ""))
    from harness.scan.tree.folder import FileTree, FolderTree

    return FolderTree(path, source) if request["kind"] == "folder" else FileTree(path, source)


def _confine(request: dict[str, Any]) -> str:
    """Limits on memory everywhere; where the platform can and no hub is needed, no network, no writing, no programs."""
    import resource

    import jinja2  # noqa: F401
    import numpy as np  # noqa: F401 - imported before memory is limited

    if sys.platform != "linux" or request["kind"] == "hub":
        if sys.platform != "darwin":  # which does not keep to it
            held = 2**30
            resource.setrlimit(resource.RLIMIT_AS, (held + request["memory"], held + request["memory"]))
        return "process (memory)" if sys.platform != "darwin" else "process"
    from harness.checkpoint.isolated.confine import confine

    path = Path(request["path"])
    readable = {path if path.is_dir() else path.parent, path.resolve() if path.is_dir() else path.resolve().parent}
    home = path.resolve()
    if home.parent.name == "snapshots":
        readable.add(home.parent.parent)
    done, lacking = confine(sorted(readable), request["memory"], int(10 * request["seconds"]) + 60)
    lost = f"; {'; '.join(f'no {each}' for each in lacking)}" if lacking else ""
    return f"process ({', '.join(done)}{lost})"


if __name__ == "__main__":
    main()
