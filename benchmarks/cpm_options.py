"""Measures what faster ways of `sd4match-cpm` cost in PCK, and what they spare.

`python benchmarks/cpm_options.py --out results/performance/cpm-options.md`, with `--configs` a pipeline of
Stable Diffusion 2-1 without weights for the counts at its shapes. Half an hour on one core. PCK is that of
all pairs of `shapes` with the bundled networks. `--work` keeps cells and seconds: what is there is not
measured again, so that `--only seconds` may have an idle machine to itself.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import report
import torch
from cpm_choices import METHOD, OPTIONS, Option
from cpm_counts import Counted, count
from cpm_seconds import MANY, PUBLISHED, PUBLISHED_PAIRS, measure_seconds

import harness
from harness.environment import hardware, package_versions

ALPHA = 0.1

AVERAGING = "image"
"""The protocol's own."""

TINY = Path(__file__).parents[1] / "baselines" / "tiny" / "weights" / "stable-diffusion"


@dataclass(frozen=True)
class Measured:
    """An option's PCK in percent, the difference to the method's, and both 95 % intervals."""

    pck: float
    low: float
    high: float
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0


def measure_pck(
    work: Path, options: Sequence[Option], limit: int | None, only_finished: bool = False
) -> dict[Option, Measured]:
    """Runs every option on `shapes` and compares it with the first.

    Args:
        only_finished: leaves out options that `work` has no finished cell of.
    """
    measured = {}
    for option in options:
        out = work / "pck" / option.folder
        if only_finished and not list(out.glob("*/record.json")):
            continue
        harness.run(METHOD, params=option.params, precision=option.precision, out=out, limit=limit)  # type: ignore[arg-type]
        scores = harness.scores(out)
        (score,) = _of_all(scores[scores["averaging"] == AVERAGING])
        values = [score["pck"], score["low"], score["high"]]
        if option is not options[0]:
            (row,) = _of_all(harness.compare(work / "pck" / options[0].folder, out, alphas=ALPHA))
            values += [row[name] for name in ("difference", "low", "high")]
        measured[option] = Measured(*values)
        click.echo(f"bench: {option.text}: {measured[option]}", err=True)
    return measured


def _of_all(frame: Any) -> list[dict[str, Any]]:
    """The rows of all points at the threshold."""
    rows: list[dict[str, Any]] = frame[(frame["alpha"] == ALPHA) & (frame["slice"] == "all")].to_dict(
        "records"
    )
    return rows


def render(
    options: Sequence[Option],
    pck: Mapping[Option, Measured],
    seconds: Mapping[str, Sequence[float]],
    counts: Mapping[str, Mapping[str, Counted]],
) -> str:
    """The table, an option a row."""
    header = ["option", f"PCK @{ALPHA:.2f}", "of the method's", "processor s/pair", "published : this"]
    header += [f"GFLOP/pair, {name}" for name in counts]
    header += [f"published : this, {name}" for name in counts]
    rows = []
    for option in options:
        row = [option.text, *_pck_cells(pck.get(option), option is options[0])]
        taken = statistics.median(seconds[option.folder])
        row += [f"{taken:.4f}", f"{statistics.median(seconds[PUBLISHED]) / taken:.1f}"]
        row += [f"{counted[option.folder].of_pair(20):.4g}" for counted in counts.values()]
        for counted in counts.values():
            row.append(f"{counted[PUBLISHED].of_pair(20) / counted[option.folder].of_pair(20):.1f}")
        rows.append(row)
    return report.plain(header, rows)


def _pck_cells(score: Measured | None, is_method: bool) -> tuple[str, str]:
    """PCK and the difference, as the table has them."""
    if score is None:
        return "not measured", "not measured"
    pck = f"{score.pck:.1f} ±{(score.high - score.low) / 2:.1f}"
    if is_method:
        return pck, "–"
    return pck, f"{score.difference:+.2f} ({score.difference_low:+.2f} to {score.difference_high:+.2f})"


@click.command()
@click.option("--configs", type=click.Path(path_type=Path, exists=True, file_okay=False), help="SD 2-1.")
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Keeps what ran.")
@click.option("--limit", type=int, help="Only N pairs for PCK: not a measurement.")
@click.option("--repeats", default=3, show_default=True, help="Timed evaluations of each option.")
@click.option("--only", type=click.Choice(["pck", "seconds"]), help="Measures this into --work, and ends.")
@click.option(
    "--finished", is_flag=True, help="Only the cells that --work has; the table says what is missing."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(
    configs: Path | None,
    work: Path | None,
    limit: int | None,
    repeats: int,
    only: str | None,
    finished: bool,
    out: Path | None,
) -> None:
    """Measure all options."""
    torch.set_num_threads(1)
    if only and not work:
        raise click.UsageError("--only needs --work, which keeps what is measured")
    with tempfile.TemporaryDirectory() as name:
        folder = work or Path(name)
        pck = measure_pck(folder, OPTIONS, limit, finished) if only != "seconds" else {}
        seconds = measure_seconds(folder, OPTIONS, repeats) if only != "pck" else {}
    if only:
        return
    shapes = {"tiny": TINY} | ({"SD 2-1": configs} if configs else {})
    counts = {}
    for network, path in shapes.items():
        found = {option.folder: count(path, option.params) for option in OPTIONS}
        found[PUBLISHED] = count(path, None)
        counts[network] = found
    timed = max(map(len, seconds.values()))
    machine, versions = hardware("cpu"), package_versions()
    parts = [
        "# SD4Match-CPM: processor seconds against PCK",
        ", ".join(f"{key} {value}" for key, value in machine.items())
        + f"; torch {versions['torch']}, diffusers {versions['diffusers']}, Python {versions['python']}.",
        render(OPTIONS, pck, seconds, counts),
        f"PCK: {limit or 'all 600'} pairs of `shapes`, bundled networks, 95 % intervals; the difference is "
        "paired, on the same pairs. Processor seconds: one thread, whole evaluations of "
        f"{MANY.images} pictures in {MANY.pairs} pairs, so that each picture is in 20, DINOv2's loading and "
        f"all pictures' encoding included; {timed} of each in turn, medians. Published: the authors' way, "
        f"written plainly (`benchmarks/published.py`), on {PUBLISHED_PAIRS} of those pairs. GFLOP: "
        "convolutions, matrix products and attention of VAE, U-Net and text encoder, counted by shape, with "
        "each picture's share of what is computed once where it is in 20 pairs.",
    ]
    text = "\n\n".join(parts) + "\n"
    report.publish(text, out)


if __name__ == "__main__":
    main()
