"""Data on which free choices were made (layer, timestep, temperature, size), as specs and records say it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError

NOT_STATED = "not stated"
"""In place of data: the sources that a recipe follows do not say on which data its choices were made."""

USERS_CHOICE = "user's choice"
"""In place of data: the user set a parameter, for reasons that nobody here knows."""

UNKNOWN_SPLIT = "?"
"""Stands for a split that the sources do not say: `spair-71k/?`."""


def check_tuned_on(subject: str, tuned_on: object) -> None:
    """Checks a plugin's `tuned_on`.

    Args:
        subject: what the message begins with, such as `method 'dift'`.

    Raises:
        UserError: it is not a tuple of texts, or a text is neither `DATASET/SPLIT` nor `NOT_STATED`.
    """
    if not isinstance(tuned_on, tuple):
        hint = "('spair-71k/val',)"
        if isinstance(tuned_on, str):
            hint = f"({tuned_on!r},)"
        raise UserError(
            f"{subject}: tuned_on is {tuned_on!r}, not a tuple; write {hint}, or () where nothing was chosen "
            "on data"
        )
    for entry in tuned_on:
        if not isinstance(entry, str):
            raise UserError(
                f"{subject}: tuned_on has a {type(entry).__name__}, not a text; write it as 'spair-71k/val'"
            )
        if entry != NOT_STATED and not _is_split(entry):
            raise UserError(
                f"{subject}: tuned_on {entry!r} is not a dataset with a split; write it as 'spair-71k/val' "
                f"('spair-71k/{UNKNOWN_SPLIT}' for an unknown split), or '{NOT_STATED}'"
            )


def without_repeats(entries: Sequence[str]) -> tuple[str, ...]:
    """Each entry once, in the order in which they first stand."""
    return tuple(dict.fromkeys(entries))


def _is_split(entry: str) -> bool:
    """Says whether a text is `DATASET/SPLIT`."""
    # A dataset of a user's own may have a slash in its name.
    dataset, slash, split = entry.rpartition("/")
    return bool(slash and dataset.strip() and split.strip())
