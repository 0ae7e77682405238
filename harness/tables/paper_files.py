"""Files of printed numbers: a CSV with what is said beside it, or an index of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError, nearest_names, unknown_name
from harness.files import parse_json, parse_toml, read_whole
from harness.messages import first_line
from harness.scoring.criteria import protocol_name
from harness.specs import AVERAGINGS, NO_PROMPT, NOT_STATED, Averaging, ReportedSpec, read_alpha
from harness.tables.columns import Column
from harness.tables.papers import ReportedMethod, ReportedNumbers
from harness.tables.printed_rows import NumberColumns, PrintedRow, read_rows
from harness.tables.text import NOTHING

if TYPE_CHECKING:
    from harness.plugins.host import Host

FOLDER = Path(__file__).parent / "reported_numbers"
"""The printed numbers that come with the package, one file per table, and an index that says what each is."""

INDEX = "index.json"

_KEYS = ("paper", "title", "address", "citation", "split", "protocol", "averaging", "methods")
"""Keys of an index, and of a file beside a CSV, which has `_TABLE_KEYS` as well."""

_TABLE_KEYS = ("table", "columns", "dataset", "alpha", "trained_on")
"""Keys of one table."""

_METHOD_KEYS = ("name", "method", "prompt", "localizer", "weights", "stated")
"""Keys of one method."""

_KINDS = ("datasets", "categories", "prompts")
"""Values of `columns`."""


@dataclass(frozen=True)
class _Table:
    """A CSV and what is said of it.

    Attributes:
        said: keys of `_KEYS` and `_TABLE_KEYS` -> values.
        where: file that says it, for messages.
    """

    path: Path
    said: Mapping[str, Any]
    where: str


def read_reported(file: Path = FOLDER / INDEX, host: Host | None = None) -> ReportedNumbers:
    """Reads a CSV of printed numbers, or an index of several in JSON or TOML.

    Args:
        host: names of datasets, protocols and methods are checked against its; None to check none.

    Raises:
        UserError: a file cannot be read, is not such a file, or contradicts itself; the line is named.
    """
    spec = ReportedSpec(name=file.stem, file=file)
    return ReportedNumbers(read_methods(spec, host))


def read_methods(spec: ReportedSpec, host: Host | None) -> tuple[ReportedMethod, ...]:
    """Reads the methods of a set of printed numbers. Arguments and errors: see `read_reported`."""
    methods: dict[tuple[str, ...], ReportedMethod] = {}
    for table in _tables(spec):
        reader = _TableReader(table, spec, host)
        for method in reader.read():
            # A method stands in several tables of its paper: on several datasets, or by category.
            key = (method.source, method.protocol, method.averaging, method.method, *_setting(method))
            earlier = methods.get(key)
            methods[key] = _merge(earlier, method, table.path) if earlier else method
    return tuple(methods.values())


def _setting(method: ReportedMethod) -> tuple[str, ...]:
    return method.prompt, method.trained_on


def _tables(spec: ReportedSpec) -> list[_Table]:
    """The CSV files of a set, with what is said of each."""
    file = spec.file
    if file.suffix.casefold() in (".json", ".toml"):
        index = _read_settings(file)
        _check_keys(file, "", index, (*_KEYS, "tables"))
        tables = []
        for number, table in enumerate(_entries(file, index.pop("tables", None)), start=1):
            _check_keys(file, f"table {number}: ", table, ("file", *_TABLE_KEYS))
            if not isinstance(table.get("file"), str):
                raise UserError(f"{file}: table {number}: names no file")
            tables.append(_Table(file.parent / table["file"], {**index, **table}, str(file)))
        return tables
    beside = [path for path in (file.with_suffix(".toml"), file.with_suffix(".json")) if path.exists()]
    if len(beside) > 1:
        raise UserError(f"{file}: both {beside[0].name} and {beside[1].name} are beside it; keep one of them")
    said: dict[str, Any] = {}
    for path in beside:
        said = _read_settings(path)
        _check_keys(path, "", said, (*_KEYS, *_TABLE_KEYS))
    return [_Table(file, said, str(beside[0] if beside else file))]


def _entries(file: Path, tables: object) -> Sequence[dict[str, Any]]:
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UserError(f"{file}: lists no tables; an index has a list 'tables' of objects with a 'file'")
    return tables


def _read_settings(path: Path) -> dict[str, Any]:
    """The content of a JSON or TOML file. Raises `UserError`."""
    try:
        content = read_whole(path)
        if path.suffix.casefold() == ".toml":
            said: Any = parse_toml(content)
        else:
            said = parse_json(content, unique_keys=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or first_line(error)}; name another file") from error
    except ValueError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from error
    if not isinstance(said, dict):
        raise UserError(f"{path}: is not an object with keys such as 'paper' and 'protocol'")
    return said


def _check_keys(path: Path, subject: str, said: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in said:
        if key not in known:
            near = nearest_names(key, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
            raise UserError(f"{path}: {subject}unknown key {key!r}; {hint}")


def _check_entry(subject: str, key: str, value: object) -> None:
    """Raises `UserError` for a value of a method's that is of the wrong kind."""
    if key == "stated":
        if not isinstance(value, bool):
            raise UserError(f"{subject} is neither true nor false")
    elif key == "weights":
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise UserError(f"{subject} is not a list of names")
    elif not isinstance(value, str):
        raise UserError(f"{subject} is not a text")


