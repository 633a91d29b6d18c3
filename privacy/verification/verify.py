"""verify_claim(): the answer that the entry point group `assay.claims` asks for.

What it proves: the ledger is whole, the manifest's numbers are the ledger's, and epsilon follows from them. What it
cannot prove: that the training which the ledger tells of took place, or made these weights. A ledger has no key, so one
that was made up together with its manifest, all numbers following from each other, is not told from a true one.
"""

from __future__ import annotations

from pathlib import Path

from harness.base.confined import open_regular
from harness.base.limits import LEDGER_BYTES
from harness.checkpoint.files import allowed_in
from harness.errors import CheckpointError
from harness.provenance.claim_check import ClaimCheck
from harness.provenance.manifest import PrivacyClaim, TrainingManifest
from privacy.ledger.chain import Chain, verified_chain
from privacy.ledger.errors import LedgerError
from privacy.lineage.names import LEDGER_NAME, earlier_ledger
from privacy.verification.bounds import check_bounds
from privacy.verification.errors import NotVerifiableError
from privacy.verification.numbers import check_numbers
from privacy.verification.recompute import Recompute, recompute_apart
from privacy.verification.recorded import check_header, earlier_mechanisms, mechanism_of

_MOST_EARLIER = 32
"""Earlier trainings that a claim may count; each ledger is read whole."""


def verify_claim(
    folder: Path, manifest: TrainingManifest, weights: str, recompute: Recompute = recompute_apart
) -> ClaimCheck:
    """Whether the claim in `manifest` follows from the ledger in `folder`, whose weights have the digest `weights`.

    Reads at most LEDGER_BYTES and raises nothing. `recompute` is who runs the accountant; the default keeps to
    ACCOUNTING_SECONDS and ACCOUNTING_BYTES.
    """
    claim = manifest.privacy
    if claim is None:
        return ClaimCheck.fails("the training manifest claims no privacy")
    try:
        return ClaimCheck.holds(_recomputed(folder, manifest, claim, weights, recompute))
    except NotVerifiableError as error:
        return ClaimCheck.fails(str(error), error.epsilon)
    except Exception as error:  # numbers of a stranger: whatever they break, the claim is not verified
        return ClaimCheck.fails(f"its numbers cannot be computed with ({type(error).__name__}: {error})")


def _recomputed(
    folder: Path, manifest: TrainingManifest, claim: PrivacyClaim, weights: str, recompute: Recompute
) -> float:
    if manifest.weights != weights:
        raise NotVerifiableError("the training manifest belongs to other weights")
    check_numbers(claim)
    chain = _ledger(folder, LEDGER_NAME)
    check_header(chain, manifest, claim)
    mechanism, asked = mechanism_of(chain, manifest, claim)
    if len(claim.earlier) > _MOST_EARLIER:
        raise NotVerifiableError(f"it counts {len(claim.earlier)} earlier trainings, above the cap of {_MOST_EARLIER}")
    ledgers = [_ledger(folder, earlier_ledger(number)) for number in range(1, len(claim.earlier) + 1)]
    earlier = earlier_mechanisms(chain, ledgers, claim)
    found = recompute((mechanism, *earlier), chain.header.delta, asked)
    alone = recompute((mechanism,), chain.header.delta, asked) if earlier else None
    return check_bounds(claim, found, alone)


def _ledger(folder: Path, name: str) -> Chain:
    path = folder / name
    try:
        with open_regular(path, LEDGER_BYTES, allowed_in(folder)) as file:
            chain = verified_chain(file, Path(name))
    except LedgerError as error:
        raise NotVerifiableError(str(error).partition(";")[0]) from error
    except CheckpointError as error:
        raise NotVerifiableError(str(error).removeprefix(f"{folder}/")) from error
    except OSError as error:
        raise NotVerifiableError(f"{name} cannot be read ({error.strerror})") from error
    if chain.missing:
        raise NotVerifiableError(f"{name}: the last line is torn, so its run was not finished")
    return chain
