"""`bench compare`: the difference between two runs, or between protocols on one."""

from __future__ import annotations

from pathlib import Path

import click

from harness.api.run_differences import CompareArguments, compare_runs
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import (
    CommaList,
    averaging_option,
    data_root,
    dataset_folders,
    number_range,
    slice_option,
    typed_arguments,
    warn_of_large_alphas,
)
from harness.cli.progress import waiting
from harness.cli.table_files import choose_output, out_option
from harness.cli.terminal import print_warning
from harness.plugins.host import Host


@click.command(
    "compare",
    short_help="The paired difference of two runs.",
    epilog=examples(
        "bench compare results:dift results:dinov2",
        "bench compare results:dift --protocols sd4match,original",
    ),
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN_A [RUN_B]")
@option(
    "--protocols",
    type=CommaList(),
    metavar="A,B",
    help="Protocols; for one RUN, each is compared with the first.",
)
@option(
    "--alphas",
    type=CommaList(number_range),
    callback=warn_of_large_alphas,
    metavar="A,B",
    help="Thresholds; those of the records otherwise.",
)
@averaging_option("Each protocol's own unless said; of one RUN, that of the first protocol.")
@option(
    "--localizers",
    type=CommaList(),
    metavar="NAME[,NAME]",
    help="For both, or one each; each method's own otherwise.",
)
@slice_option
@option(
    "--top",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the pairs that changed most to show.",
)
@option(
    "--format",
    "format_",
    type=click.Choice(["text", "md", "csv", "json"]),
    help="text on a terminal and md elsewhere unless said; csv: without the pairs.",
)
@option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder that is searched for cells given by their id alone.",
)
@out_option(".md .csv .json .txt")
@dataset_folders
@data_root
@typed_arguments(CompareArguments)
def compare(host: Host, arguments: CompareArguments) -> int:
    """The paired difference B - A of two runs, from stored predictions, without a model.

    A RUN is a results folder, the id of a cell or its beginning, or DIR:method[/prompt], which is all seeds
    of it together (one: 'DIR:method[seed=1]'). One RUN with several
    --protocols shows what the choice of protocol alone does to the same predictions.
    """
    from harness.tables.differences import FORMATS, render_differences

    output = choose_output(arguments.format_, arguments.out, FORMATS)
    with waiting("compare"):
        differences = compare_runs(host, arguments, print_warning)
    text = render_differences(
        differences.comparisons,
        arguments.averaging,
        arguments.top,
        output.format,
        is_file=output.path is not None,
    )
    output.write(text)
    return int(not differences.is_complete)
