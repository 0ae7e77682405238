"""Measures how commands' seconds and memory grow, to twice SPair-71k's size: `make bench-growth`.

Pairs, points, the picture's size, the ensemble and the number of cells grow, each by doublings, on made-up
pictures and, for commands that read results, made-up predictions. Each command runs as a process of its own,
on one thread. Prints one table with the exponent of the last two doublings, and says what is worse than
linear.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import click
import report
from growing_data import spair_shaped
from growth_rates import LINEAR, LITTLE, Series, conclude, tabulate_series
from kept_costs import RUNS_OF_SHORT, SHORT, KeptCosts
from large_results import SIDES, write_pictures, write_results
from leaderboard import Cost, commands_on, measure

from harness.environment import hardware, package_versions
from harness.plugins.loading import load_plugins

PAIRS = "pairs"
QUANTITIES = (PAIRS, "points a pair", "pixels a picture", "ensemble", "cells")
CELLS = 4
"""Of a results folder, where another quantity grows."""


@dataclass(frozen=True)
class Amount:
    """Sizes that are measured.

    Attributes:
        shares: of SPair-71k's shape, for pairs.
        dift: likewise for `dift`, whose networks take their time.
        share: of the shape, where another quantity grows.
        dift_share: likewise for `dift`.
        points: of every pair.
        sides: longer sides of pictures in pixels.
        ensembles: draws of `dift`.
        cells: of a results folder, or a run.
        start: share of next to nothing.
        is_trial: whether quantities other than pairs meet one command alone.
    """

    shares: tuple[Fraction, ...]
    dift: tuple[Fraction, ...]
    share: Fraction
    dift_share: Fraction
    points: tuple[int, ...] = (5, 10, 20, 40)
    sides: tuple[int, ...] = (500, 1000, 2000)
    ensembles: tuple[int, ...] = (2, 4, 8)
    cells: tuple[int, ...] = (2, 4, 8, 16)
    start: Fraction = Fraction(1, 1000)
    is_trial: bool = False


WHOLE = Amount(
    shares=tuple(map(Fraction, ("1/16", "1/8", "1/4", "1/2", "1", "2"))),
    dift=tuple(map(Fraction, ("1/32", "1/16", "1/8"))),
    share=Fraction(1, 8),
    dift_share=Fraction(1, 64),
)
QUICK = Amount(
    shares=tuple(map(Fraction, ("1/256", "1/128"))),
    dift=tuple(map(Fraction, ("1/1000", "1/500"))),
    share=Fraction(1, 256),
    dift_share=Fraction(1, 1000),
    points=(5, 10),
    sides=(500, 1000),
    ensembles=(1, 2),
    cells=(2, 4),
    is_trial=True,
)


@dataclass(frozen=True)
class Scene:
    """What a command works on.

    Attributes:
        share, keypoints, sides: of the made-up pictures and pairs.
        cells: of the made-up results, or of a run.
        ensemble: of `dift`.
    """

    share: Fraction
    keypoints: int | None = None
    side: int = SIDES[0]
    cells: int = CELLS
    ensemble: int = 8

    @property
    def sides(self) -> tuple[int, int]:
        """Of every picture, in pixels."""
        return self.side, self.side * SIDES[1] // SIDES[0]


class Stage:
    """Folders of made-up data and results, each written once and dropped by `clear`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host = load_plugins()

    def data(self, scene: Scene) -> Path:
        """Pictures and pairs."""
        share = str(scene.share).replace("/", "-")
        folder = self._folder / f"data-{share}-{scene.keypoints}-{scene.side}"
        if not folder.exists():
            write_pictures(folder, spair_shaped(scene.share, scene.keypoints), scene.sides)
        return folder

    def results(self, scene: Scene) -> Path:
        """Finished cells on them."""
        data = self.data(scene)
        folder = self._folder / f"{data.name}-results-{scene.cells}"
        if not folder.exists():
            write_results(self._host, data, folder, spair_shaped(scene.share, scene.keypoints), scene.cells)
        return folder

    def new(self) -> Path:
        """A path for what a command writes, where nothing is."""
        folder = self._folder / "written"
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def clear(self) -> None:
        """Drops all of it."""
        for folder in self._folder.iterdir():
            shutil.rmtree(folder)


Command = Callable[[Stage, Scene], list[str]]


def _run(method: str, *more: str) -> Command:
    def options(stage: Stage, scene: Scene) -> list[str]:
        data = f"folder={stage.data(scene)}"
        return ["run", "--methods", method, "--datasets", data, "--out", str(stage.new()), *more]

    return options


def _run_cells(stage: Stage, scene: Scene) -> list[str]:
    # A seed of its own makes a cell.
    return _run("position", "--seeds", ",".join(map(str, range(scene.cells))))(stage, scene)


