"""Networks whose blocks `torch.compile` has compiled (`bench run --compile`).

Blocks and not whole networks: a network is left by an exception from a hook once everything is read, which compiled code cannot do; blocks
of one shape share one compilation; and a block is compiled when it is first called, so that what comes after the last place is never
compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

import torch

DIFFUSION_BLOCKS = ("ResnetBlock2D", "BasicTransformerBlock")
"""Classes of the U-Net's blocks."""

MOST_SHAPES = 512
"""Compilations of one class of blocks: 20 shapes in Stable Diffusion 2-1 up to up-block 1, for each number of images at once."""


def compile_blocks(network: torch.nn.Module, classes: Collection[str], but: Collection[str] = ()) -> int:
    """Compiles the blocks of some classes in place; the work is done as each is first called.

    Each shape has a compilation of its own. One for any shape, or PyTorch's default, which makes one as soon as it has seen two, would be
    compiled less often; but then the kernel that computes a batch depends on the batches before it, and a run that goes on where it
    stopped does not give the bytes of an undisturbed one.

    A block with a hook inside runs uncompiled: compiled code does not see it.

    Args:
        classes: names of the blocks' classes.
        but: dotted names of submodules that are left as they are, such as those whose `forward` is exchanged for a time.

    Returns:
        the number of blocks.
    """
    # A shape too many is an error and, with a whole graph, never falls back in silence to uncompiled code.
    for limit in ("cache_size_limit", "accumulated_cache_size_limit"):
        setattr(torch._dynamo.config, limit, MOST_SHAPES)
    found = [
        module
        for name, module in network.named_modules()
        if type(module).__name__ in classes and name not in but
    ]
    for module in found:
        module.forward = _either(module)
    return len(found)


def _either(module: torch.nn.Module) -> Callable[..., Any]:
    """A block's `forward`, compiled where it may be. Hooks of the block itself are called by whoever calls it."""
    usual = module.forward
    inside = [one for one in module.modules() if one is not module]
    # On a GPU kernels are chosen by timing them, and some choices change the order of a sum.
    options: dict[str, Any] = (
        {"deterministic": True} if hasattr(torch._inductor.config, "deterministic") else {}
    )
    fast = torch.compile(usual, fullgraph=True, dynamic=False, options=options)

    @wraps(usual)
    def forward(*args: Any, **options: Any) -> Any:
        hooked = any(one._forward_hooks or one._forward_pre_hooks for one in inside)
        return usual(*args, **options) if hooked else fast(*args, **options)

    return forward
