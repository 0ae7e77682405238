"""Memory of one training step, counted without a GPU: `python benchmarks/training_memory.py CONFIGS`.

CONFIGS is a pipeline folder; its weights are not read. The U-Net runs on PyTorch's `meta` device, which
knows shapes and computes nothing, up to the place that is read, with gradients wanted for the prompts
alone; what autograd keeps for the way back is counted, each storage once. Attention is counted as the
fused kernels keep it: queries, keys, values and result, no matrix of weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F

from baselines.networks.loading import DTYPES
from baselines.stable_diffusion.card import Card

GIGABYTE = 1e9


class _Enough(Exception):
    """Stops the U-Net once the output that is read has been computed."""


class _FusedAttention(torch.autograd.Function):
    """Keeps what scaled_dot_product_attention keeps on a GPU, without its numbers."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        shape = (*query.shape[:-1], value.shape[-1])
        result = torch.empty(shape, device=query.device, dtype=query.dtype)
        # A row's logarithm of summed exponentials, from which the kernel computes the weights again.
        logarithms = torch.empty(query.shape[:-1], device=query.device)
        ctx.save_for_backward(query, key, value, result, logarithms)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise NotImplementedError


class Counter:
    """Bytes that autograd keeps, besides parameters."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
        self._held: dict[int, Any] = {}
        self.bytes = 0

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """A hook for saved tensors."""
        storage = tensor.untyped_storage()
        # Views share a storage, which is in memory once.
        if storage._cdata not in self._own and storage._cdata not in self._held:
            self._held[storage._cdata] = storage
            self.bytes += storage.nbytes()
        return tensor


def count(unet: Any, place: str, side: int, images: int, width: int, dtype: torch.dtype) -> tuple[int, int]:
    """Bytes kept for the way back, and bytes of the largest layer, which checkpointing needs besides."""
    counter = Counter(unet)
    largest, before = 0, [0]

    def enter_layer(module: Any, inputs: Any) -> None:
        before[0] = counter.bytes

    def leave_layer(module: Any, inputs: Any, output: Any) -> None:
        nonlocal largest
        largest = max(largest, counter.bytes - before[0])

    def stop(module: Any, inputs: Any, output: Any) -> None:
        raise _Enough

    hooks = []
    for name, layer in unet.named_modules():
        # With checkpointing, one of these layers at a time keeps everything again.
        if name.split(".")[-2:-1] in (["resnets"], ["attentions"]):
            hooks.append(layer.register_forward_pre_hook(enter_layer))
            hooks.append(layer.register_forward_hook(leave_layer))
    hooks.append(unet.get_submodule(place).register_forward_hook(stop))
    with torch.device("meta"):
        noisy = torch.empty(images, 4, side, side, dtype=dtype)
        states = torch.empty(images, 77, width, dtype=dtype, requires_grad=True)
        time = torch.empty((), dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(counter.keep, lambda kept: kept),
        fused_attention(),
        suppress(_Enough),
    ):
        unet(noisy, time, states, return_dict=False)
    for hook in hooks:
        hook.remove()
    return counter.bytes, largest


@contextmanager
def fused_attention() -> Iterator[None]:
    """Attention without its matrix."""
    before = F.scaled_dot_product_attention

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **_: Any) -> Any:
        return _FusedAttention.apply(query, key, value)

    F.scaled_dot_product_attention = attend
    try:
        yield
    finally:
        F.scaled_dot_product_attention = before


@click.command()
@click.argument("configs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--level", default="up-block 1", show_default=True)
@click.option("--precision", type=click.Choice(list(DTYPES)), default="fp16", show_default=True)
def main(configs: Path, level: str, precision: str) -> None:
    """Prints a line for each number of pairs that pass through the U-Net at once."""
    from diffusers import UNet2DConditionModel

    card, dtype = Card.of(configs), DTYPES[precision]
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(configs / "unet"))
        unet = unet.to(dtype).requires_grad_(False)
    own = sum(parameter.nbytes for parameter in unet.parameters())
    side = card.native // card.factor
    click.echo(
        f"U-Net {own / GIGABYTE:.2f} GB in {precision}; {card.native} x {card.native} pixels, up to {level}"
    )
    for pairs in (1, 2, 4, 9):
        # Two pictures a pair.
        arguments = (unet, card.levels[level], side, 2 * pairs, card.text_width, dtype)
        kept, layer = count(*arguments)
        unet.enable_gradient_checkpointing()
        ends, _ = count(*arguments)
        unet.disable_gradient_checkpointing()
        click.echo(
            f"{pairs} pairs at once: {kept / GIGABYTE:.2f} GB of activations; "
            f"with --checkpointing {(ends + layer) / GIGABYTE:.2f} GB "
            f"({ends / GIGABYTE:.2f} between layers, {layer / GIGABYTE:.2f} in the largest)"
        )


if __name__ == "__main__":
    main()
