"""Counts how often 95 % intervals hold the truth, on simulated data: `make bench-coverage`.

Pairs share images as those of `shapes`, PF-PASCAL, PF-WILLOW and SPair-71k do; see `pair_graphs` for the
graphs and `simulated_pairs` for what shares depend on. Writes Markdown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import report
from pair_graphs import (
    Graph,
    drawn_from_mixed,
    few_sources,
    parts_of,
    pf_pascal,
    pf_willow,
    shapes,
    spair_71k,
    star,
)
from simulated_pairs import Model, Simulated, simulate

from harness.scoring.averages import weigh_pairs
from harness.scoring.bootstrap import Estimates, estimate
from harness.scoring.ranks import rank_estimates
from harness.specs import AVERAGINGS

GRAPHS: dict[str, Callable[[], Graph]] = {
    "shapes": shapes,
    "pf-pascal": pf_pascal,
    "pf-willow": pf_willow,
    "spair-71k": spair_71k,
}

UNEVEN_GRAPHS: dict[str, Callable[[], Graph]] = {"star": star, "few-sources": few_sources}
"""Of pairs that a few images decide; simulated where `--datasets` names them."""

SPREAD = 0.8
"""Of categories' levels: PCKs from about 10 to 90 %."""

DESIGNS: dict[str, Model] = {
    "pairs independent": Model(),
    "pairs independent, PCK 5 %": Model(0.05),
    "pairs independent, PCK 95 %": Model(0.95),
    "source image 10 %": Model(image_share=0.1, ends=1),
    "source image 30 %": Model(image_share=0.3, ends=1),
    "both images 2 % each": Model(image_share=0.02),
    "both images 10 %": Model(image_share=0.1),
    "both images 20 %": Model(image_share=0.2),
    "both images 28 %": Model(image_share=0.28),
    "both images 10 %, and the couple": Model(image_share=0.1, couple=0.3),
    "both images 10 %, PCK 5 %": Model(0.05, 0.1),
    "both images 20 %, PCK 5 %": Model(0.05, 0.2),
    "both images 10 %, PCK 95 %": Model(0.95, 0.1),
    "both images 10 %, categories differ": Model(image_share=0.1, spread=SPREAD),
    "source image 30 %, categories differ": Model(image_share=0.3, ends=1, spread=SPREAD),
}
"""What shares depend on: percent are of the variance of a pair's share of right keypoints."""

DIFFERENCE, AS_IF_INDEPENDENT = "difference", "image, as if pairs were independent"


@dataclass(frozen=True)
class Coverage:
    """How often intervals held the truth.

    Attributes:
        held: of those that there were, from 0 to 1; NaN where there was none.
        lacking: experiments without an interval, from 0 to 1.
    """

    held: float
    lacking: float = 0.0

    @classmethod
    def of(cls, low: np.ndarray, high: np.ndarray, truth: np.ndarray | float) -> Coverage:
        """Counts intervals whose ends are NaN where there is none."""
        is_there = ~np.isnan(low)
        held = (low <= truth) & (truth <= high)
        return cls(float(held[is_there].mean()) if is_there.any() else np.nan, float(1 - is_there.mean()))

    def __str__(self) -> str:
        if np.isnan(self.held):
            return "–"
        text = f"{100 * self.held:.1f}"
        return f"{text} ({100 * self.lacking:.0f} % without)" if self.lacking > _HARDLY_ANY else text


_HARDLY_ANY = 0.005


def cover(graph: Graph, model: Model, repetitions: int, seed: int = 0) -> dict[str, Coverage]:
    """Coverage of every interval that tables print, in many experiments on one graph."""
    simulated = simulate(graph, model, repetitions, np.random.default_rng(seed))
    covered = {}
    for averaging in AVERAGINGS:
        value, truth = averaged(graph, simulated, averaging)
        covered[averaging] = Coverage.of(*value.draws().share_interval(), truth)
    covered[DIFFERENCE] = _cover_difference(graph, simulated)
    for name, is_inside in parts_of(graph):
        value, truth = averaged(graph, simulated, "image", is_inside)
        covered[name] = Coverage.of(*value.draws().share_interval(), truth)
    covered[AS_IF_INDEPENDENT] = _cover_as_if_independent(graph, simulated)
    return covered


def averaged(
    graph: Graph, simulated: Simulated, averaging: str, is_inside: np.ndarray | None = None, method: int = 0
) -> tuple[Estimates, float]:
    """Estimates of a method's average, one for each repetition, and what is true of all of them.

    Args:
        is_inside: (P,) bool, the pairs of a slice.
    """
    weighting = weigh_pairs(averaging, graph.keypoints, graph.categories)  # type: ignore[arg-type]
    inside = np.ones(len(graph.images)) if is_inside is None else is_inside.astype(np.float64)
    numerators = simulated.right[method] / weighting.divisor[:, None] * inside[:, None]
    weights = weighting.weight * inside
    denominators = np.repeat(weights[:, None], numerators.shape[1], axis=1)
    value = estimate(numerators, denominators, graph.images, weighting.strata)
    of_stratum = np.bincount(weighting.strata, weights)
    true = np.bincount(weighting.strata, weights * simulated.truth[method])[of_stratum > 0]
    return value, float((true / of_stratum[of_stratum > 0]).mean())


