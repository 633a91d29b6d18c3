"""What is not planned, and which kind of reason that is: not applicable, no data given, or a broken plug-in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from rich.console import Console

from dashboards.audits import Audit
from dashboards.view_models import views
from harness.api.case import Case
from harness.api.needs import Need, any_of
from harness.api.probe import Input, Plan, RowDict
from harness.api.registry import Found, find_probes
from harness.api.scorer import Scorer
from harness.audit.plan import AuditPlan, make_plan, power_of
from harness.audit.plan_summary import summary_of
from harness.audit.run import resume_plan, run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.cli.console import show_plan
from harness.data.datasets import DataSource
from harness.data.schemas import LabelledTexts, Texts
from harness.errors import AuditError, DataError, NoDataError, NotApplicableError, UsageError, WrongDataError
from harness.record.folder import AuditManifest
from harness.reports.formats import comment, html, markdown
from harness.reports.formats.terminal import print_report
from harness.scorer.likelihood.causal import CausalScores
from tests.harness.api.toy import Toy
from tests.harness.reports.inputs import by_hand
from tests.tiny import make_checkpoint


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert"), "bert", "classifier")


def table(folder: Path, **columns: Sequence[Any]) -> str:
    path = folder / "data.jsonl"
    pd.DataFrame(columns).to_json(path, orient="records", lines=True)
    return str(path)


def plan(checkpoint: Path, folder: Path, found: Found | None = None, **keys: Any) -> AuditPlan:
    spec = {"checkpoint": str(checkpoint), "output": str(folder / "audits"), "limits": {"cases": 2}, **keys}
    return make_plan(AuditSpec.model_validate(spec), found)


def without(folder: Path, *tokens: str) -> Path:
    """The checkpoint with a tokenizer that does not name these tokens."""
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if k not in tokens}))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    return folder


class Plain(Toy):
    """A probe of causal models that needs no token to begin with."""

    name = "toy/plain"
    needs = (any_of(Need.CAUSAL_LM, Need.MASKED_LM, Need.EMBEDDINGS),)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        for case in cases:
            yield {
                "case_id": case.id,
                "status": "ok",
                "error": None,
                "predicted": len(scorer.encode(case.data["text"])),
            }


def with_plain(*names: str) -> Found:
    every = find_probes().probes
    return Found({**{name: every[name] for name in names}, Plain.name: Plain}, {})


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_tokenizer_without_a_start_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str) -> None:
    """It was found out after loading, and ended the audit."""
    monkeypatch.setenv("ASSAY_ISOLATION", isolation)
    folder = without(make_checkpoint(tmp_path / "gpt2", "gpt2", "causal_lm"), "bos_token", "eos_token")
    info = inspect_checkpoint(CheckpointSource(source=str(folder)))
    assert info.offers == {Need.CAUSAL_LM, Need.EMBEDDINGS}
    asked = ("quality/perplexity", "bias/crows_pairs")
    data = {"texts": table(tmp_path, text=["the film", "a plot"])}
    made = plan(folder, tmp_path, with_plain(*asked), data=data, probes=["toy", *asked])
    why = "needs a start token; its tokenizer names no BOS and no EOS token to start a text with"
    assert made.not_applicable == dict.fromkeys(asked, why)
    assert made.no_data == {}
    result = run_audit(made, start_audit(made))
    assert [probe.name for probe in result.manifest.probes] == ["toy/plain"]
    assert result.manifest.not_applicable == dict.fromkeys(asked, why)


def test_extraction_needs_no_start_token_where_the_tokenizer_has_none(tmp_path: Path) -> None:
    folder = without(make_checkpoint(tmp_path / "gpt2", "gpt2", "causal_lm"), "bos_token", "eos_token")
    data = {"texts": table(tmp_path, text=["the film was good " * 40]), "control": str(tmp_path / "data.jsonl")}
    made = plan(folder, tmp_path, with_plain("memorization/extraction"), data=data, probes=["memorization"])
    result = run_audit(made, start_audit(made))
    rows = result.folder.rows("memorization/extraction")
    assert set(rows["status"]) == {"ok"}


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_tokenizer_without_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str) -> None:
    monkeypatch.setenv("ASSAY_ISOLATION", isolation)
    folder = without(make_checkpoint(tmp_path / "bert", "bert", "masked_lm"), "mask_token")
    asked = ("quality/perplexity", "bias/crows_pairs")
    data = {"texts": table(tmp_path, text=["the film", "a plot"])}
    made = plan(folder, tmp_path, with_plain(*asked), data=data)
    assert made.not_applicable == dict.fromkeys(
        asked,
        "needs a causal LM or masked LM; the checkpoint offers embeddings "
        "(its tokenizer names no mask token, so nothing can be masked)",
    )
    assert "No probe reads its masked LM: its tokenizer names no mask token" in " ".join(made.info.notes)
    with pytest.raises(UsageError, match=r"no probe applies \(quality/perplexity: .*names no mask token"):
        plan(folder, tmp_path, Found({name: find_probes().probes[name] for name in asked}, {}), probes=list(asked))


@pytest.mark.parametrize(("kind", "head"), [("gpt2", "causal_lm"), ("bert", "masked_lm"), ("bert", "classifier")])
def test_an_ordinary_tokenizer_lacks_nothing(tmp_path: Path, kind: str, head: str) -> None:
    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path, kind, head))))
    assert info.lacks == {}


def test_a_decoder_told_to_look_ahead_is_no_causal_model(tmp_path: Path) -> None:
    from harness.checkpoint.heads import Head, head_of

    config = type("Config", (), {"use_bidirectional_attention": True})()
    choice = head_of("Gemma3ForCausalLM", config)
    assert choice.head is Head.NONE
    assert choice.note is not None
    assert "attends to later tokens (use_bidirectional_attention is set)" in choice.note


def test_a_model_that_turns_out_not_to_be_causal_ends_no_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file says it (a shipped class may do anything): found while running, the other probes run all the same."""
    monkeypatch.setattr(CausalScores, "_check_causal", lambda self: False)
    folder = make_checkpoint(tmp_path / "gpt2", "gpt2", "causal_lm")
    data = {"texts": table(tmp_path, text=["the film", "a plot"])}
    gates = [{"id": "g", "metric": "quality/perplexity/token_perplexity", "max": 1e9, "min_examples": 1}]
    made = plan(
        folder,
        tmp_path,
        with_plain("quality/perplexity"),
        data=data,
        probes=["quality", "toy"],
        policy={"name": "p", "gates": gates},
    )
    result = run_audit(made, start_audit(made))
    (why,) = result.manifest.not_applicable.values()
    assert why.startswith("GPT2LMHeadModel is not causal: later tokens change the scores of earlier ones")
    found = {metric.key: metric for metric in result.metrics}
    assert found["quality/perplexity/token_perplexity"].value is None
    assert found["quality/perplexity/token_perplexity"].note == f"not applicable: {why}"
    assert found["toy/plain/share"].n == 2
    assert result.verdict.outcome != "pass"
    monkeypatch.undo()
    again = run_audit(resume_plan(result.folder, with_plain("quality/perplexity")), result.folder)
    assert again.manifest.not_applicable == {}
    assert {metric.key: metric for metric in again.metrics}["quality/perplexity/token_perplexity"].value is not None


