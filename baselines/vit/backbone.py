"""A DINO as a backbone: pixels -> tokens, keys, queries or values of one block, the last that is computed.

The three generations differ in their position embeddings (`baselines.vit.dense_grid`). Everything is taken
from transformers' public modules; hooks read what passes through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from baselines.networks.activations import record_outputs
from baselines.networks.compiling import compile_blocks
from baselines.networks.loading import (
    DTYPES,
    explain_loading_errors,
    load_transformer,
    make_transformer,
)
from baselines.vit.card import VitCard
from baselines.vit.dense_grid import dense_patches
from baselines.vit.positions import use_authors_positions
from baselines.vit.timm_files import TimmFile
from harness.errors import UserError
from harness.imports import uncollected

Facet = Literal["token", "token-norm", "key", "query", "value"]
"""The part of a block that is read.

`token` is the block's output before the model's final layer norm, `token-norm` the output after it (last
block only). The others are attention's projections, the heads one after another; DINOv3's keys and queries
are those before the rotation.
"""

PROJECTIONS: dict[str, tuple[str, ...]] = {
    "key": ("k_proj", "key"),
    "query": ("q_proj", "query"),
    "value": ("v_proj", "value"),
}
"""Names of attention's projections in transformers, now and in its earlier releases."""

_UNREAD = ("*mask_token", "pooler.*", "classifier.*", "head.*")
"""Tensors that features do not depend on: a checkpoint may lack them, and may have them."""


class VisionTransformer:
    """A frozen DINO.

    Args:
        path: a folder as transformers saves it: `config.json`, which names the architecture (DINOv1 `vit`,
            DINOv2 with or without registers, DINOv3), and the tensors; or a file with the names of iBOT's
            authors (`baselines.vit.timm_files`). Nothing is fetched.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: whether the blocks are compiled.
        position_offset: cells added to the grid to which learned positions are interpolated; None for what
            the authors of the network add (`VitCard.position_offset`).
        heads: attention heads of such a file; None for one for each 64 channels.

    Attributes:
        card: the backbone's sizes.

    Raises:
        UserError: the folder or file lacks something or is damaged, or the network does not take that offset.
    """

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        precision: str = "fp32",
        compiled: bool = False,
        position_offset: float | None = None,
        heads: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = DTYPES[precision]
        file = TimmFile.read(path) if path.is_file() else None
        self.card = VitCard.of(path) if file is None else file.card
        offset = self.card.position_offset(position_offset)
        if file is None:
            network = load_vision_transformer(path, self.card, self.dtype)
        else:
            network = _load_timm(file, file.heads(heads), self.dtype)
        self.model = network.eval().requires_grad_(False).to(self.device)
        use_authors_positions(self.model, self.card, offset)
        if compiled:
            compile_blocks(self.model, {type(block).__name__ for block in self._blocks})

    @property
    def _blocks(self) -> torch.nn.ModuleList:
        # Each architecture names its blocks differently; they are its first list of modules.
        modules = self.model.modules()
        return next(module for module in modules if isinstance(module, torch.nn.ModuleList))

    @torch.no_grad()
    def features(
        self, pixels: torch.Tensor, layer: int = -1, facet: Facet = "token", stride: int | None = None
    ) -> torch.Tensor:
        """Reads one block's feature maps of images, without the class token and registers.

        Position (0, 0) is the patch at the top left corner; patches begin every `stride` pixels
        (`harness.frames.PatchGrid`). Where that is less than a patch, learned positions are interpolated to
        the denser grid, bicubically, and rotary ones are those of the patches' centres.

        Args:
            pixels: (n, 3, H, W), normalised by ImageNet's mean and deviation; H and W are whole numbers of
                patches.
            layer: the block, from 0 as papers count; negative numbers count from the end.
            stride: pixels, a divisor of the patch; None for the patch itself.

        Returns:
            (n, C, h, w) of the backbone's precision, with h and w as `VitCard.grid_size` says. C is the width
            of a token.

        Raises:
            UserError: if the layer or facet does not exist, or the size or stride does not fit.
        """
        height, width = pixels.shape[-2:]
        stride = stride or self.card.patch
        rows, columns = self.card.grid_size(height, width, stride)
        submodule = self._submodule_to_read(layer, facet)
        with dense_patches(self.model, self.card, height, width, stride):
            states = self._read_output(pixels.to(self.device, self.dtype), submodule)
        patches = states[:, self.card.prefix :].transpose(1, 2)
        # Contiguous, since later kernels are chosen by the layout, and with them the last bits.
        return patches.reshape(len(pixels), -1, rows, columns).contiguous()

    def _submodule_to_read(self, layer: int, facet: str) -> torch.nn.Module:
        """The submodule whose output is the facet of a layer."""
        if facet not in get_args(Facet):
            raise UserError(f"unknown facet '{facet}'; known: {', '.join(get_args(Facet))}")
        number = self.card.block(layer)
        if facet == "token-norm":
            self.card.check_last(layer)
            return _find_submodule(self.model, ("layernorm", "norm"))
        block = self._blocks[number]
        if facet in PROJECTIONS:
            return _find_submodule(block, PROJECTIONS[facet])
        return block

    def _read_output(self, pixels: torch.Tensor, submodule: torch.nn.Module) -> torch.Tensor:
        """(n, tokens, C): the output of a submodule, after which nothing is computed."""
        outputs: dict[str, Any] = {}
        # DINOv1 takes other sizes than its own only with this option; the others always do.
        options = {}
        if self.card.architecture == "ViTModel":
            options["interpolate_pos_encoding"] = True
        with record_outputs({"states": submodule}, outputs):
            self.model(pixels, **options)
        output = outputs["states"]
        # Blocks return a tensor or a tuple, according to the release of transformers.
        states: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return states


def _find_submodule(module: torch.nn.Module, names: Sequence[str]) -> torch.nn.Module:
    """Finds the first submodule with one of some names. Raises `UserError` if transformers has renamed it."""
    submodule: torch.nn.Module
    for dotted_name, submodule in module.named_modules():
        if dotted_name.rpartition(".")[2] in names:
            return submodule
    raise UserError(
        f"transformers' {type(module).__name__} has no {' or '.join(names)}; "
        "install a release that constraints.txt names"
    )


def load_vision_transformer(folder: Path, card: VitCard, dtype: torch.dtype) -> Any:
    """Loads a DINO's network; all of its weights come from the folder.

    Raises:
        UserError: one line that names the file, and a tensor that is missing or not the network's.
    """
    with uncollected():
        import transformers

        network_class = getattr(transformers, card.architecture)
    # DINOv1's pooling layer was never trained.
    options = {"add_pooling_layer": False} if card.architecture == "ViTModel" else {}
    return load_transformer(network_class, folder, dtype, _UNREAD, **options)


def _load_timm(file: TimmFile, heads: int, dtype: torch.dtype) -> Any:
    """The network of a file with the authors' names. Raises `UserError` if it cannot be filled."""
    with uncollected():
        from transformers import ViTConfig, ViTModel

    config = ViTConfig(**file.configuration(heads))
    tensors = file.transformers_tensors()
    with explain_loading_errors(file.path, "a vision transformer"):
        return make_transformer(ViTModel, config, tensors, str(file.path), dtype, add_pooling_layer=False)
