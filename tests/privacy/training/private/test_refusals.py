"""What a private run refuses, it refuses in one sentence, before its first noisy step, and leaves nothing behind.

Guards against: a run of hours that dies after its last step, or on each retry of which a full disk burns budget.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.base.files import write_atomic
from harness.errors import AuditError, DataError, UsageError
from privacy.accounting import Mechanism, calibrate, claim
from privacy.clipping import Adaptive
from privacy.ledger import Ledger, read_chain
from privacy.ledger import state as saved_state
from privacy.lineage import LEDGER_NAME, Records, unit_id
from privacy.training import TrainSpec, train
from privacy.training.private.session import session_folder, witness_path
from tests.privacy.claim_cases import genuine
from tests.privacy.ledger_cases import make_header
from tests.privacy.toys import make_base, make_spec, opinions, write_rows


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("root"), "bert", "classifier")


def spec_of(folder: Path, base: Path, privacy: dict[str, Any], **fields: Any) -> TrainSpec:
    settings = {"epochs": 1, "batch_size": 16, "output": folder / "out", "label_names": ("negative", "positive")}
    return make_spec(folder, base, privacy=privacy, **{**settings, **fields})


def refused(spec: TrainSpec, match: str, error: type[Exception] = UsageError) -> None:
    with pytest.raises(error, match=match) as raised:
        train(spec)
    assert "\n" not in str(raised.value)
    assert not spec.output.exists()
    assert not session_folder(spec.output).exists()
    assert not witness_path(session_folder(spec.output)).exists()


# noise and targets at the ends of what there is


def test_much_noise_trains_and_too_much_is_refused(root: Path, tmp_path: Path) -> None:
    assert train(spec_of(tmp_path, root, {"noise_multiplier": 2000})).manifest.steps == 4
    bad = spec_of(tmp_path, root, {"noise_multiplier": 1e300}, output=tmp_path / "bad")
    refused(bad, "more noise than 32-bit numbers hold")


@pytest.mark.parametrize(("norm", "noise"), [(1e-44, 1.0), (1e-38, 1.0), (1e-44, 1e20), (1e-20, 1e-20)])
def test_sums_and_noise_below_what_is_rounded_are_refused(
    norm: float, noise: float, root: Path, tmp_path: Path
) -> None:
    """Noise of deviation 1e-44 has seven values in float32."""
    noisy = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 1e-44
    assert len(set(noisy.tolist())) < 100
    tiny = spec_of(tmp_path, root, {"noise_multiplier": noise, "max_grad_norm": norm, "accountant": "rdp"})
    refused(tiny, "too small for 32-bit numbers; raise max_grad_norm")


def test_what_no_accountant_can_claim_is_refused_before_it_is_spent(root: Path, tmp_path: Path) -> None:
    rows = [{**row, "author": str(index % 8)} for index, row in enumerate(opinions(64, seed=1))]
    data = str(write_rows(tmp_path / "owned.jsonl", rows))
    bad = spec_of(tmp_path, root, {"noise_multiplier": 1e-3, "unit": "author"}, data=data)
    refused(bad, "nothing could be claimed after these steps, so none is taken: no ")


@pytest.mark.parametrize("noise", [10.0, 2000.0, 1e6])
def test_much_noise_has_a_bound_for_users_too(noise: float) -> None:
    """log(1 - exp(-e)) was log(0) for the smallest e."""
    found = claim(Mechanism(noise, 0.01, 300, group=5), 1e-5)
    assert found.agrees
    assert 0 <= found.epsilon < 1


@pytest.mark.parametrize("target", [1e-4, 1e-3, 2e-3, 4e-3, 0.01, 0.05])
def test_what_is_claimed_is_at_most_the_target_however_small(target: float) -> None:
    """PRV's grid alone is 0.001 wide: 0.001 was claimed as 0.00201."""
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    noise = calibrate(target, 1e-5, 0.01, 200)
    found = claim(Mechanism(noise, 0.01, 200), 1e-5)
    assert found.epsilon <= target
    assert found.agrees
    one = dp_event.PoissonSampledDpEvent(0.01, dp_event.GaussianDpEvent(noise))
    truth = PLDAccountant(value_discretization_interval=1e-6).compose(one, 200).get_epsilon(1e-5)
    assert float(truth) <= found.epsilon * 1.001


def test_an_epsilon_out_of_reach_is_refused_with_a_grid_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """1e-6 took 17 GB."""
    import privacy.accounting.prv as prv

    sizes: list[int] = []
    true = prv.PrvGrid.domain

    def seen(self: prv.PrvGrid, epsilon_error: float) -> Any:
        domain = true(self, epsilon_error)
        sizes.append(domain.size)
        return domain

    monkeypatch.setattr(prv.PrvGrid, "domain", seen)
    with pytest.raises(UsageError, match=r"epsilon 1e-06 at delta 1e-05 is out of reach in 2000 compositions"):
        calibrate(1e-6, 1e-5, 0.01, 2000)
    assert sizes
    assert max(sizes) < 3 * 2**22