def _merge(method: ReportedMethod, later: ReportedMethod, path: Path) -> ReportedMethod:
    """One method's numbers of two tables. Raises `UserError` where they differ."""
    for column, value in method.values.items():
        if later.values.get(column, value) != value:
            raise UserError(f"{path}: two values for {method.name} in {column.title} ({column.slice})")
    tables = dict(method.tables)
    for column, numbers in later.tables.items():
        tables[column] = tuple(dict.fromkeys((*tables.get(column, ()), *numbers)))
    return replace(method, values={**method.values, **later.values}, tables=tables)


class _TableReader:
    """Reads one CSV: each row, or each prompt of one, is a method's numbers."""

    def __init__(self, table: _Table, spec: ReportedSpec, host: Host | None) -> None:
        self._table, self._spec, self._host = table, spec, host
        self._said = table.said
        self._methods = self._checked_methods()
        # (method's setting, column) -> line
        self._places: dict[tuple[object, ...], str] = {}

    def read(self) -> list[ReportedMethod]:
        """The methods of the table, one for each row and prompt."""
        methods = []
        columns = self._columns()
        rows = list(read_rows(self._table.path, columns))
        for row in rows:
            method = self._method_of(row)
            split = row.texts.get("split") or self._text("split") or self._spec.split
            by_prompt: dict[str, dict[Column, float]] = {}
            for title, value in row.numbers.items():
                prompt, column = columns.read(title, split, method.prompt)
                by_prompt.setdefault(prompt, {})[column] = value
            table = row.texts.get("table") or str(self._said.get("table", ""))
            for prompt, values in by_prompt.items():
                tables = dict.fromkeys(values, (table,) if table else ())
                numbers = replace(method, prompt=prompt, values=values, tables=tables)
                self._check_once(numbers, row)
                methods.append(numbers)
        unused = set(self._methods) - {row.texts["method"] for row in rows}
        # An index has the methods of all of its tables.
        if unused and self._table.where != str(self._spec.file):
            raise UserError(f"{self._table.where}: methods: no row is called {min(unused)!r}")
        return methods

    def _check_once(self, method: ReportedMethod, row: PrintedRow) -> None:
        for column in method.values:
            key = (method.source, method.protocol, method.averaging, method.name, *_setting(method), column)
            if key in self._places:
                raise UserError(
                    f"{row.place}: {method.name} has a number for {column.title} already, in "
                    f"{self._places[key]}; give rows of one method another prompt or trained_on"
                )
            self._places[key] = row.place.rpartition(": ")[2]

    def _text(self, key: str) -> str:
        value = self._said.get(key, "")
        if not isinstance(value, str):
            raise UserError(f"{self._table.where}: {key} is not a text")
        return value

    def _columns(self) -> NumberColumns:
        kind = self._text("columns") or "datasets"
        if kind not in _KINDS:
            raise UserError(f"{self._table.where}: {unknown_name('columns', kind, _KINDS)}")
        datasets = list(self._host.datasets) if self._host else None
        if kind == "datasets":
            return NumberColumns(datasets=datasets)
        dataset = self._text("dataset")
        if not dataset:
            raise UserError(f"{self._table.where}: columns are {kind}, of which dataset? say dataset = NAME")
        if datasets is not None and dataset.partition(":")[0] not in datasets:
            raise UserError(f"{self._table.where}: {unknown_name('dataset', dataset, datasets)}")
        try:
            alpha = read_alpha(float(self._said["alpha"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise UserError(
                f"{self._table.where}: columns are {kind}, at which alpha? say alpha = 0.1"
            ) from None
        return NumberColumns(kind, dataset, alpha)

    def _checked_methods(self) -> Mapping[str, Mapping[str, Any]]:
        methods = self._said.get("methods", {})
        if not isinstance(methods, dict) or not all(isinstance(entry, dict) for entry in methods.values()):
            raise UserError(f"{self._table.where}: methods is not an object of objects, one for each method")
        for name, entry in methods.items():
            _check_keys(Path(self._table.where), f"methods: {name}: ", entry, _METHOD_KEYS)
            for key, value in entry.items():
                _check_entry(f"{self._table.where}: methods: {name}: {key}", key, value)
        return methods

    def _method_of(self, row: PrintedRow) -> ReportedMethod:
        """The method that a row is of, without numbers."""
        printed = row.texts["method"]
        entry = self._methods.get(printed)
        if entry is None and self._methods and self._table.where == str(self._spec.file):
            raise UserError(f"{row.place}: the index has no entry {printed!r} in its methods")
        entry = entry or {}
        name = row.texts.get("bench_method") or entry.get("method") or self._own_name(printed)
        # What nobody states is as the recipe has it; an index states it all.
        recipe = self._host.methods.get(name) if self._host and not entry else None
        localizer = row.texts.get("localizer") or entry.get("localizer") or ""
        weights = (
            row.texts.get("weights", "").split("+") if "weights" in row.texts else entry.get("weights", ())
        )
        supervision = row.texts.get("supervision") or "Z"
        # A table's supervised rows are trained on one dataset, unless a row says otherwise.
        defaults = self._said.get("trained_on", {})
        default = defaults.get(supervision, "") if isinstance(defaults, dict) else defaults
        if not isinstance(default, str):
            raise UserError(f"{self._table.where}: trained_on is neither a text nor an object of texts")
        trained_on = row.texts.get("trained_on") or default
        protocol, averaging = self._measure_of(row)
        is_stated = bool(entry.get("stated", bool(entry) or bool(localizer)))
        recipe_prompt, recipe_localizer = (recipe.prompt, recipe.localizer) if recipe else (None, NOTHING)
        return ReportedMethod(
            name=entry.get("name", printed),
            method=name,
            prompt=row.texts.get("prompt") or entry.get("prompt") or recipe_prompt or NO_PROMPT,
            localizer=localizer or recipe_localizer,
            weights=tuple(weights),
            supervision=supervision,
            trained_on="" if trained_on == "none" else trained_on,
            values={},
            source=self._paper_of(row),
            tables={},
            is_stated=is_stated,
            protocol=protocol,
            averaging=averaging,
        )

    def _own_name(self, printed: str) -> str:
        """The method of ours that a printed name means: `dift` for `DIFT`; the name itself without one."""
        names = {name.casefold(): name for name in self._host.methods} if self._host else {}
        return names.get(printed.casefold(), printed)

    def _paper_of(self, row: PrintedRow) -> str:
        paper = row.texts.get("paper") or self._text("paper") or self._spec.paper
        if not paper:
            raise UserError(
                f'{row.place}: which paper printed it? add a column paper, or paper = "NAME (VENUE YEAR)" in '
                f"{self._table.path.with_suffix('.toml').name} beside it"
            )
        return paper

    def _measure_of(self, row: PrintedRow) -> tuple[str, Averaging]:
        """The protocol and the average of a row's numbers."""
        protocol = row.texts.get("protocol") or self._text("protocol") or self._spec.protocol
        if not protocol:
            raise UserError(
                f"{row.place}: which protocol do its numbers follow? add a column protocol, or "
                f'protocol = "sd4match" in {self._table.path.with_suffix(".toml").name} beside it '
                "('bench list protocols')"
            )
        own: Averaging = "image"
        if self._host and protocol != NOT_STATED:
            if protocol_name(protocol) not in self._host.protocols:
                raise UserError(f"{row.place}: {unknown_name('protocol', protocol, self._host.protocols)}")
            own = self._host.protocols[protocol_name(protocol)].averaging
        asked = row.texts.get("averaging") or self._text("averaging") or self._spec.averaging or own
        for averaging in AVERAGINGS:
            if asked == averaging:
                return protocol, averaging
        raise UserError(f"{row.place}: averaging {asked!r} is none of {', '.join(AVERAGINGS)}")
