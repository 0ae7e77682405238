"""A run on a GPU: networks and pictures are written, then its parts follow, as far as the time goes."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click
import gpu_parts
import torch
from agreement import Disagreement
from gpu_budget import Budget, OutOfTime, ending_after
from gpu_parts import OUT_OF_MEMORY, Bench, NotMeasured, Part, free_memory
from gpu_plan import amounts, parts_of
from gpu_report import Report, Target, file_name
from measuring import ceiling
from ours import Setup
from own_pictures import write_pairs
from sd21 import write_configs
from true_size import write_networks
from workloads import write_folder

from harness.doctor.machine import _driver
from harness.environment import package_versions, processor, source_state
from harness.features.extraction import is_out_of_memory
from harness.features.prefetch import default_workers, start_server
from harness.messages import bytes_text, first_line

WIDTH = 300
"""Characters of an error that the page repeats."""


@dataclass(frozen=True)
class Settings:
    """What the user asks for.

    Attributes:
        work: folder for networks, pictures and what runs leave behind.
        quick: whether the bundled small networks take the place of those of true size.
        pictures: the user's own; None for those of `shapes`.
        out: folder of the page; None for no page.
    """

    device: str
    precision: str
    minutes: float
    work: Path
    quick: bool = False
    pictures: Sequence[Path] | None = None
    out: Path | None = None


def run(settings: Settings, budget: Budget) -> Report:
    """Measures what the budget allows, and writes the page after every part."""
    report = begin(settings)
    # An earlier page stays until there is something to say.
    try:
        with ending_after(budget.left):
            bench = prepare(settings, report)
            measure(report, parts_of(bench), budget, bench.is_true_size)
    except OutOfTime:
        report.problems.append(("all other parts", "not measured: the time was up before the first one"))
    report.is_done = True
    report.write()
    return report


def begin(settings: Settings) -> Report:
    """The page with its head and its targets, nothing measured."""
    name = device_name(settings.device)
    path = settings.out / file_name(name) if settings.out else None
    report = Report(path, settings.precision, settings.quick, head=head(settings, name))
    for what, wanted, unit in (
        (gpu_parts.DIFT, 20, "times"),
        (gpu_parts.CPM, 3, "times"),
        (gpu_parts.STEP, 2, "times"),
        (gpu_parts.VAE_SHARE, 60, "%"),
        (gpu_parts.UNET_SHARE, 60, "%"),
    ):
        report.targets[what] = Target(what, wanted, unit)
    return report


def prepare(settings: Settings, report: Report) -> Bench:
    """Writes networks and pictures, and measures the ceiling, by which amounts are chosen."""
    say("networks and pictures")
    work, precision = settings.work, settings.precision
    setup = Setup(work / "dift", work / "work", settings.device, precision, keeps_networks=True)
    setup = replace(setup, workers=default_workers(settings.device))
    if setup.workers:
        # The process from which workers are forked imports PyTorch meanwhile.
        start_server()
    if not settings.quick:
        weights, prompt = write_networks(write_configs(work / "configs"), work / "networks")
        setup = replace(setup, weights=weights, prompt_file=prompt)
    report.ceilings[precision] = ceiling(settings.device, precision, 0.1 if settings.quick else 2.0)
    scale, pair_extent = amounts(report.ceiling, not settings.quick)
    for name, extent in (("dift", scale.extent), ("cpm", pair_extent)):
        if settings.pictures is None:
            write_folder(work / name, extent)
        else:
            write_pairs(settings.pictures, work / name, extent)
    return Bench(setup, replace(setup, data=work / "cpm"), scale, report, not settings.quick)


def measure(report: Report, parts: Sequence[Part], budget: Budget, is_true_size: bool) -> None:
    """Runs parts in their order as far as the budget allows; the page is written after each."""
    problems = report.problems
    for number, part in enumerate(parts):
        estimate = part.estimate(report.ceiling) if is_true_size else part.seconds
        expected, left = budget.expected(estimate), max(budget.left, 0.0)
        if expected > left:
            problems.append(
                (part.title, f"not measured: {left:.0f} s were left, and it takes about {expected:.0f} s")
            )
            report.write()
            continue
        say(f"{part.title} (about {expected:.0f} s of {left:.0f} s)")
        try:
            with budget.timing(estimate):
                _try(report, part)
        except OutOfTime:
            problems.append((part.title, "not measured to its end: the time was up"))
            problems += [(later.title, "not measured: the time was up") for later in parts[number + 1 :]]
            return
        finally:
            report.write()


def _try(report: Report, part: Part) -> None:
    """Runs a part; what goes wrong is told on the page, since the other parts may still be measured."""
    try:
        part.run()
    except NotMeasured as error:
        report.problems.append((part.title, f"not measured: {error}"))
    except Disagreement as error:
        report.failed = True
        report.problems.append((part.title, f"**THE TWO WAYS DO NOT AGREE**: {error}"))
    except Exception as error:  # noqa: BLE001 - whatever it is, later parts may still be measured
        reason = f"{OUT_OF_MEMORY} ({first_line(error, WIDTH)})"
        if not is_out_of_memory(error):
            report.failed = True
            reason = f"failed: {type(error).__name__}: {first_line(error, WIDTH)}"
            traceback.print_exc()
        report.problems.append((part.title, reason))
        # The frames of the error hold tensors.
        error.__traceback__ = None
    free_memory()


def device_name(device: str) -> str:
    """The GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor() or device


def head(settings: Settings, name: str) -> list[str]:
    """Lines about the device, the software, the source and what is measured."""
    title = f"# Performance on a GPU: {name}"
    if not settings.device.startswith("cuda"):
        title = f"# Performance, as on a GPU, on a CPU: {name}"
    if settings.quick:
        title += " (--quick: whether it works, not how fast)"
    facts = [f"Device: {name}", *_gpu_facts(settings.device), f"processor {processor()}"]
    versions = package_versions()
    named = [f"{package} {versions[package]}" for package in ("torch", "diffusers", "transformers")]
    commit, is_changed = source_state()
    source = (commit or "not known") + (", with changes" if is_changed else "")
    networks = "Stable Diffusion 2-1's and DINOv2-B's shapes, random weights, 768 x 768 pixels"
    if settings.quick:
        networks = "the bundled small networks"
    pictures = "`shapes`, enlarged to 500 x 375 pixels"
    if settings.pictures is not None:
        pictures = f"{len(settings.pictures)} of the user's own, points at random"
    elif settings.quick:
        pictures = "`shapes`"
    return [
        title,
        f"{', '.join(facts)}; {', '.join(named)}, Python {versions['python']}; precision "
        f"{settings.precision}; {datetime.now(UTC):%Y-%m-%d}; commit {source}.",
        f"`python benchmarks/gpu.py`, at most {settings.minutes:g} minutes. Networks: {networks}. Pictures: "
        f"{pictures}. No number here says anything of how right points are.",
    ]


def _gpu_facts(device: str) -> list[str]:
    if not device.startswith("cuda"):
        return []
    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    version = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    return [
        f"{bytes_text(total)} of memory ({bytes_text(free)} free at the start)",
        f"compute {properties.major}.{properties.minor}, {properties.multi_processor_count} multiprocessors",
        _driver() or "driver not known",
        version,
    ]


def say(what: str) -> None:
    """A line on stderr, so that a long run shows where it is."""
    click.echo(f"gpu: {what}", err=True)
