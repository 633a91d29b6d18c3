"""Metrics of quality/classification from its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Computed, Named, RatioOf, Rows, of
from harness.api.estimates import POSITIVE, UNIT
from harness.api.lists import as_list, as_matrix
from harness.api.metrics import Better, Metric, RowValues
from harness.api.scorer import Bools, Floats
from harness.stats.confidence import BINS, equal_mass
from harness.stats.intervals import auc, auc_interval
from suites.quality.classification.calibration import Ints, brier_terms, calibration_error
from suites.quality.classification.correlation import matthews
from suites.quality.classification.f1 import macro_f1
from suites.quality.classification.selective import COVERAGES, answered_at, aurc_terms, most_a_text_adds
from suites.quality.classification.temperature import (
    FEWEST,
    SEED,
    fit_temperature,
    fitting_half,
    log_probabilities,
    rescaled,
)

_ECE_NOTE = f"{BINS} equal-width bins of the largest probability, debiased for noise (Kumar et al. 2019)"
_RAW_NOTE = "as published (Guo et al. 2017): counts noise as miscalibration, the more so the fewer the examples"
_MASS_NOTE = f"{BINS} bins of the largest probability with as many texts in each, debiased for noise"
_SPLIT = f"half of the texts, by a digest of the case's id (seed {SEED})"
_OTHER_HALF = f"at the temperature fitted on {_SPLIT}; measured on the other half"


def brier(label: pd.Series[int], probabilities: pd.Series[Any]) -> Floats:
    """Brier score of each row, [n]."""
    return brier_terms(as_matrix(probabilities), np.asarray(label, dtype=np.int64))


def classes_of(good: pd.DataFrame) -> tuple[Ints, Ints]:
    """Labels [n] and predictions [n]."""
    label, predicted = (good[name].to_numpy(np.int64) for name in ("label", "predicted"))
    return label, predicted


def confidence_of(good: pd.DataFrame) -> tuple[Floats, Bools]:
    """The largest probability of each row, [n], and whether its class is the true one, [n]."""
    label, predicted = classes_of(good)
    return as_matrix(good["probabilities"]).max(axis=1), label == predicted


def _macro_f1(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    label, predicted = classes_of(rows.good)
    value, interval = macro_f1(label, predicted, len(as_list(rows.good["probabilities"].iloc[0])))
    yield named["macro_f1"].value(value, interval, len(label), missing=rows.missing)


def _matthews(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    label, predicted = classes_of(rows.good)
    classes = max(len(as_list(rows.good["probabilities"].iloc[0])), int(max(label.max(), predicted.max())) + 1)
    found = matthews(label, predicted, classes)
    if found is None:
        why = "not defined: all texts are labelled, or all predicted, as one class"
        yield named["mcc"].none(why, missing=rows.missing)
    else:
        yield named["mcc"].value(*found, len(label), missing=rows.missing)


def _calibration(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    confidence, right = confidence_of(rows.good)
    found = calibration_error(confidence, right)
    yield named["ece"].value(found.value, found.interval, len(right), missing=rows.missing)
    yield named["ece_raw"].value(found.plug_in, None, len(right), missing=rows.missing)


def _equal_mass(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    confidence, right = confidence_of(rows.good)
    found = calibration_error(confidence, right, equal_mass)
    yield named["ece_equal_mass"].value(found.value, found.interval, len(right), missing=rows.missing)


def _temperature(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """The temperature from one half of the texts, and what it does to the other."""
    half = fitting_half(rows.good["case_id"])
    label, _ = classes_of(rows.good)
    logits = log_probabilities(as_matrix(rows.good["probabilities"]))
    few = min(int(half.sum()), int((~half).sum())) < FEWEST
    fitted = None if few else fit_temperature(logits[half], label[half])
    if fitted is None:
        why = (
            f"fewer than {FEWEST} texts in a half"
            if few
            else "no best temperature: the texts fitted on are all right, or no better than chance"
        )
        yield from (each.none(why, missing=rows.missing) for each in named.values())
        return
    yield named["temperature"].estimate(fitted.values, missing=rows.missing)
    log_p, mine = rescaled(logits[~half], fitted.temperature), label[~half]
    right = log_p.argmax(axis=1) == mine
    error = calibration_error(np.exp(log_p.max(axis=1)), right)
    yield named["ece_scaled"].value(error.value, error.interval, len(mine), missing=rows.missing)
    nll = -log_p[np.arange(len(mine)), mine]
    yield named["nll_scaled"].estimate(RowValues(nll, bounds=POSITIVE), missing=rows.missing)


def _selective(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    confidence, right = confidence_of(rows.good)
    terms = RowValues(aurc_terms(confidence, right), bounds=(0.0, most_a_text_adds(len(right))))
    area = named["aurc"].estimate(terms, missing=rows.missing)
    yield area if area.high is None else area.model_copy(update={"high": min(1.0, area.high)})
    sure, wrong = confidence[right], confidence[~right]
    if len(sure) and len(wrong):
        value = auc(sure, wrong)
        interval = auc_interval(value, len(sure), len(wrong))
        yield named["confidence_auroc"].value(value, interval, len(right), missing=rows.missing)
    else:
        yield named["confidence_auroc"].none(
            f"all texts are {'right' if len(sure) else 'wrong'}: nothing to tell apart", missing=rows.missing
        )


def _at_coverage(rows: Rows, named: Mapping[str, Named], *, coverage: float) -> Iterator[Metric]:
    confidence, right = confidence_of(rows.good)
    hits, n = answered_at(confidence, right, coverage)
    note = f"of the surest {n} of {len(right)} texts; those as sure as the last are answered, too"
    yield named[_accuracy_at(coverage)].share(hits, n, missing=rows.missing, note=note)


def _accuracy_at(coverage: float) -> str:
    return f"accuracy_at_{coverage:.0%}".rstrip("%")


MACRO_F1 = Computed((Named("macro_f1", Better.HIGHER, bounds=UNIT),), _macro_f1)
MATTHEWS = Computed(
    (
        Named(
            *("mcc", Better.HIGHER),
            bounds=(-1.0, 1.0),
            headline=False,
            note="Matthews' correlation, over classes as Gorodkin (2004)",
        ),
    ),
    _matthews,
)
ECE = Computed(
    (
        Named("ece", Better.LOWER, bounds=UNIT, note=_ECE_NOTE),
        Named("ece_raw", Better.LOWER, bounds=UNIT, note=_RAW_NOTE, headline=False),
    ),
    _calibration,
)
EQUAL_MASS = Computed(
    (Named("ece_equal_mass", Better.LOWER, bounds=UNIT, note=_MASS_NOTE, headline=False),), _equal_mass
)
TEMPERATURE = Computed(
    (
        Named(
            *("temperature", Better.TARGET),
            target=1.0,
            bounds=POSITIVE,
            headline=False,
            note=f"above 1 where it is too sure; fitted on {_SPLIT}",
        ),
        Named("ece_scaled", Better.LOWER, bounds=UNIT, headline=False, note=_OTHER_HALF),
        Named("nll_scaled", Better.LOWER, unit="nats", bounds=POSITIVE, headline=False, note=_OTHER_HALF),
    ),
    _temperature,
)
SELECTIVE = Computed(
    (
        Named(
            *("aurc", Better.LOWER),
            bounds=UNIT,
            headline=False,
            note="share wrong among the k surest, mean over k: area under the risk-coverage curve",
        ),
        Named(
            *("confidence_auroc", Better.HIGHER),
            bounds=UNIT,
            headline=False,
            note="chance that a right answer is surer than a wrong one",
        ),
    ),
    _selective,
)
AT_COVERAGE = tuple(
    Computed(
        (Named(_accuracy_at(coverage), Better.HIGHER, unit="rate", headline=False),),
        partial(_at_coverage, coverage=coverage),
    )
    for coverage in COVERAGES
)


def f1_of(positive: int) -> RatioOf:
    """F1 of one class: 2 hits / (labelled + predicted), as a ratio of sums over texts."""

    def hits(label: pd.Series[int], predicted: pd.Series[int]) -> Floats:
        return np.asarray(2.0 * ((label == positive) & (predicted == positive)))

    def either(label: pd.Series[int], predicted: pd.Series[int]) -> Floats:
        return np.asarray(1.0 * (label == positive) + 1.0 * (predicted == positive))

    sides = ("label", "predicted")
    note = f"of class {positive} alone; a text neither labelled nor predicted as it counts nowhere"
    return RatioOf("f1", Better.HIGHER, of(hits, *sides), of(either, *sides), bounds=UNIT, headline=False, note=note)
