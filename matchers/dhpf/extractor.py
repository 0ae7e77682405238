"""Pictures as DHPF's matcher needs them: all levels of a ResNet, reduced, and the levels' means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baselines.networks.loading import DTYPES
from harness.frames import Frame, Size
from harness.specs import FeatureMap, ImageRequest
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import network_batch, stretched_prepare
from matchers.backbones.resnet import ResNet
from matchers.dhpf.checkpoint import check_backbone, read_all_levels, read_learner
from matchers.dhpf.network import global_means


class DhpfExtractor:
    """Levels of pictures stretched to the checkpoint's square (an `ImageExtractor`).

    Args:
        learner, backbone: the checkpoints. The backbone's depth is that which the learner was trained with.
        precision: the backbone's; the learner's is single.

    Raises:
        UserError: a file is another network's, or damaged, or the two do not belong together.
    """

    def __init__(self, learner: Path, backbone: Path, device: str, precision: str) -> None:
        file = read_learner(learner)
        tensors = read_checkpoint(backbone).tensors
        network = ResNet.like(tensors, str(backbone)).load(tensors, str(backbone))
        check_backbone(file.learner, network, learner, backbone)
        self._device, self._dtype = device, DTYPES[precision]
        self._backbone = network.eval().requires_grad_(False).to(device, self._dtype)
        self._learner, self._side = file.learner.to(device), file.image_size
        self.prepare = stretched_prepare(self._side)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """The deepest level, reduced, as the map; all reduced levels and then all means as its levels.

        34 and 34 tensors for ResNet-101, 5 MB at 240 pixels.
        """
        pixels = network_batch(requests, self.prepare, self._device)
        levels = [level.float() for level in read_all_levels(self._backbone, pixels.to(self._dtype))]
        tensors = [*self._learner.reduce(levels), *global_means(levels)]
        deepest = len(levels) - 1
        maps = []
        for row, request in enumerate(requests):
            # Copies: a view would keep the whole batch alive for as long as one picture's map is kept.
            own = tuple(tensor[row].clone() for tensor in tensors)
            frame = Frame.stretched(request.size, Size(self._side, self._side))
            maps.append(FeatureMap(own[deepest], frame, "corner", own))
        return maps
