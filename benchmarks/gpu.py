"""Measures ours and the published way on a GPU, within eight minutes: `make bench-gpu`.

Nothing is downloaded: networks have Stable Diffusion 2-1's and DINOv2-B's shapes and random weights. Writes
`results/performance/gpu-NAME.md`, anew after every part. 4 GB of disk for temporary files (TMPDIR), 8 GB of
memory, 24 GB on the GPU.

This file imports little, because every process that decodes pictures imports it again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
END = 5.0
"""Seconds for what follows the last part: the page, and files that are removed."""


@click.command()
@click.option("--device", default="cuda", show_default=True, help="cuda, cuda:1; or cpu with --quick.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="bf16, or fp32 on a CPU.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=8.0,
    show_default=True,
    help="Time for all of it; what does not fit is listed as not measured.",
)
@click.option("--pictures", type=click.Path(path_type=Path), help="A folder of your own pictures.")
@click.option("--quick", is_flag=True, help="Small networks, little of everything: whether it works.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the page.  [default: results/performance; with --quick none]",
)
def main(
    device: str, precision: str | None, minutes: float, pictures: Path | None, quick: bool, out: Path | None
) -> None:
    """Measure ours and the published way on a GPU."""
    began = time.monotonic()
    # As `bench train` does. It is read when CUDA is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    problem = missing(device, quick)
    if problem:
        click.echo(f"gpu: {problem}", err=True)
        sys.exit(2)
    from gpu_budget import Budget
    from gpu_run import Settings, run
    from own_pictures import find_pictures

    from harness.errors import UserError

    if out is None and not quick:
        out = ROOT / "results" / "performance"
    with tempfile.TemporaryDirectory(prefix="bench-gpu-", ignore_cleanup_errors=True) as name:
        try:
            settings = Settings(
                device,
                precision or ("fp32" if device == "cpu" else "bf16"),
                minutes,
                Path(name),
                quick,
                find_pictures(pictures) if pictures else None,
                out,
            )
            report = run(settings, Budget(60 * minutes - END - (time.monotonic() - began)))
        except UserError as error:
            click.echo(f"gpu: {error}", err=True)
            sys.exit(2)
    click.echo(report.render(), nl=False)
    if report.path:
        click.echo(f"gpu: written to {report.path}", err=True)
    sys.exit(1 if report.failed else 0)


def missing(device: str, quick: bool) -> str:
    """What a run lacks, and what to do, in one line; empty where it lacks nothing."""
    instead = "to see on a CPU whether it works: python benchmarks/gpu.py --device cpu --quick"
    if device == "cpu":
        return "" if quick else f"networks of true size take hours on a CPU; {instead}"
    if device != "cuda" and not (device.startswith("cuda:") and device[5:].isdecimal()):
        return f"--device {device:.40}: measures cuda, cuda:1 and so on; {instead}"
    import torch

    if not torch.cuda.is_available():
        built = "is built without CUDA" if torch.version.cuda is None else "sees no GPU"
        if torch.version.hip is not None:
            built = "sees no GPU"
        return f"no GPU: torch {torch.__version__} {built}; {instead}"
    count = torch.cuda.device_count()
    if device != "cuda" and int(device[5:]) >= count:
        return f"--device {device}: this machine has {count} GPUs, from cuda:0 on; {instead}"
    # Streams and memory that name no device are those of this one.
    torch.cuda.set_device(device)
    return ""


if __name__ == "__main__":
    main()
