"""Writes a Stable Diffusion of true shape and random weights: `random_pipeline.py CONFIGS FOLDER`.

Memory and seconds of a backbone do not depend on what it has learned. CONFIGS is a pipeline folder
without weights.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import torch


@click.command()
@click.argument("configs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path))
def main(configs: Path, folder: Path) -> None:
    """Writes a pipeline with the shapes of CONFIGS to FOLDER, in half precision."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16)
    for name, network in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        model = network.from_config(network.load_config(configs / name))
        click.echo(f"{name}: {model.num_parameters():,} parameters")
        model.save_pretrained(folder / name)
        # One network in memory at a time.
        del model
    text = CLIPTextModel(CLIPTextConfig.from_pretrained(configs / "text_encoder"))
    click.echo(f"text_encoder: {text.num_parameters():,} parameters")
    text.save_pretrained(folder / "text_encoder")
    for name in ("tokenizer", "scheduler"):
        shutil.copytree(configs / name, folder / name, dirs_exist_ok=True)
    shutil.copy(configs / "model_index.json", folder)


if __name__ == "__main__":
    main()
