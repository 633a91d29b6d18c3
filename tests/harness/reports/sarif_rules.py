"""What the SARIF 2.1.0 standard asks of the objects that Assay writes; an independent reading, for tests."""

from __future__ import annotations

import re
from typing import Any

_OBJECTS: dict[str, tuple[set[str], set[str]]] = {
    "log": ({"version", "runs"}, {"$schema"}),
    "run": ({"tool"}, {"automationDetails", "invocations", "results", "columnKind", "properties"}),
    "driver": ({"name"}, {"version", "shortDescription", "rules"}),
    "rule": ({"id"}, {"shortDescription", "fullDescription", "help", "defaultConfiguration", "properties"}),
    "result": (
        {"message"},
        {"ruleId", "ruleIndex", "kind", "level", "locations", "partialFingerprints", "suppressions", "properties"},
    ),
    "invocation": (
        {"executionSuccessful"},
        {"exitCode", "exitCodeDescription", "commandLine", "startTimeUtc", "endTimeUtc", "toolExecutionNotifications"},
    ),
    "message": ({"text"}, {"markdown"}),
    "location": (set(), {"physicalLocation", "logicalLocations"}),
    "suppression": ({"kind"}, {"status", "justification"}),
    "notification": ({"message"}, {"level"}),
}
"""Required and allowed properties; the schema allows no others."""
_LEVELS = {"none", "note", "warning", "error"}
_KINDS = {"notApplicable", "pass", "fail", "review", "open", "informational"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check_log(log: dict[str, Any]) -> None:
    """Raises AssertionError where the log breaks the standard."""
    _check("log", log)
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        _check("run", run)
        driver = run["tool"]["driver"]
        _check("driver", driver)
        assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
        assert re.fullmatch(r"[^/]+(/[^/]+)*", run["automationDetails"]["id"])
        for rule in driver["rules"]:
            _check_rule(rule)
        for invocation in run["invocations"]:
            _check_invocation(invocation)
        for result in run["results"]:
            _check_result(result, driver["rules"])


def _check_rule(rule: dict[str, Any]) -> None:
    _check("rule", rule)
    assert rule["id"]
    for name in ("shortDescription", "fullDescription", "help"):
        _check_message(rule[name])
    assert rule["defaultConfiguration"]["level"] in _LEVELS
    tags = rule["properties"]["tags"]
    assert len(tags) == len(set(tags))


def _check_invocation(invocation: dict[str, Any]) -> None:
    _check("invocation", invocation)
    for name in ("startTimeUtc", "endTimeUtc"):
        assert name not in invocation or _MOMENT.fullmatch(invocation[name])
    for notification in invocation["toolExecutionNotifications"]:
        _check("notification", notification)
        _check_message(notification["message"])
        assert notification["level"] in _LEVELS


def _check_result(result: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    _check("result", result)
    _check_message(result["message"])
    assert result["kind"] in _KINDS
    assert result["level"] in _LEVELS
    assert result["kind"] == "fail" or result["level"] == "none"  # 3.27.10
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert len(result["locations"]) == 1
    for location in result["locations"]:
        _check("location", location)
        place = location["physicalLocation"]  # not the standard: GitHub's code scanning refuses a file without one
        assert re.fullmatch(r"[\w./%-]+", place["artifactLocation"]["uri"])
        assert place["region"]["startLine"] >= 1
        for logical in location["logicalLocations"]:
            assert set(logical) == {"name", "fullyQualifiedName"}
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
    for suppression in result.get("suppressions", []):
        _check("suppression", suppression)
        assert suppression["kind"] in {"inSource", "external"}
        assert suppression["status"] in {"accepted", "underReview", "rejected"}


def _check_message(message: dict[str, Any]) -> None:
    """Every brace is doubled (3.11.5), and no link is embedded (3.11.6)."""
    _check("message", message)
    assert not re.search(r"[{}]", message["text"].replace("{{", "").replace("}}", ""))
    assert "](" not in message["text"]


def _check(kind: str, value: dict[str, Any]) -> None:
    required, allowed = _OBJECTS[kind]
    assert required <= set(value) <= required | allowed, (kind, set(value))
