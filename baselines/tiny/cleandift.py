"""The tiny CleanDIFT: some tensors of the tiny U-Net, tuned to need no noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.tiny.diffusion import draw_latents, posteriors
from baselines.tiny.loop import Losses, Schedule, train
from baselines.tiny.pictures import Pictures

if TYPE_CHECKING:
    import torch

TIMESTEP = 261
"""Of the features that are learned, as DIFT reads them."""

DRAWS = 4
"""Draws of noise whose mean the tuned U-Net learns to give at once."""

LEVEL = "up_blocks.1"
"""Submodule whose output is learned: DIFT's."""

TUNED = ("conv_in.", "down_blocks.0.", "down_blocks.1.resnets.")
"""Beginnings of the names of tensors that are tuned: the U-Net's first layers, which meet the noise."""


def train_cleandift(pictures: Pictures, pipeline: Path, folder: Path, schedule: Schedule, batch: int) -> None:
    """Tunes the first layers, norms and biases: features of clean latents become those of noisy ones.

    The loss is CleanDIFT's, one minus the cosine of every cell's feature with the frozen U-Net's, in small:
    the frozen U-Net is asked at one timestep alone, for the mean of a few draws, so that no projection heads
    are needed between them.

    Args:
        pipeline: folder of the tiny Stable Diffusion.
        folder: gets `cleandift.safetensors` with the tuned tensors alone, in half precision.
    """
    import torch
    import torch.nn.functional as F
    from safetensors.torch import save_file

    from baselines.networks.activations import record_outputs
    from baselines.stable_diffusion.backbone import StableDiffusion
    from baselines.stable_diffusion.conditioning import Conditioning
    from baselines.stable_diffusion.other_unet import CHANGED

    teacher, student = StableDiffusion(pipeline), StableDiffusion(pipeline).unet
    prompts = {name: teacher.text_states(f"a photo of a {name}") for name in set(pictures.categories)}
    mean, std = posteriors(teacher.vae, pictures, folder.parent)
    tuned = [name for name, _ in student.named_parameters() if _is_tuned(name)]
    for name in tuned:
        student.get_parameter(name).requires_grad_(True)

    def features_of(latents: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        outputs: dict[str, Any] = {}
        with record_outputs({LEVEL: student.get_submodule(LEVEL)}, outputs):
            student(latents, TIMESTEP, states, return_dict=False)
        features: torch.Tensor = outputs[LEVEL]
        return features

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.randint(len(pictures.categories), (batch,), generator=generator)
        states = torch.stack([prompts[pictures.categories[row]] for row in rows.tolist()])
        latents = draw_latents(mean[rows], std[rows], generator)
        repeated = latents.repeat_interleave(DRAWS, 0)
        noise = torch.randn(repeated.shape, generator=generator)
        conditions = [Conditioning(row) for row in states for _ in range(DRAWS)]
        with torch.no_grad():
            noisy = teacher.noisy(repeated, noise, TIMESTEP)
            wanted = teacher.mean_activations(noisy, TIMESTEP, conditions, LEVEL, DRAWS)
        cosines = F.cosine_similarity(features_of(teacher.clean(latents), states), wanted, dim=1)
        return {"loss": 1 - cosines.mean()}

    train(student, losses_of, schedule, folder)
    tensors = {CHANGED + name: student.get_parameter(name).detach().half().contiguous() for name in tuned}
    save_file(tensors, folder / "cleandift.safetensors")


def _is_tuned(name: str) -> bool:
    # Nothing behind the level has a part in its output.
    if name.startswith(("up_blocks.2.", "conv_norm_out.", "conv_out.", "time_embedding.")):
        return False
    return name.startswith(TUNED) or name.endswith(".bias") or "norm" in name
