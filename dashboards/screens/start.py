"""Page: an audit's spec as a form, what it would do and take, and the button that starts it."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pandas as pd
import streamlit as st

from dashboards.access.actor import Actor, current, give_key
from dashboards.control.begin import start
from dashboards.control.planning import plan
from dashboards.control.spec_form import CHOSEN, DATA, MORE, Draft, Field, draft, form_fields, probe_names
from dashboards.settings import Settings, read_settings
from dashboards.view_models import views
from harness.audit.plan_summary import PlanSummary
from harness.base import numbers
from harness.base.language import _
from harness.errors import AssayError

_FEW = 7  # fields that nearly every audit looks at; the others are folded away
_PAUSE = 2.0  # seconds within which a second click is taken for the first one


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    actor = current(settings)
    st.title(_("Start an audit"))
    if not actor.may_act:
        _refused(settings, actor)
        return
    made = _form(settings)
    given = _permissions(settings)
    with st.expander(_("The spec as YAML"), icon=":material/code:"):
        st.code(made.yaml, language=None, wrap_lines=True)
    if made.errors:
        if "" in made.errors:
            st.error(views.plain(made.errors[""]), icon=":material/error:")
        return
    _plan_and_start(actor, settings, made, given)


def _refused(settings: Settings, actor: Actor) -> None:
    """Why somebody may not, and how they could."""
    st.info(_("Here you may look at audits, not start or stop any."), icon=":material/lock:")
    if settings.access.roles is not None:
        st.text(_("You are signed in as {name}; the file of roles makes you a viewer.", name=actor.name))
        return
    if not settings.access.key:
        st.text(_("Whoever runs this dashboard can allow it by starting it so:"))
        st.code("assay dashboard --allow-start", language=None, wrap_lines=True)
        return
    st.text(_("Open the address that assay dashboard printed, or give the key that stands in it."))
    key = st.text_input(_("Key"), type="password", key="given-key")
    if key:
        give_key(key)
        if current(settings).may_act:
            st.rerun()
        st.error(_("That is not the key of this dashboard."), icon=":material/key_off:")


def _form(settings: Settings) -> Draft:
    """The fields, each with what is wrong with it below; errors of the run before stand until something changes."""
    said: dict[str, str] = st.session_state.get("start-errors", {})
    given: dict[str, Any] = {}
    fields = form_fields()
    with st.container(border=True):
        for each in fields[:1]:
            given[each.path] = _widget(each, said)
        given[CHOSEN] = st.multiselect(
            _("Probes"),
            probe_names(),
            key="start-probes",
            accept_new_options=True,
            placeholder=_("every probe that applies"),
            help=_("Suites or probes; none: every probe that applies."),
            select_all=False,  # Enter would take it, and with it every probe whose name has what was typed
        )
        _error(CHOSEN, said)
        left, right = st.columns(2)
        for index, path in enumerate(DATA):
            with (left, right)[index]:
                given[path] = st.text_input(_label(path), key=f"start-{path}", help=_data_help(path))
                _error(path, said)
        for index, each in enumerate(fields[1:_FEW]):
            with (left, right)[index % 2]:
                given[each.path] = _widget(each, said)
        with st.expander(_("More"), expanded=any(path in said for path in (MORE, *(f.path for f in fields[_FEW:])))):
            for each in fields[_FEW:]:
                given[each.path] = _widget(each, said)
            more = st.text_area(
                _("Other keys, as YAML"),
                key="start-more",
                help=_("models, data of other inputs, params …"),
            )
            _error(MORE, said)
    made = draft(given, more, settings)
    shown = dict(made.errors)
    if not given["checkpoint.source"]:
        shown.pop("checkpoint.source", None)  # nobody has typed anything yet: that is no mistake
    if shown != said:
        st.session_state["start-errors"] = shown
        st.rerun()
    return made


def _widget(each: Field, said: dict[str, str]) -> Any:
    key, label = f"start-{each.path}", _label(each.path)
    value: Any
    if each.kind == "choice":
        value = st.selectbox(label, each.choices, key=key, help=each.help or None)
    elif each.kind in ("integer", "number"):
        convert = int if each.whole else float
        value = st.number_input(
            label,
            min_value=None if each.least is None else convert(each.least),
            max_value=None if each.most is None else convert(each.most),
            value=each.default,
            step=convert(1),
            key=key,
            help=each.help or None,
        )
    else:
        value = st.text_input(label, key=key, max_chars=each.longest, help=each.help or None)
    _error(each.path, said)
    return None if value == each.default else value


def _error(path: str, said: dict[str, str]) -> None:
    if path in said:
        st.markdown(f":material/error: **{views.plain(said[path])}**")


def _label(path: str) -> str:
    return {
        "checkpoint.source": _("Checkpoint"),
        "checkpoint.revision": _("Revision of the checkpoint"),
        "checkpoint.base": _("Base of an adapter"),
        "name": _("Name"),
        "policy": _("Policy"),
        "limits.cases": _("Cases per probe, at most"),
        "limits.minutes": _("Minutes, at most"),
        "seed": _("Seed"),
        "device": _("Device"),
        "dtype": _("Number format"),
        "data.examples": _("Labelled examples"),
        "data.texts": _("Texts"),
    }.get(path, path)


def _data_help(path: str) -> str:
    source = _("file, hub dataset or pypi: source")
    words = {"data.examples": _("texts with labels"), "data.texts": _("texts without labels")}
    return f"{words[path]}: {source}"


def _permissions(settings: Settings) -> list[str]:
    """Of those that the dashboard was started with, what this audit gets: none unless asked for."""
    if not settings.access.permissions:
        return []
    return st.multiselect(
        _("Permissions"),
        settings.access.permissions,
        key="start-permissions",
        help=_("What the checkpoint may do."),
        select_all=False,
    )


def _plan_and_start(actor: Actor, settings: Settings, made: Draft, given: list[str]) -> None:
    """The button that starts is there for the very spec that was planned, and for no other."""
    digest = hashlib.sha256("\0".join((made.yaml, *given)).encode()).hexdigest()
    planned: tuple[str, PlanSummary] | None = st.session_state.get("planned")
    if st.button(_("Plan"), icon=":material/checklist:", help=_("What it would do and take; loads no weights.")):
        place = st.empty()
        try:
            summary = plan(actor, settings, made.yaml, given, lambda seconds: _wait(place, seconds))
        except AssayError as error:
            place.error(views.plain(str(error)), icon=":material/error:")
            return
        place.empty()
        planned = st.session_state["planned"] = (digest, summary)
    if planned is None or planned[0] != digest:
        st.caption(_("Plan it first: then you see what it takes, and can start it."))
        return
    _summary(planned[1])
    now = time.monotonic()
    if st.button(_("Start"), type="primary", icon=":material/play_arrow:"):
        if now - st.session_state.get("started-at", -_PAUSE) < _PAUSE:
            return
        st.session_state["started-at"] = now
        try:
            begun = start(actor, settings, made.yaml, given)
        except AssayError as error:
            st.error(views.plain(str(error)), icon=":material/error:")
            return
        st.switch_page("screens/live.py", query_params={"start": begun.id})


def _wait(place: Any, seconds: float) -> None:
    place.info(_("Planning… {n} s", n=round(seconds)), icon=":material/hourglass_top:")


def _summary(told: PlanSummary) -> None:
    st.subheader(_("What it will do"))
    facts = f"{told.checkpoint} · {told.architecture} · {told.parameters / 1e6:,.1f} M · {told.fingerprint[:12]}"
    st.caption(views.plain(facts))
    seconds = [each.seconds for each in told.probes]
    time_, tokens, memory = st.columns(3)
    known = [each for each in seconds if each is not None]
    time_.metric(_("CPU time, about"), numbers.duration(sum(known)) if len(known) == len(seconds) else "–")
    tokens.metric(_("Tokens, about"), f"{sum(each.tokens for each in told.probes):,}")
    memory.metric(_("Weights in memory, at most"), f"{told.weight_bytes / 2**30:.2f} GiB")
    st.table(_probes(told), border="horizontal")
    for note in told.notes:
        st.caption(views.plain(note))
    for key in told.unused:
        st.caption(views.plain(_("not used: {key}: no probe of this audit asks for it", key=key)))
    if told.gates:
        st.table(_gates(told), border="horizontal")
    unfit = {**told.not_applicable, **told.no_data, **told.plugin_errors}
    if unfit:
        with st.expander(_("{n} that will not run", n=len(unfit))):
            st.table(views.markdown_table((_("probe"), _("why")), list(unfit.items())), border="horizontal")


def _probes(told: PlanSummary) -> pd.DataFrame:
    lines = [
        (
            each.name,
            _("{n} of {all}", n=f"{each.cases:,}", all=f"{each.available:,}"),
            f"{each.tokens:,}",
            "–" if each.seconds is None else numbers.duration(each.seconds),
        )
        for each in told.probes
    ]
    return views.markdown_table((_("probe"), _("cases"), _("tokens, about"), _("CPU time, about")), lines)


def _gates(told: PlanSummary) -> pd.DataFrame:
    answers = {True: _("yes"), False: _("no"), None: _("unknown")}
    lines = [
        (
            each.gate,
            each.rule,
            answers[each.can_decide],
            _("unknown") if each.needed is None else f"{each.needed:,}",
            each.when,
        )
        for each in told.gates
    ]
    return views.markdown_table((_("gate"), _("rule"), _("can decide"), _("cases needed"), _("when")), lines)


show()
