"""One file at a time: its kind by content, then whatever can be told from that kind and its name."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO

from harness.scan.archives.members import ERRORS, Member, inflate, tar_members, zip_members
from harness.scan.budget import Budget, BudgetError
from harness.scan.gathered import Gathered
from harness.scan.graphs import report_graph
from harness.scan.json_text import MOST_BYTES, NotJsonError, parse, walk
from harness.scan.kinds import EXPECTED, HEAD_BYTES, STREAMS, TAIL_BYTES, UNREAD, kind_of
from harness.scan.names import report_name
from harness.scan.notebook import Notebook, shown
from harness.scan.opinion import SecondOpinion
from harness.scan.pickles.scan import report_pickles, walk_pickles
from harness.scan.references import report_reference, report_weight_map
from harness.scan.settings_keys import report_key
from harness.scan.settings_shape import OBJECTS, report_shape
from harness.scan.templates import MOST_CHARACTERS, report_template
from harness.scan.tokenizer_program import VOCABULARY, program_of, report_program, vocabulary_size
from harness.scan.tree.api import UnreadableError
from harness.scan.weights.headers import UnsoundError, gguf_header, safetensors_header

_DEPTH = 4
"""Archives in archives; a torch archive in a wheel is two."""
_IN_MEMORY = 64 * 2**20
"""A packed archive inside an archive has to be held whole to be read."""
_OPINION = 32 * 2**20
_TEXT = 2**20
_LIKELY = (".pkl", ".pickle", ".p", ".bin", ".pt", ".pth", ".ckpt", ".joblib", ".dat", ".model", ".npy", ".th", ".data")
"""Endings under which pickles are read."""
_KEPT = frozenset({"config.json", "adapter_config.json", "generation_config.json", "tokenizer_config.json"})
_WORDS = frozenset({"vocab.json", "added_tokens.json"})
_GRAPHS = frozenset({"hdf5", "onnx", "tflite"})
_OBJECTS = re.compile(rb"['\"][|<>=]?O\d*['\"]")


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with a name: a file of the tree, or a member of an archive in it."""

    path: str
    size: int | None
    """None where only reading to the end tells."""
    open: Callable[[], BinaryIO]
    seekable: bool
    depth: int = 0

    @property
    def name(self) -> str:
        """Last part of the path."""
        return re.split(r"[/!]", self.path)[-1]


