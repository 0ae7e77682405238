"""`bench data prepare` and `bench data pairs`: lists of pairs made by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli.completion import names_of
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import data_root
from harness.cli.terminal import print_warnings
from harness.errors import UserError
from harness.messages import counted, printable, shell_word
from harness.plugins.host import Host
from harness.specs import DatasetSpec
from harness.sweep import DatasetChoice


def parse_choices(host: Host, texts: Sequence[str]) -> list[tuple[DatasetSpec, DatasetChoice]]:
    """Values `NAME` or `NAME=PATH`. Raises `UserError` for an unknown name."""
    choices = []
    for text in texts:
        choice = DatasetChoice.parse(text)
        choices.append((host.datasets[choice.name], choice))
    return choices


@click.command(
    "prepare",
    short_help="Make the pairs of a dataset that has none.",
    epilog=examples(
        "bench data prepare ap-10k --data-root data",
    ),
)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME | NAME=PATH ...", shell_complete=names_of("datasets")
)
@data_root
@click.pass_obj
def prepare(host: Host, names: tuple[str, ...], data_root: Path) -> None:
    """Write the list of pairs of a dataset whose authors publish annotated pictures alone.

    The list depends on the annotations and on nothing else: every machine writes the same one. Its hash is
    printed, and is part of what a run says of its data.
    """
    from harness.datasets.splits import dataset_folder

    choices = parse_choices(host, names)
    for spec, _ in choices:
        if spec.prepare is None:
            able = [name for name, dataset in host.datasets.items() if dataset.prepare is not None]
            raise UserError(
                f"dataset {spec.name}: comes with its pairs and is not prepared; "
                f"those that are: {', '.join(able) or 'none'}"
            )
    for spec, choice in choices:
        assert spec.prepare is not None
        for line in spec.prepare(dataset_folder(spec, choice, data_root)):
            click.echo(f"{spec.name}: {line}")


@click.command(
    "pairs",
    short_help="Make pairs of a COCO file of key points.",
    epilog=examples(
        "bench data pairs annotations.json --per-category 100 --images photos",
        "bench data pairs annotations.json --per-category 50 --seed 1 -o photos/fifty.json",
    ),
)
@click.argument("file", metavar="COCO.json", type=click.Path(path_type=Path))
@option(
    "--per-category", type=click.IntRange(min=1), required=True, metavar="N", help="Pairs of each category."
)
@option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another one makes other pairs.",
)
@option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder that the names of pictures are relative to; the file's own if left out.",
)
@option(
    "--minimum-points",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Key points that are annotated in both pictures of a pair.",
)
@option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The list, a .json file; pairs.json beside the pictures if left out.",
)
def pairs(
    file: Path,
    per_category: int,
    seed: int,
    images: Path | None,
    minimum_points: int,
    out: Path | None,
) -> None:
    """Write a list of pairs for the dataset 'folder', made of your own COCO file of key points.

    The same file, N and seed give the same list on every machine. Of each picture the largest object of a
    category takes part; crowds are left out, and so are key points with v = 0.
    """
    from harness.datasets.coco.pair_rule import PairRule
    from harness.datasets.coco.pairs_file import write_pairs

    written = write_pairs(file, PairRule(per_category, seed, minimum_points), images, out)
    pairs_text, pictures = counted(written.pairs, "pair"), counted(written.pictures, "picture")
    categories = counted(len(written.categories), "category", "categories")
    click.echo(printable(f"{written.path}: {pairs_text} of {categories}, {pictures}"))
    print_warnings(written.notes)
    # A comma would end the place.
    place = f'"{written.path}"' if "," in str(written.path) else f"{written.path}"
    words = shell_word(f"folder={place}")
    click.echo(printable(f"'bench run --methods position --datasets {words}' runs on them"))
