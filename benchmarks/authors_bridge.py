"""Says how many times the re-creation's seconds the authors' scripts took, by way of an old commit of ours.

The authors' scripts were timed once, in turn with this project at commit 8fdbbac, on another machine state.
That commit is timed here again, in turn with the re-creation: its seconds then and now carry the authors'
seconds over, and their quotient with the re-creation's is what `authors_scripts` holds. Needed again only
where the re-creation changes: `python benchmarks/authors_bridge.py CHECKOUT`, a folder with that commit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import authors_scripts
import click
import report
from authors_scripts import TIMED, Timed
from one_thread import run_on_one_thread
from ours import Setup
from published import Diffusion
from recreated_scripts import time_script

from baselines.sources import STABLE_DIFFUSION_2_1

HEADERS = (
    *("what", "authors then, s", "ours then, s", "ours of then now, s", "re-creation now, s"),
    "authors : re-creation",
)


@click.command()
@click.argument("checkout", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--repeats", type=click.IntRange(min=1), default=2, show_default=True)
def main(checkout: Path, repeats: int) -> None:
    """Measure the quotients of authors' scripts and the re-creation."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for number, timed in enumerate(TIMED):
            rows.append(_carry_over(timed, checkout.resolve(), Path(name) / str(number), repeats))
            click.echo(" ".join(rows[-1]), err=True)
    click.echo(report.plain(HEADERS, rows))


def _carry_over(timed: Timed, checkout: Path, folder: Path, repeats: int) -> list[str]:
    data = timed.workload.write(folder / "data")
    setup = Setup(data, folder / "work")
    weights = setup.resolve("dift").weights.paths[STABLE_DIFFUSION_2_1]
    diffusion = Diffusion(weights, "cpu", "fp32")
    ours, theirs = [], []
    for repeat in range(repeats):
        options = authors_scripts.options_of(timed.method, data)
        ours.append(run_on_one_thread(options, folder / f"old-{repeat}", checkout).working)
        theirs.append(time_script(setup, diffusion, timed.method, 8, 24).seconds)
    now, recreated = min(ours), min(theirs)
    carried = timed.seconds * now / timed.ours_then
    return [
        f"{timed.name}, {timed.workload.describe()}",
        report.seconds(timed.seconds),
        report.seconds(timed.ours_then),
        report.seconds(now),
        report.seconds(recreated),
        f"{carried / recreated:.2f}",
    ]


if __name__ == "__main__":
    main()