def pairs(folder: Path) -> str:
    labels = ["positive", "negative"]
    return table(folder, text=["a good film", "a bad film"], pair=["i like it", "i hate it"], label=labels)


def test_data_of_another_kind_for_the_whole_audit(bert: Path, tmp_path: Path) -> None:
    """Text pairs are for some probes of a suite; those that read single texts do not apply, and end nothing."""
    made = plan(bert, tmp_path, data={"examples": pairs(tmp_path)}, probes=["adversarial", "quality"])
    refused = {name: why for name, why in made.not_applicable.items() if "text pairs" in why}
    assert refused
    assert all("attacks single texts; leave out the column 'pair'" in why for why in refused.values())
    assert not set(refused) & set(made.no_data)
    assert "quality/classification" in {each.probe.name for each in made.probes}
    name = next(iter(refused))
    with pytest.raises(DataError, match=r"text pairs, and .* attacks single texts"):
        plan(bert, tmp_path, data={"examples": pairs(tmp_path)}, probes=["quality", name])


class Picky(Toy):
    """Raises what a test tells it to."""

    name = "picky/one"
    inputs: ClassVar[dict[str, Input]] = {"texts": Input(Texts, "texts to classify")}
    raises: ClassVar[Exception | None] = None

    def cases(self, plan: Plan) -> list[Case]:
        error = type(self).raises
        if error is not None:
            raise error
        return super().cases(plan)


