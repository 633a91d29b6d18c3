"""Canaries among the records of a training: counted, sealed, the same after a stop."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.errors import DataError, NoDataError, UsageError
from harness.provenance.artefacts import digest_of
from harness.provenance.manifest import TrainingManifest, read_manifest
from privacy.canaries.canary import Canaries, Coins
from privacy.canaries.make import Surroundings, make_canaries
from privacy.canaries.patterns import fits
from privacy.canaries.spec import CanarySpec, load_canaries
from privacy.canaries.store import COINS, canary_artefacts, drawn, finish, open_coins, path_of, read_canaries
from privacy.publication import publish
from privacy.training import train
from privacy.training.data.load import load_training_data
from privacy.training.data.planted import plant, with_planted
from privacy.verification.verify import verify_claim
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

WORDS = [f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


def around(**fields: Any) -> Surroundings:
    values: dict[str, Any] = {
        "task": "causal_lm",
        "classes": (),
        "paired": False,
        "completions": False,
        "taken": (),
        "vocabulary": lambda: WORDS,
        "write": lambda n, tokens, temperature: [f"written {number}" for number in range(n)],
    }
    return Surroundings(**{**values, **fields})


def spec_of(*groups: dict[str, Any]) -> CanarySpec:
    return CanarySpec.model_validate({"canaries": groups})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier")


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("gpt"), "gpt2", "causal_lm")


def manifest_of(folder: Path) -> TrainingManifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def test_each_kind_is_made_as_it_says() -> None:
    made = make_canaries(
        spec_of(
            {"kind": "random-tokens", "count": 5, "tokens": 3, "prefix": "It said: "},
            {"kind": "rare-tokens", "count": 4, "tokens": 2},
            {"kind": "secret", "count": 6, "pattern": "####", "repetitions": [1, 4]},
            {"kind": "model-written", "count": 3},
            {"kind": "pii", "count": 3},
        ),
        around(),
        Random(0),
    ).canaries
    kinds = [canary.kind for canary in made]
    assert [kinds.count(kind) for kind in ("random-tokens", "rare-tokens", "secret", "model-written", "pii")] == [
        *(5, 4, 12, 3, 3)
    ]
    assert len({canary.text for canary in made}) == len({canary.id for canary in made}) == len(made)
    for canary in made:
        assert canary.secret is not None
        assert canary.text.endswith(canary.secret)
        if canary.kind == "rare-tokens":
            assert set(canary.secret.split()) <= set(WORDS[-2:])
        if canary.kind == "secret":
            assert fits("####", canary.secret)
    assert sorted(canary.repetitions for canary in made if canary.kind == "secret") == [1] * 6 + [4] * 6
    assert all(canary.text.startswith("It said: ") for canary in made[:5])


def test_completions_hold_the_secret_alone() -> None:
    (canary,) = make_canaries(
        spec_of({"kind": "secret", "count": 1}), around(paired=True, completions=True), Random(0)
    ).canaries
    assert canary.pair == canary.secret
    assert canary.secret is not None
    assert canary.secret not in canary.text


@pytest.mark.parametrize(
    "group", [{"kind": "random-tokens", "tokens": 3}, {"kind": "secret", "prefix": "the code is "}]
)
def test_completions_of_one_prompt_are_different_canaries(group: dict[str, Any]) -> None:
    made = make_canaries(spec_of({**group, "count": 20}), around(paired=True, completions=True), Random(0)).canaries
    assert len({canary.text for canary in made}) == 1
    assert len({canary.pair for canary in made}) == 20
    taken = {(canary.text, canary.pair) for canary in made}
    again = make_canaries(
        spec_of({**group, "count": 20}), around(paired=True, completions=True, taken=taken), Random(0)
    ).canaries
    assert not taken & {(canary.text, canary.pair) for canary in again}


def test_what_would_be_cut_off_is_not_planted(base: Path, tmp_path: Path) -> None:
    """A canary whose drawn end is never read teaches nothing, and its audit would find nothing without a word."""
    spec = make_spec(tmp_path, base, max_tokens=16, canaries={"canaries": [{"kind": "random-tokens", "count": 5}]})
    group = {"kind": "random-tokens", "count": 5, "tokens": 40}
    with pytest.raises(UsageError, match=r"5 of 5 have more than the 16 tokens .* cut off"):
        train(spec.model_copy(update={"canaries": spec_of(group)}))
    assert not list(tmp_path.glob("*coins*"))


def test_the_digest_of_a_plain_training_tells_no_coin(gpt: Path, tmp_path: Path) -> None:
    """Who has the records and the list of canaries could else try all coins of a few."""
    write_rows(tmp_path / "texts.jsonl", opinions(12, seed=4))
    fields = {"task": "causal_lm", "data": str(tmp_path / "texts.jsonl"), "epochs": 1}
    spec = make_spec(tmp_path, gpt, **fields, canaries={"canaries": [{"kind": "pii", "count": 3}]})
    train(spec)
    said = manifest_of(spec.output).canaries
    assert said is not None
    canaries, data = read_canaries(spec.output, manifest_of(spec.output).artefacts), load_training_data(spec)
    salted = Coins(canaries="", salt="", planted=())
    tried = {
        with_planted(data, canaries, salted.model_copy(update={"planted": planted})).members.digest
        for planted in itertools.product((False, True), repeat=3)
    }
    assert len(tried) == 8
    assert said.digest not in tried


def test_coins_belong_to_the_canaries_that_the_manifest_names(tmp_path: Path) -> None:
    made = make_canaries(spec_of({"kind": "pii", "count": 5}), around(), Random(0))
    drawn(tmp_path / "out", "d", lambda: made, keep=True)
    left = canary_artefacts(tmp_path / "out", "d")
    assert len(open_coins(tmp_path / "out", left).planted) == 5
    others = [each.model_copy(update={"digest": "0" * 64}) if each.name == "canaries" else each for each in left]
    with pytest.raises(UsageError, match="belongs to other canaries"):
        open_coins(tmp_path / "out", others)


def test_mislabelled_records_have_another_class(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "more.jsonl", opinions(30, seed=9))
    group = {"kind": "mislabelled", "count": 20, "data": str(data)}
    made = make_canaries(spec_of(group), around(task="classification", classes=("negative", "positive")), Random(0))
    truth = {row["text"]: row["label"] for row in opinions(30, seed=9)}
    assert all(canary.true_label == truth[canary.text] != canary.label for canary in made.canaries)
    with pytest.raises(DataError, match="all of these records are trained on or held out"):
        make_canaries(
            spec_of(group), around(task="classification", classes=("negative", "positive"), taken=truth), Random(0)
        )


@pytest.mark.parametrize(
    ("group", "fields", "said"),
    [
        ({"kind": "model-written", "count": 1}, {"task": "masked_lm"}, "only a causal model writes"),
        ({"kind": "pii", "count": 1}, {"paired": True}, "only mislabelled canaries are made for them"),
        ({"kind": "secret", "count": 11, "pattern": "#", "prefix": "pin "}, {}, "has 10 secrets, fewer than"),
        ({"kind": "rare-tokens", "count": 9, "tokens": 1}, {}, "only 2 of 9 could be made different"),
        ({"kind": "random-tokens", "count": 1}, {"vocabulary": list}, "has no whole words"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(group: dict[str, Any], fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_canaries(spec_of(group), around(**fields), Random(0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("canaries: []", "canaries"),
        ("canaries: [{kind: mislabelled, count: 3}]", "mislabelled canaries need data"),
        ("canaries: [{kind: secret, count: 3, pattern: none}]", "has nothing to draw"),
        ("canaries: [{kind: secret, count: 3, repetitions: [2, 2]}]", "different numbers of copies"),
        ("canaries: [{kind: whistle, count: 3}]", "kind"),
    ],
)
def test_a_bad_file_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "canaries.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        load_canaries(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_coins_are_fair_and_independent(tmp_path: Path) -> None:
    made = make_canaries(spec_of({"kind": "pii", "count": 4000}), around(), Random(0))
    _, coins = drawn(tmp_path / "out", "d", lambda: made, keep=False)
    assert abs(sum(coins.planted) - 2000) < 4 * 32  # standard deviation: 31.6
    _, again = drawn(tmp_path / "out", "d", lambda: made, keep=False)
    assert coins.planted != again.planted
    assert not list(tmp_path.iterdir())


def _draw_in_process(folder: Path, seed: int, answers: Any) -> None:
    made = make_canaries(spec_of({"kind": "pii", "count": 64}), around(), Random(seed))
    canaries, coins = drawn(folder / "out", "d", lambda: made, keep=True)
    answers.put((canaries.model_dump_json(), coins.model_dump_json()))


def test_processes_that_start_at_once_have_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    started = [context.Process(target=_draw_in_process, args=(tmp_path, seed, answers)) for seed in range(4)]
    for process in started:
        process.start()
    found = {answers.get(timeout=60) for _ in started}
    for process in started:
        process.join()
    assert len(found) == 1


def test_records_counts_and_labels_go_together(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, canaries={"canaries": [{"kind": "pii", "count": 40, "repetitions": [1, 3]}]})
    data = load_training_data(spec)
    planted = plant(spec, inspect_checkpoint(CheckpointSource(source=str(base))), data, 512, keep=True)
    assert planted.planted is not None
    assert planted.listed is data.members
    assert len(planted.texts) == len(planted.labels) == len(planted.members) == 64 + planted.planted.count
    assert planted.texts[:64] == data.texts
    assert planted.labels[:64] == data.labels
    canaries = Canaries.model_validate_json(path_of(spec.output, "canaries", spec.digest()).read_text())
    coins = json.loads(path_of(spec.output, COINS, spec.digest()).read_text())["planted"]
    expected = [c for c, yes in zip(canaries.canaries, coins, strict=True) if yes for _ in range(c.repetitions)]
    assert planted.texts[64:] == [canary.text for canary in expected]
    assert [planted.label_names[label] for label in planted.labels[64:]] == [canary.label for canary in expected]
    assert plant(spec, None, data, 512, keep=True).members.digest == planted.members.digest  # a second start


def test_units_of_canaries_are_their_own(base: Path, tmp_path: Path) -> None:
    rows = [{**row, "who": f"p{number % 8}"} for number, row in enumerate(opinions(64, seed=1))]
    write_rows(tmp_path / "owned.jsonl", rows)
    spec = make_spec(
        tmp_path,
        base,
        data=str(tmp_path / "owned.jsonl"),
        label_names=("negative", "positive"),
        privacy={"epsilon": 8, "unit": "who"},
        canaries={"canaries": [{"kind": "pii", "count": 8}]},
    )
    data = load_training_data(spec)
    made = make_canaries(spec.canaries, around(classes=("negative", "positive")), Random(0))  # type: ignore[arg-type]
    _, coins = drawn(tmp_path / "out", "d", lambda: made, keep=False)
    planted = with_planted(data, made, coins)
    assert planted.units is not None
    assert len(planted.units) == len(planted.texts)
    assert len(set(planted.units)) == 8 + sum(coins.planted)
    assert len(set(planted.units) & set(with_planted(data, made, coins).units or ())) == len(set(planted.units))
    _, others = drawn(tmp_path / "out", "e", lambda: made, keep=False)
    elsewhere = with_planted(data, made, others).units
    assert elsewhere is not None
    assert len(set(planted.units) & set(elsewhere)) == 8  # the units of the data: no canary is one of another training


def test_a_plain_training_says_what_it_planted(gpt: Path, tmp_path: Path) -> None:
    asked = {"canaries": [{"kind": "secret", "count": 10, "pattern": "##", "repetitions": [1, 5]}]}
    write_rows(tmp_path / "texts.jsonl", opinions(32, seed=4))
    spec = make_spec(tmp_path, gpt, task="causal_lm", data=str(tmp_path / "texts.jsonl"), epochs=1, canaries=asked)
    train(spec)
    manifest = manifest_of(spec.output)
    said = manifest.canaries
    assert said is not None
    assert said.count == 20
    coins = open_coins(spec.output, manifest.artefacts)
    canaries = read_canaries(spec.output, manifest.artefacts)
    chosen = [c for c, yes in zip(canaries.canaries, coins.planted, strict=True) if yes]
    assert said.records == sum(canary.repetitions for canary in chosen)
    assert (manifest.members_n, manifest.trained_n) == (32, 32 + said.records)
    assert path_of(spec.output, COINS).stat().st_mode & 0o077 == 0
    assert not list(tmp_path.glob("*unfinished*"))
    inside = "".join(p.read_text(errors="replace") for p in spec.output.iterdir() if p.suffix == ".json")
    assert not any(canary.text in inside for canary in canaries.canaries)
    assert not train(spec, if_missing=True).trained  # found done, whatever the coins were
    train(spec, replace=True)
    assert open_coins(spec.output, manifest_of(spec.output).artefacts) != coins
    with pytest.raises(UsageError, match="has been edited since the training, or belongs to another"):
        open_coins(spec.output, manifest.artefacts)
    (aside,) = tmp_path.glob("trained.replaced.*")
    assert open_coins(aside / "trained", manifest.artefacts) == coins


def test_a_manifest_from_before_artefacts_is_read(tmp_path: Path, gpt: Path) -> None:
    write_rows(tmp_path / "texts.jsonl", opinions(32, seed=4))
    asked = {"canaries": [{"kind": "secret", "count": 4}]}
    spec = make_spec(tmp_path, gpt, task="causal_lm", data=str(tmp_path / "texts.jsonl"), epochs=1, canaries=asked)
    train(spec)
    new = manifest_of(spec.output)
    values = json.loads(new.model_dump_json())
    files = {each["name"]: each["digest"] for each in values.pop("artefacts") if each["name"] != "records"}
    values["canaries"]["files"] = files
    old = TrainingManifest.model_validate_json(json.dumps(values))
    assert old.canaries == new.canaries
    assert set(old.artefacts) == {each for each in new.artefacts if each.readers == "audit"}
    assert read_canaries(spec.output, old.artefacts) == read_canaries(spec.output, new.artefacts)


def test_a_private_training_counts_them_and_its_claim_is_verified(base: Path, tmp_path: Path) -> None:
    spec = make_spec(
        tmp_path,
        base,
        epochs=1,
        label_names=("negative", "positive"),
        privacy={"epsilon": 8},
        canaries={"canaries": [{"kind": "random-tokens", "count": 30}]},
    )
    train(spec)
    manifest = manifest_of(spec.output)
    assert manifest.privacy is not None
    assert manifest.canaries is not None
    assert manifest.privacy.records == 64 + manifest.canaries.records
    info = inspect_checkpoint(CheckpointSource(source=str(spec.output)))
    assert verify_claim(spec.output, manifest, info.fingerprint.weights).verified
    published = publish(spec.output, tmp_path / "public")
    assert not any("canar" in name or "coins" in name for name in published.written)
    assert published.check.verified


@pytest.mark.parametrize("what", ["canaries", "coins"])
def test_files_that_are_edited_or_missing_are_one_sentence(what: str, tmp_path: Path) -> None:
    made = make_canaries(spec_of({"kind": "pii", "count": 5}), around(), Random(0))
    drawn(tmp_path / "out", "d", lambda: made, keep=True)
    left = canary_artefacts(tmp_path / "out", "d")
    read = {"canaries": read_canaries, "coins": open_coins}[what]
    read(tmp_path / "out", left)  # where a kill left them under the name of the unfinished training
    path = path_of(tmp_path / "out", what, "d")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="has been edited since the training"):
        read(tmp_path / "out", left)
    forged = [each.model_copy(update={"digest": digest_of(path)}) for each in left]
    with pytest.raises(UsageError, match="cannot be read as text"):
        read(tmp_path / "out", forged)
    path.unlink()
    with pytest.raises(NoDataError, match="is not beside it"):
        read(tmp_path / "out", left)
    with pytest.raises(NoDataError, match="its training left no artefact"):
        read(tmp_path / "out", ())


def test_coins_of_other_canaries_are_refused(tmp_path: Path) -> None:
    first = make_canaries(spec_of({"kind": "pii", "count": 5}), around(), Random(0))
    drawn(tmp_path / "out", "d", lambda: first, keep=True)
    other = make_canaries(spec_of({"kind": "pii", "count": 5}), around(), Random(1))
    path_of(tmp_path / "out", "canaries", "d").write_text(other.model_dump_json())
    with pytest.raises(UsageError, match="belongs to other canaries"):
        drawn(tmp_path / "out", "d", lambda: first, keep=True)


def test_a_process_that_ends_later_finds_the_files_under_their_final_names(tmp_path: Path) -> None:
    made = make_canaries(spec_of({"kind": "pii", "count": 5}), around(), Random(0))
    drawn(tmp_path / "out", "d", lambda: made, keep=True)
    before = canary_artefacts(tmp_path / "out", "d")
    finish(tmp_path / "out", "d", lambda: tmp_path / "aside")
    assert canary_artefacts(tmp_path / "out", "d") == before
