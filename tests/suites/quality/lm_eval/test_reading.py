"""What is asked for a request of lm-eval, by the settings that its task names."""

from __future__ import annotations

from typing import Any

import pytest

from harness.api.needs import Need
from harness.api.requests.sampling import SampleRequest
from suites.quality.lm_eval.reading import Reader
from tests.fakes import FakeScorer, make_info


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"do_sample": True, "temperature": 0.5}, (50, 1.0, 1.0, 0.5)),
        ({"do_sample": True, "top_k": None, "top_p": None, "repetition_penalty": None}, (0, 1.0, 1.0, 1.0)),
        ({"do_sample": True, "top_k": 0, "top_p": 0.9}, (0, 0.9, 1.0, 1.0)),
        ({"do_sample": None, "temperature": None, "top_k": None}, (1, 1.0, 1.0, 1.0)),
    ],
)
def test_a_setting_that_is_null_is_off_as_in_transformers(given: dict[str, Any], wanted: tuple[float, ...]) -> None:
    reader = Reader(FakeScorer(make_info(Need.CAUSAL_LM)), 1024)
    (request,) = reader.asked("generate_until", ["the film", given], 0).requests
    assert isinstance(request, SampleRequest)
    assert (request.top_k, request.top_p, request.repetition_penalty, request.temperature) == wanted
