"""PCK by the values of a parameter at one threshold: values as rows, methods as columns.

For the diffusion timestep that is SD4Match's Fig. 3(b).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from harness.errors import UserError
from harness.messages import counted
from harness.records.labels import label_without
from harness.records.schema import Record, Score
from harness.specs import Scalar
from harness.sweep import format_value
from harness.tables.captions import numbers_caption
from harness.tables.columns import Column, Split, column_of, split_of
from harness.tables.intervals import number_text
from harness.tables.row_notes import ranking_notes
from harness.tables.seeds import merge_seeds, seeds_sentence
from harness.tables.table import Table
from harness.tables.text import alpha_text, split_name
from harness.tables.tidy import tidy_rows
from harness.tables.view import TIMESTEP, Selection, View, named


class _Curve(NamedTuple):
    """The cells that differ in the swept parameter alone, by one localizer."""

    method: str
    prompt: str
    localizer: str
    backbone: str
    dataset: str


def sweep(records: Sequence[Record], view: View) -> Table:
    """Values of a parameter as rows; a column for each curve, at one threshold.

    A column's head is the method, with what tells it apart from the other curves: prompt, localizer,
    backbone, dataset. Cells without the parameter are left out; a value that a curve lacks is an en dash.

    Raises:
        UserError: no cell has the parameter, or none is named and there is not one alone that has several
            values.
    """
    records, view, names = named(records, view)
    parameter = view.parameter or _only_parameter(records)
    records = records_with(records, parameter)
    alpha = view.one_alpha(records)
    curves: dict[_Curve, dict[Scalar, Score]] = {}
    shown: list[tuple[Column, Score]] = []
    notes: dict[Scalar, list[tuple[_Curve, str]]] = {}
    is_named = _do_rows_name_backbones(records, parameter)
    seeds: dict[tuple[Scalar, _Curve], int] = {}
    for mean in merge_seeds(records, view, names):
        record = mean.record
        value = record.cell.params[parameter]
        for localizer in filter(view.shows_localizer, record.localizers):
            curve = _curve_of(record, names.localizer(record, localizer), parameter, is_named)
            # Even without a note or a number at this threshold: a value here is a row, a curve a column.
            value_notes = notes.setdefault(value, [])
            scores = curves.setdefault(curve, {})
            if score := view.score_of(record, localizer, alpha):
                scores[value] = score
                seeds[value, curve] = len(mean.members)
                shown.append((column_of(record, alpha), score))
            reasons = [*view.lacking(record, localizer), *view.rule_notes(mean.members)]
            reasons += names.reasons_of(record, localizer)
            reasons += [f"{record.cell.dataset}: {remark}" for remark in mean.remarks]
            for note in (*ranking_notes(record, localizer, view.protocol), *reasons):
                value_notes.append((curve, note))
        if not record.scores:
            curve = _curve_of(record, "", parameter, is_named)
            notes.setdefault(value, []).append((curve, mean.status))
    for (value, curve), count in seeds.items():
        if count != min(seeds.values()):
            notes[value].append((curve, counted(count, "seed")))
    heads = _heads(list(curves))
    datasets = dict.fromkeys(curve.dataset for curve in curves)
    rows = []
    for value in sorted(notes, key=value_order):
        numbers = [number_text(scores.get(value)) for scores in curves.values()]
        rows.append((format_value(value), *numbers, "; ".join(_note_texts(notes[value], heads))))
    localizers = dict.fromkeys(curve.localizer for curve in curves)
    localizer = f"; localizer {next(iter(localizers))}" if len(localizers) == 1 else ""
    choice = f"Alpha {alpha_text(alpha)}; {', '.join(datasets)}{localizer}; a row for each {parameter}."
    return Table(
        caption=" ".join(
            filter(None, [numbers_caption(records, view, shown), seeds_sentence(seeds.values()), choice])
        ),
        header=(parameter, *heads.values(), "note"),
        rows=tuple(rows),
        tidy=tuple(tidy_rows(records, view)),
        names=1,
    )


def _note_texts(notes: Sequence[tuple[_Curve, str]], heads: Mapping[_Curve, str]) -> list[str]:
    """The notes of a row, each with its column, and once for all where all of several columns have it."""
    curves_of: dict[str, list[_Curve]] = {}
    for curve, note in notes:
        curves_of.setdefault(note, []).append(curve)
    texts = []
    for curve, note in notes:
        if len(heads) > 1 and set(curves_of[note]) == set(heads):
            texts.append(note)
        else:
            # A cell without numbers has no column, and is named by its method alone.
            texts.append(f"{heads.get(curve, curve.method)}: {note}")
    return list(dict.fromkeys(texts))


def timesteps(records: Sequence[Record], view: View) -> Table:
    """The sweep of the diffusion timestep. Raises `UserError` where no cell has one."""
    return sweep(records, replace(view, parameter=TIMESTEP))


def timestep_selections(records: Sequence[Record], view: View) -> list[Selection]:
    """For a page: the records of methods that have several timesteps."""
    swept = swept_records(records, TIMESTEP)
    # No paper printed numbers by timestep: with them, the table would refuse the view.
    timestep_view = replace(view, reported=None)
    if not swept:
        return []
    return [Selection(swept, timestep_view)]


def sweep_selections(records: Sequence[Record], view: View) -> list[Selection]:
    """For a page: for each parameter but the timestep, the records of methods that have several values."""
    selections = []
    for parameter in swept_parameters(records):
        # The timestep has a table of its own.
        if parameter != TIMESTEP:
            parameter_view = replace(view, parameter=parameter, reported=None)
            selections.append(Selection(swept_records(records, parameter), parameter_view, parameter))
    return selections


def parameter_records(records: Sequence[Record], parameter: str | None) -> list[Record]:
    """The records that have a parameter; None for the only one that has several values.

    Raises:
        UserError: no record has the parameter, or several parameters have several values.
    """
    return records_with(records, parameter or _only_parameter(records))


def timestep_records(records: Sequence[Record], parameter: str | None) -> list[Record]:
    """The records that have a timestep, whatever the parameter. Raises `UserError` where none has."""
    return records_with(records, TIMESTEP)


def records_with(records: Sequence[Record], parameter: str) -> list[Record]:
    """The records whose extractor has a parameter. Raises `UserError` where none has."""
    having = _having(records, parameter)
    if having:
        return having
    if parameter == TIMESTEP:
        raise UserError(
            "no cell has a timestep; 'bench run --timestep 0..500:50' sweeps those of methods that have one"
        )
    names = ", ".join(_parameter_names(records)) or "none"
    raise UserError(f"no cell has a parameter '{parameter}'; they have {names}")


def _having(records: Sequence[Record], parameter: str) -> list[Record]:
    return [record for record in records if parameter in record.cell.params]


def swept_records(records: Sequence[Record], parameter: str) -> list[Record]:
    """The records of methods that have several values of a parameter on one dataset's split."""
    having = _having(records, parameter)
    values: dict[tuple[str, Split], set[Scalar]] = {}
    for record in having:
        key = (record.cell.method, split_of(record))
        values.setdefault(key, set()).add(record.cell.params[parameter])
    swept = []
    for record in having:
        # One value alone is a point, not a curve.
        if len(values[record.cell.method, split_of(record)]) > 1:
            swept.append(record)
    return swept


