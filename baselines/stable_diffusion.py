"""Stable Diffusion as a backbone: noisy latents and prompts -> activations of the U-Net, which stops at the last one that is read.

Everything is taken from diffusers' and transformers' public modules; hooks read what passes through them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

# ruff: noqa: TID253 - imported by extractors as they are made, never by `bench list`.
import torch

from baselines.cards import Card
from baselines.compiled import DIFFUSION_BLOCKS, compile_blocks
from baselines.loading import quiet, read_errors
from baselines.prefix import collected, prefix_of, put_in_place, reaching_into
from baselines.reading import reading
from harness.errors import UserError
from harness.imports import uncollected

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

POSITIONS = 8 * 96 * 96
"""Latent positions that pass through the U-Net at once: eight images of 768 x 768. Larger batches are cut, which bounds memory."""

CPU_POSITIONS = 2 * 96 * 96
"""The same on a CPU, whose caches hold no more: larger batches are slower there."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the U-Net is conditioned on, for one image.

    Attributes:
        states: (77, D) what cross-attention reads.
        time: (T,) added to the embedding of the timestep, or None.
    """

    states: torch.Tensor
    time: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class TokenEmbeddings:
    """(77, D) rows that take the place of CLIP's token and position embeddings and go through the frozen text encoder."""

    rows: torch.Tensor


@dataclass(frozen=True, eq=False)
class EmptyTextPlus:
    """(77, D) to add to the states of the empty text, and (T,) to add to the embedding of the timestep."""

    states: torch.Tensor
    time: torch.Tensor | None = None


Prompt = str | TokenEmbeddings | EmptyTextPlus | Conditioning
"""A prompt for one image; a string is text."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """The VAE's posterior of images, before scaling: mean and standard deviation, each (n, 4, H / f, W / f)."""

    mean: torch.Tensor
    std: torch.Tensor


