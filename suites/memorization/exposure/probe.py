"""`memorization/exposure`: how far does a language model prefer the secrets that were planted to all others?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import numpy as np
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import By, Declared, MeanOf, ShareOf, of
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Floats, Scorer
from harness.errors import NotApplicableError
from privacy.canaries.canary import Canary
from privacy.canaries.patterns import draw, every, fits, space
from privacy.canaries.store import open_coins, read_canaries
from suites.memorization.canary_scores import task_of
from suites.memorization.exposure.bits import Exposed, Extrapolated, exact, extrapolated, sampled
from suites.memorization.exposure.candidates import causal_totals, masked_totals

_NOT_TRIED = Extrapolated(None, None, None, math.nan, "")
_CHARACTERS = 4
"""Of a token, roughly."""


class ExposureParams(ProbeParams):
    """How many secrets a planted one is compared with."""

    exact_up_to: int = Field(
        default=10_000, ge=2, le=10_000_000, description="all secrets are scored where there are no more than this"
    )
    references: int = Field(default=1000, ge=10, description="else so many, drawn at random")
    masked_references: int = Field(default=100, ge=10, description="of a masked model, which reads every token apart")
    extrapolate: bool = Field(default=True, description="estimate beyond the references where a skew-normal fits them")


class ExposureRow(ProbeRow):
    """One canary. Neither its text nor its secret is in it."""

    planted: Series[bool] = column("whether its coin planted it")
    repetitions: Series[int] = column("copies of it among the records, if it was planted", ge=1)
    copies: Series[str] = column("the same as a slice, of planted ones; '' of others")
    pattern: Series[str] = column("what its secret was drawn from")
    log2_space: Series[float] = column("how many secrets there are", "bits", ge=0)
    references: Series[int] = column("other secrets that were scored", ge=1)
    rank: Series[int] = column("its place among them and itself; 1: the likeliest, equals count as likelier", ge=1)
    exposure: Series[float] = column("log2 of the secrets less log2 of the rank", "bits")
    is_exact: Series[bool] = column("whether all secrets were scored; else exposure ends at log2 of the references")
    found: Series[bool] = column("whether no secret that was scored is as likely")
    logprob: Series[float] = column("log-probability of the secret; of masked models its pseudo-log-likelihood", "nats")
    extrapolated: Series[float] = column(
        "exposure by a fitted tail; empty: not tried, or refused", "bits", nullable=True
    )
    extrapolated_low: Series[float] = column("lower end of its 95 % interval", "bits", nullable=True)
    extrapolated_high: Series[float] = column("upper end of its 95 % interval", "bits", nullable=True)
    fit: Series[float] = column("p value of the fit", nullable=True, ge=0, le=1)


def _planted(values: Any) -> Any:
    return values.astype(bool)


def _others(values: Any) -> Any:
    return ~values.astype(bool)


_ARE_PLANTED, _ARE_OTHERS = of(_planted, "planted"), of(_others, "planted")
_NONE = "no canary with a secret of a pattern was scored"


def _declared() -> tuple[Declared, ...]:
    return (
        MeanOf(
            "exposure",
            Better.LOWER,
            "exposure",
            unit="bits",
            over=_ARE_PLANTED,
            slices=By(("copies",)),
            note="of planted secrets; about 1.4 for a model that prefers nothing; at most log2 of the secrets scored",
            empty="no secret was planted",
        ),
        MeanOf(
            "control_exposure",
            Better.NEITHER,
            "exposure",
            unit="bits",
            over=_ARE_OTHERS,
            note="of secrets whose coin did not plant them",
            empty="every secret was planted",
            headline=False,
        ),
        ShareOf(
            "found_share",
            Better.LOWER,
            "found",
            over=_ARE_PLANTED,
            slices=By(("copies",)),
            note="planted secrets that were likelier than every other that was scored",
            empty="no secret was planted",
        ),
        ShareOf(
            "control_found_share",
            Better.NEITHER,
            "found",
            over=_ARE_OTHERS,
            empty="every secret was planted",
            headline=False,
        ),
    )


class Exposure(Probe[ExposureParams]):
    """Ranks each planted secret among those of its pattern."""

    name = "memorization/exposure"
    about = About(
        summary="How far secrets that were planted in training are preferred to others of the same form.",
        paper="Carlini et al. 2019, The Secret Sharer",
        cannot_tell=(
            "Secrets of a form, after the text they were planted in: what else a model keeps, or gives away after "
            "another prompt, is not asked. Sampled exposures end at log2 of the sample; those of a masked model rest "
            "on pseudo-log-likelihoods, which rank otherwise than probabilities."
        ),
    )
    needs = (any_of(Need.CAUSAL_LM, Need.MASKED_LM), any_of(Need.TRAINING_MANIFEST))
    pool = 1
    Params = ExposureParams
    metrics = _declared()
    nothing = _NONE
    Row = ExposureRow

    def cases(self, plan: Plan) -> list[Case]:
        """One per canary whose secret was drawn from a pattern. Raises NotApplicableError where there is none."""
        manifest = plan.checkpoint.manifest
        if manifest is None or manifest.canaries is None:
            raise NotApplicableError("its training planted no canaries; train with --canaries to have secrets ranked")
        if task_of(plan.checkpoint) == "classification":
            raise NotApplicableError("a classifier gives texts no probability, so secrets cannot be ranked")
        listed = read_canaries(plan.checkpoint.path, manifest.artefacts).canaries
        found = [(place, canary) for place, canary in enumerate(listed) if canary.pattern is not None]
        if not found:
            raise NotApplicableError("no canary of its training is a secret of a pattern; plant some of kind: secret")
        items = ({"place": place, "seed": plan.seed, **canary.model_dump(mode="json")} for place, canary in found)
        return make_cases(items)

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens of all secrets, roughly; what they begin with in common is read once."""
        total = 0
        for case in cases:
            canary = _canary(case)
            length = len(canary.secret or "") if canary.pattern else 0
            count = space(str(canary.pattern))
            read = count / 10 if count <= self.params.exact_up_to else self.params.references * length / 2
            total += int(read) + len(canary.text) // _CHARACTERS
        return total

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """Ranks first; the coins are opened when all ranks are known."""
        info = scorer.info
        assert info.manifest is not None
        found = [(case, self._row(scorer, case, info.manifest.task == "masked_lm")) for case in cases]
        coins = open_coins(info.path, info.manifest.artefacts)
        for case, row in found:
            if isinstance(row, str):
                yield error_row(case, row)
                continue
            planted = coins.planted[case.data["place"]]
            copies = case.data["repetitions"]
            yield {
                **row,
                "planted": planted,
                "copies": f"{copies} cop{'y' if copies == 1 else 'ies'}" if planted else "",
            }

    def _row(self, scorer: Scorer, case: Case, masked: bool) -> RowDict | str:
        canary = _canary(case)
        pattern, own = str(canary.pattern), str(canary.secret)
        if not fits(pattern, own):
            return f"was planted by a version whose {pattern[:40]} has another form; plant it anew to have it ranked"
        count = space(pattern)
        whole = count <= self.params.exact_up_to and not masked
        size = self.params.masked_references if masked else self.params.references
        others = _all_others(pattern, own) if whole else _some_others(pattern, own, size, case)
        totals = (masked_totals if masked else causal_totals)(scorer, canary, [own, *others])
        if isinstance(totals, str):
            return totals
        exposed = exact(totals[0], totals[1:], count) if whole else sampled(totals[0], totals[1:])
        beyond = _NOT_TRIED
        if self.params.extrapolate and not whole and not masked and exposed.rank == 1:
            beyond = extrapolated(float(totals[0]), totals[1:], case.data["seed"])
        return _measured(case, canary, count, exposed, totals, beyond, is_exact=whole)


