"""Views of made-up records."""

from __future__ import annotations

from harness.tables.view import View, choose_protocol


def view_of(records, *, protocol=None, **choices):
    """The view of `bench leaderboard` with these choices: the records' main protocol unless one is named."""
    return View(choose_protocol(records, protocol), **choices)


def table_of(make, records, **choices):
    """The table that a function of `harness.tables` makes of records, with these choices of the view."""
    return make(records, view_of(records, **choices))
