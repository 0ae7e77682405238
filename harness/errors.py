"""The errors that users see: one line that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class BenchError(Exception):
    """An error with a message for the user, printed without a traceback."""


class BenchWarning(UserWarning):
    """What the commands print to stderr beside a result, as a warning of Python's functions.

    A cell that failed, data that are not whole, weights that are of no use for photos: the result stands all
    the same. `warnings.simplefilter("error", harness.errors.BenchWarning)` makes errors of them.
    """


class UserError(BenchError):
    """The request cannot be met as it stands (unknown name, missing file, bad option): exit status 2."""


class SeveralErrors(UserError):
    """Several mistakes of one kind, so that a user can put all of them right at once: one line each."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


class DataError(BenchError):
    """One file or pair of a dataset is damaged.

    The pair fails and is counted, the rest of the run goes on.
    """


class DamagedResult(BenchError):
    """A finished cell's files are damaged: the cell fails, the others are still shown."""


class NotApplicable(BenchError):
    """A method and a prompt do not fit together.

    The cell is printed as an en dash and does not fail the run.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An error for a misspelt name, with the nearest valid ones, or all of them where none is near."""
    names = sorted(known)
    near = nearest_names(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
    return UserError(f"unknown {kind} '{name}'; {hint}")


def nearest_names(name: str, names: Iterable[str]) -> list[str]:
    """The valid names that are most like one, at most three; capitals do not count (`DIFT` is `dift`)."""
    by_folded: dict[str, list[str]] = {}
    for valid in names:
        by_folded.setdefault(valid.casefold(), []).append(valid)
    folded = name.casefold()
    if folded in by_folded:
        return by_folded[folded]
    near: list[str] = []
    for match in difflib.get_close_matches(folded, by_folded, n=3, cutoff=0.5):
        near += by_folded[match]
    return near[:3]


class ExtractionError(BenchError):
    """The features of an image or a pair could not be computed."""


@dataclass(frozen=True)
class Origin:
    """Where an error was raised.

    Attributes:
        kind: the error's class.
        plugin: the plugin whose code raised it; empty for one of ours.
        place: `file.py:12`, the plugin's own line; empty where it is not known.
        traceback: as Python prints it, cut where it is long.
    """

    kind: str
    plugin: str
    place: str
    traceback: str

    @property
    def key(self) -> str:
        """`KeyError, file.py:12`: the same for errors of one cause."""
        return f"{self.kind}, {self.place}" if self.place else self.kind


def origin_of(error: BaseException | None) -> Origin | None:
    """The origin that was noted of an error, or of the error that it was raised from."""
    while error is not None:
        origin: Origin | None = getattr(error, "bench_origin", None)
        if origin is not None:
            return origin
        error = error.__cause__
    return None
