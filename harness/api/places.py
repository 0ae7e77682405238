"""Places of leaderboards' rows, for whoever shows them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.records.folders import FindFolder
    from harness.scoring.sources import Sources
    from harness.tables.places import PlaceFinder
    from harness.tables.view import View


def with_places(host: Host, view: View, folder_of: FindFolder, sources: Sources) -> tuple[View, PlaceFinder]:
    """The view with what finds the places of rows; its problems are known afterwards."""
    from harness.scoring.criteria import make_criterion
    from harness.tables.places import PlaceFinder

    finder = PlaceFinder(
        folder_of, sources.read, partial(make_criterion, host), view.protocol, view.averaging
    )
    return replace(view, find_places=finder), finder


def with_seed_intervals(host: Host, view: View, folder_of: FindFolder, sources: Sources) -> View:
    """The view with what finds the intervals of rows of several seeds."""
    from harness.scoring.criteria import make_criterion
    from harness.tables.seed_intervals import SeedIntervals

    return replace(view, seed_intervals=SeedIntervals(folder_of, sources.read, partial(make_criterion, host)))


def place_warnings(finder: PlaceFinder) -> list[str]:
    """A line for each file for which rows could not be tested."""
    return [f"not in the test of places: {problem}" for problem in dict.fromkeys(finder.problems)]