@pytest.fixture
def picky() -> Iterator[type[Picky]]:
    yield Picky
    Picky.raises = None


BOTH = Found({Toy.name: Toy, Picky.name: Picky}, {})


@pytest.mark.parametrize("probes", [["toy", "picky"], None])
def test_a_suite_goes_on_without_the_probe(
    bert: Path, tmp_path: Path, picky: type[Picky], probes: list[str] | None
) -> None:
    picky.raises = DataError("d.csv: of another kind")
    keys = {} if probes is None else {"probes": probes}
    made = plan(bert, tmp_path, BOTH, data={"texts": table(tmp_path, text=["a", "b"])}, **keys)
    assert made.not_applicable == {"picky/one": "d.csv: of another kind"}
    assert made.no_data == {}
    assert [each.probe.name for each in made.probes] == ["toy/share"]


def test_a_reason_that_begins_with_the_probe_says_its_name_once(bert: Path, tmp_path: Path, picky: type[Picky]) -> None:
    picky.raises = DataError("picky/one: of another kind")
    data = {"texts": table(tmp_path, text=["a", "b"])}
    assert plan(bert, tmp_path, BOTH, data=data).not_applicable == {"picky/one": "of another kind"}
    with pytest.raises(UsageError, match=r"no probe applies \(picky/one: of another kind\)"):
        plan(bert, tmp_path, Found({Picky.name: Picky}, {}), data=data)


@pytest.mark.parametrize("own", [False, True])
def test_asked_for_by_name_it_is_an_error(bert: Path, tmp_path: Path, picky: type[Picky], own: bool) -> None:
    picky.raises = DataError("d.csv: of another kind")
    data = {"texts": table(tmp_path, text=["a", "b"])}
    entry = {"name": "picky/one", "data": data} if own else "picky/one"
    with pytest.raises(DataError, match=r"^d\.csv: of another kind$"):
        plan(bert, tmp_path, BOTH, data=data, probes=["toy", entry])


@pytest.mark.parametrize("error", [WrongDataError("d.csv: a label is no class"), UsageError("d.csv: misused")])
def test_wrong_data_are_for_the_user_to_mend(bert: Path, tmp_path: Path, picky: type[Picky], error: Exception) -> None:
    """A label that means no class must not pass for 'does not apply', which a policy may excuse."""
    picky.raises = error
    with pytest.raises(UsageError, match=str(error)):
        plan(bert, tmp_path, BOTH, data={"texts": table(tmp_path, text=["a", "b"])}, probes=["toy", "picky"])


def test_a_label_that_is_no_class_is_an_error_by_suite_too(bert: Path, tmp_path: Path) -> None:
    data = {"examples": table(tmp_path, text=["a good film"], label=["wonderful"])}
    with pytest.raises(WrongDataError, match="has the label 'wonderful', the model's classes are"):
        plan(bert, tmp_path, data=data, probes=["quality"])


@pytest.mark.parametrize("named", ["gone.jsonl", "data.jsonl"])
def test_a_file_that_cannot_be_read_is_an_error_by_suite_too(bert: Path, tmp_path: Path, named: str) -> None:
    table(tmp_path, words=["it has no column text"])
    with pytest.raises(DataError, match=named):
        plan(bert, tmp_path, BOTH, data={"texts": str(tmp_path / named)}, probes=["toy", "picky"])


