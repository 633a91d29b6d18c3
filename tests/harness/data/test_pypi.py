from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from harness.data.pypi import parse_pypi, pypi_file
from harness.errors import UsageError

ROOT = Path(__file__).parents[3]


def make_wheel(folder: Path, entries: dict[str, str]) -> tuple[Path, str]:
    """A wheel called tiny-data 1.0 with `entries`; its path and sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "tiny_data-1.0-py3-none-any.whl"
    info = "tiny_data-1.0.dist-info"
    parts = {
        **entries,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder pip takes wheels from instead of the network, and an empty cache."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return shelf


def test_downloads_once_and_never_runs_what_it_holds(registry: Path) -> None:
    ran = registry / "ran"
    wheel, digest = make_wheel(
        registry, {"tiny_data/__init__.py": f"open({str(ran)!r}, 'w')", "tiny_data/a.csv": "text\nhello\n"}
    )
    source = f"pypi:tiny-data==1.0!tiny_data/a.csv#sha256={digest}"
    assert pypi_file(source).read_text() == "text\nhello\n"
    wheel.unlink()
    assert pypi_file(source).read_text() == "text\nhello\n"
    assert not ran.exists()


def test_what_lies_in_the_working_folder_is_no_part_of_pip(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, digest = make_wheel(registry, {"tiny_data/a.csv": "x"})
    model, mark = tmp_path / "model", tmp_path / "ran"
    model.mkdir()
    for name in ("pip", "zipfile", "hashlib", "sitecustomize"):
        (model / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\n")
    for name in ("pip.conf", "pip.ini", "pyproject.toml", "setup.cfg"):
        (model / name).write_text("[global]\nindex-url = http://127.0.0.1:1/\n")
    monkeypatch.chdir(model)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("", str(ROOT))))
    monkeypatch.setenv("ASSAY_CACHE", "cache")  # relative to the working folder, as the user says
    assert pypi_file(f"pypi:tiny-data==1.0!tiny_data/a.csv#sha256={digest}").read_text() == "x"
    assert (model / "cache" / "pypi" / digest).is_dir()
    assert not mark.exists()


def test_another_digest_is_refused_and_leaves_nothing(registry: Path, tmp_path: Path) -> None:
    make_wheel(registry, {"tiny_data/a.csv": "x"})
    with pytest.raises(UsageError, match="another sha256"):
        pypi_file(f"pypi:tiny-data==1.0!tiny_data/a.csv#sha256={'0' * 64}")
    assert list((tmp_path / "cache" / "pypi").iterdir()) == []


def test_unknown_package_is_one_sentence(registry: Path) -> None:
    with pytest.raises(UsageError, match=r"pypi:absent==1\.0: not downloaded"):
        pypi_file(f"pypi:absent==1.0!a#sha256={'0' * 64}")


def test_unknown_path_names_where_the_wheel_lies(registry: Path) -> None:
    _, digest = make_wheel(registry, {"tiny_data/a.csv": "x"})
    with pytest.raises(UsageError, match=r"holds no 'tiny_data/b\.csv'"):
        pypi_file(f"pypi:tiny-data==1.0!tiny_data/b.csv#sha256={digest}")


def test_archive_that_leaves_its_folder_is_refused(registry: Path, tmp_path: Path) -> None:
    _, digest = make_wheel(registry, {"../../evil": "x"})
    with pytest.raises(UsageError, match="unsafe entry"):
        pypi_file(f"pypi:tiny-data==1.0!a#sha256={digest}")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("pypi:a!b", "not of the form"),
        ("pypi:a==1!b", "unpinned"),
        (f"pypi:a==1!../b#sha256={'0' * 64}", "inside the wheel"),
        (f"pypi:a==1!/b#sha256={'0' * 64}", "inside the wheel"),
        (f"pypi:a==1 -i x!b#sha256={'0' * 64}", "not of the form"),
    ],
)
def test_bad_source(source: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_pypi(source)
