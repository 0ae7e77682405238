"""Wording that messages share."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Callable, Sequence

from harness.errors import BenchError, SeveralErrors, origin_of

# Sequences that end in a letter, such as colours, and those that end in a bell, such as titles of windows.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -~]?"
)

_OBEYED_IN_QUOTES = re.compile(r'[\\"$`]')
"""What a shell obeys between double quotes."""

_BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"

_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def first_line(error: BaseException, limit: int | None = None) -> str:
    """First line of an error's message, cut after `limit` characters; its class where it has no message."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:limit]


LONGEST = 1_000
"""Characters of another author's error message that are shown."""

_LONGEST_OWN = 4_000
"""Characters of a `BenchError`'s message that are shown: ours name many files at times."""


def one_line(error: BaseException, with_plugin: bool = True) -> str:
    """An error in one line.

    The message of a `BenchError`; `Class: first line` of any other, with the plugin and the line of its code
    that it comes from where that is known.

    Args:
        with_plugin: whether the plugin's name is part of it, where the text before does not say it.
    """
    if isinstance(error, BenchError):
        # A value or a name that it quotes may have line breaks; several errors have a line each.
        message = error.lines[0] if isinstance(error, SeveralErrors) and error.lines else _text_of(error)
        return encodable(cut(printable(message.strip()), _LONGEST_OWN))
    message = (_text_of(error).strip().splitlines() or [""])[0]
    return _class_and_message(error, message) + _origin_text(error, with_plugin)


def whole_message(error: BaseException) -> str:
    """All lines of an error's message in one, for the row of a table; as `one_line` otherwise."""
    message = " ".join(_text_of(error).split())
    if isinstance(error, BenchError):
        return encodable(cut(message, _LONGEST_OWN))
    return _class_and_message(error, message) + _origin_text(error)


def _class_and_message(error: BaseException, message: str) -> str:
    message = encodable(cut(message, LONGEST))
    return f"{type(error).__name__}: {message}".rstrip(": ")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - a plugin's error may fail to print
        return f"its message cannot be printed ({type(fault).__name__})"


def encodable(text: str) -> str:
    """The text with halves of characters written out, as no terminal and no file can encode them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut(text: str, longest: int = _LONGEST_OWN) -> str:
    """The beginning of a text that is too long to be read, with its whole length in characters."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def _origin_text(error: BaseException, with_plugin: bool = True) -> str:
    """` (plugin 'mine', file.py:12)`, as far as it is known."""
    origin = origin_of(error)
    if origin is None:
        return ""
    parts = []
    if origin.plugin and with_plugin:
        parts.append(f"plugin '{origin.plugin}'")
    if origin.place:
        parts.append(origin.place)
    return f" ({', '.join(parts)})" if parts else ""


class OncePerSubject:
    """Passes on a warning about a subject the first time, and is silent about the same subject afterwards.

    Args:
        show: called with `subject: message`.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._subjects: set[str] = set()

    def __call__(self, subject: str, message: str) -> None:
        """Shows the warning unless there was one about its subject."""
        if subject not in self._subjects:
            self._subjects.add(subject)
            self._show(f"{subject}: {message}")


def shell_word(text: str) -> str:
    """A text as a word for a shell, of a command that a message has between single quotes.

    Between double quotes where it needs any: the single ones of `shlex.quote` would end the command.
    """
    if shlex.quote(text) == text:
        return text
    return '"' + _OBEYED_IN_QUOTES.sub(r"\\\g<0>", text) + '"'


def printable(text: str) -> str:
    """The text in one line, without what a terminal or a page would obey.

    Escape sequences and other control characters, unpaired surrogates, and marks that turn the direction of
    writing are left out; line breaks of every kind and tabs become spaces.
    """
    if text.isprintable():
        return text
    kept = []
    for character in _ESCAPES.sub("", text):
        if character in _BREAKS:
            kept.append(" ")
        elif unicodedata.category(character) not in ("Cc", "Cs") and character not in _DIRECTIONS:
            kept.append(character)
    return "".join(kept)


def number_text(number: float) -> str:
    """`24`, `1e+09`: a number of others in six digits, also a whole one that no float can be."""
    try:
        return f"{number:.6g}"
    except OverflowError:
        return "beyond 1e308" if number > 0 else "below -1e308"


def counted(number: int, one: str, several: str = "") -> str:
    """`1 pair`, `5,739 pairs`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; empty for no items."""
    if not items:
        return ""
    *earlier, last = items
    return f"{', '.join(earlier)} and {last}" if earlier else last


def failed_pairs(count: int) -> str:
    """`1 pair failed`, `12 pairs failed`."""
    return f"{counted(count, 'pair')} failed"


def bytes_text(size: int | None) -> str:
    """`5.21 GB`, in the decimal units of disks and downloads; a dash where the size is not known."""
    if size is None:
        return "–"
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"
