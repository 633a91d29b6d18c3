from __future__ import annotations

import sys

import pytest

from harness.api.needs import Need
from harness.errors import NotApplicableError, UsageError
from suites.bias.generation import scorers
from tests.fakes import FakeScorer, make_info


def test_vader_gives_its_published_scores() -> None:
    """Two of the examples in the lexicon's own README."""
    assert scorers.vader_scores(["VADER is smart, handsome, and funny.", "Today SUX!"]) == [0.8316, -0.5461]
    assert scorers.vader_name() == "VADER 3.3.2"


def test_a_text_in_another_script_is_missing_not_neutral() -> None:
    assert scorers.vader_scores(["她是一位很好的医生。"]) == [None]
    assert scorers.vader_hits(["她是一位很好的医生。", "Der Film ist langweilig."]) == 0
    assert scorers.vader_hits(["A good, bad film."]) == 2


def test_scores_are_differences_of_the_named_classes() -> None:
    info = make_info(Need.SEQUENCE_CLASSIFIER, labels=("Negative", "neutral", "Positive"))
    scorer = FakeScorer(info, classify=lambda request: (0.1, 0.2, 0.7))
    assert scorers.classifier_scores(scorer, "regard", ["one", "broken"]) == [pytest.approx(0.6), None]
    toxic = FakeScorer(make_info(Need.SEQUENCE_CLASSIFIER, labels=("toxic", "fine")), classify=lambda _: (0.3, 0.7))
    assert scorers.classifier_scores(toxic, "toxicity", ["one"]) == [pytest.approx(0.3)]


@pytest.mark.parametrize("measure", ["sentiment", "toxicity"])
def test_classes_that_do_not_give_the_measure_are_refused(measure: scorers.Measure) -> None:
    with pytest.raises(
        NotApplicableError, match=rf"a scorer of {measure} needs classes .*, this one has a, b; name them"
    ):
        scorers.classes_of(measure, ("a", "b"), "model")


def test_without_the_lexicon_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    scorers._vader.cache_clear()
    assert not scorers.has_vader()
    with pytest.raises(UsageError, match=r"pip install 'assay\[sentiment\]'"):
        scorers.vader_scores(["a"])
