"""CHM's training: squared distances of transferred keypoints, the backbones tuned along."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from harness.specs import Scalar
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretched_prepare
from matchers.backbones.paired import PairedResNet
from matchers.chm.kernels import KernelShape, Sharing
from matchers.chm.network import IMAGE_SIZE, LAYER, Chm, ChmLearner
from matchers.chm.spec import SOURCE
from matchers.localizers.neighbours import Reach
from matchers.training.objective import Batch, Losses, Objective, ParameterGroups, Tensors, TrainingSettings
from matchers.training.transferred import mean_of_pairs, transferred_offsets

SIGMA, REACH = 17.0, Reach(0.1)
"""Of the reading, in training as later."""


GAINS, MIDDLES = (10.0, 60.0), (0.5, 0.5)
"""Of the two convolutions that a training begins with: slopes of what they put out over the mean of the votes
that agree, and the mean at which they put out 0."""


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Mean squared distance of transferred keypoints, where images are from -1 to 1."""
    offsets = transferred_offsets(network(batch.source, batch.target), batch, SIGMA, REACH)
    return {"loss": mean_of_pairs([offset.square().mean(-1) for offset in offsets])}


def make_network(tensors: Tensors, settings: TrainingSettings) -> Chm:
    """Backbones filled with tensors, up to the layer that is read, and a new learner."""
    backbone = PairedResNet.of_single(tensors, LAYER)
    channels = backbone.source.channels[backbone.source.levels_of(LAYER)[-1]]
    sharing: Sharing = "iso" if settings.options["kernel"] == "iso" else "psi"
    shape = KernelShape(sharing, settings.whole("side"))
    learner = ChmLearner(channels, settings.whole("width"), shape)
    begin_as_consensus(learner)
    return Chm(backbone, learner)


def begin_as_consensus(learner: ChmLearner) -> None:
    """Sets both convolutions so that matches count whose neighbours on both sides are matched likewise.

    From random positive weights every sum of votes is large: the sigmoid is 1 everywhere, nothing tells one
    match from another, and no gradient comes back.
    """
    parallel = learner.chm6d.shape.parallel_groups()
    share = parallel / parallel.sum()
    with torch.no_grad():
        for number, parameter in enumerate(learner.chm6d.param):
            # The first set is that of the same two scales.
            parameter.copy_(GAINS[0] * share if number == 0 else torch.zeros_like(share))
        learner.chm6d.bias.fill_(-GAINS[0] * MIDDLES[0])
        learner.chm4d.weight.copy_(GAINS[1] * share)
        learner.chm4d.bias.fill_(-GAINS[1] * MIDDLES[1])


def groups(network: nn.Module) -> ParameterGroups:
    """The learner, and the backbones at their own rate."""
    assert isinstance(network, Chm)
    return ParameterGroups(list(network.learner.parameters()), list(network.backbone.parameters()))


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """All tensors under the authors' names, and the size of the input."""
    assert isinstance(network, Chm)
    return network.state_to_save(), {"image_size": settings.image_size}


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=IMAGE_SIZE,
    optimizer="adam",
    rate=1e-3,
    backbone_rate=1e-5,
    batch=20,
    epochs=10,
    options={"width": 256, "kernel": "psi", "side": 5},
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 160,
        "rate": 5e-3,
        "backbone_rate": 1e-4,
        "batch": 8,
        "epochs": None,
        "steps": 250,
        "decay": "cosine",
        # With kernels of five cells nearly all of the time would go into their gradients.
        "options": {**PUBLISHED.options, "width": 32, "side": 3},
    }
)

OBJECTIVE = Objective(
    method=SOURCE,
    source=SOURCE,
    read_start=lambda path: read_checkpoint(path).tensors,
    published=PUBLISHED,
    small=SMALL,
    prepare=lambda settings: stretched_prepare(settings.image_size),
    make_network=make_network,
    groups=groups,
    loss=lose,
    checkpoint=checkpoint,
    option_help={
        "width": "channels that are left of the backbone's map",
        "kernel": "offsets that share a weight: psi or iso",
        "side": "side of the kernels in cells; odd",
    },
    notes=(
        "Distances are averaged within a pair and then over pairs. The backbones' batch norms keep the "
        "statistics that they start with. How many epochs the authors trained is not known; 10 is "
        "TransforMatcher's number. Ours: the convolutions begin as a consensus of "
        "neighbours. A file has the layers of the backbones that are read: 1 to 3."
    ),
)
