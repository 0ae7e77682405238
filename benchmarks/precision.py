"""Measures the effect of half precision: `make bench-precision`, or `python benchmarks/precision.py`.

The same cells in single and in half precision: PCK and its difference with an interval, how many
predictions move and how far, and how much features and their cosines differ. `--size sd21` does the
latter on networks of Stable Diffusion 2-1's shapes with random weights, and looks at how near the numbers
inside come to what half precision can hold. Writes Markdown.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import report
import torch
from map_difference import MAP_PAIRS, Maps, map_difference, maps_of
from numeric_range import Range, ranges
from ours import Setup
from true_size import write_networks
from workloads import Extent, write_folder

from harness.environment import hardware, package_versions
from harness.errors import UserError
from harness.frames import Size
from harness.messages import counted
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.records.folders import RECORD, read_record
from harness.records.predictions import PREDICTIONS
from harness.records.runs import StoredCell
from harness.records.schema import Record
from harness.running.plan import plan
from harness.running.predict import make_pair_features
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.running.run_cell import run_cell
from harness.scoring.comparison import Comparison, Side, compare
from harness.scoring.criteria import make_criterion
from harness.scoring.pck import threshold_length
from harness.scoring.points import read_cell, read_points
from harness.scoring.protocols import frame_of
from harness.scoring.sources import Predicted
from harness.scoring.truth import truth_of
from harness.sweep import DatasetChoice, Sweep
from harness.tables.differences import differences
from harness.weights.choice import WeightChoice

IMAGE_METHODS = ("dift", "sd4match-single", "sd4match-class", "dinov2")
PAIR_METHODS = ("sd4match-cpm", "sd-dino-star", "sd-dino")
HALVES = ("bf16", "fp16")
STILL = 0.01
"""Pixels of the target's own count: what moves less has not moved."""


@dataclass(frozen=True)
class Question:
    """The cells that are run.

    Attributes:
        limit: pairs of a split, None for all.
        ensemble: draws of noise of the methods that have an ensemble; None for each recipe's own.
    """

    out: Path
    data_root: Path
    dataset: str = "shapes"
    limit: int | None = None
    ensemble: int | None = None
    weights: tuple[str, ...] = ("tiny",)

    def resolve(self, host: Host, method: str, precision: str) -> ResolvedCell:
        """A method's cell in one precision."""
        extractor = host.extractors[host.methods[method].extractor]
        overrides = {}
        # DINO has no ensemble, and a parameter that no method of a sweep has is refused.
        if self.ensemble and "ensemble" in extractor.params:
            overrides["ensemble"] = (self.ensemble,)
        dataset = DatasetChoice.parse(self.dataset)
        sweep = Sweep(methods=(method,), datasets=(dataset,), overrides=overrides)
        (cell,) = plan(sweep, host)
        options = RunOptions(
            data_root=self.data_root,
            out=self.out,
            criteria=(make_criterion(host, "sd4match"),),
            precision=precision,
            limit=self.limit,
            weights=WeightChoice.parse(host, self.weights),
        )
        return resolve_cell(Resources(host, options), cell)


@dataclass(frozen=True)
class Shift:
    """Distances between predictions.

    Attributes:
        pixels: (N) of the target image.
        relative: (N) the same over the target's size, in the protocol's frame: what alpha is compared with.
    """

    pixels: np.ndarray
    relative: np.ndarray

    @property
    def moved(self) -> float:
        """Share of the points that are somewhere else."""
        return float((self.pixels > STILL).mean())

    def percentile(self, share: float) -> float:
        """Of all points, in percent of the target's size."""
        return float(np.percentile(100 * self.relative, share))

    @property
    def jump(self) -> float:
        """Median of the points that have moved, in percent of the target's size; 0 where none has."""
        jumps = self.relative[self.pixels > STILL]
        if not len(jumps):
            return 0.0
        return 100 * float(np.median(jumps))


def shift(full: ResolvedCell, half: ResolvedCell, localizer: str) -> Shift:
    """Compares the stored predictions of two cells, point by point, on the pairs that both have."""
    full_points = read_points(truth_of(full.index), full.folder, read_record(full.folder / RECORD), localizer)
    half_points = read_points(truth_of(half.index), half.folder, read_record(half.folder / RECORD), localizer)
    protocol = full.options.criteria[0].protocol
    pixels, relative = [], []
    for pair_id in full_points.keys() & half_points.keys():
        target = full.index.target(pair_id)
        frame = frame_of(protocol, target.size, Size(*full.fed))
        expected, measured = full_points[pair_id], half_points[pair_id]
        pixels.append(np.linalg.norm(expected - measured, axis=1))
        # A stretched frame changes distances by another factor in x than in y.
        difference = frame.from_original(expected) - frame.from_original(measured)
        distances = np.linalg.norm(difference, axis=1)
        relative.append(distances / threshold_length(full.index.threshold, target, frame))
    return Shift(np.concatenate(pixels), np.concatenate(relative))