def test_adaptive_clipping_names_what_a_spec_has(root: Path, tmp_path: Path) -> None:
    bad = spec_of(tmp_path, root, {"noise_multiplier": 25, "clipping": "adaptive"})
    refused(bad, "needs a noise multiplier below 20, which is 25; raise epsilon .* or take clipping: flat")
    assert Adaptive(1.0).gradient_noise(19.9) > 19.9


# engines and models


def test_a_refused_engine_leaves_nothing_in_the_way_of_the_corrected_spec(root: Path, tmp_path: Path) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise UsageError("this engine does not know the layer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("privacy.training.private.loop.make_engine", refuses)
        refused(spec_of(tmp_path, root, {"noise_multiplier": 1.0}), "does not know the layer")
    assert train(spec_of(tmp_path, root, {"noise_multiplier": 1.5, "engine": "one-sample"})).manifest.steps == 4


def test_a_ledger_without_a_step_is_in_nobodys_way(root: Path, tmp_path: Path) -> None:
    """Left by a run that was killed before its first step."""
    spec = spec_of(tmp_path, root, {"noise_multiplier": 1.0})
    Ledger.create(session_folder(spec.output) / LEDGER_NAME, make_header(steps=4)).close()
    assert train(spec).manifest.steps == 4


def test_a_model_without_an_attention_mask_is_refused(tmp_path: Path) -> None:
    refused(spec_of(tmp_path, _other(tmp_path, "fnet"), {"noise_multiplier": 1.0}), "kind fnet takes no attention mask")
    with pytest.raises(UsageError, match="kind fnet takes no attention mask"):
        train(make_spec(tmp_path, tmp_path / "fnet", output=tmp_path / "plain"))


def test_a_model_that_hooks_cannot_follow_is_named_with_an_engine_that_can(tmp_path: Path) -> None:
    base = _other(tmp_path, "ctrl")
    refused(
        spec_of(tmp_path, base, {"noise_multiplier": 1.0}),
        r"kind ctrl cannot be trained with privacy.engine book-keeping .*; take privacy.engine: one-sample",
    )
    assert train(spec_of(tmp_path, base, {"noise_multiplier": 1.0, "engine": "one-sample"})).manifest.steps == 4


def _other(folder: Path, kind: str) -> Path:
    import transformers

    tokenizer = make_base(folder / "tokens", "bert", "classifier")
    size = len(transformers.AutoTokenizer.from_pretrained(tokenizer))
    if kind == "ctrl":
        config = transformers.CTRLConfig(
            vocab_size=size, n_positions=64, n_embd=16, dff=32, n_layer=2, n_head=2, num_labels=2, pad_token_id=0
        )
        transformers.CTRLForSequenceClassification(config).save_pretrained(folder / kind)
    else:
        config = transformers.FNetConfig(
            vocab_size=size, hidden_size=16, num_hidden_layers=2, intermediate_size=32, num_labels=2, pad_token_id=0
        )
        transformers.FNetForSequenceClassification(config).save_pretrained(folder / kind)
    for file in tokenizer.iterdir():
        if "token" in file.name or "vocab" in file.name:
            (folder / kind / file.name).write_bytes(file.read_bytes())
    return folder / kind


# a full disk


def full(*_: Any, **__: Any) -> None:
    from safetensors import SafetensorError

    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_where_no_state_can_be_saved_no_step_is_spent(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path, root, {"noise_multiplier": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(saved_state, "save_file", full)
        for _ in range(3):
            refused(spec, "the disk is full; free some space; .* a training with the same command", AuditError)
    assert train(spec).manifest.steps == 4


def test_a_disk_that_fills_up_costs_no_step_on_a_retry(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tmp_path, root, {"noise_multiplier": 1.0, "save_every": 2})
    saves: list[int] = []

    def fills_up(*given: Any) -> None:
        saves.append(1)
        (save_file if len(saves) < 2 else full)(*given)

    with monkeypatch.context() as patch:
        patch.setattr(saved_state, "save_file", fills_up)
        for _ in range(3):
            with pytest.raises(AuditError, match="the disk is full"):
                train(spec)
            assert read_chain(session_folder(spec.output) / LEDGER_NAME).spent == 1, "one step went before it was full"
    claimed = train(spec).manifest.privacy
    assert claimed is not None
    assert (claimed.steps, claimed.steps_lost) == (4, 1)


def test_half_a_line_of_a_full_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.create(tmp_path / LEDGER_NAME, make_header(steps=4))
    ledger.spend(0)
    true = os.write

    def half(handle: int, content: bytes) -> int:
        if len(content) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return true(handle, content[:-50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(
            AuditError, match=r"step 1 could not be recorded .No space left on device. and was not taken"
        ):
            ledger.spend(1)
    assert read_chain(tmp_path / LEDGER_NAME).spent == 1
    with Ledger.open(tmp_path / LEDGER_NAME) as again:
        again.spend(1)
        assert again.spent == 2


def test_a_checkpoint_on_a_full_disk_is_a_sentence(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path, root, {"noise_multiplier": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr("privacy.training.train_privately.write_weights", full)
        with pytest.raises(AuditError, match="the disk is full"):
            train(spec)
    assert train(spec).manifest.steps == 4, "all was saved"


def test_errors_of_libraries_that_are_no_system_errors_stay_themselves(tmp_path: Path) -> None:
    def breaks(_: Path) -> None:
        raise ValueError("os error without a number")

    with pytest.raises(ValueError, match="without a number"):
        write_atomic(tmp_path / "x", breaks)
    assert list(tmp_path.iterdir()) == []


# units


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "1.0"), ("1", "1."), ("1", "01"), ("alice", "alice "), ("Alice", "alice"), ("a  b", "a b"), ("\uff21", "a")],
)
def test_spellings_of_one_unit_are_one(one: str, other: str) -> None:
    assert unit_id(one) == unit_id(other)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.5"), ("1", "10"), ("1", "-1"), ("a", "b"), ("1.0.0", "1"), ("", "0")]
)
def test_different_units_stay_apart(one: str, other: str) -> None:
    assert unit_id(one) != unit_id(other)


def test_spellings_of_one_person_are_one_unit_and_the_claim_says_so(root: Path, tmp_path: Path) -> None:
    ids = ("1", "1.0", "alice", "alice ", "Alice", *map(str, range(2, 13)))
    rows = [{**row, "author": ids[index % 16]} for index, row in enumerate(opinions(64, seed=1))]
    data = str(write_rows(tmp_path / "owned.jsonl", rows))
    made = train(spec_of(tmp_path, root, {"noise_multiplier": 2.0, "unit": "author"}, data=data))
    claimed = made.manifest.privacy
    assert claimed is not None
    assert (claimed.units, claimed.group) == (13, 12)
    assert claimed.note is not None
    assert "3 of the author ids differ from another one only in case, spaces" in claimed.note
    assert claimed.neighbours == "add or remove all records of one author"
    assert genuine(made.folder).neighbours == claimed.neighbours, "it verifies"


def test_units_of_older_digests_are_known_again_as_written() -> None:
    key = b"k" * 32
    older = Records(["x"], None, ["Alice"], frozenset())
    today = Records(["y", "z"], None, ["alice", "bob"], frozenset(), ["Alice", "bob"])
    assert today.units_among(key, older.unit_digests(key), []) == {"alice"}


def test_sentences_of_units_read_right(root: Path, tmp_path: Path) -> None:
    rows = [{**row, "user id\n(hash)": str(index % 16)} for index, row in enumerate(opinions(64, seed=1))]
    data = str(write_rows(tmp_path / "owned.jsonl", rows))
    fields = {"unit": "user id\n(hash)", "noise_multiplier": 2.0}
    made = train(spec_of(tmp_path, root, fields, data=data, batch_size=64))
    lines = made.sentence.split("\n")
    assert lines[0].startswith(f"{made.folder}: 1 step in ")
    assert (
        "for all records of one user id (hash); neighbours: add or remove all records of one user id (hash)" in lines[1]
    )
    assert "1 noisy release, noise" in lines[2]
    shuffled = train(
        spec_of(tmp_path, root, {**fields, "sampling": "shuffle"}, data=data, output=tmp_path / "shuffled")
    )
    assert "shuffled sampling at rate 1 (no amplification), 1 noisy release," in shuffled.sentence


@pytest.mark.parametrize(
    ("unit", "sentence"),
    [
        ("text", "privacy.unit: 'text' is a column that is trained on"),
        ("nope", r"no column 'nope' \(for privacy.unit\)"),
        ("holes", "column 'holes': is empty"),
    ],
)
def test_columns_that_are_no_unit(root: Path, tmp_path: Path, unit: str, sentence: str) -> None:
    rows = [{**row, "holes": None if index % 2 else "a"} for index, row in enumerate(opinions(64, seed=1))]
    bad = spec_of(
        tmp_path, root, {"noise_multiplier": 1.0, "unit": unit}, data=str(write_rows(tmp_path / "x.jsonl", rows))
    )
    refused(bad, sentence, (DataError if unit != "text" else UsageError))
