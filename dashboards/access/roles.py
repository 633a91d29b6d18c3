"""Roles by what an identity provider says of somebody who signed in; pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from harness.base.frozen import Frozen
from harness.base.language import marked
from harness.base.validation import load_yaml


class Role(StrEnum):
    """What somebody may do, least first."""

    NONE = "none"
    """See nothing."""
    VIEWER = marked("viewer")
    """See everything; start and stop nothing."""
    AUDITOR = marked("auditor")
    """Start, stop and resume audits too."""


_RANK = list(Role)
Granted = Literal["viewer", "auditor"]


class ClaimRule(Frozen):
    """A role for whoever has a value in a claim of the ID token: a group, a tenant, a subject."""

    claim: str = Field(min_length=1, description="name of the claim, e.g. groups or sub")
    value: str = Field(min_length=1, description="what the claim must be, or hold where it is a list")
    role: Granted


class Roles(Frozen):
    """A file of roles; of several that fit somebody the strongest counts."""

    default: Literal["none", "viewer"] = Field(default="none", description="of whoever is not in this file")
    emails: dict[str, Granted] = Field(default_factory=dict, description="role by e-mail address, case ignored")
    claims: tuple[ClaimRule, ...] = ()
    email_verified: Literal["required", "not sent"] = Field(
        default="required",
        description="not sent: the provider never says email_verified and lets nobody type an address of their own",
    )

    @field_validator("emails")
    @classmethod
    def _addresses(cls, emails: dict[str, Granted]) -> dict[str, Granted]:
        folded = {_plain_case(email): role for email, role in emails.items()}
        if wrong := [email for email in folded if "@" not in email]:
            raise ValueError(f"{wrong[0][:60]!r} is no e-mail address; other claims belong under claims:")
        if len(folded) < len(emails):
            raise ValueError("an e-mail address is there twice")
        return folded


def load_roles(path: Path) -> Roles:
    """The file of roles. Raises UsageError."""
    return load_yaml(path, Roles)


def role_of(claims: Mapping[str, Any], roles: Roles) -> Role:
    """The role of somebody with these claims.

    An e-mail address that nobody vouches for counts for nothing: anybody can type one.
    """
    email = vouched_email(claims, roles)
    found = [Role(rule.role) for rule in roles.claims if _holds(claims.get(rule.claim), rule.value)]
    if granted := roles.emails.get(_plain_case(email)):
        found.append(Role(granted))
    return max([Role(roles.default), *found], key=_RANK.index)


def vouched_email(claims: Mapping[str, Any], roles: Roles) -> str:
    """The e-mail address of somebody; '' where there is none or the provider does not call it verified.

    Of a provider that never says so the file of roles may vouch; a provider that does, and says no, is believed.
    """
    email, verified = claims.get("email"), claims.get("email_verified", roles.email_verified == "not sent")
    return email if isinstance(email, str) and (verified is True or verified == "true") else ""


def _plain_case(email: str) -> str:
    """Only A to Z have a small letter here: in Unicode's terms strasse@ and straße@ are one, yet two people's."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in email.strip())


def _holds(given: Any, value: str) -> bool:
    """A list holds it as an item; text never as a part."""
    return value in given if isinstance(given, (list, tuple)) else isinstance(given, str) and given == value
