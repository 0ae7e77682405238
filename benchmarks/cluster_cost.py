"""Estimates what a sweep takes on a cluster: `python benchmarks/cluster_cost.py`; its numbers are options.

Operations of the networks are counted from true shapes, and what a pair needs besides was timed on one core
of a CPU (`results/performance/reproduction.json`, which `reproduction.py` writes). Nothing was measured on a
GPU. The seconds of a unit are

    (pictures x operations of a picture + pairs x operations of a pair) / (peak x share)
    + pairs x seconds besides x factor

Units are cut and ordered as `bench run --engine ray` does it, over pairs of the fewest pictures of which
SPair-71k's published numbers can be made; a picture is encoded again in each unit that needs its batch. Not
in it: reading and decoding pictures, and the time that a job waits for its machines.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import click
from report import TERA, plain
from reproduction_runs import (
    SPAIR_TEST,
    SPAIR_TEST_PAIRS,
    Part,
    Split,
    Units,
    captioned_states,
    cpm,
    decoder_states,
    dift,
    dinov1,
    dinov2,
    fewest_pictures,
    sd_dino,
)

from harness.engines.units import unit_size
from harness.features.schedule import steps

COUNTED = Path(__file__).parent.parent / "results" / "performance" / "reproduction.json"

BATCH = 8
"""Pictures that are encoded together unless `--batch-size` says otherwise."""

SECONDS_BESIDE = {"hog": 0.03, "position": 0.005}
"""CPU seconds of a pair that are not in the file: with `shapes`' pictures, all that these methods need."""

GIGABYTES = {
    **{"2-1": 2.6, "1-5": 2.1, "dinov2": 0.35, "dinov1": 0.09, "dinov3": 0.35},
    **{"captioner": 1.7, "efficientnet": 0.02},
}
"""Weights that a worker reads, in half precision where the method's are."""


def text_and_dinov2(units: Units, split: Split) -> float:
    """SD+DINO with a text."""
    return decoder_states(units, split) + dinov2(units, split)


def efficientnet(units: Units, split: Split) -> float:
    """The example of a plugin, at 448 x 448: 0.39 GMAC at 224 x 224, as published."""
    return split.pictures * 4 * 2 * 0.39e9


def nothing(units: Units, split: Split) -> float:
    """Methods without a network."""
    return 0.0


@dataclass(frozen=True)
class Cell:
    """A cell of the sweep.

    Attributes:
        part: operations of a run on a split.
        beside: names of what a pair needs besides.
        networks: whose weights a worker reads before its first unit, unless it has them.
    """

    method: str
    prompt: str
    part: Part
    beside: tuple[str, ...]
    networks: tuple[str, ...] = ()

    @property
    def is_by_pair(self) -> bool:
        """Whether features follow from the pair, so that units share nothing that could be kept."""
        return self.part is cpm


POINTS, SOFT, PATCHES = "dift: argmax-original", "sd4match: kernel-softmax", "sd-dino: argmax-patch"
JOINED = ("sd-dino: principal components", PATCHES)
TEXTS = ("empty", "category")
TUNED = ("sd4match-single", "sd4match-class", "sd4match-cpm")

CELLS = (
    Cell("position", "none", nothing, ("position",)),
    Cell("hog", "none", nothing, ("hog",)),
    Cell("efficientnet-lite0", "none", efficientnet, (PATCHES,), ("efficientnet",)),
    Cell("dinov1", "none", dinov1, (PATCHES,), ("dinov1",)),
    Cell("dinov2", "none", dinov2, (PATCHES,), ("dinov2",)),
    # As wide, as deep and on as many patches as DINOv2: ViT-B/16 at 960 x 960.
    Cell("dinov3", "none", dinov2, (PATCHES,), ("dinov3",)),
    *(Cell("dift", text, dift, (POINTS,), ("2-1",)) for text in TEXTS),
    # A text in the place of the tuned prompt: features follow from the picture, whatever the recipe.
    *(Cell(method, text, dift, (SOFT,), ("2-1",)) for method in TUNED for text in TEXTS),
    Cell("sd4match-single", "tuned", dift, (SOFT,), ("2-1",)),
    Cell("sd4match-class", "tuned", dift, (SOFT,), ("2-1",)),
    Cell("sd4match-cpm", "tuned", cpm, (SOFT,), ("2-1", "dinov2")),
    *(Cell("sd-dino-star", text, decoder_states, JOINED, ("1-5",)) for text in TEXTS),
    Cell("sd-dino-star", "implicit-captioner", captioned_states, JOINED, ("1-5", "captioner")),
    *(Cell("sd-dino", text, text_and_dinov2, JOINED, ("1-5", "dinov2")) for text in TEXTS),
    Cell("sd-dino", "implicit-captioner", sd_dino, JOINED, ("1-5", "dinov2", "captioner")),
)
"""Twelve methods, eleven of them built in, with the prompts that they take."""


