"""What somebody sees before they have a role, and how they leave again."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboards.access.actor import Actor
from dashboards.view_models.views import plain
from harness.base.language import _


def sign_in(actor: Actor) -> None:
    """The page of whoever has no role: nobody yet, or somebody whom the file of roles leaves out."""
    st.title("Assay")
    if not actor.name:
        st.info(_("These audits are shown to people who sign in."), icon=":material/lock:")
        for provider in _providers():
            label = _("Sign in with {provider}", provider=plain(provider)) if provider else _("Sign in")
            if st.button(label, type="primary", icon=":material/login:", key=f"sign-in-{provider}"):
                st.login(provider or None)
        return
    if actor.problem:
        st.error(_("The file of roles cannot be read, so nobody has a role: tell whoever runs this dashboard."))
        st.text(actor.problem)
    else:
        st.warning(plain(_("You are signed in as {name}, who has no role here.", name=actor.name)))
    if st.button(_("Sign out"), icon=":material/logout:"):
        st.logout()


def _providers() -> list[str]:
    """Names of the providers in the file of secrets, '' for the one that has no section of its own."""
    try:
        auth = st.secrets.get("auth", {})
    except FileNotFoundError:  # started without `assay dashboard`
        return [""]
    named = [name for name, value in auth.items() if isinstance(value, Mapping) and "client_id" in value]
    return [*([""] if "client_id" in auth or not named else []), *named]


def signed_in_line(actor: Actor) -> None:
    """Who is signed in, as what, below every page."""
    who, out = st.columns([5, 1], vertical_alignment="center")
    who.caption(plain(_("Signed in as {name}, {role}", name=actor.name, role=_(actor.role))))
    if out.button(_("Sign out"), icon=":material/logout:", key="sign-out"):
        st.logout()
