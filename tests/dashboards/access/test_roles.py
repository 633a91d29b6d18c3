"""Roles by claims: the strongest that fits, and nothing for what a provider does not vouch for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashboards.access.actor import _signed_in
from dashboards.access.roles import Role, Roles, load_roles, role_of
from harness.errors import UsageError

FILE = """
default: viewer
emails: {Anna@Example.org: auditor, ben@example.org: viewer}
claims:
  - {claim: groups, value: auditors, role: auditor}
  - {claim: sub, value: "42", role: auditor}
"""


@pytest.fixture
def roles(tmp_path: Path) -> Roles:
    (tmp_path / "roles.yaml").write_text(FILE)
    return load_roles(tmp_path / "roles.yaml")


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"email": "anna@example.org", "email_verified": True}, Role.AUDITOR),
        ({"email": " ANNA@EXAMPLE.ORG", "email_verified": "true"}, Role.AUDITOR),
        ({"email": "anna@example.org"}, Role.VIEWER),
        ({"email": "anna@example.org", "email_verified": False}, Role.VIEWER),
        ({"email": "anna@example.org", "email_verified": "false"}, Role.VIEWER),
        ({"email": "anna@example.org", "email_verified": None}, Role.VIEWER),
        ({"email": "ben@example.org", "groups": ["x", "auditors"]}, Role.AUDITOR),
        ({"groups": ["auditors2"]}, Role.VIEWER),
        ({"groups": "auditors and others"}, Role.VIEWER),
        ({"groups": {"auditors": 1}}, Role.VIEWER),
        ({"sub": "42"}, Role.AUDITOR),
        ({"sub": 42}, Role.VIEWER),
        ({"email": ["anna@example.org"]}, Role.VIEWER),
        ({}, Role.VIEWER),
    ],
)
def test_the_strongest_role_that_fits(claims: dict[str, Any], role: Role, roles: Roles) -> None:
    assert role_of(claims, roles) is role


@pytest.mark.parametrize(
    ("listed", "given"),
    [
        ("strasse@fass.de", "straße@faß.de"),
        ("kim@example.org", "\u212aim@example.org"),
        ("fi@example.org", "ﬁ@example.org"),
    ],
)
def test_letters_that_unicode_takes_for_others_are_another_address(listed: str, given: str) -> None:
    roles = Roles(emails={listed: "auditor", "ärger@example.org": "viewer"})

    def role(email: str) -> Role:
        return role_of({"email": email, "email_verified": True}, roles)

    assert role(listed.upper()) is Role.AUDITOR
    assert role(given) is Role.NONE
    assert role("ÄRGER@example.org") is Role.NONE
    assert role("äRGER@Example.org") is Role.VIEWER


@pytest.mark.parametrize("verified", [False, "false", None, 1, "True", [True], {}])
def test_an_address_that_nobody_vouches_for_is_no_name(verified: Any, tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text(FILE)
    claims = {"is_logged_in": True, "email": "anna@example.org", "email_verified": verified, "sub": "42"}
    actor = _signed_in(tmp_path / "roles.yaml", claims)
    assert (actor.name, actor.role) == ("42", Role.AUDITOR)  # by its own claim; nothing it does is Anna's
    assert _signed_in(tmp_path / "roles.yaml", {**claims, "email_verified": True}).name == "anna@example.org"
    assert _signed_in(tmp_path / "roles.yaml", {**claims, "sub": ["42"]}).name == "?"


def test_the_file_may_vouch_for_a_provider_that_never_says_whether_an_address_is_verified(tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text(f"email_verified: not sent\n{FILE}")
    claims: dict[str, Any] = {"is_logged_in": True, "email": "anna@example.org", "sub": "7"}
    trusting = _signed_in(tmp_path / "roles.yaml", claims)
    assert (trusting.name, trusting.role) == ("anna@example.org", Role.AUDITOR)
    refused = _signed_in(tmp_path / "roles.yaml", {**claims, "email_verified": False})
    assert (refused.name, refused.role) == ("7", Role.VIEWER)
    (tmp_path / "roles.yaml").write_text(FILE)
    careful = _signed_in(tmp_path / "roles.yaml", claims)
    assert (careful.name, careful.role) == ("7", Role.VIEWER)


def test_nobody_is_let_in_unless_the_file_says_so() -> None:
    assert role_of({"email": "anna@example.org", "email_verified": True}, Roles()) is Role.NONE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default: auditor\n", "default"),  # a slip must not make an auditor of everybody
        ("emails: {anna: auditor}\n", "no e-mail address"),
        ("emails: {a@b.c: auditor, A@b.c: viewer}\n", "twice"),
        ("emails: {a@b.c: owner}\n", "emails.a@b.c"),
        ("email_verified: false\n", "email_verified"),
        ("email: {a@b.c: viewer}\n", "did you mean 'emails'"),
        ("claims: [{claim: groups, value: '', role: viewer}]\n", "value"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        load_roles(tmp_path / "roles.yaml")
