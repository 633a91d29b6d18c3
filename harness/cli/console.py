"""What the command line prints."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from harness.base.loglines import LONGEST, clean, inert
from harness.base.numbers import duration
from harness.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.api.declared import Named
    from harness.api.metrics import Metric
    from harness.api.registry import Found, ProbeClass
    from harness.api.resources import ResourcePlugin
    from harness.audit.plan import AuditPlan
    from harness.audit.repeats import Repeated
    from harness.gate.decide import Verdict
    from harness.gate.power import GatePower
    from harness.record.folder import AuditFolder, AuditManifest
    from harness.reports.content.api import Level


class _Stream:
    """Standard output or error as it is when written to; every line inert, every character one that it can show."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        """Write `text`; what the stream's encoding lacks is written out.

        Python has None for a stream that was closed before it began: then nobody reads. An error that cannot be shown
        must not end as another one, so only standard output may be full.
        """
        stream = getattr(sys, self._name)
        if stream is None:
            return len(text)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        shown = inert(text).encode(encoding, errors="backslashreplace").decode(encoding)
        with self._tolerant():
            stream.write(shown)
        return len(text)

    def flush(self) -> None:
        """What was written so far."""
        stream = getattr(sys, self._name)
        if stream is not None:
            with self._tolerant():
                stream.flush()

    def _tolerant(self) -> AbstractContextManager[None]:
        return suppress(OSError, ValueError) if self._name == "stderr" else nullcontext()

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys, self._name), name)


class _CleanConsole(Console):
    """Whatever is printed here (lines, tables, bars) is cleaned last, so that no caller can forget it."""

    def on_broken_pipe(self) -> None:
        """Nobody reads on: an error like any other, where rich would end the program with 1."""
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments as rich makes them, each text cleaned; its own control segments stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text, 2 * LONGEST), segment.style)

    def render_str(self, text: str, **options: Any) -> Text:
        """Texts of cells and lines, cleaned before they are measured; with markup, where it is escaped already."""
        return super().render_str(clean(text, 2 * LONGEST), **options)


console: Console = _CleanConsole(file=cast(IO[str], _Stream("stdout")), highlight=False, soft_wrap=False)
errors: Console = _CleanConsole(file=cast(IO[str], _Stream("stderr")), highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for the user, printed as it is."""
    console.print(escape(clean(text)), soft_wrap=True)


def fail(text: str) -> None:
    """A sentence about what went wrong, on standard error."""
    errors.print(f"[bold red]assay:[/] {escape(clean(text))}")


def show_plan(plan: AuditPlan, *, cost: bool) -> None:
    """What an audit will do: checkpoint, probes with their cases and data, and what does not apply."""
    info = plan.info
    say(f"checkpoint {info.source.source.split('#')[0]}")
    say(
        f"           {info.architecture or info.model_type}, {info.parameters / 1e6:.1f} M parameters, "
        f"offers {', '.join(sorted(info.offers)) or 'nothing'}, fingerprint {info.fingerprint.digest[:12]}"
    )
    say(f"           isolation: {info.isolation.sentence}")
    notes = {f"{name}: {note}" for planned in plan.probes for name, note in planned.notes.items()}
    for note in (*info.permissions.notes(), *info.notes, *sorted(notes)):
        say(f"           note: {note}")
    for line in _other_models(plan, cost=cost):
        say(line)
    table = _table("probe", "cases", "data")
    if cost:
        table.add_column("tokens, about", justify="right")
        table.add_column("CPU time, about", justify="right")
    flops = _flops() if cost else 1.0
    for planned in plan.probes:
        data = ", ".join(f"{name} n={len(data)} {data.digest[:8]}" for name, data in planned.data.items())
        cells = [
            planned.probe.name,
            f"{len(planned.cases)} of {planned.available}",
            data or "its own",
        ]
        if cost:
            cells += [f"{planned.probe.cost(planned.cases):,}", duration(_seconds(planned, info.parameters, flops))]
        table.add_row(*map(escape, cells))
    console.print(table)
    if cost:
        say(f"memory     {_memory(plan)}")
    for line in _own_settings(plan):
        say(line)
    for name, why in plan.not_applicable.items():
        say(f"not applicable: {name}: {why}")
    for name, why in plan.no_data.items():
        say(f"data or tools missing: {name}: {why}")
    for key in plan.unused:
        say(f"not used: {key}: no probe of this audit asks for it")
    for entry, why in plan.plugin_errors.items():
        fail(f"plug-in not loaded: {entry}: {why}")


