"""Page: an audit that runs, as it runs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboards import cache
from dashboards.access.actor import current
from dashboards.audits import Audit, Entry
from dashboards.control.begin import CONSOLE, Begun, call_off, find_start, last_lines, resume, start_of
from dashboards.control.process import Process, Standing, process_of, stop
from dashboards.control.progress import Follower, ProbeLine, Stage, words
from dashboards.settings import Settings, read_settings
from dashboards.view_models import views
from harness.base import numbers
from harness.base.language import _, language, speak
from harness.errors import AssayError
from harness.record.events import Tail
from harness.record.folder import AuditFolder, Status
from harness.reports.content.recorded import retold

_EVERY = 2.0  # seconds between two looks: events come once a second at most
_SHORT_OF_START = 60  # seconds that a process may take from its first line to its audit before the page says so


def show() -> None:
    """Draw the page."""
    settings = read_settings()
    st.title(_("Live"))
    begun = find_start(settings, st.query_params.get("start", ""))
    if begun is not None:
        _begun(settings, begun)
        return
    entries, _problem = cache.entries(settings)
    open_ = [entry for entry in entries if _unfinished(entry)]
    chosen = _choose(open_, entries)
    if chosen is None:
        _nothing(settings, len(entries))
        return
    assert chosen.audit is not None
    _audit(settings, chosen.audit.folder)


def _unfinished(entry: Entry) -> bool:
    return entry.audit is not None and entry.audit.manifest.status is not Status.FINISHED


def _choose(open_: list[Entry], entries: list[Entry]) -> Entry | None:
    """The audit that the address names, finished or not, else the newest that runs; None where none does."""
    local = {entry.audit_id: entry for entry in entries if entry.audit is not None}
    asked = st.query_params.get("audit")
    if asked is not None and asked not in local:
        st.warning(views.plain(_("No audit here is called {name}.", name=repr(asked[:80]))))
        asked = None
    moving = [entry.audit_id for entry in open_ if entry.audit is not None and _process(entry.audit).moves]
    ids = list(dict.fromkeys([*([asked] if asked else []), *moving, *(entry.audit_id for entry in open_)]))
    if not asked and not moving:
        _stopped(open_)
        return None
    if len(ids) > 1:
        key = "live-audit"
        if st.session_state.get(key) not in ids:
            st.session_state[key] = ids[0]
        chosen = str(st.selectbox(_("Audit"), ids, key=key))
    else:
        chosen = ids[0]
    if chosen != asked:
        st.query_params["audit"] = chosen
    return local[chosen]


def _process(audit: Audit) -> Process:
    try:
        return process_of(AuditFolder(audit.folder), audit.manifest.status)
    except (AssayError, OSError):  # a folder that cannot be asked is not one that runs
        return Process(Standing.FAILED)


def _nothing(settings: Settings, audits: int) -> None:
    st.info(_("No audit is running."), icon=":material/bedtime:")
    start, list_ = st.columns(2)
    start.page_link("screens/start.py", label=_("Start an audit"), icon=":material/play_arrow:")
    if audits:
        list_.page_link("screens/audits.py", label=_("All audits"), icon=":material/list:")
    st.caption(_("On the command line:"))
    st.code(f"assay run spec.yaml --output {shlex.quote(str(settings.output))}", language=None, wrap_lines=True)


def _stopped(open_: list[Entry]) -> None:
    """Audits that stopped before they were finished, each with a way to its page."""
    if not open_:
        return
    st.subheader(_("Stopped before they were finished"))
    for entry in open_[:10]:
        assert entry.audit is not None
        title, link = st.columns([4, 1], vertical_alignment="center")
        why = retold(entry.audit.manifest.why) or _("its process is gone")
        title.markdown(f"{views.plain(entry.audit_id)}: {views.plain(why)}")
        query = {"audit": entry.audit_id}
        link.page_link("screens/live.py", label=_("Look"), icon=":material/visibility:", query_params=query)


def _begun(settings: Settings, begun: Begun) -> None:
    """A start that has no audit yet: its checkpoint is being read and its cases planned."""
    folder = begun.audit(settings.output)
    if folder is not None:
        del st.query_params["start"]
        st.query_params["audit"] = folder.path.name
        st.rerun()
    if begun.process() is None:
        st.error(_("It ended before there was an audit; this is what it said:"), icon=":material/error:")
        st.code(last_lines(begun.folder / CONSOLE) or _("nothing"), language=None, wrap_lines=True)
        st.page_link("screens/start.py", label=_("Start another one"), icon=":material/play_arrow:")
        return
    _starting(settings, begun, language())
    if current(settings).may_act and st.button(_("Stop"), icon=":material/stop:"):
        _do(lambda: call_off(current(settings), settings, begun.id))


@st.fragment(run_every=_EVERY)
def _starting(settings: Settings, begun: Begun, spoken: str) -> None:
    speak(spoken)
    if begun.audit(settings.output) is not None or begun.process() is None:
        st.rerun()
    st.info(_("Planning: its checkpoint is read and its cases are chosen."), icon=":material/hourglass_top:")
    st.code(last_lines(begun.folder / CONSOLE) or "…", language=None, wrap_lines=True)


def _audit(settings: Settings, path: Path) -> None:
    folder = AuditFolder(path)
    try:
        manifest = folder.manifest()
        process = process_of(folder, manifest.status)
    except (AssayError, OSError) as error:
        st.error(views.plain(str(error)), icon=":material/broken_image:")
        return
    st.subheader(views.plain(manifest.name))
    _standing(process, manifest.why)
    _controls(settings, folder, process)
    begun = start_of(settings, manifest.command)
    logs = [path / CONSOLE, *([begun.folder / CONSOLE] if begun is not None else [])]
    if process.moves:
        _moving(folder, process, logs, language())
    else:
        _look(folder, process, logs)
    audit, rows = st.columns(2)
    query = {"audit": path.name}
    audit.page_link("screens/audit.py", label=_("The audit"), icon=":material/gavel:", query_params=query)
    rows.page_link("screens/rows.py", label=_("Its rows"), icon=":material/table_rows:", query_params=query)


def _standing(process: Process, why: str) -> None:
    holder = process.holder
    if process.standing is Standing.WORKING and holder is not None:
        st.success(
            views.plain(_("Running: process {pid} on {host}", pid=holder.pid or "?", host=holder.host or "?")),
            icon=":material/play_circle:",
        )
    elif process.standing is Standing.BEGINNING:
        st.info(_("It is about to begin."), icon=":material/hourglass_top:")
    elif process.standing is Standing.FINISHED:
        st.success(_("Finished."), icon=":material/check_circle:")
    else:
        gone = _("its process is gone, though nobody stopped it; its rows are kept")
        said = gone if process.standing is Standing.GONE else retold(why)
        st.warning(views.plain(_("Stopped: {why}", why=said)), icon=":material/pause_circle:")


def _controls(settings: Settings, folder: AuditFolder, process: Process) -> None:
    """Stop and resume for who may; for others the command."""
    actor, name = current(settings), folder.path.name
    asked = st.session_state.setdefault("stopping", set())
    if process.standing is Standing.WORKING:
        if name in asked:
            st.caption(_("It was asked to stop and ends with the batch in hand."))
        elif actor.may_act and st.button(_("Stop"), icon=":material/stop:", help=_("As Ctrl-C does; rows are kept.")):
            _do(lambda: stop(actor, settings, name), lambda: asked.add(name))
        return
    asked.discard(name)
    if not process.may_go_on:
        return
    if not actor.may_act:
        st.caption(_("To go on with it:"))
        st.code(shlex.join(["assay", "resume", str(folder.path)]), language=None, wrap_lines=True)
        return
    options = settings.access.permissions
    given = st.multiselect(_("Permissions"), options, key="live-permissions", select_all=False) if options else []
    resumed = st.session_state.setdefault("resumed", {})
    if time.time() - resumed.get(name, 0.0) < _SHORT_OF_START and not _said_no(folder, resumed[name]):
        _awaited(folder, language())
    elif st.button(_("Resume"), icon=":material/play_arrow:"):
        _do(lambda: resume(actor, settings, name, given), lambda: resumed.update({name: time.time()}))
    st.caption(_("Or in a terminal:"))
    st.code(shlex.join(["assay", "resume", str(folder.path)]), language=None, wrap_lines=True)


def _said_no(folder: AuditFolder, since: float) -> bool:
    """Whether what was resumed has printed an error since."""
    log = folder.path / CONSOLE
    try:
        return log.stat().st_mtime >= since and last_lines(log, 1).startswith("assay: ")
    except OSError:
        return False


@st.fragment(run_every=_EVERY)
def _awaited(folder: AuditFolder, spoken: str) -> None:
    """A resumed audit plans first, which takes a while: the page is drawn anew once it works."""
    speak(spoken)
    st.caption(_("It is about to go on."))
    try:
        works = process_of(folder, folder.manifest().status).standing is Standing.WORKING
    except (AssayError, OSError):  # gone or damaged meanwhile, which the whole page says
        works = True
    if works:
        st.rerun()


@st.fragment(run_every=_EVERY)
def _moving(folder: AuditFolder, shown: Process, logs: Sequence[Path], spoken: str) -> None:
    """The part that is drawn again and again while the audit moves; by itself it would not know the language."""
    speak(spoken)
    try:
        now = process_of(folder, folder.manifest().status)
    except (AssayError, OSError):
        now = Process(Standing.FAILED)
    if now.standing is not shown.standing:
        st.rerun()
    _look(folder, now, logs)


def _look(folder: AuditFolder, process: Process, logs: Sequence[Path]) -> None:
    try:
        follower = _follower(folder)
    except AssayError as error:
        st.error(views.plain(str(error)), icon=":material/broken_image:")
        return
    lines = follower.lines(datetime.now(UTC), moves=process.moves)
    if not lines:
        st.caption(_("It has told nothing yet."))
    else:
        _numbers(follower, lines)
    for line in lines:
        _bar(line)
    if follower.metrics:
        st.subheader(_("Metrics so far"))
        st.caption(_("Over the rows there are; intervals and gates come with the verdict."))
        st.table(_metrics(follower), border="horizontal")
    st.subheader(_("Events"))
    st.code("\n".join(follower.log) or "…", language=None, wrap_lines=True)
    if said := next((text for log in logs if (text := last_lines(log))), ""):
        st.subheader(_("What it printed last"))
        st.code(said, language=None, wrap_lines=True)


def _numbers(follower: Follower, lines: Sequence[ProbeLine]) -> None:
    running = next((line for line in lines if line.stage is Stage.RUNNING), None)
    waiting = sum(line.stage is Stage.WAITING for line in lines)
    rate = running.tokens_per_second if running else None
    ahead = running.seconds_left if running else None
    shares, speed, rest, told = st.columns(4)
    shares.metric(_("Cases"), numbers.percent(follower.share()))
    speed.metric(_("Tokens per second"), "–" if rate is None else f"{rate:,.0f}")
    rest.metric(_("Left of this probe"), "–" if ahead is None else _("about {time}", time=numbers.duration(ahead)))
    told.metric(_("Last told (UTC)"), follower.last[11:19] or "–")
    if waiting:
        st.caption(_("{n} probes have not begun; how long they take is not known yet.", n=waiting))


def _bar(line: ProbeLine) -> None:
    stage = words()[line.stage]
    facts = [stage, _("{done} of {total} cases", done=f"{line.done:,}", total=f"{line.total:,}")]
    if line.cases_per_second is not None:
        facts.append(_("{n} cases/s", n=f"{line.cases_per_second:,.1f}"))
    if line.stage is Stage.RUNNING and line.seconds_left is not None:
        facts.append(_("about {time} left", time=numbers.duration(line.seconds_left)))
    share = line.done / line.total if line.total else 1.0
    st.progress(min(1.0, share), text=f"{views.plain(line.name)} — {views.plain(' · '.join(facts))}")
    if line.warning:
        st.caption(f":material/warning: {views.plain(line.warning)}")


def _metrics(follower: Follower) -> pd.DataFrame:
    return views.markdown_table(
        (_("metric"), _("value"), "n"),
        [(each.metric, numbers.number(each.value), f"{each.n:,}") for each in follower.metrics.values()],
    )


def _follower(folder: AuditFolder) -> Follower:
    """What this session has read of the audit's events, and what is new: a long file is read once."""
    known = st.session_state.get("followed")
    if known is None or known[0] != folder.path:
        known = st.session_state["followed"] = (folder.path, Tail(folder.path), Follower())
    tail: Tail = known[1]
    follower: Follower = known[2]
    follower.take(tail.new())
    return follower


def _do(action: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
    """Act, then draw the page anew; what cannot be done is said in a sentence."""
    try:
        action()
    except AssayError as error:
        st.error(views.plain(str(error)), icon=":material/block:")
        return
    then()
    st.rerun()


show()
