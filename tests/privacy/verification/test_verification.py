"""A privacy claim is verified where it follows from its ledger, and only there."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from harness.base.limits import LEDGER_BYTES, VARIABLE
from harness.provenance.claim_check import ClaimCheck, check_claim
from harness.provenance.manifest import MANIFEST_NAME, PrivacyClaim, TrainingManifest, read_manifest
from privacy.accounting import Mechanism, epsilon
from privacy.accounting.claims import claim as bounds
from privacy.ledger.chain import header_line
from privacy.training.data.units import Unit
from privacy.training.private.session import FROM_SCRATCH, LEDGER_NAME
from privacy.verification import recompute
from privacy.verification.bounds import TOLERANCE, check_bounds
from privacy.verification.errors import NotVerifiableError
from privacy.verification.recompute import Recomputed, recompute_apart, recompute_here
from privacy.verification.verify import verify_claim
from tests.privacy.claim_cases import WEIGHTS, Run, ledger_bytes, make_run

AUTHORS = Unit("all records of one author", 32, 2)
VARIANTS: dict[str, dict[str, Any]] = {
    "poisson": {},
    "by target": {"noise_multiplier": None, "epsilon": 8},
    "shuffled": {"sampling": "shuffle"},
    "users": {"unit": AUTHORS},
    "shuffled users": {"unit": AUTHORS, "sampling": "shuffle"},
    "adaptive": {"clipping": "adaptive"},
    "per layer": {"clipping": "per-layer", "engine": "one-sample"},
    "capped": {"sampling": "truncated-poisson", "max_batch": 20},
    "balls in bins": {"sampling": "balls-in-bins"},
    "balls in bins, hardly any noise": {"sampling": "balls-in-bins", "noise_multiplier": 1e-9},
    "balls in bins, much noise": {"sampling": "balls-in-bins", "noise_multiplier": 40.0},
    "banded, cyclic": {"noise": "banded", "bands": 2},
    "banded": {"sampling": "shuffle", "noise": "banded"},
    "pld": {"accountant": "pld"},
    "rdp": {"accountant": "rdp"},
    "no noise": {"noise_multiplier": 0.0},
    "hardly any noise": {"noise_multiplier": 1e-9, "sampling": "shuffle"},
    "much noise": {"noise_multiplier": 40.0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def own(tmp_path: Path) -> Run:
    """A run whose ledger may be changed."""
    return make_run(tmp_path / "own")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_genuine_claim_is_verified(variant: str, tmp_path: Path) -> None:
    made = make_run(tmp_path, **VARIANTS[variant])
    assert made.checked() == ClaimCheck.holds(made.claim.epsilon)


def test_it_is_verified_as_it_is_read_from_the_disk(own: Run) -> None:
    (own.folder / MANIFEST_NAME).write_text(own.manifest.model_dump_json())
    manifest = read_manifest(own.folder)
    assert manifest is not None
    assert own.checked(manifest).verified


def test_the_process_apart_gives_what_training_gave(run: Run) -> None:
    assert verify_claim(run.folder, run.manifest, WEIGHTS) == ClaimCheck.holds(run.claim.epsilon)


FORGED: list[tuple[dict[str, Any], str]] = [
    ({"epsilon": 0.001}, "more than the 0.001 claimed"),
    ({"epsilon": 0.001, "noise_multiplier": 0.0001}, "noise_multiplier is 0.0001, the privacy ledger 1.5"),
    ({"epsilon": -5.0}, "epsilon is -5, which must be at least 0"),
    ({"epsilon": math.nan}, "epsilon is nan"),
    ({"epsilon": -math.inf}, "epsilon is -inf"),
    ({"epsilon": 0.0}, "more than the 0 claimed"),
    ({"epsilon_lower": math.nan}, "epsilon_lower is nan"),
    ({"epsilon_lower": 1e9}, "epsilon_lower is 1e"),
    ({"delta": 0.0}, "delta is 0"),
    ({"delta": 1.0}, "delta is 1"),
    ({"delta": 0.5}, "delta is 0.5, which must be below one over the units"),
    ({"delta": math.nan}, "delta is nan"),
    ({"delta": 0.01}, "delta is 0.01, the privacy ledger"),
    ({"accountant": "rdp"}, "the bound of RDP"),
    ({"accountant": "gdp"}, "the bound of GDP"),
    ({"accountant": "x" * 10**6}, "the bound of XXX"),
    ({"second_opinion": 0.001}, "second_opinion is"),
    ({"second_opinion": math.nan}, "second_opinion is nan"),
    ({"second_opinion": None}, "half a second opinion"),
    ({"second_accountant": None}, "half a second opinion"),
    ({"second_accountant": "gdp"}, "a second opinion of gdp"),
    ({"rdp": 0.001}, "rdp is"),
    ({"rdp": -1.0}, "rdp is -1"),
    ({"target_epsilon": 1.0}, "target_epsilon is 1.0, the privacy ledger None"),
    ({"target_epsilon": math.inf}, "target_epsilon is inf"),
    ({"unit": "all records of one author"}, "unit is all records of one author, the privacy ledger each record"),
    ({"units": 63}, "units is 63"),
    ({"units": 10**11}, "below one over the units"),
    ({"group": 2}, "group is 2, the privacy ledger 1"),
    ({"group": 0}, "group is 0"),
    ({"neighbours": "add or remove one word"}, "neighbours is"),
    ({"records": 65}, "units is 64, which must be as many as the records allow"),
    ({"records": 10**400}, "records is 1000"),
    ({"records": -1}, "records is -1"),
    ({"sampling": "shuffled, no amplification"}, "sampling is shuffled"),
    ({"sample_rate": 0.01}, "sample_rate is 0.01, the privacy ledger 0.25"),
    ({"sample_rate": 0.0}, "sample_rate is 0"),
    ({"sample_rate": 1.5}, "sample_rate is 1.5"),
    ({"sample_rate": math.nan}, "sample_rate is nan"),
    ({"max_batch": 20}, "max_batch is 20, the privacy ledger None"),
    ({"compositions": 1}, "compositions is 1, the privacy ledger 8"),
    ({"compositions": -1}, "compositions is -1"),
    ({"expected_batch_size": 15}, "expected_batch_size is 15"),
    ({"noise_multiplier": 1e300}, "noise_multiplier is 1e+300"),
    ({"noise_multiplier": math.inf}, "noise_multiplier is inf"),
    ({"noise_multiplier": math.nan}, "noise_multiplier is nan"),
    ({"noise_multiplier": -1.0}, "noise_multiplier is -1"),
    ({"noise": "discrete Gaussian"}, "noise is discrete Gaussian, the privacy ledger Gaussian"),
    ({"bands": 3}, "bands is 3, the privacy ledger None"),
    ({"clipping": "automatic"}, "clipping is automatic, the privacy ledger flat"),
    ({"max_grad_norm": 1.0}, "max_grad_norm is 1.0"),
    ({"max_grad_norm": math.inf}, "max_grad_norm is inf"),
    ({"steps": 7}, "holds 8 noisy steps, the manifest claims 7"),
    ({"steps": 10**12, "compositions": 10**12}, "the manifest claims 1000000000000"),
    ({"steps": 10**13}, "steps is 10000000000000"),
    ({"steps_lost": 9}, "steps_lost is 9"),
    ({"steps_lost": -1}, "steps_lost is -1"),
    ({"engine": "opacus-ghost"}, "engine is opacus-ghost, the privacy ledger book-keeping"),
    ({"processes": 0}, "processes is 0"),
    ({"ledger": "0" * 64}, "not the one that the manifest names"),
]


@pytest.mark.parametrize(("changes", "reason"), FORGED, ids=[str(changes)[:50] for changes, _ in FORGED])
def test_each_forged_number_of_a_claim_is_found(run: Run, changes: dict[str, Any], reason: str) -> None:
    found = run.checked(run.claiming(**changes))
    assert not found.verified
    assert reason in found.reason
    assert len(found.reason) <= 400
    assert str(run.folder) not in found.reason, "reports print it at every level"
    assert ClaimCheck.model_validate_json(found.model_dump_json()) == found


def test_every_field_of_a_claim_is_forged_above_or_cannot_be_known() -> None:
    unknown = {"note", "outside", "unprivatised"}
    composed = {"earlier", "run_epsilon"}  # forged in test_lineage.py
    assert {name for changes, _ in FORGED for name in changes} | unknown | composed == set(PrivacyClaim.model_fields)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": "f" * 64}, "other weights"),
        ({"steps": 7}, "number of steps is 7"),
        ({"members_n": 63}, "number of records is 63"),
        ({"members_digest": "0" * 64}, "digest of the records"),
        ({"base_fingerprint": None}, "checkpoint it started from is made from scratch"),
        ({"config": {}}, "digest of the settings"),
    ],
)
def test_a_manifest_of_another_run_is_found(run: Run, changes: dict[str, Any], reason: str) -> None:
    found = run.checked(run.manifest.model_copy(update=changes))
    assert not found.verified
    assert reason in found.reason


def test_weights_other_than_the_manifest_says_are_found(run: Run) -> None:
    assert "other weights" in run.checked(weights="0" * 64).reason


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ({"noise": "discrete Gaussian, from the operating system"}, "secure noise is True"),
        ({"bands": 2, "sampling": "shuffled once, no amplification"}, "banded noise is True"),
    ],
)
def test_another_kind_of_noise_than_the_settings_ask_for_is_found(
    own: Run, tmp_path: Path, kind: dict[str, Any], reason: str
) -> None:
    made = make_run(tmp_path / "shuffled", sampling="shuffle") if "bands" in kind else own
    manifest = rewritten(made, **kind)
    assert manifest.privacy is not None
    found = made.checked(manifest.model_copy(update={"privacy": manifest.privacy.model_copy(update=kind)}))
    assert not found.verified
    assert reason in found.reason


def test_no_claim_is_not_verified(run: Run) -> None:
    assert not run.checked(run.manifest.model_copy(update={"privacy": None})).verified


def rewritten(own: Run, steps: int | None = None, **fields: Any) -> TrainingManifest:
    """The ledger written anew with other numbers in its header, and a claim with the new last hash."""
    values = {**own.header.model_dump(), **fields}
    header = type(own.header).model_validate(values)
    content, head = ledger_bytes(header, own.claim.steps if steps is None else steps)
    own.ledger.write_bytes(content)
    return own.claiming(ledger=head)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("noise_multiplier", 15.0),
        ("rate", 0.01),
        ("records", 6400),
        ("expected_batch_size", 1),
        ("steps", 9),
        ("delta", 0.01),
        ("max_grad_norm", 9.0),
        ("clipping", "automatic"),
        ("sampling", "shuffled, no amplification"),
        ("sampling", "some other"),
        ("unit", "all records of one author"),
        ("target_epsilon", 3.0),
        ("spec_digest", "0" * 64),
        ("data_digest", "0" * 64),
        ("base_fingerprint", "0" * 64),
    ],
)
def test_a_ledger_that_was_written_anew_is_found(own: Run, field: str, value: Any) -> None:
    assert not own.checked(rewritten(own, **{field: value})).verified


def test_both_forged_alike_must_still_follow_from_each_other(own: Run) -> None:
    """The claim of a run with much noise, under numbers that say little: what no key is needed to find."""
    manifest = rewritten(own, noise_multiplier=0.0001)
    assert manifest.privacy is not None
    both = {"noise_multiplier": 0.0001, "epsilon": 0.001, "second_opinion": None, "second_accountant": None}
    forged = manifest.model_copy(update={"privacy": manifest.privacy.model_copy(update=both)})
    found = own.checked(forged)
    assert not found.verified
    assert "by the numbers of the privacy ledger" in found.reason or "the bound of PRV" in found.reason
    assert found.epsilon is not None
    assert found.epsilon > 1e6


def test_a_ledger_cut_with_its_claim_cut_alike_is_found(own: Run) -> None:
    """A cut ledger is a valid chain of fewer steps, and fewer steps spend less."""
    content, head = ledger_bytes(own.header, 2)
    own.ledger.write_bytes(content)
    less = bounds(Mechanism(1.5, 0.25, 2), own.claim.delta)
    cut = own.claiming(ledger=head, steps=2, compositions=2, epsilon=less.epsilon, steps_lost=0)
    found = own.checked(cut.model_copy(update={"steps": 2}))
    assert "2 of the 8 noisy steps planned" in found.reason


def test_the_records_of_a_user_cannot_be_made_fewer(tmp_path: Path) -> None:
    made = make_run(tmp_path, unit=AUTHORS)
    fewer = make_run(tmp_path / "fewer").claim
    forged = made.claiming(group=1, units=64, epsilon=fewer.epsilon, accountant="prv", delta=made.claim.delta)
    assert "units is 64, the privacy ledger 32" in made.checked(forged).reason


def test_an_older_ledger_proves_records_but_not_users(tmp_path: Path) -> None:
    for unit, verified in ((None, True), (AUTHORS, False)):
        made = make_run(tmp_path / str(verified), unit=unit)
        values = {key: value for key, value in made.header.model_dump().items() if key not in ("units", "group")}
        header = type(made.header).model_validate(values)
        content, head = ledger_bytes(header, made.claim.steps)
        assert b'"group"' not in content, "its lines must hash as they did"
        made.ledger.write_bytes(content)
        found = made.checked(made.claiming(ledger=head))
        assert found.verified is verified, found.reason


def test_a_model_made_from_scratch_has_no_base(own: Run) -> None:
    manifest = rewritten(own, base_fingerprint=FROM_SCRATCH)
    assert not own.checked(manifest).verified
    assert own.checked(manifest.model_copy(update={"base_fingerprint": None})).verified


def deep() -> bytes:
    return b'{"header": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1 was changed"),
        (b"\0" * 5000, "line 1 was changed"),
        (b"x" * 10**6, "line 1 was changed"),
        (deep(), "line 1 was changed"),
        (b'{"header": ' + b"1" * 5000 + b"}\n", "line 1 was changed"),
        (b'{"header": "\\ud800"}\n', "line 1 was changed"),
        (b'{"header": {"noise_multiplier": NaN}}\n', "line 1 was changed"),
        (b"\xff\xfe\n", "line 1 was changed"),
    ],
    ids=["empty", "zeros", "one long line", "deep", "digits", "surrogate", "nan", "not UTF-8"],
)
def test_what_is_no_ledger_is_said_in_one_sentence(own: Run, content: bytes, reason: str) -> None:
    own.ledger.write_bytes(content)
    found = own.checked()
    assert not found.verified
    assert reason in found.reason
    assert "\n" not in found.reason


def test_a_changed_a_missing_and_an_added_line_are_found(own: Run) -> None:
    lines = own.ledger.read_bytes().splitlines(keepends=True)
    for name, changed in {
        "edited": [*lines[:3], lines[3].replace(b"2", b"3", 1), *lines[4:]],
        "dropped": [*lines[:3], *lines[4:]],
        "swapped": [*lines[:3], lines[4], lines[3], *lines[5:]],
        "cut": lines[:-1],
        "torn": [*lines[:-1], lines[-1][:-20]],
        "longer": [*lines, lines[-1]],
        "header only": lines[:1],
        "header edited": [lines[0].replace(b"1.5", b"9.5"), *lines[1:]],
    }.items():
        own.ledger.write_bytes(b"".join(changed))
        assert not own.checked().verified, name
    own.ledger.write_bytes(b"".join(lines))
    assert own.checked().verified


def test_a_missing_ledger_and_one_that_is_no_file_are_said(own: Run) -> None:
    own.ledger.unlink()
    assert own.checked().reason.startswith(f"{LEDGER_NAME}: missing")
    os.mkfifo(own.ledger)
    assert "not a regular file but a pipe" in own.checked().reason
    own.ledger.unlink()
    own.ledger.mkdir()
    assert "not a regular file but a folder" in own.checked().reason
    own.ledger.rmdir()
    own.ledger.symlink_to("/dev/zero")
    assert "leaves its folder" in own.checked().reason
    own.ledger.unlink()
    own.ledger.symlink_to(own.ledger)
    assert not own.checked().verified


def test_a_link_to_the_ledger_is_followed_within_the_checkpoint_only(own: Run, tmp_path: Path) -> None:
    """A folder of the hub's cache holds nothing but links; one to elsewhere would read another run's ledger."""
    for blob, verified in ((own.folder / "blob", True), (tmp_path / "elsewhere", False)):
        content = own.ledger.read_bytes()
        own.ledger.unlink()
        blob.write_bytes(content)
        own.ledger.symlink_to(blob)
        assert own.checked().verified is verified


def test_a_huge_ledger_is_not_read(own: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with own.ledger.open("r+b") as file:
        file.truncate(LEDGER_BYTES + 1)  # sparse
    assert "over the cap of" in own.checked().reason
    assert f"{VARIABLE}=2" in own.checked().reason
    monkeypatch.setenv(VARIABLE, "2")
    assert "9 steps are recorded but 8 were planned" in own.checked().reason  # zeros: a line that a power cut took


def test_a_checkpoint_that_is_a_file_has_no_ledger(own: Run) -> None:
    assert not verify_claim(own.ledger, own.manifest, WEIGHTS, recompute_here).verified


def test_a_claim_may_be_looser_than_it_must_be_and_tighter_only_by_the_tolerance(run: Run) -> None:
    true = run.claim.epsilon
    assert run.checked(run.claiming(epsilon=true + 1)).verified
    assert run.checked(run.claiming(epsilon=true * (1 - TOLERANCE / 2))).verified
    assert not run.checked(run.claiming(epsilon=true * (1 - 3 * TOLERANCE))).verified
    assert run.checked(run.claiming(epsilon=math.inf)).verified  # no guarantee follows from anything


def test_noise_of_none_cannot_claim_a_number(tmp_path: Path) -> None:
    made = make_run(tmp_path, noise_multiplier=0.0)
    found = made.checked(made.claiming(epsilon=8.0))
    assert (found.verified, found.epsilon) == (False, math.inf)
    assert ClaimCheck.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("error", [ZeroDivisionError, OverflowError, MemoryError, RecursionError, KeyError])
def test_whatever_the_numbers_break_is_no_verified_claim(run: Run, error: type[Exception]) -> None:
    def breaks(*_: Any) -> Recomputed:
        raise error("boom")

    found = verify_claim(run.folder, run.manifest, WEIGHTS, breaks)
    assert not found.verified
    assert error.__name__ in found.reason


@pytest.mark.parametrize(
    "mechanism",
    [Mechanism(1e-300, 1.0, 100), Mechanism(1e300, 0.1, 100), Mechanism(1e-300, 0.1, 100), Mechanism(1, 1e-300, 10**9)],
    ids=str,
)
def test_numbers_out_of_any_range_end_in_a_bound_or_a_sentence(mechanism: Mechanism) -> None:
    with suppress(NotVerifiableError):
        assert recompute_apart((mechanism,), 1e-5, "prv").epsilon >= 0


def test_work_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "ACCOUNTING_SECONDS", 3)
    with pytest.raises(NotVerifiableError, match="more than 3 s of processor time"):
        recompute_apart((Mechanism(1e4, 0.5, 100, 100_000),), 1e-5, "prv")


def test_a_busy_machine_is_not_taken_for_a_costly_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a load of 30 a genuine claim read `more than 20 s of processor time`, of which it had used four."""

    def starved(*args: Any, timeout: float, **kwargs: Any) -> None:
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(subprocess, "run", starved)
    with pytest.raises(
        NotVerifiableError, match="within 600 s on a busy machine; audit again when it is idle"
    ) as raised:
        recompute_apart((Mechanism(1.0, 0.1, 10),), 1e-5, "rdp")
    assert "processor time" not in str(raised.value)


