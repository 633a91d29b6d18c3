"""The pytest plug-in, in runs of pytest of their own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from harness.errors import UsageError
from harness.gate.decide import Policy, decide
from harness.pytest_plugin import Audit
from harness.record.folder import Status, audits_in
from tests.audit_folder import GATES, HOSTILE, PASSING_GATES, make_audit
from tests.harness.baseline.two_audits import ACCURACY, answers
from tests.harness.baseline.two_audits import make_audit as make_compared
from tests.tiny import make_checkpoint

pytest_plugins = ("pytester",)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audits, a checkpoint and policies; all of it before `pytester`, which unloads what is imported after it."""
    home = tmp_path_factory.mktemp("made")
    make_audit(home / "audits", "20260101T000000Z-old-aaaa")
    make_audit(home / "audits", "20260102T000000Z-new-bbbb", passes=True)
    make_audit(home / "open", status=Status.INTERRUPTED)
    hostile = make_audit(home / "hostile")
    gates = [{**GATES[2], "id": f"\x1b[2J {HOSTILE}\n::error::x"}]
    hostile.write_verdict(decide(Policy.model_validate({"name": "::error::p", "gates": gates}), hostile.metrics()))
    theirs = answers(300, 0.95, 0)
    make_compared(home / "pair" / "20260101T000000Z-old-aaaa", theirs)
    make_compared(home / "pair" / "20260102T000000Z-new-bbbb", theirs & answers(300, 0.8, 1))
    kept = [{"id": "kept", "metric": ACCURACY, "baseline": {"max_regression": 0.02}}]
    policies = {"policy": PASSING_GATES, "block": GATES, "undecided": GATES[1:2], "kept": kept}
    for name, rules in policies.items():
        (home / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, "gates": rules}))
    make_checkpoint(home / "bert", "bert", "classifier")
    return home


