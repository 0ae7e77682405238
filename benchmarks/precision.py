"""Measures the effect of half precision: `make bench-precision`, or `python benchmarks/precision.py`.

The same cells in single and in half precision: PCK and its difference with an interval, how many
predictions move and how far, and how much features and their cosines differ. `--size sd21` does the
latter on networks of Stable Diffusion 2-1's shapes with random weights, and looks at how near the numbers
inside come to what half precision can hold. Writes Markdown.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from harness.records.runs import StoredCell
from harness.records.schema import Record
from harness.running.plan import plan
from harness.running.predict import make_pair_features
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.running.run_cell import run_cell
from harness.scoring.comparison import Comparison, Side, compare
from harness.scoring.correctness import read_points
from harness.scoring.criteria import make_criterion
from harness.scoring.pck import threshold_length
from harness.scoring.protocols import frame_of
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
        has_ensemble = "ensemble" in host.extractors[host.methods[method].extractor].params
        overrides = {"ensemble": (self.ensemble,)} if self.ensemble and has_ensemble else {}
        (cell,) = plan(
            Sweep(methods=(method,), datasets=(DatasetChoice.parse(self.dataset),), overrides=overrides), host
        )
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
        return 100 * float(np.median(jumps)) if len(jumps) else 0.0


def shift(full: ResolvedCell, half: ResolvedCell, localizer: str) -> Shift:
    """Compares the stored predictions of two cells, point by point, on the pairs that both have."""
    first, second = (read_points(cell.index, cell.folder, localizer) for cell in (full, half))
    protocol, pixels, relative = full.options.criteria[0].protocol, [], []
    for pair_id in first.keys() & second.keys():
        target = full.index.target(pair_id)
        frame = frame_of(protocol, target.size, Size(*full.fed))
        places = first[pair_id], second[pair_id]
        pixels.append(np.linalg.norm(places[0] - places[1], axis=1))
        apart = np.linalg.norm(frame.from_original(places[0]) - frame.from_original(places[1]), axis=1)
        relative.append(apart / threshold_length(full.index.threshold, target, frame))
    return Shift(np.concatenate(pixels), np.concatenate(relative))


def rows(question: Question, host: Host, method: str) -> Iterator[list[str]]:
    """Yields a row for each precision, single first. Raises `RuntimeError` if a pair fails."""
    cells = {precision: question.resolve(host, method, precision) for precision in ("fp32", *HALVES)}
    stored = {precision: _run(host, cell) for precision, cell in cells.items()}
    full, localizer = cells["fp32"], cells["fp32"].cell.localizers[0]
    measured = full.options.criteria[0]
    maps = maps_of(full)
    for precision in HALVES:
        sides = [Side(stored[name], localizer, measured) for name in ("fp32", precision)]
        comparison = compare(sides[0], sides[1], full.index)
        lines = [line for line in differences([comparison], "image")[0] if line["slice"] == "all"]
        if precision == HALVES[0]:
            yield [
                _name(comparison),
                localizer,
                "",
                "fp32",
                *(f"{line['pck_a']:.1f}" for line in lines),
                *[""] * 6,
            ]
        apart = shift(full, cells[precision], localizer)
        difference = map_difference(
            maps, maps_of(cells[precision]), same_basis=not method.startswith("sd-dino")
        )
        yield [
            *("", "", _counts(comparison), precision),
            *(f"{line['difference']:+.2f} ({line['low']:+.2f} to {line['high']:+.2f})" for line in lines),
            f"{100 * apart.moved:.1f} %",
            *(f"{value:.2g}" for value in (apart.jump, apart.percentile(95), apart.percentile(99))),
            "–" if difference.features is None else f"{difference.features:.1e}",
            f"{difference.cosines:.1e}",
        ]
        click.echo(f"bench: {method} {precision}: {100 * apart.moved:.1f} % moved", err=True)


def _name(comparison: Comparison) -> str:
    return f"{comparison.first.cell.record.cell.label}, {comparison.where}"


def _counts(comparison: Comparison) -> str:
    points, pictures = int(comparison.total.sum()), len(np.unique(comparison.images))
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
    config.write_text(json.dumps(content | {"sample_size": side // 8}), encoding="utf-8")
    setup = Setup(write_folder(work / "data", Extent(1, 2, 1)), work, weights=weights)
    full, inside = _watch_ranges(setup, ensemble)
    lines, widest = [], inside
    for precision in HALVES:
        half, inside = _watch_ranges(replace(setup, precision=precision), ensemble)
        difference = map_difference(full, half)
        far = [
            f"{np.percentile(difference.distances, share):.1f}" if len(difference.distances) else "–"
            for share in (50, 95)
        ]
        lines.append(
            [
                precision,
                f"{difference.features:.1e}",
                f"{difference.cosines:.1e}",
                f"{100 * difference.moved:.1f} %",
                *far,
            ]
        )
        widest = [
            replace(wide, overflows=wide.overflows + narrow.overflows)
            for wide, narrow in zip(widest, inside, strict=True)
        ]
        click.echo(f"bench: {precision}: {difference.features:.1e}", err=True)
    draws = counted(ensemble, "draw")
    yield f"Pictures of {side} x {side} pixels, {draws} of noise, one pair, `dift`."
    yield report.plain(
        ["precision", "features", "cosines", "best cells moved", "median of those, cells", "95th percentile"],
        lines,
    )
    yield report.plain(
        [
            "network",
            "largest number put out (fp32)",
            "by",
            "largest attention score before scaling",
            "infinite or NaN in half precision",
        ],
        [
            [inner.network, f"{inner.largest:.3g}", inner.where, f"{inner.score:.3g}", str(inner.overflows)]
            for inner in widest
        ],
    )


def _watch_ranges(setup: Setup, ensemble: int) -> tuple[Maps, list[Range]]:
    prepared = setup.resolve("dift", ensemble=ensemble)
    backbone, _ = setup.backbone(prepared)
    with ranges(
        {"VAE encoder": backbone.vae, "U-Net": backbone.unet, "text encoder": backbone.text_encoder}
    ) as inner_ranges:
        features = make_pair_features(prepared, setup.shared)
        with torch.inference_mode():
            maps = [features(prepared.index.pairs[prepared.index.pair_ids[0]])]
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
            question, host = Question(folder, data_root, dataset, limit, ensemble), load_plugins()
            few = replace(question, limit=pair_limit)
            chosen: Sequence[str] = methods.split(",") if methods else (*IMAGE_METHODS, *PAIR_METHODS)
            try:
                table = [
                    row
                    for method in chosen
                    for row in rows(few if method in PAIR_METHODS else question, host, method)
                ]
            except UserError as error:
                raise click.ClickException(str(error)) from error
            body = f"{report.plain(HEADER, table)}\n\n{READING}"
    networks = "bundled tiny networks" if size == "tiny" else "Stable Diffusion 2-1's shapes, random weights"
    versions = package_versions()
    head = (
        f"# Half precision: {networks}, cpu\n\n"
        + ", ".join(f"{key} {value}" for key, value in hardware("cpu").items())
        + f"; torch {versions['torch']}, diffusers {versions['diffusers']}, Python {versions['python']}."
    )
    text = f"{head}\n\n{body}\n"
    click.echo(text, nl=False)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
