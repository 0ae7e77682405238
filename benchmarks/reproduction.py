"""Counts what SD4Match's tables and figures take: `python benchmarks/reproduction.py SD21 SD15 --out FOLDER`.

SD21 and SD15 are folders of Stable Diffusion 2-1 and 1-5; their weights are not read. Operations are counted
by shapes (`shape_counts`), multiplied with the numbers of pictures and pairs, and divided by a share of a
GPU's peak: hours are as good as that share. What a pair needs besides is timed on this machine's CPU. Writes
`reproduction.md` and `reproduction.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from measuring import flops_of
from pair_work import seconds_by_pair
from report import GIGA, TERA, plain
from reproduction_runs import RUNS, SPAIR_TEST, Units, total
from shape_counts import ShapesOnly, TransformerShape, peak_of
from training_memory import fused_attention

from baselines.stable_diffusion.card import DECODER_STATES
from harness.errors import UserError

LEVEL = "up-block 1"
DRAWS = 8
"""Draws of noise that DIFT and SD4Match average."""

CROPS, CROP = 4, 512
"""Crops of SD+DINO's padded picture, and their side in pixels."""

DINOV2_B = TransformerShape(width=768, layers=12, heads=12, patch=14)
DINO_S = TransformerShape(width=384, layers=12, heads=6, patch=8)
CLIP_L = TransformerShape(width=1024, layers=24, heads=16, patch=14)

CACHE_BYTES = 4e9
"""What `bench run` keeps of pictures unless `--cache-gb` says otherwise."""


def count_units(sd21: ShapesOnly, sd15: ShapesOnly) -> Units:
    """Operations of each part that runs are made of."""
    native = sd21.card.native
    return Units(
        encode_21=flops_of(lambda: sd21.encode(1, native)),
        features_21=flops_of(lambda: sd21.read_level(LEVEL, 1, DRAWS)),
        draw_21=flops_of(lambda: sd21.read_level(LEVEL, 1, 1)),
        prefix_21=flops_of(lambda: sd21.begin(1, DRAWS)),
        prompt_21=flops_of(sd21.encode_prompt),
        pair_step_21=flops_of(lambda: sd21.train(LEVEL, 2, 1)),
        encode_crops_15=flops_of(lambda: sd15.encode(CROPS, CROP)),
        states_15=flops_of(lambda: sd15.read_levels(DECODER_STATES, CROPS)),
        # 840 / 14, and the processor's crop of 224 / 14.
        dinov2_840=DINOV2_B.operations(60),
        dinov2_224=DINOV2_B.operations(16),
        # Overlapping patches every 4 of 224 pixels, up to the layer with index 9.
        dino_224=DINO_S.operations(55, layers=10),
        captioner=CLIP_L.operations(24),
    )


@dataclass(frozen=True)
class Check:
    """A count beside a number that was found in another way."""

    what: str
    counted: float
    known: float
    source: str


def checks(units: Units, sd21: ShapesOnly, sd15: ShapesOnly) -> list[Check]:
    """Counts that can be checked."""
    # Tools that count by layers leave out the two products inside attention.
    with fused_attention():
        layers_15 = flops_of(sd15.run_whole)
    pair = 2 * (units.encode_21 + units.features_21 + units.dinov2_224) + units.prompt_21
    known_pair = 2 * (units.features_21 - units.prefix_21) + units.prompt_21
    measured = "counted while the program ran, with random weights: results/performance/cpu-sd21-pair.md"
    return [
        Check(
            "U-Net of Stable Diffusion 1-x, whole, 64 x 64 latents, without attention's products",
            layers_15 / TERA,
            2 * 0.34,
            "about 340 GMAC, as commonly published; two operations each",
        ),
        Check("sd4match-cpm, a pair of new pictures", pair / TERA, 22.5, measured),
        Check("sd4match-cpm, a pair of known pictures", known_pair / TERA, 14.7, measured),
    ]


def memory(sd21: ShapesOnly, sd15: ShapesOnly) -> dict[str, int]:
    """Bytes that runs need on a GPU, the cache besides."""
    native = sd21.card.native
    at_21 = max(peak_of(lambda: sd21.encode(1, native)), peak_of(lambda: sd21.read_level(LEVEL, 1, DRAWS)))
    at_15 = max(
        peak_of(lambda: sd15.encode(1, CROP)), peak_of(lambda: sd15.read_levels(DECODER_STATES, CROPS))
    )
    return {
        "Stable Diffusion 2-1, weights": sd21.weight_bytes,
        "Stable Diffusion 2-1, largest moment of a picture": at_21,
        "Stable Diffusion 1-5, weights": sd15.weight_bytes,
        "Stable Diffusion 1-5, largest moment of a picture": at_15,
    }