def _cover_difference(graph: Graph, simulated: Simulated) -> Coverage:
    first, second = (right / graph.keypoints[:, None] for right in simulated.right)
    interval = estimate(second - first, np.ones_like(first), graph.images).draws().interval()
    truth = float((simulated.truth[1] - simulated.truth[0]).mean())
    return Coverage.of(interval.low, interval.high, truth)


def _cover_as_if_independent(graph: Graph, simulated: Simulated) -> Coverage:
    shares = simulated.right[0] / graph.keypoints[:, None]
    half = 1.96 * shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    mean = shares.mean(axis=0)
    return Coverage.of(mean - half, mean + half, float(simulated.truth[0].mean()))


def cover_drawn_categories(graph: Graph, repetitions: int, seed: int = 0) -> dict[str, Coverage]:
    """Coverage where an image's category is drawn with it, so that each experiment has a graph of its own.

    Categories are equally frequent, so that the truth of all averages is the mean of the categories' shares.
    """
    random = np.random.default_rng(seed)
    kinds = int(graph.categories.max()) + 1
    model = Model(image_share=0.1, spread=SPREAD)
    ends: dict[str, list[tuple[float, float, float]]] = {name: [] for name in AVERAGINGS}
    for _ in range(repetitions):
        drawn = drawn_from_mixed(graph.image_count, len(graph.images), kinds, random)
        simulated = simulate(drawn, model, 1, random, (0.0,))
        levels = {}
        for category, truth in zip(drawn.categories.tolist(), simulated.truth[0].tolist(), strict=True):
            levels[category] = truth
        true = float(np.mean(list(levels.values())))
        for averaging in AVERAGINGS:
            low, high = averaged(drawn, simulated, averaging)[0].draws().share_interval()
            ends[averaging].append((float(low[0]), float(high[0]), true))
    return {name: Coverage.of(*np.array(of_name).T) for name, of_name in ends.items()}


@dataclass(frozen=True)
class SeedModel:
    """Methods with noise: standard deviations of what is added under each seed.

    Attributes:
        by_image: to each image.
        whole: to all pairs alike, as another training run would.
    """

    seeds: int
    by_image: float
    whole: float


SEED_DESIGNS = [
    SeedModel(seeds, by_image, whole)
    for whole in (0.0, 0.03)
    for by_image in (0.0, 0.1)
    for seeds in (1, 3, 5)
]


def cover_seeds(graph: Graph, model: SeedModel, repetitions: int, seed: int = 0) -> Coverage:
    """Coverage of the mean over all images and all seeds that there could be."""
    random = np.random.default_rng(seed)
    images = int(graph.images.max()) + 1
    image = random.normal(0, 0.1, (images, repetitions))
    noise = random.normal(0, model.by_image, (model.seeds, images, repetitions))
    whole = random.normal(0, model.whole, (model.seeds, 1, repetitions))
    parts = image + noise
    shares = 0.5 + parts[:, graph.images[:, 0]] + parts[:, graph.images[:, 1]] + whole
    shares += random.normal(0, 0.2, shares.shape)
    low, high = estimate(shares, np.ones(shares.shape[1:]), graph.images).draws().share_interval()
    return Coverage.of(low, high, 0.5)


@dataclass(frozen=True)
class RankCounts:
    """What held of rows' places, parts of all experiments from 0 to 1.

    Attributes:
        places: every row's true place was in its interval.
        differences: every true difference was in its interval.
        equal_apart: some two rows that are truly equal were told apart.
        found: of pairs of rows that truly differ, those that were told apart.
    """

    places: float
    differences: float
    equal_apart: float
    found: float


RANK_DESIGNS: dict[str, tuple[float, ...]] = {
    "six equal rows": (0.0,) * 6,
    "two of six equal, the others 2 to 10 points apart": (0.0, 0.05, 0.05, 0.2, 0.4, 0.65),
}
"""What is added to rows' levels; 0.1 is about 4 points of PCK."""


