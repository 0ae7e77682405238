"""Figures of the bundled weights' model card: `python -m baselines.tiny.measure RESULTS`.

Cells of a results folder are compared with each other.

Differences are between PCK per image at alpha 0.10 on equal pairs, with intervals from a bootstrap over
images: paired, so that what is hard about a pair for every method does not widen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import click
import numpy as np

from harness.datasets.splits import SplitIndex, read_split
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.records.folders import read_record, record_paths
from harness.records.schema import Record
from harness.scoring.bootstrap import image_bootstrap
from harness.scoring.correctness import count_correct, image_numbers
from harness.scoring.criteria import make_criterion
from harness.scoring.points import read_points
from harness.scoring.truth import truth_of

ALPHA = 0.10


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(results: Path) -> None:
    """Prints every cell's PCK, and every difference between two cells on `shapes`."""
    from tabulate import tabulate

    host = load_plugins()
    records = [record for record in map(read_record, record_paths(results)) if record.scores]
    splits: dict[str, SplitIndex] = {}
    for record in records:
        split = record.cell.split
        if split not in splits:
            splits[split] = read_split(host.datasets["shapes"], Path(), split)
    shares: dict[tuple[str, str], np.ndarray] = {}
    for record in records:
        for localizer in record.localizers:
            name = f"{record.cell.label} {record.cell.prompt} {localizer} {record.cell.features}"
            split = record.cell.split
            shares[name, split] = pair_scores(host, splits[split], results, record, localizer)
    rows = []
    for (name, split), scores in sorted(shares.items()):
        rows.append((name, split, f"{100 * np.nanmean(scores):.1f}"))
    click.echo(tabulate(rows, ("cell", "split", "PCK@0.10"), tablefmt="pipe"))
    differences = []
    for (name, split), (base, base_split) in combinations(sorted(shares), 2):
        if split == base_split:
            points = difference(shares[name, split], shares[base, split], splits[split])
            differences.append((name, base, split, "{:+.1f}, {:+.1f} to {:+.1f}".format(*points)))
    click.echo("\n" + tabulate(differences, ("cell", "minus", "split", "difference"), tablefmt="pipe"))


def pair_scores(
    host: Host,
    index: SplitIndex,
    results: Path,
    record: Record,
    localizer: str,
) -> np.ndarray:
    """(pairs,) share of correct points of each pair, by protocol `sd4match`; NaN without predictions."""
    protocol = make_criterion(host, "sd4match", (ALPHA,))
    truth = truth_of(index)
    points = read_points(truth, results / record.cell.id, record, localizer)
    right, total = count_correct(truth, points, protocol, record.cell.input_size)
    shares = dict(zip(points, right[:, 0] / total, strict=True))
    # In the split's order, so that two cells can be subtracted pair by pair.
    return np.array([shares.get(pair_id, np.nan) for pair_id in index.pair_ids])


def difference(scores: np.ndarray, base: np.ndarray, index: SplitIndex) -> Sequence[float]:
    """Mean difference in percent points on the pairs that both have, and the ends of its 95 % interval."""
    differences = scores - base
    is_known = np.isfinite(differences)
    pair_ids = [pair_id for pair_id, is_there in zip(index.pair_ids, is_known, strict=True) if is_there]
    differences = differences[is_known][:, None]
    # Every pair has weight 1 in the ratio of sums, which makes it the mean.
    interval = image_bootstrap(
        differences, np.ones_like(differences), image_numbers(truth_of(index), pair_ids)
    )
    values = (interval.value, interval.low, interval.high)
    return tuple(100 * float(value[0]) for value in values)


if __name__ == "__main__":
    main()
