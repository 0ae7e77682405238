"""Tied rows of leaderboards, for the commands that print them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.scoring.rescore import Rescorer
    from harness.tables.ties import Ties
    from harness.tables.view import View


def with_ties(host: Host, view: View, folder: Path, rescorer: Rescorer) -> tuple[View, Ties]:
    """The view with what finds the tied rows of a results folder, whose problems are known afterwards."""
    from harness.scoring.criteria import make_criterion
    from harness.tables.ties import Ties

    ties = Ties(folder, rescorer.split, partial(make_criterion, host), view.protocol, view.averaging)
    return replace(view, ties=ties), ties


def tie_warnings(ties: Ties) -> list[str]:
    """A line for each file for which rows could not be tested."""
    return [f"not tested for ties: {problem}" for problem in dict.fromkeys(ties.problems)]