def show_plan_json(plan: AuditPlan, power: Sequence[GatePower]) -> None:
    """The plan for a program, see harness.audit.plan_summary."""
    from harness.audit.plan_summary import summary_of

    sys.stdout.write(summary_of(plan, power, _flops()).model_dump_json(indent=2, ensure_ascii=True) + "\n")


def _other_models(plan: AuditPlan, *, cost: bool) -> Iterator[str]:
    """A line per model beside the checkpoint, with the roles it has and, for a dry run, the tokens it will read."""
    from harness.audit.cost import other_tokens

    served: dict[str, list[str]] = {}
    tokens: dict[str, int] = {}
    for planned in plan.probes:
        reads = other_tokens(planned)
        for role, each in planned.models.items():
            info = each.info
            line = (
                f"{info.source.source.split('#')[0]}, {info.parameters / 1e6:.1f} M parameters, "
                f"fingerprint {info.fingerprint.digest[:12]}"
            )
            served.setdefault(line, []).append(f"{planned.probe.name}:{role}")
            tokens[line] = tokens.get(line, 0) + reads[role]
    for line, roles in served.items():
        reading = f", reads about {tokens[line]:,} tokens" if cost else ""
        yield f"model      {line}{reading}, for {', '.join(roles)}"


def _memory(plan: AuditPlan) -> str:
    from harness.audit.cost import weight_bytes

    return f"about {weight_bytes(plan) / 2**30:.2f} GiB at most for the weights of all models, and what batches take"


def show_power(power: Sequence[GatePower]) -> None:
    """Which gates the planned cases can decide, and how many cases each would need."""
    if not power:
        return
    table = _table("gate", "rule", "cases", "can decide", "needs", "when")
    words = {True: "yes", False: "no", None: "unknown"}
    for each in power:
        cells = [each.gate.id, each.gate.rule, "none" if each.n is None else f"{each.n:,}", words[each.can]]
        needed = "unknown" if each.needed is None else f"{each.needed:,}"
        table.add_row(*map(escape, [*cells, needed, each.what]))
    console.print(table)
    say("can decide: with chance 0.8 at the policy's confidence; needs: cases for that, under what `when` says")


def show_probes(found: Found) -> None:
    """All probes, a line each, and the plug-ins that did not load."""
    table = _table("probe", "needs", "measures")
    for name, probe in found.probes.items():
        table.add_row(name, escape(_needs(probe)), escape(probe.about.summary))
    console.print(table)
    for entry, why in found.errors.items():
        fail(f"plug-in not loaded: {entry}: {why}")


def show_resources(plugins: Mapping[str, ResourcePlugin], broken: Mapping[str, str]) -> None:
    """Every resource of every suite: where it is or how it is got, licence, digest, what it stands in for."""
    for suite, plugin in plugins.items():
        for row in plugin.rows():
            console.print(f"[bold]{escape(f'{suite}/{row.name}')}[/]  {escape(row.purpose)}", soft_wrap=True)
            if row.path is not None:
                say(f"  found    {row.source}: {row.path}")
                say(f"  sha256   {row.digest}")
            if row.substitutes_for is not None:
                say(f"  instead  of {row.substitutes_for}")
            if row.get is not None:
                say(f"  absent   {row.get}")
            if row.problem is not None:
                say(f"  missing  {row.problem}")
            say(f"  licence  {row.licence}")
    for entry, why in broken.items():
        fail(f"plug-in not loaded: {entry}: {why}")