def _run_ensemble(stage: Stage, scene: Scene) -> list[str]:
    return _run("dift", "--ensembles", str(scene.ensemble))(stage, scene)


def _reader(title: str) -> Command:
    def options(stage: Stage, scene: Scene) -> list[str]:
        folder = stage.new()
        folder.mkdir()
        return commands_on(stage.data(scene), stage.results(scene), folder / "page.html")[title]

    return options


_READERS: Mapping[str, Command] = {
    "rescore": _reader("rescore"),
    "leaderboard": _reader("leaderboard"),
    "compare": _reader("compare, two rows"),
    "report": _reader("report"),
}
_CHEAP = {"run, position": _run("position"), "run, hog": _run("hog")}
_DIFT = {"run, dift": _run_ensemble}
_RUN_CELLS = {"run, position": _run_cells}


@dataclass(frozen=True)
class Growing:
    """One quantity that grows: its name, scenes and their sizes, the commands that meet it, and next to
    nothing of it."""

    quantity: str
    scenes: Mapping[float, Scene]
    commands: Mapping[str, Command]
    start: Scene


def growing(amount: Amount) -> Iterator[Growing]:
    """Everything that is measured."""
    few, fewer = amount.share, amount.dift_share
    all_of_them, hog = {**_CHEAP, **_READERS}, {"run, hog": _CHEAP["run, hog"]}
    # Comparing takes two cells, however many there are.
    of_cells = {**_RUN_CELLS, **{name: _READERS[name] for name in _READERS if name != "compare"}}
    start = Scene(amount.start)
    yield Growing(PAIRS, {_pairs(share): Scene(share) for share in amount.shares}, all_of_them, start)
    yield Growing(PAIRS, {_pairs(share): Scene(share) for share in amount.dift}, _DIFT, start)
    axes = (
        ("points a pair", {n: Scene(few, keypoints=n) for n in amount.points}, all_of_them),
        ("points a pair", {n: Scene(fewer, keypoints=n) for n in amount.points}, _DIFT),
        ("pixels a picture", _by_pixels(few, amount.sides), {**hog, "report": _READERS["report"]}),
        ("pixels a picture", _by_pixels(fewer, amount.sides), _DIFT),
        ("ensemble", {n: Scene(fewer, ensemble=n) for n in amount.ensembles}, _DIFT),
        ("cells", {n: Scene(few, cells=n) for n in amount.cells}, of_cells),
    )
    for quantity, scenes, commands in axes:
        names = list(commands)[:1] if amount.is_trial else list(commands)
        # Where cells grow, the others of the start are no start.
        of_it = replace(start, cells=1) if quantity == "cells" else start
        yield Growing(quantity, scenes, {name: commands[name] for name in names}, of_it)


def _by_pixels(share: Fraction, sides: Sequence[int]) -> dict[float, Scene]:
    scenes = [Scene(share, side=side) for side in sides]
    return {scene.sides[0] * scene.sides[1]: scene for scene in scenes}


def _pairs(share: Fraction) -> int:
    return len(spair_shaped(share).images)


