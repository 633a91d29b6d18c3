"""Reads what the API of GitHub or GitLab answered, from standard input.

`find_comment.py AUTHOR MARKER...`: the id of AUTHOR's first comment that holds a MARKER; `next` where it may be on the
next page, nothing where there is none. `find_comment.py --user`: the name of the user who asks.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(arguments: list[str], answer: Any) -> str:
    """What to print."""
    if arguments == ["--user"]:
        return str(answer["username"])
    author, *given = arguments
    markers = [marker for marker in given if marker]
    for comment in answer:
        by = comment.get("user") or comment.get("author") or {}
        if author in (by.get("login"), by.get("username")) and any(marker in comment["body"] for marker in markers):
            return str(comment["id"])
    return "next" if answer else ""


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:], json.load(sys.stdin)) + "\n")
