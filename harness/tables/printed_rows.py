"""The rows of a CSV of printed numbers: what its columns mean, and everything that may be wrong with it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from harness.errors import UserError, nearest_names
from harness.files import read_whole
from harness.messages import first_line
from harness.specs import read_alpha
from harness.tables.columns import Column

TEXT_COLUMNS = (
    *("method", "supervision", "trained_on", "prompt", "localizer", "weights", "bench_method"),
    *("paper", "table", "protocol", "averaging", "split"),
)
"""Columns that do not hold numbers. All but the first may be absent."""


@dataclass(frozen=True)
class NumberColumns:
    """The columns with numbers of one CSV.

    Attributes:
        kind: `datasets` (`spair-71k@0.10`, `ap-10k/val@0.05`, `spair-71k[geometry-aware]@0.10` of a slice),
            `categories` (`cat`, `all`) or `prompts`
            (`empty`).
        dataset, alpha: of the last two.
        datasets: names that a column may have; None for any.
    """

    kind: str = "datasets"
    dataset: str = ""
    alpha: float = 0.0
    datasets: Collection[str] | None = None

    def read(self, title: str, split: str, prompt: str) -> tuple[str, Column]:
        """The prompt and the column that a title means, in a row of this split and prompt.

        Raises:
            ValueError: it means none; the message says why.
        """
        if self.kind == "prompts":
            return title, Column(self.dataset, split, self.alpha)
        if self.kind == "categories":
            slice_name = title if title == "all" else f"category={title}"
            return prompt, Column(self.dataset, split, self.alpha, slice_name)
        place, sign, alpha = title.rpartition("@")
        if not sign:
            raise ValueError(_unknown_title(title))
        place, bracket, slice_name = place.partition("[")
        if bracket and not slice_name.rstrip("]"):
            raise ValueError(f"column {title!r}: names no slice; write DATASET[SLICE]@ALPHA")
        if bracket and not slice_name.endswith("]"):
            raise ValueError(f"column {title!r}: the bracket is not closed; write DATASET[SLICE]@ALPHA")
        dataset, _, own_split = place.partition("/")
        known = self.datasets
        # `folder:birds` is the folder dataset of this name.
        if known is not None and dataset.partition(":")[0] not in known:
            near = nearest_names(dataset, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
            raise ValueError(f"column {title!r}: unknown dataset; {hint}")
        try:
            number = read_alpha(float(alpha))
        except ValueError:
            raise ValueError(f"column {title!r}: {alpha!r} is no threshold, such as 0.10") from None
        return prompt, Column(dataset, own_split or split, number, slice_name.removesuffix("]") or "all")


def _unknown_title(title: str) -> str:
    near = nearest_names(title, TEXT_COLUMNS)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return (
        f"unknown column {title!r}; {hint}there are {', '.join(TEXT_COLUMNS)}, and numbers as DATASET@ALPHA"
    )


@dataclass(frozen=True)
class PrintedRow:
    """A row of a CSV.

    Attributes:
        place: the file and its line, for messages.
        texts: column -> text; what is absent or empty has no entry.
        numbers: title -> PCK in percent.
    """

    place: str
    texts: Mapping[str, str]
    numbers: Mapping[str, float]


def read_rows(path: Path, columns: NumberColumns) -> Iterator[PrintedRow]:
    """Yields the rows of a CSV.

    Raises:
        UserError: it cannot be read, or a column or a number is none; the message names the line.
    """
    lines = csv.reader(io.StringIO(_text_of(path), newline=""), strict=True)
    rows: list[PrintedRow] = []
    try:
        header = [title.strip() for title in next(lines, [])]
        _check_header(path, header, columns)
        for fields in lines:
            # A blank line, as at the end.
            if any(field.strip() for field in fields):
                rows.append(_read_row(f"{path}: line {lines.line_num}", header, fields))
    except csv.Error as error:
        raise UserError(f"{path}: line {lines.line_num}: {error}; write it as CSV with commas") from error
    if not rows:
        raise UserError(f"{path}: has no row of numbers")
    values = [value for row in rows for value in row.numbers.values()]
    if max(values) <= 1:
        raise UserError(f"{path}: no number is above 1; PCK is written in percent, 61.3 and not 0.613")
    yield from rows


def _text_of(path: Path) -> str:
    try:
        return read_whole(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file of reported numbers") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or first_line(error)}; name a CSV file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text in UTF-8; save it as CSV in UTF-8") from error
    except ValueError as error:  # a name that no file can have
        raise UserError(f"{str(path)!a}: {error}; name a CSV file") from error


def _check_header(path: Path, header: list[str], columns: NumberColumns) -> None:
    """Raises `UserError` for a header without `method` or numbers, or with an unknown or a double column."""

    def refuse(problem: str) -> NoReturn:
        raise UserError(f"{path}: line 1: {problem}")

    if len(header) == 1 and ";" in header[0]:
        refuse("columns are separated by semicolons; write commas")
    if "method" not in header:
        refuse("there is no column 'method'")
    twice = [title for title in dict.fromkeys(header) if header.count(title) > 1]
    if twice:
        refuse(f"column {twice[0]!r} is there twice")
    titles = [title for title in header if title not in TEXT_COLUMNS]
    if not titles:
        refuse("there is no column of numbers, such as spair-71k@0.10")
    meanings: dict[Column, str] = {}
    for title in titles:
        try:
            _, column = columns.read(title, "test", "")
        except ValueError as error:
            refuse(str(error))
        # `spair-71k@0.1` and `spair-71k@0.10` are one column.
        if columns.kind != "prompts" and column in meanings:
            refuse(f"columns {meanings[column]!r} and {title!r} are the same")
        meanings[column] = title


def _read_row(place: str, header: list[str], fields: list[str]) -> PrintedRow:
    if len(fields) != len(header):
        raise UserError(f"{place}: has {len(fields)} fields, and the header {len(header)}")
    texts: dict[str, str] = {}
    numbers: dict[str, float] = {}
    for title, field in zip(header, fields, strict=True):
        text = field.strip()
        # Empty: the paper has no number for this method and column.
        if not text:
            continue
        if title in TEXT_COLUMNS:
            texts[title] = text
        else:
            numbers[title] = _read_pck(place, title, text)
    if "method" not in texts:
        raise UserError(f"{place}: names no method")
    if not numbers:
        raise UserError(f"{place}: has no number")
    return PrintedRow(place, texts, numbers)


def _read_pck(place: str, title: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise UserError(f"{place}: {title}: {text!r} is no PCK in percent, from 0 to 100")
    return value
