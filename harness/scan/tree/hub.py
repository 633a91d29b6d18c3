"""A repository on a model hub: its list of files, and only those bytes that a scanner asks for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, cast

from harness.scan.tree.api import Entry, Kind, Tree, UnreadableError

_BLOCK = 2**20
"""Bytes of one request; a safetensors header of 300 tensors has 30 KB."""
_WHOLE = 8 * 2**20
"""A file up to this size is asked for at once."""
_NESTED = 5
"""Errors within errors that are followed; requests and urllib3 nest three."""


@dataclass(frozen=True, slots=True)
class HubListing:
    """Files with their sizes at one commit, and what the hub's own scanners say of them."""

    commit: str
    sizes: Mapping[str, int]
    statuses: Mapping[str, str] = field(default_factory=dict)
    """File -> what the hub says, of files that it does not call safe."""


class HubClient(Protocol):
    """What is needed of a hub."""

    def list(self, name: str, revision: str | None) -> HubListing:
        """Raises UnreadableError."""

    def read(self, name: str, commit: str, path: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of a file at a commit. Raises UnreadableError."""


class HubTree(Tree):
    """The files of one commit: listed once, so that a branch that moves changes nothing."""

    kind, remote = "hub", True

    def __init__(self, name: str, revision: str | None, client: HubClient) -> None:
        """Raises UnreadableError."""
        self.source = name
        self._client = client
        self.listing = client.list(name, revision)

    def entries(self) -> Iterator[Entry]:
        """Every file."""
        for path, size in self.listing.sizes.items():
            leaves = path.startswith("/") or ".." in path.split("/")
            yield Entry(path, size, Kind.FILE, leaves=leaves)

    def open(self, entry: Entry) -> BinaryIO:
        """See Tree; blocks are asked for as they are read."""
        raw = _Remote(self._client, self.source, self.listing.commit, entry)
        return cast("BinaryIO", io.BufferedReader(raw, buffer_size=64 * 2**10))


class _Remote(io.RawIOBase):
    """A file read by ranges, the last block kept."""

    def __init__(self, client: HubClient, name: str, commit: str, entry: Entry) -> None:
        self._client, self._name, self._commit, self._entry = client, name, commit, entry
        self._at = 0
        self._block, self._begin = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._entry.size:
            return 0
        offset = self._at - self._begin
        if not 0 <= offset < len(self._block):
            size = self._entry.size
            self._begin = 0 if size <= _WHOLE else self._at
            end = size if size <= _WHOLE else min(size, self._at + _BLOCK)
            self._block = self._client.read(self._name, self._commit, self._entry.path, self._begin, end)
            offset = self._at - self._begin
            if offset >= len(self._block):
                raise OSError("the hub gave fewer bytes than it lists")
        piece = self._block[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class HuggingFace:
    """The Hugging Face hub, or what HF_ENDPOINT names, by its own client."""

    def list(self, name: str, revision: str | None) -> HubListing:
        """See HubClient."""
        from huggingface_hub import HfApi

        try:
            info = HfApi().model_info(name, revision=revision, files_metadata=True, securityStatus=True, timeout=30)
        except Exception as error:  # the client passes on errors of whichever HTTP library it is built on
            raise UnreadableError(
                f"no folder or file of this name here, and the model hub did not list it ({_reason(error)})"
            ) from error
        if not info.sha:
            raise UnreadableError("the model hub names no commit for it")
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        return HubListing(info.sha, sizes, _statuses(getattr(info, "security_repo_status", None)))

    def read(self, name: str, commit: str, path: str, start: int, end: int) -> bytes:
        """See HubClient."""
        from huggingface_hub import HfFileSystem

        try:
            with HfFileSystem().open(f"{name}/{path}", "rb", revision=commit, cache_type="none") as file:
                file.seek(start)
                return bytes(file.read(end - start))
        except Exception as error:  # as above
            raise UnreadableError(f"the hub did not give it ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What failed, in words. An HTTP library may nest its errors as arguments and print them as Python would."""
    inner: BaseException = error
    for _ in range(_NESTED):
        holds = (*inner.args, getattr(inner, "reason", None))
        nested = next((each for each in holds if isinstance(each, BaseException)), None)
        if nested is None:
            break
        inner = nested
    return f"{type(error).__name__}: {' '.join(str(inner).split())[:200]}"


def _statuses(said: Any) -> dict[str, str]:
    """Files that the hub's scanners do not call safe; tolerant of other forms, since none is promised."""
    issues = said.get("filesWithIssues") if isinstance(said, dict) else None
    found = {}
    for issue in issues if isinstance(issues, list) else ():
        if isinstance(issue, dict) and isinstance(issue.get("path"), str):
            found[issue["path"]] = str(issue.get("level", "unsafe"))[:60]
    return found
