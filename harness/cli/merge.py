"""`bench merge`: several results folders as one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import data_root, dataset_folders, typed_arguments
from harness.cli.progress import ProgressBar
from harness.cli.terminal import print_warnings
from harness.cli.verbosity import print_information
from harness.messages import counted, listed, shell_word
from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.housekeeping.merge import MergedCell

EXAMPLE = "bench merge results-gpu1 results-gpu2 -o results"


@dataclass(frozen=True, kw_only=True)
class MergeArguments:
    """Arguments and options of `bench merge` after parsing; help texts say what each is for."""

    folders: tuple[Path, ...]
    out: Path
    prefer: Literal["first", "newest"] | None
    allow_gaps: bool
    allow_mixed_versions: bool
    datasets: tuple[str, ...] | None
    data_root: Path


@click.command("merge", short_help="Merge results folders into one.", epilog=examples(EXAMPLE))
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Results folder to write to. Cells that it has already take part.",
)
@option(
    "--prefer",
    type=click.Choice(["first", "newest"]),
    help="Whose predictions count where folders have other ones for the same pair: those of --out and of the "
    "folder named first, or of the newest run. Such cells are refused otherwise.",
)
@option(
    "--allow-gaps",
    is_flag=True,
    help="Merge cells of 'bench run --shard' of which shards are missing; tables say which there are.",
)
@option(
    "--allow-mixed-versions",
    is_flag=True,
    help="Merge parts that were run with other versions of Python, PyTorch and the like, which change "
    "numbers by rounding; the record names them.",
)
@dataset_folders
@data_root
@typed_arguments(MergeArguments)
def merge(host: Host, arguments: MergeArguments) -> int:
    """Merge results folders into one, as if one run had made all of it.

    Where several have parts of one cell (the same code, weights and data), the merged one has the pairs of
    all, and is scored anew. The folders stay as they are. Exit status 1 where a cell could not be merged.
    """
    from harness.housekeeping.merge import MergeOptions, coverage_text, merge_folders
    from harness.scoring.sources import Sources

    sources = Sources(host, arguments.data_root, arguments.datasets or ())
    with ProgressBar("cell") as bar:
        merged = merge_folders(
            host,
            arguments.folders,
            arguments.out,
            sources,
            MergeOptions(arguments.prefer, arguments.allow_gaps, arguments.allow_mixed_versions),
            lambda done, cells: bar.show("merging", done, cells),
        )
    for cell in merged.cells:
        click.echo(f"{arguments.out / cell.name}: {coverage_text(cell.record)}, {_origin(cell)}")
    print_warnings(dict.fromkeys([*merged.notes, *merged.problems]))
    if merged.cells:
        folder = shell_word(str(arguments.out))
        cells = counted(len(merged.cells), "cell")
        print_information(f"{cells} in {arguments.out}; next: 'bench leaderboard {folder}' for their tables")
    return int(bool(merged.problems))


def _origin(cell: MergedCell) -> str:
    """`merged from a and b`."""
    if cell.done == "there already":
        return cell.done
    return f"{cell.done} from {listed([str(origin) for origin in cell.origins])}"
