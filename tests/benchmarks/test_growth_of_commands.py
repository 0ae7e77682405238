"""The measurement of how commands grow: what is made up is in proportion, and worse than linear is said.

Nothing is timed.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from growing_data import spair_shaped
from growth_of_commands import CELLS, Amount, Scene, Stage, growing, main
from growth_rates import Series, conclude, tabulate_series
from leaderboard import Cost
from support.markdown import cells_of_markdown

SIZES = (100, 200, 400)
TINY = Fraction(1, 4000)
LITTLE = Amount(
    shares=(Fraction(1, 40), Fraction(1, 20), Fraction(1, 10)),
    dift=(TINY,),
    share=TINY,
    dift_share=TINY,
    points=(3,),
    sides=(500,),
    ensembles=(1,),
    cells=(2,),
    start=TINY,
)


@pytest.mark.parametrize("share", [Fraction(1, 16), Fraction(1), Fraction(2)])
def test_pairs_and_pictures_are_in_proportion_to_spair_71k(share):
    graph = spair_shaped(share)
    assert len(graph.images) == pytest.approx(12_234 * share, rel=0.01)
    # A small part needs a few more to have so many couples.
    assert graph.image_count == pytest.approx(1800 * share, rel=0.2)
    assert len(np.unique(graph.images, axis=0)) == len(graph.images)
    assert (graph.images[:, 0] != graph.images[:, 1]).all()
    kinds = [set(graph.images[graph.categories == number].ravel()) for number in range(18)]
    assert sum(map(len, kinds)) == graph.image_count


def _series(seconds, megabytes=(300, 300, 300), quantity="pairs"):
    return Series(quantity, "rescore", SIZES, seconds, megabytes, (2.0, 200.0))


def test_what_grows_with_the_square_is_worse_than_linear():
    linear, square = _series((3, 4, 6)), _series((3, 6, 18))
    assert (linear.time_exponent, linear.verdict) == (1.0, "")
    assert (square.time_exponent, square.verdict) == (2.0, "worse than linear: seconds")
    memory = _series((3, 4, 6), (210, 240, 360))
    assert memory.verdict == "worse than linear: memory"


def test_what_hardly_grows_has_no_exponent():
    flat = _series((3.0, 3.1, 3.2))
    assert flat.time_exponent is None and flat.memory_exponent is None
    assert cells_of_markdown(tabulate_series([flat]))[2][5] == "–"


def test_noise_at_the_start_makes_no_exponent():
    """Two equal runs differ by a tenth: 2.01 s are the start's 2, and no quotient by 0.01 says anything."""
    assert _series((2.0, 2.01, 3.0)).time_exponent == pytest.approx(math.log2(1.0 / 0.2))
    assert _series((2.0, 2.01, 2.9)).time_exponent is None


def test_another_way_of_computing_from_some_size_on_is_no_growth():
    assert _series((2.1, 6.0, 10.0)).verdict == ""
    assert _series((2.1, 6.0, 12.0)).verdict == "worse than linear: seconds"


def test_where_cells_grow_the_start_has_one():
    starts = {one.quantity: one.start.cells for one in growing(LITTLE)}
    assert starts == {**dict.fromkeys(starts, CELLS), "cells": 1}


def test_what_is_worse_is_concluded_with_pairs_and_with_the_rest():
    bad, elsewhere = _series((3, 6, 18)), _series((3, 6, 18), quantity="cells")
    assert conclude([bad, elsewhere], "pairs") == (
        "Worse than linear with pairs: rescore (seconds). With other quantities: rescore with cells."
    )
    assert conclude([_series((3, 4, 6))], "pairs").startswith("Worse than linear with pairs: nothing.")


def test_runs_that_are_measured_are_runs_of_the_program(bench, tmp_path):
    """Commands that read results are those of `leaderboard`, whose test runs them."""
    commands = {name: command for one in growing(LITTLE) for name, command in one.commands.items()}
    runs = [command for name, command in commands.items() if name.startswith("run")]
    assert len(runs) == 3
    stage = Stage(tmp_path)
    for command in runs:
        outcome = bench(*command(stage, Scene(TINY, cells=2)), "--dry-run")
        assert (outcome.status, outcome.err) == (0, "")


