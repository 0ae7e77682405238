"""Hyperfeatures of pictures: the decoder's convolutions at many steps, aggregated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.sources import STABLE_DIFFUSION_1_5
from baselines.stable_diffusion.conditioning import Conditioning
from harness.errors import UserError
from harness.messages import listed
from harness.preprocess import stretched_maps
from harness.specs import FeatureMap, ImageRequest, MakeContext
from heads.aggregation.files import make_aggregation
from heads.aggregation.network import AggregationNetwork
from heads.hyperfeatures.decoder import DecoderSteps
from heads.hyperfeatures.mixing import add_timestep
from matchers.backbones.checkpoints import read_checkpoint

GROUP = "aggregation_network"
"""Key under which the authors' files hold the network, beside the state of its training."""


class Hyperfeatures:
    """Aggregated features of stretched images, on as many cells as there are latents (an `ImageExtractor`).

    Args:
        source: weight source of the aggregation network.

    Raises:
        UserError: the network is not made for these steps, or for this Stable Diffusion.
    """

    def __init__(self, context: MakeContext, source: str) -> None:
        self._steps = DecoderSteps(context)
        self._network = share_network(context, source)
        shape, path = self._network.shape, context.weights[source]
        if shape.channels != self._steps.channels:
            raise UserError(
                f"{path}: aggregates levels of {_texts(shape.channels)} channels, and the decoder "
                f"of {context.weights[STABLE_DIFFUSION_1_5]} has {_texts(self._steps.channels)}; "
                f"give the Stable Diffusion that it was trained on by --weights {STABLE_DIFFUSION_1_5}=FOLDER"
            )
        if shape.repeats != self._steps.kept:
            raise UserError(
                f"{path}: aggregates {shape.repeats} timesteps, and steps={context.params['steps']} with "
                f"every={context.params['every']} keeps {self._steps.kept}; set those that it was trained "
                f"with, or give the file that is for these by --weights {source}=FILE"
            )
        self.prepare = self._steps.prepare

    @torch.inference_mode()
    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(384, 64, 64) features for the published networks at 512 x 512."""
        side = self._steps.side
        conditions = self._steps.conditions(requests)
        length = self._steps.backbone.rows_at_once(side, side)
        chunks = []
        for start in range(0, len(requests), length):
            rows = slice(start, start + length)
            latents = torch.stack([self._steps.latents(request) for request in requests[rows]])
            chunks.append(self._aggregate(latents, conditions[rows]))
        return stretched_maps(torch.cat(chunks), requests, self._steps.size)

    def _aggregate(self, latents: Tensor, prompts: Sequence[Conditioning]) -> Tensor:
        """Scaled latents (n, 4, h, w) -> (n, projection, h, w) float32."""
        total = None
        for time, maps in enumerate(self._steps.maps(latents, prompts)):
            total = add_timestep(self._network, total, maps, time, self._steps.side)
        assert total is not None
        return total


def share_network(context: MakeContext, source: str) -> AggregationNetwork:
    """The aggregation network, loaded once for all cells; in single precision whatever the run's is.

    A file of the authors has it under a key; one of ours has nothing else.

    Raises:
        UserError: the file is not one's.
    """
    path = context.weights[source]

    def load() -> AggregationNetwork:
        checkpoint = read_checkpoint(path)
        has_group = any(name.startswith(f"{GROUP}.") for name in checkpoint.content)
        tensors = checkpoint.group(GROUP) if has_group else checkpoint.tensors
        return make_aggregation(tensors, path).to(context.device)

    status = path.stat()
    key = (path.resolve(), status.st_mtime_ns, status.st_size, context.device)
    return context.shared.once(f"{source} network", key, load)


def _texts(numbers: Sequence[int]) -> str:
    return listed([str(number) for number in numbers])