def _measured(
    case: Case, canary: Canary, count: int, exposed: Exposed, totals: Floats, beyond: Extrapolated, *, is_exact: bool
) -> RowDict:
    return ok_row(
        case,
        repetitions=canary.repetitions,
        pattern=canary.pattern,
        log2_space=math.log2(count),
        references=len(totals) - 1,
        rank=exposed.rank,
        exposure=exposed.bits,
        is_exact=is_exact,
        found=exposed.rank == 1,
        logprob=float(totals[0]),
        extrapolated=np.nan if beyond.bits is None else beyond.bits,
        extrapolated_low=np.nan if beyond.low is None else beyond.low,
        extrapolated_high=np.nan if beyond.high is None else beyond.high,
        fit=beyond.p,
    )


def _canary(case: Case) -> Canary:
    return Canary(**{name: case.data[name] for name in Canary.model_fields})


def _all_others(pattern: str, own: str) -> list[str]:
    return [secret for secret in every(pattern) if secret != own]


def _some_others(pattern: str, own: str, count: int, case: Case) -> list[str]:
    """Different ones, drawn at random by the audit's seed and the case; never the canary's own."""
    random = Random(f"{case.data['seed']} {case.id}")
    found: dict[str, None] = {}
    most = min(count, space(pattern) - 1)
    while len(found) < most:
        secret = draw(pattern, random)
        if secret != own:
            found[secret] = None
    return list(found)
