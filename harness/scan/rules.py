"""Every rule a scan can report by, with its level and what to do; ids are stable, for suppressions and dashboards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.scan.finding import Level


@dataclass(frozen=True, slots=True)
class Rule:
    """What a finding means."""

    id: str
    level: Level
    short: str
    help: str


_E, _W, _N = Level.ERROR, Level.WARNING, Level.NOTE
_ALL = (
    Rule("file/link-leaves", _E, "A link that leaves the checkpoint", "Replace the link by the file it should be."),
    Rule("file/link", _N, "A link within the checkpoint", "A copy is plainer, and survives packing."),
    Rule("file/link-folder", _W, "A link to a folder", "Replace it by the folder; what lies below is not read twice."),
    Rule("file/link-dangling", _W, "A link that ends nowhere", "Remove it, or copy the file it should be."),
    Rule("file/special", _E, "A pipe, device or socket", "A checkpoint holds regular files only; remove it."),
    Rule("file/setuid", _E, "A file that runs with another user's rights", "Clear the bit, and ask why it was set."),
    Rule("file/executable", _N, "A file marked executable", "Clear the bit: nothing in a checkpoint is a program."),
    Rule("file/hidden", _N, "A hidden file", "Look at it, or leave it out of what is published."),
    Rule("file/sparse", _E, "A file far larger than what is on disk", "It fills memory when read; remove it."),
    Rule("file/name", _W, "A name that misleads", "Rename it: controls, marks of direction or blanks hide what it is."),
    Rule("file/path-leaves", _E, "An archive member that would be written elsewhere", "Do not unpack this archive."),
    Rule("file/other-kind", _W, "Content of another kind than the name says", "Rename it, or find out why it lies."),
    Rule("file/two-kinds", _W, "A file that is two kinds at once", "Readers that disagree see two files; rebuild it."),
    Rule("archive/damaged", _W, "An archive that is damaged or odd", "Lenient readers may still read it; rebuild it."),
    Rule("archive/nested", _N, "An archive", "Its members were read as far as the table of files says."),
    Rule("pickle/import", _E, "A pickle that imports what is not on the allow-list", "Do not load it; convert it."),
    Rule("pickle/computed", _E, "A pickle whose imports are computed", "No honest writer does this; do not load it."),
    Rule("pickle/extension", _E, "A pickle with extension codes", "What they import depends on the reader's process."),
    Rule("pickle/broken", _W, "A pickle that breaks off", "What stands before the break runs all the same."),
    Rule("pickle/present", _N, "A pickle with allowed imports only", "Convert it to safetensors; loading it is trust."),
    Rule("pickle/second-opinion", _E, "A pickle that another scanner calls dangerous", "Do not load it."),
    Rule("code/custom-generate", _E, "Code that generation would run", "transformers 4 runs it on local folders."),
    Rule("code/auto-map", _E, "Settings that name code of their own", "--allow-remote-code runs it; read it first."),
    Rule("code/python", _W, "Python source", "Remove what the model does not need; read what it does."),
    Rule("code/shadow", _E, "A file that Python or a tool would import by itself", "Rename or remove it."),
    Rule("code/path-file", _E, "A .pth file with code", "Python runs such lines at start; remove it."),
    Rule("code/native", _E, "A native program or library", "Nothing in a checkpoint needs one; remove it."),
    Rule("code/bytecode", _E, "Compiled Python", "It cannot be read as source; remove it."),
    Rule("code/script", _W, "A script", "Remove it, or read it before anything runs it."),
    Rule("code/notes", _N, "Code that loading does not touch", "A notebook, recipe or build file."),
    Rule("code/trust", _E, "Settings that grant themselves trust", "Remove the key; trust is the user's to give."),
    Rule("code/backbone", _E, "Settings that load another model", "Remove the key; CVE-2026-5241 is of this kind."),
    Rule("code/internal", _E, "A key of the library's internals", "Remove it; CVE-2026-4372 is of this kind."),
    Rule("code/kernel", _E, "Settings that fetch kernels", "Remove the key; kernels are native code."),
    Rule("code/class-path", _E, "Settings that name a module to import", "Remove the key, or check the module."),
    Rule("code/template", _E, "A chat template beyond plain text and loops", "Sandboxes have been left this way."),
    Rule("code/git", _E, "Git settings or hooks that run programs", "Remove them; git runs them when used here."),
    Rule("code/graph", _E, "A graph that runs code or reads files", "Do not load it."),
    Rule("code/settings", _W, "Settings that other tools read from this folder", "Remove them before working in it."),
    Rule("reference/leaves", _E, "A reference out of the folder", "Copy the file here and name it plainly."),
    Rule("reference/data", _W, "Training data named by a path or address", "Only --trust-manifest opens it."),
    Rule("reference/missing", _W, "A reference to a file that is not there", "Download the checkpoint again."),
    Rule("reference/base", _N, "The base of an adapter", "Scan it too: it is loaded with the adapter."),
    Rule("reference/origin", _N, "Where the checkpoint says it comes from", "Bookkeeping of the library that saved."),
    Rule("reference/other", _N, "A path or address in settings", "No loader known here follows it."),
    Rule("settings/duplicate", _W, "A name that stands twice", "Readers disagree on which counts; keep one."),
    Rule("settings/shape", _W, "Settings of another form than readers expect", "Take the original file."),
    Rule("settings/overrides", _W, "A key that replaces what the library has", "Remove the key."),
    Rule("settings/odd-number", _W, "A number no reader takes", "Correct it."),
    Rule("resources/count", _E, "Settings that ask for more than the weights hold", "Config and weights do not fit."),
    Rule("resources/tokenizer", _E, "A tokenizer that makes short texts long or slow", "Take the original tokenizer."),
    Rule("resources/vocabulary", _W, "A vocabulary far larger than the model's", "Tokenizer and weights do not fit."),
    Rule("resources/pattern", _E, "A regular expression that can take for ever", "Replace it by plain names."),
    Rule("weights/nan", _W, "Weights that are not numbers", "One such number can make every output NaN."),
    Rule("weights/infinite", _W, "Infinite weights", "Train or convert again."),
    Rule("weights/zero", _N, "Tensors of zeros only", "Fresh biases are; a trained matrix should not be."),
    Rule("weights/duplicate", _N, "Tensors with the same bytes", "Tied weights may be stored twice."),
    Rule("weights/unused", _W, "Tensors of layers that the config does not have", "They are loaded by no one; why?"),
    Rule("weights/unsound", _W, "A weight file whose header does not fit it", "Download it again."),
    Rule("weights/unlisted", _N, "A weight file that the index does not name", "It is not loaded, nor fingerprinted."),
    Rule("weights/twice", _W, "A tensor that two files hold", "Which one counts depends on the reader."),
    Rule("hub/status", _E, "The hub's own scan found something", "See the file's page on the hub."),
)
RULES: Mapping[str, Rule] = {rule.id: rule for rule in _ALL}
