"""Any vision transformer of transformers as a backbone: pixels -> what one of its blocks gives of each patch.

Hooks read what passes through the network's own forward pass, positions and all; special tokens are dropped.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F

from baselines.networks.activations import record_outputs
from baselines.networks.compiling import compile_blocks
from baselines.networks.loading import DTYPES, load_transformer, quiet
from baselines.networks.pixels import normalize_pixels
from baselines.vit.backbone import PROJECTIONS, Facet
from baselines.vit.dense_grid import rotate_positions
from baselines.vit.families import AnyCard, no_norm, no_projection
from harness.errors import UserError
from harness.imports import uncollected
from harness.messages import first_line

_UNREAD = (
    "*mask_token",
    "*pooler.*",
    "*classifier.*",
    "*head.*",
    "decoder.*",
    "text_model.*",
    "text_projection.*",
    "visual_projection.*",
    "logit_scale",
    "logit_bias",
    "prompt_encoder.*",
    "mask_decoder.*",
    "shared_image_embedding.*",
)
"""Tensors that features do not depend on, which a folder may have or lack: heads, decoders, text towers."""

_NORMS = ("layernorm", "norm", "post_layernorm", "rms_norm")
"""Names of the norm after the last block."""

_MOST_SPECIAL = 64
"""Special tokens that a network may have before its patches; published ones have up to 17."""


class AnyVisionTransformer:
    """A frozen vision transformer of any family, for square images of one size.

    Args:
        folder: as transformers saves it; nothing is fetched.
        side: of the images in pixels, a whole number of patches.
        stride: pixels from one patch to the next, a divisor of the patch; None for the patch.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: whether the blocks are compiled.

    Attributes:
        card: its sizes.
        prefix: number of special tokens, which come before the patches.

    Raises:
        UserError: the folder lacks something or is damaged, holds another kind of network, or the network
            does not take that size or stride.
    """

    def __init__(
        self,
        folder: Path,
        side: int,
        stride: int | None = None,
        device: str = "cpu",
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        self.device, self.dtype = torch.device(device), DTYPES[precision]
        self.card, self._folder, self._side = AnyCard.of(folder), folder, side
        self._stride = stride or self.card.sizes.patch
        self.grid = self.card.sizes.grid_size(side, side, self._stride)
        self.prefix = self.card.sizes.prefix
        self.model = _load(folder, self.card, self.dtype).eval().requires_grad_(False).to(self.device)
        self._blocks = self._find_blocks()
        self._prepare()
        if compiled:
            compile_blocks(self.model, {type(block).__name__ for block in self._blocks})

    @torch.no_grad()
    def features(self, pixels: torch.Tensor, layer: int = -1, facet: Facet = "token") -> torch.Tensor:
        """Reads one block's feature maps of images, without the special tokens.

        Args:
            pixels: (n, 3, side, side) RGB in [0, 1].
            layer: the block, from 0; negative numbers count from the end.
            facet: `token` is the block's output, `token-norm` the same after the network's final norm, the
                others are attention's projections of it, the heads one after another.

        Returns:
            (n, C, h, w) of the backbone's precision; (0, 0) is the patch at the top left corner.

        Raises:
            UserError: the layer does not exist, or the network does not have the facet.
        """
        submodule = self._submodule_to_read(layer, facet)
        normed = normalize_pixels(pixels.to(self.device), self.card.mean, self.card.std)
        states = self._read(normed.to(self.dtype), submodule)
        if facet == "token-norm":
            states = self._final_norm()(states)
        if states.ndim == 4:
            # SAM keeps the grid, channels last.
            return states.permute(0, 3, 1, 2).contiguous()
        self._check_number(states)
        patches = states[:, self.prefix :].transpose(1, 2)
        # Contiguous, since later kernels are chosen by the layout, and with them the last bits.
        return patches.reshape(len(pixels), -1, *self.grid).contiguous()

    def _find_blocks(self) -> torch.nn.ModuleList:
        layers = self.card.sizes.layers
        for module in self.model.modules():
            if isinstance(module, torch.nn.ModuleList) and len(module) == layers:
                return module
        raise UserError(
            f"{self._folder}: {type(self.model).__name__} has no list of {layers} blocks, so it is no vision "
            "transformer that 'vit' can read; give another folder"
        )

    def _prepare(self) -> None:
        """Sets up what a family needs once, and counts the special tokens of an unknown one."""
        network = self.card.family.network
        self.card.check_stride(self._stride)
        if network == "ViTMAEModel":
            # Nothing is masked: every patch is seen.
            self.model.config.mask_ratio = 0.0
        elif network == "SamVisionModel":
            self._fit_sam()
        if not self.card.is_known:
            self.prefix = self._count_special()

    def _fit_sam(self) -> None:
        """Interpolates SAM's square of positions to the grid; its relative ones follow by themselves."""
        encoder = self.model.vision_encoder
        encoder.patch_embed.image_size = (self._side, self._side)
        positions = encoder.pos_embed
        if positions is None or positions.shape[1:3] == self.grid:
            return
        resized = F.interpolate(
            positions.permute(0, 3, 1, 2).float(), self.grid, mode="bicubic", align_corners=False
        )
        encoder.pos_embed = torch.nn.Parameter(resized.permute(0, 2, 3, 1).to(positions.dtype), False)

    def _count_special(self) -> int:
        """Number of special tokens of an unknown network, from what changes before its first block.

        Raises:
            UserError: patches are not one token each, in rows, after the special ones; or the network fails.
        """
        patch, name = self.card.sizes.patch, type(self.model).__name__
        pixels = torch.zeros(4, 3, self._side, self._side, device=self.device, dtype=self.dtype)
        rows, columns = self.grid
        # The corners: in a grid with rows and columns exchanged, the middle two would be.
        places = {1: (0, 0), 2: (0, columns - 1), 3: (rows - 1, 0)}
        for number, (row, column) in places.items():
            pixels[number, :, row * patch :, column * patch :][:, :patch, :patch] = 1
        seen: list[torch.Tensor] = []
        hook = self._blocks[0].register_forward_pre_hook(
            lambda _, inputs, named: seen.append((*inputs, *named.values())[0]), with_kwargs=True
        )
        try:
            self._read(pixels, self._blocks[0])
        except (ValueError, RuntimeError, TypeError, AttributeError, IndexError, KeyError) as error:
            raise UserError(
                f"{self._folder}: {name} does not take pictures of {self._side} x {self._side} pixels as a "
                f"vision transformer does ({first_line(error, 120)}); "
                f"its own size is {self.card.sizes.native}"
            ) from error
        finally:
            hook.remove()
        tokens = seen[0]
        if tokens.ndim == 3:
            prefix = tokens.shape[1] - rows * columns
            changed = (tokens != tokens[:1]).any(dim=2).int()
            expected = torch.zeros_like(changed)
            for number, (row, column) in places.items():
                expected[number, max(prefix, 0) + row * columns + column] = 1
            if 0 <= prefix <= _MOST_SPECIAL and torch.equal(changed, expected):
                return int(prefix)
        raise UserError(
            f"{self._folder}: {name} does not make one token of each of the {rows} x {columns} patches "
            f"(its first block reads {tuple(tokens.shape[1:])}), so it is no plain vision transformer; give "
            "another folder"
        )

    def _check_number(self, states: torch.Tensor) -> None:
        tokens = self.prefix + self.grid[0] * self.grid[1]
        if states.ndim != 3 or states.shape[1] != tokens:
            raise UserError(
                f"{self._folder}: {type(self.model).__name__} gives {tuple(states.shape[1:])} for "
                f"{self.grid[0]} x {self.grid[1]} patches and {self.prefix} special tokens, "
                "so it is no plain vision transformer; give another folder"
            )

    def _submodule_to_read(self, layer: int, facet: str) -> torch.nn.Module:
        module: torch.nn.Module
        if facet not in get_args(Facet):
            raise UserError(f"unknown facet '{facet}'; known: {', '.join(get_args(Facet))}")
        self.card.check_facet(facet)
        block = self._blocks[self.card.sizes.block(layer)]
        if facet not in PROJECTIONS:
            return block
        for name, module in block.named_modules():
            if name.rpartition(".")[2] in PROJECTIONS[facet]:
                return module
        raise UserError(no_projection(type(self.model).__name__, facet))

    def _final_norm(self) -> torch.nn.Module:
        module: torch.nn.Module
        # Those inside the blocks have such names, too.
        inside = {id(module) for module in self._blocks.modules()}
        for name, module in self.model.named_modules():
            is_norm = name.rpartition(".")[2] in _NORMS and not isinstance(module, torch.nn.Identity)
            if is_norm and id(module) not in inside:
                return module
        raise UserError(no_norm(type(self.model).__name__))

    def _read(self, pixels: torch.Tensor, submodule: torch.nn.Module) -> torch.Tensor:
        """(n, tokens, C): the output of a submodule, after which nothing is computed."""
        outputs: dict[str, Any] = {}
        with self._dense_patches(), record_outputs({"states": submodule}, outputs):
            self.model(**self._inputs(pixels))
        output = outputs["states"]
        # Blocks return a tensor or a tuple, according to the release of transformers.
        states: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return states

    def _inputs(self, pixels: torch.Tensor) -> dict[str, Any]:
        """Normalised pixels, as the network's forward pass takes them."""
        network, (rows, columns) = self.card.family.network, self.grid
        if network == "Siglip2VisionModel":
            cells = F.unfold(pixels, self.card.sizes.patch, stride=self.card.sizes.patch)
            # A patch in rows of pixels, each pixel's channels together.
            cells = cells.unflatten(1, (3, -1)).permute(0, 3, 2, 1).flatten(2)
            shapes = torch.tensor([[rows, columns]] * len(pixels), device=self.device)
            return {
                "pixel_values": cells,
                "pixel_attention_mask": torch.ones(cells.shape[:2], dtype=torch.long, device=self.device),
                "spatial_shapes": shapes,
            }
        inputs: dict[str, Any] = {"pixel_values": pixels}
        if "interpolate_pos_encoding" in inspect.signature(type(self.model).forward).parameters:
            inputs["interpolate_pos_encoding"] = True
        if network == "ViTMAEModel":
            # Patches are sorted by it: in their own order.
            inputs["noise"] = torch.arange(rows * columns, device=self.device).expand(len(pixels), -1)
        return inputs

    @contextmanager
    def _dense_patches(self) -> Iterator[None]:
        """Gives the network, for a time, patches every `stride` pixels, with positions for each."""
        patch = self.card.sizes.patch
        if self._stride == patch:
            yield
            return
        embeddings = next(
            module
            for module in self.model.modules()
            if self.card.family.positions == "rotary" or hasattr(module, "interpolate_pos_encoding")
        )
        convolution = next(module for module in embeddings.modules() if isinstance(module, torch.nn.Conv2d))
        convolution.stride = (self._stride, self._stride)
        try:
            if self.card.family.positions == "rotary":
                with rotate_positions(self.model, self.card.sizes, self._side, self._side, self._stride):
                    yield
                return
            own = embeddings.interpolate_pos_encoding
            rows, columns = self.grid
            # The positions of an image with as many whole patches.
            embeddings.interpolate_pos_encoding = lambda tokens, height, width: own(
                tokens, rows * patch, columns * patch
            )
            try:
                yield
            finally:
                del embeddings.interpolate_pos_encoding
        finally:
            convolution.stride = (patch, patch)


def _load(folder: Path, card: AnyCard, dtype: torch.dtype) -> Any:
    """Loads a network; all of its weights come from the folder. Raises `UserError`."""
    with uncollected():
        import transformers

        with quiet():
            network = getattr(transformers, card.family.network)
    if getattr(network, "main_input_name", "") != "pixel_values":
        raise UserError(
            f"{folder}: holds a {network.__name__}, which reads {network.main_input_name} and no pictures; "
            "give a vision transformer"
        )
    options = {}
    # Pooling layers are not read, and often were never trained.
    if "add_pooling_layer" in inspect.signature(network.__init__).parameters:
        options["add_pooling_layer"] = False
    return load_transformer(network, folder, dtype, _UNREAD, **options)