def test_memory_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS knows no limit on the memory of a process")
    monkeypatch.setattr(recompute, "ACCOUNTING_BYTES", 2**20)
    with pytest.raises(NotVerifiableError):
        recompute_apart((Mechanism(1.0, 0.1, 100),), 1e-5, "prv")


def test_a_folder_of_the_caller_is_not_imported_from(tmp_path: Path, run: Run) -> None:
    """A checkpoint's folder may be the working folder, and hold a file that is named like a module."""
    marker = tmp_path / "imported"
    for name in ("numpy", "scipy", "opacus"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    code = (
        "from privacy.accounting import Mechanism; from privacy.verification.recompute import recompute_apart;"
        "print(recompute_apart((Mechanism(1.5, 0.25, 8),), 1e-5, 'prv').epsilon)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
    assert not marker.exists()


def test_the_entry_point_names_the_verifier(run: Run) -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    points = [
        EntryPoint(name, value, "assay.claims") for name, value in project["entry-points"]["assay.claims"].items()
    ]
    assert check_claim(run.folder, run.manifest, WEIGHTS, points).verified


def test_the_first_line_of_a_new_ledger_records_the_unit(run: Run) -> None:
    header = json.loads(header_line(run.header)[0])["header"]
    assert (header["units"], header["group"]) == (64, 1)
    assert (run.folder / LEDGER_NAME).read_bytes().startswith(header_line(run.header)[0])


def test_a_small_epsilon_that_an_older_version_claimed_by_prv_still_verifies(tmp_path: Path) -> None:
    today = make_run(tmp_path, noise_multiplier=200.0, delta=1e-5).manifest.privacy
    assert today is not None
    mechanism = Mechanism(200.0, today.sample_rate, today.compositions)
    by_prv, found = epsilon(mechanism, today.delta), recompute_here((mechanism,), today.delta, "prv")
    assert (today.accountant, found.accountant) == ("pld", "pld")
    older = today.model_copy(
        update={
            "epsilon": by_prv.upper,
            "accountant": "prv",
            "second_accountant": "pld",
            "second_opinion": found.epsilon,
        }
    )
    assert check_bounds(older, found) == by_prv.upper
    with pytest.raises(NotVerifiableError, match="epsilon is"):
        check_bounds(older.model_copy(update={"epsilon": by_prv.upper / 2}), found)
