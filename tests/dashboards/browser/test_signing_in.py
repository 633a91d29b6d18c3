"""Signing in at a real provider in a real browser: roles by its claims, and nothing before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dashboards.settings import Access
from tests.audit_folder import make_audit
from tests.dashboards.browser.conftest import Visit, free_port, served
from tests.dashboards.browser.provider import CLIENT, Provider, provider

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def issuer() -> Iterator[Provider]:
    pytest.importorskip("authlib")
    with provider() as made:
        yield made


@pytest.fixture(scope="module")
def dashboard(issuer: Provider, tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """A dashboard over one audit that asks the provider who somebody is."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    make_audit(home / "audits")
    (home / "roles.yaml").write_text(
        "default: none\nemails: {ben@example.org: viewer}\nclaims: [{claim: groups, value: auditors, role: auditor}]\n"
    )
    (home / "secrets.toml").write_text(
        f"[auth]\nredirect_uri = 'http://localhost:{port}/oauth2callback'\n"
        f"cookie_secret = '{'0123456789abcdef' * 4}'\nclient_id = '{CLIENT}'\nclient_secret = 'shared'\n"
        f"server_metadata_url = '{issuer.issuer}/.well-known/openid-configuration'\n"
    )
    access = Access(roles=home / "roles.yaml")
    with served(home / "audits", tmp_path_factory.mktemp("cache"), access, home / "secrets.toml", port) as address:
        yield address


@pytest.fixture
def visit(browser: Any, dashboard: str) -> Iterator[Visit]:
    made = Visit(browser, dashboard)
    yield made
    made.close()


def enter(visit: Visit, issuer: Provider, said: str, **claims: object) -> Any:
    """Sign in as somebody with these claims, and wait for what the first page says; the tab."""
    issuer.claims = claims
    tab = visit.go("", "These audits are shown to people who sign in.")
    assert tab.get_by_text("sentiment").count() == 0
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_text(said).first.wait_for(timeout=60_000)
    return tab


def test_a_viewer_looks_and_starts_nothing(visit: Visit, issuer: Provider) -> None:
    enter(visit, issuer, "Signed in as ben@example.org, viewer", sub="2", email="ben@example.org", email_verified=True)
    tab = visit.go("start", "the file of roles makes you a viewer")
    assert tab.get_by_role("textbox").count() == 0
    tab.get_by_role("button", name="Sign out").click()
    tab.get_by_text("These audits are shown to people who sign in.").wait_for(timeout=60_000)


def test_a_claim_makes_an_auditor(visit: Visit, issuer: Provider) -> None:
    claims = {"email": "anna@example.org", "email_verified": True, "groups": ["auditors"]}
    enter(visit, issuer, "Signed in as anna@example.org, auditor", sub="1", **claims)
    tab = visit.go("start", "Labelled examples")
    assert tab.get_by_text("the file of roles makes you a viewer").count() == 0


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "eve@example.org", "email_verified": True},
        {"email": "ben@example.org", "email_verified": False},
        {"email": "ben@example.org"},
    ],
)
def test_who_is_in_no_file_sees_nothing(visit: Visit, issuer: Provider, claims: dict[str, object]) -> None:
    tab = enter(visit, issuer, "who has no role here", sub="3", **claims)
    assert tab.get_by_text("Releases").count() == 0
    tab = visit.go("audits", "who has no role here")
    assert tab.get_by_text("sentiment").count() == 0
