"""Tables as pandas frames."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.tables.text import NOTHING

if TYPE_CHECKING:
    import pandas as pd

    from harness.tables.table import Table, TidyRow

_NUMBER = re.compile(
    r"(?P<value>[-−]?\d[\d,]*(?:\.\d+)?)"
    rf"(?: (?:±(?P<half>\d+\.\d+)‡?|{NOTHING}))?"
    r"(?: \((?P<claim>[+−]?\d+\.\d+)\))?"
    r"(?: \D+)?"
)
"""`50.7`, `50.7 ±1.0`, `50.7 –`, `50.7 ±1.0 (−2.2)`, each perhaps with a mark behind it."""

_TEXTS = ("#", "note")
"""Columns that stay texts whatever they hold: a place may be `1–3`."""


def frame_of(table: Table) -> pd.DataFrame:
    """A table with its numbers as floats, NaN where it has none; those of counts are whole.

    A number with an interval or with a difference to a paper's becomes further columns: `NAME ±`, half the
    interval, and `NAME − reported`. The caption is in `frame.attrs["caption"]`.
    """
    import pandas as pd

    frame = pd.DataFrame()
    # One row more: also of a table without rows.
    columns = list(zip(table.header, *table.rows, strict=True))
    for position, (title, *texts) in enumerate(columns):
        # A table with a single name before the numbers is one by the value of a parameter.
        is_name = position < table.names and table.names > 1
        numbers = None if is_name or title in _TEXTS else _read_numbers(texts)
        if numbers is None:
            frame[title] = pd.Series(texts, dtype=str)
        else:
            for suffix, values in numbers.items():
                frame[title + suffix] = _series(values, is_whole=not suffix and _are_whole(texts))
    frame.attrs["caption"] = table.caption
    return frame


def _read_numbers(texts: Sequence[str]) -> Mapping[str, list[float]] | None:
    """Suffix of a column's name -> its numbers; None where some text is no number."""
    values: dict[str, list[float]] = {"": [], " ±": [], " − reported": []}
    for text in texts:
        match = None if text in ("", NOTHING) else _NUMBER.fullmatch(text)
        if match is None and text not in ("", NOTHING):
            return None
        groups = match.groupdict() if match else {}
        for numbers, key in zip(values.values(), ("value", "half", "claim"), strict=True):
            numbers.append(_number(groups.get(key)))
    return {suffix: of for suffix, of in values.items() if not suffix or not all(map(math.isnan, of))}


def _are_whole(texts: Sequence[str]) -> bool:
    """Says whether a column has numbers, and only whole ones."""
    numbers = [text for text in texts if text not in ("", NOTHING)]
    return bool(numbers) and all(text.isdecimal() for text in numbers)


def _series(numbers: Sequence[float], *, is_whole: bool) -> pd.Series[Any]:
    import pandas as pd

    # The kind of whole numbers that has a place for none.
    return pd.Series(numbers, dtype=float).astype("Int64" if is_whole else float)


def _number(text: str | None) -> float:
    return float(text.replace("−", "-").replace(",", "")) if text else math.nan


def tidy_frame(rows: Iterable[TidyRow], columns: Sequence[str]) -> pd.DataFrame:
    """Rows with a value for each column, numbers as numbers, NaN where there is none."""
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(columns))
    for name in frame.columns:
        values = frame[name]
        if values.dtype == object and values.map(_is_number_or_none).all() and values.notna().any():
            frame[name] = pd.to_numeric(values)
    return frame


def _is_number_or_none(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
