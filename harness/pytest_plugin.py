"""A pytest plug-in: a release gate as a test. The fixture `assay` opens or runs audits and decides them by a policy.

    def test_release(assay):
        audit = assay("audits/latest")
        assert audit.passes("policy.yaml")

Paths are relative to the working folder. Only a pass is true: a test of an undecided gate fails, and says which gates
did not pass. Nothing of Assay is imported before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.api.metrics import Metric
    from harness.audit.run import AuditResult
    from harness.gate.policy import Policy
    from harness.gate.verdict import Verdict
    from harness.record.folder import AuditFolder

_SHOWN = 200
"""Characters of a repr: pytest cuts longer ones in the middle."""


class Decision:
    """A verdict as the answer to `assert`: true on a pass; false on a block, and where too little is decided."""

    def __init__(self, result: AuditResult, asked: list[Decision]) -> None:
        self._result = result
        self._asked = asked

    @property
    def verdict(self) -> Verdict:
        """The verdict, with the evidence of every gate."""
        return self._result.verdict

    def __bool__(self) -> bool:
        from harness.gate.verdict import Outcome

        if self not in self._asked:
            self._asked.append(self)
        return self.verdict.outcome is Outcome.PASS

    def __repr__(self) -> str:
        from harness.base.loglines import plain
        from harness.reports.content.report import OUTCOME_WORDS

        text = f"{OUTCOME_WORDS[self.verdict.outcome]}: {plain(self.verdict.reason)}"
        return f"<{text if len(text) <= _SHOWN else f'{text[:_SHOWN]}…'}>"

    def explained(self) -> str:
        """The verdict, and a line for each gate that did not pass: what it found, why, and what to do."""
        from harness.base.loglines import inert, plain
        from harness.reports import report_input
        from harness.reports.content.report import OUTCOME_WORDS, attention, gate_title, outcome_label

        verdict, manifest = self.verdict, self._result.manifest
        lines = [
            f"{OUTCOME_WORDS[verdict.outcome]}: {plain(verdict.reason)}",
            f"audit {plain(manifest.audit_id)} of {plain(manifest.checkpoint.source)}, "
            f"policy {plain(verdict.policy) or 'none'}",
        ]
        for item in attention(report_input(manifest, self._result.metrics, verdict)):
            todo = f"; to do: {plain(item.fix)}" if item.fix else ""
            lines.append(f"{outcome_label(item)} {gate_title(item)}: {plain(item.reason)}{todo}")
        return inert("\n".join(lines))


class Audit:
    """A finished audit. It is neither true nor false: ask `passes`."""

    def __init__(self, folder: AuditFolder, asked: list[Decision]) -> None:
        self.folder = folder
        self._asked = asked

    @property
    def passes(self) -> Passes:
        """`passes(policy)` decides by a policy; `assert audit.passes` without a policy is an error."""
        return Passes(self.folder, self._asked)

    @property
    def verdict(self) -> Decision:
        """As the audit was decided when it ran, by the policy of its spec. Raises UsageError where it was not."""
        from harness.audit.run import AuditResult
        from harness.errors import UsageError

        manifest, verdict = self.folder.manifest(), self.folder.verdict()
        if verdict is None:
            raise UsageError(
                f"{self.folder.path}: the audit is {manifest.status}, not decided; run `assay resume` first"
            )
        return Decision(AuditResult(self.folder, manifest, self.folder.metrics(), verdict), self._asked)

    @property
    def metrics(self) -> list[Metric]:
        """Everything it measured."""
        return self.folder.metrics()

    def __bool__(self) -> bool:
        raise TypeError("an audit is neither true nor false; write `assert audit.passes(policy)`")

    def __repr__(self) -> str:
        return f"<audit {self.folder.path}>"


class Passes:
    """What `audit.passes` is before it is called: never a truth value, so that no test passes by a missing call."""

    def __init__(self, folder: AuditFolder, asked: list[Decision]) -> None:
        self._folder = folder
        self._asked = asked

    def __call__(
        self, policy: str | Path | Policy, baseline: str | Path | None = None, *, allow_other_data: bool = False
    ) -> Decision:
        """The audit under a policy, decided without the model, as `assay gate` does.

        Args:
            policy: a YAML file, or a Policy.
            baseline: audit to compare with: folder, id, MLflow run id or [model]@alias.
            allow_other_data: compare common cases even where the datasets differ.

        Raises UsageError: a policy, baseline or audit that cannot be read, or an audit that is not finished.
        """
        from harness.audit.run import regate
        from harness.gate.decide import Policy, load_policy

        rules = policy if isinstance(policy, Policy) else load_policy(Path(policy))
        ref = None if baseline is None else str(baseline)
        return Decision(regate(self._folder, rules, baseline=ref, allow_other_data=allow_other_data), self._asked)

    def __bool__(self) -> bool:
        raise TypeError("audit.passes was not called; write `assert audit.passes(policy)`")

    def __repr__(self) -> str:
        return f"<passes of audit {self._folder.path}>"


class Assay:
    """Opens and runs audits: what the fixture `assay` is."""

    def __init__(self, asked: list[Decision]) -> None:
        self._asked = asked

    def __call__(self, run: str | Path = "latest", output: str | Path = "audits") -> Audit:
        """An audit by its folder, its id below `output`, 'latest' below `output`, or FOLDER/latest.

        Raises UsageError where there is none.
        """
        from harness.cli.arguments import audit_folder

        path = Path(run)
        if path.name == "latest" and len(path.parts) > 1 and not path.exists():
            folder = audit_folder("latest", path.parent)
        else:
            folder = audit_folder(str(run), Path(output))
        folder.manifest()  # what is no audit is said here, not at the first question
        return Audit(folder, self._asked)

    def run(self, spec: str | Path, **keys: Any) -> Audit:
        """Run an audit spec to its end in this process, as `assay run` does; `keys` replace keys of the spec.

        Nothing is permitted to the checkpoint. Raises UsageError before any work, AuditError where the audit fails.
        """
        from harness.audit.plan import check_rules, make_plan
        from harness.audit.run import run_audit, start_audit
        from harness.audit.spec import load_spec
        from harness.cli.audit import scan_first
        from harness.cli.tracking import log_audit

        asked = load_spec(Path(spec), keys)
        scan = scan_first(asked.checkpoint)
        plan = make_plan(asked)
        check_rules(plan)
        folder = start_audit(plan, () if keys else ("assay", "run", str(spec)), scan=scan)
        run_audit(plan, folder)
        log_audit(folder, plan.spec.tracking.uri)
        return Audit(folder, self._asked)


_ASKED = pytest.StashKey[list[Decision]]()
"""What the running test has asked; shown where it fails."""


def pytest_configure(config: pytest.Config) -> None:
    """Somewhere to note what a test asked."""
    config.stash[_ASKED] = []


@pytest.fixture(scope="session")
def assay(pytestconfig: pytest.Config) -> Assay:
    """Audits of models: `assay(run).passes(policy)` is true on a pass alone; `assay.run(spec)` runs one."""
    return Assay(pytestconfig.stash[_ASKED])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test begins: nothing was asked yet."""
    item.config.stash[_ASKED].clear()


@pytest.hookimpl(hookwrapper=True)  # not `wrapper`: where an old pluggy refuses it, every test suite would stop
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """A test that failed says which gates did not pass."""
    report = (yield).get_result()
    if report.failed and call.when == "call":
        for decision in item.config.stash[_ASKED]:
            if not decision:
                report.sections.append(("assay", decision.explained()))
