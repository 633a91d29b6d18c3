from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from privacy.frontier.folder import FILE_NAME, open_folder
from privacy.frontier.grid import Grid, make_grid, parse_epsilons, parse_modes, parse_seeds
from privacy.training import TrainSpec
from privacy.training.settings.defaults import with_defaults

INF = math.inf


def spec(output: Path = Path("out"), **fields: Any) -> TrainSpec:
    values = {"base": "b", "task": "classification", "data": "d.csv", "held_out": "h.csv", "output": output}
    return TrainSpec.model_validate({**values, **fields})


def grid(output: Path = Path("out"), **fields: Any) -> Grid:
    return make_grid(spec(output, **fields), [8, INF], [0, 1])


def test_every_epsilon_with_every_seed() -> None:
    made = make_grid(spec(seed=7, privacy={"epsilon": 2, "max_grad_norm": 0.5}), [1, INF, 0.5, 8], [3, 0])
    assert [cell.name for cell in made.cells[:4]] == ["epsinf-seed3", "eps8-seed3", "eps1-seed3", "eps0.5-seed3"]
    assert len(made.cells) == 8
    for cell in made.cells:
        assert cell.spec.output == Path("out") / cell.name
        assert cell.spec.seed == cell.seed
        if math.isinf(cell.epsilon):
            assert cell.spec.privacy is None
        else:
            assert cell.spec.privacy is not None
            assert (cell.spec.privacy.epsilon, cell.spec.privacy.max_grad_norm) == (cell.epsilon, 0.5)


def test_a_given_noise_gives_way_to_the_target() -> None:
    (cell,) = make_grid(spec(privacy={"noise_multiplier": 1.1}), [8], [0]).cells
    assert cell.spec.privacy is not None
    assert (cell.spec.privacy.epsilon, cell.spec.privacy.noise_multiplier) == (8, None)


def test_runs_without_privacy_may_have_their_own_settings() -> None:
    plain = spec(Path("elsewhere"), learning_rate=1e-5, seed=9, privacy={"epsilon": 1})
    without, eight = make_grid(spec(learning_rate=1e-3), [8, INF], [0], plain=plain).cells
    assert (without.spec.learning_rate, without.spec.privacy, without.spec.seed) == (1e-5, None, 0)
    assert without.spec.output == Path("out/epsinf-seed0")
    assert eight.spec.learning_rate == 1e-3
    with pytest.raises(UsageError, match="data differs in the spec of the runs without privacy"):
        make_grid(spec(), [8, INF], [0], plain=spec(data="other.csv"))