def show_probe(probe: ProbeClass) -> None:
    """Everything a probe says about itself."""
    from harness.api.columns import meanings
    from harness.api.declared import named_metrics

    say(f"{probe.name} (version {probe.version})\n  {probe.about.summary}")
    say(f"  paper        {probe.about.paper}\n  needs        {_needs(probe)}\n  cannot tell  {probe.about.cannot_tell}")
    for name, need in probe.inputs.items():
        default = need.default.source.split("#")[0] if need.default else ("required" if need.required else "optional")
        columns = ", ".join(need.schema.to_schema().columns)
        say(f"  data         {name}: {need.what}; columns {columns}; default: {default}")
    for role, asked in probe.models.items():
        default = asked.default.source.split("#")[0] if asked.default else ("looked for" if _looks(probe) else "")
        default = default or ("required" if asked.required else "optional")
        needs = " and ".join(" or ".join(sorted(group)) for group in asked.needs)
        say(f"  model        {role}: {asked.what}; {needs}; default: {default}")
    for name, field in probe.Params.model_fields.items():
        say(f"  param        {name} = {field.get_default(call_default_factory=True)!r}: {field.description or ''}")
    for key, named in named_metrics(probe.usual()).items():
        say(f"  metric       {key}: {_said(named)}")
    for name, meaning in meanings(probe.Row).items():
        say(f"  column       {name}: {meaning}")


def show_row_schema(columns: Sequence[Mapping[str, Any]]) -> None:
    """What a row of a probe holds, for whoever makes rows: column, type, unit, whether it must be there, meaning."""
    table = _table("column", "type", "unit", "required", "meaning")
    for each in columns:
        rest = "no" if each["nullable"] or each["absent"] is None else f"no, else {each['absent']!r}"
        needed = "yes" if each["required"] else rest
        table.add_row(*(escape(str(each[name])) for name in ("name", "type", "unit")), needed, escape(each["meaning"]))
    console.print(table)


def _looks(probe: ProbeClass) -> bool:
    """Whether a probe looks for models of its own where the spec names none."""
    from harness.api.probe import Probe

    return probe.default_models is not Probe.default_models


def _said(named: Named) -> str:
    """Unit, direction and ends of a metric, as declared."""
    from harness.base import numbers

    better = f"{named.better} is better" if named.better in ("higher", "lower") else "no direction is better"
    if named.target is not None:
        better = f"nearer to {numbers.bound(named.target)} is better"
    ends = "" if named.ends is None else f"from {' to '.join(map(numbers.bound, named.ends))}"
    note = named.note if isinstance(named.note, str) else ""
    where = "of slices only" if named.sliced_only else ""
    return ", ".join(filter(None, [named.unit, better, ends, where])) + (f"; {note}" if note else "")


def show_audits(folders: Sequence[AuditFolder]) -> None:
    """The audits of a folder, newest first."""
    table = _table("audit", "checkpoint", "status", "verdict")
    for folder in folders:
        try:
            manifest, verdict = folder.manifest(), folder.verdict()
        except (AssayError, ValueError) as error:  # one damaged audit must not hide the others
            table.add_row(folder.path.name, "", "damaged", escape(str(error)))
            continue
        source = manifest.checkpoint.source.split("#")[0]
        table.add_row(folder.path.name, escape(source), manifest.status, verdict.outcome if verdict else "none yet")
    console.print(table)
    if not folders:
        say("no audit here yet; start one with `assay run`")


def show_formats() -> None:
    """The report formats: file, and whether it is written after every audit; then those that did not load."""
    from harness.reports import find_writers

    writers, broken = find_writers()
    table = Table("format", "suffix", "written after an audit", box=None, header_style="bold", pad_edge=False)
    for writer in writers:
        table.add_row(*map(escape, (writer.name, writer.suffix, "yes" if writer.default else "when asked for")))
    console.print(table)
    for entry, why in broken.items():
        fail(f"plug-in not loaded: {entry}: {why}")