def test_nothing_given_is_a_kind_of_its_own(bert: Path, tmp_path: Path) -> None:
    """A policy may excuse what does not apply, never what nobody looked at."""
    plain = Found({Toy.name: Toy, **with_plain("quality/classification", "bias/crows_pairs").probes}, {})
    gates = [{"id": "g", "metric": "toy/share/share", "max": 1.0}]
    made = plan(bert, tmp_path, plain, policy={"name": "p", "gates": gates})
    assert set(made.no_data) == {"toy/share", "toy/plain"}
    assert made.no_data["toy/share"].startswith("no data for 'texts' (texts to classify); give data:")
    assert set(made.not_applicable) == {"bias/crows_pairs"}
    (power,) = power_of(made)
    assert "no data for 'texts'" in power.what
    manifest = start_audit(made).manifest()
    assert manifest.no_data == dict(made.no_data)
    assert manifest.not_applicable == dict(made.not_applicable)
    with pytest.raises(NoDataError, match="no data for 'texts'"):
        plan(bert, tmp_path, plain, probes=["quality", "toy/share"])


def test_a_default_that_does_not_fit_is_no_data(tmp_path: Path) -> None:
    """Film reviews are the default of a probe of sentiment; for other classes nothing was given."""
    folder = make_checkpoint(tmp_path / "bert", "bert", "classifier")
    config = json.loads((folder / "config.json").read_text())
    labels = {"id2label": {"0": "sport", "1": "trade"}, "label2id": {"sport": 0, "trade": 1}}
    (folder / "config.json").write_text(json.dumps({**config, **labels}))
    made = plan(folder, tmp_path, probes=["quality", "bias"])
    assert "the default data are sentiment labels" in made.no_data["quality/classification"]
    assert "quality/classification" not in made.not_applicable


class Two(Toy):
    """Reads two sets, of which one is given."""

    name = "two/sets"
    inputs: ClassVar[dict[str, Input]] = {
        "texts": Input(Texts, "texts"),
        "examples": Input(LabelledTexts, "labelled texts"),
    }


def boom(*_: Any) -> Any:
    raise KeyError("boom")


@pytest.mark.parametrize("hook", ["roles", "default_data", "declared", "cost"])
@pytest.mark.parametrize("answer", [boom, lambda *_: sys.exit(0), lambda *_: 3.5, lambda *_: ["x"]])
def test_what_a_plug_in_says_amiss_costs_no_other(bert: Path, tmp_path: Path, hook: str, answer: Any) -> None:
    bad = type("Bad", (Toy,), {"name": "broken/probe", hook: answer})
    data = {"texts": table(tmp_path, text=["a", "b"])}
    made = plan(bert, tmp_path, Found({Toy.name: Toy, "broken/probe": bad}, {}), data=data)
    assert [planned.probe.name for planned in made.probes] == [Toy.name]
    assert f"its {hook} " in made.plugin_errors["broken/probe"]
    assert summary_of(made).plugin_errors == made.plugin_errors


@pytest.mark.parametrize("answer", [None, 3, ["x"], [None]])
def test_cases_that_are_none_are_a_fault_of_the_probe(bert: Path, tmp_path: Path, answer: Any) -> None:
    bad = type("Bad", (Toy,), {"name": "broken/probe", "cases": lambda *_: answer})
    data = {"texts": table(tmp_path, text=["a", "b"])}
    with pytest.raises(AuditError, match=r"broken/probe: gave no cases.*fault of the probe"):
        plan(bert, tmp_path, Found({"broken/probe": bad}, {}), data=data)


def test_one_set_of_two_is_no_data(bert: Path, tmp_path: Path) -> None:
    data = {"texts": table(tmp_path, text=["a", "b"])}
    made = plan(bert, tmp_path, Found({Toy.name: Toy, Two.name: Two}, {}), data=data)
    assert set(made.no_data) == {"two/sets"}
    data = {"texts": str(tmp_path / "gone.csv")}
    with pytest.raises(DataError, match=r"gone\.csv"):  # a bad file is said first, whatever else is lacking
        plan(bert, tmp_path, Found({Two.name: Two}, {}), data=data)


class Raising(Toy):
    """A plug-in that cannot say whether it applies."""

    name = "broken/probe"

    @classmethod
    def why_not(cls, offers: frozenset[Need]) -> str | None:
        raise ZeroDivisionError("told to")