def measure_growth(
    amount: Amount,
    folder: Path,
    costs: KeptCosts,
    repeats: int = 1,
    quantities: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> Iterator[list[Series]]:
    """Measures each command at each size: the least of several runs. Yields the series of each quantity.

    Args:
        costs: what is measured already, and what is measured now.
        quantities, commands: only these are measured; empty for all. Others are yielded where they are kept.
    """
    stage = Stage(folder)
    for one in growing(amount):
        is_measured = not quantities or one.quantity in quantities
        names = [name for name in one.commands if is_measured and (not commands or name in commands)]
        for name in names:
            run = _runner(stage, one.start, one.commands[name], is_start=True)
            costs.measure(_start_name(one, name), run, repeats)
        stage.clear()
        for size, scene in one.scenes.items():
            for name in names:
                run = _runner(stage, scene, one.commands[name])
                told = "" if costs.measure(_name(one, size, name), run, repeats) else ", kept"
                seconds, megabytes = costs.least(_name(one, size, name)) or (0, 0)
                line = f"{one.quantity} {size:,}: {name} {seconds:.1f} s {megabytes:.0f} MB{told}"
                click.echo(line, err=True)
            stage.clear()
        yield [series for name in one.commands if (series := _series(one, name, costs))]


def _runner(stage: Stage, scene: Scene, command: Command, is_start: bool = False) -> Callable[[], Cost]:
    def run() -> Cost:
        # Made anew for each run, since a finished cell is not run again.
        options = command(stage, scene)
        if is_start and options[0] == "run":
            options += ["--limit", "1"]
        return measure([sys.executable, "-m", "harness.cli", *options])

    return run


def _name(one: Growing, size: float, command: str) -> str:
    return f"{one.quantity} {size:g}: {command}"


def _start_name(one: Growing, command: str) -> str:
    return f"start, cells {one.start.cells}: {command}"


def _series(one: Growing, command: str, costs: KeptCosts) -> Series | None:
    """What is known of a command; None where a size is missing."""
    found = [costs.least(_name(one, size, command)) for size in one.scenes]
    start = costs.least(_start_name(one, command))
    known = [least for least in found if least]
    if start is None or len(known) < len(found):
        return None
    seconds, megabytes = zip(*known, strict=True)
    return Series(one.quantity, command, list(one.scenes), seconds, megabytes, start)


def render(series: Sequence[Series], repeats: int, circumstances: str, is_quick: bool) -> str:
    """The page.

    Args:
        circumstances: a sentence on when it was measured.
    """
    machine, versions = hardware("cpu"), package_versions()
    parts = ", ".join(f"{name} {value}" for name, value in machine.items() if name != "torch_threads")
    runs = "one run" if repeats == 1 else f"the least of {repeats} runs"
    if not is_quick:
        runs = f"the least of {RUNS_OF_SHORT} runs where they take less than {SHORT:g} s, else {runs}"
    shape = spair_shaped(Fraction(1))
    title = "# Growth of commands" + (", --quick: not a measurement" if is_quick else "")
    return "\n\n".join(
        [
            title,
            f"{parts}; Python {versions['python']}. Each command in a process of its own on one thread, "
            f"{runs}. {circumstances} `make bench-growth`.",
            tabulate_series(series),
            f"**{conclude(series, PAIRS)}**",
            f"SPair-71k's shape: {len(shape.images):,} pairs of {shape.image_count:,} pictures of 500 x 375 "
            f"pixels in 18 categories, {shape.keypoints.sum():,} keypoints; pictures made up, and so are "
            f"predictions, in {CELLS} cells where their number does not grow. Pictures grow with the pairs. "
            "Where another quantity grows there are fewer pairs. Exponent: of what comes on top of the start "
            "(the same command on 18 pairs, runs on one of them; one cell, where cells grow), over the last "
            f"doubling; – where the last two added less than {100 * LITTLE:.0f} % of the start, which says "
            f"nothing of large sizes. Above {LINEAR} a line says so.",
        ]
    )


@click.command()
@click.option("--quick", is_flag=True, help="Little of everything: whether it works, not how it grows.")
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(QUANTITIES), help="Only this quantity. Repeatable.")
@click.option(
    "--command",
    "commands",
    multiple=True,
    type=click.Choice([*_CHEAP, *_DIFT, *_READERS]),
    help="Only this command. Repeatable.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keeps costs as they are measured; what it has is not measured again, and is on the page.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(
    quick: bool,
    repeats: int,
    only: tuple[str, ...],
    commands: tuple[str, ...],
    work: Path | None,
    out: Path | None,
) -> None:
    """Measure how commands' seconds and memory grow."""
    # Threads that wait for each other count as seconds of the processor.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    began, amount = time.monotonic(), QUICK if quick else WHOLE
    _check_measured(amount, only, commands)
    conditions = {
        "amount": "--quick" if quick else "whole",
        # Each command has one thread, whatever this process has.
        **{name: str(value) for name, value in hardware("cpu").items() if name != "torch_threads"},
        "python": package_versions()["python"],
    }
    now = {"date": datetime.now(tz=UTC).date().isoformat(), "load": report.load()}
    costs = KeptCosts(work, conditions, now, 1 if quick else RUNS_OF_SHORT)
    series: list[Series] = []
    text = ""
    with tempfile.TemporaryDirectory() as name:
        for more in measure_growth(amount, Path(name), costs, repeats, only, commands):
            series += more
            begun = costs.circumstances
            circumstances = f"Begun on {begun['date']}, load of the machine before: {begun['load']}."
            if not work:
                circumstances += f" It took {(time.monotonic() - began) / 60:.0f} minutes."
            text = render(series, repeats, circumstances, quick)
            # What is measured stays, whatever happens to the rest.
            if out:
                report.save(text + "\n", out)
    report.publish(text + "\n", out)


def _check_measured(amount: Amount, quantities: Sequence[str], commands: Sequence[str]) -> None:
    """Raises `click.UsageError` where no command that is asked for meets a quantity that is."""
    met = [one for one in growing(amount) if not quantities or one.quantity in quantities]
    if commands and not any(name in one.commands for one in met for name in commands):
        known = ", ".join(sorted({name for one in met for name in one.commands}))
        raise click.UsageError(
            f"{', '.join(commands)}: not measured with {', '.join(quantities) or 'any quantity'} here, only "
            f"{known}"
        )


if __name__ == "__main__":
    main()