class TextEncoder:
    """The frozen text encoder of a Stable Diffusion: prompts -> what cross-attention reads. Loaded when a prompt needs it.

    Args:
        folder: a pipeline as diffusers saves it.
        precision: `fp32`, `bf16` or `fp16`.
    """

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "fp32") -> None:
        self.folder, self.device, self.dtype = folder, torch.device(device), DTYPES[precision]
        self._texts: dict[str, torch.Tensor] = {}

    def _frozen(self, model: Any) -> Any:
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def text_encoder(self) -> Any:
        """CLIP's text transformer."""
        from transformers import CLIPTextModel

        with _loading(self.folder):
            return self._frozen(CLIPTextModel.from_pretrained(self.folder / "text_encoder", dtype=self.dtype, use_safetensors=True))

    @cached_property
    def tokenizer(self) -> Any:
        """CLIP's tokenizer."""
        from transformers import CLIPTokenizer

        with _loading(self.folder):
            return CLIPTokenizer.from_pretrained(self.folder / "tokenizer")

    def text_states(self, text: str) -> torch.Tensor:
        """(77, D) last hidden states, after the final layer norm, of a text padded to 77 tokens; computed once for each text."""
        if text not in self._texts:
            with torch.no_grad():
                self._texts[text] = self.text_encoder(self._tokens([text])).last_hidden_state[0]
        return self._texts[text]

    def embedding_states(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, 77, D) token embeddings -> (n, 77, D) states: through the frozen encoder, with its causal mask and final layer norm.

        No position embedding is added: rows that need one carry it. Gradients pass.
        """
        inner = getattr(self.text_encoder, "text_model", self.text_encoder)
        hook = inner.embeddings.register_forward_hook(lambda module, inputs, output: rows.to(output.dtype))
        try:
            states: torch.Tensor = self.text_encoder(self._tokens([""] * len(rows))).last_hidden_state
        finally:
            hook.remove()
        return states

    def token_embeddings(self, text: str) -> torch.Tensor:
        """(77, D) token plus position embeddings of a text."""
        inner = getattr(self.text_encoder, "text_model", self.text_encoder)
        with torch.no_grad():
            embedded: torch.Tensor = inner.embeddings(self._tokens([text]))[0]
        return embedded

    def condition(self, prompt: Prompt) -> Conditioning:
        """Any kind of prompt -> what the U-Net reads."""
        if isinstance(prompt, str):
            return Conditioning(self.text_states(prompt))
        if isinstance(prompt, TokenEmbeddings):
            return Conditioning(self.embedding_states(prompt.rows.to(self.device)[None])[0])
        if isinstance(prompt, EmptyTextPlus):
            return Conditioning(self.text_states("").float() + prompt.states.to(self.device), prompt.time)
        return prompt

    def conditions(self, prompts: Sequence[Prompt]) -> list[Conditioning]:
        """Prompts of any kinds -> what the U-Net reads; rows of embeddings go through the encoder together."""
        rows = [prompt.rows.to(self.device) for prompt in prompts if isinstance(prompt, TokenEmbeddings)]
        states = iter(self.embedding_states(torch.stack(rows)) if rows else ())
        return [Conditioning(next(states)) if isinstance(prompt, TokenEmbeddings) else self.condition(prompt) for prompt in prompts]

    def _tokens(self, texts: Sequence[str]) -> torch.Tensor:
        length = self.tokenizer.model_max_length
        ids = self.tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
        moved: torch.Tensor = ids.to(self.device)
        return moved


class StableDiffusion(TextEncoder):
    """A frozen Stable Diffusion.

    Args:
        folder: a pipeline as diffusers saves it (`unet/`, `vae/`, `text_encoder/`, `tokenizer/`, `scheduler/`), safetensors only.
        precision: `fp32`, `bf16` or `fp16`; averages over ensemble members are taken in float32 whatever it is.
        compiled: whether blocks of the U-Net are compiled.

    Raises:
        UserError: the folder lacks something or a file is damaged.
    """

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "fp32", compiled: bool = False) -> None:
        with uncollected():
            from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        super().__init__(folder, device, precision)
        self.card = Card.of(folder)
        with _loading(folder):
            self.unet = self._frozen(
                UNet2DConditionModel.from_pretrained(folder, subfolder="unet", torch_dtype=self.dtype, use_safetensors=True)
            )
            self.vae = self._frozen(AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=self.dtype, use_safetensors=True))
            # On a CPU the U-Net is a sixth faster that way and the encoder a third; it is also what tensor cores want.
            for network in (self.unet, self.vae):
                network.to(memory_format=torch.channels_last)
            # Only the noise schedule is used, which is the same for every sampler.
            self.scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
        if compiled:
            compile_blocks(self.unet, DIFFUSION_BLOCKS, reaching_into(self.unet))

    def check_timestep(self, timestep: int) -> None:
        """Raises `UserError` for a timestep that the noise schedule does not have."""
        last = len(self.scheduler.alphas_cumprod) - 1
        if not 0 <= timestep <= last:
            raise UserError(f"--timestep {timestep}: the backbone has timesteps 0 to {last}")

    @property
    def text_width(self) -> int:
        """D: width of the text encoder's states."""
        return int(self.unet.config.cross_attention_dim)

    # ---------------------------------------------------------------------------------------------------------------- latents

    @torch.no_grad()
    def posterior(self, pixels: torch.Tensor) -> Posterior:
        """(n, 3, H, W) pixels in [-1, 1] -> the posterior, in float32, one image at a time: the encoder is what needs most memory."""
        both = [self.vae.encode(one[None].to(self.device, self.dtype)).latent_dist for one in pixels]
        return Posterior(torch.cat([one.mean for one in both]).float(), torch.cat([one.std for one in both]).float())

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, timestep: int) -> torch.Tensor:
        """Latents before scaling and noise of the same shape -> what the U-Net is fed at a timestep."""
        scaled = latents * self.vae.config.scaling_factor
        steps = torch.full((len(latents),), timestep, device=latents.device)
        mixed: torch.Tensor = self.scheduler.add_noise(scaled, noise, steps)
        return mixed

    # ------------------------------------------------------------------------------------------------------------- activations

    def activations(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        places: Sequence[str],
        begun: Mapping[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """What passes through the U-Net at some places.

        Args:
            noisy: (n, 4, h, w).
            prompts: one for each row.
            places: dotted names of submodules, such as `up_blocks.1`; nothing that comes after the last of them is computed.
            begun: what `begin` returned for the same latents and timestep; computed with the rest otherwise.

        Returns:
            place -> (n, C, h', w'), of the backbone's precision. Gradients reach the prompts where they are wanted.
        """
        parts = [
            self._pass(noisy[rows], timestep, prompts[rows], places, {name: values[rows] for name, values in (begun or {}).items()})
            for rows in self._parts(noisy)
        ]
        return {place: torch.cat([part[place] for part in parts]) for place in places}

    def begin(self, noisy: torch.Tensor, timestep: int) -> dict[str, torch.Tensor]:
        """What the U-Net makes of latents (n, 4, h, w) before a prompt comes in (`baselines.prefix`); for prompts that leave time alone."""
        parts: list[dict[str, torch.Tensor]] = []
        places = prefix_of(self.unet)
        for rows in self._parts(noisy) if places else ():
            found: dict[str, Any] = {}
            unread = torch.zeros(len(noisy[rows]), 1, self.text_width, device=self.device, dtype=self.dtype)
            with reading(self._named(places), found):
                self.unet(noisy[rows].to(self.device, self.dtype), timestep, unread, return_dict=False)
            parts.append(collected(found))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def mean_activations(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        place: str,
        members: int,
        begun: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """`activations` at one place for (n members, 4, h, w), averaged over the draws of each picture -> (n, C, h', w') in float32.

        A decoder block ends with a convolution of its upsampled state. That is linear, so it is computed once, of the mean.
        """

        def mean(where: str) -> torch.Tensor:
            averaged: torch.Tensor = self.activations(noisy, timestep, prompts, [where], begun)[where].unflatten(0, (-1, members)).float()
            return averaged.mean(dim=1)

        block = self.unet.get_submodule(place)
        # Other sizes are upsampled to what the encoder had, which the block is told from outside.
        even = all(side % 2**self.unet.num_upsamplers == 0 for side in noisy.shape[-2:])
        if members == 1 or not (even and place.startswith("up_blocks.") and getattr(block, "upsamplers", None)):
            return mean(place)
        layers = "attentions" if getattr(block, "attentions", None) else "resnets"
        state = mean(f"{place}.{layers}.{len(block.resnets) - 1}").to(self.dtype)
        for upsampler in block.upsamplers:
            state = upsampler(state)
        return state.float()

    def rows_at_once(self, height: int, width: int) -> int:
        """Latents (4, height, width) that pass through the U-Net together; at least one."""
        positions = min(POSITIONS, CPU_POSITIONS) if self.device.type == "cpu" else POSITIONS
        return max(1, positions // (height * width))

    def _parts(self, noisy: torch.Tensor) -> list[slice]:
        rows = self.rows_at_once(*noisy.shape[-2:])
        return [slice(at, at + rows) for at in range(0, len(noisy), rows)]

    def _pass(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        places: Sequence[str],
        begun: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        found: dict[str, Any] = {}
        states = torch.stack([prompt.states for prompt in prompts]).to(self.dtype)
        in_place = put_in_place(self.unet, begun) if begun else nullcontext()
        with reading(self._named(places), found), self._shifted(prompts), in_place:
            self.unet(noisy.to(self.device, self.dtype), timestep, states, return_dict=False)
        return {place: output[0] if isinstance(output, tuple) else output for place, output in found.items()}

    def _named(self, places: Sequence[str]) -> dict[str, Any]:
        return {place: self.unet.get_submodule(place) for place in places}

    @contextmanager
    def _shifted(self, prompts: Sequence[Conditioning]) -> Iterator[None]:
        """Adds what prompts have to say about the timestep's embedding."""
        if all(prompt.time is None for prompt in prompts):
            yield
            return
        width = self.unet.time_embedding.linear_2.out_features
        shift = torch.stack([torch.zeros(width) if prompt.time is None else prompt.time.cpu() for prompt in prompts])
        shift = shift.to(self.device, self.dtype)
        hook = self.unet.time_embedding.register_forward_hook(lambda module, inputs, output: output + shift)
        try:
            yield
        finally:
            hook.remove()


def prompt_key(prompt: Prompt | None) -> str:
    """What tells prompts apart by their content: a text itself, and a hash of anything else."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    digest = hashlib.sha256(type(prompt).__name__.encode())
    for value in vars(prompt).values():
        digest.update(b"none" if value is None else value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def draw_noise(shape: Sequence[int], *key: str | int) -> torch.Tensor:
    """Standard normal numbers, float32 on the CPU, that belong to a key such as (seed, image, timestep, ensemble member)."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randn(*shape, generator=generator)


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Turns what the libraries raise about a folder of weights into one line."""
    try:
        with quiet():
            yield
    except read_errors() as error:
        told = " ".join(str(error).split())
        raise UserError(f"{folder}: no Stable Diffusion that diffusers can read ({told[:200]}); fetch or copy it again") from error
