"""Counts operations and memory of networks by their shapes alone, on PyTorch's `meta` device.

No weights are read and nothing is computed: the same code that `bench run` goes through is given tensors
that have a shape and no numbers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measuring import flops_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from training_memory import fused_attention

from baselines.networks.loading import DTYPES, quiet
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import Conditioning
from baselines.stable_diffusion.unet import UNetActivations

TOKENS = 77
"""Rows of a prompt."""


class ShapesOnly(UNetActivations):
    """A Stable Diffusion without numbers.

    Args:
        configs: a pipeline folder; its weights are not read.
        precision: `fp32`, `bf16` or `fp16`.

    Attributes:
        card: sizes and levels.
        vae, text_encoder: of diffusers and transformers.
    """

    def __init__(self, configs: Path, precision: str = "fp16") -> None:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel

        self.card, self.dtype, self.device = Card.of(configs), DTYPES[precision], torch.device("meta")
        with self.device, quiet():
            self.unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(configs / "unet"))
            self.vae = AutoencoderKL.from_config(AutoencoderKL.load_config(configs / "vae"))
            self.text_encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(configs / "text_encoder"))
            for network in (self.unet, self.vae, self.text_encoder):
                network.eval().requires_grad_(False).to(self.dtype)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all three networks."""
        networks = (self.unet, self.vae, self.text_encoder)
        return sum(parameter.nbytes for network in networks for parameter in network.parameters())

    def encode(self, pictures: int, side: int) -> None:
        """Encodes stretched pictures or crops of `side` pixels, one at a time as a run does."""
        with torch.no_grad():
            for _ in range(pictures):
                self.vae.encode(self._empty(1, 3, side, side)).latent_dist.std.float()

    def read_level(
        self, level: str, pictures: int, draws: int, keeps_prefix: bool = False, first: str | None = None
    ) -> None:
        """The U-Net up to a level, for the mean over draws of noise of each picture.

        Args:
            keeps_prefix: what comes before the prompt is at hand, and not computed.
            first: the block that ends the prefix (`baselines.stable_diffusion.prefix`).
        """
        noisy, prompts = self._latents(pictures * draws), self._prompts(pictures * draws)
        with torch.no_grad():
            prefix = self.run_prefix(noisy, 0, prompts[0], first) if keeps_prefix else None
            submodule = self.card.levels[level]
            self.mean_activations(noisy, 0, prompts, submodule, draws, prefix_outputs=prefix)

    def read_levels(self, levels: tuple[str, ...], pictures: int) -> None:
        """The U-Net up to the last of several levels, for one draw of each picture."""
        noisy, prompts = self._latents(pictures), self._prompts(pictures)
        with torch.no_grad():
            self.activations(noisy, 0, prompts, [self.card.levels[level] for level in levels])

    def begin(self, pictures: int, draws: int, first: str | None = None) -> None:
        """What comes before the prompt (`baselines.stable_diffusion.prefix`), for each draw.

        Args:
            first: as in `read_level`.
        """
        with torch.no_grad():
            self.run_prefix(self._latents(pictures * draws), 0, self._prompts(1)[0], first)

    def run_whole(self) -> None:
        """The whole U-Net, as when a picture is generated; no run here needs it."""
        with torch.no_grad():
            states = self._empty(1, TOKENS, self.card.text_width)
            self.unet(self._latents(1), 0, states, return_dict=False)

    def encode_prompt(self) -> None:
        """One prompt through the text encoder."""
        with torch.no_grad():
            self._text_states()

    def train(self, level: str, pictures: int, prompts: int) -> None:
        """The way there and back of pictures of one draw each, with gradients for the prompts alone."""
        rows = []
        for _ in range(prompts):
            rows.append(self._text_states(wants_gradient=True))
        states = [Conditioning(rows[number % prompts]) for number in range(pictures)]
        name = self.card.levels[level]
        self.activations(self._latents(pictures), 0, states, [name])[name].float().sum().backward()

    def _text_states(self, wants_gradient: bool = False) -> torch.Tensor:
        embeddings = getattr(self.text_encoder, "text_model", self.text_encoder).embeddings
        width = self.card.text_width
        learned = self._empty(1, TOKENS, width).requires_grad_(wants_gradient)
        hook = embeddings.register_forward_hook(lambda module, inputs, output: learned)
        try:
            ids = torch.empty(1, TOKENS, dtype=torch.long, device=self.device)
            states: torch.Tensor = self.text_encoder(ids).last_hidden_state[0]
        finally:
            hook.remove()
        return states

    def _latents(self, rows: int) -> torch.Tensor:
        side = self.card.native // self.card.factor
        return self._empty(rows, 4, side, side)

    def _prompts(self, rows: int) -> list[Conditioning]:
        return [Conditioning(self._empty(TOKENS, self.card.text_width))] * rows

    def _empty(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)


@dataclass(frozen=True)
class TransformerShape:
    """A vision transformer by its sizes; those of the published ones stand in `reproduction`.

    Attributes:
        patch: side of a patch in pixels.
    """

    width: int
    layers: int
    heads: int
    patch: int

    def network(self) -> Any:
        """The network without numbers, on the meta device."""
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.width,
            patch_size=self.patch,
        )
        with torch.device("meta"):
            return ViTModel(config, add_pooling_layer=False).eval().requires_grad_(False)

    def operations(self, cells: int, layers: int | None = None) -> int:
        """Operations of the blocks on a map of cells x cells patches and a class token.

        Args:
            layers: blocks that are computed; None for all.
        """
        network = self.network()
        tokens = torch.empty(1, cells * cells + 1, self.width, device="meta")

        def call() -> None:
            states = tokens
            with torch.no_grad():
                blocks = next(part for part in network.modules() if isinstance(part, torch.nn.ModuleList))
                for block in blocks[:layers]:
                    output = block(states)
                    states = output[0] if isinstance(output, tuple) else output

        patches = 2 * cells * cells * 3 * self.patch**2 * self.width
        return flops_of(call) + patches


class _Peak(TorchDispatchMode):
    """Bytes of all storages that live at one time, made while this is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.highest = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        self._seen.add(key)
        size = storage.nbytes()
        self.live += size
        self.highest = max(self.highest, self.live)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


def peak_of(call: Callable[[], object]) -> int:
    """The most bytes that live at one time during a call on the meta device, attention being fused."""
    with _peak_counter() as peak:
        call()
    return peak.highest


@contextmanager
def _peak_counter() -> Iterator[_Peak]:
    peak = _Peak()
    with fused_attention(), peak:
        yield peak
