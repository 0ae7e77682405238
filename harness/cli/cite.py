"""`bench cite`: BibTeX of what a table's numbers stand on."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.examples import examples
from harness.cli.terminal import print_warnings
from harness.plugins.host import Host


@click.command(
    "cite",
    short_help="BibTeX of what results stand on.",
    epilog=examples("bench cite results > benchmark.bib", "bench cite dift spair-71k"),
)
@click.argument("names", nargs=-1, metavar="[RESULTS | NAME]...")
@click.pass_obj
def cite(host: Host, names: tuple[str, ...]) -> int:
    """Print BibTeX of the methods, networks, datasets and protocols behind results, and of this program.

    RESULTS are results folders; 'results' where nothing is named. NAME is a method, dataset, protocol,
    localizer, matcher, prompt or weight source. Each entry comes once, behind a comment that says what it
    is for. What has no citation is said on stderr.
    """
    from harness.cards.citing import Subject, bibliography, subjects_named, subjects_of
    from harness.records.joining import read_folders

    folders: list[Path] = []
    subjects: list[Subject] = []
    for name in names or ("results",):
        if Path(name).is_dir() or not names:
            folders.append(Path(name))
        else:
            subjects += subjects_named(host, name)
    damaged: tuple[str, ...] = ()
    if folders:
        results = read_folders(folders)
        damaged = results.damaged
        subjects = [*subjects_of(host, results.records), *subjects]
    entries = bibliography(subjects)
    click.echo(entries.render(), nl=False)
    print_warnings([*damaged, *entries.clashes, *entries.lacking])
    return int(bool(damaged))
