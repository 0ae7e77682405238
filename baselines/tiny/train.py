"""Trains the bundled networks: `python -m baselines.tiny.train NETWORK --work DIR`.

In this order: vae, unet, text, vit, captioner; cleandift stands on unet and text.

A training that was stopped goes on when the same command is run again.
"""

from __future__ import annotations

from pathlib import Path

import click

from baselines.tiny.loop import Schedule
from baselines.tiny.pictures import pad_pictures, training_pictures


@click.command()
@click.argument("network", type=click.Choice(["vae", "unet", "text", "vit", "captioner", "cleandift"]))
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default="tiny-training",
    help="Folder for pictures, checkpoints and results.",
)
@click.option("--steps", type=int, help="Steps in all.")
@click.option("--rate", type=float)
@click.option("--batch", type=int, default=16)
@click.option("--per-category", type=int, default=2000, help="Pictures of each category.")
@click.option("--threads", type=int, default=2)
@click.option("--compile", "compiled", is_flag=True, help="torch.compile the U-Net; needs a C++ compiler.")
def main(
    network: str,
    work: Path,
    steps: int | None,
    rate: float | None,
    batch: int,
    per_category: int,
    threads: int,
    compiled: bool,
) -> None:
    """Trains one network."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    pictures = training_pictures(work, per_category, threads)
    from baselines.tiny import diffusion, vit

    if network == "vae":
        diffusion.train_vae(pictures, work / "vae", Schedule(steps or 4000, rate or 1e-3), batch)
    elif network == "vit":
        from diffusers import AutoencoderKL

        autoencoder = AutoencoderKL.from_pretrained(work / "vae", low_cpu_mem_usage=False)
        posteriors = diffusion.posteriors(autoencoder, pictures, work)
        padded = pad_pictures(work, per_category, vit.FED, threads)
        vit.train_vit(
            padded,
            pictures.categories,
            work / "pipeline",
            posteriors,
            work / "vit",
            Schedule(steps or 6000, rate or 1e-3),
            batch,
        )
    elif network == "text":
        from baselines.tiny.text import train_text

        train_text(
            pictures.captions,
            work / "unet",
            work / "text",
            Schedule(steps or 6000, rate or 2e-3, decay=1.0),
            batch,
        )
    elif network == "captioner":
        from baselines.tiny.captioner import train_captioner

        train_captioner(
            pictures,
            work / "pipeline",
            work / "vit",
            work / "captioner",
            Schedule(steps or 2000, rate or 2e-3),
            batch,
        )
    elif network == "cleandift":
        from baselines.tiny.cleandift import train_cleandift

        train_cleandift(
            pictures,
            work / "pipeline",
            work / "cleandift",
            Schedule(steps or 1000, rate or 5e-4),
            batch,
        )
    else:
        diffusion.train_unet(
            pictures, work / "vae", work / "unet", Schedule(steps or 12_000, rate or 5e-4), batch, compiled
        )


if __name__ == "__main__":
    main()
