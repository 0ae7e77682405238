"""The errors that users see: one line that says what, where and what to do."""

from __future__ import annotations

import difflib
import errno
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


class NotWritten(BenchError, OSError):
    """A file or folder could not be written, moved or removed, as on a full disk.

    What was done before is kept, and nothing half-written stands under the file's name.

    Args:
        number: the system's `errno`.
        reason: the system's words for it.
        path: the file or folder, as the user knows it.

    Attributes:
        kept: what is kept, and what goes on from it; stands at the end of the message.
    """

    def __init__(self, number: int, reason: str, path: str) -> None:
        super().__init__(number, reason, path)
        self.kept = ""

    def __str__(self) -> str:
        advice = _WRITING_ADVICE.get(self.errno or 0, "make it writable or choose another folder")
        return "; ".join(filter(None, (f"{self.filename}: {self.strerror}", advice, self.kept)))


_ROOM = "make room or choose another folder"

_WRITING_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: "make room within your quota or choose another folder",
    errno.EFBIG: "raise the limit on the size of files ('ulimit -f'), or choose a folder on another disk",
    errno.EIO: "look after the disk, or choose a folder on another one",
    errno.ENOENT: "its folder is gone; make it again or choose another",
    errno.ESTALE: "its folder is gone; make it again or choose another",
    errno.ENOTDIR: "a file is where its folder should be; move it away or choose another folder",
    errno.EISDIR: "a folder is where the file should be; move it away or choose another name",
    errno.EMFILE: "raise the limit on open files ('ulimit -n')",
    errno.ENFILE: "the machine has too many open files; end other programs",
    errno.ENOMEM: "the machine has no memory left; end other programs",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""What a user can do about an error in writing, by its number."""


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
    for match in close_matches(folded, by_folded, cutoff=0.5):
        near += by_folded[match]
    return near[:3]


_SPREAD = 0.2
"""A name that is less like the word than the best one by more than this was hardly meant."""


def close_matches(word: str, names: Iterable[str], cutoff: float) -> list[str]:
    """The names that are most like a word, at most three, the best first; those far behind it are left out.

    Args:
        cutoff: least likeness, from 0 to 1, as `difflib.SequenceMatcher.ratio` has it.
    """
    matches = difflib.get_close_matches(word, names, n=3, cutoff=cutoff)
    likeness = [difflib.SequenceMatcher(None, match, word).ratio() for match in matches]
    return [match for match, like in zip(matches, likeness, strict=True) if like >= likeness[0] - _SPREAD]


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
