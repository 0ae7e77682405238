"""Measures commands on ten rows of SPair-71k's size: `make bench-leaderboard`.

A results folder is made up: 12,234 pairs in 18 categories of 480 pictures, three to fifteen keypoints each,
one localizer, one protocol. Each command runs as a process of its own. Writes Markdown.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
import report
from large_results import write_pictures, write_results
from pair_graphs import Graph, spair_71k

from harness.environment import hardware, package_versions
from harness.plugins.loading import load_plugins

TARGET_SECONDS = 20
TARGET_MEGABYTES = 2000


class Cost(NamedTuple):
    """Cost of a process.

    Attributes:
        seconds: on the clock.
        processor_seconds: of all its threads.
        megabytes: the most memory that it held.
    """

    seconds: float
    processor_seconds: float
    megabytes: float


_LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
process = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - began
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([process.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""
"""A small process between: a process begins with the peak memory of the one that starts it."""


def measure(command: Sequence[str]) -> Cost:
    """Runs a command in a process of its own. Raises `RuntimeError` where it fails."""
    launched = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command], capture_output=True, text=True, check=True
    )
    status, seconds, processor_seconds, peak = json.loads(launched.stdout)
    if status:
        raise RuntimeError(f"{' '.join(command)}: exit status {status}\n{launched.stderr}")
    # Kilobytes, and bytes on macOS.
    return Cost(seconds, processor_seconds, peak / (1e6 if sys.platform == "darwin" else 1e3))


def commands_on(data: Path, results: Path, page: Path) -> dict[str, list[str]]:
    """What is measured: its name in the table -> options of `bench`."""
    cells = sorted(path.name for path in results.iterdir() if path.is_dir())
    two = [str(results / name) for name in cells[:2]]
    at_hand = ["--datasets", f"folder={data}"]
    return {
        "leaderboard": ["leaderboard", str(results)],
        "leaderboard --averaging category-point": [
            "leaderboard",
            str(results),
            "--averaging",
            "category-point",
        ],
        "compare, two rows": ["compare", *two],
        "rescore": ["rescore", str(results)],
        "report": ["report", str(results), "-o", str(page), *at_hand],
    }


def tabulate_costs(graph: Graph, rows: int, repeats: int) -> list[list[str]]:
    """Makes the folder and measures each command: the least of several runs."""
    table = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, results = folder / "data", folder / "results"
        write_pictures(data, graph)
        write_results(load_plugins(), data, results, graph, rows)
        click.echo("results are written", err=True)
        for title, options in commands_on(data, results, folder / "page.html").items():
            costs = [measure([sys.executable, "-m", "harness.cli", *options]) for _ in range(repeats)]
            best = Cost(*(min(values) for values in zip(*costs, strict=True)))
            verdict = ""
            if title == "leaderboard":
                is_met = best.seconds < TARGET_SECONDS and best.megabytes < TARGET_MEGABYTES
                limits = f"under {TARGET_SECONDS} s and {TARGET_MEGABYTES:,} MB"
                verdict = f"{limits}: {'met' if is_met else 'MISSED'}"
            numbers = [report.seconds(best.seconds), report.seconds(best.processor_seconds)]
            table.append([title, *numbers, f"{best.megabytes:.0f}", verdict])
            click.echo(" ".join(table[-1]), err=True)
    return table


@click.command()
@click.option("--rows", type=click.IntRange(min=2), default=10, show_default=True)
@click.option("--pairs", type=click.IntRange(min=2), help="As many alone; all otherwise.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(rows: int, pairs: int | None, repeats: int, out: Path | None) -> None:
    """Measure commands on a large results folder."""
    graph = spair_71k()
    graph = replace(
        graph,
        images=graph.images[:pairs],
        categories=graph.categories[:pairs],
        keypoints=graph.keypoints[:pairs],
    )
    load = report.load()
    table = tabulate_costs(graph, rows, repeats)
    machine, versions = hardware("cpu"), package_versions()
    parts = ", ".join(f"{name} {value}" for name, value in machine.items())
    headers = ["bench", "seconds on the clock", "of the processor", "peak MB", "target"]
    text = "\n\n".join(
        [
            f"# Commands on {rows} rows of SPair-71k's size",
            f"{parts}; Python {versions['python']}. {graph.describe()}, {graph.keypoints.sum():,} keypoints "
            f"in each of {rows} cells; made-up pictures and predictions. Each command in a process of its "
            f"own, the least of {repeats} runs. Load of the machine before: {load}. On an idle machine "
            "seconds on the clock are about those of the processor. `make bench-leaderboard`.",
            report.plain(headers, table),
        ]
    )
    report.publish(text + "\n", out)


if __name__ == "__main__":
    main()
