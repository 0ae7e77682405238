"""Feature maps of pictures whose latents are kept: the frozen U-Net, up to the level that is read."""

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
from sd4match_plugin.tuning.upsampling import lighten


class Maps:
    """Maps of the stretched pictures that the evaluation of `baselines.methods.dift` sees, at the training's timestep and for one draw.

    Args:
        checkpointing: the U-Net keeps less of its activations and computes them again on the way back.

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
                f"'{settings.level}' is no level of {backbone.folder}; it has {', '.join(card.levels)}"
            )
        backbone.check_timestep(settings.timestep)
        self._backbone, self._posteriors, self._settings = backbone, posteriors, settings
        self._place = card.levels[settings.level]
        self.frame = Size(card.native, card.native)
        self._shape = posteriors.store.shape[1:]
        if checkpointing:
            backbone.unet.enable_gradient_checkpointing()
        if backbone.device.type == "cpu":
            # Measured there only: it takes half as long there and back, and as long as before where there is no way back. Attention stays
            # fused: written out it takes as long at 12 x 12 cells, and at 96 x 96 it has matrices of 1.7 GB for each picture and layer.
            lighten(backbone.unet)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._backbone.device

    @property
    def pairs_at_once(self) -> int:
        """Pairs that pass through the U-Net at once by default: as many as it takes without cutting the batch."""
        side = self.frame.width // self._backbone.card.factor
        return max(1, self._backbone.rows_at_once(side, side) // 2)

    def draw(self, identities: Sequence[str], step: int, places: Sequence[str]) -> torch.Tensor:
        """(n, 4, h, w) what the U-Net is fed at a training step: a sample of each picture's posterior, scaled, with noise.

        Args:
            places: of each picture, where it stands in the whole batch; with seed and step all that its draws follow from.
        """
        seed, shape = self._settings.seed, self._shape
        samples, noise = (
            torch.stack([draw_noise(shape, what, "training", seed, step, place) for place in places])
            for what in ("posterior", "noise")
        )
        return self._noisy(identities, samples, noise)

    def draw_for_evaluation(self, identities: Sequence[str]) -> torch.Tensor:
        """(n, 4, h, w) what the U-Net is fed at evaluation (`baselines.methods.dift.StretchedFeatures`), first member of an ensemble."""
        keys = [(self._settings.seed, identity, self._settings.timestep) for identity in identities]
        samples = torch.stack([draw_noise(self._shape, "posterior", *key) for key in keys])
        noise = torch.stack([draw_noise(self._shape, "noise", *key, 0) for key in keys])
        return self._noisy(identities, samples, noise)

    def _noisy(self, identities: Sequence[str], samples: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        posterior, device = self._posteriors(identities), self._backbone.device
        latents = posterior.mean.to(device) + posterior.std.to(device) * samples.to(device)
        return self._backbone.noisy(latents, noise.to(device), self._settings.timestep)

    def __call__(self, noisy: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """(n, 4, h, w) and (n, 77, D) states -> (n, C, h', w') maps in float32; gradients reach the states."""
        prompts = [Conditioning(one) for one in states]
        with autocast(self._backbone, self._settings.precision):
            passed = self._backbone.activations(noisy, self._settings.timestep, prompts, [self._place])[
                self._place
            ]
        return passed.float()
