"""LanguageTool's server, played by a `java` that is a small Python program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from suites.adversarial.resources.finding import ResourceMissing
from suites.adversarial.semantics.language_tool import LanguageToolErrors
from suites.adversarial.semantics.unmeasured import Unmeasured

JAVA = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

assert sys.argv[1] == "-cp" and sys.argv[2].endswith("languagetool-server.jar"), sys.argv
assert sys.argv[3] == "org.languagetool.server.HTTPServer", sys.argv
{start}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, [])

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode(), keep_blank_values=True)
        assert form["language"] == ["en-US"]
        text = form["text"][0]
        matches = [{{"offset": at}} for at, word in enumerate(text.split()) if word == "teh"]
        self.answer(500 if "broken" in text else 200, {{"matches": matches}})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


def put_java(folder: Path, monkeypatch: pytest.MonkeyPatch, start: str = "") -> None:
    java = folder / "java"
    java.write_text(JAVA.format(python=sys.executable, start=start))
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LanguageToolErrors]:
    put_java(tmp_path, monkeypatch)
    made = LanguageToolErrors(tmp_path)
    yield made
    made.close()


def test_matches_are_counted_text_by_text(errors: LanguageToolErrors) -> None:
    assert errors(["teh film & teh story", "naïve café = fine", "", "teh"]) == [2, 0, 0, 1]


def test_a_text_that_it_cannot_answer_is_unmeasured(errors: LanguageToolErrors) -> None:
    found = errors(["broken", "teh"])
    assert found == [Unmeasured("LanguageTool gives no answer: ValueError: status 500"), 1]


def test_a_closed_server_answers_nothing(errors: LanguageToolErrors) -> None:
    errors.close()
    errors.close()
    [found] = errors(["teh"])
    assert isinstance(found, Unmeasured)
    assert found.why.startswith("LanguageTool gives no answer: ConnectionRefusedError")


def test_a_server_that_ends_at_once_is_a_wrong_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_java(tmp_path, monkeypatch, start="sys.exit(3)")
    with pytest.raises(UsageError, match=r"LanguageTool's server ended with status 3; check that this copy"):
        LanguageToolErrors(tmp_path)


def test_without_java_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceMissing, match="LanguageTool needs Java; install a Java runtime"):
        LanguageToolErrors(tmp_path)
