"""Damaged content for tests: strategies of hypothesis that spoil bytes, JSON, TOML and tables."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import reduce
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_DIGITS = "a number of five thousand digits"

_BRACKETS = "a hundred thousand brackets"

_LEVELS = "nine hundred levels"

_RAW = {
    json.dumps(_DIGITS): "9" * 5000,
    json.dumps(_BRACKETS): "[" * 100_000,
    json.dumps(_LEVELS): "[" * 900 + "]" * 900,
}
"""Values that Python's own writer refuses, by the text that stands for them."""

ODD_TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\r\n",
        "\x85",
        "\u2028",
        "\x1b[2J",
        "\ud800",
        "é",
        "a" * 300,
        "../..",
        "/dev/zero",
        ".",
    ),
    *("nan", "1e999", "-0", "1_000", "²", "٣", "<b>", "=1+1", "null", "true", "12"),
)

ODD_NUMBERS = (
    *(0, -1, 1, 2, 3, 10**9, 2**31, 2**63, 2**64, 10**400, -(10**400)),
    *(0.5, -0.5, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf),
)

ODD_VALUES: SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        *ODD_TEXTS,
        *ODD_NUMBERS,
        _DIGITS,
        _BRACKETS,
        _LEVELS,
        [],
        {},
        [[]],
        [None],
        {"": None},
    ]
)

_TOKENS = (
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b"\x85", b'"', b"'", b"\\", b",", b";"),
    *(b"[", b"]", b"{", b"}", b"=", b":", b"nan", b"NaN", b"1e999", b"-1", b"null", b"9" * 5000),
    *(b"[" * 100_000, b"a" * 200_000, b"\xff" * 8, b"\0" * 8),
)

Edit = Callable[[bytes], bytes]


def damaged_bytes(content: bytes) -> SearchStrategy[bytes]:
    """The content with one to four changes: bits, cuts, repetitions, and bytes that mean something."""
    places = st.integers(0, max(len(content), 1))
    edits = st.one_of(
        st.builds(_flip, places, st.integers(0, 7)),
        st.builds(_flip, places, st.integers(0, 7)),
        st.builds(_set, places, st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])),
        st.builds(_cut, places),
        st.builds(_remove, places, st.integers(1, 64)),
        st.builds(_repeat, places, st.integers(1, 64)),
        st.builds(_insert, places, st.sampled_from(_TOKENS)),
    )
    return st.lists(edits, min_size=1, max_size=4).map(lambda chosen: reduce(_apply, chosen, content))


def _apply(content: bytes, edit: Edit) -> bytes:
    return edit(content)


def _flip(place: int, bit: int) -> Edit:
    return lambda content: (
        content[:place]
        + bytes(byte ^ 1 << bit for byte in content[place : place + 1])
        + (content[place + 1 :])
    )


def _set(place: int, value: int) -> Edit:
    return lambda content: content[:place] + bytes([value]) + content[place + 1 :]


def _cut(place: int) -> Edit:
    return lambda content: content[:place]


def _remove(place: int, count: int) -> Edit:
    return lambda content: content[:place] + content[place + count :]


def _repeat(place: int, count: int) -> Edit:
    return lambda content: content[: place + count] + content[place:]


def _insert(place: int, token: bytes) -> Edit:
    return lambda content: content[:place] + token + content[place:]


def changed_values(content: Any) -> SearchStrategy[Any]:
    """JSON content of which one to three values are others, are gone, or have a new neighbour."""
    count = len(_places(content))
    edits = st.tuples(st.integers(0, count - 1), st.sampled_from(["set", "set", "remove", "add"]), ODD_VALUES)
    return st.lists(edits, min_size=1, max_size=3).map(lambda chosen: reduce(_change, chosen, content))


def changed_json(content: Any) -> SearchStrategy[bytes]:
    """The text of `changed_values`, with numbers and nesting that Python would not write."""
    return changed_values(content).map(json_bytes)


def json_bytes(content: Any) -> bytes:
    """The content as JSON, written as no sound program would."""
    if isinstance(content, int) and abs(content) > 10**300:
        return str(content).encode()
    text = json.dumps(content)
    for stand_in, raw in _RAW.items():
        text = text.replace(stand_in, raw)
    return text.encode()


def _places(content: Any) -> list[tuple[Any, ...]]:
    """The paths of all values, the whole among them."""
    paths: list[tuple[Any, ...]] = [()]
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    for key, value in items:
        paths += [(key, *path) for path in _places(value)]
    return paths


def _change(content: Any, edit: tuple[int, str, Any]) -> Any:
    number, kind, value = edit
    places = _places(content)
    return _changed_at(content, places[number % len(places)], kind, value)


def _changed_at(content: Any, path: tuple[Any, ...], kind: str, value: Any) -> Any:
    if not path:
        if kind == "add" and isinstance(content, list):
            return [*content, value]
        if kind == "add" and isinstance(content, dict):
            return {**content, "new": value}
        return value
    key, *rest = path
    if isinstance(content, dict):
        if kind == "remove" and not rest:
            return {name: inner for name, inner in content.items() if name != key}
        return {**content, key: _changed_at(content[key], tuple(rest), kind, value)}
    if kind == "remove" and not rest:
        return content[:key] + content[key + 1 :]
    return [*content[:key], _changed_at(content[key], tuple(rest), kind, value), *content[key + 1 :]]


def changed_fields(text: str, separator: str = ",") -> SearchStrategy[bytes]:
    """A table in which one to three fields have another text, or the header or a row another field."""
    rows = [line.split(separator) for line in text.splitlines()]
    places = st.tuples(st.integers(0, len(rows) - 1), st.integers(0, 10**6))
    edits = st.tuples(places, st.sampled_from(["set", "set", "remove", "repeat"]), st.sampled_from(_FIELDS))

    def change(chosen: list[tuple[tuple[int, int], str, str]]) -> bytes:
        table = [list(row) for row in rows]
        for (row, column), kind, field in chosen:
            fields = table[row]
            place = column % max(len(fields), 1)
            if kind == "set" and fields:
                fields[place] = field
            elif kind == "remove":
                del fields[place : place + 1]
            else:
                fields.insert(place, fields[place] if fields else field)
        return "\n".join(separator.join(row) for row in table).encode("utf-8", "surrogatepass")

    return st.lists(edits, min_size=1, max_size=3).map(change)


_FIELDS = (*ODD_TEXTS, *map(str, (0, -1, 1e308, 10**400, 0.5)), '"', "'", "a,b", "9" * 5000, "a" * 200_000)
