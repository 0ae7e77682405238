"""What SFNet and PMD need of one picture: the adapted features of two levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from baselines.networks.loading import DTYPES
from harness.errors import UserError
from harness.specs import FeatureMap, ImageRequest, MakeContext
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import network_batch, square_frame, stretched_prepare
from matchers.backbones.resnet import ResNet
from matchers.sfnet.checkpoint import FOURTH, THIRD, InputSettings, read_adaptation


class AdaptedFeatures:
    """Adapted features (an `ImageExtractor`): the third level's as the map, the fourth's in `levels`.

    Args:
        weights: name of the source of the adaptations; the backbone is `resnet101`'s.
        published: settings of the published network.
        foreign: a group of tensors that another method's files have and this one's do not.

    Raises:
        UserError: a file is not one of the network's.
    """

    def __init__(
        self, context: MakeContext, weights: str, published: InputSettings, foreign: str | None = None
    ) -> None:
        checkpoint = read_checkpoint(context.weights[weights])
        if foreign and any(name.startswith(f"{foreign}.") for name in checkpoint.content):
            raise UserError(
                f"{checkpoint.path}: it holds '{foreign}' as well, which {weights} would leave out; "
                "give this network's own file"
            )
        backbone = read_checkpoint(context.weights["resnet101"])
        self._input = published.of(checkpoint.settings, checkpoint.path)
        self._device, dtype = torch.device(context.device), DTYPES[context.precision]
        subject = str(backbone.path)
        resnet = ResNet.like(backbone.tensors, subject).load(backbone.tensors, subject)
        self._levels = [resnet.levels_of(layer)[-1] for layer in (self._input.layer, self._input.layer + 1)]
        adaptations = [read_adaptation(checkpoint, name) for name in (THIRD, FOURTH)]
        for level, module in zip(self._levels, adaptations, strict=True):
            channels = resnet.channels[level]
            if module.channels != channels:
                raise UserError(
                    f"{checkpoint.path}: it adapts features of {module.channels} channels, and those of "
                    f"{backbone.path} have {channels}; give the backbone that it was trained on, "
                    "--weights resnet101=FILE"
                )
        self._resnet, self._third, self._fourth = (
            module.eval().requires_grad_(False).to(self._device, dtype) for module in (resnet, *adaptations)
        )
        self._dtype = dtype
        self.prepare = stretched_prepare(self._input.side, self._input.border)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """Of each picture, data (C, h, w) and one level (C', h', w'), in single precision."""
        pixels = network_batch(requests, self.prepare, self._device).to(self._dtype)
        with torch.no_grad():
            third, fourth = self._resnet(pixels, self._levels)
            third, fourth = self._third(third).float(), self._fourth(fourth).float()
        return [
            FeatureMap(
                data, square_frame(request.size, self._input.side, self._input.border), "corner", (level,)
            )
            for data, level, request in zip(third, fourth, requests, strict=True)
        ]