@dataclass(frozen=True)
class Machine:
    """What the estimate assumes.

    Attributes:
        peak, share: TFLOP/s of a GPU, and the part of it that networks reach.
        beside: factor on the CPU seconds of what a pair needs besides the networks.
        start: seconds until a worker has imported everything.
        reading: GB/s at which weights are read.
    """

    peak: float = 312.0
    share: float = 0.4
    beside: float = 1.0
    start: float = 15.0
    reading: float = 0.5


@dataclass
class Taken:
    """What one cell takes, or several.

    Attributes:
        units: number of them.
        pictures: that are encoded, those of several units several times.
        busy, loading: seconds of all workers together.
        began, ended: seconds from the start of the run.
    """

    units: int = 0
    pictures: int = 0
    busy: float = 0.0
    loading: float = 0.0
    began: float = float("inf")
    ended: float = 0.0

    def add(self, split: Split, busy: float, loading: float, ended: float) -> None:
        """Adds a unit."""
        self.units += 1
        self.pictures += split.pictures
        self.busy += busy
        self.loading += loading
        self.began, self.ended = min(self.began, ended - busy - loading), max(self.ended, ended)


@dataclass(order=True)
class Worker:
    """A worker, ordered by when it is free."""

    free: float
    number: int
    networks: set[str] = field(default_factory=set, compare=False)


def counted() -> tuple[Units, dict[str, float]]:
    """Operations of parts, and what pairs need besides."""
    content = json.loads(COUNTED.read_text(encoding="utf-8"))
    return Units(**content["operations"]), content["cpu_seconds_by_pair"] | SECONDS_BESIDE


