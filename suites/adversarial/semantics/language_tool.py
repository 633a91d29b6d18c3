"""LanguageTool on this machine: its own HTTP server, started from the user's copy, asked text by text."""

from __future__ import annotations

import atexit
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from harness.base.surroundings import find_program
from harness.errors import UsageError
from suites.adversarial.resources.finding import ResourceMissing
from suites.adversarial.semantics.unmeasured import Unmeasured

SERVER = "languagetool-server.jar"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 60.0


class LanguageToolErrors:
    """Matches of LanguageTool's rules for US English, as TextAttack's `LanguageTool` constraint counts them.

    The server listens on this machine only and ends with the process.
    """

    def __init__(self, folder: Path) -> None:
        java = find_program("java")
        if java is None:
            raise ResourceMissing("LanguageTool needs Java; install a Java runtime")
        self._port = _free_port()
        home = folder.absolute()
        command = [java, "-cp", str(home / SERVER), "org.languagetool.server.HTTPServer", "--port", str(self._port)]
        self._server = subprocess.Popen(
            command,
            cwd=home,  # Java takes settings from its working folder
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.close)
        try:
            self._wait(folder)
        except BaseException:
            self.close()
            raise

    def __call__(self, texts: Sequence[str]) -> list[int | Unmeasured]:
        """Errors of each text, in order."""
        return [self._errors(text) for text in texts]

    def close(self) -> None:
        """End the server."""
        if self._server.poll() is None:
            self._server.terminate()
            self._server.wait()
        atexit.unregister(self.close)

    def _errors(self, text: str) -> int | Unmeasured:
        try:
            return len(json.loads(self._ask("/v2/check", {"language": "en-US", "text": text}))["matches"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            return Unmeasured(f"LanguageTool gives no answer: {type(error).__name__}: {error}")

    def _ask(self, path: str, form: dict[str, str] | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        try:
            if form is None:
                connection.request("GET", path)
            else:
                kind = {"Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", path, urlencode(form), kind)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise ValueError(f"status {answer.status}")
        return body

    def _wait(self, folder: Path) -> None:
        """Until the server answers. Raises UsageError where it ends or stays silent."""
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self._server.poll() is None:
            try:
                self._ask("/v2/languages")
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.1)
            else:
                return
        ended = self._server.poll()
        why = f"ended with status {ended}" if ended is not None else f"did not answer in {_START_SECONDS:.0f} seconds"
        raise UsageError(f"{folder}: LanguageTool's server {why}; check that this copy and the Java runtime fit")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
