"""`assay train` with other samplings than Poisson's, end to end on a tiny model: claimed, recorded, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from harness.errors import UsageError
from harness.provenance.claim import claim_sentence
from privacy.ledger import read_chain
from privacy.ledger.state import STATE_NAME
from privacy.lineage import mechanism_of_header
from privacy.noise import BandedNoise, GeneratorNoise, SecureNoise, SecureUniforms
from privacy.sampling import SamplingError
from privacy.training import TrainSpec, train
from privacy.training.private.session import LEDGER_NAME
from tests.privacy.claim_cases import facts, genuine, make_run
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

CAPPED = {"epsilon": 8, "sampling": "truncated-poisson", "max_batch": 18}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier")


def privately(folder: Path, base: Path, privacy: dict[str, Any], **fields: Any) -> TrainSpec:
    return make_spec(folder, base, privacy=privacy, **{"batch_size": 16, "epochs": 2, **fields})


def test_a_cap_is_kept_claimed_and_verified(base: Path, tmp_path: Path) -> None:
    train(privately(tmp_path, base, CAPPED))
    found = genuine(tmp_path / "trained")
    assert 7.9 < found.epsilon <= 8
    assert (found.sampling, found.max_batch, found.accountant) == ("truncated Poisson", 18, "pld")
    assert read_chain(tmp_path / "trained" / LEDGER_NAME).header.max_batch == 18
    assert "truncated Poisson sampling at rate 0.25, at most 18 records a step, 8 noisy" in claim_sentence(found)


def test_another_cap_than_the_ledgers_is_found(tmp_path: Path) -> None:
    made = make_run(tmp_path, sampling="truncated-poisson", max_batch=20)
    assert made.checked().verified
    checked = made.checked(made.claiming(max_batch=63))
    assert not checked.verified
    assert "max_batch is 63, the privacy ledger 20" in checked.reason


def test_a_cap_and_its_sampling_go_together(base: Path, tmp_path: Path) -> None:
    for privacy in ({"epsilon": 8, "max_batch": 18}, {"epsilon": 8, "sampling": "truncated-poisson"}):
        with pytest.raises(ValueError, match="go together"):
            privately(tmp_path, base, privacy)
    with pytest.raises(SamplingError, match="max_batch is 8; it must be at least the batch size"):
        train(privately(tmp_path, base, {**CAPPED, "max_batch": 8}))


@pytest.mark.parametrize("target", [{"epsilon": 8}, {"noise_multiplier": 1.0}])
@pytest.mark.parametrize(
    "sampling",
    [
        {"sampling": "truncated-poisson", "max_batch": 18},
        {"sampling": "balls-in-bins"},
        {"noise": "banded", "bands": 2},
    ],
)
def test_what_counts_single_records_is_refused_for_users_before_anything_is_spent(
    sampling: dict[str, Any], target: dict[str, float], base: Path, tmp_path: Path
) -> None:
    rows = [{**row, "author": f"a{index // 2}"} for index, row in enumerate(opinions(64, seed=1))]
    data = {"source": str(write_rows(tmp_path / "authors.jsonl", rows)), "columns": {"label": "label"}}
    spec = privately(tmp_path, base, {**sampling, **target, "unit": "author", "max_per_unit": 2}, data=data)
    with pytest.raises(UsageError, match="accounted for single records"):
        train(spec)
    assert not (tmp_path / "trained.training").exists()


def test_a_claim_that_no_accountant_can_make_is_refused_before_anything_is_spent(base: Path, tmp_path: Path) -> None:
    rows = [{**row, "author": "a" if index < 40 else f"b{index}"} for index, row in enumerate(opinions(64, seed=1))]
    data = {"source": str(write_rows(tmp_path / "authors.jsonl", rows)), "columns": {"label": "label"}}
    with pytest.raises(UsageError, match="no group bound holds for 40 records"):
        train(privately(tmp_path, base, {"noise_multiplier": 0.01, "unit": "author"}, data=data))
    assert not (tmp_path / "trained.training").exists()


def test_the_digests_of_older_settings_stay(base: Path, tmp_path: Path) -> None:
    canonical = privately(tmp_path, base, {"epsilon": 8}).canonical()["privacy"]
    assert sorted(canonical) == sorted(
        [
            *("epsilon", "noise_multiplier", "delta", "accountant", "clipping", "max_grad_norm", "engine"),
            *("sampling", "unit", "max_per_unit", "save_every"),
        ]
    )
    assert privately(tmp_path, base, CAPPED).canonical()["privacy"]["max_batch"] == 18


def test_secure_noise_and_coins_are_used_claimed_and_verified(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noised, tossed = [], []
    add, random = SecureNoise.add, SecureUniforms.random

    def counted_add(self: SecureNoise, summed: torch.Tensor, deviation: float, place: int) -> None:
        noised.append((place, deviation))
        add(self, summed, deviation, place)

    def counted_random(self: SecureUniforms, size: int) -> NDArray[np.float64]:
        tossed.append(size)
        return random(self, size)

    monkeypatch.setattr(SecureNoise, "add", counted_add)
    monkeypatch.setattr(SecureUniforms, "random", counted_random)
    train(privately(tmp_path, base, {"noise_multiplier": 1.0, "secure": True, "clipping": "adaptive"}))
    found = genuine(tmp_path / "trained")
    assert found.noise == "discrete Gaussian, from the operating system"
    assert "noise multiplier 1 (discrete Gaussian, from the operating system), adaptive" in claim_sentence(found)
    assert tossed == [64] * 8
    places = max(place for place, _ in noised) + 1
    assert len(noised) == 8 * (places + 1)  # and the count of the adaptive rule, each step


def test_balls_in_bins_are_claimed_by_epochs_and_verified(base: Path, tmp_path: Path) -> None:
    train(privately(tmp_path, base, {"epsilon": 8, "sampling": "balls-in-bins"}))
    found = genuine(tmp_path / "trained")
    assert 7.9 < found.epsilon <= 8
    assert (found.sampling, found.sample_rate, found.compositions, found.steps) == ("balls-in-bins", 0.25, 2, 8)
    assert found.neighbours == "add or remove one record"
    assert facts(found).drawn == 128  # each record once an epoch


BANDED = {"epsilon": 8, "sampling": "shuffle", "noise": "banded", "bands": 3}


def test_banded_noise_is_claimed_as_the_epochs_it_protects_and_verified(base: Path, tmp_path: Path) -> None:
    train(privately(tmp_path, base, BANDED))
    found = genuine(tmp_path / "trained")
    assert 7.9 < found.epsilon <= 8
    assert (found.sampling, found.compositions, found.bands) == ("shuffled once, no amplification", 2, 3)
    assert "(Gaussian, correlated over 3 steps), flat clipping" in claim_sentence(found)
    assert read_chain(tmp_path / "trained" / LEDGER_NAME).header.bands == 3


def test_banded_noise_is_amplified_by_poisson_sampling_and_its_bands_are_chosen(base: Path, tmp_path: Path) -> None:
    train(privately(tmp_path, base, {"epsilon": 8, "noise": "banded"}, batch_size=8))
    found = genuine(tmp_path / "trained")
    assert 7.9 < found.epsilon <= 8
    assert (found.sampling, found.accountant, found.second_accountant) == ("cyclic Poisson", "prv", "pld")
    assert found.bands in (2, 4, 8)
    assert (found.sample_rate, found.compositions) == (found.bands * 8 / 64, 16 // found.bands)


def test_a_stopped_run_goes_on_with_no_noise_to_take_back(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[int] = []
    init = BandedNoise.__init__

    def counted(self: BandedNoise, bands: int, independent: GeneratorNoise) -> None:
        began.append(bands)
        init(self, bands, independent)

    def stop(done: int, steps: int, loss: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(BandedNoise, "__init__", counted)
    spec = privately(tmp_path, base, BANDED)
    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=stop)
    saved = load_file(tmp_path / "trained.training" / STATE_NAME)
    assert not any("noise" in name for name in saved)
    train(spec)
    found = genuine(tmp_path / "trained")
    assert began == [3, 3]
    assert (found.steps, found.steps_lost, found.compositions) == (8, 0, 2)


def test_bands_of_a_ledger_must_fit_its_epochs(tmp_path: Path) -> None:
    header = make_run(tmp_path, sampling="shuffle", noise="banded", bands=4).header
    assert mechanism_of_header(header, 8, 1).compositions == 2
    for changes, said in (
        ({"bands": 5}, "noise over 5 steps is not proven for epochs of 4"),
        ({"bands": None}, "names a sampling that is unknown"),
        ({"sampling": "cyclic Poisson", "bands": 5}, "5 parts of 64 records hold no batches of 16"),
        ({"sampling": "Poisson"}, "correlated noise is not proven with the sampling Poisson"),
        ({"sampling": "shuffled, no amplification"}, "correlated noise is not proven"),
    ):
        with pytest.raises(SamplingError, match=said):
            mechanism_of_header(header.model_copy(update=changes), 8, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampling": "balls-in-bins"}, "not proven for balls-in-bins; take sampling: poisson or shuffle"),
        ({"clipping": "adaptive"}, "needs one clipping norm in all steps"),
        ({"secure": True}, "choose one of them"),
        ({"noise": "independent"}, "bands belongs to noise: banded"),
        ({"bands": 1}, "bands is 1; give 2 or more steps"),
    ],
)
def test_settings_that_banded_noise_is_not_proven_for_are_refused(
    base: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        privately(tmp_path, base, {**BANDED, **changes})


def test_more_bands_than_steps_of_an_epoch_are_refused_before_anything_is_spent(base: Path, tmp_path: Path) -> None:
    for sampling in ("shuffle", "poisson"):
        with pytest.raises(UsageError, match="bands is 5, but a record comes back after 4 steps"):
            train(privately(tmp_path, base, {**BANDED, "bands": 5, "sampling": sampling}))
        with pytest.raises(UsageError, match=r"2 or more steps between two of a record.* there is 1"):
            train(privately(tmp_path, base, {**BANDED, "sampling": sampling}, batch_size=64))
    with pytest.raises(UsageError, match="bands: auto is chosen for an epsilon"):
        train(privately(tmp_path, base, {"noise_multiplier": 1.0, "noise": "banded"}))
    assert not (tmp_path / "trained.training").exists()
