"""What the ledger has on record, compared with what the manifest says; and the mechanism that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.provenance.manifest import PrivacyClaim, TrainingManifest
from privacy.accounting import AccountantName, Mechanism
from privacy.accounting.accountant import check_accountant
from privacy.accounting.errors import AccountingError
from privacy.ledger.chain import Chain
from privacy.ledger.header import LedgerHeader
from privacy.lineage.mechanism import mechanism_of_header, sampling_of_header
from privacy.sampling import Sampling
from privacy.sampling.errors import SamplingError
from privacy.training.data.units import EACH_RECORD, neighbours_of
from privacy.training.private.guarantee import SECURE
from privacy.training.private.session import FROM_SCRATCH
from privacy.training.settings.spec import config_digest
from privacy.verification.errors import NotVerifiableError

Pairs = dict[str, tuple[Any, Any]]
"""What it is -> as the ledger has it, as the manifest has it."""


def check_header(chain: Chain, manifest: TrainingManifest, claim: PrivacyClaim) -> None:
    """Raises NotVerifiableError where ledger and manifest are not of one finished run, or say different things."""
    header = chain.header
    if chain.spent != claim.steps:
        raise NotVerifiableError(
            f"the privacy ledger holds {chain.spent} noisy steps, the manifest claims {claim.steps}"
        )
    if chain.head != claim.ledger:
        raise NotVerifiableError("the last line of the privacy ledger is not the one that the manifest names")
    if chain.spent != header.steps:  # else a ledger cut at any line would prove a run of fewer steps
        raise NotVerifiableError(
            f"the privacy ledger holds {chain.spent} of the {header.steps!s:.30} noisy steps planned, so lines were "
            "taken off its end or its run was not finished"
        )
    _same(
        {
            "noise_multiplier": (header.noise_multiplier, claim.noise_multiplier),
            "sample_rate": (header.rate, claim.sample_rate),
            "delta": (header.delta, claim.delta),
            "records": (header.records, claim.records),
            "expected_batch_size": (header.expected_batch_size, claim.expected_batch_size),
            "sampling": (header.sampling, claim.sampling),
            "noise": (header.noise, claim.noise),
            "bands": (header.bands, claim.bands),
            "clipping": (header.clipping, claim.clipping),
            "max_grad_norm": (header.max_grad_norm, claim.max_grad_norm),
            "target_epsilon": (header.target_epsilon, claim.target_epsilon),
            "unit": (header.unit, claim.unit),
            **_units(header, claim),
            "number of steps": (chain.spent, manifest.steps),
            "number of records": (header.records, manifest.trained_n),
            "digest of the records": (header.data_digest, manifest.trained_digest),
            "key of that digest": (header.digest_key, manifest.digest_key),
            "checkpoint it started from": (header.base_fingerprint, manifest.base_fingerprint or FROM_SCRATCH),
            "digest of the settings": (header.spec_digest, config_digest(manifest.config)),
        }
    )


def mechanism_of(chain: Chain, manifest: TrainingManifest, claim: PrivacyClaim) -> tuple[Mechanism, AccountantName]:
    """What was released by the ledger's own numbers, and the accountant that the settings asked for.

    Raises NotVerifiableError where it is not what the claim says, or no mechanism.
    """
    header = chain.header
    settings = manifest.config.get("privacy")
    if not isinstance(settings, dict):
        raise NotVerifiableError("the settings in the manifest are those of a training without privacy")
    try:
        sampling = sampling_of_header(header)
        mechanism = sampling.mechanism(header.noise_multiplier, chain.spent, claim.group)
        check_accountant(asked := str(settings.get("accountant")))
    except (SamplingError, AccountingError) as error:
        raise NotVerifiableError(f"the privacy ledger describes no mechanism ({error})") from error
    _same(
        {
            "sample_rate": (mechanism.rate, header.rate),
            "max_batch": (mechanism.max_batch, claim.max_batch),
            "compositions": (mechanism.compositions, claim.compositions),
            "engine": (settings.get("engine"), claim.engine),
            "banded noise": (settings.get("noise") == "banded", claim.bands is not None),
            "secure noise": (settings.get("secure") is True, claim.noise == SECURE),
        }
    )
    return mechanism, asked  # type: ignore[return-value]  # checked just above


def _neighbours(sampling: Sampling, earlier: Sequence[Sampling], claim: PrivacyClaim) -> str:
    """In units; claims of older versions speak of records whatever the unit."""
    older = neighbours_of(sampling, EACH_RECORD, earlier)
    return older if claim.neighbours == older else neighbours_of(sampling, claim.unit, earlier)


def _units(header: LedgerHeader, claim: PrivacyClaim) -> Pairs:
    """A ledger from before units were recorded proves only that of records, each its own unit."""
    if header.unit == EACH_RECORD:
        return {"units": (header.records, claim.units), "group": (1, claim.group)}
    if header.units is None or header.group is None:
        raise NotVerifiableError("its privacy ledger does not record how many records a unit has, only newer ones do")
    return {"units": (header.units, claim.units), "group": (header.group, claim.group)}


def earlier_mechanisms(chain: Chain, ledgers: Sequence[Chain], claim: PrivacyClaim) -> tuple[Mechanism, ...]:
    """What the earlier trainings that the claim counts released, by their own ledgers, in the claim's order.

    Raises NotVerifiableError where they are not those that this training's ledger began with, or no mechanisms.
    """
    _same({"earlier trainings": (chain.header.earlier, tuple(each.ledger for each in claim.earlier))})
    found = []
    for ledger, said in zip(ledgers, claim.earlier, strict=True):
        header = ledger.header
        try:
            mechanism = mechanism_of_header(header, ledger.spent, said.group)
        except (SamplingError, AccountingError) as error:
            raise NotVerifiableError(f"the ledger of an earlier training describes no mechanism ({error})") from error
        if ledger.spent != header.steps:
            raise NotVerifiableError("the ledger of an earlier training is not that of a finished run")
        if chain.header.unit != EACH_RECORD and (header.unit, header.group) != (chain.header.unit, said.group):
            raise NotVerifiableError("an earlier training protects other units than this one")
        _same(
            {
                "last line of an earlier ledger": (ledger.head, said.ledger),
                "records of an earlier training": (header.records, said.records),
                "sampling of an earlier training": (header.sampling, said.sampling),
                "sample_rate of an earlier training": (mechanism.rate, said.sample_rate),
                "noise_multiplier of an earlier training": (header.noise_multiplier, said.noise_multiplier),
                "max_batch of an earlier training": (mechanism.max_batch, said.max_batch),
                "number of steps of an earlier training": (ledger.spent, said.steps),
                "compositions of an earlier training": (mechanism.compositions, said.compositions),
            }
        )
        found.append(mechanism)
    own, *others = (sampling_of_header(each.header) for each in (chain, *ledgers))
    _same({"neighbours": (_neighbours(own, others, claim), claim.neighbours)})
    return tuple(found)


def _same(pairs: Pairs) -> None:
    for name, (recorded, claimed) in pairs.items():
        if recorded != claimed:
            raise NotVerifiableError(
                f"the manifest says {name} is {claimed!s:.40}, the privacy ledger {recorded!s:.40}"
            )
