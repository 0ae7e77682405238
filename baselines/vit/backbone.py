"""A DINO as a backbone: pixels -> tokens, keys, queries or values of one block, which is the last one that is computed.

The three generations differ in their position embeddings: DINOv1 and DINOv2 learned a square of them and interpolate it, DINOv3 rotates
queries and keys by where a patch's centre lies (RoPE). Everything is taken from transformers' public modules; hooks read what passes
through them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from baselines.networks.activations import reading
from baselines.networks.compiling import compile_blocks
from baselines.vit.card import VitCard
from harness.errors import UserError

Facet = Literal["token", "token-norm", "key", "query", "value"]
"""What is read of a block: its output before the model's final layer norm (`token`) or after it (`token-norm`, the last block only), or
one of attention's projections, the heads one after another. DINOv3's keys and queries are those before the rotation."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_PROJECTIONS: dict[str, tuple[str, ...]] = {
    "key": ("k_proj", "key"),
    "query": ("q_proj", "query"),
    "value": ("v_proj", "value"),
}
"""Names of attention's projections in transformers, now and in its earlier releases."""

_UNUSED = ("mask_token",)
"""Weights that a checkpoint may lack."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1]."""


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """(..., 3, H, W) RGB in [0, 1] -> what a DINO is fed."""
    mean, std = (
        torch.tensor(values, device=pixels.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (pixels - mean) / std


class VisionTransformer:
    """A frozen DINO.

    Args:
        folder: as transformers saves it: `config.json`, which names the architecture (DINOv1 `vit`, DINOv2 with or without registers,
            DINOv3), and safetensors. Nothing is fetched.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: whether the blocks are compiled.

    Attributes:
        card: the backbone's sizes.

    Raises:
        UserError: the folder lacks something, is damaged, or holds another network.
    """

    def __init__(
        self, folder: Path, device: str = "cpu", precision: str = "fp32", compiled: bool = False
    ) -> None:
        self.card = VitCard.of(folder)
        self.device, self.dtype = torch.device(device), DTYPES[precision]
        self.model = _loaded(folder, self.card, self.dtype).eval().requires_grad_(False).to(self.device)
        if compiled:
            compile_blocks(self.model, {type(block).__name__ for block in self._blocks})

    @property
    def _blocks(self) -> torch.nn.ModuleList:
        return next(module for module in self.model.modules() if isinstance(module, torch.nn.ModuleList))

    def cells(self, height: int, width: int, stride: int | None = None) -> tuple[int, int]:
        """Rows and columns of the feature map of an image: 1 + (side - patch) // stride of each (dino-vit-features).

        Args:
            stride: pixels from one patch to the next; None for the patch itself.

        Raises:
            UserError: if a side is no multiple of the patch, or the stride does not divide it.
        """
        patch = self.card.patch
        stride = stride or patch
        if height % patch or width % patch or not (height and width):
            raise UserError(
                f"an image of {width} x {height} pixels is no whole number of patches of {patch} pixels"
            )
        if stride < 1 or patch % stride:
            raise UserError(f"a stride of {stride} pixels does not divide the patch of {patch} pixels")
        return 1 + (height - patch) // stride, 1 + (width - patch) // stride

    @torch.no_grad()
    def features(
        self, pixels: torch.Tensor, layer: int = -1, facet: Facet = "token", stride: int | None = None
    ) -> torch.Tensor:
        """What one block makes of images; the class token and registers are left out.

        Cell (0, 0) is the patch at the top left corner; patches begin every `stride` pixels (`harness.frames.PatchGrid`). Where that is
        less than a patch, learned positions are interpolated to the denser grid, bicubically, and rotary ones are those of the patches'
        centres.

        Args:
            pixels: (n, 3, H, W), normalised by ImageNet's mean and deviation; H and W whole numbers of patches.
            layer: the block, from 0 as papers count; negative numbers count from the end.
            stride: pixels, a divisor of the patch; None for the patch itself.

        Returns:
            (n, C, h, w) of the backbone's precision, with h and w as `cells` says. C is the width of a token.

        Raises:
            UserError: if there is no such layer or facet, or the size or stride does not fit.
        """
        rows, columns = self.cells(pixels.shape[-2], pixels.shape[-1], stride)
        place = self._place(layer, facet)
        with self._dense(pixels.shape[-2], pixels.shape[-1], stride or self.card.patch):
            states = self._read(pixels.to(self.device, self.dtype), place)
        return (
            states[:, self.card.prefix :].transpose(1, 2).reshape(len(pixels), -1, rows, columns).contiguous()
        )

    # ----------------------------------------------------------------------------------------------------------- where to read

    def _place(self, layer: int, facet: str) -> torch.nn.Module:
        """The submodule whose output is wanted."""
        if facet not in get_args(Facet):
            raise UserError(f"unknown facet '{facet}'; known: {', '.join(get_args(Facet))}")
        number = layer + self.card.layers if layer < 0 else layer
        if not 0 <= number < self.card.layers:
            raise UserError(f"layer {layer} of a backbone that has layers 0 to {self.card.layers - 1}")
        if facet == "token-norm":
            if number != self.card.layers - 1:
                raise UserError(
                    f"facet 'token-norm' is the last layer's, {self.card.layers - 1}, not that of layer {layer}"
                )
            return _submodule(self.model, ("layernorm", "norm"))
        block = self._blocks[number]
        return _submodule(block, _PROJECTIONS[facet]) if facet in _PROJECTIONS else block

    def _read(self, pixels: torch.Tensor, place: torch.nn.Module) -> torch.Tensor:
        """(n, tokens, C): the output of a submodule, after which nothing is computed."""
        found: dict[str, Any] = {}
        # DINOv1 takes other sizes than its own only when told to; the others always do.
        options = {"interpolate_pos_encoding": True} if self.card.architecture == "ViTModel" else {}
        with reading({"": place}, found):
            self.model(pixels, **options)
        output: torch.Tensor = found[""][0] if isinstance(found[""], tuple) else found[""]
        return output

    # ------------------------------------------------------------------------------------------------------------ denser grids

    @contextmanager
    def _dense(self, height: int, width: int, stride: int) -> Iterator[None]:
        """The model with patches that begin every `stride` pixels."""
        patch = self.card.patch
        if stride == patch:
            yield
            return
        convolution = next(
            module for module in self.model.embeddings.modules() if isinstance(module, torch.nn.Conv2d)
        )
        positions = self._rotated if self.card.architecture == "DINOv3ViTModel" else self._interpolated
        convolution.stride = (stride, stride)
        try:
            with positions(height, width, stride):
                yield
        finally:
            convolution.stride = (patch, patch)

    @contextmanager
    def _interpolated(self, height: int, width: int, stride: int) -> Iterator[None]:
        """Learned positions of the denser grid: the model's own interpolation, asked for the size that has as many whole patches."""
        rows, columns = self.cells(height, width, stride)
        embeddings, patch = self.model.embeddings, self.card.patch
        usual = embeddings.interpolate_pos_encoding
        embeddings.interpolate_pos_encoding = lambda tokens, height, width: usual(
            tokens, rows * patch, columns * patch
        )
        try:
            yield
        finally:
            del embeddings.interpolate_pos_encoding

    @contextmanager
    def _rotated(self, height: int, width: int, stride: int) -> Iterator[None]:
        """Rotary positions of the denser grid's patch centres, which the image's edges, -1 and 1, enclose (DINOv3, section 3.2)."""
        rotary = self.model.rope_embeddings
        angles = self._angles(height, width, stride)
        hook = rotary.register_forward_hook(
            lambda module, inputs, output: (
                angles.cos().to(output[0].dtype),
                angles.sin().to(output[1].dtype),
            )
        )
        try:
            yield
        finally:
            hook.remove()

    def _angles(self, height: int, width: int, stride: int) -> torch.Tensor:
        """(cells, head width) angles: y times every frequency, x times every frequency, and both again for the other half."""
        centres = [
            2 * (torch.arange(number, device=self.device) * stride + self.card.patch / 2) / side - 1
            for number, side in zip(self.cells(height, width, stride), (height, width), strict=True)
        ]
        places = torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, 1)
        frequencies: torch.Tensor = self.model.rope_embeddings.inv_freq
        return (2 * math.pi * places[:, :, None] * frequencies).flatten(1).tile(2)


def _submodule(module: torch.nn.Module, names: Sequence[str]) -> torch.nn.Module:
    """The first submodule of one of some names. Raises `UserError`: transformers has renamed it."""
    found: torch.nn.Module
    for name, found in module.named_modules():
        if name.rpartition(".")[2] in names:
            return found
    raise UserError(
        f"transformers' {type(module).__name__} has no {' or '.join(names)}; install a release that constraints.txt names"
    )


def _loaded(folder: Path, card: VitCard, dtype: torch.dtype) -> Any:
    """The network, all of its weights read from the folder."""
    import transformers

    from baselines.networks.loading import quiet, read_errors

    # DINOv1's pooling layer was never trained.
    options = {"add_pooling_layer": False} if card.architecture == "ViTModel" else {}
    told = "copy or fetch config.json and model.safetensors again"
    try:
        with quiet():
            model, found = getattr(transformers, card.architecture).from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
    except read_errors() as error:
        raise UserError(f"{folder}: {' '.join(str(error).split())[:200]}; {told}") from error
    missing = sorted(name for name in found["missing_keys"] if not name.endswith(_UNUSED))
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} of its weights are missing, {missing[0]} among them; {told}"
        )
    return model