class Examiner:
    """Reads blobs, writes down what it finds, and gathers what is asked of all of them later."""

    def __init__(self, notebook: Notebook, budget: Budget, gathered: Gathered, opinion: SecondOpinion) -> None:
        self.notebook, self.budget, self.gathered, self.opinion = notebook, budget, gathered, opinion

    def examine(self, blob: Blob) -> str:
        """The blob's kind. Raises BudgetError; whatever else goes wrong is noted as not scanned."""
        self.budget.check()
        try:
            with closing(blob.open()) as stream:
                head = stream.read(HEAD_BYTES)
                size = blob.size if blob.size is not None else len(head)
                kind = kind_of(head, size, blob.name)
                tail = self._tail(stream, blob) if blob.seekable and blob.size else b""
        except UnreadableError as error:
            self.notebook.miss(blob.path, str(error))
            return "unread"
        except ERRORS as error:
            self._damaged(blob, error)
            return "unread"
        report_name(blob.path, kind, self.notebook)
        self._check_name(blob, kind)
        kind = self._content(blob, kind, head)
        if b"PK\5\6" in tail and kind not in ("zip", "torch archive", "npz", "keras archive") and blob.size:
            self._hidden_zip(blob)
        return kind

    def _tail(self, stream: BinaryIO, blob: Blob) -> bytes:
        stream.seek(max(0, (blob.size or 0) - TAIL_BYTES))
        return stream.read(TAIL_BYTES)

    def _check_name(self, blob: Blob, kind: str) -> None:
        ending = blob.name[blob.name.rfind(".") :].lower() if "." in blob.name else ""
        expected = EXPECTED.get(ending)
        if expected is not None and kind not in expected:
            self.notebook.find("file/other-kind", blob.path, f"is {kind} by its content, which its ending hides")
        if blob.depth == 0 and blob.name in OBJECTS and kind not in ("json", "text", "git-lfs pointer"):
            self.notebook.find("settings/shape", blob.path, f"is {kind}, where its readers expect JSON")
        if kind == "git-lfs pointer":
            self.notebook.miss(blob.path, "is a pointer of git-lfs, not the file itself; run git lfs pull")

    def _content(self, blob: Blob, kind: str, head: bytes) -> str:
        """What the kind asks for; each step may fail for itself."""
        try:
            self._pickle(blob, kind)
            if kind == "zip":
                return self._zip(blob)
            if kind == "tar" or kind in STREAMS:
                self._unpack(blob, kind)
            elif kind in UNREAD:
                self.notebook.miss(blob.path, f"is a {kind} archive, which is not read here")
            elif kind == "npy":
                self._npy(blob)
            elif kind == "json" or (kind == "text" and blob.name.lower().endswith(".json")):
                self._json(blob)
            elif kind in _GRAPHS or blob.name.lower().endswith((".pb", ".pbtxt")):
                with closing(blob.open()) as stream:
                    report_graph(blob.path, stream, self.budget, self.notebook)
            elif kind in ("safetensors", "gguf"):
                self._header(blob, kind)
            if kind in ("text", "html", "json", "python") and blob.name.lower().endswith((".jinja", ".jinja2", ".j2")):
                self._template(blob)
            if blob.name.lower().endswith((".yaml", ".yml")) and b"!!python" in self._whole(blob, _TEXT):
                self.notebook.find("code/class-path", blob.path, "holds YAML tags that build Python objects")
            if blob.depth == 0 and blob.name in ("config", ".git"):
                self.gathered.git[blob.path] = self._text(blob)
        except BudgetError:
            raise
        except UnreadableError as error:
            self.notebook.miss(blob.path, str(error))
        except ERRORS as error:
            self._damaged(blob, error)
        return kind

    def _damaged(self, blob: Blob, error: Exception) -> None:
        why = shown(str(error), 100) or type(error).__name__
        self.notebook.find("archive/damaged", blob.path, f"cannot be read to its end ({why})")
        self.notebook.miss(blob.path, f"cannot be read to its end ({why})")

    def _pickle(self, blob: Blob, kind: str) -> None:
        """Whatever the kind: a reader of pickles asks for none."""
        known = kind == "pickle" or (blob.name == "data.pkl" and "!" in blob.path)
        likely = blob.name.lower().endswith(_LIKELY)
        with closing(blob.open()) as stream:
            found = walk_pickles(stream, self.budget, known=known, likely=likely)
        self._report_pickles(blob, found)

    def _report_pickles(self, blob: Blob, found: Any, start: int = 0) -> None:
        if not found.walks and not found.incomplete:
            return
        report_pickles(found, blob.path, self.notebook)
        outer = blob.path.rpartition("!")[0] or blob.path
        if found.storages:
            self.gathered.storages.setdefault(outer, {}).update(found.storages)
        if blob.name.startswith(("pytorch_model", "adapter_model", "model")) or found.storages:
            self.gathered.pickled.append(outer)
        if self.opinion.available():
            with closing(blob.open()) as stream:
                stream.read(start)
                self.opinion.ask(blob.path, stream.read(_OPINION + 1), self.notebook)

    def _zip(self, blob: Blob) -> str:
        names: list[str] = []
        with closing(self._seekable(blob)) as stream:
            listed = {member.name for member in zip_members(stream, self.budget)}
        folder = next((name.removesuffix("data.pkl") for name in listed if name.endswith("data.pkl")), None)
        with closing(self._seekable(blob)) as stream:
            members = zip_members(stream, self.budget)
            if folder is not None:  # numbers as they lie in memory: whatever they look like, nothing reads them as it
                members = (member for member in members if not _is_storage(member.name, folder))
            self._members(blob, members, names, seekable=True)
        if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
            if any("/code/" in name for name in names):
                self.notebook.find("code/graph", blob.path, "is a TorchScript archive, which holds code of its own")
            return "torch archive"
        if any(name.endswith(".npy") for name in names):
            return "npz"
        return "keras archive" if {"config.json", "metadata.json"} <= set(names) else "zip"

    def _hidden_zip(self, blob: Blob) -> None:
        """A zip is found from its end, so that one may stand behind anything."""
        try:
            with closing(self._seekable(blob)) as stream:
                members = list(zip_members(stream, self.budget))
        except (*ERRORS, UnreadableError):
            return
        if members:
            self.notebook.find("file/two-kinds", blob.path, f"is a zip of {len(members):,} members as well")
            self._zip(blob)

    def _unpack(self, blob: Blob, kind: str) -> None:
        if kind == "tar":
            with closing(blob.open()) as stream:
                self._members(blob, tar_members(stream, self.budget), [], seekable=False)
            return
        inner = re.sub(r"\.(gz|tgz|bz2|xz|lzma|z|zlib)$", "", blob.name, flags=re.IGNORECASE) or "content"
        opened = lambda: inflate(blob.open(), kind, self.budget)  # noqa: E731
        self._deeper(Blob(f"{blob.path}!{inner}", None, opened, False, blob.depth + 1))

    def _members(self, blob: Blob, members: Iterator[Member], names: list[str], *, seekable: bool) -> None:
        """Each member as a file of its own; of a tar each is read once, so a small one is held."""
        count = 0
        for member in members:
            count += 1
            path = f"{blob.path}!{member.name}"
            if member.name in names[-1000:]:
                self.notebook.find("archive/damaged", path, "stands twice in its archive")
            names.append(member.name)
            if member.leaves:
                self.notebook.find(
                    "file/path-leaves", path, "would be unpacked, or leads, outside its archive's folder"
                )
            if member.special:
                self.notebook.find("file/special", path, "is a device or pipe in an archive")
            if not (member.link or member.special):
                self._deeper(self._blob_of(path, member, blob.depth + 1, seekable))
        if blob.depth == 0 or count > 1:
            self.notebook.find("archive/nested", blob.path, f"holds {count:,} files")

    def _blob_of(self, path: str, member: Member, depth: int, seekable: bool) -> Blob:
        if seekable:
            return Blob(path, member.size, member.open, False, depth)
        if member.size > _IN_MEMORY:
            raise UnreadableError(f"holds a member of {member.size:,} bytes in a tar, more than is held to be read")
        with closing(member.open()) as stream:
            content = stream.read()
        return Blob(path, len(content), lambda: io.BytesIO(content), True, depth)

    def _deeper(self, inner: Blob) -> None:
        if inner.depth > _DEPTH:
            self.notebook.miss(inner.path, f"lies in more than {_DEPTH} archives")
        else:
            self.examine(inner)

    def _seekable(self, blob: Blob) -> BinaryIO:
        if blob.seekable:
            return blob.open()
        return io.BytesIO(self._whole(blob, _IN_MEMORY))

    def _whole(self, blob: Blob, most: int) -> bytes:
        if blob.size is not None and blob.size > most:
            raise UnreadableError(f"has {blob.size:,} bytes, more than are read of such a file")
        with closing(blob.open()) as stream:
            content = stream.read(most + 1)
        if len(content) > most:
            raise UnreadableError(f"has more than {most:,} bytes, more than are read of such a file")
        return content

    def _text(self, blob: Blob) -> str:
        return self._whole(blob, _TEXT).decode("utf-8", "replace")

    def _npy(self, blob: Blob) -> None:
        """Arrays of objects are a pickle behind the header."""
        with closing(blob.open()) as stream:
            begin = stream.read(12)
            wide = begin[6:7] != b"\x01"
            length = int.from_bytes(begin[8:12] if wide else begin[8:10], "little")
            start = (12 if wide else 10) + length
            if length > _TEXT:
                raise UnreadableError(f"its header claims {length:,} bytes")
            header = begin[12 if wide else 10 :] + stream.read(start - 12)
            if not _OBJECTS.search(header):
                return
            found = walk_pickles(stream, self.budget, known=True, start=start)
        self._report_pickles(blob, found, start)

    def _json(self, blob: Blob) -> None:
        try:
            parsed = parse(self._whole(blob, MOST_BYTES))
        except NotJsonError as error:
            if blob.name.lower().endswith((".jsonl", ".jinja", ".md", ".txt")) or not blob.name.endswith(".json"):
                return
            self.notebook.miss(blob.path, str(error))
            return
        for name in parsed.duplicates[:5]:
            self.notebook.find("settings/duplicate", blob.path, f"the name {shown(name, 60)!r} stands twice", name[:60])
        for what in parsed.odd[:5]:
            self.notebook.find("settings/odd-number", blob.path, f"holds {what}")
        if blob.depth == 0:
            report_shape(blob.path, blob.name, parsed.value, self.notebook)
        self._settings(blob, parsed.value)
        for value in parsed.shadowed:
            self._settings(blob, value)

    def _settings(self, blob: Blob, value: Any) -> None:
        name = blob.name
        if isinstance(value, dict):
            if name == "tokenizer.json" or ("added_tokens" in value and "model" in value):
                report_program(blob.path, value, self.notebook)
                self.gathered.vocabularies.setdefault(blob.path, vocabulary_size(value))
                value = program_of(value)
            elif name in _WORDS and all(isinstance(item, int) for item in value.values()):
                self.gathered.vocabularies.setdefault(blob.path, len(value))
                return
            if "weight_map" in value and name.endswith(".json"):
                self.gathered.indexes[blob.path] = value["weight_map"]
                report_weight_map(blob.path, value["weight_map"], self.gathered.paths, self.notebook)
                value = {key: item for key, item in value.items() if key != "weight_map"}
            if name in _KEPT and blob.depth == 0:
                self.gathered.settings.setdefault(blob.path, value)
        notebook_file = name.lower().endswith(".ipynb")
        for number, (place, key, item) in enumerate(walk(value)):
            if number % 65536 == 0:
                self.budget.check()
            if item is None and place == "…":
                self.notebook.miss(blob.path, "nests deeper than is read")
            elif not notebook_file and key not in VOCABULARY:
                report_key(blob.path, place, key, item, self.notebook)
                self._named_text(blob, place, key, item)

    def _named_text(self, blob: Blob, place: str, key: str, item: Any) -> None:
        """Texts that are templates, and texts that name something."""
        if isinstance(item, str) and (key == "template" or ("chat_template" in place and key != "name")):
            report_template(blob.path, place, item, self.notebook)
        elif key not in ("content", "token") or blob.name != "tokenizer.json":
            report_reference(blob.path, place, key, item, self.gathered.paths, self.notebook)

    def _template(self, blob: Blob) -> None:
        report_template(blob.path, "", self._whole(blob, 4 * MOST_CHARACTERS).decode("utf-8", "replace"), self.notebook)

    def _header(self, blob: Blob, kind: str) -> None:
        size = blob.size or 0
        try:
            with closing(blob.open()) as stream:
                if kind == "safetensors":
                    header = safetensors_header(stream, size, blob.path)
                else:
                    header = gguf_header(stream, size, blob.path, self.budget)
        except UnsoundError as error:
            self.notebook.find("weights/unsound", blob.path, f"is not a sound {kind} file: {error}")
            self.notebook.miss(blob.path, f"its header is not sound: {error}")
            self.gathered.unsound.add(blob.path)
            return
        if blob.depth == 0:
            self.gathered.spans[blob.path] = header.spans
            self.gathered.counts[blob.path] = header.counts
        for key, text in header.texts.items():
            if "chat_template" in key:
                report_template(blob.path, key, text, self.notebook)
            elif len(text) < 4096:
                report_key(blob.path, key, key.rpartition(".")[2], text, self.notebook)


def _is_storage(name: str, folder: str) -> bool:
    """Whether a member of a torch archive is the bytes of a tensor."""
    return name.startswith(f"{folder}data/") and name.removeprefix(f"{folder}data/").isdigit()
