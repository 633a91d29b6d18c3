"""The form of an audit's spec: fields from the spec's JSON schema, and what was typed as a spec or as errors; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from dashboards.settings import Settings
from harness.api.registry import PROBES
from harness.audit.spec import AuditSpec
from harness.base.language import _, language
from harness.base.strict_yaml import dump_yaml
from harness.base.validation import validated, yaml_mapping
from harness.errors import UsageError

FIELDS = (
    "checkpoint.source",
    "name",
    "policy",
    "limits.cases",
    "limits.minutes",
    "seed",
    "checkpoint.revision",
    "checkpoint.base",
    "device",
    "dtype",
)
"""Of the spec: what most audits set, those first that nearly all do."""
DATA = ("data.examples", "data.texts")
"""Inputs of most probes; the schema knows no names of inputs."""
CHOSEN = "probes"
MORE = "more"
"""The field of everything else, as YAML."""
_BOUNDS = {"minimum": "least", "exclusiveMinimum": "least", "maximum": "most", "exclusiveMaximum": "most"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field, as the schema describes it."""

    path: str
    """Keys of the spec, joined by dots."""
    kind: str
    """text, integer, number or choice"""
    help: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    longest: int | None = None
    """Characters."""
    default: Any = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers fit."""
        return self.kind == "integer"


@dataclass(frozen=True, slots=True)
class Draft:
    """A spec as far as it goes, and what is wrong: a sentence by field, under '' what no field is to blame for."""

    spec: Mapping[str, Any]
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def yaml(self) -> str:
        """The spec as a file."""
        return dump_yaml(dict(self.spec))


def form_fields() -> tuple[Field, ...]:
    """FIELDS, in that order, in the language spoken now."""
    return _form_fields(language())


@cache
def _form_fields(_language: str) -> tuple[Field, ...]:
    schema = AuditSpec.model_json_schema()
    return tuple(_field(schema, path) for path in FIELDS)


def probe_names() -> list[str]:
    """Suites, then probes, by the names of their entry points: none is imported for it."""
    names = sorted(point.name.replace(".", "/", 1) for point in entry_points(group=PROBES))
    return [*sorted({name.partition("/")[0] for name in names}), *names]


def draft(given: Mapping[str, Any], more: str, settings: Settings) -> Draft:
    """The spec of what was typed.

    Args:
        given: value by path, and a list of names under CHOSEN; None and '' are left out.
        more: further keys, a mapping in YAML.
        settings: where the audit must be written, and logged.
    """
    spec: dict[str, Any] = {}
    for path, value in given.items():
        if value not in (None, "", []):
            _put(spec, path.split("."), value.strip() if isinstance(value, str) else value)
    try:
        extra = yaml_mapping(more, _("YAML")) if more.strip() else {}
        _refuse_elsewhere(extra)
        whole = _bound(_merged(spec, extra, ()), settings)
    except UsageError as error:
        return Draft(_bound(spec, settings), {MORE: str(error)})
    return Draft(whole, _errors(whole, frozenset(given), extra))


def _field(schema: Mapping[str, Any], path: str) -> Field:
    node: Mapping[str, Any] = schema
    for key in path.split("."):
        node = _resolved(schema, node)["properties"][key]
    if path == "policy":  # gates inline are for the YAML
        return Field(path, "text", _("Policy file on the dashboard's machine; without one nothing is decided."))
    options = [each for each in node.get("anyOf", [node]) if each.get("type") != "null"]
    kind = options[0]
    return Field(
        path=path,
        kind="choice" if "enum" in kind else {"string": "text"}.get(kind["type"], kind["type"]),
        help=node.get("description", ""),
        choices=tuple(kind.get("enum", ())),
        longest=kind.get("maxLength"),
        default=node.get("default"),
        **{_BOUNDS[name]: _inside(name, limit, kind["type"]) for name, limit in kind.items() if name in _BOUNDS},
    )


def _inside(name: str, limit: float, kind: str) -> float:
    """The bound of what may be typed: a whole number inside an open one; an open bound of others is checked later."""
    if kind != "integer" or not name.startswith("exclusive"):
        return limit
    return limit - 1 if name == "exclusiveMaximum" else limit + 1


def _resolved(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node


def _put(spec: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        spec = spec.setdefault(key, {})
    spec[keys[-1]] = value


def _merged(spec: Mapping[str, Any], extra: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Both. Raises UsageError for a key that a field has set too."""
    whole = dict(spec)
    for key, value in extra.items():
        known = whole.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            whole[key] = _merged(known, value, (*path, key))
        elif key in whole:
            raise UsageError(_("{key} is set above too; leave one of them empty", key=".".join((*path, key))))
        else:
            whole[key] = value
    return whole


def _refuse_elsewhere(extra: Mapping[str, Any]) -> None:
    """Raises UsageError for a key that would have an audit write, or send, to another place than the dashboard's."""
    tracking = extra.get("tracking")
    for key in ("output", "prepared"):
        if key in extra:
            raise UsageError(_("{key}: audits started here are written into this dashboard's folder", key=key))
    if extra.get("cache") not in (None, "off", "audit"):
        raise UsageError(_("cache: 'audit' or 'off'; a folder that audits share can be had on the command line"))
    if isinstance(tracking, dict) and tracking.get("uri") not in (None, "off"):
        raise UsageError(_("tracking.uri: 'off', or left out for the store of this dashboard"))
    if tracking is not None and not isinstance(tracking, dict):
        raise UsageError(_("tracking: must hold keys of its own"))


def _bound(spec: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    tracking = dict(spec.get("tracking") or {})
    if settings.tracking_uri is not None and tracking.get("uri") is None:
        tracking["uri"] = settings.tracking_uri
    bound = {**spec, "output": str(settings.output.absolute())}
    return {**bound, "tracking": tracking} if tracking else bound


def _errors(spec: Mapping[str, Any], fields: frozenset[str], extra: Mapping[str, Any]) -> dict[str, str]:
    """By field. The policy's file is left to the process that plans: this one opens no file that a user names."""
    values = {key: value for key, value in spec.items() if key != "policy" or not isinstance(value, str)}
    try:
        AuditSpec.model_validate(values)
        validated(AuditSpec, values, "")
    except ValidationError as error:
        return dict(reversed(list(_sentences(error, fields, extra))))  # of several about a field the first stays
    except UsageError as error:
        return {"": str(error).removeprefix(": ")}
    return {}


def _sentences(error: ValidationError, fields: frozenset[str], extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = error.errors(include_url=False)
    for each in sorted(found, key=lambda each: each["type"] != "extra_forbidden"):  # for which another may be missing
        keys = [str(part) for part in each["loc"]]
        where = _blamed(keys, fields, extra)
        said = each["msg"].removeprefix("Value error, ")
        if each["type"] == "missing":
            said = _("This is needed.") if where != MORE else _("missing")
        if each["type"] == "extra_forbidden":
            said = _("no such key")
        yield where, f"{'.'.join(keys)}: {said}" if where in (MORE, "") else said


def _blamed(keys: Sequence[str], fields: frozenset[str], extra: Mapping[str, Any]) -> str:
    """The field that a place in the spec was typed into."""
    for length in range(len(keys), 0, -1):
        path = ".".join(keys[:length])
        if path in fields and not (length < len(keys) and keys[0] in extra):
            return path
    if keys[:1] == ["checkpoint"] and "checkpoint" not in extra:
        return "checkpoint.source"
    return MORE if keys and keys[0] in extra else ""