def rows(question: Question, host: Host, method: str) -> Iterator[list[str]]:
    """Yields a row for each precision, single first. Raises `RuntimeError` if a pair fails."""
    cells, stored = {}, {}
    for precision in ("fp32", *HALVES):
        cells[precision] = question.resolve(host, method, precision)
        stored[precision] = _run(host, cells[precision])
    full = cells["fp32"]
    localizer = full.cell.localizers[0]
    measured = full.options.criteria[0]
    full_side = Side(stored["fp32"], localizer, measured)
    maps = maps_of(full)
    # SD+DINO's PCA gives the maps of each precision a basis of their own.
    same_basis = not method.startswith("sd-dino")
    for precision in HALVES:
        half_side = Side(stored[precision], localizer, measured)
        comparison = compare(full_side, half_side, *map(_predicted, (full, cells[precision])))
        lines = [line for line in differences([comparison], "image")[0] if line["slice"] == "all"]
        if precision == HALVES[0]:
            # The row of single precision itself, with PCK instead of differences.
            scores = [f"{line['pck_a']:.1f}" for line in lines]
            yield [_name(comparison), localizer, "", "fp32", *scores, *[""] * 6]
        apart = shift(full, cells[precision], localizer)
        difference = map_difference(maps, maps_of(cells[precision]), same_basis=same_basis)
        yield [
            "",
            "",
            _counts(comparison),
            precision,
            *map(_interval, lines),
            f"{100 * apart.moved:.1f} %",
            f"{apart.jump:.2g}",
            f"{apart.percentile(95):.2g}",
            f"{apart.percentile(99):.2g}",
            "–" if difference.features is None else f"{difference.features:.1e}",
            f"{difference.cosines:.1e}",
        ]
        click.echo(f"bench: {method} {precision}: {100 * apart.moved:.1f} % moved", err=True)


def _predicted(cell: ResolvedCell) -> Predicted:
    predictions = read_cell(cell.folder, read_record(cell.folder / RECORD))
    return Predicted(cell.folder / PREDICTIONS, predictions, truth_of(cell.index))


def _interval(line: Mapping[str, Any]) -> str:
    """A difference of PCK, and the ends of its interval, where there are pictures enough for one."""
    if line["low"] is None:
        return f"{line['difference']:+.2f}"
    return f"{line['difference']:+.2f} ({line['low']:+.2f} to {line['high']:+.2f})"


def _name(comparison: Comparison) -> str:
    return f"{comparison.side_a.cell.record.cell.label}, {comparison.where}"


def _counts(comparison: Comparison) -> str:
    points = int(comparison.total.sum())
    pictures = len(np.unique(comparison.images))
    return f"{len(comparison.pair_ids)} pairs, {points} points, {pictures} pictures"


def _run(host: Host, prepared: ResolvedCell) -> StoredCell:
    record: Record = run_cell(Resources(host, prepared.options), prepared)
    if record.status != "ok":
        raise RuntimeError(f"{prepared.cell.label}: {record.error or record.failures[:1]}")
    return StoredCell(prepared.folder, record)


HEADER = (
    *("method, data", "localizer", "of", "precision", "PCK @0.05", "@0.10", "@0.15", "points moved"),
    *("median of those", "95th percentile of all", "99th", "features", "cosines"),
)
READING = (
    "Rows of bf16 and fp16 give differences of PCK to fp32 on the pairs that both have, in percentage "
    "points, with 95 % intervals of the bootstrap over images. A point has moved if it lies more than "
    f"{STILL} pixels elsewhere; how far is in percent of the target's size, which alpha multiplies. "
    f"Features: norm of the difference over the norm, maps of {MAP_PAIRS} pairs; not of maps with a PCA of "
    "their own. Cosines: root mean square difference of all source cells' cosines with all target cells, "
    "over the cosines' own standard deviation. Noise is the same in every precision."
)