@pytest.fixture
def inner(made: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of audits in which pytest loads this plug-in alone."""
    pytester: pytest.Pytester = request.getfixturevalue("pytester")
    shutil.copytree(made, pytester.path, dirs_exist_ok=True)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return pytester


def run(inner: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    inner.makepyfile(body)
    return inner.runpytest_subprocess("-p", "harness.pytest_plugin", "-p", "no:cacheprovider", *options)


def test_the_example_of_the_docs_runs(inner: pytest.Pytester) -> None:
    readme = (ROOT / "examples" / "ci" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    run(inner, example).assert_outcomes(passed=1)
    (inner.path / "policy.yaml").write_text((inner.path / "undecided.yaml").read_text())
    run(inner, example).assert_outcomes(failed=1)


def test_only_a_pass_is_true_and_a_failure_names_the_gates(inner: pytest.Pytester) -> None:
    """An undecided gate must not read as green in a test suite either."""
    done = run(
        inner,
        """
        import pytest

        @pytest.mark.parametrize("policy", ["policy", "block", "undecided"])
        def test_release(assay, policy):
            assert assay().passes(f"{policy}.yaml")
        """,
    )
    done.assert_outcomes(passed=1, failed=2)
    done.stdout.fnmatch_lines(
        [
            "*assert <BLOCK: 1 of 5 gates blocked; robust: *",
            "*assay*",
            "BLOCK: 1 of 5 gates blocked; robust: *",
            "audit 20260102T000000Z-new-bbbb of models/sentiment, policy block",
            "BLOCK robust: the 95 % interval * violates <= 0.3",
            "INCONCLUSIVE calibrated: *; to do: *",
            "INCONCLUSIVE: 1 of 1 gates not decided; calibrated: *",
        ]
    )
    assert "accurate" not in done.stdout.str()  # it passed


@pytest.mark.parametrize(
    ("expression", "audit"),
    [
        ("assay()", "new"),
        ("assay('latest')", "new"),
        ("assay('audits/latest')", "new"),
        ("assay('20260101T000000Z-old-aaaa')", "old"),
        ("assay(Path('audits/20260101T000000Z-old-aaaa'))", "old"),
        ("assay('20260101T000000Z-old-aaaa', output=Path('audits').resolve())", "old"),
    ],
)
def test_an_audit_is_found_by_folder_id_or_latest(inner: pytest.Pytester, expression: str, audit: str) -> None:
    body = f"""
        from pathlib import Path

        def test_it(assay):
            found = {expression}
            assert found.folder.manifest().audit_id.split("-")[1] == {audit!r}
            assert bool(found.verdict) == ({audit!r} == "new")
            assert found.metrics
        """
    run(inner, body).assert_outcomes(passed=1)


def test_a_call_left_out_is_no_pass(inner: pytest.Pytester) -> None:
    """`assert audit.passes` without its call would be true of every audit."""
    done = run(
        inner,
        """
        def test_method(assay):
            assert assay().passes

        def test_audit(assay):
            assert assay()

        def test_nothing_there(assay):
            assert assay("audits/nowhere").passes("policy.yaml")

        def test_no_policy(assay):
            assert assay().passes("nowhere.yaml")
        """,
    )
    done.assert_outcomes(failed=4)
    done.stdout.fnmatch_lines(
        [
            "E *TypeError: audit.passes was not called; write `assert audit.passes(policy)`",
            "E *TypeError: an audit is neither true nor false; *",
            "E *UsageError: audits/nowhere: not an audit; *",
            "E *UsageError: *nowhere.yaml*",
        ]
    )


def test_a_baseline_is_compared_with(inner: pytest.Pytester) -> None:
    done = run(
        inner,
        """
        def test_alone(assay):
            assert "no baseline" in assay("pair/latest").passes("kept.yaml").verdict.reason

        def test_worse(assay):
            assert assay("pair/latest").passes("kept.yaml", baseline="20260101T000000Z-old-aaaa")

        def test_itself(assay):
            assert not assay("pair/latest").passes("kept.yaml", "20260101T000000Z-old-aaaa")
        """,
    )
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(["BLOCK kept: * of the regression of *"])


def test_text_from_outside_commands_no_terminal_and_no_runner(inner: pytest.Pytester) -> None:
    done = run(inner, "def test_it(assay):\n    assert assay('hostile/latest').verdict")
    done.assert_outcomes(failed=1)
    assert "\x1b[2J" not in done.stdout.str()
    assert not [line for line in done.outlines if line.strip().startswith("::")]


def test_what_one_test_asked_is_not_shown_by_another(inner: pytest.Pytester) -> None:
    done = run(
        inner,
        """
        def test_blocked(assay):
            assert not assay().passes("block.yaml")

        def test_else():
            assert 1 == 2
        """,
    )
    done.assert_outcomes(passed=1, failed=1)
    assert "gates blocked" not in done.stdout.str()


def test_fixtures_of_any_scope_can_use_it(inner: pytest.Pytester) -> None:
    done = run(
        inner,
        """
        import pytest

        @pytest.fixture(scope="module")
        def audit(assay):
            return assay("audits/latest")

        def test_it(audit):
            assert audit.passes("policy.yaml")
        """,
    )
    done.assert_outcomes(passed=1)


def test_run_audits_in_process(inner: pytest.Pytester) -> None:
    rows = [{"text": f"a text about number {at}", "label": at % 2} for at in range(40)]
    (inner.path / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    gates = [{"id": "there", "metric": ACCURACY, "measured": True}]
    policy = {"name": "p", "gates": gates}
    spec = {
        "checkpoint": "nowhere",
        "probes": ["quality/classification"],
        "data": {"examples": "data.jsonl"},
        "output": "made",
        "tracking": {"uri": "off"},
    }
    (inner.path / "spec.yaml").write_text(yaml.safe_dump({**spec, "policy": policy}))
    done = run(
        inner,
        """
        import pytest
        from harness.errors import UsageError

        def test_run(assay):
            audit = assay.run("spec.yaml", checkpoint="bert", seed=3)
            assert audit.verdict
            assert audit.folder.manifest().seed == 3
            assert audit.folder.manifest().scan is not None
            assert not audit.passes("undecided.yaml")

        def test_idle_rule(assay):
            gate = {"id": "g", "metric": "quality/classification/accuracy", "max": 60}
            with pytest.raises(UsageError, match="can break max: 60"):
                assay.run("spec.yaml", checkpoint="bert", policy={"name": "p", "gates": [gate]})

        def test_no_checkpoint(assay):
            with pytest.raises(UsageError):
                assay.run("spec.yaml")
        """,
    )
    done.assert_outcomes(passed=3)
    assert len(list((inner.path / "made").glob("*/verdict.json"))) == 1


def test_an_audit_that_did_not_finish_has_no_verdict(made: Path) -> None:
    (folder,) = audits_in(made / "open")
    audit = Audit(folder, [])
    with pytest.raises(UsageError, match="not decided"):
        _ = audit.verdict
    with pytest.raises(UsageError, match="not finished"):
        audit.passes(made / "policy.yaml")


def test_pytest_starts_without_what_is_heavy() -> None:
    """A plug-in is imported in every run of pytest, whatever is tested."""
    code = (
        "import sys; import harness.pytest_plugin;"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'mlflow', 'pydantic', 'typer'} & set(sys.modules);"
        "mine = {name for name in sys.modules if name.startswith('harness')} - {'harness', 'harness.pytest_plugin'};"
        "sys.exit(str(heavy | mine) if heavy or mine else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"assay": "harness.pytest_plugin"}
