"""Who asks for a page or for something to be done, as this session knows them."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboards.access.roles import Role, Roles, load_roles, role_of, vouched_email
from dashboards.settings import ACCESS_KEY, Settings
from harness.base.language import _
from harness.errors import AssayError, UsageError

_GIVEN = "access-key"
HOLDER = "holder of the key"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody and their role."""

    name: str
    """As the provider names them; empty where nobody signs in."""
    role: Role
    problem: str = ""
    """Why the role is less than it might be."""

    @property
    def may_act(self) -> bool:
        """Whether they may start, stop and resume audits."""
        return self.role is Role.AUDITOR

    def require_auditor(self, what: str) -> None:
        """Raises UsageError unless they may act. Whatever acts calls this: a page that hides a button may err."""
        if not self.may_act:
            raise UsageError(_("Only an auditor may {what}.", what=what))


def current(settings: Settings) -> Actor:
    """Who it is, asked anew at every run of a page: a role that was taken away is gone at once."""
    access = settings.access
    if access.roles is not None:
        return _signed_in(access.roles, claims())
    given = st.session_state.get(_GIVEN, "")
    if access.key and hmac.compare_digest(str(given).encode(), access.key.encode()):
        return Actor(HOLDER, Role.AUDITOR)
    return Actor("", Role.VIEWER)


def take_key() -> None:
    """Move a key from the page's address, where somebody may read or share it, into the session."""
    given = st.query_params.get(ACCESS_KEY)
    if given is not None:
        st.session_state[_GIVEN] = given
        del st.query_params[ACCESS_KEY]


def give_key(key: str) -> None:
    """The key, as typed."""
    st.session_state[_GIVEN] = key.strip()


def claims() -> dict[str, Any]:
    """What the identity provider says of whoever signed in; `is_logged_in` is Streamlit's own."""
    return st.user.to_dict()


def _signed_in(roles: Path, claims: Mapping[str, Any]) -> Actor:
    if claims.get("is_logged_in") is not True:
        return Actor("", Role.NONE)
    try:
        known = load_roles(roles)
    except AssayError as error:
        return Actor(_name(claims, Roles()), Role.NONE, str(error))
    return Actor(_name(claims, known), role_of(claims, known))


def _name(claims: Mapping[str, Any], roles: Roles) -> str:
    """An address that nobody vouches for would put another one's name to what is done."""
    subject = claims.get("sub")
    return vouched_email(claims, roles) or (subject if isinstance(subject, str) and subject else "?")
