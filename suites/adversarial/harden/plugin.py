"""What `assay harden` and `assay validate` run; registered under the entry point group assay.harden."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.hardening import Watch
from harness.errors import UsageError

if TYPE_CHECKING:
    from suites.adversarial.harden.result import HardeningResult
    from suites.adversarial.harden.spec import HardenSpec


class AdversarialHardening:
    """Hardening against the attack recipes."""

    def harden(self, spec: Path, watch: Watch, *, replace: bool) -> HardeningResult:
        """Harden as the spec file says."""
        from suites.adversarial.harden.run import run_hardening

        return run_hardening(_loaded(spec), watch, replace=replace)

    def check(self, spec: Path) -> str:
        """Method, recipe and data of the spec file. Raises UsageError naming what is wrong with it."""
        loaded = _loaded(spec)
        return f"{loaded.method} with {loaded.recipe} on {loaded.train.data.source.split('#')[0]}"

    def schema(self) -> dict[str, Any]:
        """JSON schema of a spec file."""
        from suites.adversarial.harden.spec import HardenSpec

        return HardenSpec.model_json_schema()


def _loaded(path: Path) -> HardenSpec:
    """The spec in a file, its audit read too: what is wrong there must not show only after the first training."""
    from suites.adversarial.harden.audits import audit_spec
    from suites.adversarial.harden.spec import load_harden_spec

    spec = load_harden_spec(path)
    try:
        audit_spec(spec, spec.output, spec.output)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return spec


plugin = AdversarialHardening()
