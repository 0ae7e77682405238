"""PCK against the diffusion timestep, in the shape of SD4Match's Fig. 3(b): timesteps as rows, methods as columns, at one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.errors import UserError
from harness.records.schema import Record, Score, ranking_notes, status_text
from harness.specs import Averaging
from harness.tables.captions import numbers_caption
from harness.tables.table import Table
from harness.tables.text import alpha_text, number_text, split_name, without_change
from harness.tables.tidy import distinguish_labels, tidy
from harness.tables.view import choose_protocol, one_alpha, score_of

TIMESTEP = "timestep"


class _Column(NamedTuple):
    """What a curve is of."""

    method: str
    prompt: str
    localizer: str
    backbone: str
    dataset: str


def timesteps(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Averaging = "image",
    alpha: float | None = None,
    localizers: Sequence[str] | None = None,
) -> Table:
    """One curve a column. Its head is the method, with what tells it apart from the other curves: dataset, prompt, localizer, backbone.

    Cells without a timestep are left out; a timestep that a curve lacks is an en dash.

    Args:
        protocol: None for the one most records have, `sd4match` first.
        alpha: None for 0.10 or, where the records lack it, their smallest.

    Raises:
        UserError: no cell has a timestep.
    """
    records = [record for record in records if TIMESTEP in record.cell.params]
    if not records:
        raise UserError(
            "no cell has a timestep; 'bench run --timestep 0..500:50' sweeps those of methods that have one"
        )
    chosen = choose_protocol(records, protocol)
    at = one_alpha(records, alpha)
    records, differs = distinguish_labels(records)
    curves: dict[_Column, dict[int, Score]] = {}
    remarks: dict[int, list[tuple[_Column, str]]] = {}
    for record in records:
        step = int(str(record.cell.params[TIMESTEP]))
        for localizer in record.localizers:
            if localizers is not None and localizer not in localizers:
                continue
            column = _column(record, localizer)
            curve, noted = curves.setdefault(column, {}), remarks.setdefault(step, [])
            if score := score_of(record, localizer, averaging, chosen, at):
                curve[step] = score
            apart = differs.get(record.cell.id)
            noted += [
                (column, note) for note in (*ranking_notes(record, localizer), *([apart] if apart else []))
            ]
        if not record.scores:
            remarks.setdefault(step, []).append((_column(record, ""), status_text(record)))
    heads = _heads(list(curves))
    datasets = list(dict.fromkeys(column.dataset for column in curves))
    return Table(
        caption=f"{numbers_caption(records, chosen, averaging)} Alpha {alpha_text(at)}; {', '.join(datasets)}; a row a timestep.",
        header=(TIMESTEP, *heads.values(), "note"),
        rows=tuple(
            (
                str(step),
                *(number_text(curve.get(step)) for curve in curves.values()),
                "; ".join(f"{heads.get(column, column.method)}: {note}" for column, note in noted),
            )
            for step, noted in sorted(remarks.items())
        ),
        tidy=tuple(tidy(records, localizers)),
        names=1,
    )


def _column(record: Record, localizer: str) -> _Column:
    cell = record.cell
    return _Column(
        without_change(cell.label, rf"{TIMESTEP}=\d+"),
        cell.prompt,
        localizer,
        cell.backbone,
        split_name(cell.dataset, cell.split),
    )


def _heads(columns: Sequence[_Column]) -> dict[_Column, str]:
    """Column -> its head: the method, and what other columns of that method have another value of."""
    heads = {}
    for column in columns:
        others = [one for one in columns if one.method == column.method]
        aspects = [
            name
            for name in ("prompt", "localizer", "backbone")
            if len({getattr(one, name) for one in others}) > 1
        ]
        aspects += ["dataset"] if len({one.dataset for one in columns}) > 1 else []
        heads[column] = " ".join([column.method, *(getattr(column, name) for name in aspects)])
    return heads