def hours(operations: float, peak: float, share: float) -> float:
    """Hours of so many operations at a share of a peak in TFLOP/s."""
    return operations / (peak * TERA * share) / 3600


def _rows(units: Units, peak: float, share: float) -> list[dict[str, Any]]:
    rows = []
    for run in RUNS:
        operations = total(run, units)
        rows.append(
            {
                "item": run.item,
                "what": run.what,
                "pictures": run.pictures,
                "pairs": run.pairs,
                "pflop": operations / 1e15,
                "hours": hours(operations, peak, share),
            }
        )
    return rows


def _duration(seconds: float) -> str:
    """Two digits and a unit."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{_digits(seconds / length)} {unit}"
    return f"{_digits(seconds)} s"


def _digits(value: float) -> str:
    """Two digits, or all before the point."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def render(
    units: Units,
    rows: list[dict[str, Any]],
    by_pair: Mapping[str, float],
    sizes: Mapping[str, int],
    checked: list[Check],
    peak: float,
    share: float,
) -> str:
    """The page."""
    run_rows = []
    for row in rows:
        run_rows.append(
            [
                row["item"],
                row["what"],
                f"{row['pictures']:,}",
                f"{row['pairs']:,}",
                f"{row['pflop']:,.1f}",
                _duration(3600 * row["hours"]),
            ]
        )
    unit_rows = [[text, f"{value / TERA:.3f}"] for text, value in units.described()]
    memory_rows = [[name, f"{size / GIGA:.2f}"] for name, size in sizes.items()]
    check_rows = []
    for check in checked:
        apart = 100 * (check.counted / check.known - 1)
        check_rows.append(
            [check.what, f"{check.counted:.3f}", f"{check.known:.3g}", f"{apart:+.1f} %", check.source]
        )
    pair_rows = [
        [what, _digits(seconds), _duration(seconds * SPAIR_TEST.pairs)] for what, seconds in by_pair.items()
    ]
    parts = [
        "# What reproducing SD4Match takes: counted, not measured",
        f"Times are operations over {100 * share:g} % of {peak:g} TFLOP/s (an NVIDIA A100 has 312 in half "
        "precision, dense). Nothing here ran on a GPU. Not in them: loading, reading pictures, and what "
        "pairs need besides the networks, which is below. Pictures of SPair-71k are the fewest of which its "
        "published numbers of pairs can be made.",
        plain(("for", "run", "pictures", "pairs", "PFLOP", "time"), run_rows),
        "## What pairs need besides the networks",
        "CPU seconds of a pair on one thread of this machine, with maps at hand; on a GPU that work is "
        "the GPU's, and was not timed there. Ten points, pictures of 500 x 375.",
        plain(("what", "seconds a pair", f"{SPAIR_TEST.pairs:,} pairs"), pair_rows),
        "## Parts",
        plain(("one", "TFLOP"), unit_rows),
        "## Memory, GB",
        plain(("in half precision", "GB"), memory_rows),
        f"`bench run` keeps up to {CACHE_BYTES / GIGA:g} GB of pictures besides (`--cache-gb`).",
        "## Checks",
        plain(("count", "counted, TFLOP", "known", "apart", "known from"), check_rows),
    ]
    return "\n\n".join(parts) + "\n"


@click.command()
@click.argument("sd21", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("sd15", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--peak", type=float, default=312.0, show_default=True, help="TFLOP/s of the GPU.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=0.4, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder; printed otherwise.")
def main(sd21: Path, sd15: Path, peak: float, share: float, out: Path | None) -> None:
    """Counts operations, memory and hours."""
    try:
        shapes_21, shapes_15 = ShapesOnly(sd21), ShapesOnly(sd15)
    except UserError as error:
        raise click.UsageError(str(error)) from error
    units = count_units(shapes_21, shapes_15)
    sizes = memory(shapes_21, shapes_15)
    rows = _rows(units, peak, share)
    by_pair = seconds_by_pair()
    text = render(units, rows, by_pair, sizes, checks(units, shapes_21, shapes_15), peak, share)
    if out is None:
        click.echo(text, nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "reproduction.md").write_text(text, encoding="utf-8")
    stored = {
        "peak_tflops": peak,
        "share": share,
        "runs": rows,
        "cpu_seconds_by_pair": by_pair,
        "operations": vars(units),
        "bytes": sizes,
    }
    (out / "reproduction.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
