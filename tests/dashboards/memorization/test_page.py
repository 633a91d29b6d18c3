"""The page Memorization, by Streamlit's own tests: what it says in every state, and what it never shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.memorization.beside import FoundTradeOff
from dashboards.memorization.drawn.frontier import _named
from dashboards.settings import FOLDER
from dashboards.widgets.reveal import LOG
from harness.provenance.manifest import MANIFEST_NAME
from harness.provenance.spending import SPENDING_NAME
from harness.provenance.trade_off import TRADE_OFF_NAME
from harness.record.folder import Status
from tests.audit_folder import make_audit
from tests.dashboards.memorization.kept import AUDIT, SECRET, make_kept
from tests.dashboards.test_pages import tables, texts, visit

COINS = "private.coins.json"


@pytest.fixture(autouse=True)
def _environment(output: Path) -> None:
    """Every test has its own folder of audits."""


def headers(app: AppTest) -> list[str]:
    return [str(header.value) for header in app.header]


def test_every_part_is_shown_of_an_audit_that_has_all(output: Path) -> None:
    make_kept(output)
    app = visit("memorization", audit=AUDIT)
    assert headers(app) == [
        *("Claimed and audited epsilon", "Exposure by copies", "Extraction curves", "Membership, ROC", "Canaries"),
        *("What privacy cost", "What was spent"),
    ]
    assert not app.error
    assert "what the canaries prove lies below it" in texts(app)
    shown = tables(app)
    assert "proven by canaries,1.250,at least" in shown
    assert "most it could prove,2.500,ceiling" in shown
    assert "2-3 copies,0.5,0.2,0.8" in shown
    assert "Dashed with triangles: the most that the verified claim allows any attack." in texts(app)
    assert "Of 900 examples." in texts(app)
    assert "Together: epsilon at most 8.000 at delta 1e-05. The total of epsilon 10 at delta 1e-05 is kept." in texts(
        app
    )


def test_what_was_spent_is_not_told_of_other_weights_that_lie_there_by_now(output: Path) -> None:
    make_kept(output)
    path = output / "checkpoints" / "private" / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "weights": "0" * 64}))
    said = texts(visit("memorization", audit=AUDIT))
    assert "holds other weights by now" in said
    assert "Together: epsilon" not in said


def test_frontiers_of_the_same_name_are_all_to_be_chosen(tmp_path: Path) -> None:
    places = [tmp_path / "one" / "runs" / "a", tmp_path / "two" / "runs" / "a", tmp_path / "runs" / "b"]
    found = _named([FoundTradeOff(place, None, str(place)) for place in places])
    assert {name: each.folder for name, each in found.items()} == {
        "runs/a": places[0],
        str(places[1]): places[1],
        "runs/b": places[2],
    }


def test_an_alarm_is_the_first_thing_said(output: Path) -> None:
    make_kept(output, alarm=True)
    (box,) = visit("memorization", audit=AUDIT).error
    assert "more was guessed than that allows" in box.value


def test_without_a_claim_nothing_bounds_an_attack(output: Path) -> None:
    make_kept(output, claims=False)
    said = texts(visit("memorization", audit=AUDIT))
    assert "This checkpoint claims no privacy." in said
    assert "so nothing bounds an attack" in said


def test_an_audit_of_other_things_says_what_to_run(output: Path) -> None:
    make_audit(output, AUDIT)
    app = visit("memorization", audit=AUDIT)
    said = texts(app)
    assert headers(app)[1] == "What it kept of its records"
    assert "assay train train.yaml --privacy epsilon=8 --canaries canaries.yaml" in said
    assert "assay frontier train.yaml" in said
    assert "does not lie on this machine" in said


def test_a_probe_of_memorization_that_no_chart_fits_is_named_not_denied(output: Path) -> None:
    folder = make_audit(output, AUDIT)
    manifest = folder.manifest()
    renamed = [each.model_copy(update={"name": f"memorization/pii{i}"}) for i, each in enumerate(manifest.probes)]
    for old, new in zip(manifest.probes, renamed, strict=True):
        place = folder.path / "rows" / old.name.replace("/", "__")
        if place.is_dir():
            place.rename(place.with_name(new.name.replace("/", "__")))
    folder.write_manifest(manifest.model_copy(update={"probes": tuple(renamed)}))
    said = texts(visit("memorization", audit=AUDIT))
    assert "No chart of this page fits the rows of memorization/pii0" in said
    assert "No probe of this audit looked" not in said


def test_a_relative_checkpoint_is_found_below_the_folder_of_the_start(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_kept(output)
    manifest = folder.manifest()
    record = manifest.checkpoint.model_copy(update={"source": "./checkpoints/private"})
    folder.write_manifest(manifest.model_copy(update={"checkpoint": record}))
    monkeypatch.setenv(FOLDER, str(output))
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)  # as the launcher does
    said = texts(visit("memorization", audit=AUDIT))
    assert "Together: epsilon at most 8.000 at delta 1e-05." in said
    assert "does not lie on this machine" not in said


def test_texts_of_canaries_are_read_on_demand_and_that_is_noted(output: Path) -> None:
    make_kept(output)
    app = visit("memorization", audit=AUDIT)
    assert "4711" not in tables(app) + texts(app)
    app.toggle(key="reveal-memorization/exposure").set_value(True).run()
    assert not app.exception
    assert SECRET in tables(app)
    (noted,) = map(json.loads, (output / LOG).read_text().splitlines())
    assert noted["probe"] == "memorization/exposure"


def test_the_sealed_coins_are_never_opened(output: Path) -> None:
    make_kept(output)
    coins = output / "checkpoints" / COINS
    coins.symlink_to(output / "nowhere")  # whoever opened it would fail
    app = visit("memorization", audit=AUDIT)
    app.toggle(key="reveal-memorization/epsilon_audit").set_value(True).run()
    assert not app.exception
    assert not app.error
    assert not app.warning


def test_a_list_of_canaries_that_was_edited_shows_no_text(output: Path) -> None:
    make_kept(output)
    listed = output / "checkpoints" / "private.canaries.json"
    listed.write_text(listed.read_text() + " ")
    app = visit("memorization", audit=AUDIT)
    app.toggle(key="reveal-memorization/exposure").set_value(True).run()
    assert "has been edited since the training" in texts(app)
    assert "4711" not in tables(app)


def test_canaries_wait_until_the_audit_has_guessed(output: Path) -> None:
    folder = make_kept(output)
    folder.write_manifest(folder.manifest().model_copy(update={"status": Status.INTERRUPTED}))
    app = visit("memorization", audit=AUDIT)
    assert "until then no coin may be looked at" in texts(app)
    assert "not planted" not in "".join(str(each.value.columns) for each in app.dataframe)
    assert "guess" not in tables(app)


def test_a_canary_signal_and_chance_are_restored_by_a_link(output: Path) -> None:
    make_kept(output)
    first = visit("memorization", audit=AUDIT)
    case = next(each.value for each in first.dataframe if "guess" in each.value)["case"].iloc[3]
    wanted = {
        "roc.memorization/membership": "zlib",
        "extraction.memorization/extraction": "0.9",
        "canaries.memorization/epsilon_audit": case,
        "frontier": "checkpoints/grid",
    }
    app = visit("memorization", audit=AUDIT, **wanted)
    assert app.multiselect[0].value == ["zlib"]
    assert [each.value for each in app.selectbox[1:]] == ["0.9", "checkpoints/grid"]
    assert f"case: {case}" in texts(app)
    assert {key: _one(app, key) for key in wanted} == wanted


def test_damage_is_said_where_it_is_and_the_rest_is_shown(output: Path) -> None:
    folder = make_kept(output)
    (folder.path / "rows" / "memorization__membership" / "part-000000.parquet").write_bytes(b"PAR1")
    (output / "checkpoints" / SPENDING_NAME).write_text("{")
    (output / "checkpoints" / "grid" / TRADE_OFF_NAME).write_text('{"version": 9}')
    app = visit("memorization", audit=AUDIT)
    said = texts(app)
    assert f"{SPENDING_NAME}: damaged" in said
    assert f"{TRADE_OFF_NAME}: damaged at" in said
    assert "part-000000.parquet" in said
    assert "Exposure by copies" in headers(app)


def test_another_checkpoint_at_the_same_place_gives_no_texts(output: Path) -> None:
    folder = make_kept(output)
    manifest = folder.manifest()
    other = manifest.checkpoint.model_copy(update={"weights": "0" * 64})
    folder.write_manifest(manifest.model_copy(update={"checkpoint": other}))
    app = visit("memorization", audit=AUDIT)
    app.toggle(key="reveal-memorization/exposure").set_value(True).run()
    assert "does not lie on this machine" in texts(app)
    assert "4711" not in tables(app)


def _one(app: AppTest, key: str) -> str:
    value = app.query_params[key]
    return str(value[0] if isinstance(value, list) else value)
