"""Sweeps on a GPU: pictures at once, precisions, workers, pinned copies, compiled blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from gpu_parts import OUT_OF_MEMORY, Bench, NotMeasured, attempt, free_memory
from measuring import Timing, alternating, ceiling, seconds_of, synchronise
from ours import Setup, evaluate
from report import MEGABYTE, TERA, seconds

from baselines.stable_diffusion import unet
from baselines.stable_diffusion.backbone import StableDiffusion
from harness.environment import require_compiler
from harness.errors import UserError
from harness.specs import SharedObjects

AT_ONCE = (1, 2, 4, 8, 16)
"""Draws through the U-Net, and pictures through the encoder as far as half of it."""

PRECISIONS = ("bf16", "fp16", "fp32")
WORKERS = (0, 1, 2, 4)
TIMESTEP = 261
COPIES = 64
"""Copies of a picture to the GPU that are timed together."""

_NETWORK_HEADERS = ["network", "at once", "seconds for one", "TFLOP/s (of the ceiling)", "peak MB"]


def networks_at_once(bench: Bench) -> None:
    """More rows at once: whether the cuts that bound memory cost time."""
    note = (
        f"{bench.report.precision}. Runs encode one picture and pass eight draws at once, so `--batch-size` "
        "changes nothing of a DIFT with eight draws."
    )
    rows = bench.report.table("Pictures and draws at once", _NETWORK_HEADERS, note)
    backbone = _backbone(bench.setup)
    for count in AT_ONCE:
        rows.append(["U-Net", str(count), *_measured(bench, _unet_call(backbone, count), count)])
        if count <= AT_ONCE[-1] // 2:
            rows.append(["VAE encoder", str(count), *_measured(bench, _vae_call(backbone, count), count)])


def precisions(bench: Bench) -> None:
    """Networks in half and in single precision."""
    note = (
        "Shares are of the ceiling of the same precision. On a GPU, PyTorch's convolutions in fp32 multiply "
        "with shorter mantissas (TF32) unless it is told otherwise, and its matrix products do not."
    )
    rows = bench.report.table("Precisions", ["precision", *_NETWORK_HEADERS], note)
    for precision in PRECISIONS:
        if precision not in bench.report.ceilings:
            bench.report.ceilings[precision] = ceiling(bench.device, precision, 1.0)
        _add_precision(bench, precision, rows)
        free_memory()


def _add_precision(bench: Bench, precision: str, rows: list[list[str]]) -> None:
    # Loaded in the place of the networks of the precision before, which nothing else must hold.
    backbone = _backbone(replace(bench.setup, precision=precision))
    unet_cells = _measured(bench, _unet_call(backbone, 8), 8, precision)
    rows.append([precision, "U-Net", "8", *unet_cells])
    vae_cells = _measured(bench, _vae_call(backbone, 1), 1, precision)
    rows.append([precision, "VAE encoder", "1", *vae_cells])


def workers(bench: Bench) -> None:
    """Evaluations of `dift` with one draw, where the reading of pictures weighs most."""
    note = (
        "Evaluations of `dift` with one draw of noise: the fewer draws, the more it matters who reads the "
        "pictures. Seconds are those of features, and of waiting for pictures."
    )
    headers = ["workers", "pictures", "seconds", "seconds a picture"]
    rows = bench.report.table("`--workers`", headers, note)
    pictures = bench.scale.extent.categories * bench.scale.extent.images
    for count in sorted({min(count, os.cpu_count() or 1) for count in WORKERS}):
        setup = replace(bench.setup, workers=count)
        # The process from which workers are forked imports PyTorch once, which takes seconds.
        evaluate(setup, setup.resolve("dift", limit=2, ensemble=1))
        run = evaluate(setup, setup.resolve("dift", limit=pictures, ensemble=1))
        computed = run.caches["feature maps of pictures"].computed
        took = run.stages["extract"]
        rows.append([str(count), str(computed), seconds(took), seconds(took / computed)])


def pinned_copies(bench: Bench) -> None:
    """Pictures to the GPU from memory of either kind."""
    if not bench.device.startswith("cuda"):
        raise NotMeasured("there is no GPU to copy to")
    side = _backbone(bench.setup).card.native
    pageable = [torch.randint(0, 255, (side, side, 3), dtype=torch.uint8) for _ in range(COPIES)]
    pinned = [picture.pin_memory() for picture in pageable]

    def copy(pictures: list[torch.Tensor]) -> None:
        for picture in pictures:
            picture.to(bench.device, non_blocking=True)

    calls = {"pageable": lambda: copy(pageable), "pinned": lambda: copy(pinned)}
    timings = alternating(calls, 5, bench.device)
    note = (
        f"{COPIES} pictures of {side} x {side} pixels as bytes, one after another; what `--workers` read is "
        "pinned."
    )
    rows = bench.report.table("Copies to the GPU", ["memory", "microseconds a picture"], note)
    for name, timing in timings.items():
        rows.append([name, f"{timing.median / COPIES * 1e6:.0f}"])


def compiled(bench: Bench) -> None:
    """The U-Net with compiled blocks beside the one without."""
    try:
        require_compiler(bench.device)
    except UserError as error:
        raise NotMeasured(str(error)) from error
    # Objects of its own: both U-Nets are loaded at once.
    setup = replace(bench.setup, compiled=True, shared=SharedObjects())
    calls = {
        "without": _unet_call(_backbone(bench.setup), 8),
        "with `--compile`": _unet_call(_backbone(setup), 8),
    }
    first = seconds_of(calls["with `--compile`"], bench.device)
    timings = alternating(calls, bench.scale.repeats, bench.device)
    note = (
        "Eight draws. The first call compiles one shape of every block, or finds what an earlier run of this "
        "machine has compiled."
    )
    headers = ["U-Net", "first call, s", "seconds for one draw", "times as fast"]
    rows = bench.report.table("`--compile`", headers, note)
    for name, timing in timings.items():
        took = seconds(first) if timing is timings["with `--compile`"] else ""
        gain = timings["without"].median / timing.median
        rows.append([name, took, seconds(timing.median / 8), f"{gain:.2f}"])


def _backbone(setup: Setup) -> StableDiffusion:
    return setup.backbone(setup.resolve("dift"))[0]


def _unet_call(backbone: StableDiffusion, count: int) -> Callable[[], Any]:
    """A pass of so many draws at once, up to the block that DIFT reads."""
    cells = backbone.card.native // backbone.card.factor
    noisy = torch.randn(count, 4, cells, cells).to(backbone.device)
    prompts = [backbone.condition("")] * count
    level = backbone.card.levels["up-block 1"]

    def call() -> Any:
        with torch.inference_mode(), _uncut(count * cells * cells):
            return backbone.activations(noisy, TIMESTEP, prompts, [level])

    return call


def _vae_call(backbone: StableDiffusion, count: int) -> Callable[[], Any]:
    """So many pictures through the encoder at once."""
    side = backbone.card.native
    pixels = (torch.rand(count, 3, side, side) * 2 - 1).to(backbone.device, backbone.dtype)

    def call() -> Any:
        with torch.inference_mode():
            return backbone.vae.encode(pixels).latent_dist.mean

    return call


@contextmanager
def _uncut(positions: int) -> Iterator[None]:
    """Lets so many latent positions through the U-Net at once."""
    with patch.object(unet, "POSITIONS", positions), patch.object(unet, "CPU_POSITIONS", positions):
        yield


def _measured(bench: Bench, call: Callable[[], Any], count: int, precision: str = "") -> list[str]:
    """Cells: seconds for one, operations a second with their share, and memory."""
    synchronise(bench.device)
    timings = attempt(lambda: alternating({"": call}, bench.scale.repeats, bench.device, count_flops=True))
    if timings is None:
        return [OUT_OF_MEMORY, "", ""]
    timing: Timing = timings[""]
    rate = (timing.flops or 0) / timing.median
    share = 100 * rate / bench.report.ceilings[precision or bench.report.precision]
    memory = f"{(timing.peak_bytes or 0) / MEGABYTE:.0f}"
    return [seconds(timing.median / count), f"{rate / TERA:.3g} ({share:.0f} %)", memory]
