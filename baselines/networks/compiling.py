"""Networks whose blocks `torch.compile` has compiled (`bench run --compile`).

Blocks are compiled instead of whole networks. A hook leaves a network by an exception as soon as everything
is read, which compiled code cannot do. Blocks of one shape share one compilation. And a block is compiled
when it is first called, so blocks after the last one that is read are never compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

import torch

DIFFUSION_BLOCKS = ("ResnetBlock2D", "BasicTransformerBlock")
"""Classes of the U-Net's blocks."""

MOST_SHAPES = 512
"""Most compilations of one class of blocks.

Stable Diffusion 2-1 has 20 shapes up to up-block 1, for each number of images at once.
"""


def compile_blocks(network: torch.nn.Module, classes: Collection[str], skip: Collection[str] = ()) -> int:
    """Compiles the blocks of some classes in place; each is compiled at its first call.

    Each shape gets a compilation of its own. PyTorch's default, which compiles for any shape as soon as it
    has seen two, would compile less often. But then the kernel for a batch would depend on the batches before
    it, and a run that goes on where it stopped would not give the bytes of an undisturbed one.

    A block with a hook inside runs uncompiled, because compiled code does not call the hook.

    Args:
        classes: names of the blocks' classes.
        skip: dotted names of submodules that stay uncompiled, such as those whose `forward` is replaced for a
            time.

    Returns:
        the number of compiled blocks.
    """
    # One shape too many is an error: with a whole graph, PyTorch does not fall back to uncompiled code.
    for limit in ("cache_size_limit", "accumulated_cache_size_limit"):
        setattr(torch._dynamo.config, limit, MOST_SHAPES)
    blocks = []
    for name, module in network.named_modules():
        if type(module).__name__ in classes and name not in skip:
            blocks.append(module)
    for block in blocks:
        block.forward = _compile_forward(block)
    return len(blocks)


def _compile_forward(block: torch.nn.Module) -> Callable[..., Any]:
    """A block's compiled `forward`, which runs the original one while a submodule has a hook or another
    `forward`.

    Hooks of the block itself need no such care: they are called by the caller of `forward`.
    """
    original = block.forward
    # `modules` yields the block itself first.
    submodules = list(block.modules())[1:]
    # On a GPU kernels are chosen by timing them, and some choices change the order of a sum.
    options: dict[str, Any] = {}
    if hasattr(torch._inductor.config, "deterministic"):
        options["deterministic"] = True
    compiled = torch.compile(original, fullgraph=True, dynamic=False, options=options)

    @wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Any:
        has_hook = any(module._forward_hooks or module._forward_pre_hooks for module in submodules)
        # Nor does it see that a submodule's `forward` is replaced for a time.
        if has_hook or any("forward" in vars(module) for module in submodules):
            return original(*args, **kwargs)
        return compiled(*args, **kwargs)

    return forward