@pytest.mark.parametrize(
    ("epsilons", "seeds", "sentence"),
    [
        ([], [0], "no epsilon is given"),
        ([8], [], "no seed is given"),
        ([8, 1, 8.0], [0], "the epsilon 8 is given twice"),
        ([INF, INF], [0], "the epsilon inf is given twice"),
        ([8], [1, 1], "the seed 1 is given twice"),
        ([0], [0], "epsilon 0: must be above 0, or inf"),
        ([-1], [0], "epsilon -1: must be above 0, or inf"),
        ([-INF], [0], "epsilon -inf: must be above 0, or inf"),
        ([math.nan], [0], "epsilon nan: must be above 0, or inf"),
        ([8], [-1], "seed -1: must be a whole number from 0"),
        ([8], [2**32], "seed 4294967296: must be a whole number from 0"),
    ],
)
def test_what_makes_no_grid_is_one_sentence(epsilons: list[float], seeds: list[int], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make_grid(spec(), epsilons, seeds)


def test_quality_needs_records_never_trained_on() -> None:
    with pytest.raises(UsageError, match="held_out is missing in the training spec"):
        make_grid(spec(held_out=None), [8], [0])


def test_clipping_of_whole_batches_is_refused_for_private_cells_as_in_training() -> None:
    with pytest.raises(UsageError, match=r"the private runs: .*privacy.max_grad_norm instead"):
        make_grid(spec(max_grad_norm=0.3), [8], [0])


def test_lists_from_the_command_line() -> None:
    assert parse_epsilons("8, 3,0.5,inf,") == [8, 3, 0.5, INF]
    assert parse_seeds("0,1, 22") == [0, 1, 22]
    assert parse_seeds(" ") == []
    with pytest.raises(UsageError, match=r"--epsilons: 'eight' is no number; give numbers above 0 and inf"):
        parse_epsilons("8,eight")
    with pytest.raises(UsageError, match=r"--seeds: '1.5' is no number; give whole numbers"):
        parse_seeds("0,1.5")


def test_a_grid_may_grow_but_not_change(tmp_path: Path) -> None:
    output = tmp_path / "frontier"
    open_folder(grid(output), "records")
    open_folder(make_grid(spec(output, seed=4, privacy={"epsilon": 3}), [8, 2, INF], [5]), "records")
    for fields, part in (({"epochs": 9}, "epochs"), ({"privacy": {"epsilon": 1, "clipping": "automatic"}}, "privacy")):
        with pytest.raises(UsageError, match=rf"holds another grid \(it differs in {part}.*choose another output"):
            open_folder(grid(output, **fields), "records")
    plain = make_grid(spec(output), [8, INF], [0], plain=spec(learning_rate=1e-5))
    with pytest.raises(UsageError, match=r"differs in plain learning_rate\)"):
        open_folder(plain, "records")
    with pytest.raises(UsageError, match=r"trained on other records than d.csv now holds"):
        open_folder(grid(output), "others")


def test_a_grid_of_a_version_that_knew_fewer_settings_is_still_the_same(tmp_path: Path) -> None:
    open_folder(grid(tmp_path), "records")
    path = tmp_path / FILE_NAME
    content = json.loads(path.read_text())
    del content["settings"]["spec"]["next_sentence"], content["settings"]["spec"]["privacy"]["save_every"]
    path.write_text(json.dumps(content))
    open_folder(grid(tmp_path), "records")
    assert json.loads(path.read_text()) == content


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    with pytest.raises(UsageError, match="exists and holds no frontier; choose another output"):
        open_folder(grid(tmp_path), "records")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    with pytest.raises(UsageError, match="exists and holds no frontier"):
        open_folder(grid(tmp_path / "precious.txt"), "records")


def test_a_damaged_grid_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(UsageError, match=r"grid.json: damaged \(JSONDecodeError\)"):
        open_folder(grid(tmp_path), "records")


def test_every_mode_at_every_epsilon_and_one_reference() -> None:
    made = make_grid(spec(mode="head", epochs=7), [8, INF], [3], modes=["head", "lora", "bitfit"])
    assert [cell.name for cell in made.cells] == ["epsinf-seed3", "eps8-seed3", "lora-eps8-seed3", "bitfit-eps8-seed3"]
    assert [cell.spec.mode for cell in made.cells] == ["head", "head", "lora", "bitfit"]
    for cell in made.cells:
        assert cell.spec.output == Path("out") / cell.name
        assert (cell.spec.epochs, cell.spec.seed) == (7, 3)
    settled = [with_defaults(cell.spec, 1000) for cell in made.cells]
    assert [each.optimizer for each in settled] == ["sgd", "sgd", "adamw", "adamw"]
    assert [each.learning_rate for each in settled[2:]] == [1e-2, 5e-3]


def test_adapters_keep_their_section_and_other_modes_have_none() -> None:
    lora = spec(lora={"rank": 3})
    made = make_grid(lora, [8], [0], modes=["lora", "full"])
    assert [cell.spec.lora and cell.spec.lora.rank for cell in made.cells] == [3, None]
    (own,) = make_grid(lora, [8], [0]).cells
    assert own == made.cells[0]


def test_modes_that_make_no_grid_are_one_sentence() -> None:
    with pytest.raises(UsageError, match="the mode lora is given twice; give each mode once"):
        make_grid(spec(), [8], [0], modes=["lora", "full", "lora"])
    with pytest.raises(UsageError, match=r"--modes: head does not go with this spec: mode head trains the last layer"):
        make_grid(spec(task="causal_lm"), [8], [0], modes=["full", "head"])
    assert parse_modes("head, lora,") == ["head", "lora"]
    with pytest.raises(UsageError, match=r"--modes: 'heads' is no mode; choose from head, bitfit, last-layers, lora"):
        parse_modes("lora,heads")


def test_a_grid_of_one_mode_may_grow_by_others(tmp_path: Path) -> None:
    output = tmp_path / "frontier"
    open_folder(grid(output), "records")
    before = (output / FILE_NAME).read_bytes()
    open_folder(make_grid(spec(output), [8, INF], [0], modes=["head", "full"]), "records")
    assert (output / FILE_NAME).read_bytes() == before