def count_ranks(graph: Graph, levels: tuple[float, ...], repetitions: int, seed: int = 0) -> RankCounts:
    """Counts what held of the places of rows that find mostly the same images hard."""
    random = np.random.default_rng(seed)
    simulated = simulate(graph, Model(image_share=0.2), repetitions, random, levels)
    true = np.array([truth.mean() for truth in simulated.truth])
    difference = true[:, None] - true[None, :]
    is_equal = np.isclose(difference, 0) & ~np.eye(len(true), dtype=bool)
    best = 1 + (difference < -1e-9).sum(axis=1)
    worst = len(true) - (difference > 1e-9).sum(axis=1)
    held = np.zeros((repetitions, 4))
    for repetition in range(repetitions):
        rows = [right[:, repetition] / graph.keypoints for right in simulated.right]
        shares = np.stack(rows, axis=1)
        ranks = rank_estimates(estimate(shares, np.ones_like(shares), graph.images))
        apart = (ranks.low > 0) | (ranks.high < 0)
        held[repetition] = (
            ((ranks.best <= worst) & (best <= ranks.worst)).all(),
            ((ranks.low <= difference + 1e-12) & (difference <= ranks.high + 1e-12)).all(),
            (apart & is_equal).any(),
            apart[np.abs(difference) > 1e-9].mean() if np.ptp(true) > 1e-9 else np.nan,
        )
    return RankCounts(*held.mean(axis=0).tolist())


@click.command()
@click.option("--repetitions", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option(
    "--datasets",
    default=",".join(GRAPHS),
    show_default=True,
    help="Whose graphs, separated by commas; also star and few-sources, which a few images decide.",
)
@click.option(
    "--slow-repetitions",
    type=click.IntRange(min=0),
    default=400,
    show_default=True,
    help="Of what is simulated one experiment at a time: places, and categories drawn.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(repetitions: int, datasets: str, slow_repetitions: int, out: Path | None) -> None:
    """Count how often printed intervals hold the truth."""
    began = time.monotonic()
    graphs = [(GRAPHS | UNEVEN_GRAPHS)[name]() for name in datasets.split(",")]
    parts = [_head(graphs, repetitions)]
    for part in _tables(graphs, repetitions, slow_repetitions):
        parts.append(part)
        click.echo(part + "\n")
        if out:
            out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    click.echo(f"{(time.monotonic() - began) / 60:.0f} minutes", err=True)


def _head(graphs: Sequence[Graph], repetitions: int) -> str:
    error = 100 * np.sqrt(0.05 * 0.95 / repetitions)
    lines = [
        "# Coverage of 95 % intervals, simulated",
        f"Percent of {repetitions:,} experiments in which the interval held the truth; the standard error of "
        f"a number is {error:.1f}. `make bench-coverage`.",
        "\n".join(f"- {graph.describe()}" for graph in graphs),
    ]
    return "\n\n".join(lines)


def _tables(graphs: Sequence[Graph], repetitions: int, slow_repetitions: int) -> Iterator[str]:
    for graph in graphs:
        rows = []
        columns: list[str] = []
        for seed, (design, model) in enumerate(DESIGNS.items()):
            covered = cover(graph, model, repetitions, seed)
            columns = list(covered)
            rows.append([design, *(str(each) for each in covered.values())])
            click.echo(f"{graph.name}: {rows[-1]}", err=True)
        yield f"## {graph.name}\n\n" + report.plain(["variance of a pair's share", *columns], rows)
    small = [graph for graph in graphs if len(graph.images) <= _SMALL]
    if small:
        yield "## Seeds\n\n" + _seed_table(small, repetitions)
    if small and slow_repetitions:
        title = "## Categories drawn with the images"
        rows = []
        for graph in small:
            drawn = cover_drawn_categories(graph, slow_repetitions)
            rows.append([graph.name, *(str(each) for each in drawn.values())])
        yield f"{title}, {slow_repetitions} experiments\n\n" + report.plain(["as many as", *AVERAGINGS], rows)
        yield f"## Places, {slow_repetitions} experiments\n\n" + _rank_table(small, slow_repetitions)


_SMALL = 1000
"""Pairs up to which all else is simulated: with more it would take hours."""


def _seed_table(graphs: Sequence[Graph], repetitions: int) -> str:
    rows = []
    for seed, model in enumerate(SEED_DESIGNS):
        covered = [str(cover_seeds(graph, model, repetitions, seed)) for graph in graphs]
        rows.append([str(model.seeds), str(model.by_image), str(model.whole), *covered])
    headers = ["seeds", "of a seed, on an image", "on all pairs", *(graph.name for graph in graphs)]
    return report.plain(headers, rows)


def _rank_table(graphs: Sequence[Graph], repetitions: int) -> str:
    rows = []
    for graph in graphs:
        for seed, (design, levels) in enumerate(RANK_DESIGNS.items()):
            counts = count_ranks(graph, levels, repetitions, seed)
            parts = [counts.places, counts.differences, counts.equal_apart, counts.found]
            texts = [f"{100 * part:.1f}" if not np.isnan(part) else "–" for part in parts]
            rows.append([graph.name, design, *texts])
    headers = ("all places held", "all differences held", "equal rows told apart", "unequal rows told apart")
    return report.plain(["dataset", "rows", *headers], rows)


if __name__ == "__main__":
    main()
