from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from harness.api.declared import Declared, ShareOf, equal
from harness.api.metrics import Better
from harness.api.needs import Need
from harness.api.probe import Probe, ProbeParams
from harness.api.registry import PROBES, Found, find_probes, pick
from harness.audit.plan import known_bounds
from harness.cli.console import show_probe
from harness.errors import UsageError
from tests.harness.api.toy import Toy


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, PROBES)


def test_a_broken_plugin_is_reported_and_the_rest_load() -> None:
    good = point("a", "suites.quality.perplexity:Perplexity")
    found = find_probes([point("b", "no_such_package:X"), good, point("c", "json:loads"), point("d", "json:nothing")])
    assert list(found.probes) == ["quality/perplexity"]
    assert sorted(found.errors) == ["b = no_such_package:X", "c = json:loads", "d = json:nothing"]
    assert "ModuleNotFoundError" in found.errors["b = no_such_package:X"]
    assert "not a subclass" in found.errors["c = json:loads"]


def test_a_name_taken_twice_is_reported() -> None:
    class Twin(Probe):  # type: ignore[type-arg]
        name = "quality/perplexity"
        about = find_probes().probes["quality/perplexity"].about
        needs = ()
        metrics = find_probes().probes["quality/perplexity"].metrics
        Row = find_probes().probes["quality/perplexity"].Row

    import sys

    sys.modules[__name__].Twin = Twin  # type: ignore[attr-defined]
    found = find_probes([point("a", "suites.quality.perplexity:Perplexity"), point("b", f"{__name__}:Twin")])
    assert len(found.probes) == 1
    assert "is taken by" in found.errors[f"b = {__name__}:Twin"]


def test_a_probe_that_measures_nothing_is_reported() -> None:
    class Idle(Probe):  # type: ignore[type-arg]
        name = "toy/idle"
        about = find_probes().probes["quality/perplexity"].about
        needs = ()
        Row = find_probes().probes["quality/perplexity"].Row

    import sys

    sys.modules[__name__].Idle = Idle  # type: ignore[attr-defined]
    found = find_probes([point("a", f"{__name__}:Idle")])
    assert not found.probes
    assert "Idle does not set metrics" in found.errors[f"a = {__name__}:Idle"]


def test_what_is_declared_under_params_alone_is_known_before_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    class Chosen(Toy):
        metrics = ()
        measure = Probe.measure

        def declared(self) -> tuple[Declared, ...]:
            return (ShareOf("share", Better.NEITHER, equal("predicted", 0)),)

    class Needy(Chosen):
        class Params(ProbeParams):
            label: int

    show_probe(Chosen)
    assert "metric       share: rate, no direction is better, from 0 to 1" in capsys.readouterr().out
    assert Chosen.bounds_of("share") == (0.0, 1.0)
    assert known_bounds([Chosen]) == {"toy/share/share": (0.0, 1.0)}
    assert Needy.usual() == ()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("pool", -1, "a whole number above 0, or None"),
        ("pool", "8", "a whole number above 0, or None"),
        ("version", 2, "a text"),
        ("about", "what it measures", "an About"),
        ("needs", (Need.CAUSAL_LM,), "a tuple of sets of Need, as any_of gives them"),
        ("inputs", {"texts": "texts.csv"}, "a mapping from names to Input"),
        ("models", ["judge"], "a mapping from roles to ModelRole"),
        ("metrics", ("accuracy",), "a tuple of declared metrics"),
        ("Params", dict, "a class of ProbeParams"),
        ("Row", dict, "a class of ProbeRow"),
    ],
)
def test_what_a_probe_sets_of_another_kind_is_reported_when_it_loads(name: str, value: object, what: str) -> None:
    import sys

    own = find_probes().probes["quality/perplexity"]
    sys.modules[__name__].Odd = type("Odd", (own,), {name: value})  # type: ignore[attr-defined]
    found = find_probes([point("a", f"{__name__}:Odd")])
    assert not found.probes
    assert found.errors[f"a = {__name__}:Odd"] == f"Odd.{name} is {value!r}, not {what}"


def test_pick_by_name_suite_or_suggestion() -> None:
    found = find_probes()
    assert [probe.name for probe in pick(found, "bias/crows_pairs")] == ["bias/crows_pairs"]
    assert {probe.name for probe in pick(found, "bias")} >= {"bias/crows_pairs", "bias/counterfactual"}
    with pytest.raises(
        UsageError, match="no probe or suite is called 'bias/crow_pairs'; did you mean 'bias/crows_pairs'"
    ):
        pick(found, "bias/crow_pairs")
    with pytest.raises(UsageError, match="1 plug-ins did not load"):
        pick(Found({}, {"x": "y"}), "zzz")


def test_why_not_names_what_is_needed_and_offered() -> None:
    crows = find_probes().probes["bias/crows_pairs"]
    assert crows.why_not(frozenset({Need.CAUSAL_LM})) is None
    why = crows.why_not(frozenset({Need.EMBEDDINGS}))
    assert why == "needs a causal LM or masked LM; the checkpoint offers embeddings"
