"""The loaded Stable Diffusion that extractors share, with its outputs for images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.caching.lru import ByteLRU, Tensors, tensor_bytes
from harness.files import paths_below
from harness.specs import MakeContext

if TYPE_CHECKING:
    from baselines.stable_diffusion.backbone import StableDiffusion


def shared_backbone(
    context: MakeContext, folder: Path, limit: int, unet: Path | None = None
) -> tuple[StableDiffusion, ByteLRU[Tensors]]:
    """Returns the Stable Diffusion in a folder and a memory for its outputs.

    It is loaded anew if the last one that `context.shared` keeps comes from other files, or is for another
    device or precision.

    Args:
        limit: bytes of that memory.
        unet: a file of another U-Net, which takes the place of the folder's.

    Raises:
        UserError: the folder lacks something or a file is damaged.
    """
    from baselines.stable_diffusion.backbone import StableDiffusion

    def load() -> tuple[StableDiffusion, ByteLRU[Tensors]]:
        backbone = StableDiffusion(folder, context.device, context.precision, context.compiled, unet)
        # Now and not at the first prompt, so that damaged files are told before the first pair.
        backbone.load_text_encoder()
        # Two stay whatever their size: those of the pair at work.
        return backbone, ByteLRU(limit, tensor_bytes, at_least=2)

    state = []
    for path in (*paths_below(folder), *([unet] if unet else [])):
        if path.is_file():
            status = path.stat()
            state.append((str(path), status.st_mtime_ns, status.st_size))
    key = (folder.resolve(), unet, context.device, context.precision, context.compiled, tuple(state))
    backbone, memory = context.shared.once("stable-diffusion", key, load)
    # This extractor may get another share of memory than the one that loaded the backbone.
    memory.limit = limit
    return backbone, memory
