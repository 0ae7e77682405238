"""`bench compare`: the difference between two runs, or between protocols on one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli.options import CommaList, data_root, number_range
from harness.errors import BenchError, SeveralErrors, UserError
from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.datasets.splits import SplitIndex
    from harness.records.runs import StoredCell
    from harness.scoring.comparison import Comparison, Side
    from harness.scoring.criteria import Criterion
    from harness.scoring.rescore import Rescorer


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A [RUN_B]")
@click.option(
    "--protocols",
    type=CommaList(),
    metavar="A,B",
    help="Protocols; for one RUN, each is compared with the first.",
)
@click.option(
    "--alphas",
    type=CommaList(number_range),
    metavar="A,B",
    help="Thresholds; those of the records otherwise.",
)
@click.option("--averaging", type=click.Choice(["image", "point"]), default="image", show_default=True)
@click.option(
    "--localizer",
    "localizers",
    type=CommaList(),
    metavar="NAME[,NAME]",
    help="For both, or one each; each method's own otherwise.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the pairs that changed most to show.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["md", "csv", "json"]),
    default="md",
    show_default=True,
    help="csv: without the pairs.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where cells are that are named by their id alone.",
)
@click.option(
    "--datasets",
    type=CommaList(),
    metavar="NAME=PATH",
    help="Places of datasets that are not below --data-root.",
)
@data_root
@click.pass_obj
def compare(
    host: Host,
    runs: tuple[str, ...],
    protocols: tuple[str, ...] | None,
    alphas: tuple[float, ...] | None,
    averaging: Literal["image", "point"],
    localizers: tuple[str, ...] | None,
    top: int,
    format_: Literal["md", "csv", "json"],
    results: Path,
    datasets: tuple[str, ...] | None,
    data_root: Path,
) -> int:
    """The paired difference B - A of two runs, from stored predictions, without a model.

    A RUN is a results folder, the id of a cell or its beginning, or DIR:method[/prompt]. One RUN with several --protocols shows what the
    choice of protocol alone does to the same predictions.
    """
    from harness.records.runs import pair_cells, read_run
    from harness.scoring.comparison import compare as counted
    from harness.scoring.rescore import Rescorer
    from harness.tables.differences import render_differences

    _check(runs, protocols, localizers)
    read = [read_run(text, results) for text in runs]
    told = list(dict.fromkeys(line for run in read for line in run.left))
    damaged = list(dict.fromkeys(line for run in read for line in run.damaged))
    if len(read) == 2:
        matches = pair_cells(*read)
        cells, told = list(matches.pairs), [*told, *matches.left]
    else:
        cells = [(one, one) for one in read[0].cells]
    rescorer = Rescorer(host, data_root, datasets or ())
    found: list[Comparison] = []
    for first, other in cells:
        try:
            index = _index(rescorer, first, other)
            sides = _sides(host, first, other, protocols, alphas, localizers, one_run=len(read) == 1)
            found += [counted(*pair, index) for pair in sides]
        except BenchError as error:
            damaged.append(str(error))
    if not found:
        raise SeveralErrors(dict.fromkeys(damaged))
    for line in (*told, *dict.fromkeys(damaged)):
        click.echo(f"bench: {line}", err=True)
    click.echo(render_differences(found, averaging, top, format_), nl=False)
    return int(bool(damaged))


def _check(runs: Sequence[str], protocols: Sequence[str] | None, localizers: Sequence[str] | None) -> None:
    if len(runs) > 2:
        raise UserError(f"compare takes two runs, or one with several --protocols; {len(runs)} were given")
    if len(runs) == 1 and len(set(protocols or ())) < 2:
        raise UserError(
            f"compare {runs[0]} with what? Name a second run, or several --protocols such as sd4match,original,padded"
        )
    if localizers and len(localizers) > 2:
        raise UserError("--localizer takes one name for both runs, or one for each")
    if localizers and len(runs) == 1 and len(localizers) == 2:
        raise UserError(
            "--localizer takes one name where there is one run; name the run twice to compare localizers"
        )


def _index(rescorer: Rescorer, first: StoredCell, other: StoredCell) -> SplitIndex:
    """The split both were run on. Raises `UserError` where it is not one."""
    manifests = [one.record.provenance.manifest for one in (first, other) if one.record.provenance]
    if len(set(manifests)) > 1:
        raise UserError(
            f"{first.record.cell.id} and {other.record.cell.id} were run on different data of one name (manifests "
            f"{' and '.join(one[:12] for one in manifests)}); run one of them again"
        )
    return rescorer.split(first.record)


def _sides(
    host: Host,
    first: StoredCell,
    other: StoredCell,
    protocols: Sequence[str] | None,
    alphas: Sequence[float] | None,
    localizers: Sequence[str] | None,
    *,
    one_run: bool,
) -> list[tuple[Side, Side]]:
    """What to compare of two cells: a pair for each protocol, or, of one, each protocol with the first."""
    from harness.scoring.comparison import Side
    from harness.tables.view import main_protocol

    names = list(dict.fromkeys(protocols or [main_protocol([first.record, other.record])]))
    criteria = _criteria(host, names, alphas, (first, other))
    own = [_localizer(host, cell, name) for cell, name in zip((first, other), _each(localizers), strict=True)]
    if one_run:
        return [(Side(first, own[0], criteria[0]), Side(first, own[0], one)) for one in criteria[1:]]
    return [(Side(first, own[0], one), Side(other, own[1], one)) for one in criteria]


def _criteria(
    host: Host, names: Sequence[str], alphas: Sequence[float] | None, cells: Sequence[StoredCell]
) -> list[Criterion]:
    """Protocols at the same alphas: those asked for, or those of the records, or the first protocol's own."""
    from harness.scoring.criteria import make_criterion

    stored = {score.alpha for cell in cells for score in cell.record.scores if score.protocol in names}
    chosen = alphas or sorted(stored) or make_criterion(host, names[0]).alphas
    return [make_criterion(host, name, chosen) for name in names]


def _each(localizers: Sequence[str] | None) -> tuple[str | None, str | None]:
    if not localizers:
        return None, None
    return localizers[0], localizers[-1]


def _localizer(host: Host, cell: StoredCell, asked: str | None) -> str:
    """The one asked for, the method's own, or the only one there is. Raises `UserError`."""
    there = sorted(cell.record.localizers)
    method = host.methods.get(cell.record.cell.method)
    own = (
        asked
        or (method.localizer if method and method.localizer in there else None)
        or (there[0] if len(there) == 1 else None)
    )
    if own not in there:
        problem = (
            f"no predictions by localizer {own}"
            if own
            else "predictions by several localizers, none of them the method's own"
        )
        raise UserError(f"{cell.record.cell.id}: {problem}; choose one with --localizer: {', '.join(there)}")
    return own
