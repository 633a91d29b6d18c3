"""Folders, wheels and the hub: what is listed, what is opened, and what never is."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.scan.finding import Outcome
from harness.scan.scan import Options, scan_tree
from harness.scan.tree.api import Entry, Kind, UnreadableError
from harness.scan.tree.folder import FileTree, FolderTree
from harness.scan.tree.hub import HubListing, HubTree, HuggingFace
from harness.scan.tree.wheel import WheelTree
from tests.harness.scan.inputs import RUNS, found, safetensors, scan, write, zipped
from tests.tiny import make_checkpoint


def kinds(report: object) -> dict[str, str]:
    return {record.path: record.kind for record in report.files}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "a.model", "tokenizer.json", "custom.py"])
def test_pipes_and_devices_are_never_opened(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / "zero").symlink_to("/dev/zero")
    report = scan(tmp_path)
    assert {"file/special", "file/link-leaves"} <= found(report)
    assert len(report.unscanned) == 2


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../outside.txt", "../outside", "/", "..", "/dev/zero", "/proc/self/mem"]
)
def test_links_that_leave_are_found_and_not_read(target: str, tmp_path: Path) -> None:
    write(tmp_path, "outside.txt", RUNS)
    write(tmp_path, "outside/config.json", "{}")
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").symlink_to(target)
    report = scan(folder)
    assert found(report) == {"file/link-leaves"}
    assert [missed.file for missed in report.unscanned] == ["config.json"]


def test_a_link_within_is_read_under_its_own_name(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt", "x = 1\n")
    (tmp_path / "pip.py").symlink_to("notes.txt")
    assert "code/shadow" in found(scan(tmp_path))


def test_a_chain_or_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to("d")
    (tmp_path / "d").symlink_to("/etc/passwd")
    report = scan(tmp_path)
    assert report.outcome is Outcome.FOUND
    assert len(report.unscanned) == 4


def test_a_link_swapped_in_after_listing_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "a/config.json", "{}")
    tree = FolderTree(tmp_path, "x")
    entry = next(each for each in tree.entries() if isinstance(each, Entry))
    (tmp_path / "a" / "config.json").unlink()
    (tmp_path / "a").rmdir()
    (tmp_path / "a").symlink_to("/etc")
    with pytest.raises(UnreadableError):
        tree.open(Entry("a/passwd", 1))
    with pytest.raises(UnreadableError):
        tree.open(entry)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\udcffb", "x" * 255, " a", "a\u200b.json", "::error::x"])
def test_names_are_shown_and_never_obeyed(name: str, tmp_path: Path) -> None:
    from harness.base.loglines import inert
    from harness.scan.render.formats import FORMATS

    write(tmp_path, name, RUNS)
    report = scan(tmp_path)
    assert "pickle/import" in found(report)
    for render in FORMATS.values():
        text = render(report)
        assert "\x1b" not in text
        assert "\u200b" not in text
        text.encode()
        assert not any(line.startswith("::") for line in inert(text).splitlines())


def test_more_files_than_are_listed_is_never_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LIMITS", "0.0001")
    for number in range(20):
        write(tmp_path, f"{number}.txt", "x")
    report = scan(tmp_path)
    assert report.files_found == 10
    assert report.outcome is Outcome.INCOMPLETE


def test_folders_nested_without_end_are_never_clean(tmp_path: Path) -> None:
    (tmp_path / "/".join("a" * 100)).mkdir(parents=True)
    assert any("deeper" in missed.why for missed in scan(tmp_path).unscanned)


def test_a_folder_that_cannot_be_listed_is_never_clean(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can list every folder")
    write(tmp_path, "config.json", "{}")
    (tmp_path / "closed").mkdir(mode=0)
    assert scan(tmp_path).outcome is Outcome.INCOMPLETE


def test_an_empty_folder_is_never_clean(tmp_path: Path) -> None:
    assert scan(tmp_path).outcome is Outcome.INCOMPLETE


def test_one_file_is_a_checkpoint_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a.bin", RUNS)
    write(tmp_path, "b.py", "x = 1")
    report = scan_tree(FileTree(path, "a.bin"), Options())
    assert report.kind == "file"
    assert found(report) - {"pickle/second-opinion"} == {"pickle/import"}


def test_a_gguf_file_is_clean(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from tests.hostile.corpus import make_gguf

    make_gguf(tmp_path)
    report = scan_tree(FileTree(next(tmp_path.glob("*.gguf")), "x"), Options())
    assert report.outcome is Outcome.CLEAN, report
    assert report.files[0].fingerprint
    assert report.estimate is not None


def test_a_template_inside_a_gguf_is_found(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_chat_template([{"name": "tool", "template": "{{ x.__class__ }}"}, {"name": "default", "template": "x"}])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert "code/template" in found(scan(tmp_path))


def test_a_wheel_is_read_without_unpacking(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model", "bert", "classifier")
    members = {f"package/model/{file.name}": file.read_bytes() for file in folder.iterdir()}
    members["package/__init__.py"] = b"x = 1\n"
    wheel = write(tmp_path, "a-1-py3-none-any.whl", zipped(members, zipfile.ZIP_DEFLATED))
    report = scan_tree(WheelTree(wheel, "a.whl", "package/model"), Options())
    assert report.outcome is Outcome.CLEAN, (report.findings, report.unscanned)
    assert report.estimate is not None
    assert kinds(report)["model.safetensors"] == "safetensors"
    assert found(scan_tree(WheelTree(wheel, "a.whl"), Options())) == {"code/python"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1-py3-none-any.whl", "model"]


def test_wheels_that_hold_links_or_names_that_leave(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("model/config.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../evil.txt", "x")
    assert {"file/link-leaves", "file/path-leaves"} <= found(scan_tree(WheelTree(path, "a"), Options()))
    write(tmp_path, "b.whl", b"no zip")
    with pytest.raises(UnreadableError):
        WheelTree(tmp_path / "b.whl", "b")


@dataclass
class FakeHub:
    """Files in memory, and which of their bytes were asked for."""

    files: Mapping[str, bytes]
    statuses: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def list(self, name: str, revision: str | None) -> HubListing:
        return HubListing("0123", {path: len(content) for path, content in self.files.items()}, self.statuses)

    def read(self, name: str, commit: str, path: str, start: int, end: int) -> bytes:
        assert commit == "0123"
        self.asked.append((path, start, end))
        return self.files[path][start:end]


def test_of_the_hub_only_what_is_read_is_downloaded(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model", "bert", "classifier")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    size = 100 * 2**20
    files["model.safetensors"] = safetensors({"a.weight": ("F32", [size // 4], bytes(size))})
    hub = FakeHub(files)
    report = scan_tree(HubTree("someone/model", None, hub), Options())
    assert report.outcome is Outcome.INCOMPLETE, report.findings
    assert any("--weights" in missed.why for missed in report.unscanned)
    assert report.estimate is not None
    assert report.estimate.parameters == size // 4
    assert sum(end - start for _, start, end in hub.asked) < size // 10
    left_out = scan_tree(HubTree("someone/model", None, hub), Options(weights=False))
    assert left_out.outcome is Outcome.CLEAN
    assert "--no-weights" in left_out.headline
    whole = scan_tree(HubTree("someone/model", None, hub), Options(weights=True))
    assert whole.outcome is Outcome.CLEAN


def test_what_the_hub_says_of_a_file_is_found() -> None:
    hub = FakeHub({"config.json": b"{}", "a.bin": RUNS}, {"a.bin": "unsafe"})
    assert {"hub/status", "pickle/import"} <= found(scan_tree(HubTree("someone/model", None, hub), Options()))


def test_a_hub_that_gives_less_than_it_lists_is_never_clean() -> None:
    @dataclass
    class Short(FakeHub):
        def read(self, name: str, commit: str, path: str, start: int, end: int) -> bytes:
            raise UnreadableError("the hub did not give it")

    report = scan_tree(HubTree("someone/model", None, Short({"config.json": b"{}"})), Options(weights=False))
    assert report.outcome is Outcome.INCOMPLETE


def test_kinds_that_need_care_are_special() -> None:
    assert [kind for kind in Kind if kind.special] == [Kind.PIPE, Kind.SOCKET, Kind.DEVICE, Kind.OTHER]


def test_a_hub_that_cannot_be_asked_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTP library's error holds another as its argument, and would be printed as Python writes it."""
    inner = OSError("Failed to resolve 'hub.example'")
    outer = RuntimeError("Max retries exceeded")
    outer.reason = inner  # type: ignore[attr-defined]

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError(outer, "(Request ID: 1)")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(UnreadableError) as caught:
        HuggingFace().list("someone/model", None)
    assert str(caught.value) == (
        "no folder or file of this name here, and the model hub did not list it "
        "(ConnectionError: Failed to resolve 'hub.example')"
    )