def show_result(folder: AuditFolder, level: Level | None = None) -> None:
    """An audit from its folder, with a few rows where a level is given; an unfinished one says how to go on."""
    manifest, verdict = folder.manifest(), folder.verdict()
    if verdict is None:
        say(f"{folder.path.name}: {manifest.status} {manifest.why}\ngo on with: assay resume {folder.path}")
        return
    if level is None:
        show_outcome(manifest, folder.metrics(), verdict)
        return
    from harness.reports import disclosed_input
    from harness.reports.formats.terminal import print_report

    print_report(console, disclosed_input(folder.path, manifest, folder.metrics(), verdict, level))


def _own_settings(plan: AuditPlan) -> Iterator[str]:
    """Where a probe's own seed or limit stands against the audit's: the narrower word wins, and that should be seen."""
    entries = {entry.name: entry for entry in plan.spec.probes}
    for each in plan.probes:
        entry = entries.get(each.probe.name)
        own = entry.params.get("seed") if entry is not None else None
        if own is not None and own != plan.spec.seed:
            yield f"{each.probe.name}: seed {own} of its own, not {plan.spec.seed}"
        if entry is not None and entry.limit and plan.spec.limits.cases and entry.limit != plan.spec.limits.cases:
            yield f"{each.probe.name}: limit {entry.limit} of its own, not {plan.spec.limits.cases}"


def _table(*names: str) -> Table:
    """A plain table whose long names are folded, never cut: two that begin alike would read as one."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in {"audit", "probe"})  # ids are there to be copied
    return table


def show_outcome(manifest: AuditManifest, metrics: Sequence[Metric], verdict: Verdict) -> None:
    """The table of metrics and gates, then the verdict."""
    from harness.reports import report_input
    from harness.reports.formats.terminal import print_report

    print_report(console, report_input(manifest, metrics, verdict))


def show_repeats(found: Sequence[Repeated], first: AuditFolder) -> None:
    """Each metric over seeds: value with its interval, lowest and highest seed, and the cases that do not end alike."""
    from harness.base import numbers

    say("over seeds and cases together (lowest and highest seed; cases that do not end alike)")
    for each in found:
        known = [value for value in each.by_seed if value is not None]
        ends = f"{numbers.number(min(known))} to {numbers.number(max(known))}" if known else "missing"
        unsteady = "" if each.unsteady is None else f"; {each.unsteady} of {each.n} unsteady"
        short = f"; {each.note}" if each.note else ""
        interval = numbers.interval(each.low, each.high)
        say(f"  {each.key}: {numbers.number(each.value)} {interval} ({ends}{unsteady}{short})")
    say(f"repeats    {first.path / 'repeats.json'}, each case's rate in {first.path / 'repeats'}")


@contextmanager
def audit_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per probe with time left; on a pipe, a line whenever a probe begins or ends."""
    with _bars() as bars:
        tasks: dict[str, Any] = {}

        def update(probe: str, done: int, total: int) -> None:
            if probe not in tasks:
                tasks[probe] = bars.add_task(probe, total=total, completed=done)
            bars.update(tasks[probe], completed=done)
            if not console.is_terminal and done in (0, total):
                say(f"{probe}: {done} of {total} cases")

        yield update


@contextmanager
def training_progress() -> Iterator[Callable[[int, int, float], None]]:
    """A bar of training steps with the current loss; on a pipe, a line every twentieth of the way."""
    said = set()
    with _bars() as bars:
        task = bars.add_task("training", total=None)

        def update(step: int, total: int, loss: float) -> None:
            before = math.isnan(loss)  # the first step
            about = ("reading records" if total else "checking records") if before else f"training, loss {loss:.3f}"
            bars.update(task, completed=step, total=total or None, description=about)
            if console.is_terminal:
                return
            if before and about not in said:
                said.add(about)
                say(f"training: {about}, before the first step")
            elif not before and step % max(1, total // 20) == 0:
                say(f"training: step {step} of {total}, loss {loss:.3f}")

        yield update


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _needs(probe: ProbeClass) -> str:
    return " and ".join(" or ".join(sorted(group)) for group in probe.needs)


def _flops() -> float:
    from harness.audit.cost import cpu_flops

    return cpu_flops()


def _seconds(planned: Any, parameters: int, flops: float) -> float:
    from harness.audit.cost import seconds_on_cpu

    return seconds_on_cpu(planned, parameters, flops)