def cut(size: int, is_by_pair: bool = False) -> Iterator[Split]:
    """Units of SPair-71k's test pairs, each of one category and of `size` pairs at most."""
    first = 0
    for count in SPAIR_TEST_PAIRS:
        pictures = range(first, first + fewest_pictures([count]))
        first = pictures.stop
        needs = list(itertools.islice(itertools.permutations(pictures, 2), count))
        if not is_by_pair:
            # The order of `cut_units`.
            needs = [needs[pair] for step in steps(needs, BATCH, 2 * BATCH) for pair in step.pairs]
        parts = -(-count // size)
        for part in range(parts):
            unit = needs[count * part // parts : count * (part + 1) // parts]
            used = set(itertools.chain.from_iterable(unit))
            if is_by_pair:
                yield Split("unit", len(used), len(unit))
                continue
            # An incomplete batch is encoded whole, so that features are the same to the byte.
            batches = {picture // BATCH for picture in used}
            encoded = sum(min(BATCH, SPAIR_TEST.pictures - BATCH * batch) for batch in batches)
            yield Split("unit", encoded, len(unit))


def seconds_of(
    cell: Cell, split: Split, units: Units, besides: Mapping[str, float], machine: Machine
) -> float:
    """Seconds of one unit on one worker."""
    beside = split.pairs * sum(besides[name] for name in cell.beside) * machine.beside
    return cell.part(units, split) / (machine.peak * TERA * machine.share) + beside


@lru_cache
def _cut(size: int, is_by_pair: bool) -> list[Split]:
    return list(cut(size, is_by_pair))


def unit_sizes(cells: int, workers: int) -> list[int]:
    """Pairs of a unit of each cell: while others follow there is work for all, and the last are small."""
    return [unit_size(SPAIR_TEST.pairs * left, workers) for left in range(cells, 0, -1)]


def estimate(cells: Sequence[Cell], workers: int, machine: Machine) -> tuple[list[Taken], float]:
    """What each cell takes, and the tail: seconds in which some workers have nothing left to do.

    A worker that is free takes the next unit, of the next cell where the last one has none left.
    """
    units, besides = counted()
    free = [Worker(machine.start, number) for number in range(workers)]
    estimates: list[Taken] = []
    for cell, size in zip(cells, unit_sizes(len(cells), workers), strict=True):
        taken = Taken()
        for split in _cut(size, cell.is_by_pair):
            worker = free[0]
            missing = set(cell.networks) - worker.networks
            loading = sum(GIGABYTES[name] for name in missing) / machine.reading
            busy = seconds_of(cell, split, units, besides, machine)
            taken.add(split, busy, loading, worker.free + loading + busy)
            heapq.heapreplace(
                free, Worker(worker.free + loading + busy, worker.number, worker.networks | missing)
            )
        estimates.append(taken)
    ends = [worker.free for worker in free]
    return estimates, max(ends) - min(ends)


def total(estimates: Sequence[Taken], workers: int, machine: Machine) -> Taken:
    """All cells together; workers' start counts as loading."""
    return Taken(
        units=sum(taken.units for taken in estimates),
        pictures=sum(taken.pictures for taken in estimates),
        busy=sum(taken.busy for taken in estimates),
        loading=sum(taken.loading for taken in estimates) + workers * machine.start,
        began=0.0,
        ended=max(taken.ended for taken in estimates),
    )


def render(cells: Sequence[Cell], workers: int, machine: Machine) -> str:
    """The table of cells, and of other numbers of workers."""
    estimates, _ = estimate(cells, workers, machine)
    rows = [
        [cell.method, cell.prompt, *_numbers(taken)] for cell, taken in zip(cells, estimates, strict=True)
    ]
    headers = ("units", "pictures encoded", "GPU-hours", "loading, GPU-hours", "wall-clock")
    others = []
    for number in sorted({1, 8, 64, workers}):
        estimates, tail = estimate(cells, number, machine)
        numbers = _numbers(total(estimates, number, machine))
        first, *_, last = [*unit_sizes(len(cells), number), unit_size(SPAIR_TEST.pairs, number)]
        others.append([str(number), f"{first} to {last}", *numbers, duration(tail)])
    assumed = (
        f"{SPAIR_TEST.pairs:,} pairs of {SPAIR_TEST.pictures} pictures of SPair-71k, {len(cells)} cells, "
        f"{workers} workers of one GPU each; {100 * machine.share:g} % of {machine.peak:g} TFLOP/s; "
        f"{machine.beside:g} times the CPU seconds besides the networks; {machine.start:g} s until a worker "
        f"has begun, weights at {machine.reading:g} GB/s."
    )
    return "\n\n".join(
        (
            assumed,
            plain(("method", "prompt", *headers), rows),
            "All cells, by the number of workers:",
            plain(("workers", "pairs of a unit", *headers, "tail"), others),
        )
    )


def _numbers(taken: Taken) -> list[str]:
    hours = [f"{taken.busy / 3600:.2f}", f"{taken.loading / 3600:.2f}"]
    return [f"{taken.units:,}", f"{taken.pictures:,}", *hours, duration(taken.ended - taken.began)]


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@click.command(context_settings={"show_default": True})
@click.option("--workers", type=click.IntRange(1), default=64, help="GPUs.")
@click.option("--peak", type=click.FloatRange(1), default=312.0, help="TFLOP/s of a GPU.")
@click.option("--share", type=click.FloatRange(0.01, 1), default=0.4, help="Part of it that networks reach.")
@click.option("--beside", type=click.FloatRange(0), default=1.0, help="Factor on CPU seconds of pairs.")
@click.option("--start", type=click.FloatRange(0), default=15.0, help="Seconds until a worker has begun.")
@click.option("--reading", type=click.FloatRange(0.001), default=0.5, help="GB/s at which weights are read.")
@click.option("--method", "methods", multiple=True, help="These methods alone; all where none is given.")
def main(
    workers: int,
    peak: float,
    share: float,
    beside: float,
    start: float,
    reading: float,
    methods: tuple[str, ...],
) -> None:
    """Estimate a sweep of twelve methods over SPair-71k."""
    known = dict.fromkeys(cell.method for cell in CELLS)
    if unknown := [name for name in methods if name not in known]:
        raise click.UsageError(
            f"--method: {', '.join(unknown)} is not known; choose among {', '.join(known)}"
        )
    cells = [cell for cell in CELLS if not methods or cell.method in methods]
    click.echo(render(cells, workers, Machine(peak, share, beside, start, reading)))


if __name__ == "__main__":
    main()