def _fake(tmp_path, monkeypatch, cost):
    """Nothing runs: folders of made-up data say how many pairs they stand for."""

    def write(folder, graph):
        folder.mkdir()
        (folder / "pairs").write_text(str(len(graph.images)))

    monkeypatch.setattr("growth_of_commands.measure", cost)
    monkeypatch.setattr("growth_of_commands.WHOLE", LITTLE)
    monkeypatch.setattr(
        "growth_of_commands.write_pictures", lambda folder, graph, sides: write(folder, graph)
    )
    monkeypatch.setattr(
        "growth_of_commands.write_results",
        lambda host, data, folder, graph, rows: [
            (folder / str(row)).mkdir(parents=True) for row in range(rows)
        ],
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_the_program_tells_which_command_grows_worse_than_linear(tmp_path, monkeypatch):
    def cost(command):
        (pairs,) = {int(file.read_text()) for file in tmp_path.rglob("pairs")}
        # Comparing takes the square of the pairs, all else a line.
        return Cost(0, pairs**2 / 1000 if "compare" in command else pairs, 200.0)

    _fake(tmp_path, monkeypatch, cost)
    out = tmp_path / "growth.md"
    result = CliRunner().invoke(main, ["--only", "pairs", "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    text = out.read_text(encoding="utf-8")
    rows = {row[1]: row for row in cells_of_markdown(text)[2:]}
    assert rows["compare"][-1] == "worse than linear: seconds"
    assert {row[-1] for name, row in rows.items() if name != "compare"} == {""}
    assert "Worse than linear with pairs: compare (seconds)." in text


def test_what_is_measured_is_on_the_page_before_the_rest_fails(tmp_path, monkeypatch):
    def cost(command):
        if "--seeds" in command:
            raise RuntimeError("no disk left")
        return Cost(0, 1.0, 200.0)

    _fake(tmp_path, monkeypatch, cost)
    out = tmp_path / "new" / "growth.md"
    with pytest.raises(RuntimeError, match="no disk left"):
        CliRunner().invoke(main, ["--out", str(out)], catch_exceptions=False)
    measured = {row[0] for row in cells_of_markdown(out.read_text(encoding="utf-8"))[2:]}
    assert measured == {one.quantity for one in growing(LITTLE)} - {"cells"}


def test_every_quantity_is_measured_from_its_start(tmp_path, monkeypatch):
    _fake(tmp_path, monkeypatch, lambda command: Cost(0, 1.0, 200.0))
    result = CliRunner().invoke(main, [], catch_exceptions=False)
    rows = cells_of_markdown(result.stdout)[2:]
    assert [(row[0], row[1]) for row in rows] == [
        (one.quantity, name) for one in growing(LITTLE) for name in one.commands
    ]


def test_a_page_has_what_other_calls_have_kept(tmp_path, monkeypatch):
    asked = []

    def cost(command):
        asked.append(command[3])
        return Cost(0, 100.0, 200.0)

    _fake(tmp_path, monkeypatch, cost)
    work, out = tmp_path / "costs.json", tmp_path / "growth.md"
    for command in ("rescore", "report"):
        words = ["--command", command, "--only", "pairs", "--work", str(work), "--out", str(out)]
        CliRunner().invoke(main, words, catch_exceptions=False)
    rows = cells_of_markdown(out.read_text(encoding="utf-8"))[2:]
    assert [(row[0], row[1]) for row in rows] == [("pairs", "rescore"), ("pairs", "report")]
    # The start and three sizes of each, once.
    assert asked == ["rescore"] * 4 + ["report"] * 4


def test_what_is_not_measured_is_told():
    words = ["--quick", "--only", "cells", "--command", "compare"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "compare: not measured with cells here, only run, position" in result.output
