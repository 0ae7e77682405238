"""The version of a remote file that a partial download belongs to, noted beside it; headers that tell it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.files import parse_json, read_whole, replacing

# Of at most 18 digits, which is more than any disk holds.
_LENGTH = re.compile(r"[0-9]{1,18}")

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")

# What may be sent back in a header.
_HEADER_VALUE = re.compile("(?:[!-~\x80-\xff](?:[ -~\x80-\xff]{0,998}[!-~\x80-\xff])?)?")


@dataclass(frozen=True)
class Version:
    """The version of a remote file that a partial download belongs to.

    Attributes:
        total: bytes of the whole file, where the server said it or all of it is here.
    """

    url: str
    etag: str = ""
    last_modified: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """Value for `If-Range`.

        A weak ETag is left out: it says that two versions mean the same, not that their bytes are equal.
        """
        is_strong = self.etag and not self.etag.startswith("W/")
        return self.etag if is_strong else self.last_modified

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str], total: int | None) -> Version:
        """The version that an answer brings. Marks that cannot be sent back are left out."""
        marks = []
        for name in ("ETag", "Last-Modified"):
            value = headers.get(name, "")
            marks.append(value if _HEADER_VALUE.fullmatch(value) else "")
        return cls(url, marks[0], marks[1], total)


@dataclass(frozen=True)
class Range:
    """A part of a file that an answer says to be: from `start` to the last byte before `end`, of `total`."""

    start: int
    end: int
    total: int


def content_length(headers: Mapping[str, str]) -> int | None:
    """Bytes of an answer's body; None where the header is missing or is no number."""
    text = headers.get("Content-Length", "")
    return int(text) if _LENGTH.fullmatch(text) else None


def content_range(headers: Mapping[str, str]) -> Range | None:
    """The part of a file that an answer says to be; None where it does not, or contradicts itself."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None:
        return None
    start, last, total = map(int, match.groups())
    return Range(start, last + 1, total) if start <= last < total else None


def notes_path(part: Path) -> Path:
    """The file that remembers the version of a partial download."""
    return part.with_name(f"{part.name}.json")


def write_notes(part: Path, version: Version) -> None:
    """Writes the version that a partial download belongs to, whole or not at all."""
    with replacing(notes_path(part)) as out:
        out.write(json.dumps(asdict(version)).encode())


def read_notes(part: Path, url: str) -> Version | None:
    """Reads the version that a partial download belongs to; None where there are no notes, or another
    address's.

    Raises:
        ValueError: they are damaged; the message is one line.
    """
    try:
        content = parse_json(read_whole(notes_path(part)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(error.strerror) from error
    if (
        not isinstance(content, dict)
        or "url" not in content
        or content.keys() - Version.__annotations__.keys()
    ):
        raise ValueError("not the notes of a download")
    for name, value in content.items():
        if name == "total":
            is_valid = value is None or (type(value) is int and 0 <= value < 10**18)
        elif name == "url":
            is_valid = isinstance(value, str)
        else:
            is_valid = isinstance(value, str) and _HEADER_VALUE.fullmatch(value) is not None
        if not is_valid:
            raise ValueError(f"{name} is not what a download notes")
    version = Version(**content)
    return version if version.url == url else None
