"""Measures ours and the published way on the same weights, pictures and pairs: `make bench`.

Prints a table of ratios and how cost grows. Stops with an error where the two ways do not give the same
numbers. What there is to measure on a GPU, `gpu.py` measures in eight minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import agreement
import click
import growth
import operators
import report
import startup
import torch
from authors_scripts import EVERY_FOURTH, FORTY
from beside_authors import measure_beside, tabulate_beside
from cpm_stages import CpmStages
from dift_stages import DiftStages
from measuring import ceiling
from ours import CountedTraining, Counts, Evaluation, Setup
from published import Diffusion
from published_training import PublishedTraining
from stages import QUICK, SD21, TINY, Measured, Scale, Stages
from targets import measure_memory, tabulate_targets, targets
from true_size import write_networks
from workloads import write_folder

from baselines.networks.loading import DTYPES
from baselines.sources import STABLE_DIFFUSION_2_1
from harness.environment import hardware, package_versions


@click.command()
@click.option(
    "--size",
    type=click.Choice(["tiny", "sd21"]),
    default="tiny",
    show_default=True,
    help="The bundled networks, or true shapes.",
)
@click.option(
    "--configs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="For sd21: a pipeline without weights, as 'python benchmarks/sd21.py FOLDER' writes it.",
)
@click.option("--device", default="cpu", show_default=True, help="Torch device.")
@click.option(
    "--precision", type=click.Choice(list(DTYPES)), help="fp32 on a CPU and bf16 on a GPU otherwise."
)
@click.option("--threads", type=click.IntRange(min=1), help="Of PyTorch; its own choice otherwise.")
@click.option("--quick", is_flag=True, help="Little of everything: whether it works, not how fast.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Of 'bench run'; whole evaluations are then those with it, from the second on warm.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(
    size: str,
    configs: Path | None,
    device: str,
    precision: str | None,
    threads: int | None,
    quick: bool,
    cache: Path | None,
    out: Path | None,
) -> None:
    """Measure ours against the published way."""
    if size == "sd21" and configs is None:
        raise click.UsageError("--size sd21 needs --configs, a Stable Diffusion pipeline without weights")
    if threads:
        torch.set_num_threads(threads)
    if precision is None:
        precision = "bf16" if device.startswith("cuda") else "fp32"
    scale = SD21 if size == "sd21" else TINY
    if quick:
        scale = QUICK
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_folder(folder / "data", scale.extent)
        setup = Setup(data, folder / "work", device, precision, cache=cache)
        if configs is not None and size == "sd21":
            weights, prompt = write_networks(configs, folder / "networks")
            setup = Setup(data, folder / "work", device, precision, weights, prompt, cache)
        try:
            parts = list(_measure(setup, scale, size, quick))
        except agreement.Disagreement as error:
            click.echo(f"bench: {error}", err=True)
            sys.exit(1)
    text = "\n\n".join(parts) + "\n"
    report.publish(text, out)


def _measure(setup: Setup, scale: Scale, size: str, quick: bool) -> Iterator[str]:
    """Measures everything and yields the text part by part. Raises `agreement.Disagreement`."""
    began = time.monotonic()
    # Before anything runs, since the load would then be this program's own.
    load = report.load()
    prepared = setup.resolve("dift")
    diffusion = Diffusion(prepared.weights.paths[STABLE_DIFFUSION_2_1], setup.device, setup.precision)
    stages = Stages(setup, diffusion, scale)
    _print_status("agreement")
    agreements = [
        *agreement.check_dift(setup, diffusion, scale.checked),
        *agreement.check_cpm(setup, diffusion, scale.checked),
    ]
    ours = CountedTraining(setup, scale.step_pairs, scale.training_pairs)
    theirs = PublishedTraining(ours, diffusion)
    agreements += agreement.check_training(ours, theirs)
    _print_status("training")
    step = _print_rows(stages.training(ours, theirs))
    shares = stages.shares(ours)
    posteriors = ours.posteriors
    # A second set of networks, and gradients: memory that later stages need.
    del ours, theirs
    _print_status("networks")
    # Once more at the end: the machine may be slower for a while.
    limits = [ceiling(setup.device, setup.precision)]
    networks = _print_rows(*stages.networks())
    _print_status("dift")
    dift = DiftStages(setup, diffusion, scale).dift()
    _print_rows(*dift.rows)
    _print_status("sd4match-cpm")
    cpm = CpmStages(setup, diffusion, scale).cpm()
    _print_rows(*cpm.rows)
    limits.append(ceiling(setup.device, setup.precision))
    rows = [*networks, *dift.rows, *cpm.rows, *step]
    _print_status("growth")
    growths = list(_growths(setup, scale, diffusion, dift))
    # The processes that are started below load networks of their own.
    setup.shared.clear()
    start = None
    lists = ""
    if size == "tiny":
        _print_status("start-up")
        start = startup.measure_start(setup.work / "startup", 1 if quick else 3)
        _print_status("beside the authors' scripts")
        lists = _beside_authors(setup, diffusion, start, quick)
    best = max(limits)
    yield head(setup, size, quick, best, load, time.monotonic() - began)
    yield "### Ours and the published way\n\n" + report.ratios(rows, best)
    yield "Ratio: published seconds over ours. " + _READING
    yield "### Both ways agree\n\n" + "\n".join(f"- {line}" for line in agreements)
    yield "### Caches\n\n" + _caches(
        {
            "dift": dift.evaluation.caches,
            "sd4match-cpm": cpm.evaluation.caches,
            "training": {"posteriors": posteriors},
        }
    )
    yield "### Where ours goes\n\n" + _stage_table(dift.evaluation, cpm.evaluation)
    yield f"{operators.tabulate_shares(shares)}\n\n{operators.READING}"
    for table in growths:
        yield table.render()
    if start:
        yield startup.tabulate_start(start)
        yield lists


def _beside_authors(setup: Setup, diffusion: Diffusion, start: startup.Start, quick: bool) -> str:
    """The tables that tell of the authors' own scripts, and of targets."""
    rows = measure_beside(setup, diffusion, 1 if quick else 2, _print_status, few=4 if quick else None)
    lists = (FORTY.few(4), FORTY.few(8)) if quick else (FORTY, EVERY_FOURTH)
    memory = measure_memory(setup.work / "memory", *lists)
    return f"{tabulate_beside(rows)}\n\n{tabulate_targets(list(targets(rows, start, memory)))}"


