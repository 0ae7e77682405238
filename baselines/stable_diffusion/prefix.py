"""The prefix of the U-Net's pass: everything before its first cross-attention, which no prompt reaches.

With a prompt made from the pair, the U-Net runs on the same noisy latents again for every pair that an image
is in. Up to the first layer that reads the prompt, that gives the same numbers every time: 14 % of the
operations up to up-block 1 for SD 2-1 at 768 x 768 pixels.

A later block may be said to be the first that reads the pair's prompt (`baselines.stable_diffusion.sparing`).
Then more of the pass belongs to the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    PrefixOutputs = Mapping[str, torch.Tensor]
    """Submodule, or submodule and number for one with several outputs -> its output, (n, ...)."""


def prefix_submodules(unet: Any, first: str | None = None) -> tuple[str, ...]:
    """Names of the submodules whose outputs are all that a pass needs of the prefix.

    These are the blocks before the first one with cross-attention, its first resnet, and the self-attention
    behind that.

    Args:
        first: the block with cross-attention that ends the prefix, such as `mid_block`; None for the first
            one of the encoder, before which no prompt is read.
    """
    before: list[str] = []
    for name, block in _blocks(unet):
        if first is None and name == "mid_block":
            # Nothing in the encoder reads a prompt: such a network's prefix is not used.
            return ()
        is_last = name == first if first else getattr(block, "has_cross_attention", False)
        if not is_last:
            before.append(name)
            continue
        names = (*before, f"{name}.resnets.0")
        # In some networks the first attention of a block reads nothing but the prompt.
        if block.attentions[0].transformer_blocks[0].only_cross_attention:
            return names
        return (*names, f"{name}.attentions.0.transformer_blocks.0.attn1")
    raise ValueError(f"the U-Net has no block {first}")


def _blocks(unet: Any) -> Iterator[tuple[str, Any]]:
    """Names and modules of the blocks, in the order in which they run."""
    for number, block in enumerate(unet.down_blocks):
        yield f"down_blocks.{number}", block
    yield "mid_block", unet.mid_block
    for number, block in enumerate(unet.up_blocks):
        yield f"up_blocks.{number}", block


def submodules_to_replace(unet: Any) -> frozenset[str]:
    """Names of the submodules that `replace_outputs` changes, and of all modules that contain them."""
    names = set()
    for dotted_name in prefix_submodules(unet):
        name = dotted_name
        while name:
            names.add(name)
            name = name.rpartition(".")[0]
    return frozenset(names)


def flatten_outputs(outputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Brings recorded outputs of the prefix into the form that `replace_outputs` takes."""
    flat: dict[str, torch.Tensor] = {}
    for name, output in outputs.items():
        if isinstance(output, tuple):
            # An encoder block returns its last state, and all its states for the decoder.
            for number, state in enumerate(output[1]):
                flat[f"{name} {number}"] = state
        else:
            flat[name] = output
    return flat


@contextmanager
def replace_outputs(unet: Any, outputs: PrefixOutputs) -> Iterator[None]:
    """Makes submodules of the prefix return recorded outputs instead of computing them."""
    replaced = []
    try:
        # A block's outputs have its name and a number.
        for name in dict.fromkeys(key.partition(" ")[0] for key in outputs):
            module = unet.get_submodule(name)
            replaced.append((module, vars(module).get("forward")))
            module.forward = _constant_forward(_restore_output(name, outputs))
        yield
    finally:
        for module, compiled in replaced:
            # The class's own method shows again, or the compiled one.
            del module.forward
            if compiled:
                module.forward = compiled


def _restore_output(name: str, outputs: PrefixOutputs) -> Any:
    """Restores a submodule's output as it was returned: the reverse of `flatten_outputs`."""
    if name in outputs:
        return outputs[name]
    # In the order in which the block returned them, since dictionaries keep theirs.
    states = tuple(state for key, state in outputs.items() if key.startswith(f"{name} "))
    return states[-1], states


def _constant_forward(output: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: output
