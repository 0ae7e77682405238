"""NCNet's training: pictures of one category should match better than pictures of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Self

import PIL.Image
import torch
from torch import Tensor, nn

from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretch_corners
from matchers.backbones.resnet import ResNet
from matchers.convolution4d import Convolution4d
from matchers.ncnet.network import IMAGE_SIZE, NCNet, NeighConsensus, first_layers
from matchers.ncnet.spec import SOURCE
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings


class TrainedNCNet(NCNet):
    """An NCNet whose backbone stays in evaluation, but for the gradients of the blocks that are tuned.

    Attributes:
        tuned_blocks: last blocks of the backbone that are tuned.
    """

    tuned_blocks: int = 0

    @classmethod
    def start(cls, tensors: Tensors, settings: TrainingSettings) -> Self:
        """A backbone filled with a ResNet's tensors, and a new consensus."""
        backbone = first_layers(tensors)
        model = ResNet.like(backbone).load(backbone)
        channels, kernels = (_whole_numbers(str(settings.options[name])) for name in ("channels", "kernels"))
        consensus = NeighConsensus(channels, kernels)
        make_blur(consensus, settings.number("gain"))
        network = cls(model, consensus)
        network.tuned_blocks = settings.whole("tuned_blocks")
        return network

    def train(self, mode: bool = True) -> Self:
        """Sets the mode; the backbone's batch norm always takes its own means."""
        super().train(mode)
        self.FeatureExtraction.eval()
        return self

    def features(self, pixels: Tensor) -> Tensor:
        """Features of length 1 (B, C, h, w) of pictures (B, 3, s, s)."""
        with torch.set_grad_enabled(self.tuned_blocks > 0):
            features: Tensor = self.FeatureExtraction(pixels)
        return features

    def tuned(self) -> list[nn.Parameter]:
        """Parameters of the last blocks of the backbone's last layer."""
        model = self.FeatureExtraction.model
        layer, last = len(model.blocks), model.blocks[-1]
        prefixes = tuple(f"layer{layer}.{block}." for block in range(max(0, last - self.tuned_blocks), last))
        return [
            value
            for name, value in model.state_dict(keep_vars=True).items()
            if isinstance(value, nn.Parameter) and name.startswith(prefixes)
        ]


@torch.no_grad()
def make_blur(consensus: NeighConsensus, gain: float) -> None:
    """Makes a new consensus a random blur: positive weights, whose results are means times `gain` at last.

    With weights of both signs, a last ReLU may let nothing through: it then has no gradient, and the
    training never begins. The gain is that of both directions together.
    """
    convolutions = [layer for layer in consensus.conv if isinstance(layer, Convolution4d)]
    for convolution in convolutions:
        convolution.weight.abs_()
        convolution.weight.div_(convolution.weight.sum((0, 2, 3, 4, 5), keepdim=True))
        convolution.bias.zero_()
    convolutions[-1].weight.mul_(gain / 2)


def best_probabilities(correlation: Tensor) -> Tensor:
    """Correlations (B, S, T) -> (B, T), for each target cell the probability of its best source cell."""
    return correlation.softmax(dim=1).amax(dim=1)


def rate_pairs(correlation: Tensor) -> Tensor:
    """How surely cells of pairs match, (B): means over both directions of correlations (B, h, w, h', w')."""
    flat = correlation.flatten(3).flatten(1, 2)
    there, back = best_probabilities(flat), best_probabilities(flat.transpose(1, 2))
    return (there.mean(dim=1) + back.mean(dim=1)) / 2


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Mean score of pairs of two categories, less that of real pairs."""
    assert isinstance(network, TrainedNCNet)
    source, target = network.features(batch.source), network.features(batch.target)
    real = rate_pairs(network.match(source, target)).mean()
    rows = batch.negatives(generator)
    others = (rows >= 0).nonzero()[:, 0]
    shuffled = real.new_zeros(())
    if len(others):
        shuffled = rate_pairs(network.match(source[others], target[rows[others]])).mean()
    return {"loss": shuffled - real, "real": real, "shuffled": shuffled}


def groups(network: nn.Module) -> ParameterGroups:
    """The consensus, and the blocks of the backbone that are tuned."""
    assert isinstance(network, TrainedNCNet)
    return ParameterGroups(list(network.NeighConsensus.parameters()), network.tuned())


def prepare(settings: TrainingSettings) -> Callable[[PIL.Image.Image], Tensor]:
    """Stretches corner to corner."""
    return partial(stretch_corners, side=settings.image_size)


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """All tensors, the backbone's included, and the side of the input."""
    return network.state_dict(), {"image_size": settings.image_size}


def _whole_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


PUBLISHED = TrainingSettings(
    supervision="image-pairs",
    image_size=IMAGE_SIZE,
    optimizer="adam",
    rate=5e-4,
    batch=16,
    epochs=5,
    options={"channels": "16,16,1", "kernels": "5,5,5", "gain": 20.0, "tuned_blocks": 0},
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 240,
        "rate": 2e-3,
        "batch": 8,
        "epochs": None,
        "steps": 200,
        "options": {"channels": "4,1", "kernels": "3,3", "gain": 20.0, "tuned_blocks": 0},
    }
)

OPTION_HELP = {
    "channels": "channels of each 4-D convolution's output, separated by commas; the last is 1",
    "kernels": "kernel of each 4-D convolution, separated by commas",
    "gain": "factor of correlations at the start, when the consensus is a random blur",
    "tuned_blocks": "last blocks of the backbone that are tuned, at the backbone's rate",
}

OBJECTIVE = Objective(
    method="ncnet",
    source=SOURCE,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=prepare,
    make_network=TrainedNCNet.start,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help=OPTION_HELP,
    notes=(
        "The loss, optimiser, rate, batch and epochs are those of the authors' first stage. Their published "
        "network went through a second one, which also tuned the last block of layer 3, at a rate and for a "
        "time that their program does not state: tuned_blocks and the backbone's rate do that here. Ours: "
        "pairs that do not belong together are always of two categories, where theirs are any other pair of "
        "the batch; and the consensus begins as a random blur of positive weights."
    ),
)