def true_size(configs: Path, work: Path, side: int, ensemble: int) -> Iterator[str]:
    """Networks of true shape on one pair: how much maps differ, and how large numbers inside become."""
    weights, _ = write_networks(configs, work / "networks")
    config = work / "networks" / "stable-diffusion" / "unet" / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    # The configuration states the side in latents, of which each is 8 pixels wide.
    config.write_text(json.dumps(content | {"sample_size": side // 8}), encoding="utf-8")
    data = write_folder(work / "data", Extent(1, 2, 1))
    setup = Setup(data, work, weights=weights)
    full, inside = _watch_ranges(setup, ensemble)
    lines = []
    # The largest numbers are those of single precision; half precision adds its overflows.
    widest = inside
    for precision in HALVES:
        half, inside = _watch_ranges(replace(setup, precision=precision), ensemble)
        difference = map_difference(full, half)
        median = percentile = "–"
        if len(difference.distances):
            median = f"{np.percentile(difference.distances, 50):.1f}"
            percentile = f"{np.percentile(difference.distances, 95):.1f}"
        lines.append(
            [
                precision,
                f"{difference.features:.1e}",
                f"{difference.cosines:.1e}",
                f"{100 * difference.moved:.1f} %",
                median,
                percentile,
            ]
        )
        for wide, narrow in zip(widest, inside, strict=True):
            wide.overflows += narrow.overflows
        click.echo(f"bench: {precision}: {difference.features:.1e}", err=True)
    draws = counted(ensemble, "draw")
    yield f"Pictures of {side} x {side} pixels, {draws} of noise, one pair, `dift`."
    yield report.plain(
        ["precision", "features", "cosines", "best cells moved", "median of those, cells", "95th percentile"],
        lines,
    )
    headers = [
        "network",
        "largest number put out (fp32)",
        "by",
        "largest attention score before scaling",
        "infinite or NaN in half precision",
    ]
    table = []
    for inner in widest:
        numbers = (f"{inner.largest:.3g}", inner.where, f"{inner.score:.3g}", str(inner.overflows))
        table.append([inner.network, *numbers])
    yield report.plain(headers, table)


def _watch_ranges(setup: Setup, ensemble: int) -> tuple[Maps, list[Range]]:
    prepared = setup.resolve("dift", ensemble=ensemble)
    backbone, _ = setup.backbone(prepared)
    networks = {
        "VAE encoder": backbone.vae,
        "U-Net": backbone.unet,
        "text encoder": backbone.text_encoder,
    }
    pair = prepared.index.pairs[prepared.index.pair_ids[0]]
    with ranges(networks) as inner_ranges:
        features = make_pair_features(prepared, setup.shared)
        with torch.inference_mode():
            maps = [features(pair)]
    # Two backbones of true shape need not fit into memory side by side.
    setup.shared.clear()
    return maps, inner_ranges()


@click.command()
@click.option(
    "--size",
    type=click.Choice(["tiny", "sd21"]),
    default="tiny",
    show_default=True,
    help="Bundled networks, or true shapes.",
)
@click.option(
    "--configs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="For sd21: a pipeline without weights.",
)
@click.option(
    "--side",
    type=click.IntRange(min=64),
    default=768,
    show_default=True,
    help="For sd21: pixels, a multiple of 64.",
)
@click.option("--methods", help="A,B; all that run on the bundled networks otherwise.")
@click.option("--dataset", default="shapes", show_default=True, help="As `bench run --datasets` takes it.")
@click.option("--data-root", type=click.Path(path_type=Path), default=Path("data"), show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Pairs; all otherwise.")
@click.option(
    "--pair-limit",
    type=click.IntRange(min=1),
    default=96,
    show_default=True,
    help="Pairs of methods that look at pairs.",
)
@click.option(
    "--ensemble",
    type=click.IntRange(min=1),
    help="Draws of noise; each recipe's own otherwise, and 1 for sd21.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keeps results here: an interrupted run goes on.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(
    size: str,
    configs: Path | None,
    side: int,
    methods: str | None,
    dataset: str,
    data_root: Path,
    limit: int | None,
    pair_limit: int,
    ensemble: int | None,
    work: Path | None,
    out: Path | None,
) -> None:
    """Measure what half precision does."""
    if size == "sd21" and configs is None:
        raise click.UsageError("--size sd21 needs --configs, a Stable Diffusion pipeline without weights")
    with tempfile.TemporaryDirectory() as name:
        folder = work or Path(name)
        if configs is not None and size == "sd21":
            body = "\n\n".join(true_size(configs, folder, side, ensemble or 1))
        else:
            host = load_plugins()
            question = Question(folder, data_root, dataset, limit, ensemble)
            # Methods that look at pairs compute features anew for each of them.
            few = replace(question, limit=pair_limit)
            chosen = methods.split(",") if methods else [*IMAGE_METHODS, *PAIR_METHODS]
            table: list[list[str]] = []
            try:
                for method in chosen:
                    method_question = few if method in PAIR_METHODS else question
                    table += rows(method_question, host, method)
            except UserError as error:
                raise click.ClickException(str(error)) from error
            body = f"{report.plain(HEADER, table)}\n\n{READING}"
    networks = "bundled tiny networks" if size == "tiny" else "Stable Diffusion 2-1's shapes, random weights"
    versions = package_versions()
    machine = ", ".join(f"{key} {value}" for key, value in hardware("cpu").items())
    head = (
        f"# Half precision: {networks}, cpu\n\n{machine}"
        f"; torch {versions['torch']}, diffusers {versions['diffusers']}, Python {versions['python']}."
    )
    text = f"{head}\n\n{body}\n"
    report.publish(text, out)


if __name__ == "__main__":
    main()
