"""Measures one pair of SD4Match-CPM at true shapes, where `--size sd21` would take a day.

`python benchmarks/one_pair.py CONFIGS`, where CONFIGS is a Stable Diffusion pipeline without weights.
Half an hour and 18 GB on two cores of a CPU. Every call is timed once, without a call before it to warm
up; its operations are counted meanwhile.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import agreement
import click
import published
import report
import torch
from bench import head
from measuring import Timing, ceiling, flops_of, peak_bytes, seconds_of
from ours import CountedTraining, Setup
from published_training import PublishedTraining
from true_size import write_networks
from workloads import Extent, write_folder

from baselines.sources import STABLE_DIFFUSION_2_1
from harness.running.predict import make_pair_features
from harness.specs import ImageRequest

LITTLE = Extent(1, 3, 2)


def time_once(what: str, call: Callable[[], Any]) -> tuple[Timing, Any]:
    """A call's seconds, memory and operations, and what it returned."""
    taken: list[float] = []
    results: list[Any] = []
    flops: list[int] = []

    def count_flops() -> None:
        flops.append(flops_of(lambda: results.append(call())))

    peak = peak_bytes(lambda: taken.append(seconds_of(count_flops, "cpu")), "cpu", 0.05)
    click.echo(f"bench: {what}: {report.seconds(taken[0])} s, {flops[0] / report.TERA:.2f} TFLOP", err=True)
    return Timing(tuple(taken), peak, flops[0]), results[0]


@dataclass(frozen=True)
class Inputs:
    """Inputs of both ways."""

    images: list[Any]
    states: torch.Tensor
    timestep: int
    ensemble: int
    drawn: torch.Tensor
    noise: torch.Tensor


def our_maps(setup: Setup) -> tuple[Timing, Timing, list[torch.Tensor], Inputs]:
    """Timings when nothing is known of the pictures and when they were in a pair before; the maps."""
    prepared = setup.resolve("sd4match-cpm")
    backbone, _ = setup.backbone(prepared)
    pair = next(iter(prepared.index.pairs.values()))
    category = prepared.index.prompt_category(pair)
    source, target = pair.source, pair.target
    requests = (
        ImageRequest(source.open(), source.identity(), category),
        ImageRequest(target.open(), target.identity(), category),
    )
    features = make_pair_features(prepared, setup.shared)
    prompt: Any = features.prompt
    extractor: Any = features.extractor

    def ours() -> list[torch.Tensor]:
        value = prompt.make(category, requests)
        prompted = [replace(request, prompt=value) for request in requests]
        return [feature_map.data for feature_map in extractor.extract(prompted)]

    with torch.inference_mode():
        first, _ = time_once("pictures not met before", ours)
        again, maps = time_once("pictures met before", ours)
        states = backbone.condition(prompt.make(category, requests)).states
    params: dict[str, Any] = dict(prepared.cell.params)
    timestep, ensemble = params["timestep"], params["ensemble"]
    cells = backbone.card.native // backbone.card.factor
    # The published way gets the numbers that ours has drawn, so that the maps can be compared.
    drawn, noise = agreement.sd4match_draws(requests, timestep, ensemble, (4, cells, cells))
    images = [request.image for request in requests]
    return first, again, maps, Inputs(images, states, timestep, ensemble, drawn, noise)


def measure_maps(setup: Setup) -> tuple[list[report.Row], str]:
    """Measures the maps of the first pair."""
    first, again, maps, inputs = our_maps(setup)
    # Two networks of this size and what they compute do not fit into everybody's memory.
    setup.shared.clear()
    diffusion = _published_diffusion(setup)
    theirs, their_maps = time_once(
        "published", lambda: published.sd4match_maps(diffusion, *vars(inputs).values())
    )
    apart = max(map(agreement.relative, maps, their_maps))
    stage = "sd4match-cpm, prompt and features of a pair"
    new_note = "ours: pictures that were in no pair before"
    known_note = (
        "ours: pictures that were in a pair before, as most of SPair-71k's; published: without the prompt"
    )
    new, known = {"ours": first, "published": theirs}, {"ours": again, "published": theirs}
    rows = [
        report.Row.of(stage, "pair", new, 1, None, new_note),
        report.Row.of(stage, "pair", known, 1, 3, known_note),
    ]
    return rows, agreement.check("maps of sd4match-cpm, relative", apart, agreement.ROUNDING[setup.precision])


def _published_diffusion(setup: Setup) -> published.Diffusion:
    """Loads the published way's networks, from our weights."""
    folder = setup.resolve("sd4match-cpm").weights.paths[STABLE_DIFFUSION_2_1]
    return published.Diffusion(folder, setup.device, setup.precision)


def measure_step(setup: Setup) -> tuple[report.Row, str]:
    """Measures one step on one pair, without the optimizer's part of it."""
    ours = CountedTraining(setup, 1, 1)
    settings = ours.job.settings
    shape = ours.job.inputs.maps._shape
    own, loss = time_once("a step", lambda: ours.job.training.gradients.accumulate(0))
    published_step = PublishedTraining(ours, _published_diffusion(setup))

    def same(what: str, places: Any) -> torch.Tensor:
        keys = [("training", settings.seed, 0, place) for place in places]
        return agreement.draws(what, keys, shape)

    theirs, their_loss = time_once("a published step", lambda: published_step.step(same))
    note = "1 pair; published: every picture encoded in every step, whole U-Net; ours: encoded before"
    timings = {"ours": own, "published": theirs}
    row = report.Row.of("sd4match-cpm, training step", "step", timings, 1, 2, note)
    return row, agreement.check(
        "loss of a training step, relative",
        abs(loss - their_loss) / abs(their_loss),
        agreement.LOSS[setup.precision],
    )


@click.command()
@click.argument("configs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--step/--no-step", default=True, show_default=True, help="Whether a training step is measured, too."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(configs: Path, step: bool, out: Path | None) -> None:
    """Measure one pair and one step."""
    began, load = time.monotonic(), report.load()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, prompt = write_networks(configs, folder / "networks")
        data = write_folder(folder / "data", LITTLE)
        setup = Setup(data, folder / "work", "cpu", "fp32", weights, prompt)
        limit = ceiling(setup.device, setup.precision)
        rows, *agreements = measure_maps(setup)
        if step:
            row, agreed = measure_step(setup)
            rows.append(row)
            agreements.append(agreed)
        parts = [
            head(setup, "sd21", False, limit, load, time.monotonic() - began),
            "### Ours and the published way, one pair\n\n" + report.ratios(rows, limit),
            "Every call was timed once. Ratio: published seconds over ours. Operations are those of "
            "convolutions, matrix products and attention, an addition and a multiplication being two. Memory "
            "is the most that a call needed besides what was held before.",
            "### Both ways agree\n\n" + "\n".join(f"- {line}" for line in agreements),
        ]
    text = "\n\n".join(parts) + "\n"
    report.publish(text, out)


if __name__ == "__main__":
    main()