def swept_parameters(records: Sequence[Record]) -> list[str]:
    """Names of the parameters that some method has several values of on one dataset's split."""
    names = []
    for name in _parameter_names(records):
        if swept_records(records, name):
            names.append(name)
    return names


def _parameter_names(records: Sequence[Record]) -> list[str]:
    names: set[str] = set()
    for record in records:
        names |= record.cell.params.keys()
    return sorted(names)


def value_order(value: Scalar) -> tuple[bool, float, str]:
    """Sorting key of a parameter's values: numbers by size, then everything else by name."""
    # A bool is an int to Python, but no size to a reader.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return False, float(value), str(value)
    return True, 0.0, str(value)


def _only_parameter(records: Sequence[Record]) -> str:
    """The parameter that has several values. Raises `UserError` unless there is exactly one."""
    names = swept_parameters(records)
    if len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    raise UserError(f"--table sweep: name a parameter with --by; those with several values are: {known}")


def _do_rows_name_backbones(records: Sequence[Record], parameter: str) -> bool:
    """True where a parameter's values are the backbones: one column then holds all of them."""
    backbones: dict[Scalar, set[str]] = {}
    for record in records:
        value = record.cell.params[parameter]
        backbones.setdefault(value, set()).add(record.cell.backbone)
        name = record.cell.backbone.partition("@")[0]
        if value is not None and str(value).rpartition("/")[2] != name:
            return False
    # A folder whose files have changed is two backbones of one name.
    return backbones.keys() != {None} and all(len(names) == 1 for names in backbones.values())


def _curve_of(record: Record, localizer: str, parameter: str, is_backbone_row: bool) -> _Curve:
    cell = record.cell
    return _Curve(
        label_without(cell.label, parameter),
        cell.prompt,
        localizer,
        "" if is_backbone_row else cell.backbone,
        split_name(cell.dataset, cell.split),
    )


def _heads(curves: Sequence[_Curve]) -> dict[_Curve, str]:
    """Curve -> its column's head: the method, and what sets the curve apart from others of that method.

    The localizer is told wherever two columns differ in it: beside each other they are taken for like.
    """
    has_datasets = _varies(curves, "dataset")
    has_localizers = _varies(curves, "localizer")
    heads = {}
    for curve in curves:
        # Heads are short: what all curves of a method share is not in them.
        method_curves = [candidate for candidate in curves if candidate.method == curve.method]
        texts = [curve.method]
        for aspect in ("prompt", "localizer", "backbone"):
            if _varies(method_curves, aspect) or (aspect == "localizer" and has_localizers):
                texts.append(getattr(curve, aspect))
        if has_datasets:
            texts.append(curve.dataset)
        heads[curve] = " ".join(texts)
    return heads


def _varies(curves: Sequence[_Curve], aspect: str) -> bool:
    return len({getattr(curve, aspect) for curve in curves}) > 1
