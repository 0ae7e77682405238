"""Pictures drawn from prompts: stock text-to-image sampling from the states that cross-attention reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from baselines.networks.loading import quiet
from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from baselines.stable_diffusion.unet import POSITIONS
from harness.errors import UserError

if TYPE_CHECKING:
    import PIL.Image

Progress = Callable[[int, int], None]
"""Called with the number of denoising steps done, and of all of them, both summed over pictures."""


def generate(
    folder: Path,
    states: Sequence[torch.Tensor],
    *,
    number: int,
    steps: int = 50,
    guidance: float = 7.5,
    seed: int = 0,
    device: str = "cpu",
    precision: str = "fp32",
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[list[PIL.Image.Image]]:
    """Draws pictures by a `Generator` whose backbone is loaded for this call alone.

    Raises:
        UserError: as `Generator` and `StableDiffusion` raise it.
    """
    backbone = StableDiffusion(folder, device, precision)
    sampler = Generator(backbone, steps=steps, guidance=guidance, seed=seed)
    return sampler.pictures(states, number=number, names=names, progress=progress)


class Generator:
    """diffusers' `StableDiffusionPipeline` around a loaded backbone.

    It samples by DDIM (eta 0), with classifier-free guidance against the empty text.

    Args:
        backbone: its U-Net, VAE and noise schedule are used as they are.
        steps: denoising steps.
        guidance: weight of the prompt against the empty text; at most 1 leaves the empty text out.
        seed: determines the noise, with the prompt's name and the picture's number.

    Raises:
        UserError: a value is out of its range.
    """

    def __init__(
        self, backbone: StableDiffusion, *, steps: int = 50, guidance: float = 7.5, seed: int = 0
    ) -> None:
        most_steps = int(backbone.scheduler.config.num_train_timesteps)
        if not 1 <= steps <= most_steps:
            raise UserError(
                f"{steps} denoising steps: expected 1 to {most_steps}, "
                f"as many as {backbone.folder} was trained with"
            )
        if not (math.isfinite(guidance) and guidance >= 0):
            raise UserError(f"guidance {guidance}: expected a number of at least 0; 7.5 is usual")
        self._backbone = backbone
        self._steps = steps
        self._guidance = guidance
        self._seed = seed
        self._pipeline = _make_pipeline(backbone)

    def pictures(
        self,
        states: Sequence[torch.Tensor],
        *,
        number: int,
        names: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> list[list[PIL.Image.Image]]:
        """Draws pictures, RGB squares of the backbone's native size.

        Picture i of a prompt starts from noise that belongs to (seed, the prompt's name, i). It does not
        depend on the other prompts and on how many pictures are drawn, but for rounding.

        Args:
            states: (77, D) for each prompt.
            number: pictures for each prompt.
            names: tell the prompts' noise apart; by default, their indices in `states`. Prompts of one name
                start from the same noise.

        Returns:
            `number` pictures for each prompt.

        Raises:
            UserError: a prompt is not of the text encoder's shape, memory does not suffice, or half precision
                overflows.
        """
        if number < 1:
            raise UserError(f"{number} pictures: expected at least 1")
        for prompt in states:
            self._check_shape(prompt)
        if names is None:
            names = list(map(str, range(len(states))))
        tasks = []
        for prompt, name in zip(states, names, strict=True):
            tasks += [(prompt, name, index) for index in range(number)]
        pictures: list[PIL.Image.Image] = []
        for start in range(0, len(tasks), self._batch_size):
            batch = tasks[start : start + self._batch_size]
            count_step = _step_counter(progress, start, len(batch), len(tasks), self._steps)
            with torch.inference_mode(), self._explain_full_memory():
                pictures += self._draw(batch, count_step)
        pictures_of_prompts = []
        for start in range(0, len(pictures), number):
            pictures_of_prompts.append(pictures[start : start + number])
        return pictures_of_prompts

    @property
    def _latent_side(self) -> int:
        """Side of the latents of a picture of native size."""
        return self._backbone.card.native // self._backbone.card.factor

    @property
    def _batch_size(self) -> int:
        """Pictures drawn at once; guidance runs each of them twice."""
        return max(1, POSITIONS // (2 * self._latent_side**2))

    def _check_shape(self, states: torch.Tensor) -> None:
        """Raises `UserError` for a prompt that was made for another text encoder."""
        expected = (self._backbone.tokenizer.model_max_length, self._backbone.text_width)
        if tuple(states.shape) != expected:
            raise UserError(
                f"a prompt of shape {tuple(states.shape)} where {self._backbone.folder} reads {expected}: "
                "it was made for another Stable Diffusion"
            )

    def _draw(
        self, batch: Sequence[tuple[torch.Tensor, str, int]], count_step: Callable[..., dict[str, Any]]
    ) -> list[PIL.Image.Image]:
        """Draws a picture for each (states, name, index)."""
        backbone = self._backbone
        shape = (backbone.unet.config.in_channels, self._latent_side, self._latent_side)
        prompts, draws = [], []
        for prompt, name, index in batch:
            prompts.append(prompt.to(backbone.device, backbone.dtype))
            draws.append(draw_noise(shape, "picture", self._seed, name, index))
        noise = torch.stack(draws)
        empty = backbone.text_states("").to(backbone.dtype)
        latents = self._pipeline(
            prompt_embeds=torch.stack(prompts),
            negative_prompt_embeds=empty.expand(len(batch), -1, -1),
            latents=noise.to(backbone.device, backbone.dtype),
            height=backbone.card.native,
            width=backbone.card.native,
            num_inference_steps=self._steps,
            guidance_scale=self._guidance,
            output_type="latent",
            callback_on_step_end=count_step,
        ).images
        # One at a time, because the decoder needs most memory.
        return [self._decode(latent) for latent in latents]

    def _decode(self, latent: torch.Tensor) -> PIL.Image.Image:
        """Decodes one latent. Raises `UserError` where its pixels overflow."""
        vae, processor = self._backbone.vae, self._pipeline.image_processor
        # fp16 ends at 65,504, which the decoder's states may pass.
        pixels = vae.decode(latent[None] / vae.config.scaling_factor).sample
        if not bool(pixels.isfinite().all()):
            raise UserError(
                f"pictures overflow in {self._backbone.dtype}; "
                "--precision fp32 or bf16 has the range for them"
            )
        pictures = processor.postprocess(pixels.float(), output_type="pil")
        picture: PIL.Image.Image = pictures[0]
        return picture

    @contextmanager
    def _explain_full_memory(self) -> Iterator[None]:
        """Turns PyTorch's error about a full memory into a `UserError` of one line."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            side, device = self._backbone.card.native, self._backbone.device
            raise UserError(
                f"{device}: no memory left for pictures of {side} x {side}; "
                "try --precision fp16 or --device cpu"
            ) from error


def _make_pipeline(backbone: StableDiffusion) -> Any:
    """Builds diffusers' pipeline of the backbone's networks, with a scheduler of its own."""
    with quiet():
        from diffusers import DDIMScheduler, StableDiffusionPipeline

        # Sampling sets the scheduler to a number of steps; the backbone's own must not change. Old
        # configurations lack the two values; diffusers warns and sets them so.
        scheduler = DDIMScheduler.from_config(backbone.scheduler.config, clip_sample=False, steps_offset=1)
        pipeline: Any = StableDiffusionPipeline(
            vae=backbone.vae,
            text_encoder=None,  # prompts come as states
            tokenizer=None,
            unet=backbone.unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _step_counter(
    progress: Progress | None, before: int, pictures: int, total: int, steps: int
) -> Callable[..., dict[str, Any]]:
    """Makes diffusers' callback after each step of a batch.

    Args:
        before: pictures that earlier batches have drawn.
        pictures: of this batch.
        total: of all batches.
        steps: denoising steps of a picture.
    """

    def count(pipeline: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        if progress:
            progress(before * steps + pictures * (step + 1), total * steps)
        return {}

    return count
