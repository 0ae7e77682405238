"""What the model card says of the bundled weights: `python -m baselines.tiny.measure RESULTS` compares the cells of a results folder.

Differences are between PCK per image at alpha 0.10 on equal pairs, with intervals from a bootstrap over pairs (2,000 draws): paired, so
that what is hard about a pair for every method does not widen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import click
import numpy as np

from harness.datasets.index import SplitIndex, read_split
from harness.frames import Size
from harness.measures import measure
from harness.pck import correct, relative_errors
from harness.plugins import Host, load_plugins
from harness.records import PREDICTIONS, Record, read_predictions, read_record, record_paths
from harness.scoring import predicted_points
from harness.specs import ProtocolSpec
from harness.statistics import bootstrap_ratios

ALPHA = 0.10


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(results: Path) -> None:
    """Prints every cell's PCK, and every difference between two cells on `shapes`."""
    from tabulate import tabulate

    host = load_plugins()
    records = [record for record in map(read_record, record_paths(results)) if record.scores]
    splits = {split: read_split(host.dataset("shapes"), Path(), split) for split in {record.cell.split for record in records}}
    shares: dict[tuple[str, str], np.ndarray] = {}
    for record in records:
        for localizer in record.localizers:
            name = f"{record.cell.label} {record.cell.prompt} {localizer} {record.cell.features}"
            shares[name, record.cell.split] = pair_scores(host, splits[record.cell.split], results, record, localizer)
    cells = [(name, split, f"{100 * np.nanmean(one):.1f}") for (name, split), one in sorted(shares.items())]
    click.echo(tabulate(cells, ("cell", "split", "PCK@0.10"), tablefmt="pipe"))
    differences = [
        (first, other, split, "{:+.1f}, {:+.1f} to {:+.1f}".format(*difference(shares[first, split], shares[other, split])))
        for (first, split), (other, split_too) in combinations(sorted(shares), 2)
        if split == split_too
    ]
    click.echo("\n" + tabulate(differences, ("cell", "minus", "split", "difference"), tablefmt="pipe"))


def pair_scores(host: Host, index: SplitIndex, results: Path, record: Record, localizer: str) -> np.ndarray:
    """(pairs,) share of a pair's points that were found, protocol `sd4match`; NaN for a pair without predictions."""
    protocol = measure(host, "sd4match", None).protocol
    points = predicted_points(read_predictions(results / record.cell.id / PREDICTIONS), localizer)
    fed = Size(*record.cell.fed) if record.cell.fed else Size(0, 0)
    return np.array([_share(index, pair_id, points.get(pair_id), protocol, fed) for pair_id in index.pair_ids])


def _share(index: SplitIndex, pair_id: str, points: dict[str, tuple[float, float]] | None, protocol: ProtocolSpec, fed: Size) -> float:
    if points is None:
        return float("nan")
    predicted = np.array([points[name] for name in index.keypoint_ids(pair_id)])
    errors = relative_errors(protocol, index.threshold, index.target(pair_id), fed, predicted)
    return float(correct(errors, ALPHA, protocol.strict).mean())


def difference(first: np.ndarray, other: np.ndarray) -> Sequence[float]:
    """Mean difference in percent points on the pairs that both have, and the ends of its 95 % interval."""
    both = (first - other)[np.isfinite(first - other)][:, None]
    interval = bootstrap_ratios(both, np.ones_like(both))
    return tuple(100 * float(value[0]) for value in (both.mean(axis=0), interval.low, interval.high))


if __name__ == "__main__":
    main()
