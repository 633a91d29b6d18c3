"""quality/out_of_distribution: does a classifier's confidence fall on texts of another kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pandera.typing import Series
from scipy.special import logsumexp

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Computed, Named, Rows
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import PairedTexts
from harness.errors import WrongDataError
from harness.stats.intervals import auc, auc_interval
from suites.labels import check_classes

INSIDE, OUTSIDE = "inside", "outside"


class OutsideRow(ProbeRow):
    """One row per text."""

    kind: Series[str] = column("which data the text is of", isin=[INSIDE, OUTSIDE])
    logits: Series[object] = list_column("logit of each class, in order of index", of="double")
    confidence: Series[float] = column("largest softmax probability", ge=0, le=1)
    energy: Series[float] = column("-log of the sum of exp(logit) over classes; lower where the model knows the kind")
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)


def _detection(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """Both AUROCs: chance that a text of the model's own kind scores above one of the other."""
    inside = rows.good["kind"] == INSIDE
    n = int(inside.sum()), int((~inside).sum())
    for key, score in (("auroc_softmax", rows.good["confidence"]), ("auroc_energy", -rows.good["energy"])):
        if min(n) == 0:
            yield named[key].none(f"no text {INSIDE if not n[0] else OUTSIDE} was answered", missing=rows.missing)
            continue
        value = auc(score[inside], score[~inside])
        note = f"{n[0]} texts inside, {n[1]} outside"
        yield named[key].value(value, auc_interval(value, *n), sum(n), missing=rows.missing, note=note)


class OutOfDistribution(Probe[ProbeParams]):
    """How well confidence and energy tell texts of the model's kind from others."""

    name = "quality/out_of_distribution"
    about = About(
        summary="How well a classifier's own scores tell texts of its kind from texts of another",
        paper="Hendrycks & Gimpel 2017 (largest softmax probability); Liu et al. 2020 (energy, temperature 1)",
        cannot_tell="anything about a third kind of text: an AUROC is about these two data sets",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {  # noqa: RUF012
        INSIDE: Input(PairedTexts, "texts of the kind that the model is for"),
        OUTSIDE: Input(PairedTexts, "texts of another kind"),
    }
    metrics = (
        Computed(
            (
                Named("auroc_softmax", Better.HIGHER, bounds=UNIT),
                Named("auroc_energy", Better.HIGHER, bounds=UNIT),
            ),
            _detection,
        ),
    )
    nothing = "no text could be classified"
    Row = OutsideRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text. Raises WrongDataError where both data are the same, or texts are of both kinds."""
        check_classes(plan.checkpoint.labels, plan.checkpoint.source.source)
        shared = set(plan.data[INSIDE].frame["text"]) & set(plan.data[OUTSIDE].frame["text"])
        if "pair" not in plan.data[INSIDE].frame and shared:
            raise WrongDataError(
                f"quality/out_of_distribution: {len(shared)} texts are in both {plan.data[INSIDE].source.source} and "
                f"{plan.data[OUTSIDE].source.source}; give `outside` texts of another kind"
            )
        found = []
        for kind in (INSIDE, OUTSIDE):
            frame = plan.data[kind].frame
            columns = [name for name in ("text", "pair") if name in frame]
            found += [{**dict(zip(columns, row, strict=True)), "kind": kind} for row in frame[columns].to_numpy()]
        return make_cases(found)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text."""
        answers = scorer.ask([TextRequest(case.data["text"], case.data.get("pair")) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            yield error_row(case, answer.error) if answer.error is not None else _row(case, answer)


def _row(case: Case, answer: ClassScores) -> RowDict:
    return ok_row(
        case,
        kind=case.data["kind"],
        logits=answer.logits.tolist(),
        confidence=float(answer.probabilities.max()),
        energy=-float(logsumexp(answer.logits)),
        truncated=answer.truncated,
    )
