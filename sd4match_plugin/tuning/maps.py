"""Feature maps of encoded pictures: the frozen U-Net, up to the level that is read."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from baselines.stable_diffusion.conditioning import Conditioning
from harness.errors import UserError
from harness.frames import Size
from sd4match_plugin.tuning.images import Posteriors
from sd4match_plugin.tuning.prompting import autocast
from sd4match_plugin.tuning.settings import Settings
from sd4match_plugin.tuning.upsampling import replace_upsampling


class Maps:
    """Maps of the stretched pictures that the evaluation of `baselines.methods.dift` sees, at the training's
    timestep and for one draw of noise.

    Args:
        checkpointing: True if the U-Net keeps less of its activations and computes them again on the way
            back.

    Attributes:
        frame: the stretched square in pixels.

    Raises:
        UserError: the backbone has no such level or timestep.
    """

    def __init__(
        self,
        backbone: StableDiffusion,
        posteriors: Posteriors,
        settings: Settings,
        checkpointing: bool = False,
    ) -> None:
        card = backbone.card
        if settings.level not in card.levels:
            raise UserError(
                f"{backbone.folder} has no level '{settings.level}'; it has {', '.join(card.levels)}"
            )
        backbone.check_timestep(settings.timestep)
        self._backbone, self._posteriors, self._settings = backbone, posteriors, settings
        self._module = card.levels[settings.level]
        self.frame = Size(card.native, card.native)
        self._shape = posteriors.store.shape[1:]
        if checkpointing:
            backbone.unet.enable_gradient_checkpointing()
        if backbone.device.type == "cpu":
            # Measured on CPUs only: forwards and backwards it takes half as long, without gradients as long
            # as before. Attention stays fused: written out it takes as long at 12 x 12 positions, and at 96 x
            # 96 it has matrices of 1.7 GB for each picture and layer.
            replace_upsampling(backbone.unet)

    @property
    def device(self) -> torch.device:
        """Device of the backbone."""
        return self._backbone.device

    @property
    def pairs_at_once(self) -> int:
        """Default number of pairs that pass through the U-Net together: all that fit in one pass."""
        side = self.frame.width // self._backbone.card.factor
        return max(1, self._backbone.rows_at_once(side, side) // 2)

    def draw(self, identities: Sequence[str], step: int, positions: Sequence[str]) -> torch.Tensor:
        """Draws the U-Net's input (n, 4, h, w) at a training step: a sample of each picture's posterior,
        scaled, with noise.

        Args:
            positions: of each picture in the whole batch; draws depend on seed, step and position alone.
        """
        keys = [("training", self._settings.seed, step, position) for position in positions]
        samples = torch.stack([draw_noise(self._shape, "posterior", *key) for key in keys])
        noise = torch.stack([draw_noise(self._shape, "noise", *key) for key in keys])
        return self._add_noise(identities, samples, noise)

    def draw_for_evaluation(self, identities: Sequence[str]) -> torch.Tensor:
        """Draws the U-Net's input (n, 4, h, w) at evaluation (`baselines.methods.dift.StretchedFeatures`),
        for member 0 of an ensemble.
        """
        keys = [(self._settings.seed, identity, self._settings.timestep) for identity in identities]
        samples = torch.stack([draw_noise(self._shape, "posterior", *key) for key in keys])
        noise = torch.stack([draw_noise(self._shape, "noise", *key, 0) for key in keys])
        return self._add_noise(identities, samples, noise)

    def _add_noise(
        self, identities: Sequence[str], samples: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        posterior, device = self._posteriors(identities), self._backbone.device
        latents = posterior.mean.to(device) + posterior.std.to(device) * samples.to(device)
        return self._backbone.noisy(latents, noise.to(device), self._settings.timestep)

    def __call__(self, noisy: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """(n, 4, h, w) and (n, 77, D) states -> (n, C, h', w') float32 maps; gradients reach the states."""
        prompts = [Conditioning(prompt_states) for prompt_states in states]
        with autocast(self._backbone, self._settings.precision):
            activations = self._backbone.activations(noisy, self._settings.timestep, prompts, [self._module])
        return activations[self._module].float()