def test_a_plug_in_that_raises_is_neither(bert: Path, tmp_path: Path) -> None:
    data = {"texts": table(tmp_path, text=["a", "b"])}
    made = plan(bert, tmp_path, Found({Toy.name: Toy, Raising.name: Raising}, {"x = y": "no y"}), data=data)
    assert made.not_applicable == {}
    assert made.no_data == {}
    why = "it could not say whether it applies (ZeroDivisionError: told to)"
    assert made.plugin_errors == {"x = y": "no y", "broken/probe": why}
    assert start_audit(made).manifest().plugin_errors == made.plugin_errors
    with pytest.raises(UsageError, match=r"no probe applies \(broken/probe: it could not say"):
        plan(bert, tmp_path, Found({Raising.name: Raising}, {}), data=data)


def test_every_report_has_a_title_for_it(tmp_path: Path) -> None:
    report = by_hand()
    (name, why), *_ = report.manifest.no_data.items()
    with (tmp_path / "out").open("w", encoding="utf-8") as file:
        print_report(Console(file=file, width=100), report)
    shown = (tmp_path / "out").read_text(encoding="utf-8")
    for text in (shown, markdown.render(report), html.render(report), comment.render(report)):
        assert "Not applicable" in text or "What did not run" in text
        assert why in text.split("Data or tools missing")[1]
    audit = Audit(tmp_path, report.manifest, (), None, {})
    assert ("data or tools missing", name, why) in [(each.kind, each.where, each.why) for each in views.cautions(audit)]


def test_the_plan_shows_it(bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"examples": table(tmp_path, text=["a good film"], label=["positive"])}
    found = Found({**with_plain("quality/classification", "bias/crows_pairs").probes, Toy.name: Toy}, {})
    show_plan(plan(bert, tmp_path, found, data=data), cost=False)
    shown = capsys.readouterr().out
    assert "data or tools missing: toy/share: no data for 'texts'" in shown
    assert "not applicable: bias/crows_pairs: needs a causal LM or masked LM" in shown


def test_an_older_manifest_has_none() -> None:
    content = json.loads(by_hand().manifest.model_dump_json())
    del content["no_data"]
    assert AuditManifest.model_validate(content).no_data == {}


def test_membership_of_another_training_is_not_applicable() -> None:
    from suites.memorization.membership.probe import Membership
    from tests.fakes import make_info
    from tests.fakes import plan as plan_of

    with pytest.raises(NotApplicableError, match="needs a training manifest"):
        Membership().cases(plan_of(make_info(Need.SEQUENCE_CLASSIFIER)))


def test_the_scorer_of_a_lacking_tokenizer_is_still_there(tmp_path: Path) -> None:
    folder = without(make_checkpoint(tmp_path / "gpt2", "gpt2", "causal_lm"), "bos_token", "eos_token")
    info = inspect_checkpoint(CheckpointSource(source=str(folder)))
    assert load_checkpoint(info, device="cpu").tokenizer.eos_token is None
    assert info.lacks == {Need.START_TOKEN: "its tokenizer names no BOS and no EOS token to start a text with"}


def test_what_the_machine_lacks_says_nothing_of_the_checkpoint(tmp_path: Path) -> None:
    """A policy may excuse what does not apply; a package that is not installed is no such thing."""

    class NeedsTool(Toy):
        name = "toy/tool"

        @classmethod
        def why_not(cls, offers: frozenset[Need]) -> str | None:
            return super().why_not(offers) or "needs the package tool; pip install tool"

    spec = AuditSpec.model_validate({"checkpoint": str(make_checkpoint(tmp_path, "bert", "classifier"))})
    texts = tmp_path / "texts.txt"
    texts.write_text("one text\nanother text\n")
    spec = spec.model_copy(update={"data": {"texts": DataSource(source=str(texts))}})
    made = make_plan(spec, Found({"toy/share": Toy, "toy/tool": NeedsTool}, {}))
    assert made.no_data == {"toy/tool": "needs the package tool; pip install tool"}
    assert made.not_applicable == {}
