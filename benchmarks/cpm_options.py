"""Measures what faster ways of `sd4match-cpm` cost in PCK, and what they spare.

`python benchmarks/cpm_options.py --out results/performance/cpm-options.md`, with `--configs` a pipeline of
Stable Diffusion 2-1 without weights for the counts at its shapes. Half an hour on one core. PCK is that of
all pairs of `shapes` with the bundled networks; cells that `--work` has already are not computed again.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import published
import report
import torch
from agreement import locate_as_published
from cpm_counts import Counted, count
from cpm_stages import CpmStages
from ours import Setup, localizer_of
from workloads import Extent, write_folder

import harness
from baselines.sources import STABLE_DIFFUSION_2_1
from harness.environment import hardware, package_versions
from harness.preprocess import stretched_maps
from harness.running.predict import make_pair_features
from harness.running.resources import Resources
from harness.running.run_cell import run_cell
from harness.specs import Scalar

METHOD = "sd4match-cpm"

ALPHA = 0.1

MANY = Extent(1, 11, 110, 160, 120)
"""All ordered pairs of eleven pictures: each is in twenty of them."""

PUBLISHED_PAIRS = 8

TINY = Path(__file__).parents[1] / "baselines" / "tiny" / "weights" / "stable-diffusion"


@dataclass(frozen=True, eq=False)
class Option:
    """A way to run the method.

    Attributes:
        params: values of `--set`; none for the method itself.
    """

    params: Mapping[str, Scalar] = field(default_factory=dict)
    precision: str = "fp32"

    @property
    def text(self) -> str:
        """As it stands on a command line."""
        parts = [f'--set {name}="{value}"' for name, value in self.params.items()]
        if self.precision != "fp32":
            parts.append(f"--precision {self.precision}")
        return f"`{' '.join(parts).replace(chr(34), chr(39))}`" if parts else "the method"

    @property
    def folder(self) -> str:
        """Name of a folder for its results."""
        values = [f"{name}-{value}".replace(" ", "-") for name, value in self.params.items()]
        return "-".join([*values, self.precision])


EARLY: Mapping[str, Scalar] = {"draws_averaged": "prompt"}

OPTIONS = (
    Option(),
    *(Option({"ensemble": draws}) for draws in (4, 2, 1)),
    Option(precision="bf16"),
    Option({"prompt_from": "mid-block"}),
    Option({"prompt_from": "up-block 1"}),
    Option(EARLY),
    Option({"prompt_from": "mid-block", **EARLY}),
    Option({"prompt_from": "up-block 1", **EARLY}),
)


@dataclass(frozen=True)
class Measured:
    """An option's PCK in percent, the difference to the method's, and both 95 % intervals."""

    pck: float
    low: float
    high: float
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0


def measure_pck(work: Path, options: Sequence[Option], limit: int | None) -> dict[Option, Measured]:
    """Runs every option on `shapes` and compares it with the first."""
    measured = {}
    for option in options:
        out = work / "pck" / option.folder
        harness.run(METHOD, params=option.params, precision=option.precision, out=out, limit=limit)  # type: ignore[arg-type]
        scores = harness.scores(out)
        (score,) = scores[scores["alpha"] == ALPHA].to_dict("records")
        values = [score["pck"], score["low"], score["high"]]
        if option is not options[0]:
            rows = harness.compare(work / "pck" / options[0].folder, out, alphas=ALPHA).to_dict("records")
            values += [rows[0][name] for name in ("difference", "low", "high")]
        measured[option] = Measured(*values)
        click.echo(f"bench: {option.text}: {measured[option]}", err=True)
    return measured


def measure_seconds(work: Path, options: Sequence[Option], repeats: int) -> dict[Option | str, float]:
    """Median processor seconds a pair of whole evaluations and of the published way, which alternate.

    Our evaluation loads DINOv2 and encodes all pictures; the backbone is loaded before, as the published one.
    """
    data = write_folder(work / "data", MANY)
    taken: dict[Option | str, list[float]] = {}
    plain = Setup(data, work)
    features = _PublishedFeatures(plain)
    for number in range(repeats):
        for option in options:
            setup = replace(plain, precision=option.precision)
            prepared = setup.resolve(METHOD, f"seconds/{number}", **option.params)
            setup.backbone(prepared)
            begun = time.process_time()
            record = run_cell(Resources(setup.host, prepared.options, setup.shared), prepared)
            seconds = time.process_time() - begun
            if record.status != "ok" or record.provenance is None:
                raise RuntimeError(f"{option.text}: {record.error or record.failures[:1]}")
            taken.setdefault(option, []).append(seconds / record.provenance.computed_pairs)
        taken.setdefault("published", []).append(features.seconds())
        said = {key if isinstance(key, str) else key.text: values[-1] for key, values in taken.items()}
        click.echo(f"bench: processor seconds a pair: {said}", err=True)
    return {key: statistics.median(values) for key, values in taken.items()}


class _PublishedFeatures:
    """The published way on a few pairs: it computes all of each pair anew."""

    def __init__(self, setup: Setup) -> None:
        prepared = setup.resolve(METHOD)
        self._diffusion = published.Diffusion(
            prepared.weights.paths[STABLE_DIFFUSION_2_1], setup.device, setup.precision
        )
        self._backbone, _ = setup.backbone(prepared)
        self._prompt: Any = make_pair_features(prepared, setup.shared).prompt
        self._localizer = localizer_of(prepared)
        pairs = list(prepared.index.pairs.values())[:PUBLISHED_PAIRS]
        self._batch = [(pair, CpmStages._pair_requests(pair, prepared.index)) for pair in pairs]

    def seconds(self) -> float:
        """Processor seconds a pair."""
        begun = time.process_time()
        for number in range(len(self._batch)):
            self.pair(number)
        return (time.process_time() - begun) / len(self._batch)

    def pair(self, number: int = 0) -> None:
        """Finds the points of one pair."""
        pair, requests = self._batch[number]
        with torch.inference_mode():
            states = self._backbone.condition(self._prompt.make(pair.category, requests)).states
            maps = published.sd4match_maps(self._diffusion, [request.image for request in requests], states)
            square = (self._diffusion.side, self._diffusion.side)
            frames = stretched_maps(torch.stack(maps), requests, square)
            locate_as_published(maps, frames, torch.from_numpy(pair.source_points), self._localizer)


def render(
    options: Sequence[Option],
    pck: Mapping[Option, Measured],
    seconds: Mapping[Option | str, float],
    counts: Mapping[str, Mapping[Option | str, Counted]],
) -> str:
    """The table, an option a row."""
    header = ["option", f"PCK @{ALPHA:.2f}", "of the method's", "processor s/pair", "published : this"]
    header += [f"GFLOP/pair, {name}" for name in counts]
    header += [f"published : this, {name}" for name in counts]
    rows = []
    for option in options:
        score, taken = pck[option], seconds[option]
        half = (score.high - score.low) / 2
        difference = "–"
        if option is not options[0]:
            difference = (
                f"{score.difference:+.2f} ({score.difference_low:+.2f} to {score.difference_high:+.2f})"
            )
        row = [option.text, f"{score.pck:.1f} ±{half:.1f}", difference, f"{taken:.4f}"]
        row.append(f"{seconds['published'] / taken:.1f}")
        row += [f"{counted[option].of_pair(20):.4g}" for counted in counts.values()]
        for counted in counts.values():
            row.append(f"{counted['published'].of_pair(20) / counted[option].of_pair(20):.1f}")
        rows.append(row)
    return report.plain(header, rows)


@click.command()
@click.option("--configs", type=click.Path(path_type=Path, exists=True, file_okay=False), help="SD 2-1.")
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Keeps what ran.")
@click.option("--limit", type=int, help="Only N pairs for PCK: not a measurement.")
@click.option("--repeats", default=3, show_default=True, help="Timed evaluations of each option.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(configs: Path | None, work: Path | None, limit: int | None, repeats: int, out: Path | None) -> None:
    """Measure all options."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = work or Path(name)
        pck = measure_pck(folder, OPTIONS, limit)
        seconds = measure_seconds(folder, OPTIONS, repeats)
    shapes = {"tiny": TINY} | ({"SD 2-1": configs} if configs else {})
    counts = {}
    for network, path in shapes.items():
        found: dict[Option | str, Counted] = {option: count(path, option.params) for option in OPTIONS}
        found["published"] = count(path, None)
        counts[network] = found
    machine, versions = hardware("cpu"), package_versions()
    parts = [
        "# SD4Match-CPM: processor seconds against PCK",
        ", ".join(f"{key} {value}" for key, value in machine.items())
        + f"; torch {versions['torch']}, diffusers {versions['diffusers']}, Python {versions['python']}.",
        render(OPTIONS, pck, seconds, counts),
        f"PCK: {limit or 'all 600'} pairs of `shapes`, bundled networks, 95 % intervals; the difference is "
        "paired, on the same pairs. Processor seconds: one thread, whole evaluations of "
        f"{MANY.images} pictures in {MANY.pairs} pairs, so that each picture is in 20, DINOv2's loading and "
        f"all pictures' encoding included; medians of {repeats} that alternate. Published: the authors' way, "
        f"written plainly (`benchmarks/published.py`), on {PUBLISHED_PAIRS} of those pairs. GFLOP: "
        "convolutions, matrix products and attention of VAE, U-Net and text encoder, counted by shape, with "
        "each picture's share of what is computed once where it is in 20 pairs.",
    ]
    text = "\n\n".join(parts) + "\n"
    click.echo(text, nl=False)
    if out:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
