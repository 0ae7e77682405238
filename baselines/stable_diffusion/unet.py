"""Activations of a conditioned U-Net, which stops at the last submodule that is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from baselines.networks.activations import concatenate_outputs, record_outputs
from baselines.stable_diffusion.conditioning import Conditioning, shift_timestep_embedding
from baselines.stable_diffusion.prefix import flatten_outputs, prefix_submodules, replace_outputs

POSITIONS = 8 * 96 * 96
"""Latent positions that pass through the U-Net at once: eight images of 768 x 768.

Larger batches are cut, which bounds memory.
"""

CPU_POSITIONS = 2 * 96 * 96
"""The same on a CPU, whose caches hold no more: larger batches are slower there."""


class UNetActivations:
    """The part of `StableDiffusion` that reads its U-Net.

    Attributes:
        unet: diffusers' `UNet2DConditionModel`, frozen.
        device, dtype: of the U-Net.
    """

    unet: Any
    device: torch.device
    dtype: torch.dtype

    @property
    def text_width(self) -> int:
        """D: width of the states that cross-attention reads."""
        return int(self.unet.config.cross_attention_dim)

    def activations(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        submodules: Sequence[str],
        prefix_outputs: Mapping[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Reads the outputs of some submodules of the U-Net.

        Args:
            noisy: (n, 4, h, w).
            prompts: one for each row.
            submodules: dotted names, such as `up_blocks.1`; nothing that comes after the last of them is
                computed.
            prefix_outputs: from `run_prefix` for the same latents and timestep; computed with the rest if
                absent.

        Returns:
            submodule -> (n, C, h', w'), of the backbone's precision. Gradients reach the prompts where they
            are wanted.
        """
        chunks = []
        for rows in self._chunks(noisy):
            prefix = {name: states[rows] for name, states in (prefix_outputs or {}).items()}
            chunks.append(self._run(noisy[rows], timestep, prompts[rows], submodules, prefix))
        return concatenate_outputs(chunks, submodules)

    def run_prefix(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompt: Conditioning | None = None,
        first: str | None = None,
    ) -> dict[str, torch.Tensor]:
        """Computes the U-Net's prefix (`baselines.stable_diffusion.prefix`).

        Args:
            noisy: (n, 4, h, w).
            prompt: read by the prefix where a later block ends it, and for its `time`; None for a prefix
                that reads none.
            first: the block that ends the prefix; None for the first one that reads a prompt.

        Returns:
            outputs for `activations`; empty if the U-Net has no prefix.
        """
        submodules = prefix_submodules(self.unet, first)
        if not submodules:
            return {}
        if prompt is None:
            # The pass ends before the prompt is read.
            prompt = Conditioning(torch.zeros(1, self.text_width, device=self.device))
        chunks: list[dict[str, torch.Tensor]] = []
        for rows in self._chunks(noisy):
            outputs: dict[str, Any] = {}
            prompts = [prompt] * len(noisy[rows])
            states = torch.stack([each.states for each in prompts]).to(self.dtype)
            with (
                record_outputs(self._submodules_by_name(submodules), outputs),
                shift_timestep_embedding(self.unet, prompts),
            ):
                self.unet(noisy[rows].to(self.device, self.dtype), timestep, states, return_dict=False)
            chunks.append(flatten_outputs(outputs))
        if not chunks:
            return {}
        return concatenate_outputs(chunks, list(chunks[0]))

    def mean_activations(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        submodule: str,
        members: int,
        prefix_outputs: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Reads one submodule and averages over the draws of each image.

        A decoder block ends with a convolution of its upsampled state. That is linear, so it is computed
        once, of the mean.

        Args:
            noisy: (n members, 4, h, w); an image's draws are adjacent.

        Returns:
            (n, C, h', w') in float32.
        """

        def mean_output(name: str) -> torch.Tensor:
            output = self.activations(noisy, timestep, prompts, [name], prefix_outputs)[name]
            # Averages are taken in single precision, whatever the network's is.
            averaged: torch.Tensor = output.unflatten(0, (-1, members)).float().mean(dim=1)
            return averaged

        block = self.unet.get_submodule(submodule)
        # Other sizes are upsampled to those of the encoder, which the block learns from its caller.
        factor = 2**self.unet.num_upsamplers
        height, width = noisy.shape[-2:]
        divides = height % factor == 0 and width % factor == 0
        ends_with_upsampler = submodule.startswith("up_blocks.") and getattr(block, "upsamplers", None)
        if members == 1 or not (divides and ends_with_upsampler):
            return mean_output(submodule)
        # The upsampler's input is the output of the last layer, behind its attention where it has one.
        layers = "attentions" if getattr(block, "attentions", None) else "resnets"
        state = mean_output(f"{submodule}.{layers}.{len(block.resnets) - 1}").to(self.dtype)
        for upsampler in block.upsamplers:
            state = upsampler(state)
        return state.float()

    def rows_at_once(self, height: int, width: int) -> int:
        """Number of latents (4, height, width) that pass through the U-Net together; at least one."""
        positions = POSITIONS
        if self.device.type == "cpu":
            positions = min(POSITIONS, CPU_POSITIONS)
        return max(1, positions // (height * width))

    def _chunks(self, noisy: torch.Tensor) -> list[slice]:
        """Rows of latents that pass through the U-Net together."""
        length = self.rows_at_once(*noisy.shape[-2:])
        return [slice(start, start + length) for start in range(0, len(noisy), length)]

    def _run(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        submodules: Sequence[str],
        prefix_outputs: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """`activations` of one chunk."""
        outputs: dict[str, Any] = {}
        states = torch.stack([prompt.states for prompt in prompts]).to(self.dtype)
        prefix = replace_outputs(self.unet, prefix_outputs) if prefix_outputs else nullcontext()
        with (
            record_outputs(self._submodules_by_name(submodules), outputs),
            shift_timestep_embedding(self.unet, prompts),
            prefix,
        ):
            self.unet(noisy.to(self.device, self.dtype), timestep, states, return_dict=False)
        for name, output in outputs.items():
            # Attention and encoder blocks return tuples, their state first.
            if isinstance(output, tuple):
                outputs[name] = output[0]
        return outputs

    def _submodules_by_name(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: self.unet.get_submodule(name) for name in names}