def _stage_table(dift: Evaluation, cpm: Evaluation) -> str:
    """Seconds of the stages of both whole evaluations."""
    rows = []
    for name, evaluation in (("dift", dift), ("sd4match-cpm", cpm)):
        times = []
        for stage in dift.stages:
            times.append(report.seconds(evaluation.stages.get(stage, 0.0)))
        rows.append([name, str(evaluation.pairs), *times])
    return report.plain(["evaluation", "pairs", *dift.stages], rows)


_READING = (
    "Stages are medians of calls that alternate with the other way's. A whole evaluation is features, "
    "points, predictions on disk and scores with intervals, without loading the networks; of the published "
    "way it is features and points alone, and for DIFT of pictures that are decoded already. Operations are "
    "those of convolutions, matrix products and attention, an addition and a multiplication being two. "
    "Memory is the most that a call needed besides what was held before."
)
_BUSY = 0.5
"""Running processes before the run, above which the machine is taken to do something else."""


def _growths(setup: Setup, scale: Scale, diffusion: Diffusion, dift: Measured) -> Iterator[growth.Growth]:
    yield growth.pairs(setup, scale, setup.work / "growth", dift.evaluation, dift.per_picture, dift.per_pair)
    maps = growth.Maps(setup)
    yield growth.points_per_pair(setup, maps, scale)
    yield growth.picture_size(setup, maps, scale)
    yield growth.network_size(setup, scale.repeats)
    yield growth.ensemble(setup, diffusion, min(4, scale.images), scale.repeats)


def head(setup: Setup, size: str, quick: bool, limit: float, load: str, seconds: float) -> str:
    machine, versions = hardware(setup.device), package_versions()
    networks = "bundled tiny networks" if size == "tiny" else "true shapes, random weights"
    title = f"# Performance: {networks}, {setup.device}"
    if quick:
        title += ", --quick: not a measurement"
    parts = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines = [
        title,
        f"{parts}; torch {versions['torch']}, diffusers {versions['diffusers']}, "
        f"Python {versions['python']}; precision {setup.precision}.",
        f"Ceiling: {limit / report.TERA:.3f} TFLOP/s, the best product of two square matrices in the same "
        f"run. Load of the machine, before and after: {load}, {report.load()} (this run's own is at most "
        f"{machine['torch_threads']}). "
        f"It took {seconds / 60:.1f} minutes.",
    ]
    if load and float(load) > _BUSY:
        lines.append(
            "The machine was doing other work, too: seconds are too long, and ratios less certain than on an "
            "idle one."
        )
    return "\n\n".join(lines)


def _caches(counts_of: Mapping[str, Mapping[str, Counts]]) -> str:
    rows = []
    for method, caches in counts_of.items():
        for name, counts in caches.items():
            rate = f"{100 * counts.hit_rate:.1f} %"
            rows.append([method, name, str(counts.asked), str(counts.computed), rate])
    return report.plain(["what ran", "what is kept", "asked for", "computed", "hit rate"], rows)


def _print_rows(*rows: report.Row) -> tuple[report.Row, ...]:
    """Prints a line for each row, so that an interrupted run has said something, and returns the rows."""
    for row in rows:
        _print_status(
            f"{row.what}: {report.seconds(row.ours)} s a {row.unit}, "
            f"published {report.seconds(row.published)} s, ratio {row.ratio:.1f}"
        )
    return rows


def _print_status(what: str) -> None:
    click.echo(f"bench: {what}", err=True)


if __name__ == "__main__":
    main()
