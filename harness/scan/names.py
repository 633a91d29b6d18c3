"""What a file's name and place say: code that something imports by itself, settings of tools, names that mislead."""

from __future__ import annotations

import sys

from harness.base.loglines import clean
from harness.scan.kinds import NATIVE
from harness.scan.notebook import Notebook
from harness.scan.tree.api import Entry, Kind

SHADOWED = sys.stdlib_module_names | {
    "pip", "setuptools", "wheel", "pkg_resources", "conftest", "sitecustomize", "usercustomize", "torch", "numpy",
    "transformers", "tokenizers", "safetensors", "huggingface_hub", "accelerate", "peft", "datasets", "pandas", "scipy",
    "sklearn", "yaml", "requests", "tqdm", "packaging", "regex", "jinja2", "pydantic", "typer", "rich", "click",
    "mlflow", "streamlit", "gguf", "harness", "suites", "privacy", "dashboards", "pytest", "tensorflow", "jax", "flax",
    "keras", "onnx", "onnxruntime", "sentencepiece", "protobuf", "google", "PIL", "matplotlib", "kernels", "noxfile",
    "fabfile", "tasks", "dodo", "gunicorn", "ipython_config", "jupyter_config",
}  # fmt: skip
"""Modules that Python, pip, pytest or this project import by name: a file of that name here comes first."""
_TOOLS = frozenset({".streamlit", ".vscode", ".devcontainer", ".idea", ".envrc", ".circleci"})
_TOOL_FILES = frozenset({
    "pip.conf", "pip.ini", "matplotlibrc", ".pypirc", ".npmrc", "pyvenv.cfg", ".pre-commit-config.yaml", ".env",
    ".condarc", "tox.ini", "setup.cfg", "pytest.ini",
})  # fmt: skip
_RECIPES = frozenset({"dockerfile", "makefile", "pyproject.toml", "justfile", "environment.yml", "docker-compose.yml"})
_ORDINARY_HIDDEN = frozenset({".gitattributes", ".gitignore", ".gitkeep", ".DS_Store"})
_SPARSE = 256 * 2**20
"""A file this large with less than a sixteenth of it on disk is no trained one; compressing file systems reach 2."""
_TEXT = frozenset({"text", "json", "python", "script", "html"})


def special_of(entry: Entry) -> tuple[str, ...]:
    """Words for what is not ordinary about an entry."""
    words = []
    if entry.kind is not Kind.FILE:
        words.append(str(entry.kind))
    elif entry.target:
        words.append("link")
    if entry.mode & 0o6000:
        words.append("setuid" if entry.mode & 0o4000 else "setgid")
    if any(part.startswith(".") for part in entry.path.split("/")):
        words.append("hidden")
    if is_sparse(entry):
        words.append("sparse")
    return tuple(words)


def is_sparse(entry: Entry) -> bool:
    """Whether it claims far more than is on disk."""
    return entry.stored is not None and entry.size > _SPARSE and entry.stored < entry.size // 16


def report_entry(entry: Entry, notebook: Notebook) -> None:
    """What the file system says of an entry."""
    path = entry.path
    if entry.kind is Kind.LINK:
        if entry.leaves:
            notebook.find("file/link-leaves", path, f"links to {entry.target!r}, outside the checkpoint")
        elif entry.folder:
            notebook.find("file/link-folder", path, f"links to the folder {entry.target!r}")
        else:
            notebook.find("file/link-dangling", path, f"links to {entry.target!r}, where there is no file")
    elif entry.kind is Kind.FOLDER:
        notebook.find("file/other-kind", path, "is a folder, though its name promises a file")
    elif entry.kind.special:
        notebook.find("file/special", path, f"is a {entry.kind}, no regular file; whatever reads it can wait for ever")
    elif entry.target:
        notebook.find("file/link", path, f"links to {entry.target!r}")
    if entry.kind is Kind.FILE and entry.leaves:
        notebook.find("file/path-leaves", path, "its name leads out of the archive")
    if entry.mode & 0o6000:
        notebook.find("file/setuid", path, "is marked to run with the rights of its owner or group")
    if entry.mode & 0o111 and entry.kind is Kind.FILE:
        notebook.find("file/executable", ".", f"files are marked executable, e.g. {path}")
    if is_sparse(entry):
        notebook.find("file/sparse", path, f"claims {entry.size:,} bytes, of which {entry.stored:,} are on disk")
    if (
        clean(path) != path
        or any(char in path for char in "\n\t")
        or any(part != part.strip() for part in path.split("/"))
    ):
        notebook.find("file/name", path, "its name holds controls, marks of direction, or blanks at an end")
    _report_hidden(path, notebook)


def _report_hidden(path: str, notebook: Notebook) -> None:
    hidden = next((part for part in path.split("/") if part.startswith(".")), "")
    if hidden and hidden not in _ORDINARY_HIDDEN:
        notebook.find("file/hidden", path[: path.index(hidden) + len(hidden)], "is hidden from a plain listing")


def report_name(path: str, kind: str, notebook: Notebook) -> None:
    """What name and kind say together; `path` may lie in an archive, after '!'."""
    inner = path.rpartition("!")[2]
    parts = inner.split("/")
    name, lower = parts[-1], parts[-1].lower()
    if kind in NATIVE or lower.endswith((".so", ".pyd", ".dylib", ".dll")):
        notebook.find("code/native", path, f"is native code ({kind})")
    elif kind == "python bytecode" or lower.endswith((".pyc", ".pyo")):
        notebook.find("code/bytecode", path, "is compiled Python")
    elif lower.endswith((".py", ".pyw", ".pyx")) or kind == "python":
        _report_python(path, parts, lower, notebook)
    elif kind == "script":
        sample = "hooks" in parts and lower.endswith(".sample")
        notebook.find("code/notes" if sample else "code/script", path, "is a script")
    elif lower.endswith(".ipynb") or lower in _RECIPES or lower.startswith("dockerfile"):
        notebook.find("code/notes", path, "is code that loading does not touch")
    if lower.endswith(".pth") and kind in _TEXT:
        notebook.find("code/path-file", path, "is a text that Python reads at start, where it stands on its path")
    if parts[0] in _TOOLS or (len(parts) == 1 and name in _TOOL_FILES):
        notebook.find("code/settings", path, "is read by tools that are started in this folder")
    if parts[0].endswith((".dist-info", ".egg-info")) and name == "entry_points.txt" and "!" not in path:
        notebook.find("code/settings", path, "declares plug-ins to any Python that has this folder on its path")


def _report_python(path: str, parts: list[str], lower: str, notebook: Notebook) -> None:
    if not lower.endswith((".py", ".pyw", ".pyx")):
        notebook.find("code/notes", path, "reads like Python, though its name does not say so")
        return
    stem = lower.rpartition(".")[0]
    if "custom_generate" in parts[:-1]:
        notebook.find("code/custom-generate", path, "is run by generate() of transformers 4 on any local folder")
    elif len(parts) == 1 and stem in SHADOWED:
        notebook.find("code/shadow", path, f"is imported in place of the module {stem!r} by a Python started here")
    elif len(parts) > 1 and parts[0] in SHADOWED:
        notebook.find("code/shadow", path, f"belongs to a package that hides the module {parts[0]!r}")
    else:
        notebook.find("code/python", path, "is Python source")
